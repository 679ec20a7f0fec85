//! Connections into which others than their owner can write whole messages.
//!
//! An event that goes to very many readers would wake a task for each of them, and that costs more than the write
//! itself. A [`Wire`] lets one loop write to all of them. It does so only between two writes of the owner, and what the
//! network does not take of a message is sent before anything else is.

use std::{
    hint::black_box,
    io::{self, IoSlice},
    net::{Shutdown, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::serve::Listener;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::{Sleep, sleep},
};

use crate::limits::{Meter, Seat, Weight};

/// Bytes that the system keeps of what it has not sent, about. It asks for more when half of them are gone, so that a
/// peer who takes less than that within a write deadline takes too little.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT: u32 = 32 * 1024;

/// As how many bytes one byte of a message may come, at most. A fragment has a head of six: who sends many a small one
/// makes much work of little.
const FRAMING: usize = 2;
/// Bytes that are read of what comes behind a message, and more.
const READ_AHEAD: usize = 16 * 1024;

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

impl Lines {
    /// The next connection. One that failed before it was there is none.
    pub(crate) async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let (connection, address) = Listener::accept(&mut self.listener).await;
        // Frames are small and answer one another: waiting to fill a packet only delays them.
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        drop_if_slow(&connection, self.write_deadline);
        keep_little(&connection);
        (connection, address)
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

/// Has the system keep little that it has not sent yet: with very many connections whose peers do not read, that would be
/// most of all memory, which no cap in here knows of.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn keep_little(connection: &TcpStream) {
    if let Err(error) = SockRef::from(connection).set_tcp_notsent_lowat(UNSENT) {
        tracing::debug!(%error, "no TCP_NOTSENT_LOWAT");
    }
}

/// Elsewhere it keeps what it likes.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn keep_little(_: &TcpStream) {}

/// A connection, as its owner reads and writes it.
pub(crate) struct Line {
    reading: OwnedReadHalf,
    shared: Arc<Shared>,
    deadline: Duration,
    /// When writing has to go on; none while it does.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// What a connection shares with its wires.
#[derive(Debug)]
struct Shared {
    peer: SocketAddr,
    /// Held until it is known who is at the other end.
    stranger: Mutex<Option<Seat>>,
    /// What comes, if it comes in messages.
    incoming: Mutex<Option<Box<Incoming>>>,
    writing: Mutex<Writing>,
    half: OwnedWriteHalf,
}

/// A message on its way.
#[derive(Debug)]
struct Incoming {
    /// Bytes that have come of it.
    bytes: usize,
    /// Bytes that it may have.
    most: usize,
    meter: Arc<Meter>,
    weight: Option<Weight>,
}

/// More has come than any message needs.
pub(crate) const TOO_MUCH: io::ErrorKind = io::ErrorKind::InvalidData;
/// There is no room for the rest of a message.
pub(crate) const NO_MEMORY: io::ErrorKind = io::ErrorKind::OutOfMemory;

impl Incoming {
    /// So many bytes have come.
    fn add(&mut self, bytes: usize) -> io::Result<()> {
        self.bytes += bytes;
        if self.bytes > FRAMING * self.most + READ_AHEAD {
            return Err(TOO_MUCH.into());
        }
        // Of one that is light nothing is held.
        if self.weight.is_none() && self.bytes > READ_AHEAD {
            self.weight = self.meter.weigh(self.most).map_err(|_| io::Error::from(NO_MEMORY))?;
        }
        Ok(())
    }
}

/// How far writing has come.
#[derive(Debug, Default)]
struct Writing {
    /// The owner is gone.
    over: bool,
    /// The owner has something to write that did not go out, or not all of it.
    halfway: bool,
    /// What did not go out of somebody else's message.
    rest: Vec<u8>,
}

/// A connection, for others than its owner. It ends with its owner all the same.
#[derive(Clone, Debug)]
pub(crate) struct Wire(Arc<Shared>);

impl Wire {
    /// Writes a whole message, if the owner is not in the midst of one and the network takes some of it at once. What is
    /// left over goes out when the owner flushes. Never waits. Tells what became of it.
    pub(crate) fn write(&self, message: &[u8]) -> Written {
        let mut writing = self.0.writing();
        if writing.over || writing.halfway || !writing.rest.is_empty() {
            return Written::Nothing;
        }
        // Past the runtime, which need not know: if nothing goes out, the owner finds out by itself when it writes.
        match SockRef::from(self.0.connection()).send(message) {
            Ok(count) if count == message.len() => Written::All,
            Ok(0) | Err(_) => Written::Nothing,
            Ok(count) => {
                writing.rest.extend_from_slice(&message[count..]);
                Written::Some
            }
        }
    }

    /// Who is at the other end.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// From now on messages of so many bytes come, at whose memory they count.
    pub(crate) fn expect(&self, most: usize, meter: &Arc<Meter>) {
        *self.0.incoming() = Some(Box::new(Incoming { bytes: 0, most, meter: meter.clone(), weight: None }));
    }

    /// A message is there, and another may come.
    pub(crate) fn delivered(&self) {
        if let Some(incoming) = &mut *self.0.incoming() {
            (incoming.bytes, incoming.weight) = (0, None);
        }
    }

    /// It is known now who that is.
    pub(crate) fn known(&self) {
        self.0.stranger.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Looks at the memory that a write needs; see [`Shortcut::approach`](crate::hub::Shortcut::approach).
    pub(crate) fn approach(&self) {
        black_box(SockRef::from(self.0.connection()));
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
    /// A connection, and the place of somebody who is not known, if it needs one.
    pub(crate) fn new(
        connection: TcpStream,
        peer: SocketAddr,
        stranger: Option<Seat>,
        deadline: Duration,
    ) -> Self {
        let (reading, half) = connection.into_split();
        let (writing, stranger) = (Mutex::default(), Mutex::new(stranger));
        Self {
            reading,
            shared: Arc::new(Shared { peer, stranger, incoming: Mutex::default(), writing, half }),
            deadline,
            stalled: None,
        }
    }

    /// The same for others.
    pub(crate) fn wire(&self) -> Wire {
        Wire(self.shared.clone())
    }
}

impl Line {
    /// What became of a write, or that it has been waiting for too long. Whatever the network takes, it takes some
    /// kilobytes at least, so that who reads a byte now and then does not read.
    fn in_time<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let deadline = self.deadline;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(deadline)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.shared.writing().over = true;
        // Whoever is charged has hold of this connection as well.
        self.shared.incoming().take();
        // Who is told nothing by it has gone already.
        let _ = SockRef::from(self.shared.connection()).shutdown(Shutdown::Write);
    }
}

impl Shared {
    fn writing(&self) -> MutexGuard<'_, Writing> {
        // Nothing in here panics between two changes that belong together.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn incoming(&self) -> MutexGuard<'_, Option<Box<Incoming>>> {
        // As above.
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connection(&self) -> &TcpStream {
        self.half.as_ref()
    }

    /// One write to the network, once that takes something.
    fn poll_write(
        &self,
        context: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.connection().poll_write_ready(context))?;
            match write(self.connection()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_rest(&self, writing: &mut Writing, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !writing.rest.is_empty() {
            let count = ready!(self.poll_write(context, |connection| connection.try_write(&writing.rest)))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            writing.rest.drain(..count);
        }
        Poll::Ready(Ok(()))
    }

    /// One write of the owner, of so many bytes.
    fn poll_own(
        &self,
        context: &mut Context<'_>,
        bytes: usize,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let mut writing = self.writing();
        writing.halfway = true;
        ready!(self.poll_rest(&mut writing, context))?;
        let count = ready!(self.poll_write(context, write))?;
        writing.halfway = count < bytes;
        Poll::Ready(Ok(count))
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.reading).poll_read(context, buffer))?;
        let come = buffer.filled().len() - before;
        Poll::Ready(match &mut *self.shared.incoming() {
            Some(incoming) => incoming.add(come),
            None => Ok(()),
        })
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.shared.poll_own(context, bytes.len(), |connection| connection.try_write(bytes));
        self.in_time(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes = pieces.iter().map(|piece| piece.len()).sum();
        let written =
            self.shared.poll_own(context, bytes, |connection| connection.try_write_vectored(pieces));
        self.in_time(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.shared.half.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.shared.poll_rest(&mut self.shared.writing(), context);
        self.in_time(context, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.shared.poll_rest(&mut self.shared.writing(), context))?;
        match SockRef::from(self.shared.connection()).shutdown(Shutdown::Write) {
            // The peer was first.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            done => Poll::Ready(done),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(60);

    async fn pair() -> (Line, Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (connection, address) = listener.accept().await.unwrap();
        let line = Line::new(connection, address, None, DEADLINE);
        let wire = line.wire();
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
