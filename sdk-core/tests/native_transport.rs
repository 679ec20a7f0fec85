//! The native transport, against servers that behave and servers that do not.

use std::{future::Future, io::Write, time::Duration};

use flate2::{Compression, write::GzEncoder};
use futures::{SinkExt, StreamExt};
use sdk_core::{
    driver::{HttpGet, HttpReply, HttpRequest, Link, Transport, TransportError},
    native::{NativeLink, NativeTransport},
    protocol::SUBPROTOCOL,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL},
    },
};

/// A server for one connection, and the transport that reaches it.
async fn serve<F: Future<Output = ()> + Send + 'static>(
    connection: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> NativeTransport {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { connection(listener.accept().await.unwrap().0).await });
    NativeTransport::new(&format!("http://{address}")).unwrap()
}

async fn accept(stream: TcpStream) -> WebSocketStream<TcpStream> {
    #[expect(clippy::result_large_err, reason = "the library's signature")]
    let agree = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        assert_eq!(request.uri().path(), "/v1/realtime");
        assert_eq!(request.headers()[SEC_WEBSOCKET_PROTOCOL], SUBPROTOCOL);
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        Ok(response)
    };
    accept_hdr_async(stream, agree).await.unwrap()
}

async fn receive(link: &NativeLink) -> Option<String> {
    timeout(Duration::from_secs(10), link.receive()).await.expect("the link says something")
}

#[tokio::test]
async fn frames_go_both_ways_in_order() {
    let transport = serve(|stream| async {
        let mut socket = accept(stream).await;
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() {
                socket.send(message).await.unwrap();
            }
        }
    });
    let link = transport.await.open().await.unwrap();
    let frames = (0..100).map(|n| format!("{{\"n\":{n}}}")).collect::<Vec<_>>();
    frames.iter().for_each(|frame| link.send(frame.clone()));
    for frame in frames {
        assert_eq!(receive(&link).await, Some(frame));
    }
}

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn a_frame_names_the_trace_that_the_application_is_in_when_it_is_sent() {
    let transport = serve(|stream| async {
        let mut socket = accept(stream).await;
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() {
                socket.send(message).await.unwrap();
            }
        }
    });
    let transport = transport.await;
    let link = transport.open().await.unwrap();
    let frame = r#"{"leave":{"room":"r"}}"#;
    link.send(frame.into());
    assert_eq!(receive(&link).await.as_deref(), Some(frame));
    transport.trace_by(|| Some(PARENT.into()));
    link.send(frame.into());
    let traced = format!(r#"{{"leave":{{"traceparent":"{PARENT}","room":"r"}}}}"#);
    assert_eq!(receive(&link).await, Some(traced));
    transport.trace_by(|| Some("\"no trace\"".into()));
    link.send(frame.into());
    assert_eq!(receive(&link).await.as_deref(), Some(frame));
}

