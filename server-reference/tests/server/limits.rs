//! How much an address, a user and a tenant may do, whichever way they come.

use std::net::SocketAddr;

use reqwest::{Client, Method, Response, StatusCode};
use sdk_core::protocol::{ClientFrame, ErrorCode, Hello, ServerFrame};
use serde_json::Value;
use server_reference::{
    config::ServerConfig,
    limits::{Proxies, Quota, Quotas, Rates},
};
use tokio_tungstenite::tungstenite::{Error, http::Request};

use crate::{
    metrics::Scrape,
    support::{Running, Socket, cards, client},
    tenants::ROUTES,
};

/// Whoever has spent it has it again after ten minutes: longer than any test.
const LITTLE: Rates = Rates { messages: 1, bytes: 4, burst: 600 };
/// More than all that comes at once, in bytes.
const MUCH: usize = 5_000;

/// A server that believes whatever this machine says of who it speaks for.
async fn start(change: impl FnOnce(&mut Quotas)) -> Running {
    let proxies: Proxies = vec!["127.0.0.0/8".parse().unwrap()].into();
    let mut quotas = Quotas { proxies, ..Quotas::DEFAULT };
    change(&mut quotas);
    let metrics = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    Running::start_with(|config| ServerConfig { quotas, metrics, ..config }).await
}

async fn ask(server: &Running, from: &str, token: &str, method: &str, path: &str, body: String) -> Response {
    let request = Client::new().request(Method::from_bytes(method.as_bytes()).unwrap(), server.http(path));
    let request = request.bearer_auth(token).header("x-forwarded-for", from);
    let request = request.header("content-type", "application/json").header("origin", "http://localhost");
    request.body(body).send().await.unwrap()
}

async fn pull(server: &Running, from: &str, token: &str) -> StatusCode {
    let body = format!(r#"{{"client":"{}","collections":[]}}"#, client(9));
    ask(server, from, token, "POST", "/v1/pull", body).await.status()
}

/// The seconds that an answer says are to be waited.
fn told_to_wait(answer: &Response) -> u64 {
    answer.headers()["retry-after"].to_str().unwrap().parse().unwrap()
}

fn request_from(server: &Running, from: &str) -> Request<()> {
    let mut request = server.request();
    request.headers_mut().insert("x-forwarded-for", from.parse().unwrap());
    request
}

fn hello(server: &Running, tenant: &str, subject: &str, number: u8) -> ClientFrame {
    let token = server.token(tenant, subject);
    let (versions, client) = (vec![1], client(number));
    ClientFrame::Hello(Hello { versions, token, client, resume: vec![cards(None)], rejected: None })
}

#[tokio::test]
async fn an_address_that_tries_many_tokens_is_refused_on_every_route_and_no_other_is() {
    let server = start(|quotas| (quotas.refused_token, quotas.address.rates) = (1_000, LITTLE)).await;
    let token = server.token("acme", "ada");
    assert_eq!(pull(&server, "192.0.2.1", &token).await, StatusCode::OK);
    assert_eq!(pull(&server, "192.0.2.1", "nonsense").await, StatusCode::UNAUTHORIZED);
    for (route, requests) in ROUTES {
        for (method, path, body) in *requests {
            let answer = ask(&server, "192.0.2.1", &token, method, path, (*body).to_owned()).await;
            if ["/healthz", "/readyz", "/metrics"].contains(route) {
                assert_ne!(answer.status(), StatusCode::TOO_MANY_REQUESTS, "{route}");
                continue;
            }
            assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS, "{method} {route}");
            assert!((2..=601).contains(&told_to_wait(&answer)), "{:?}", answer.headers());
            assert_eq!(answer.headers()["access-control-allow-origin"], "http://localhost");
            if *method != "HEAD" {
                assert_eq!(answer.headers()["content-type"], "application/problem+json");
                let problem: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
                assert_eq!(problem["code"], "rate_limited", "{route}");
            }
        }
    }
    assert_eq!(pull(&server, "192.0.2.2", &token).await, StatusCode::OK);
    let refused = Socket::connect(request_from(&server, "192.0.2.1")).await.map_err(|error| *error);
    assert!(matches!(refused, Err(Error::Http(answer)) if answer.status() == 429));
    let scrape = Scrape::of(&server).await;
    let refused = "webwaka_limits_reached_total{answer=\"refused\",limit=\"address\",unit=\"messages\"}";
    assert!(scrape.value(refused) > 30.0);
}

