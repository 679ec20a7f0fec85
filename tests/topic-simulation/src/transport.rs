//! The way from a client to the server, by WebSocket and by plain requests, through whatever is between them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex as StdMutex},
};

use axum::{
    body::Body,
    http::{HeaderMap, Method, Request, header},
};
use futures::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use http_body_util::BodyExt;
use sdk_core::{
    driver::{Each, HEADERS, HttpGet, HttpReply, HttpRequest, Link, Transport, TransportError},
    protocol::SUBPROTOCOL,
};
use tokio::{
    io::{AsyncWriteExt, DuplexStream, duplex},
    sync::{Mutex, mpsc},
    time::{Duration, timeout},
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};
use tower::ServiceExt;

use crate::{
    network::{Requests, Signal, Sockets, connect},
    server::{Running, Server},
    sim::Sim,
};

/// From the first byte sent to the last byte received, as the native transport has it.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The same for one that waits, and may go on.
const GOES_ON: Duration = Duration::from_secs(90);
/// Milliseconds within which nothing is asked for more than so many times.
const SPAN: u64 = 10_000;
const TIMES: u32 = 40;
/// What a captive portal says.
const PORTAL: &str = "<!doctype html>\n\n<title>Welcome</title>\n\n<form>Room number: <input></form>\n\n";

/// The way of one life of a client.
pub(crate) struct SimTransport {
    sim: Arc<Sim>,
    server: Arc<Server>,
    client: usize,
    /// What a proxy has kept.
    kept: StdMutex<BTreeMap<String, HttpReply>>,
    /// How often each was asked for within a span of time, and which span that is.
    asked: StdMutex<(u64, BTreeMap<String, u32>)>,
}

impl SimTransport {
    pub(crate) fn new(sim: Arc<Sim>, server: Arc<Server>, client: usize) -> Self {
        Self { sim, server, client, kept: StdMutex::default(), asked: StdMutex::default() }
    }

    /// An answer, or none in time, or none since all breaks.
    async fn exchange(
        &self,
        request: Request<Body>,
        limit: Duration,
        each: &Each<'_>,
    ) -> Result<HttpReply, TransportError> {
        self.count(&request);
        let cuts = self.sim.path(self.client).cuts.clone();
        let broken = || Err(TransportError::new("the connection broke"));
        let what = format!("client {} {} {}", self.client, request.method(), request.uri());
        self.sim.note(format_args!("{what}"));
        let reply = tokio::select! {
            biased;
            result = timeout(limit, self.answer(request, each)) => result.unwrap_or_else(|_| broken()),
            () = cuts.notified() => broken(),
        };
        let told = reply.as_ref().map(|reply| (reply.status, reply.body.len())).map_err(ToString::to_string);
        self.sim.note(format_args!("{what} has {told:?}"));
        reply
    }

    /// Nothing is asked for again and again without a pause.
    fn count(&self, request: &Request<Body>) {
        let (span, what) = (self.sim.now() / SPAN, request.uri().to_string());
        let mut asked = self.asked.lock().expect("no part panics");
        if asked.0 != span {
            *asked = (span, BTreeMap::new());
        }
        let times = asked.1.entry(what).or_default();
        *times += 1;
        if *times > TIMES && request.method() == Method::GET {
            self.sim.violate(format!("client {} asks {times} times for {}", self.client, request.uri()));
        }
    }

