//! A conflict over real sockets: told, resolved by the client, or by the application's function on the server.

use sdk_core::{
    protocol::{
        Author, ClientFrame, Collision, DocKey, Hello, Json, Judgement, Operation, Outcome, ResolvedBy,
        Resume, ServerFrame, Strategy,
    },
    reconcile::{Conflict, Resolution},
};
use server_reference::{config::ServerConfig, resolvers::Resolvers};

use crate::support::{Running, Socket, cards, client, push, set};

/// A session of somebody who follows `letters`, a collection whose collisions are conflicts.
async fn session(server: &Running, subject: &str, number: u8) -> Socket {
    let letters = Resume { collection: "letters".parse().unwrap(), strategy: Strategy::Merge, ..cards(None) };
    let token = server.token("acme", subject);
    let mut socket = server.socket().await;
    let hello =
        Hello { versions: vec![1], token, client: client(number), resume: vec![letters], rejected: None };
    socket.send(&ClientFrame::Hello(hello)).await;
    assert!(matches!(socket.next().await, Some(ServerFrame::Welcome(_))));
    socket
}

fn letter(seq: u64, json: &str) -> Operation {
    Operation { doc: DocKey::new("letters", "one").unwrap(), ..set(seq, "one", "text", json) }
}

async fn judged(socket: &mut Socket, operation: Operation) -> Judgement {
    socket.send(&push(vec![operation])).await;
    let Some(ServerFrame::Outcomes(mut outcomes)) = socket.next_answer().await else { panic!() };
    outcomes.judgements.remove(0)
}

/// The document as the next changes tell it that are not empty.
async fn told(socket: &mut Socket) -> sdk_core::protocol::Changes {
    loop {
        if let Some(ServerFrame::Changes(changes)) = socket.next().await
            && !changes.documents.is_empty()
        {
            return changes;
        }
    }
}

fn text(changes: &sdk_core::protocol::Changes) -> Json {
    changes.documents[0].doc.values().next().unwrap().1
}

#[tokio::test]
async fn a_conflict_is_told_resolved_under_its_seq_and_reaches_everyone() {
    let server = Running::start().await;
    let (mut ada, mut ben) = (session(&server, "ada", 1).await, session(&server, "ben", 2).await);
    assert_eq!(judged(&mut ada, letter(1, "\"ada\"")).await.outcome, Outcome::Accepted {});

    let mine = letter(1, "\"ben\"");
    let Outcome::Conflicted(Collision { fields, theirs }) = judged(&mut ben, mine.clone()).await.outcome
    else {
        panic!("it collides")
    };
    assert_eq!(fields, ["text".parse().unwrap()]);
    assert!(matches!(theirs, Some(Author { subject, .. }) if subject == "ada"));

    let changes = {
        let mut reader = session(&server, "ben", 3).await;
        told(&mut reader).await
    };
    let conflict =
        Conflict { doc: mine.doc.clone(), fields, base: None, mine: None, theirs: None, author: None };
    let document = &changes.documents[0].doc;
    let resolved = Resolution::TakeMine
        .settle(ResolvedBy::Person, &conflict, &mine, document, changes.to.clone())
        .unwrap();
    assert_eq!(judged(&mut ben, resolved).await.outcome, Outcome::Accepted {});
    while text(&told(&mut ada).await).as_str() != "\"ben\"" {}
}

#[tokio::test]
async fn a_resolver_of_the_application_merges_on_the_server() {
    let longest = |conflict: &Conflict| {
        let (mine, theirs) = (conflict.mine.clone(), conflict.theirs.clone());
        let length =
            |side: &Option<_>| side.as_ref().map_or(0, |fields| sdk_core::wire::encode(fields).len());
        if length(&mine) > length(&theirs) { Resolution::TakeMine } else { Resolution::TakeTheirs }
    };
    let resolvers = Resolvers::default().with("letters".parse().unwrap(), longest);
    let server = Running::start_with(|config| ServerConfig { resolvers, ..config }).await;
    let (mut ada, mut ben) = (session(&server, "ada", 1).await, session(&server, "ben", 2).await);
    judged(&mut ada, letter(1, "\"medium\"")).await;
    assert_eq!(judged(&mut ben, letter(1, "\"short\"")).await.outcome, Outcome::Superseded {});
    assert_eq!(judged(&mut ada, letter(2, "\"long indeed\"")).await.outcome, Outcome::Accepted {});
    assert_eq!(judged(&mut ben, letter(2, "\"the very longest\"")).await.outcome, Outcome::Accepted {});
    let mut reader = session(&server, "ada", 3).await;
    assert_eq!(text(&told(&mut reader).await).as_str(), "\"the very longest\"");
}
