//! The way to one server.

use std::sync::Arc;

use tokio_tungstenite::{
    Connector, connect_async_tls_with_config,
    tungstenite::{
        Error,
        client::IntoClientRequest,
        http::{
            HeaderValue,
            header::{RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL},
        },
        protocol::WebSocketConfig,
    },
};

use super::{InvalidServer, MAX_MESSAGE, NativeLink, address::Address, http::Http, tls, traces::Traces};
use crate::{
    driver::{
        Each, HttpGet, HttpReply, HttpRequest, Transact, TransactionRequest, Transport, TransportError,
    },
    protocol::SUBPROTOCOL,
};

/// Bytes that are gathered before they are written to the socket.
const WRITE_BUFFER: usize = 64 << 10;

/// Reaches one server by WebSocket and by HTTP, both from within a tokio runtime.
///
/// The proxies that `HTTP_PROXY` and its kin name are not used: a WebSocket would not go through them, and
/// which server a program talks to, above all on loopback, is not for a stray variable to change.
#[derive(Debug)]
pub struct NativeTransport {
    address: Address,
    http: Http,
    tls: Arc<rustls::ClientConfig>,
    traces: Traces,
}

impl NativeTransport {
    /// For a server such as `https://example.org`; the WebSocket's address (`wss`) follows from it.
    ///
    /// # Errors
    /// [`InvalidServer`]; the network is not asked.
    pub fn new(server: &str) -> Result<Self, InvalidServer> {
        let address = Address::parse(server)?;
        let tls = tls::config(address.is_secure())?;
        let traces = Traces::default();
        Ok(Self { http: Http::new(tls.clone(), traces.clone())?, address, tls: Arc::new(tls), traces })
    }
}

impl NativeTransport {
    /// Has what is sent from now on name a trace; see [`NativeClient::trace_by`](super::NativeClient::trace_by).
    pub fn trace_by(&self, source: impl Fn() -> Option<String> + Send + Sync + 'static) {
        self.traces.ask(Box::new(source));
    }

    pub(super) fn traces(&self) -> &Traces {
        &self.traces
    }
}

impl Transport for NativeTransport {
    type Link = NativeLink;

    async fn open(&self) -> Result<NativeLink, TransportError> {
        let mut request = self.address.socket_route("v1/realtime").into_client_request().map_err(failed)?;
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE))
            .write_buffer_size(WRITE_BUFFER)
            .max_write_buffer_size(WRITE_BUFFER + MAX_MESSAGE);
        let connector = Connector::Rustls(Arc::clone(&self.tls));
        // Frames are small and each is awaited by somebody, so none waits to be joined by another.
        let no_delay = true;
        let (socket, _response) =
            connect_async_tls_with_config(request, Some(config), no_delay, Some(connector))
                .await
                .map_err(failed)?;
        Ok(NativeLink::new(socket, self.traces.clone()))
    }

    async fn get(&self, request: HttpGet, each: &Each<'_>) -> Result<HttpReply, TransportError> {
        self.http.get(self.address.route_with_query(&request.path), request, each).await
    }

    async fn post(&self, request: HttpRequest) -> Result<HttpReply, TransportError> {
        self.http.post(self.address.route(request.path), request.token, request.body).await
    }
}

impl Transact for NativeTransport {
    async fn transact(&self, request: TransactionRequest) -> Result<HttpReply, TransportError> {
        // A name is a step of a path as it is.
        let url = self.address.route(&format!("v1/transactions/{}", request.name));
        self.http.transact(url, request).await
    }
}

/// What kept a WebSocket from opening. A server that is busy, or has had enough, says in its answer how long.
fn failed(error: Error) -> TransportError {
    let told = match &error {
        Error::Http(answer) => answer.headers().get(RETRY_AFTER),
        _ => None,
    };
    let retry_after = told.and_then(|told| HttpReply::wait_of(told.to_str().ok()?));
    TransportError { retry_after, ..TransportError::new(error.to_string()) }
}