    async fn answer(&self, mut request: Request<Body>, each: &Each<'_>) -> Result<HttpReply, TransportError> {
        let failed = |what: &str| Err(TransportError::new(what));
        self.sim.wait(self.sim.plan.latency).await;
        let key = request.uri().to_string();
        let is_read = request.method() == Method::GET;
        let (requests, stale, hasty) = {
            let path = self.sim.path(self.client);
            (path.requests, path.stale, path.hasty)
        };
        if hasty {
            let at_once = key.replace("&live=sse", "").replace("&live=long-poll", "");
            *request.uri_mut() = at_once.parse().expect("less of an address is one");
        }
        match requests {
            Requests::Refused => return failed("there is no way"),
            Requests::Silent => std::future::pending().await,
            Requests::Page => return Ok(page(each)),
            Requests::Open => {}
        }
        if stale && is_read && self.sim.chance(500) {
            let kept = self.kept.lock().expect("no part panics").get(&key).cloned();
            if let Some(kept) = kept {
                return Ok(kept);
            }
        }
        let Some(Running { router, gone, .. }) = self.server.running() else {
            return failed("nobody is there");
        };
        let reply = tokio::select! {
            biased;
            () = gone.wait() => return failed("the server is gone"),
            reply = self.receive(router, request, each) => reply?,
        };
        if stale && is_read {
            self.kept.lock().expect("no part panics").insert(key, reply.clone());
        }
        Ok(reply)
    }

    async fn receive(
        &self,
        router: axum::Router,
        request: Request<Body>,
        each: &Each<'_>,
    ) -> Result<HttpReply, TransportError> {
        let failed = |what: &str| TransportError::new(what);
        let patience = self.sim.path(self.client).patience.map_or(GOES_ON, Duration::from_millis);
        let impatient = |_| failed("the proxy ended it");
        let Ok(response) = timeout(patience, router.oneshot(request)).await.map_err(impatient)?;
        self.sim.wait(self.sim.plan.latency).await;
        let (status, headers) = (response.status().as_u16(), passed_on(response.headers()));
        let (damage, buffers) = {
            let path = self.sim.path(self.client);
            (path.damage, path.buffers)
        };
        if self.sim.chance(damage / 2) {
            return Err(failed("the answer was lost"));
        }
        let (mut body, mut taken) = (response.into_body(), Vec::new());
        while let Some(frame) = timeout(patience, body.frame()).await.map_err(impatient)? {
            let mut bytes =
                frame.map_err(|_| failed("the answer broke off"))?.into_data().unwrap_or_default().to_vec();
            self.sim.wait(self.sim.plan.latency).await;
            if !bytes.is_empty() && self.sim.chance(damage) {
                let place = self.sim.random(|random| random.usize(0..bytes.len()));
                match self.sim.random(|random| random.u8(0..3)) {
                    // Nothing of ours has such a byte.
                    0 => bytes[place] = 0,
                    // An answer that looks whole, and is not.
                    1 => {
                        bytes.truncate(place);
                        taken.extend(bytes);
                        // What comes of it shows at the next answer.
                        let _ = each(&mut taken);
                        break;
                    }
                    _ => return Err(failed("the answer broke off")),
                }
            }
            while !bytes.is_empty() {
                let most = bytes.len().min(700);
                let count = self.sim.random(|random| random.usize(1..=most));
                taken.extend(bytes.drain(..count));
                if !buffers && !each(&mut taken) {
                    return Err(failed("not wanted any more"));
                }
            }
        }
        if buffers && !each(&mut taken) {
            return Err(failed("not wanted any more"));
        }
        Ok(HttpReply { status, headers, body: String::from_utf8_lossy(&taken).into_owned() })
    }
}

/// Those of an answer's headers that a client looks at.
fn passed_on(headers: &HeaderMap) -> Vec<(&'static str, String)> {
    let text = |name| Some((name, headers.get(name)?.to_str().ok()?.to_owned()));
    HEADERS.into_iter().filter_map(text).collect()
}

fn page(each: &Each<'_>) -> HttpReply {
    let mut body = PORTAL.as_bytes().to_vec();
    // A page has an end, whether more of it is wanted or not.
    let _ = each(&mut body);
    let headers = vec![("content-type", "text/html; charset=utf-8".to_owned())];
    HttpReply { status: 200, headers, body: String::from_utf8_lossy(&body).into_owned() }
}

impl Transport for SimTransport {
    type Link = SimLink;

