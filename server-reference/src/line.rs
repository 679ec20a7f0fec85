//! Connections into which others than their owner can write whole messages.
//!
//! An event that goes to very many readers would wake a task for each of them, and that costs more than the write
//! itself. A [`Wire`] lets one loop write to all of them. It does so only between two writes of the owner, and what the
//! network does not take of a message is sent before anything else is.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
#[cfg(any(target_os = "linux", target_os = "android"))]
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// Listens for connections.
pub(crate) struct Lines {
    listener: TcpListener,
    write_deadline: Duration,
}

impl Lines {
    /// Connections end whose peer does not take what it is sent within a time.
    pub(crate) fn new(listener: TcpListener, write_deadline: Duration) -> Self {
        Self { listener, write_deadline }
    }
}

impl Listener for Lines {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        let (connection, address) = Listener::accept(&mut self.listener).await;
        // Frames are small and answer one another: waiting to fill a packet only delays them.
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        drop_if_slow(&connection, self.write_deadline);
        (Line::new(connection), address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Ends a connection whose peer does not take what it is sent within a time, whoever waits for it and whatever lies in
/// its buffers.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn drop_if_slow(connection: &TcpStream, time: Duration) {
    if let Err(error) = SockRef::from(connection).set_tcp_user_timeout(Some(time)) {
        tracing::debug!(%error, "no TCP_USER_TIMEOUT");
    }
}

/// Elsewhere it stays until its peer or the network ends it.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn drop_if_slow(_: &TcpStream, _: Duration) {}

/// A connection, as its owner reads and writes it.
pub(crate) struct Line {
    reading: OwnedReadHalf,
    writing: Arc<Mutex<Writing>>,
}

/// What of a connection is written to.
struct Writing {
    half: OwnedWriteHalf,
    /// The owner has something to write that did not go out, or not all of it.
    halfway: bool,
    /// What did not go out of somebody else's message.
    rest: Vec<u8>,
}

/// A connection, for others than its owner. It does not keep it open.
#[derive(Clone)]
pub(crate) struct Wire(Weak<Mutex<Writing>>);

impl Connected<IncomingStream<'_, Lines>> for Wire {
    fn connect_info(stream: IncomingStream<'_, Lines>) -> Self {
        Self(Arc::downgrade(&stream.io().writing))
    }
}

impl Wire {
    /// Writes a whole message, if the owner is not in the midst of one and the network takes some of it at once. What is
    /// left over goes out when the owner flushes. Never waits. Tells what became of it.
    pub(crate) fn write(&self, message: &[u8]) -> Written {
        let Some(writing) = self.0.upgrade() else { return Written::Nothing };
        let mut writing = lock(&writing);
        if writing.halfway || !writing.rest.is_empty() {
            return Written::Nothing;
        }
        match writing.half.try_write(message) {
            Ok(count) if count == message.len() => Written::All,
            Ok(0) | Err(_) => Written::Nothing,
            Ok(count) => {
                writing.rest.extend_from_slice(&message[count..]);
                Written::Some
            }
        }
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// It went out.
    All,
    /// The owner has to flush for it to go out.
    Some,
    /// Nothing of it went out, and nothing will.
    Nothing,
}

impl Line {
    fn new(connection: TcpStream) -> Self {
        let (reading, half) = connection.into_split();
        let writing = Writing { half, halfway: false, rest: Vec::new() };
        Self { reading, writing: Arc::new(Mutex::new(writing)) }
    }
}

impl Writing {
    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.rest.is_empty() {
            let count = ready!(Pin::new(&mut self.half).poll_write(context, &self.rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.rest.drain(..count);
        }
        Poll::Ready(Ok(()))
    }

    /// One write of the owner, of so many bytes.
    fn poll_own(
        &mut self,
        context: &mut Context<'_>,
        bytes: usize,
        write: impl FnOnce(Pin<&mut OwnedWriteHalf>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.halfway = true;
        ready!(self.poll_rest(context))?;
        let count = ready!(write(Pin::new(&mut self.half), context))?;
        self.halfway = count < bytes;
        Poll::Ready(Ok(count))
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reading).poll_read(context, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        lock(&self.writing).poll_own(context, bytes.len(), |half, context| half.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes = pieces.iter().map(|piece| piece.len()).sum();
        lock(&self.writing)
            .poll_own(context, bytes, |half, context| half.poll_write_vectored(context, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        lock(&self.writing).half.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut writing = lock(&self.writing);
        ready!(writing.poll_rest(context))?;
        Pin::new(&mut writing.half).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut writing = lock(&self.writing);
        ready!(writing.poll_rest(context))?;
        Pin::new(&mut writing.half).poll_shutdown(context)
    }
}

fn lock(writing: &Mutex<Writing>) -> MutexGuard<'_, Writing> {
    // Nothing in here panics between two changes that belong together.
    writing.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn pair() -> (Line, Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let line = Line::new(listener.accept().await.unwrap().0);
        let wire = Wire(Arc::downgrade(&line.writing));
        (line, wire, peer)
    }

    #[tokio::test]
    async fn messages_of_others_go_out_between_those_of_the_owner() {
        let (mut line, wire, mut peer) = pair().await;
        line.write_all(b"one ").await.unwrap();
        assert_eq!(wire.write(b"two "), Written::All);
        line.write_all(b"three").await.unwrap();
        drop(line);
        let mut text = String::new();
        peer.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "one two three");
        assert_eq!(wire.write(b"four"), Written::Nothing);
    }

    #[tokio::test]
    async fn what_the_network_does_not_take_of_a_message_goes_out_first_when_the_owner_flushes() {
        let (mut line, wire, mut peer) = pair().await;
        let message = vec![b'm'; 64 * 1024];
        let mut whole = 0;
        let last = loop {
            match wire.write(&message) {
                Written::All => whole += 1,
                last => break last,
            }
        };
        assert_eq!(wire.write(&message), Written::Nothing);
        let writes = tokio::spawn(async move {
            line.flush().await.unwrap();
            line.write_all(b"end").await.unwrap();
        });
        let mut bytes = Vec::new();
        peer.read_to_end(&mut bytes).await.unwrap();
        writes.await.unwrap();
        let count = whole + usize::from(last == Written::Some);
        assert_eq!(bytes.len(), count * message.len() + 3);
        assert!(bytes.ends_with(b"mend"));
    }

    #[tokio::test]
    async fn nothing_comes_between_the_parts_of_a_message_of_the_owner() {
        let (mut line, wire, mut peer) = pair().await;
        let own = vec![b'o'; 16 * 1024 * 1024];
        let length = own.len();
        let writes = tokio::spawn(async move { line.write_all(&own).await.map(|()| line) });
        let mut begin = [0; 1];
        peer.read_exact(&mut begin).await.unwrap();
        let read = tokio::spawn(async move {
            let mut bytes = Vec::new();
            peer.read_to_end(&mut bytes).await.map(|_| bytes)
        });
        let mut others = 0;
        while !writes.is_finished() {
            others += usize::from(wire.write(b"?") == Written::All);
            tokio::task::yield_now().await;
        }
        drop(writes.await.unwrap());
        let bytes = read.await.unwrap().unwrap();
        assert!(bytes[..length - 1].iter().all(|byte| *byte == b'o'));
        assert_eq!(bytes.len(), length - 1 + others);
    }
}