#[tokio::test]
async fn a_token_that_has_only_run_out_costs_no_more_than_another_request() {
    let server = start(|quotas| quotas.refused_token = 10_000_000).await;
    let now = server_reference::clock::wall();
    let expired = server.issuer.mint("acme", "ada", 1, sdk_core::clock::Millis(now.0 - 60_000)).unwrap();
    assert_eq!(pull(&server, "192.0.2.1", &expired).await, StatusCode::UNAUTHORIZED);
    assert_eq!(pull(&server, "192.0.2.1", &server.token("acme", "ada")).await, StatusCode::OK);
}

#[tokio::test]
async fn tokens_tried_over_a_websocket_and_as_tickets_cost_the_same() {
    let server = start(|quotas| (quotas.refused_token, quotas.address.rates) = (1_000, LITTLE)).await;
    let token = server.token("acme", "ada");
    let mut socket = Socket::connect(request_from(&server, "192.0.2.1")).await.unwrap();
    let (versions, client) = (vec![1], client(1));
    let hello = Hello { versions, token: "nonsense".into(), client, resume: Vec::new(), rejected: None };
    socket.send(&ClientFrame::Hello(hello)).await;
    assert!(
        matches!(socket.next().await, Some(ServerFrame::Error(error)) if error.code == ErrorCode::Unauthenticated)
    );
    assert_eq!(pull(&server, "192.0.2.1", &token).await, StatusCode::TOO_MANY_REQUESTS);

    let path = "/v1/streams/news?offset=-1&live=sse&ticket=00000000000000000000000000000000";
    let answer = ask(&server, "192.0.2.2", &token, "GET", path, String::new()).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(pull(&server, "192.0.2.2", &token).await, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn bytes_over_http_count_for_the_user_whatever_the_address_and_for_nobody_else() {
    let server = start(|quotas| quotas.user.rates = LITTLE).await;
    let (ada, bob) = (server.token("acme", "ada"), server.token("acme", "bob"));
    let much = "x".repeat(MUCH);
    let answer = ask(&server, "192.0.2.1", &ada, "POST", "/v1/pull", much).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "it was read before it was counted");
    let answer = ask(&server, "192.0.2.2", &ada, "POST", "/v1/tickets", String::new()).await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!((2..=601).contains(&told_to_wait(&answer)));
    assert_eq!(pull(&server, "192.0.2.1", &bob).await, StatusCode::OK);
    assert_eq!(pull(&server, "192.0.2.1", &server.token("other", "ada")).await, StatusCode::OK);
    // Over a WebSocket it is the same user.
    let mut socket = Socket::connect(request_from(&server, "192.0.2.3")).await.unwrap();
    socket.send(&hello(&server, "acme", "ada", 1)).await;
    let Some(ServerFrame::Error(error)) = socket.next().await else { panic!() };
    assert_eq!(error.code, ErrorCode::RateLimited);
    assert!(error.retry_after.is_some_and(|wait| wait > 1_000));
}

#[tokio::test]
async fn a_tenant_at_its_limit_never_slows_another() {
    let server = start(|quotas| quotas.tenant = Quota { rates: LITTLE, connections: 1 }).await;
    let ada = server.token("acme", "ada");
    ask(&server, "192.0.2.1", &ada, "POST", "/v1/pull", "x".repeat(MUCH)).await;
    assert_eq!(pull(&server, "192.0.2.2", &server.token("acme", "bob")).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(pull(&server, "192.0.2.1", &server.token("other", "ada")).await, StatusCode::OK);
    let mut socket = Socket::connect(request_from(&server, "192.0.2.1")).await.unwrap();
    socket.send(&hello(&server, "other", "ada", 1)).await;
    assert!(matches!(socket.next().await, Some(ServerFrame::Welcome(_))));
}

#[tokio::test]
async fn sockets_and_readers_that_wait_are_connections_of_their_user_and_their_address() {
    let server = start(|quotas| {
        quotas.user.connections = 2;
        quotas.address.connections = 3;
    })
    .await;
    let (ada, bob) = (server.token("acme", "ada"), server.token("acme", "bob"));
    assert_eq!(
        ask(&server, "192.0.2.1", &ada, "PUT", "/v1/streams/news", "[]".into()).await.status(),
        StatusCode::CREATED
    );
    let wait = "/v1/streams/news?offset=-1&live=sse";
    let waiting = ask(&server, "192.0.2.1", &ada, "GET", wait, String::new()).await;
    assert_eq!(waiting.status(), StatusCode::OK);
    let mut socket = Socket::connect(request_from(&server, "192.0.2.1")).await.unwrap();
    socket.send(&hello(&server, "acme", "ada", 1)).await;
    assert!(matches!(socket.next().await, Some(ServerFrame::Welcome(_))));
    for wait in [wait, "/v1/streams/news?offset=-1&live=long-poll"] {
        let third = ask(&server, "192.0.2.2", &ada, "GET", wait, String::new()).await;
        assert_eq!((third.status(), told_to_wait(&third)), (StatusCode::TOO_MANY_REQUESTS, 5));
    }
    let claim = r#"{"worker":"w","wait_ms":1000}"#.to_owned();
    let third = ask(&server, "192.0.2.2", &ada, "POST", "/v1/groups/g/claim", claim).await;
    assert_eq!(third.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(pull(&server, "192.0.2.1", &ada).await, StatusCode::OK, "what does not wait is none");

    let other = ask(&server, "192.0.2.1", &bob, "GET", wait, String::new()).await;
    assert_eq!(other.status(), StatusCode::OK);
    let fourth = Socket::connect(request_from(&server, "192.0.2.1")).await.map_err(|error| *error);
    assert!(matches!(fourth, Err(Error::Http(answer)) if answer.status() == 429));
    drop(socket);
    loop {
        let again = ask(&server, "192.0.2.1", &ada, "GET", wait, String::new()).await;
        if again.status() == StatusCode::OK {
            break;
        }
        assert_eq!(again.status(), StatusCode::TOO_MANY_REQUESTS);
    }
}

#[tokio::test]
async fn who_says_nothing_takes_the_turns_of_their_own_address_only() {
    let server = start(|quotas| quotas.greetings = 1).await;
    let mut silent = Socket::connect(request_from(&server, "192.0.2.1")).await.unwrap();
    let waits = tokio::spawn(Socket::connect(request_from(&server, "192.0.2.1")));
    let mut other = Socket::connect(request_from(&server, "192.0.2.2")).await.unwrap();
    other.send(&hello(&server, "acme", "bob", 2)).await;
    assert!(matches!(other.next().await, Some(ServerFrame::Welcome(_))));
    assert!(!waits.is_finished());
    silent.send(&hello(&server, "acme", "ada", 1)).await;
    assert!(matches!(silent.next().await, Some(ServerFrame::Welcome(_))));
    waits.await.unwrap().expect("its turn has come");
}

#[tokio::test]
async fn who_is_no_proxy_speaks_for_itself_alone() {
    let server = start(|quotas| {
        quotas.proxies = Proxies::default();
        (quotas.refused_token, quotas.address.rates) = (1_000, LITTLE);
    })
    .await;
    assert_eq!(pull(&server, "192.0.2.1", "nonsense").await, StatusCode::UNAUTHORIZED);
    let elsewhere = pull(&server, "192.0.2.2", &server.token("acme", "ada")).await;
    assert_eq!(elsewhere, StatusCode::TOO_MANY_REQUESTS);
}