    async fn open(&self) -> Result<SimLink, TransportError> {
        let failed = |what: &str| TransportError::new(what);
        self.sim.wait(self.sim.plan.latency).await;
        let sockets = self.sim.path(self.client).sockets;
        let end = match sockets {
            Sockets::Refused => return Err(failed("no upgrades here")),
            Sockets::Silent => std::future::pending().await,
            Sockets::Page => portal().await,
            Sockets::Open => {
                let Some(Running { accept, gone, .. }) = self.server.running() else {
                    return Err(failed("nobody is there"));
                };
                connect(&self.sim, self.client, &accept, gone)
            }
        };
        let request = Request::get("ws://server/v1/realtime")
            .header(header::HOST, "server")
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
            .header(header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL)
            .body(())
            .expect("it is a request");
        let (socket, _) = client_async(request, end).await.map_err(|error| failed(&error.to_string()))?;
        Ok(SimLink::new(self.sim.clone(), self.client, socket))
    }

    async fn get(&self, request: HttpGet, each: &Each<'_>) -> Result<HttpReply, TransportError> {
        let HttpGet { path, token, waits, .. } = request;
        let limit = if waits { GOES_ON } else { TIMEOUT };
        let request =
            Request::get(format!("/{path}")).header(header::AUTHORIZATION, format!("Bearer {token}"));
        self.exchange(request.body(Body::empty()).expect("it is a request"), limit, each).await
    }

    async fn post(
        &self,
        HttpRequest { path, token, body }: HttpRequest,
    ) -> Result<HttpReply, TransportError> {
        let request = Request::post(format!("/{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .expect("it is a request");
        self.exchange(request, TIMEOUT, &|_| true).await
    }
}

/// A connection on which every request is answered with a page.
async fn portal() -> DuplexStream {
    let (near, mut far) = duplex(4_096);
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{PORTAL}", PORTAL.len());
    far.write_all(answer.as_bytes()).await.expect("there is room for a page");
    near
}

type Socket = WebSocketStream<DuplexStream>;

/// An open WebSocket.
pub(crate) struct SimLink {
    sim: Arc<Sim>,
    client: usize,
    outgoing: mpsc::UnboundedSender<String>,
    incoming: Mutex<SplitStream<Socket>>,
    closed: Arc<Signal>,
}

impl SimLink {
    fn new(sim: Arc<Sim>, client: usize, socket: Socket) -> Self {
        let (sink, stream) = socket.split();
        let (outgoing, queue) = mpsc::unbounded_channel();
        let closed = Arc::<Signal>::default();
        tokio::spawn(write(sink, queue, closed.clone()));
        Self { sim, client, outgoing, incoming: Mutex::new(stream), closed }
    }
}

impl Link for SimLink {
    fn send(&self, text: String) {
        if !text.starts_with("{\"hello\"") {
            self.sim.note(format_args!("client {} sends {}", self.client, shown(&text)));
        }
        // A link that is gone swallows it.
        let _ = self.outgoing.send(text);
    }

    async fn receive(&self) -> Option<String> {
        let mut incoming = self.incoming.lock().await;
        loop {
            let message = tokio::select! {
                biased;
                () = self.closed.wait() => return None,
                message = incoming.next() => message,
            };
            match message {
                Some(Ok(Message::Text(text))) => {
                    let text = text.as_str().to_owned();
                    if !text.starts_with("{\"welcome\"") {
                        self.sim.note(format_args!("client {} receives {}", self.client, shown(&text)));
                    }
                    return Some(text);
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => {
                    self.close();
                    return None;
                }
            }
        }
    }

    fn close(&self) {
        self.closed.give();
    }
}

/// It closes when the last owner drops it.
impl Drop for SimLink {
    fn drop(&mut self) {
        self.close();
    }
}

/// Enough of a text to follow a run by. What begins a session has a token and the time of day, which no two runs share.
fn shown(text: &str) -> &str {
    let end = (0..=text.len().min(200)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

/// Writes until the link is closed.
async fn write(
    mut sink: SplitSink<Socket, Message>,
    mut queue: mpsc::UnboundedReceiver<String>,
    closed: Arc<Signal>,
) {
    let frames = async {
        while let Some(text) = queue.recv().await {
            if sink.send(Message::text(text)).await.is_err() {
                break;
            }
        }
        // The server's last words may still be waiting to be read.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = closed.wait() => {}
        () = frames => {}
    }
}
