//! Who is here now, and what they say to each other, over real networks.

use integration_tests::{Proxy, Server, Weather, client, waits};
use sdk_core::{
    client::{SendError, Show},
    protocol::Start,
};
use serde_json::{Value, json};

/// Users and states of whoever is seen.
fn seen(show: &Show) -> Vec<(String, Value)> {
    let row = |person: &sdk_core::presence::Person| {
        (person.user.clone(), serde_json::from_str(person.state.as_str()).unwrap())
    };
    show.people.iter().map(row).collect()
}

/// Waits until a room shows this.
macro_rules! shows {
    ($room:expr, $people:expr) => {
        let people: Vec<(String, Value)> = $people.into();
        waits("people", async {
            while !$room.people().is_ok_and(|show| show.loaded && seen(&show) == people) {
                $room.changed().await.unwrap();
            }
        })
        .await;
    };
}

#[tokio::test]
async fn people_see_each_other_come_move_and_go() {
    let server = Server::start();
    let (ada, _a) = client(&server.url(), server.tokens("ada")).await;
    let (bob, _b) = client(&server.url(), server.tokens("bob")).await;
    let (mut hers, mut his) = (ada.room("board-7").unwrap(), bob.room("board-7").unwrap());
    hers.show(&json!({ "x": 1 })).unwrap();
    shows!(his, [("ada".into(), json!({ "x": 1 }))]);
    for x in 0..100 {
        his.show(&json!({ "x": x })).unwrap();
    }
    shows!(hers, [("ada".into(), json!({ "x": 1 })), ("bob".into(), json!({ "x": 99 }))]);
    drop(his);
    shows!(hers, [("ada".into(), json!({ "x": 1 }))]);
}

#[tokio::test]
async fn where_the_network_drops_somebody_the_others_see_it_and_both_come_back() {
    let mut server = Server::start();
    let proxy = Proxy::before(server.port()).await;
    let (ada, _a) = client(&server.url(), server.tokens("ada")).await;
    let (bob, _b) = client(&proxy.url(), server.tokens("bob")).await;
    let (mut hers, mut his) = (ada.room("board-7").unwrap(), bob.room("board-7").unwrap());
    his.show(&json!(1)).unwrap();
    shows!(hers, [("bob".into(), json!(1))]);
    proxy.set(Weather::Cut);
    shows!(hers, []);
    his.show(&json!(2)).unwrap();
    proxy.set(Weather::Fair);
    shows!(hers, [("bob".into(), json!(2))]);
    server.restart();
    shows!(hers, [("bob".into(), json!(2))]);
    shows!(his, [("bob".into(), json!(2))]);
}

#[tokio::test]
async fn what_is_said_reaches_who_is_there_and_what_was_published_whoever_comes() {
    let server = Server::start();
    let (ada, _a) = client(&server.url(), server.tokens("ada")).await;
    let (bob, _b) = client(&server.url(), server.tokens("bob")).await;
    let (hers, mut his) = (ada.room("board-7").unwrap(), bob.room("board-7").unwrap());
    let (mut said, mut direct) = (his.messages(), bob.messages());
    his.show(&json!(1)).unwrap();
    shows!(his, [("bob".into(), json!(1))]);
    waits("an answer", async {
        while !matches!(hers.send(&"hi").await, Ok(1)) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let message = waits("a message", said.next()).await.unwrap();
    assert_eq!((message.from.as_str(), message.read::<String>().unwrap()), ("ada", "hi".into()));
    assert_eq!(ada.user("bob").send(&"you").await.unwrap(), 1);
    assert_eq!(waits("a message", direct.next()).await.unwrap().read::<String>().unwrap(), "you");
    assert_eq!(ada.user("nobody").send(&1).await.unwrap(), 0);
    assert!(matches!(ada.user("bob").send(&"x".repeat(20_000)).await, Err(SendError::TooLarge { .. })));

    let letter = sdk_core::client::CloudEvent::new("note").data(&json!({ "text": "later" })).unwrap();
    let published = ada.user("eve").inbox().unwrap().publish(&letter).await.unwrap();
    waits("an outcome", published.outcome()).await.unwrap();
    let (eve, _e) = client(&server.url(), server.tokens("eve")).await;
    let mut inbox = eve.user("eve").inbox().unwrap().subscribe(Start::Earliest {});
    let event = waits("an event", futures::StreamExt::next(&mut inbox)).await.unwrap().unwrap();
    let sdk_core::client::Delivery::Event(event) = event else { panic!("{event:?}") };
    assert_eq!(event.read::<Value>().unwrap()["data"]["text"], "later");
    let mut others = bob.user("eve").inbox().unwrap().subscribe(Start::Earliest {});
    assert!(waits("an end", futures::StreamExt::next(&mut others)).await.unwrap().is_err());
}

#[tokio::test]
async fn without_a_link_nothing_is_seen_or_said_and_all_else_goes_on() {
    let server = Server::start();
    let (ada, _a) = client(&server.url(), server.tokens("ada")).await;
    ada.set_network(false);
    let room = ada.room("board-7").unwrap();
    room.show(&json!(1)).unwrap();
    assert!(matches!(room.send(&1).await, Err(SendError::Unsent(why)) if why.code == "not_connected"));
    assert!(!room.people().unwrap().loaded);
    ada.collection("cards").unwrap().put("a", &json!({ "n": 1 })).await.unwrap();
    assert_eq!(ada.status().pending, 1);
}
