//! A WebSocket that holds next to nothing while it idles.
//!
//! Very many connections idle, each for long. The buffers of the library grow with what passes through them and do not
//! shrink, and what it reads ahead of a frame is memory that waits for the next. So it reads into next to nothing here: what
//! the network has beyond that is kept only until it is taken. And after something large it is made anew, as soon as
//! everything is out, and nothing but whole messages has come in.

use std::{
    io::{self, Cursor, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{Sink, SinkExt, Stream};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        protocol::{
            Role, WebSocketConfig,
            frame::{FrameHeader, coding::OpCode},
        },
    },
};

/// Bytes that the library reads at once; most frames of clients are smaller.
const READ_BUFFER: usize = 512;
/// Bytes that are asked of the network at once.
const READ_AHEAD: usize = 16 * 1024;
/// Bytes that are collected before they are written without a flush.
const WRITE_BUFFER: usize = 4 * 1024;
/// Bytes that the outgoing buffer may hold beyond one frame.
const WRITE_SLACK: usize = 64 * 1024;
/// What has passed in more bytes than this at once has left buffers behind that are worth giving back.
const KEPT: usize = 2 * 1024;
/// Bytes of the longest head of a frame.
const MAX_HEAD: usize = 14;

/// The server's end of a WebSocket.
pub(super) struct WebSocket<S = TokioIo<Upgraded>> {
    /// None only within [`Self::slim`].
    inner: Option<WebSocketStream<Intake<S>>>,
    config: WebSocketConfig,
    /// Bytes that were to be sent since the last flush.
    fed: usize,
    /// A buffer has grown.
    large: bool,
    /// All that was read has been taken, but for the beginning of a message.
    drained: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Takes over a connection whose handshake is done. Frames and messages that come have at most `most_in` bytes, frames that
    /// are sent at most `most_out`.
    pub(super) async fn new(connection: S, most_in: usize, most_out: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_write_buffer_size(most_out + WRITE_SLACK)
            .max_message_size(Some(most_in))
            .max_frame_size(Some(most_in));
        let inner = Some(fresh(Intake::new(connection), config).await);
        Self { inner, config, fed: 0, large: false, drained: false }
    }

    /// The next message. None if the connection has ended.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Message, Error>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let polled = Pin::new(inner).poll_next(context);
        self.drained = polled.is_pending();
        if let Poll::Ready(Some(Ok(message))) = &polled {
            self.large |= message.len() > KEPT;
        }
        polled
    }

    /// Sends a message with the next flush, or before. Waits only while there is no room for it.
    pub(super) async fn feed(&mut self, message: Message) -> Result<(), Error> {
        self.fed += message.len();
        self.large |= self.fed > KEPT;
        self.inner()?.feed(message).await
    }

    /// Waits until all that was fed is with the network.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        self.inner()?.flush().await?;
        self.fed = 0;
        Ok(())
    }

    /// As [`Self::flush`].
    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(Pin::new(self.inner()?).poll_flush(context))?;
        self.fed = 0;
        Poll::Ready(Ok(()))
    }

    /// Whether it holds memory that it does not need.
    pub(super) fn is_fat(&self) -> bool {
        let between = |inner: &WebSocketStream<Intake<S>>| inner.get_ref().is_between_messages();
        self.large && self.drained && self.fed == 0 && self.inner.as_ref().is_some_and(between)
    }

    /// Gives that back.
    pub(super) async fn slim(&mut self) {
        if self.is_fat()
            && let Some(inner) = self.inner.take()
        {
            self.inner = Some(fresh(inner.into_inner(), self.config).await);
            self.large = false;
        }
    }

    /// Bytes that were fed and may not be out yet.
    pub(super) fn unsent(&self) -> usize {
        self.fed
    }

    fn inner(&mut self) -> Result<&mut WebSocketStream<Intake<S>>, Error> {
        self.inner.as_mut().ok_or(Error::AlreadyClosed)
    }
}

/// Ready at once, and so never cancelled.
async fn fresh<S: AsyncRead + AsyncWrite + Unpin>(
    intake: Intake<S>,
    config: WebSocketConfig,
) -> WebSocketStream<Intake<S>> {
    WebSocketStream::from_raw_socket(intake, Role::Server, Some(config)).await
}

/// A connection that is asked for much at once and gives it away in pieces, and knows where messages end.
struct Intake<S> {
    connection: S,
    /// What has come and was not asked for yet.
    ahead: Vec<u8>,
    /// How much of that has been taken.
    taken: usize,
    frames: Frames,
}

impl<S> Intake<S> {
    fn new(connection: S) -> Self {
        Self { connection, ahead: Vec::new(), taken: 0, frames: Frames::default() }
    }

    fn is_between_messages(&self) -> bool {
        self.ahead.is_empty() && self.frames.is_between_messages()
    }

    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let rest = &self.ahead[self.taken..];
        let piece = &rest[..rest.len().min(buffer.remaining())];
        buffer.put_slice(piece);
        self.frames.pass(piece);
        self.taken += piece.len();
        if self.taken == self.ahead.len() {
            (self.ahead, self.taken) = (Vec::new(), 0);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Intake<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            let mut space = [MaybeUninit::uninit(); READ_AHEAD];
            let mut read = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut this.connection).poll_read(context, &mut read))?;
            let now = read.filled().len().min(buffer.remaining());
            let (piece, rest) = read.filled().split_at(now);
            buffer.put_slice(piece);
            this.frames.pass(piece);
            // Without a heap for what fits.
            this.ahead = rest.to_vec();
        } else {
            this.give(buffer);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Intake<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}

