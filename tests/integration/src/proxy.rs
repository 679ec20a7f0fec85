//! The network between client and server, which has weather.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};

use crate::traffic::{Line, Traffic};

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Everything gets through.
    Fair,
    /// A request to open a WebSocket is refused; plain HTTP gets through.
    WebSocketsRefused,
    /// A request to open a WebSocket is swallowed; plain HTTP gets through.
    WebSocketsSwallowed,
    /// A captive portal: whatever is asked, the answer is 200 with a page on which to log in.
    LoginPage,
    /// A proxy that passes an answer on once it has all of it, so that no WebSocket opens and nothing streams.
    Buffered,
    /// No WebSocket opens, and what the server does not answer soon is cut.
    Impatient,
    /// Of a critical transaction the answer is cut off; all else gets through.
    AnswersLost,
    /// A critical transaction is answered by somebody else, as if it were done; all else gets through.
    AnswersFalsified,
    /// The server is overloaded: whatever is asked, it is to be asked again some seconds later.
    Overloaded,
    /// Connections are cut, and new ones too.
    Cut,
}

/// Seconds that [`Weather::Overloaded`] has everybody wait.
const OVERLOADED: u64 = 3;

/// Milliseconds that [`Weather::Impatient`] waits for an answer.
const IMPATIENCE: u64 = 300;

#[derive(Debug, Clone, Copy)]
struct State {
    weather: Weather,
    /// Connections of earlier generations are cut, or frozen.
    generation: u64,
    frozen_before: u64,
}

/// Passes connections on to the server.
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    traffic: Arc<Traffic>,
}

impl Proxy {
    /// A network with fair weather before the server on this port.
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("which it has");
        let state = State { weather: Weather::Fair, generation: 0, frozen_before: 0 };
        let (state, states) = watch::channel(state);
        let traffic = Arc::<Traffic>::default();
        let heard = Arc::clone(&traffic);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, port, states.clone(), Line::of(&heard)));
            }
        });
        Self { address, state, traffic }
    }

    /// The server's address, as seen through the network.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What has gone through it.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Whether a client said this.
    ///
    /// # Panics
    /// If a connection panicked.
    pub fn heard(&self, text: &str) -> bool {
        self.traffic.heard(text)
    }

    /// How often clients opened a WebSocket, or tried to.
    ///
    /// # Panics
    /// If a connection panicked.
    pub fn upgrades(&self) -> usize {
        self.traffic.asked("GET /v1/realtime")
    }

    /// Changes the weather and cuts every connection there is.
    pub fn set(&self, weather: Weather) {
        self.state.send_modify(|state| {
            state.weather = weather;
            state.generation += 1;
        });
    }

    /// The connections there are stay open but carry nothing any more, as when a router forgets them. New ones are
    /// not affected.
    pub fn freeze(&self) {
        self.state.send_modify(|state| state.frozen_before += 1);
    }
}

async fn connection(client: TcpStream, port: u16, mut states: watch::Receiver<State>, line: Line) {
    let born = *states.borrow_and_update();
    let mut for_cut = states.clone();
    let cut = async move {
        // An end of the channel is an end of the test.
        let _ = for_cut.wait_for(|state| state.generation > born.generation).await;
    };
    tokio::select! {
        () = carry(client, port, born, states, line) => {}
        () = cut => {}
    }
}

async fn carry(mut client: TcpStream, port: u16, born: State, states: watch::Receiver<State>, line: Line) {
    let mut first = vec![0; 16 * 1024];
    let Ok(length) = client.read(&mut first).await else { return };
    let head = &first[..length];
    line.asks(head);
    let opens_websocket = String::from_utf8_lossy(head).to_ascii_lowercase().contains("upgrade: websocket");
    let is_transaction = head.starts_with(b"POST /v1/transactions/");
    match born.weather {
        Weather::Cut => return,
        Weather::LoginPage => {
            let page = "<!doctype html><title>Welcome</title><form>Room number: <input></form>";
            let length = page.len();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {length}\r\n");
            let _ = client.write_all(format!("{head}connection: close\r\n\r\n{page}").as_bytes()).await;
            return;
        }
        Weather::Overloaded => {
            let problem = r#"{"type":"about:blank","status":503,"code":"overloaded","detail":"later"}"#;
            let answer = format!(
                "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: {OVERLOADED}\r\n\
                 content-length: {}\r\nconnection: close\r\n\r\n{problem}",
                problem.len()
            );
            line.answers(answer.as_bytes());
            let _ = client.write_all(answer.as_bytes()).await;
            return;
        }
        Weather::AnswersFalsified if is_transaction => {
            let body = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 13\r\nconnection: close\r\n\r\n{\"balance\":1}";
            let _ = client.write_all(body).await;
            return;
        }
        Weather::WebSocketsRefused | Weather::Impatient if opens_websocket => {
            let refusal = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            // Whether it hears of it or not, it is refused.
            let _ = client.write_all(refusal).await;
            return;
        }
        Weather::WebSocketsSwallowed if opens_websocket => return std::future::pending().await,
        _ => {}
    }
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    if matches!(born.weather, Weather::Buffered | Weather::Impatient) {
        exchange(client, server, head, born.weather, &line).await;
        return;
    }
    if server.write_all(head).await.is_err() {
        return;
    }
    let (from_client, to_client) = tokio::io::split(client);
    let (mut from_server, to_server) = tokio::io::split(server);
    if born.weather == Weather::AnswersLost && is_transaction {
        // The answer comes as far as this.
        let mut answer = [0];
        tokio::select! {
            () = pump(from_client, to_server, born, states.clone(), |said| line.asks(said)) => {}
            _ = from_server.read(&mut answer) => {}
        }
        return;
    }
    tokio::select! {
        () = pump(from_client, to_server, born, states.clone(), |said| line.asks(said)) => {}
        () = pump(from_server, to_client, born, states, |said| line.answers(said)) => {}
    }
}

/// One request without a body, whose answer is passed on whole; for the impatient, if it is there soon.
async fn exchange(mut client: TcpStream, mut server: TcpStream, head: &[u8], weather: Weather, line: &Line) {
    let head = String::from_utf8_lossy(head).replacen("\r\n", "\r\nconnection: close\r\n", 1);
    let mut answer = Vec::new();
    let asked = async {
        server.write_all(head.as_bytes()).await?;
        server.read_to_end(&mut answer).await
    };
    let answered = match weather {
        Weather::Impatient => timeout(Duration::from_millis(IMPATIENCE), asked).await.is_ok(),
        _ => asked.await.is_ok(),
    };
    if answered {
        line.answers(&answer);
        let _ = client.write_all(&answer).await;
    }
}

async fn pump(
    mut from: ReadHalf<TcpStream>,
    mut to: WriteHalf<TcpStream>,
    born: State,
    states: watch::Receiver<State>,
    hear: impl Fn(&[u8]),
) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut bytes).await;
        // Frozen, not even an end gets through.
        if states.borrow().frozen_before > born.frozen_before {
            std::future::pending::<()>().await;
        }
        let Ok(length @ 1..) = read else { return };
        hear(&bytes[..length]);
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}
