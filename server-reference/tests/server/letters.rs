//! What clients were refused, while they and an operator act on it at the same time: over WebSocket and HTTP.

use futures::future::join;
use reqwest::{Client, Method};
use sdk_core::protocol::{
    ClientFrame, ErrorCode, Hello, Intent, Judgement, MAX_REJECTED, OpId, Operation, Outcome, Push, Seq,
    ServerFrame,
};
use serde_json::{Value, json};

use crate::support::{Running, Socket, cards, client, push, set};

/// A session of Ada's first client, with a token that covers this of `cards`; without, all.
async fn session(server: &Running, prefix: Option<&str>) -> Socket {
    let token = match prefix {
        Some(prefix) => server.granted("acme", "ada", json!([{ "collection": "cards", "prefix": prefix }])),
        None => server.token("acme", "ada"),
    };
    let mut socket = server.socket().await;
    // A client that says nothing of what it holds: else its letters would be over with the hello.
    let hello =
        Hello { versions: vec![1], token, client: client(1), resume: vec![cards(None)], rejected: None };
    socket.send(&ClientFrame::Hello(hello)).await;
    assert!(matches!(socket.next().await, Some(ServerFrame::Welcome(_))));
    socket
}

async fn judged(socket: &mut Socket, operation: Operation) -> Judgement {
    socket.send(&push(vec![operation])).await;
    let Some(ServerFrame::Outcomes(mut outcomes)) = socket.next_answer().await else { panic!() };
    outcomes.judgements.remove(0)
}

/// Counts up a number by one.
fn count(seq: u64, id: &str) -> Operation {
    let once = [("n".parse().unwrap(), 1)].into();
    Operation { intents: vec![Intent::Increment(once)], ..set(seq, id, "n", "0") }
}

/// The same in the place of one that was refused.
fn instead(seq: u64, of: u64, id: &str) -> Operation {
    Operation { replaces: Some(OpId { client: client(1), seq: Seq(of) }.into()), ..count(seq, id) }
}