#[tokio::test]
async fn a_request_names_its_trace_in_a_header() {
    let transport = serve(|mut stream| async move {
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.unwrap();
        let head = String::from_utf8_lossy(&request[..length]).to_lowercase();
        let traced = head.contains(&format!("\r\ntraceparent: {PARENT}\r\n"));
        let answer =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{traced}", traced.to_string().len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    let transport = transport.await;
    transport.trace_by(|| Some(PARENT.into()));
    let request = HttpRequest { path: "v1/pull", token: "t".into(), body: String::new() };
    assert_eq!(transport.post(request).await.unwrap().body, "true");
}

#[tokio::test]
async fn a_server_that_does_not_agree_to_the_subprotocol_is_not_opened() {
    let transport = serve(|stream| async {
        let _socket = tokio_tungstenite::accept_async(stream).await;
    });
    assert!(transport.await.open().await.is_err());
}

#[tokio::test]
async fn a_refused_upgrade_is_an_error() {
    let transport = serve(|stream| answer(stream, "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"));
    let error = transport.await.open().await.unwrap_err();
    assert!(error.message.contains("403"), "{error}");
}

#[tokio::test]
async fn a_server_that_hangs_up_ends_the_link() {
    let transport = serve(|stream| async { drop(accept(stream).await) });
    let link = transport.await.open().await.unwrap();
    assert_eq!(receive(&link).await, None);
    link.send("into the void".into());
    assert_eq!(receive(&link).await, None);
}

#[tokio::test]
async fn the_last_words_of_a_server_are_read_before_the_end() {
    let transport = serve(|stream| async {
        let mut socket = accept(stream).await;
        socket.send(Message::text("goodbye")).await.unwrap();
        socket.close(None).await.unwrap();
    });
    let link = transport.await.open().await.unwrap();
    // Whatever is written meanwhile fails, and must not hide what was said before.
    for _ in 0..20 {
        link.send("x".repeat(10_000));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(receive(&link).await.as_deref(), Some("goodbye"));
    assert_eq!(receive(&link).await, None);
}

#[tokio::test]
async fn closing_ends_it_on_both_sides() {
    let (told, when_told) = tokio::sync::oneshot::channel();
    let transport = serve(|stream| async {
        let mut socket = accept(stream).await;
        while let Some(Ok(_)) = socket.next().await {}
        told.send(()).unwrap();
    });
    let link = transport.await.open().await.unwrap();
    let receiving = link.receive();
    link.close();
    assert_eq!(timeout(Duration::from_secs(10), receiving).await, Ok(None));
    timeout(Duration::from_secs(10), when_told).await.expect("the server notices").unwrap();
}

#[tokio::test]
async fn dropping_the_link_closes_it() {
    let (told, when_told) = tokio::sync::oneshot::channel();
    let transport = serve(|stream| async {
        let mut socket = accept(stream).await;
        while let Some(Ok(_)) = socket.next().await {}
        told.send(()).unwrap();
    });
    drop(transport.await.open().await.unwrap());
    timeout(Duration::from_secs(10), when_told).await.expect("the server notices").unwrap();
}

#[tokio::test]
async fn a_message_beyond_the_limit_ends_the_link() {
    let transport = serve(|stream| async {
        let mut socket = accept(stream).await;
        // The client hangs up in the middle of it.
        let _ = socket.send(Message::text("x".repeat(5 << 20))).await;
    });
    let link = transport.await.open().await.unwrap();
    assert_eq!(receive(&link).await, None);
}

#[tokio::test]
async fn a_peer_that_does_not_read_fills_the_queue_and_loses_the_link() {
    let transport = serve(|stream| async {
        let _socket = accept(stream).await;
        std::future::pending::<()>().await;
    });
    let link = transport.await.open().await.unwrap();
    let frame = "x".repeat(100_000);
    for _ in 0..1_000 {
        link.send(frame.clone());
        tokio::task::yield_now().await;
    }
    assert_eq!(receive(&link).await, None);
}

/// Reads one request and writes one answer, then hangs up.
async fn answer(mut stream: TcpStream, response: impl AsRef<[u8]>) {
    read_request(&mut stream).await;
    stream.write_all(response.as_ref()).await.ok();
    stream.shutdown().await.ok();
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        stream.read_buf(&mut request).await.unwrap();
        let text = String::from_utf8_lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_lowercase().split_once("content-length: ").map_or(0, |(_, rest)| {
                rest.split("\r\n").next().and_then(|length| length.parse::<usize>().ok()).unwrap_or(0)
            });
            if body.len() >= length {
                return text.into_owned();
            }
        }
    }
}

async fn post(transport: &NativeTransport) -> Result<HttpReply, TransportError> {
    let request = HttpRequest { path: "v1/push", token: "secret".into(), body: "{\"a\":1}".into() };
    timeout(Duration::from_secs(10), transport.post(request)).await.expect("an answer in time")
}

#[tokio::test]
async fn a_post_carries_token_and_body_and_brings_status_and_delay() {
    let (told, when_told) = tokio::sync::oneshot::channel();
    let transport = serve(|mut stream| async move {
        told.send(read_request(&mut stream).await).unwrap();
        let response = "HTTP/1.1 503 Busy\r\nretry-after: 7\r\nserver: x\r\ncontent-length: 4\r\n\r\nbusy";
        stream.write_all(response.as_bytes()).await.unwrap();
    });
    let reply = post(&transport.await).await;
    let headers = vec![("retry-after", "7".to_owned())];
    assert_eq!(reply, Ok(HttpReply { status: 503, headers, body: "busy".into() }));
    assert_eq!(reply.unwrap().retry_after(), Some(7_000));
    let request = when_told.await.unwrap().to_lowercase();
    assert!(request.starts_with("post /v1/push http/1.1\r\n"), "{request}");
    for line in
        ["\r\nauthorization: bearer secret\r\n", "\r\ncontent-type: application/json\r\n", "{\"a\":1}"]
    {
        assert!(request.contains(line), "{line:?} in {request}");
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let response = "HTTP/1.1 307 Elsewhere\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    let transport = serve(move |stream| answer(stream, response)).await;
    assert_eq!(post(&transport).await.map(|reply| reply.status), Ok(307));
}

#[tokio::test]
async fn an_answer_that_goes_on_is_given_as_it_comes_until_no_more_is_wanted() {
    let (ended, when_ended) = tokio::sync::oneshot::channel();
    let transport = serve(|mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\none,").await.unwrap();
        // It goes on for ever; what ends it is that nobody takes it.
        while stream.write_all(b"more,").await.is_ok() {
            tokio::task::yield_now().await;
        }
        ended.send(()).unwrap();
    });
    let taken = std::sync::Mutex::new(Vec::new());
    let each = |bytes: &mut Vec<u8>| {
        let mut taken = taken.lock().unwrap();
        taken.append(bytes);
        taken.len() < 100
    };
    let path = "v1/streams/t?live=sse".into();
    let request = HttpGet { path, token: "secret".into(), bypass: true, waits: true };
    let answer = timeout(Duration::from_secs(10), transport.await.get(request, &each)).await;
    assert!(answer.expect("an end in time").is_err());
    assert!(taken.lock().unwrap().starts_with(b"one,more,"));
    timeout(Duration::from_secs(10), when_ended).await.expect("the server hears of it").unwrap();
}

#[tokio::test]
async fn a_request_whose_future_is_dropped_is_over_for_the_server_too() {
    let (came, when_it_came) = tokio::sync::oneshot::channel();
    let (ended, when_ended) = tokio::sync::oneshot::channel();
    let transport = serve(|mut stream| async move {
        came.send(read_request(&mut stream).await).unwrap();
        // Nothing is answered, and nothing more is said before the connection ends.
        ended.send(stream.read(&mut [0; 16]).await.unwrap_or(0)).unwrap();
    });
    let transport = transport.await;
    let path = "v1/streams/t?live=long-poll".into();
    let request = HttpGet { path, token: "secret".into(), bypass: true, waits: true };
    tokio::select! {
        _ = transport.get(request, &|_| true) => panic!("nothing was answered"),
        request = when_it_came => assert!(request.unwrap().contains("live=long-poll")),
    }
    assert_eq!(timeout(Duration::from_secs(10), when_ended).await.expect("an end in time"), Ok(0));
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_cut_off() {
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(6 << 20));
    let transport = serve(move |stream| answer(stream, endless)).await;
    assert_eq!(post(&transport).await.map(|reply| reply.body.len()), Ok(4 << 20));
}

/// An answer in gzip, whose body is so many spaces.
fn compressed(bytes: usize) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(" ".repeat(bytes).as_bytes()).unwrap();
    let body = gzip.finish().unwrap();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.into_bytes(), body].concat()
}

