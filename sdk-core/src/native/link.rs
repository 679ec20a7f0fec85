//! An open WebSocket.

use std::time::Duration;

use futures::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use tokio::{
    net::TcpStream,
    sync::{Mutex, mpsc, watch},
    time::timeout,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

use super::traces::Traces;
use crate::{driver::Link, protocol::with_traceparent};

/// Frames that wait to be written. The server's limit on operations in flight keeps a client far below it; one
/// that reaches it is stuck, and its link is closed.
const QUEUE: usize = 256;
/// For the farewell; a peer that does not read is not waited for.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// An open WebSocket. Frames leave from a task of their own, so that sending never waits.
#[derive(Debug)]
pub struct NativeLink {
    outgoing: mpsc::Sender<String>,
    incoming: Mutex<SplitStream<Socket>>,
    traces: Traces,
    /// Dropping it closes the link as well.
    closed: watch::Sender<bool>,
}

impl NativeLink {
    pub(super) fn new(socket: Socket, traces: Traces) -> Self {
        let (sink, stream) = socket.split();
        let (outgoing, queue) = mpsc::channel(QUEUE);
        let (closed, when_closed) = watch::channel(false);
        tokio::spawn(write(sink, queue, when_closed));
        Self { outgoing, incoming: Mutex::new(stream), traces, closed }
    }
}

impl Link for NativeLink {
    fn send(&self, text: String) {
        let text = match self.traces.current() {
            Some(parent) => with_traceparent(text, &parent),
            None => text,
        };
        if let Err(mpsc::error::TrySendError::Full(_)) = self.outgoing.try_send(text) {
            self.close();
        }
    }

    async fn receive(&self) -> Option<String> {
        let mut closed = self.closed.subscribe();
        let mut incoming = self.incoming.lock().await;
        loop {
            let message = tokio::select! {
                biased;
                _ = closed.wait_for(|closed| *closed) => return None,
                message = incoming.next() => message,
            };
            match message {
                Some(Ok(Message::Text(text))) => return Some(text.as_str().to_owned()),
                // Answered by the library.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                // The end, or something that is not of this protocol.
                _ => {
                    self.close();
                    return None;
                }
            }
        }
    }

    fn close(&self) {
        self.closed.send_replace(true);
    }
}

/// Writes until the link is closed. A failed write ends it quietly: the server's last words may still be waiting
/// to be read, and the reader meets the end after them.
async fn write(
    mut sink: SplitSink<Socket, Message>,
    mut queue: mpsc::Receiver<String>,
    mut closed: watch::Receiver<bool>,
) {
    let frames = async {
        while let Some(text) = queue.recv().await {
            if sink.send(Message::text(text)).await.is_err() {
                break;
            }
        }
        // Held open until the link is closed: dropping the queue is no way to say so.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = frames => {}
        _ = closed.wait_for(|closed| *closed) => {}
    }
    let _ = timeout(CLOSE_TIMEOUT, sink.close()).await;
}
