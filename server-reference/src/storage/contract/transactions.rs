//! What every store of transactions promises, as tests. `transactions_contract!(open)` runs them all against a backend;
//! `open` is an async function that gives an empty store and a guard of whatever must outlive it. A tenant may have 8 keys,
//! 4 records and 3 waiting events there.

mod handlers;
mod outgoing;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use futures::future::join_all;
use sdk_core::protocol::{Json, TransactionName};

pub(crate) use handlers::*;
pub(crate) use outgoing::*;

use crate::{
    fixtures::{START, scope},
    storage::transactions::{Ask, NotRun, Outgoing, Ran, Run, Transactions, Verdict},
    tenant::TenantScope,
    transactions::handler::{
        Call, Emitted, Fault, Handler, Limit, MAX_ANSWER, MAX_KEY, MAX_RECORD, Query, Reads, Records, Refusal,
    },
};

/// A store under test.
pub(crate) struct Both {
    pub(crate) transactions: Arc<dyn Transactions>,
    pub(crate) outgoing: Arc<dyn Outgoing>,
}

macro_rules! transactions_contract {
    ($open:path) => {
        transactions_contract!(@tests $open:
            a_repetition_gets_the_first_answer_and_has_no_effect,
            calls_of_one_key_side_by_side_run_once,
            a_key_that_was_used_for_another_call_is_refused,
            a_key_is_its_subjects_and_its_tenants,
            a_refusal_takes_back_what_was_written_and_stays_one,
            what_fails_stores_nothing_and_may_be_tried_again,
            a_panic_takes_nothing_from_others,
            a_handler_that_ignores_a_limit_of_the_tenant_stores_nothing,
            a_tenants_keys_are_capped,
            tenants_share_no_record,
            a_transaction_sees_what_it_has_changed,
            records_are_in_the_order_of_their_keys,
            a_question_changes_nothing_and_sees_one_point_in_time,
            events_wait_in_the_order_of_commits_until_they_are_settled,
            events_of_what_was_refused_are_none,
            a_topic_that_takes_nothing_holds_up_no_other,
            each_topic_has_its_turn_however_busy_the_others_are,
            events_that_wait_are_capped_and_make_room_when_they_go,
        );
    };
    (@tests $open:path: $($name:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            let (store, _guard) = $open().await;
            $crate::storage::contract::transactions::$name(store).await;
        }
    )*};
}
pub(crate) use transactions_contract;

fn ada() -> TenantScope {
    scope("acme", "ada")
}

fn run(key: &str, body: &str, handler: impl Handler) -> Run {
    let (name, key) = (TransactionName::new("test").unwrap(), key.parse().unwrap());
    Run { name, key, body: Json::parse(body).unwrap(), handler: Arc::new(handler) }
}

async fn ran(store: &Both, run: Run) -> Result<Ran, NotRun> {
    store.transactions.run(ada(), run, START).await
}

fn done(text: &str, replayed: bool) -> Ran {
    Ran { verdict: Verdict::Done(Json::parse(text).unwrap()), replayed }
}

/// The record of a key.
async fn record(store: &Both, scope: TenantScope, key: &'static str) -> Option<String> {
    let ask = Ask { parameters: Json::parse("{}").unwrap(), query: Arc::new(Look(key)) };
    match store.transactions.ask(scope, ask, START).await.unwrap() {
        Verdict::Done(record) => Some(record.as_str().to_owned()).filter(|text| text != "null"),
        Verdict::Refused(refusal) => panic!("{refusal:?}"),
    }
}