/// Where frames and messages end in the bytes that pass (RFC 6455, section 5.2).
#[derive(Default)]
struct Frames {
    head: [u8; MAX_HEAD],
    /// Bytes of a head that have come.
    known: usize,
    /// Bytes of the frame's payload that are to come.
    left: u64,
    /// A message has begun, and its last frame has not.
    unfinished: bool,
}

impl Frames {
    fn is_between_messages(&self) -> bool {
        self.known == 0 && self.left == 0 && !self.unfinished
    }

    fn pass(&mut self, mut bytes: &[u8]) {
        while let Some(first) = bytes.first() {
            if self.left > 0 {
                let most = usize::try_from(self.left).unwrap_or(usize::MAX);
                let passed = bytes.len().min(most);
                self.left -= passed as u64;
                bytes = &bytes[passed..];
                continue;
            }
            // What is no frame ends the connection, by who reads it.
            let Some(place) = self.head.get_mut(self.known) else { return };
            *place = *first;
            self.known += 1;
            bytes = &bytes[1..];
            if let Ok(Some((head, length))) = FrameHeader::parse(&mut Cursor::new(&self.head[..self.known])) {
                (self.known, self.left) = (0, length);
                if matches!(head.opcode, OpCode::Data(_)) {
                    self.unfinished = !head.is_final;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt, future::poll_fn};
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const MOST: usize = 1024 * 1024;

    /// Both ends of a connection, the client's as bytes.
    async fn pair() -> (WebSocket<DuplexStream>, DuplexStream) {
        let (server, client) = duplex(4 * MOST);
        (WebSocket::new(server, MOST, MOST).await, client)
    }

    fn frame(is_final: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![u8::from(is_final) << 7 | opcode];
        match payload.len() {
            length @ ..126 => bytes.push(0x80 | length as u8),
            length @ ..65_536 => {
                bytes.push(0x80 | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(0x80 | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        // A mask of zeros leaves everything as it is.
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes
    }

    fn text(payload: &str) -> Vec<u8> {
        frame(true, 1, payload.as_bytes())
    }

    fn next(socket: &mut WebSocket<DuplexStream>) -> Option<String> {
        let polled = poll_fn(|context| socket.poll_next(context)).now_or_never()?;
        Some(polled.unwrap().unwrap().into_text().unwrap().to_string())
    }

    #[tokio::test]
    async fn what_came_ahead_of_its_turn_is_not_lost() {
        let (mut socket, mut client) = pair().await;
        let messages: Vec<String> = (0..200).map(|n| n.to_string().repeat(n * 7)).collect();
        let bytes: Vec<u8> = messages.iter().flat_map(|message| text(message)).collect();
        client.write_all(&bytes).await.unwrap();
        for message in &messages {
            assert_eq!(next(&mut socket).as_ref(), Some(message));
        }
        assert_eq!(next(&mut socket), None);
        assert!(socket.inner.as_ref().unwrap().get_ref().ahead.is_empty());
    }

    #[tokio::test]
    async fn memory_is_given_back_between_messages_and_never_within_one() {
        let (mut socket, mut client) = pair().await;
        let large = "l".repeat(KEPT + 1);
        let halves = large.split_at(KEPT / 2);
        let mut bytes = text(&large);
        bytes.extend(frame(false, 1, halves.0.as_bytes()));
        // A control frame may stand within a message.
        bytes.extend(frame(true, 10, b"?"));
        bytes.extend(frame(true, 0, halves.1.as_bytes()));
        bytes.extend(text("end"));
        let first_ends = text(&large).len();
        let mut seen = Vec::new();
        for (at, byte) in bytes.iter().enumerate() {
            client.write_all(&[*byte]).await.unwrap();
            while let Some(message) = next(&mut socket) {
                seen.push(message);
            }
            let whole = at + 1 == first_ends || at + 1 >= bytes.len() - text("end").len();
            assert!(whole || !socket.is_fat(), "in the midst of a message, at byte {at}");
            assert!(at + 1 != first_ends || socket.is_fat());
            socket.slim().await;
            assert!(!socket.is_fat());
        }
        // The pong is a message of its own.
        assert_eq!(seen, [&large, "?", &large, "end"]);
    }

    #[tokio::test]
    async fn what_is_to_be_sent_keeps_its_buffer_until_it_is_out() {
        let (server, client) = duplex(1024);
        let mut socket = WebSocket::new(server, MOST, MOST).await;
        let large = Message::text("l".repeat(10 * KEPT));
        assert!(socket.feed(large.clone()).now_or_never().is_some());
        let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        assert_eq!(next(&mut socket), None);
        assert!(!socket.is_fat());
        let (flushed, received) = tokio::join!(socket.flush(), client.next());
        flushed.unwrap();
        assert_eq!(received.unwrap().unwrap(), large);
        assert_eq!(next(&mut socket), None);
        assert!(socket.is_fat());
        socket.slim().await;
        client.send(Message::text("after")).await.unwrap();
        assert_eq!(next(&mut socket).as_deref(), Some("after"));
    }
}
