//! Tokens that are wrong, and stores that are somebody else's.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use integration_tests::{Proxy, Server, client, eventually, open, values, waits};
use sdk_core::{
    native::{NativeClient, Tokens},
    protocol::{ErrorCode, Outcome, Retry},
    routing::LinkState,
};
use serde_json::json;

/// A token that the test can change, and how often it was asked for.
fn changeable(token: String) -> (Tokens, Arc<Mutex<String>>, Arc<AtomicUsize>) {
    let (current, asked) = (Arc::new(Mutex::new(token)), Arc::new(AtomicUsize::new(0)));
    let tokens = {
        let (current, asked) = (Arc::clone(&current), Arc::clone(&asked));
        Tokens::from_fn(move || {
            asked.fetch_add(1, Ordering::Relaxed);
            let token = current.lock().unwrap().clone();
            async { Ok::<_, String>(token) }
        })
    };
    (tokens, current, asked)
}

#[tokio::test]
async fn a_bad_token_is_told_and_a_good_one_sends_what_waited() {
    let server = Server::start();
    let stranger = Server::start();
    // Well made, but signed by somebody else.
    let (tokens, current, _) = changeable(stranger.token("dev", "ada", 3_600));
    let (ada, _folder) = client(&server.url(), tokens).await;
    let operation = ada.collection("cards").unwrap().put("a", &json!({ "n": 1 })).await.unwrap();
    assert!(operation.is_durable());
    let problem = || ada.status().problem.map(|problem| problem.code);
    eventually("the problem is told", || problem() == Some(ErrorCode::Unauthenticated)).await;
    assert_eq!(ada.status().pending, 1);
    assert_eq!(ada.status().link, LinkState::Down, "nothing gets through");

    *current.lock().unwrap() = server.token("dev", "ada", 3_600);
    assert_eq!(waits("the edit arrives", operation.outcome()).await, Ok(Outcome::Accepted {}));
    eventually("the problem is over", || problem().is_none()).await;
}

#[tokio::test]
async fn an_expired_token_is_replaced_by_asking_again() {
    let server = Server::start();
    let (tokens, current, asked) = changeable(server.token("dev", "ada", 0));
    let (ada, _folder) = client(&server.url(), tokens).await;
    let operation = ada.collection("cards").unwrap().put("a", &json!({ "n": 1 })).await.unwrap();
    eventually("the problem is told", || {
        ada.status().problem.is_some_and(|problem| problem.code.retry() == Retry::Reauthenticate)
    })
    .await;
    assert_eq!(ada.status().pending, 1);
    let before = asked.load(Ordering::Relaxed);
    *current.lock().unwrap() = server.token("dev", "ada", 3_600);
    assert_eq!(waits("the edit arrives", operation.outcome()).await, Ok(Outcome::Accepted {}));
    assert!(asked.load(Ordering::Relaxed) > before, "the application was asked again");
}

#[tokio::test]
async fn a_program_without_a_token_goes_on_offline() {
    let server = Server::start();
    let tokens = Tokens::from_fn(|| async { Err("not logged in") });
    let (ada, _folder) = client(&server.url(), tokens).await;
    ada.collection("cards").unwrap().put("a", &json!({ "n": 1 })).await.unwrap();
    eventually("the reason is told", || {
        ada.status().problem.is_some_and(|problem| problem.message.contains("not logged in"))
    })
    .await;
    assert_eq!((ada.status().pending, ada.status().link), (1, LinkState::Down));
}

