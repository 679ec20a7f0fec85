//! A real server on a free port, and a client that speaks its frames.

use std::{net::SocketAddr, time::Duration};

use futures::{SinkExt, StreamExt};
use sdk_core::{
    clock::{Hlc, Millis},
    protocol::{
        ClientFrame, ClientId, CollectionName, DocKey, FieldName, Hello, Intent, Json, Operation, Push,
        Resume, SUBPROTOCOL, Seq, ServerFrame, Strategy, StreamPosition, decode, encode,
    },
};
use server_reference::{access::Grant, config::ServerConfig, dev::DevIssuer, server::Server};
use tempfile::TempDir;
use tokio::{net::TcpStream, sync::oneshot, task::JoinHandle, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http::Request},
};

/// Longer than anything here takes; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A development server in this process.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    /// Where its metrics are, if they are served.
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) issuer: DevIssuer,
    pub(crate) data: TempDir,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::start_with(|config| config).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(ServerConfig) -> ServerConfig) -> Self {
        let data = tempfile::tempdir().unwrap();
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = ServerConfig::development(listen, data.path().to_owned()).unwrap();
        let issuer = DevIssuer::load_or_create(data.path()).unwrap();
        let server = Server::bind(change(config)).await.unwrap();
        let (address, metrics) = (server.address().unwrap(), server.metrics_address());
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(server.serve(async move {
            let _ = stopped.await;
        }));
        Self { address, metrics, issuer, data, stop, serving }
    }

    pub(crate) fn http(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn token(&self, tenant: &str, subject: &str) -> String {
        self.issuer.mint(tenant, subject, 600, server_reference::clock::wall()).unwrap()
    }

    /// A token with a claim `access`.
    pub(crate) fn granted(&self, tenant: &str, subject: &str, access: serde_json::Value) -> String {
        let grants: Vec<Grant> = serde_json::from_value(access).unwrap();
        self.issuer.mint_for(tenant, subject, Some(&grants), 600, server_reference::clock::wall()).unwrap()
    }

    pub(crate) async fn socket(&self) -> Socket {
        Socket::connect(self.request()).await.unwrap()
    }

    /// A request to upgrade, as a program that is not a browser makes it.
    pub(crate) fn request(&self) -> Request<()> {
        let mut request = format!("ws://{}/v1/realtime", self.address).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
        request
    }

    /// A session that was welcomed and has read `cards` from the start.
    pub(crate) async fn session(&self, number: u8) -> Socket {
        let mut socket = self.socket().await;
        socket.send(&ClientFrame::Hello(self.hello(number))).await;
        assert!(matches!(socket.next().await, Some(ServerFrame::Welcome(_))));
        assert!(matches!(socket.next().await, Some(ServerFrame::Changes(_))));
        socket
    }

    pub(crate) fn hello(&self, number: u8) -> Hello {
        let token = self.token("acme", "ada");
        Hello { versions: vec![1], token, client: client(number), resume: vec![cards(None)], rejected: None }
    }

    /// Tells the server to stop without waiting for it; its data stay for as long as the folder is held.
    pub(crate) fn ending(self) -> (JoinHandle<std::io::Result<()>>, TempDir) {
        self.stop.send(()).unwrap();
        (self.serving, self.data)
    }

    /// Tells the server to stop without waiting for it.
    pub(crate) fn stop(self) -> JoinHandle<std::io::Result<()>> {
        self.stop.send(()).unwrap();
        self.serving
    }
}

/// A client's WebSocket.
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(crate) async fn connect(request: Request<()>) -> Result<Self, Box<Error>> {
        let (socket, _) = connect_async(request).await.map_err(Box::new)?;
        Ok(Self(socket))
    }

    pub(crate) async fn send(&mut self, frame: &ClientFrame) {
        self.send_message(Message::Text(encode(frame).into())).await;
    }

    pub(crate) async fn send_message(&mut self, message: Message) {
        self.0.send(message).await.unwrap();
    }

    /// The next frame; none when the connection is closed.
    pub(crate) async fn next(&mut self) -> Option<ServerFrame> {
        loop {
            let message = timeout(PATIENCE, self.0.next()).await.expect("the server says nothing")?;
            match message.ok()? {
                Message::Text(text) => return Some(decode(&text).unwrap()),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    /// Whatever comes until the connection has ended, also what must not come behind a close.
    pub(crate) async fn rest(&mut self) -> Vec<Result<Message, Error>> {
        let mut all = Vec::new();
        while let Some(message) = timeout(PATIENCE, self.0.next()).await.expect("the connection stays") {
            all.push(message);
        }
        all
    }

    /// The next frame that is not a change of a collection.
    pub(crate) async fn next_answer(&mut self) -> Option<ServerFrame> {
        loop {
            match self.next().await {
                Some(ServerFrame::Changes(_)) => {}
                other => return other,
            }
        }
    }
}

/// Status and body of an answer, without what differs from request to request: the id that head and body name.
pub(crate) async fn told(answer: reqwest::Response) -> (u16, String) {
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    (answer.status().as_u16(), answer.text().await.unwrap().replace(&id, ""))
}

pub(crate) fn client(number: u8) -> ClientId {
    ClientId::from_random([number; 16])
}

pub(crate) fn cards(after: Option<StreamPosition>) -> Resume {
    let collection = CollectionName::new("cards").unwrap();
    Resume { collection, strategy: Strategy::FieldLevel, after }
}

/// An operation that sets one field of a card.
pub(crate) fn set(seq: u64, id: &str, field: &str, json: &str) -> Operation {
    let entry = (FieldName::new(field).unwrap(), Json::parse(json).unwrap());
    Operation {
        seq: Seq(seq),
        doc: DocKey::new("cards", id).unwrap(),
        at: Hlc { wall: Millis(seq), counter: 0 },
        schema: 0,
        intents: vec![Intent::Set([entry].into_iter().collect())],
        base: Default::default(),
        maker: None,
        resolves: None,
        replaces: None,
    }
}

pub(crate) fn push(operations: Vec<Operation>) -> ClientFrame {
    ClientFrame::Push(Push { operations, rejected: None })
}
