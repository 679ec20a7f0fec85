//! The server is killed while money changes hands.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use integration_tests::{Server, Teller, Topic, eventually, waits};
use serde_json::{Value, json};
use tokio::time::sleep;

const TELLERS: usize = 16;
/// What each account has in the beginning; little, so that transfers are refused, too.
const ISSUED: u64 = 300;

/// From, to and how much.
type Transfer = (usize, usize, u64);

fn account(number: usize) -> String {
    format!("account-{number}")
}

/// Asks until there is an answer, always with one key.
async fn decided(teller: &Teller, name: &str, key: &str, body: &Value) -> (Value, bool) {
    let mut again = false;
    loop {
        match teller.call(name, key, body).await {
            Some(said) if matches!(said.status, 200 | 409) => return (said.body, again && said.replayed),
            Some(said) => assert_eq!(said.status, 503, "{said:?}"),
            None => {}
        }
        again = true;
        sleep(Duration::from_millis(5)).await;
    }
}

/// What one teller knows.
#[derive(Default)]
struct Known {
    /// The transfers that the server has acknowledged, in their order.
    done: Vec<Transfer>,
    refused: usize,
    /// Calls of which the answer had been lost, and that had happened.
    replayed: usize,
}

/// Transfers from one account to others until it is stopped, one after the other.
async fn transfer(teller: Teller, from: usize, stop: Arc<AtomicBool>, acknowledged: Arc<AtomicU64>) -> Known {
    let mut known = Known::default();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let to = (from + fastrand::usize(1..TELLERS)) % TELLERS;
        let amount = fastrand::u64(1..200);
        let body = json!({ "from": account(from), "to": account(to), "amount": amount });
        let (answer, replayed) =
            decided(&teller, "ledger.transfer", &format!("{from}-{number}"), &body).await;
        match answer["code"].as_str() {
            None => known.done.push((from, to, amount)),
            Some(_) => {
                assert_eq!(answer["error"]["code"], "insufficient_funds", "{answer}");
                known.refused += 1;
            }
        }
        known.replayed += usize::from(replayed);
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    known
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_under_transfers_loses_and_doubles_none_and_the_sum_stays() {
    let kills: usize = std::env::var("WAKA_KILLS").map_or(50, |kills| kills.parse().expect("a number"));
    let mut server = Server::start();
    let teller = |n: usize| Teller::of(&server.url(), &server.token("dev", &format!("teller-{n}"), 3_600));
    let tellers: Vec<Teller> = (0..TELLERS).map(teller).collect();
    for (n, teller) in tellers.iter().enumerate() {
        let name = account(n);
        decided(teller, "ledger.open", "open", &json!({ "account": name, "currency": "NGN" })).await;
        decided(teller, "ledger.issue", "issue", &json!({ "account": name, "amount": ISSUED })).await;
    }
    let (stop, acknowledged) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let working: Vec<_> = tellers
        .iter()
        .enumerate()
        .map(|(n, teller)| tokio::spawn(transfer(teller.clone(), n, stop.clone(), acknowledged.clone())))
        .collect();
    for _ in 0..kills {
        let before = acknowledged.load(Ordering::Relaxed);
        eventually("some are acknowledged", || acknowledged.load(Ordering::Relaxed) > before + 20).await;
        sleep(Duration::from_millis(fastrand::u64(0..100))).await;
        server.kill();
        // While it is down somebody waits for an answer that got lost.
        server.restart();
    }
    stop.store(true, Ordering::Relaxed);
    let known: Vec<Known> = join_all(working).await.into_iter().map(Result::unwrap).collect();

    let done: Vec<Transfer> = known.iter().flat_map(|known| known.done.iter().copied()).collect();
    let mut balances = vec![ISSUED; TELLERS];
    // In whatever order: no sum of what came in and went out is negative in the end.
    for (from, to, amount) in &done {
        balances[*from] = balances[*from].wrapping_sub(*amount);
        balances[*to] = balances[*to].wrapping_add(*amount);
    }
    for ((n, teller), expected) in tellers.iter().enumerate().zip(&balances) {
        let answer = teller.ask("ledger.balance", &format!("account={}", account(n))).await;
        assert_eq!(answer.expect("the server is up")["balance"], *expected, "account {n}");
    }
    let issued = ISSUED * TELLERS as u64;
    let totals = tellers[0].ask("ledger.totals", "currency=NGN").await.expect("the server is up");
    assert_eq!(totals, json!({ "currency": "NGN", "issued": issued, "held": issued, "accounts": TELLERS }));

    let topic = Topic::of(&server.url(), &server.token("dev", "reader", 3_600), "ledger/transfers");
    let told = waits("every transfer is told of", told(&topic, done.len())).await;
    let mut of_each: BTreeMap<usize, Vec<Transfer>> = BTreeMap::new();
    for transfer in &told {
        of_each.entry(transfer.0).or_default().push(*transfer);
    }
    for (n, known) in known.iter().enumerate() {
        let told = of_each.remove(&n).unwrap_or_default();
        assert_eq!(told, known.done, "each transfer of teller {n} is told of once, in their order");
    }
    let refused: usize = known.iter().map(|known| known.refused).sum();
    let replayed: usize = known.iter().map(|known| known.replayed).sum();
    println!(
        "kills: {kills}, transfers: {}, refused: {refused}, answers lost and told again: {replayed}, events: {}",
        done.len(),
        told.len()
    );
}

/// The transfers that a topic tells of, once there are so many and no more follow.
async fn told(topic: &Topic, count: usize) -> Vec<Transfer> {
    let (mut told, mut position) = (Vec::new(), "-1".to_owned());
    let number = |text: &Value| text.as_str().unwrap().trim_start_matches("account-").parse().unwrap();
    loop {
        let Some(page) = topic.read(&position, told.len() < count).await else { continue };
        for event in &page.events {
            let event: Value = serde_json::from_str(event).unwrap();
            let data = &event["data"];
            told.push((number(&data["from"]), number(&data["to"]), data["amount"].as_u64().unwrap()));
        }
        position = page.position;
        if told.len() >= count && page.up_to_date {
            return told;
        }
    }
}
