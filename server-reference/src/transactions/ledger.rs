//! A ledger: accounts of one currency each, and transfers between them. No balance is ever negative, and what all accounts
//! of a currency hold together is what was issued of it, whatever happens.
//!
//! Amounts are whole numbers of the currency's smallest unit, up to what JavaScript holds exactly.

use sdk_core::protocol::{InvalidId, Json, MAX_SAFE_INTEGER, TopicName};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Handlers,
    handler::{self, Call, Emitted, Fault, Handler, Limit, Query, Reads, Records, Refusal},
};

/// Where transfers are told of.
const TRANSFERS: &str = "ledger/transfers";

/// An account as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Account {
    owner: String,
    currency: String,
    balance: u64,
}

/// What there is of a currency.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Issued {
    amount: u64,
}

/// `ledger.open`: an account of the caller's, with nothing in it.
struct Open;
/// `ledger.issue`: new money into an account. Whoever is granted this makes money.
struct Issue;
/// `ledger.transfer`: from an account of the caller's to any other of the same currency.
struct Transfer;
/// `ledger.balance`: what is in an account of the caller's.
struct Balance;
/// `ledger.totals`: what was issued of a currency, and what all accounts hold of it.
struct Totals;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Opening {
    account: String,
    currency: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Issuing {
    account: String,
    amount: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Transferring {
    from: String,
    to: String,
    amount: u64,
}

#[derive(Deserialize)]
struct OfAccount {
    account: String,
}

#[derive(Deserialize)]
struct OfCurrency {
    currency: String,
}

/// With the ledger's transactions and questions beside others.
///
/// # Errors
/// None: the names are names.
pub fn with(handlers: Handlers) -> Result<Handlers, InvalidId> {
    handlers
        .transaction("ledger.open", Open)?
        .transaction("ledger.issue", Issue)?
        .transaction("ledger.transfer", Transfer)?
        .query("ledger.balance", Balance)?
        .query("ledger.totals", Totals)
}

impl Handler for Open {
    fn run(&self, call: Call<'_>, records: &mut dyn Records) -> Result<Json, Fault> {
        let Opening { account, currency } = call.read()?;
        let name = account_key(&account)?;
        let issued = currency_key(&currency)?;
        if records.read::<Account>(&name)?.is_some() {
            return Err(Refusal::new("account_exists", "there is an account of that name").into());
        }
        if records.read::<Issued>(&issued)?.is_none() {
            records.write(&issued, &Issued::default())?;
        }
        let opened = Account { owner: call.subject.to_owned(), currency, balance: 0 };
        records.write(&name, &opened)?;
        told(&account, &opened)
    }
}

impl Handler for Issue {
    fn run(&self, call: Call<'_>, records: &mut dyn Records) -> Result<Json, Fault> {
        let Issuing { account: name, amount } = call.read()?;
        let amount = positive(amount)?;
        let key = account_key(&name)?;
        let mut account: Account = records.read(&key)?.ok_or_else(|| no_such_account(&name))?;
        let issued_key = currency_key(&account.currency)?;
        let mut issued: Issued = records.read(&issued_key)?.unwrap_or_default();
        // What all accounts hold together stays a number that can be told, and so does each.
        issued.amount = plus(issued.amount, amount)?;
        account.balance = plus(account.balance, amount)?;
        records.write(&issued_key, &issued)?;
        records.write(&key, &account)?;
        told(&name, &account)
    }
}

impl Handler for Transfer {
    fn run(&self, call: Call<'_>, records: &mut dyn Records) -> Result<Json, Fault> {
        let Transferring { from, to, amount } = call.read()?;
        let amount = positive(amount)?;
        let (from_key, to_key) = (account_key(&from)?, account_key(&to)?);
        if from == to {
            return Err(Refusal::new("same_account", "an account cannot pay itself").into());
        }
        let mut payer = own(records.read(&from_key)?, &from, call.subject)?;
        let mut payee: Account = records.read(&to_key)?.ok_or_else(|| no_such_account(&to))?;
        if payer.currency != payee.currency {
            return Err(Refusal::new("currency_mismatch", "the accounts have different currencies").into());
        }
        let missing = || Refusal::new("insufficient_funds", "the account does not hold as much");
        payer.balance = payer.balance.checked_sub(amount).ok_or_else(missing)?;
        payee.balance = plus(payee.balance, amount)?;
        records.write(&from_key, &payer)?;
        records.write(&to_key, &payee)?;
        let transfer = json!({ "from": from, "to": to, "amount": amount, "currency": payer.currency });
        let topic = TopicName::new(TRANSFERS).map_err(|_| Limit::Handler("not a topic"))?;
        let event = Emitted {
            kind: "ledger.transferred".to_owned(),
            subject: Some(from.clone()),
            data: handler::json(&transfer)?,
        };
        records.emit(topic, event)?;
        told(&from, &payer)
    }
}

impl Query for Balance {
    fn run(&self, call: Call<'_>, records: &dyn Reads) -> Result<Json, Fault> {
        let OfAccount { account: name } = call.read()?;
        let account = own(records.read(&account_key(&name)?)?, &name, call.subject)?;
        told(&name, &account)
    }
}

impl Query for Totals {
    fn run(&self, call: Call<'_>, records: &dyn Reads) -> Result<Json, Fault> {
        let OfCurrency { currency } = call.read()?;
        let issued = records.read::<Issued>(&currency_key(&currency)?)?.unwrap_or_default().amount;
        let (mut held, mut accounts, mut after) = (0_u64, 0_u64, "ledger/account/ ".to_owned());
        loop {
            // The last of the keys that begin so.
            let page = records.range(&after..="ledger/account/~")?;
            let Some((last, _)) = page.last() else { break };
            after = format!("{last} ");
            for (_, record) in &page {
                let account: Account = serde_json::from_str(record.as_str())
                    .map_err(|_| Limit::Handler("a record is no account"))?;
                if account.currency == currency {
                    (held, accounts) = (held.saturating_add(account.balance), accounts + 1);
                }
            }
        }
        handler::json(&json!({ "currency": currency, "issued": issued, "held": held, "accounts": accounts }))
    }
}

/// Where an account is. Its name has letters, digits and `- _ . :`, so that none is within another.
fn account_key(name: &str) -> Result<String, Refusal> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if (1..=64).contains(&name.len()) && name.bytes().all(plain) {
        Ok(format!("ledger/account/{name}"))
    } else {
        Err(Refusal::new("invalid_account", "an account has 1 to 64 letters, digits and - _ . :"))
    }
}

fn currency_key(currency: &str) -> Result<String, Refusal> {
    if currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
        Ok(format!("ledger/issued/{currency}"))
    } else {
        Err(Refusal::new("invalid_currency", "a currency has three capitals, as in ISO 4217"))
    }
}

fn positive(amount: u64) -> Result<u64, Refusal> {
    if (1..=MAX_SAFE_INTEGER).contains(&amount) {
        Ok(amount)
    } else {
        Err(Refusal::new(
            "invalid_amount",
            format!("an amount is a whole number from 1 to {MAX_SAFE_INTEGER}"),
        ))
    }
}

fn plus(balance: u64, amount: u64) -> Result<u64, Refusal> {
    balance
        .checked_add(amount)
        .filter(|sum| *sum <= MAX_SAFE_INTEGER)
        .ok_or_else(|| Refusal::new("balance_overflow", format!("a balance goes up to {MAX_SAFE_INTEGER}")))
}

/// An account of the caller's. Somebody else's looks like none.
fn own(account: Option<Account>, name: &str, subject: &str) -> Result<Account, Refusal> {
    account.filter(|account| account.owner == subject).ok_or_else(|| no_such_account(name))
}

fn no_such_account(name: &str) -> Refusal {
    Refusal::new("no_such_account", format!("there is no account {name} for this"))
}

fn told(name: &str, account: &Account) -> Result<Json, Fault> {
    let Account { currency, balance, .. } = account;
    handler::json(&json!({ "account": name, "currency": currency, "balance": balance }))
}
