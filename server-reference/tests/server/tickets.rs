//! A token changed for a ticket, which stands in an address.

use reqwest::{Client, StatusCode};
use sdk_core::protocol::{ClientFrame, ErrorCode, Hello, SUBPROTOCOL, ServerFrame};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Error, client::IntoClientRequest};

use crate::support::{Running, Socket, cards, client};

async fn ticket(server: &Running, token: &str) -> Result<String, (StatusCode, Value)> {
    let answer = Client::new().post(server.http("/v1/tickets")).bearer_auth(token).send().await.unwrap();
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let status = answer.status();
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    if status != StatusCode::OK {
        return Err((status, body));
    }
    assert!(body["expiresIn"].as_u64().unwrap() <= 30_000);
    Ok(body["ticket"].as_str().unwrap().to_owned())
}

async fn upgrade(server: &Running, ticket: &str) -> Result<Socket, Box<Error>> {
    let address = format!("ws://{}/v1/realtime?ticket={ticket}", server.address);
    let mut request = address.into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
    Socket::connect(request).await
}

fn hello(token: &str) -> ClientFrame {
    let (versions, token, client) = (vec![1], token.to_owned(), client(1));
    ClientFrame::Hello(Hello { versions, token, client, resume: vec![cards(None)], rejected: None })
}

fn refused(result: Result<Socket, Box<Error>>) -> u16 {
    match result.map_err(|error| *error) {
        Err(Error::Http(answer)) => answer.status().as_u16(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was let in"),
    }
}

#[tokio::test]
async fn a_ticket_opens_one_websocket_whose_hello_needs_no_token() {
    let server = Running::start().await;
    let token = server.token("acme", "ada");
    let ticket = ticket(&server, &token).await.unwrap();
    let mut socket = upgrade(&server, &ticket).await.unwrap();
    socket.send(&hello("")).await;
    let Some(ServerFrame::Welcome(welcome)) = socket.next().await else { panic!() };
    assert_eq!((&*welcome.identity.tenant, &*welcome.identity.subject), ("acme", "ada"));
    for used in [&*ticket, "", "00000000000000000000000000000000", "%00"] {
        assert_eq!(refused(upgrade(&server, used).await), 401, "{used}");
    }
    // Without a ticket a hello needs a token, and a ticket makes no bad token good.
    let mut bare = server.socket().await;
    bare.send(&hello("")).await;
    assert!(
        matches!(bare.next().await, Some(ServerFrame::Error(error)) if error.code == ErrorCode::Unauthenticated)
    );
    let another = self::ticket(&server, &token).await.unwrap();
    let mut socket = upgrade(&server, &another).await.unwrap();
    socket.send(&hello("nonsense")).await;
    assert!(
        matches!(socket.next().await, Some(ServerFrame::Error(error)) if error.code == ErrorCode::Unauthenticated)
    );
}

#[tokio::test]
async fn a_ticket_opens_one_stream_of_events_and_covers_what_its_token_does() {
    let server = Running::start().await;
    let token = server.token("acme", "ada");
    for topic in ["mine", "others"] {
        let make = Client::new().put(server.http(&format!("/v1/streams/{topic}"))).bearer_auth(&token);
        assert!(make.header("content-type", "application/json").send().await.unwrap().status().is_success());
    }
    let narrow = server.granted("acme", "eve", json!([{ "topic": "mine", "may": "read" }]));
    let read = async |topic: &str, live: &str, ticket: &str| {
        let path = format!("/v1/streams/{topic}?offset=-1&live={live}&ticket={ticket}");
        Client::new().get(server.http(&path)).send().await.unwrap()
    };
    let first = ticket(&server, &narrow).await.unwrap();
    let mut events = read("mine", "sse", &first).await;
    assert_eq!(
        (events.status(), &events.headers()["content-type"] == "text/event-stream"),
        (StatusCode::OK, true)
    );
    assert!(events.chunk().await.unwrap().is_some());
    assert_eq!(read("mine", "sse", &first).await.status(), StatusCode::UNAUTHORIZED);
    let second = ticket(&server, &narrow).await.unwrap();
    assert_eq!(read("others", "sse", &second).await.status(), StatusCode::NOT_FOUND);
    // What can set a header has a token.
    let third = ticket(&server, &narrow).await.unwrap();
    assert_eq!(read("mine", "long-poll", &third).await.status(), StatusCode::UNAUTHORIZED);
    let plain = Client::new().get(server.http(&format!("/v1/streams/mine?ticket={third}")));
    assert_eq!(plain.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let ask = Client::new().post(server.http(&format!("/v1/tickets?ticket={third}")));
    assert_eq!(ask.send().await.unwrap().status(), StatusCode::UNAUTHORIZED, "no ticket makes another");
}

#[tokio::test]
async fn tickets_of_a_subject_are_capped() {
    let server = Running::start().await;
    let (ada, bob) = (server.token("acme", "ada"), server.token("acme", "bob"));
    for _ in 0..16 {
        ticket(&server, &ada).await.unwrap();
    }
    let (status, problem) = ticket(&server, &ada).await.unwrap_err();
    assert_eq!((status, &problem["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!("rate_limited")));
    assert!(ticket(&server, &bob).await.is_ok());
}

#[tokio::test]
async fn a_ticket_is_no_better_than_its_token_when_that_is_taken_back() {
    let server = Running::start().await;
    let ticket = ticket(&server, &server.token("acme", "ada")).await.unwrap();
    let admin = server.granted("acme", "root", json!([{ "subject": "*", "may": "admin" }]));
    // It was issued in this second, and is so before the next.
    let before = server_reference::clock::wall().0 + 1_000;
    while server_reference::clock::wall().0 < before {
        tokio::task::yield_now().await;
    }
    let revoke = Client::new().post(server.http("/v1/admin/revocations")).bearer_auth(&admin);
    assert!(revoke.body(r#"{"subject":"ada"}"#).send().await.unwrap().status().is_success());
    assert_eq!(refused(upgrade(&server, &ticket).await), 401);
}
