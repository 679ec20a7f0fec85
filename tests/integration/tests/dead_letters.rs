//! What clients were refused for good, and what operators make of it.

use std::time::Duration;

use integration_tests::{Server, Topic, client, eventually, open, values, waits};
use reqwest::{Client, Method};
use sdk_core::{
    client::CloudEvent,
    native::NativeClient,
    protocol::{Intent, Json, Outcome},
};
use serde_json::{Value, json};
use tokio::time::sleep;

/// Somebody who may do everything.
struct Operator {
    client: Client,
    url: String,
    token: String,
}

impl Operator {
    fn of(server: &Server) -> Self {
        let token = server.token("dev", "olga", 3_600);
        Self { client: Client::new(), url: server.url(), token }
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        let request = self.client.request(method, format!("{}/v1/dead{path}", self.url));
        let request = request.bearer_auth(&self.token).header("content-type", "application/json");
        let request = if body.is_null() { request } else { request.body(body.to_string()) };
        let answer = waits("an answer", request.send()).await.unwrap().text().await.unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    async fn letters(&self) -> Vec<Value> {
        self.ask(Method::GET, "", &Value::Null).await["letters"].as_array().unwrap().clone()
    }

    /// The letters, once there are so many.
    async fn has(&self, letters: usize) -> Vec<Value> {
        let look = async {
            loop {
                let there = self.letters().await;
                if there.len() == letters {
                    return there;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        waits("as many letters", look).await
    }

    async fn settle(&self, verb: &str, letter: &Value) -> Value {
        let answer = self.ask(Method::POST, &format!("/{verb}"), &json!({ "letters": [letter["id"]] })).await;
        answer["letters"][0]["state"].clone()
    }
}

async fn reconnect(client: &NativeClient) {
    client.set_network(false);
    client.set_network(true);
}

fn narrow() -> Value {
    json!([{ "collection": "cards", "prefix": "mine/" }, { "topic": "t", "may": "read" }])
}

#[tokio::test]
async fn what_an_operator_applies_of_a_clients_dead_letters_is_there_once_and_the_client_hears_of_it() {
    let server = Server::start();
    let operator = Operator::of(&server);
    let (ada, folder) = client(&server.url(), server.granted("ada", &narrow())).await;
    let edit = ada.collection("cards").unwrap().put("theirs/1", &json!({ "x": 1 })).await.unwrap();
    assert!(matches!(waits("a refusal", edit.outcome()).await.unwrap(), Outcome::Rejected(_)));
    let event = CloudEvent::new("said").data(&"hello").unwrap();
    let event = ada.topic("t").unwrap().publish(&event).await.unwrap();
    assert!(matches!(waits("a refusal", event.outcome()).await.unwrap(), Outcome::Rejected(_)));

    let letters = operator.has(2).await;
    assert_eq!((&letters[0]["collection"], &letters[0]["document"]), (&json!("cards"), &json!("theirs/1")));
    assert_eq!((&letters[1]["topic"], &letters[0]["subject"]), (&json!("t"), &json!("ada")));
    for letter in &letters {
        assert!(letter["reason"].as_str().unwrap().starts_with("forbidden"), "{letter}");
        assert_eq!(operator.settle("retry", letter).await, "applied");
        assert_eq!(operator.settle("retry", letter).await, "gone");
    }
    assert!(operator.letters().await.is_empty());
    let everything = client(&server.url(), server.tokens("olga")).await;
    values(&everything.0, "cards", "theirs/1", json!({ "x": 1 })).await;
    let page = Topic::of(&server.url(), &operator.token, "t").read("-1", false).await.unwrap();
    assert_eq!(page.events.len(), 1);

    // The client holds both until it comes back.
    assert_eq!((ada.rejected().len(), ada.unpublished().len()), (1, 1));
    reconnect(&ada).await;
    eventually("the client has heard", || ada.rejected().is_empty() && ada.unpublished().is_empty()).await;
    // What was applied is pending until the replica has got as far.
    eventually("the client has seen it", || ada.status().pending == 0).await;
    ada.close().await;
    let ada = open(&server.url(), folder.path(), server.granted("ada", &narrow())).await.unwrap();
    assert_eq!((ada.rejected().len(), ada.unpublished().len(), ada.status().pending), (0, 0, 0));
}

#[tokio::test]
async fn what_an_operator_has_applied_is_not_made_again_by_a_client_that_has_not_heard_of_it() {
    let server = Server::start();
    let operator = Operator::of(&server);
    let (ada, _folder) = client(&server.url(), server.granted("ada", &narrow())).await;
    let cards = ada.collection("cards").unwrap();
    for id in ["theirs/1", "theirs/2"] {
        let edit = cards.put(id, &json!({ "x": 1 })).await.unwrap();
        assert!(matches!(waits("a refusal", edit.outcome()).await.unwrap(), Outcome::Rejected(_)));
    }
    let letters = operator.has(2).await;
    ada.set_network(false);
    for letter in &letters {
        assert_eq!(operator.settle("retry", letter).await, "applied");
    }
    // Somebody goes on from there; the client makes the same again, and something else of the other.
    let (bob, _other) = client(&server.url(), server.tokens("bob")).await;
    for id in ["theirs/1", "theirs/2"] {
        values(&bob, "cards", id, json!({ "x": 1 })).await;
        let edit = bob.collection("cards").unwrap().update(id, &json!({ "x": 5 })).await.unwrap();
        waits("an answer", edit.outcome()).await.unwrap();
    }
    let rejected = ada.rejected();
    let same = ada.retry(rejected[0].seq).await.unwrap();
    let other = Intent::Set([("x".parse().unwrap(), Json::parse("9").unwrap())].into());
    let other = ada.edit(rejected[1].seq, vec![other]).await.unwrap();
    ada.set_network(true);
    assert_eq!(waits("an answer", same.outcome()).await.unwrap(), Outcome::Accepted {});
    assert_eq!(waits("an answer", other.outcome()).await.unwrap(), Outcome::Superseded {});
    assert_eq!((ada.status().pending, ada.status().rejected), (0, 0));
    for id in ["theirs/1", "theirs/2"] {
        values(&bob, "cards", id, json!({ "x": 5 })).await;
    }
    operator.has(0).await;
}

#[tokio::test]
async fn what_a_client_tries_again_or_drops_is_over_for_operators_too() {
    let server = Server::start();
    let operator = Operator::of(&server);
    let (ada, folder) = client(&server.url(), server.granted("ada", &narrow())).await;
    for id in ["theirs/1", "theirs/2"] {
        let edit = ada.collection("cards").unwrap().put(id, &json!({ "x": 1 })).await.unwrap();
        waits("a refusal", edit.outcome()).await.unwrap();
    }
    let event = CloudEvent::new("said").data(&"hello").unwrap();
    let event = ada.topic("t").unwrap().publish(&event).await.unwrap();
    waits("a refusal", event.outcome()).await.unwrap();
    let letters = operator.has(3).await;
    // They see it at once, over the connection that there is.
    ada.abort(ada.rejected()[0].seq).await.unwrap();
    let left = operator.has(2).await;
    assert_eq!((&left[0]["document"], &left[1]["topic"]), (&json!("theirs/2"), &json!("t")));
    assert_eq!(operator.settle("retry", &letters[0]).await, "gone");
    ada.close().await;

    // With a token that lets it.
    let ada = open(&server.url(), folder.path(), server.tokens("ada")).await.unwrap();
    ada.retry(ada.unpublished()[0].seq).await.unwrap();
    ada.retry(ada.rejected()[0].seq).await.unwrap();
    eventually("all of it is on the server", || ada.status().pending == 0).await;
    reconnect(&ada).await;
    operator.has(0).await;
    let page = Topic::of(&server.url(), &operator.token, "t").read("-1", false).await.unwrap();
    assert_eq!(page.events.len(), 1);
}
