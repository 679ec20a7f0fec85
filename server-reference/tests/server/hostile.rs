//! Peers that are there to hold what others need.

use std::time::Duration;

use reqwest::StatusCode;
use server_reference::{config::ServerConfig, limits::Quotas};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{PATIENCE, Running};

/// Resolves when the server has ended a connection.
async fn ended(mut connection: TcpStream) {
    let mut rest = Vec::new();
    // Ended one way or the other.
    let _ = timeout(PATIENCE, connection.read_to_end(&mut rest)).await.expect("the connection stays");
}

#[tokio::test]
async fn a_head_that_comes_slowly_or_never_ends_its_connection() {
    let head_deadline = Duration::from_millis(200);
    let server = Running::start_with(|config| ServerConfig { head_deadline, ..config }).await;
    for begun in ["", "GET /healthz HTTP/1.1\r\nhost: a\r\nx-", "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"] {
        let mut connection = TcpStream::connect(server.address).await.unwrap();
        connection.write_all(begun.as_bytes()).await.unwrap();
        ended(connection).await;
    }
}

#[tokio::test]
async fn those_who_say_nothing_keep_nobody_out_who_is_known() {
    let head_deadline = Duration::from_secs(600);
    let quotas = Quotas { greetings: 1, ..Quotas::DEFAULT };
    let server = Running::start_with(|config| ServerConfig { head_deadline, quotas, ..config }).await;
    let (token, client) = (server.token("acme", "ada"), reqwest::Client::new());
    let ask = || client.post(server.http("/v1/tickets")).bearer_auth(&token).send();
    assert_eq!(ask().await.unwrap().status(), StatusCode::OK);
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    // Over the connection that it has.
    assert_eq!(ask().await.unwrap().status(), StatusCode::OK);
    // Four have a place; the others have waited for one and are gone.
    let mut last = Vec::new();
    let others = silent.split_off(4);
    for connection in others {
        ended(connection).await;
    }
    for connection in &mut silent {
        connection.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        connection.read_to_end(&mut last).await.unwrap();
        assert!(last.starts_with(b"HTTP/1.1 200"));
    }
    assert!(TcpStream::connect(server.address).await.is_ok());
    assert_eq!(reqwest::get(server.http("/healthz")).await.unwrap().status(), StatusCode::OK);
}

/// What is asked of a server that readers hold up.
#[cfg(target_os = "linux")]
mod slow {
    use std::{fs, path::Path, time::Instant};

    use futures::future::join_all;
    use sdk_core::protocol::{
        ClientFrame, Hello, Outcome, SUBPROTOCOL, ServerFrame, Start, Subscribe, encode,
    };
    use tokio::net::TcpSocket;
    use tokio_tungstenite::{
        WebSocketStream, client_async,
        tungstenite::{Message, client::IntoClientRequest},
    };

    use super::*;
    use crate::{
        process::{Process, token},
        support::{push, set},
    };

    /// Bytes of memory for what readers do not take, in the server that they are led to.
    const PENDING: &str = "67108864";
    /// Bytes that such a server may need more than before: what the half of that is for one user, what it takes to read and
    /// make as much, and what the allocator keeps of it.
    const CEILING: usize = 128 * 1024 * 1024;
    /// Readers who come at one time.
    const CROWD: usize = 100;
    /// Bytes that a connection may cost besides, in a build that is not optimised.
    const CONNECTION: usize = 48 * 1024;

    /// How many do it at one time: 5,000 where it is asked for.
    fn readers() -> usize {
        std::env::var("WEBWAKA_SLOW_READERS").ok().and_then(|count| count.parse().ok()).unwrap_or(400)
    }

    fn start(data: &Path) -> Process {
        let most = ["--user-connections", "--tenant-connections", "--address-connections"];
        let rest =
            ["--address-greetings", "256", "--user-messages", "100000", "--address-messages", "100000"];
        let rest = rest.into_iter().chain(["--pending-memory", PENDING]);
        let options: Vec<&str> = most.into_iter().flat_map(|most| [most, "10000"]).chain(rest).collect();
        Process::start_with(data, &options)
    }