#[tokio::test]
async fn a_store_is_not_sent_under_another_name() {
    let mut server = Server::start();
    let (ada, folder) = client(&server.url(), server.tokens("ada")).await;
    let first = ada.collection("cards").unwrap().put("a", &json!({ "by": "ada" })).await.unwrap();
    assert_eq!(waits("an outcome", first.outcome()).await, Ok(Outcome::Accepted {}));
    let id = ada.id();
    ada.set_network(false);
    ada.collection("cards").unwrap().put("b", &json!({ "by": "ada" })).await.unwrap();
    ada.close().await;

    for (tenant, subject) in [("dev", "ben"), ("other", "ada")] {
        let tokens = Tokens::fixed(server.token(tenant, subject, 3_600));
        let stranger = open(&server.url(), folder.path(), tokens).await.unwrap();
        eventually("the mismatch is told", || stranger.status().problem.is_some()).await;
        assert_eq!(stranger.status().pending, 1, "{tenant}/{subject}: nothing is sent, nothing is lost");
        stranger.close().await;
    }
    assert_eq!(server.ledger().judgements(id).len(), 1);

    let ada = open(&server.url(), folder.path(), server.tokens("ada")).await.unwrap();
    eventually("the owner's edit arrives", || ada.status().pending == 0).await;
    ada.close().await;
    server.kill();
    assert_eq!(server.ledger().judgements(id).len(), 2);
}

#[tokio::test]
async fn a_cloned_profile_loses_nothing_and_does_nothing_twice() {
    let mut server = Server::start();
    let (ada, folder) = client(&server.url(), server.tokens("ada")).await;
    ada.set_network(false);
    let write = async |client: &NativeClient, id: &str| {
        client.collection("cards").unwrap().put(id, &json!({ "id": id })).await.unwrap();
    };
    write(&ada, "both").await;
    ada.close().await;
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let former = open(&server.url(), folder.path(), server.tokens("ada")).await.unwrap();
    let clone = open(&server.url(), copy.path(), server.tokens("ada")).await.unwrap();
    assert_eq!(former.id(), clone.id());
    clone.set_network(false);
    write(&former, "one").await;
    write(&clone, "other").await;
    eventually("the one copy is done", || former.status().pending == 0).await;
    clone.set_network(true);
    eventually("the other copy is done", || clone.status().pending == 0).await;
    assert_ne!(former.id(), clone.id());
    assert_eq!((former.status().rejected, clone.status().rejected), (0, 0));
    former.close().await;
    clone.close().await;
    server.kill();
    let ledger = server.ledger();
    for id in ["both", "one", "other"] {
        assert!(ledger.document("cards", id).is_some_and(|document| document.is_alive()), "{id}");
    }
    assert_eq!(ledger.offsets("cards").len(), 3, "each once");
}

#[tokio::test]
async fn a_session_goes_on_by_a_new_token_without_reconnecting() {
    let server = Server::start();
    let proxy = Proxy::before(server.port()).await;
    // Of a life of 16 seconds another token is asked for after 12.
    let access = json!([{ "collection": "cards", "prefix": "mine/" }]).to_string();
    let narrow = server.run(&["token", "--subject", "ada", "--ttl", "16", "--access", &access]);
    let (tokens, current, asked) = changeable(narrow);
    let (bob, _bobs) = client(&server.url(), Tokens::fixed(server.token("dev", "bob", 3_600))).await;
    let put = bob.collection("cards").unwrap().put("others/1", &json!({ "n": 1 })).await.unwrap();
    assert_eq!(waits("the edit arrives", put.outcome()).await, Ok(Outcome::Accepted {}));
    let (ada, _adas) = client(&proxy.url(), tokens).await;
    let mine = ada.collection("cards").unwrap().put("mine/1", &json!({ "n": 1 })).await.unwrap();
    assert_eq!(waits("the edit arrives", mine.outcome()).await, Ok(Outcome::Accepted {}));
    let (first, upgrades) = (asked.load(Ordering::Relaxed), proxy.upgrades());

    *current.lock().unwrap() = server.token("dev", "ada", 3_600);
    values(&ada, "cards", "others/1", json!({ "n": 1 })).await;
    assert!(asked.load(Ordering::Relaxed) > first, "the application was asked");
    let other = ada.collection("cards").unwrap().put("others/1", &json!({ "n": 2 })).await.unwrap();
    assert_eq!(waits("it may write what it covers", other.outcome()).await, Ok(Outcome::Accepted {}));
    assert_eq!((upgrades, proxy.upgrades()), (1, 1), "it is the same session");
}
