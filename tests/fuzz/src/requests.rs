//! The server's routes: addresses, headers and bodies that no client of ours would send.

use std::{
    net::{Ipv4Addr, SocketAddr},
    panic::AssertUnwindSafe,
    sync::Arc,
};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Method, Request, StatusCode, header},
};
use bolero::check;
use http_body_util::BodyExt;
use server_reference::{
    clock::wall,
    config::ServerConfig,
    dev::DevIssuer,
    hub::Hub,
    metrics::Metrics,
    resolvers::Resolvers,
    server::router,
    service::{Service, Stores},
    snapshot::{Snapshots, store::SnapshotStore},
    storage::sqlite::{
        SqliteStore,
        events::{Caps, EventStore},
        transactions::TransactionStore,
    },
    streams::subscriptions::{Keys, Subscriptions},
};
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

const METHODS: [Method; 6] =
    [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD, Method::OPTIONS];

/// The headers that a route reads, by number.
const HEADERS: [&str; 18] = [
    "idempotency-key",
    "content-type",
    "stream-closed",
    "stream-ttl",
    "stream-expires-at",
    "stream-seq",
    "stream-forked-from",
    "stream-fork-offset",
    "producer-id",
    "producer-epoch",
    "producer-seq",
    "if-none-match",
    "if-match",
    "origin",
    "accept-encoding",
    "range",
    "traceparent",
    "x-forwarded-for",
];

/// A server in memory, but for what has to be a file.
fn service(folder: &std::path::Path, issuer: &DevIssuer) -> Service {
    let file = |name: &str| folder.join(name);
    let epoch = || sdk_core::protocol::Epoch::new("epoch").expect("it is a name");
    let limits = sdk_core::protocol::Limits::default();
    let documents = SqliteStore::open(
        &file("documents.db"),
        limits,
        Box::new(epoch),
        Resolvers::default(),
        Box::new(|_| {}),
    );
    let documents = Arc::new(documents.expect("a new database opens"));
    let events = EventStore::open(&file("events.db"), Caps::default(), Box::new(|| 7), Box::new(|_| {}));
    let events = Arc::new(events.expect("a new database opens"));
    let transactions = TransactionStore::open(&file("transactions.db"), Default::default(), Box::new(|| ()));
    let keys = Keys::load_or_create(&file("key")).expect("a key can be made");
    let subscriptions = Subscriptions::new(
        events.clone(),
        events.clone(),
        keys,
        true,
        String::new(),
        Arc::default(),
        Arc::default(),
    );
    let salt = || "salt".to_owned();
    let snapshots = SnapshotStore::in_memory(Box::new(salt)).expect("a database in memory opens");
    let stores = Stores {
        documents: documents.clone(),
        snapshots: Snapshots::new(documents.clone(), snapshots),
        hub: Arc::new(Hub::default()),
        events: events.clone(),
        news: Arc::new(Hub::default()),
        groups: events.clone(),
        letters: events,
        client_letters: documents.clone(),
        grants: documents.clone(),
        attempts: documents.clone(),
        revocations: documents,
        subscriptions: Arc::new(subscriptions.expect("TLS is there")),
        transactions: Arc::new(transactions.expect("a new database opens")),
        figures: Arc::default(),
        metrics: Arc::new(Metrics::new().expect("each number has a name of its own")),
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let mut config = ServerConfig::development(address, folder.to_owned()).expect("loopback is local");
    config.identity = issuer.clone().into();
    Service::new(stores, config, address, CancellationToken::new())
}

/// The first line is the method's number and the address, those up to an empty one are numbers and values of headers.
fn request(text: &str, token: &str) -> Option<Request<Body>> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.split('\n');
    let (method, address) = lines.next()?.split_at_checked(1)?;
    let method = METHODS[usize::from(method.as_bytes()[0]) % METHODS.len()].clone();
    let mut request = Request::builder().method(method).uri(address);
    for line in lines.take(32) {
        let (number, value) = line.split_at_checked(1)?;
        let name = HEADERS[usize::from(number.as_bytes()[0]) % HEADERS.len()];
        request = request.header(HeaderName::from_static(name), HeaderValue::from_str(value).ok()?);
    }
    request.header(header::AUTHORIZATION, format!("Bearer {token}")).body(Body::from(body.to_owned())).ok()
}

/// Whatever is asked, the server is not at fault, and says in a document of ours what is wrong. What waits for something is not
/// waited for.
#[test]
fn of_any_client() {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let folder = folder.expect("there is room for a folder");
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime needs memory alone");
    let issuer = DevIssuer::from_secret([7; 32]);
    let token = issuer.mint("acme", "ada", 86_400, wall()).expect("a key of 32 bytes signs");
    let routes = runtime.block_on(async { router(service(folder.path(), &issuer), None) });
    // After a panic there is nothing more.
    let (routes, runtime) = (AssertUnwindSafe(routes), AssertUnwindSafe(runtime));
    check!().with_iterations(0).for_each(|input: &[u8]| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        let Some(request) = request(text, &token).filter(|request| !waits(request)) else { return };
        let answer = runtime.block_on(routes.clone().oneshot(request)).expect("it cannot fail");
        let status = answer.status();
        // The methods of HTTP that nothing here has.
        let at_fault = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED;
        let kind = answer.headers().get(header::CONTENT_TYPE).cloned();
        let body = runtime.block_on(answer.into_body().collect()).expect("it comes whole").to_bytes();
        assert!(!at_fault, "{status}: {}", String::from_utf8_lossy(&body));
        if kind.is_some_and(|kind| kind == "application/problem+json") && !body.is_empty() {
            let problem: serde_json::Value = serde_json::from_slice(&body).expect("it is JSON");
            assert!(problem["code"].is_string(), "{problem}");
        }
    });
}

fn waits(request: &Request<Body>) -> bool {
    let path = request.uri().path();
    request.uri().query().is_some_and(|query| query.contains('l') || query.contains('%'))
        || path.ends_with("/claim")
}
