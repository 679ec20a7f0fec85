//! The browser's own network: its WebSocket and its `fetch`.

mod http;
mod socket;
mod traces;

use sdk_core::driver::{Each, HttpGet, HttpReply, HttpRequest, Transport, TransportError};

pub use socket::Socket;
pub use traces::Traces;

/// Reaches one server from a page or a worker.
pub struct BrowserTransport {
    /// The server's address, with `http` or `https` and without a slash at its end.
    base: String,
    /// The address of its WebSocket.
    socket: String,
    /// What comes must not lie in the browser's cache, which is not encrypted.
    private: bool,
    traces: Traces,
}

impl BrowserTransport {
    /// A transport to the server at `url`, an absolute `http` or `https` address; none for any other. With `private`
    /// it leaves nothing in the browser's cache.
    pub fn new(url: &str, private: bool, traces: Traces) -> Option<Self> {
        let base = url.trim_end_matches('/');
        let rest = base.strip_prefix("http")?;
        let host = rest.strip_prefix("s").unwrap_or(rest).strip_prefix("://")?;
        if host.is_empty() {
            return None;
        }
        Some(Self { socket: ["ws", rest, "/v1/realtime"].concat(), base: base.into(), private, traces })
    }
}

impl Transport for BrowserTransport {
    type Link = Socket;

    async fn open(&self) -> Result<Socket, TransportError> {
        Socket::open(&self.socket, self.traces.clone()).await
    }

    async fn get(&self, request: HttpGet, each: &Each<'_>) -> Result<HttpReply, TransportError> {
        http::get(&self.base, &request, self.private, &self.traces, each).await
    }

    async fn post(&self, request: HttpRequest) -> Result<HttpReply, TransportError> {
        http::post(&self.base, &request, &self.traces).await
    }
}