struct Look(&'static str);

impl Query for Look {
    fn run(&self, _: Call<'_>, records: &dyn Reads) -> Result<Json, Fault> {
        Ok(records.get(self.0)?.unwrap_or_else(|| Json::parse("null").unwrap()))
    }
}

/// Counts in the record `n`, and answers with the count.
struct Count;

impl Handler for Count {
    fn run(&self, _: Call<'_>, records: &mut dyn Records) -> Result<Json, Fault> {
        let count = records.read::<u64>("n")?.unwrap_or_default() + 1;
        records.write("n", &count)?;
        Ok(Json::parse(count.to_string()).unwrap())
    }
}

/// Anything.
struct Do<F>(F);

impl<F> Handler for Do<F>
where
    F: Fn(Call<'_>, &mut dyn Records) -> Result<Json, Fault> + Send + Sync + 'static,
{
    fn run(&self, call: Call<'_>, records: &mut dyn Records) -> Result<Json, Fault> {
        (self.0)(call, records)
    }
}

fn act<F>(act: F) -> Do<F>
where
    F: Fn(Call<'_>, &mut dyn Records) -> Result<Json, Fault> + Send + Sync + 'static,
{
    Do(act)
}

fn null() -> Result<Json, Fault> {
    Ok(Json::parse("null").unwrap())
}

pub(crate) async fn a_repetition_gets_the_first_answer_and_has_no_effect(store: Both) {
    assert_eq!(ran(&store, run("a", "{}", Count)).await.unwrap(), done("1", false));
    assert_eq!(ran(&store, run("a", "{}", Count)).await.unwrap(), done("1", true));
    assert_eq!(ran(&store, run("b", "{}", Count)).await.unwrap(), done("2", false));
    assert_eq!(ran(&store, run("a", "{}", Count)).await.unwrap(), done("1", true));
    assert_eq!(record(&store, ada(), "n").await.as_deref(), Some("2"));
}

pub(crate) async fn calls_of_one_key_side_by_side_run_once(store: Both) {
    let runs = Arc::new(AtomicUsize::new(0));
    let calls = (0..200).map(|_| {
        let runs = runs.clone();
        let counting = act(move |call, records| {
            runs.fetch_add(1, SeqCst);
            Count.run(call, records)
        });
        ran(&store, run("a", "{}", counting))
    });
    let answers = join_all(calls).await;
    let first = answers.iter().filter(|answer| !answer.as_ref().unwrap().replayed).count();
    assert_eq!((first, runs.load(SeqCst)), (1, 1));
    assert!(answers.into_iter().all(|answer| answer.unwrap().verdict == done("1", false).verdict));
    assert_eq!(record(&store, ada(), "n").await.as_deref(), Some("1"));
}

pub(crate) async fn a_key_that_was_used_for_another_call_is_refused(store: Both) {
    ran(&store, run("a", "{}", Count)).await.unwrap();
    let other_body = ran(&store, run("a", "{ }", Count)).await;
    let other_name = Run { name: TransactionName::new("other").unwrap(), ..run("a", "{}", Count) };
    let other_name = ran(&store, other_name).await;
    assert!(matches!(other_body, Err(NotRun::KeyReused)) && matches!(other_name, Err(NotRun::KeyReused)));
    assert_eq!(ran(&store, run("a", "{}", Count)).await.unwrap(), done("1", true));
}

pub(crate) async fn a_key_is_its_subjects_and_its_tenants(store: Both) {
    ran(&store, run("a", "{}", Count)).await.unwrap();
    for (other, count) in [(scope("acme", "bob"), "2"), (scope("globex", "ada"), "1")] {
        let ran = store.transactions.run(other, run("a", "{ }", Count), START).await.unwrap();
        assert_eq!(ran, done(count, false));
    }
}

pub(crate) async fn a_refusal_takes_back_what_was_written_and_stays_one(store: Both) {
    ran(&store, run("a", "{}", Count)).await.unwrap();
    let refuses = || {
        act(|_, records: &mut dyn Records| {
            records.write("n", &100)?;
            records.delete("n")?;
            records.write("m", &1)?;
            Err(Refusal::new("no_funds", "not enough").into())
        })
    };
    let refused =
        |replayed| Ran { verdict: Verdict::Refused(Refusal::new("no_funds", "not enough")), replayed };
    assert_eq!(ran(&store, run("b", "{}", refuses())).await.unwrap(), refused(false));
    assert_eq!(record(&store, ada(), "n").await.as_deref(), Some("1"));
    assert_eq!(record(&store, ada(), "m").await, None);
    // Also where it would be decided otherwise by now.
    assert_eq!(ran(&store, run("b", "{}", Count)).await.unwrap(), refused(true));
}

pub(crate) async fn what_fails_stores_nothing_and_may_be_tried_again(store: Both) {
    let huge = act(|_, records: &mut dyn Records| {
        records.write("n", &100)?;
        records.write("m", &"x".repeat(MAX_RECORD))?;
        null()
    });
    let failed = ran(&store, run("a", "{}", huge)).await;
    assert!(matches!(failed, Err(NotRun::Limit(Limit::Handler(_)))), "{failed:?}");
    let answer =
        act(|_, _: &mut dyn Records| Ok(Json::parse(format!("\"{}\"", "x".repeat(MAX_ANSWER))).unwrap()));
    assert!(matches!(ran(&store, run("a", "{}", answer)).await, Err(NotRun::Limit(Limit::Handler(_)))));
    assert_eq!(ran(&store, run("a", "{}", Count)).await.unwrap(), done("1", false));
}

pub(crate) async fn a_panic_takes_nothing_from_others(store: Both) {
    let panics = || {
        act(|_, records: &mut dyn Records| {
            records.write("m", &1)?;
            panic!("a handler of a test");
        })
    };
    let (before, panicked, after) = futures::join!(
        ran(&store, run("a", "{}", Count)),
        ran(&store, run("b", "{}", panics())),
        ran(&store, run("c", "{}", Count)),
    );
    assert_eq!((before.unwrap(), after.unwrap()), (done("1", false), done("2", false)));
    assert!(matches!(panicked, Err(NotRun::Panicked)));
    assert_eq!(record(&store, ada(), "m").await, None);
    assert_eq!(ran(&store, run("b", "{}", Count)).await.unwrap(), done("3", false));
}

pub(crate) async fn a_handler_that_ignores_a_limit_of_the_tenant_stores_nothing(store: Both) {
    let many = |from: usize, to: usize| {
        act(move |_, records: &mut dyn Records| {
            (from..to).for_each(|n| drop(records.write(&format!("r{n}"), &n)));
            null()
        })
    };
    ran(&store, run("a", "{}", many(0, 4))).await.unwrap();
    let over = ran(&store, run("b", "{}", many(4, 5))).await;
    assert!(matches!(over, Err(NotRun::Limit(Limit::Records))), "{over:?}");
    // What is there may be put anew, and what goes makes room.
    ran(&store, run("c", "{}", many(0, 4))).await.unwrap();
    let instead = act(|_, records: &mut dyn Records| {
        records.delete("r0")?;
        records.delete("never there")?;
        records.write("r9", &1)?;
        null()
    });
    ran(&store, run("d", "{}", instead)).await.unwrap();
    assert_eq!(record(&store, ada(), "r9").await.as_deref(), Some("1"));
    assert_eq!(record(&store, ada(), "r4").await, None);
}

pub(crate) async fn a_tenants_keys_are_capped(store: Both) {
    for n in 0..8 {
        ran(&store, run(&format!("k{n}"), "{}", Count)).await.unwrap();
    }
    assert!(matches!(ran(&store, run("one more", "{}", Count)).await, Err(NotRun::TooManyKeys)));
    assert_eq!(ran(&store, run("k7", "{}", Count)).await.unwrap(), done("8", true));
    let other = store.transactions.run(scope("globex", "ada"), run("k", "{}", Count), START).await;
    assert_eq!(other.unwrap(), done("1", false));
}

pub(crate) async fn tenants_share_no_record(store: Both) {
    ran(&store, run("a", "{}", Count)).await.unwrap();
    for other in ["acm", "acme/", "acme\u{a0}"] {
        let other = scope(other, "ada");
        assert_eq!(record(&store, other.clone(), "n").await, None);
        let ran = store.transactions.run(other, run("a", "{}", Count), START).await.unwrap();
        assert_eq!(ran, done("1", false));
    }
    assert_eq!(record(&store, ada(), "n").await.as_deref(), Some("1"));
}
