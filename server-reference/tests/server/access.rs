//! Tokens that narrow what their subject reads and writes, over real sockets and HTTP.

use crate::support::{Running, Socket, cards, client, push, set};
use sdk_core::protocol::{
    Changes, ClientFrame, ErrorCode, Hello, Outcome, PullReply, PullRequest, ServerFrame, StreamPosition,
    decode, encode,
};
use serde_json::{Value, json};

fn team(prefix: &str) -> Value {
    json!([{ "collection": "cards", "prefix": prefix }])
}

/// A session of Bob's with a claim, and what it was told of `cards` first.
async fn session(server: &Running, access: Value, after: Option<StreamPosition>) -> (Socket, Changes) {
    let token = server.granted("acme", "bob", access);
    let hello =
        Hello { versions: vec![1], token, client: client(2), resume: vec![cards(after)], rejected: None };
    let mut socket = server.socket().await;
    socket.send(&ClientFrame::Hello(hello)).await;
    assert!(matches!(socket.next().await, Some(ServerFrame::Welcome(_))));
    let changes = changes(&mut socket).await;
    (socket, changes)
}

async fn changes(socket: &mut Socket) -> Changes {
    match socket.next().await {
        Some(ServerFrame::Changes(changes)) => changes,
        other => panic!("no changes but {other:?}"),
    }
}

fn ids(changes: &Changes) -> Vec<&str> {
    changes.documents.iter().map(|changed| changed.id.as_str()).collect()
}

#[tokio::test]
async fn a_narrowed_token_reads_hears_and_writes_only_what_it_covers() {
    let server = Running::start().await;
    let mut ada = server.session(1).await;
    ada.send(&push(vec![set(1, "a/1", "x", "1"), set(2, "b/1", "x", "1")])).await;
    assert!(matches!(ada.next_answer().await, Some(ServerFrame::Outcomes(_))));
    let (mut bob, first) = session(&server, team("a/"), None).await;
    assert_eq!(ids(&first), ["a/1"]);

    ada.send(&push(vec![set(3, "b/2", "x", "1"), set(4, "a/2", "x", "1")])).await;
    let heard = changes(&mut bob).await;
    assert_eq!((ids(&heard), &heard.from), (vec!["a/2"], &Some(first.to)));

    bob.send(&push(vec![set(1, "b/1", "x", "666"), set(2, "a/1", "x", "2")])).await;
    let Some(ServerFrame::Outcomes(outcomes)) = bob.next_answer().await else { panic!() };
    let Outcome::Rejected(rejection) = &outcomes.judgements[0].outcome else { panic!("{outcomes:?}") };
    assert_eq!(rejection.code, ErrorCode::Forbidden);
    assert_eq!(outcomes.judgements[1].outcome, Outcome::Accepted {});
    let position = outcomes.judgements[1].position.as_ref().unwrap();
    assert_eq!(position.epoch, heard.to.epoch, "a judgement is told in the history that its maker reads");
}

#[tokio::test]
async fn a_position_of_another_claim_is_not_continued_over_http_either() {
    let server = Running::start().await;
    let mut ada = server.session(1).await;
    ada.send(&push(vec![set(1, "a/1", "x", "1"), set(2, "b/1", "x", "1")])).await;
    assert!(matches!(ada.next_answer().await, Some(ServerFrame::Outcomes(_))));
    let (_bob, before) = session(&server, json!([{ "collection": "*" }]), None).await;
    assert_eq!(ids(&before), ["a/1", "b/1"]);

    let pull = async |access: Value, after: &StreamPosition| {
        let body =
            PullRequest { client: client(2), collections: vec![cards(Some(after.clone()))], rejected: None };
        let request = reqwest::Client::new().post(server.http("/v1/pull")).body(encode(&body));
        let reply = request.bearer_auth(server.granted("acme", "bob", access)).send().await.unwrap();
        let reply: PullReply = decode(&reply.text().await.unwrap()).unwrap();
        reply.changes.into_iter().next().unwrap()
    };
    let narrowed = pull(team("a/"), &before.to).await;
    assert_eq!((narrowed.recovered, ids(&narrowed)), (false, vec!["a/1"]));
    let taken = pull(json!([]), &narrowed.to).await;
    assert_eq!((taken.recovered, ids(&taken)), (false, vec![]));
    let still = pull(json!([]), &taken.to).await;
    assert!(still.recovered, "told once is enough");
    let given = pull(team("b/"), &taken.to).await;
    assert_eq!((given.recovered, ids(&given)), (false, vec!["b/1"]));
}