    /// The most memory that a process had since the last call.
    fn peak(process: &Process) -> usize {
        let id = process.id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
        fs::write(format!("/proc/{id}/clear_refs"), "5").unwrap();
        kilobytes * 1024
    }

    /// A connection that takes next to nothing.
    async fn narrow(process: &Process) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 * 1024).unwrap();
        socket.connect(process.url.parse().unwrap()).await.unwrap()
    }

    async fn upgraded(process: &Process, connection: TcpStream) -> WebSocketStream<TcpStream> {
        let mut request = format!("ws://{}/v1/realtime", process.url).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
        client_async(request, connection).await.unwrap().0
    }

    /// A topic of a megabyte.
    async fn fill(process: &Process, token: &str) {
        let event = format!("\"{}\"", "x".repeat(16 * 1024));
        let events = format!("[{}]", vec![event; 64].join(","));
        let url = format!("http://{}/v1/streams/much", process.url);
        let request = reqwest::Client::new().put(url).bearer_auth(token);
        let answer = request.header("content-type", "application/json").body(events).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
    }

    /// So many edits of another client, each answered.
    async fn others_are_served(session: &mut crate::support::Socket, first: u64) {
        for seq in first..first + 50 {
            session.send(&push(vec![set(seq, "a", "x", "1")])).await;
            let outcomes = loop {
                match session.next_answer().await {
                    Some(ServerFrame::Outcomes(outcomes)) => break outcomes,
                    Some(ServerFrame::Ping {}) => session.send(&ClientFrame::Pong {}).await,
                    other => panic!("{other:?}"),
                }
            };
            assert_eq!(outcomes.judgements[0].outcome, Outcome::Accepted {});
        }
    }

    /// Each takes a byte, if there is one.
    fn sip(readers: &mut [TcpStream]) {
        for reader in readers {
            let _ = reader.try_read(&mut [0]);
        }
    }

    async fn slow_readers(open: impl AsyncFn(&Process, &str, usize) -> TcpStream) {
        let data = tempfile::tempdir().unwrap();
        let process = start(data.path());
        let token = token(data.path());
        let mut session = process.session(data.path()).await;
        fill(&process, &token).await;
        let alone = Instant::now();
        others_are_served(&mut session, 1).await;
        let (alone, before) = (alone.elapsed(), peak(&process));
        let mut readers: Vec<TcpStream> = Vec::new();
        while readers.len() < self::readers() {
            let first = readers.len();
            readers.extend(join_all((first..first + CROWD).map(|at| open(&process, &token, at))).await);
        }
        let together = Instant::now();
        for round in 1..=5 {
            sip(&mut readers);
            others_are_served(&mut session, 50 * round + 1).await;
        }
        let (together, after) = (together.elapsed() / 5, peak(&process));
        println!("{} KiB before, {} KiB with {} readers", before / 1024, after / 1024, readers.len());
        println!("{alone:?} for fifty edits before, {together:?} beside them");
        let most = before + CEILING + readers.len() * CONNECTION;
        assert!(after < most, "{before} bytes before, {after} with {} readers", readers.len());
    }

    #[tokio::test]
    async fn readers_of_a_byte_a_second_over_http_hold_up_nobody() {
        slow_readers(async |process, token, _| {
            let mut connection = narrow(process).await;
            let request = format!(
                "GET /v1/streams/much?offset=-1 HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n"
            );
            connection.write_all(request.as_bytes()).await.unwrap();
            connection
        })
        .await;
    }

    #[tokio::test]
    async fn readers_of_a_byte_a_second_of_server_sent_events_hold_up_nobody() {
        slow_readers(async |process, token, _| {
            let mut connection = narrow(process).await;
            let request = format!(
                "GET /v1/streams/much?offset=-1&live=sse HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n"
            );
            connection.write_all(request.as_bytes()).await.unwrap();
            connection
        })
        .await;
    }

    #[tokio::test]
    async fn readers_of_a_byte_a_second_over_a_websocket_hold_up_nobody() {
        slow_readers(async |process, token, at| {
            let mut socket = upgraded(process, narrow(process).await).await;
            let mut id = [1; 16];
            id[..8].copy_from_slice(&(at as u64).to_le_bytes());
            let client = sdk_core::protocol::ClientId::from_random(id);
            let (versions, token) = (vec![1], token.to_owned());
            let hello = Hello { versions, token, client, resume: Vec::new(), rejected: None };
            let much = Subscribe { sub: 1, topic: "much".into(), start: Start::Earliest {} };
            for frame in [ClientFrame::Hello(hello), ClientFrame::Subscribe(much)] {
                futures::SinkExt::send(&mut socket, Message::Text(encode(&frame).into())).await.unwrap();
            }
            socket.into_inner()
        })
        .await;
    }

    /// The head of a frame of a client, of less than 126 bytes. It is masked with nothing, which changes nothing.
    fn head(opcode: u8, fin: bool, bytes: u8) -> [u8; 6] {
        [u8::from(fin) << 7 | opcode, 0x80 | bytes, 0, 0, 0, 0]
    }

    /// A session over a connection of its own, which was welcomed.
    async fn welcomed(process: &Process, data: &Path) -> TcpStream {
        let connection = TcpStream::connect(&*process.url).await.unwrap();
        let mut socket = upgraded(process, connection).await;
        let client = sdk_core::protocol::ClientId::from_random([7; 16]);
        let hello =
            Hello { versions: vec![1], token: token(data), client, resume: Vec::new(), rejected: None };
        let hello = Message::Text(encode(&ClientFrame::Hello(hello)).into());
        futures::SinkExt::send(&mut socket, hello).await.unwrap();
        let welcome = futures::StreamExt::next(&mut socket).await.unwrap().unwrap();
        assert!(welcome.to_text().unwrap().contains("welcome"));
        socket.into_inner()
    }

    /// Writes until all is out or the server has ended the connection, and tells what it has said.
    async fn flood(connection: TcpStream, count: usize, piece: &[u8]) -> String {
        let (mut reading, mut writing) = connection.into_split();
        let many = piece.repeat(1_000);
        let writes = tokio::spawn(async move {
            for _ in 0..count / 1_000 {
                if writing.write_all(&many).await.is_err() {
                    return;
                }
            }
        });
        let mut said = Vec::new();
        // Ended one way or the other.
        let _ = timeout(PATIENCE, reading.read_to_end(&mut said)).await.expect("the connection stays");
        timeout(PATIENCE, writes).await.expect("the connection stays").unwrap();
        String::from_utf8_lossy(&said).into_owned()
    }

    #[tokio::test]
    async fn a_million_fragments_or_pings_end_their_session_and_nothing_else() {
        let data = tempfile::tempdir().unwrap();
        let process = start(data.path());
        let mut session = process.session(data.path()).await;
        others_are_served(&mut session, 1).await;
        let before = peak(&process);
        let (one, none) = ([&head(0, false, 1)[..], b" "].concat(), head(0, false, 0).to_vec());
        let ping = head(9, true, 0).to_vec();
        for (number, (piece, code)) in
            [(one, "frame_too_large"), (none, "frame_too_large"), (ping, "rate_limited")]
                .into_iter()
                .enumerate()
        {
            let mut connection = welcomed(&process, data.path()).await;
            if code == "frame_too_large" {
                connection.write_all(&head(1, false, 0)).await.unwrap();
            }
            let flood = tokio::spawn(async move { flood(connection, 1_000_000, &piece).await });
            others_are_served(&mut session, 100 * number as u64 + 101).await;
            let said = flood.await.unwrap();
            assert!(said.contains(code), "{number}: {said}");
        }
        let after = peak(&process);
        println!("{} KiB before, {} KiB afterwards", before / 1024, after / 1024);
        assert!(after < before + 16 * 1024 * 1024, "{before} bytes before, {after} afterwards");
    }
}
