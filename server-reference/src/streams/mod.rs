//! Topics over HTTP: the Durable Streams protocol, at `/v1/streams/{topic}`.
//!
//! A topic is made by PUT, appended to by POST, read by GET from a position on, told of by HEAD and deleted by
//! DELETE. A GET may wait for what is yet to come, for one answer (long-poll) or for many (server-sent events). What
//! the protocol leaves open, the consumer groups at `/v1/groups/{group}` and the dead letters of clients at `/v1/dead` are in `docs/protocol.md`.

mod cloudevents;
mod cursor;
mod dead;
mod groups;
pub(crate) mod header;
mod live;
mod problem;
mod read;
mod request;
mod sse;
pub mod subscriptions;
mod write;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    http::{HeaderMap, HeaderName, HeaderValue},
    response::Response,
    routing::get,
};
use tower_http::set_header::SetResponseHeaderLayer;

pub use problem::Code;
pub(crate) use problem::refusal;
pub(crate) use request::decode;

use crate::{service::Service, storage::sqlite::events::TENANT_TOPICS};

/// Where topics are.
pub(crate) const ROOT: &str = "/v1/streams";

/// How topics are served.
#[derive(Debug, Clone)]
pub struct StreamsConfig {
    /// The URL of `/v1/streams` as the world sees it, without a slash at its end. None is that of the listener.
    pub public: Option<String>,
    /// How long a long-poll waits.
    pub long_poll: Duration,
    /// How long a connection of server-sent events lasts.
    pub events_lifetime: Duration,
    /// Connections that wait for events at one time.
    pub live: usize,
    /// Bytes of one event.
    pub event_bytes: usize,
    /// Bytes of one append.
    pub append_bytes: usize,
    /// Events of one append.
    pub append_events: usize,
    /// Bytes of events in one answer; one event is there whatever its size.
    pub read_bytes: usize,
    /// Topics of one tenant.
    pub topics: u64,
}

impl Default for StreamsConfig {
    fn default() -> Self {
        Self {
            public: None,
            long_poll: Duration::from_secs(20),
            events_lifetime: Duration::from_secs(60),
            live: 10_000,
            event_bytes: 1024 * 1024,
            append_bytes: 4 * 1024 * 1024,
            append_events: 10_000,
            read_bytes: 1024 * 1024,
            topics: TENANT_TOPICS,
        }
    }
}

impl StreamsConfig {
    /// Where the world finds the topics of a server that listens at an address.
    pub(crate) fn url(&self, address: SocketAddr) -> String {
        self.public.clone().unwrap_or_else(|| format!("http://{address}{ROOT}"))
    }
}

pub(crate) fn routes() -> Router<Arc<Service>> {
    let topic = get(read::read).head(read::head).put(write::create).post(write::append).delete(write::delete);
    Router::new()
        .route("/v1/streams/{*topic}", topic)
        .merge(subscriptions::routes())
        .merge(groups::routes())
        .merge(dead::routes())
        // A page of another origin that is allowed to fetch may also use what it fetched.
        .layer(SetResponseHeaderLayer::if_not_present(
            header::RESOURCE_POLICY,
            HeaderValue::from_static("cross-origin"),
        ))
}

/// Puts a header that is made of plain text.
fn put(response: &mut Response, name: HeaderName, value: impl ToString) {
    insert(response.headers_mut(), name, value);
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: impl ToString) {
    // What comes here was a header before, or is made of digits.
    if let Ok(value) = HeaderValue::try_from(value.to_string()) {
        headers.insert(name, value);
    }
}