async fn ask(server: &Running, method: Method, path: &str, body: Value) -> (u16, Value) {
    let request = Client::new().request(method, server.http(path)).bearer_auth(server.token("acme", "olga"));
    let request = request.header("content-type", "application/json").body(body.to_string());
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

async fn letters(server: &Running) -> Vec<Value> {
    let (_, answer) = ask(server, Method::GET, "/v1/dead", Value::Null).await;
    answer["letters"].as_array().unwrap().clone()
}

async fn settle(server: &Running, verb: &str, letter: &Value) -> String {
    let body = json!({ "letters": [letter["id"]] });
    let (_, answer) = ask(server, Method::POST, &format!("/v1/dead/{verb}"), body).await;
    answer["letters"][0]["state"].as_str().unwrap().to_owned()
}

/// What the documents of `cards` show as `n`, by id.
async fn counted(server: &Running) -> Vec<(String, String)> {
    let mut reader = server.socket().await;
    reader.send(&ClientFrame::Hello(server.hello(9))).await;
    assert!(matches!(reader.next().await, Some(ServerFrame::Welcome(_))));
    let Some(ServerFrame::Changes(changes)) = reader.next().await else { panic!("no changes") };
    let shown = |changed: sdk_core::protocol::Changed| {
        (changed.id.to_string(), changed.doc.values().next().unwrap().1.as_str().to_owned())
    };
    let mut all: Vec<_> = changes.documents.into_iter().map(shown).collect();
    all.sort();
    all
}

#[tokio::test]
async fn of_what_an_operator_applies_and_its_client_tries_again_there_is_one_effect() {
    let server = Running::start().await;
    let mut narrow = session(&server, Some("mine/")).await;
    for (seq, id) in [(1, "a"), (2, "b")] {
        let judgement = judged(&mut narrow, count(seq, id)).await;
        assert!(matches!(judgement.outcome, Outcome::Rejected(_)), "{judgement:?}");
    }
    let there = letters(&server).await;
    let mut ada = session(&server, None).await;

    // The operator is first, and the client has not heard of it.
    assert_eq!(settle(&server, "retry", &there[0]).await, "applied");
    for _ in 0..2 {
        let judgement = judged(&mut ada, instead(3, 1, "a")).await;
        assert_eq!((judgement.seq, &judgement.outcome), (Seq(3), &Outcome::Accepted {}));
        assert_eq!(judgement.position.unwrap().offset.0, 1, "it is the operator's effect");
    }
    // The client is first, and the operator has the list from before.
    assert_eq!(judged(&mut ada, instead(4, 2, "b")).await.outcome, Outcome::Accepted {});
    for verb in ["retry", "discard"] {
        assert_eq!(settle(&server, verb, &there[1]).await, "gone");
    }
    let path = format!("/v1/dead/{}", there[1]["id"].as_str().unwrap());
    for method in [Method::GET, Method::PUT] {
        let (status, problem) = ask(&server, method, &path, there[1].clone()).await;
        assert_eq!((status, &problem["code"]), (404, &json!("no_such_dead_letter")));
    }
    let once = |id: &str| (id.to_owned(), "1".to_owned());
    assert_eq!(counted(&server).await, [once("a"), once("b")]);
}

#[tokio::test]
async fn whoever_of_the_two_is_first_there_is_one_effect() {
    const LETTERS: u64 = 40;
    let server = Running::start().await;
    let mut narrow = session(&server, Some("mine/")).await;
    let all: Vec<Operation> = (1..=LETTERS).map(|seq| count(seq, &format!("{seq:02}"))).collect();
    narrow.send(&push(all)).await;
    assert!(matches!(narrow.next_answer().await, Some(ServerFrame::Outcomes(_))));
    let there = letters(&server).await;
    assert_eq!(there.len() as u64, LETTERS);
    let mut ada = session(&server, None).await;
    for (letter, seq) in there.iter().zip(1..) {
        let again = instead(LETTERS + seq, seq, &format!("{seq:02}"));
        let (state, judgement) = join(settle(&server, "retry", letter), judged(&mut ada, again)).await;
        assert!(["applied", "gone"].contains(&&*state), "{state}");
        assert_eq!(judgement.outcome, Outcome::Accepted {}, "{state}");
    }
    let once: Vec<_> = (1..=LETTERS).map(|seq| (format!("{seq:02}"), "1".to_owned())).collect();
    assert_eq!(counted(&server).await, once);
    assert!(letters(&server).await.is_empty());
}

#[tokio::test]
async fn a_session_may_say_at_any_time_what_its_client_holds_still() {
    let server = Running::start().await;
    let mut ada = session(&server, Some("mine/")).await;
    for seq in 1..=3 {
        judged(&mut ada, count(seq, "a")).await;
    }
    let there = letters(&server).await;
    let holds = |rejected: Vec<Seq>| ClientFrame::Push(Push { operations: vec![], rejected: Some(rejected) });
    ada.send(&holds(vec![Seq(3), Seq(2)])).await;
    assert!(matches!(ada.next_answer().await, Some(ServerFrame::Outcomes(_))));
    let left: Vec<Value> = letters(&server).await.iter().map(|letter| letter["seq"].clone()).collect();
    assert_eq!(left, [2, 3]);
    // What somebody has applied meanwhile it hears at once.
    assert_eq!(settle(&server, "retry", &there[1]).await, "applied");
    ada.send(&holds(vec![Seq(3), Seq(2)])).await;
    let answers = [ada.next_answer().await, ada.next_answer().await];
    let [Some(ServerFrame::Outcomes(none)), Some(ServerFrame::Outcomes(told))] = answers else { panic!() };
    assert_eq!((none.judgements.len(), told.judgements.len()), (0, 1));
    assert_eq!((told.judgements[0].seq, &told.judgements[0].outcome), (Seq(2), &Outcome::Accepted {}));
    // More than a client can hold is refused, and ends nothing.
    ada.send(&holds((0..=MAX_REJECTED as u64).map(Seq).collect())).await;
    let Some(ServerFrame::Error(error)) = ada.next_answer().await else { panic!() };
    assert_eq!(error.code, ErrorCode::TooMany);
    assert_eq!(letters(&server).await.len(), 1);
}