#[tokio::test]
async fn a_compressed_answer_is_asked_for_and_read() {
    let (told, when_told) = tokio::sync::oneshot::channel();
    let transport = serve(|mut stream| async move {
        told.send(read_request(&mut stream).await).unwrap();
        stream.write_all(&compressed(10_000)).await.unwrap();
    });
    let reply = post(&transport.await).await.unwrap();
    assert!(reply.body == " ".repeat(10_000), "{} bytes", reply.body.len());
    assert!(when_told.await.unwrap().to_lowercase().contains("\r\naccept-encoding: gzip\r\n"));
}

#[tokio::test]
async fn a_small_answer_that_grows_beyond_the_limit_is_cut_off() {
    let bomb = compressed(256 << 20);
    assert!(bomb.len() < 1 << 20);
    let transport = serve(move |stream| answer(stream, bomb)).await;
    assert_eq!(post(&transport).await.map(|reply| reply.body.len()), Ok(4 << 20));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer() {
    let response = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbroken";
    let transport = serve(move |stream| answer(stream, response)).await;
    assert!(post(&transport).await.is_err());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_with_the_reason() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let transport = NativeTransport::new(&format!("http://{free}")).unwrap();
    let error = post(&transport).await.unwrap_err();
    assert!(error.message.to_lowercase().contains("refused"), "{error}");
    assert!(transport.open().await.is_err());
}
