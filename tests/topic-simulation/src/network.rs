//! The virtual network: what is between a client and the server, and the connections of WebSockets through it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::serve::Listener;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split},
    sync::{Notify, mpsc},
    time::{Duration, sleep},
};

use crate::sim::Sim;

/// Bytes that are under way in one direction, at most.
const WINDOW: usize = 64 * 1024;

/// What becomes of an attempt to open a WebSocket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Sockets {
    /// It opens.
    #[default]
    Open,
    /// It is refused.
    Refused,
    /// It is answered with a page.
    Page,
    /// It is not answered.
    Silent,
}

/// What becomes of a plain request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Requests {
    /// The server answers.
    #[default]
    Open,
    /// There is no way to the server.
    Refused,
    /// It is answered with a page.
    Page,
    /// It is not answered.
    Silent,
}

/// What is between one client and the server.
#[derive(Debug, Default)]
pub(crate) struct Path {
    pub(crate) sockets: Sockets,
    pub(crate) requests: Requests,
    /// Answers are passed on once they are whole.
    pub(crate) buffers: bool,
    /// What brings nothing for so many milliseconds is ended.
    pub(crate) patience: Option<u64>,
    /// Answers that are damaged, per mille.
    pub(crate) damage: u64,
    /// What was answered is answered again.
    pub(crate) stale: bool,
    /// What would wait for something to happen is answered at once.
    pub(crate) hasty: bool,
    /// Since when it is like this.
    pub(crate) since: u64,
    /// All that is under way breaks.
    pub(crate) cuts: Arc<Notify>,
}

/// Something that happens once. Who waits for it is told in the order of coming, which a channel leaves to chance.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    given: AtomicBool,
    waiting: Notify,
}

impl Signal {
    pub(crate) fn give(&self) {
        self.given.store(true, Ordering::Relaxed);
        self.waiting.notify_waiters();
    }

    pub(crate) fn is_given(&self) -> bool {
        self.given.load(Ordering::Relaxed)
    }

    /// Resolves when it was given.
    pub(crate) async fn wait(&self) {
        if !self.is_given() {
            self.waiting.notified().await;
        }
    }
}

impl Path {
    /// It is another one from now on.
    pub(crate) fn change(&mut self, now: u64, change: impl FnOnce(&mut Self)) {
        let cuts = std::mem::take(&mut self.cuts);
        *self = Self { cuts, since: now, ..Self::default() };
        change(self);
    }

    /// All that is under way breaks.
    pub(crate) fn cut(&mut self) {
        self.cuts.notify_waiters();
    }
}

/// The server's end of connections that are to be taken.
pub(crate) struct Incoming(pub(crate) mpsc::UnboundedReceiver<DuplexStream>);

impl Listener for Incoming {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.recv().await {
            Some(end) => (end, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Connects a client with the server through its path; returns the client's end. `server` resolves when the server is gone.
pub(crate) fn connect(
    sim: &Arc<Sim>,
    client: usize,
    accept: &mpsc::UnboundedSender<DuplexStream>,
    server: Arc<Signal>,
) -> DuplexStream {
    let (near, ours) = duplex(WINDOW);
    let (theirs, far) = duplex(WINDOW);
    // A server that is gone takes nothing.
    let _ = accept.send(far);
    let sim = sim.clone();
    tokio::spawn(async move {
        let cuts = sim.path(client).cuts.clone();
        let silent = Arc::new(AtomicBool::new(false));
        let ((up_from, down_to), (down_from, up_to)) = (split(ours), split(theirs));
        let up = tokio::spawn(pump(sim.clone(), client, up_from, up_to, silent.clone()));
        let down = tokio::spawn(pump(sim.clone(), client, down_from, down_to, silent.clone()));
        let ends = [up.abort_handle(), down.abort_handle()];
        let over = async { tokio::join!(up, down) };
        tokio::select! {
            biased;
            _ = over => return,
            () = cuts.notified() => {}
            () = server.wait() => {}
        }
        // Whether the client is told, or has to notice by itself.
        if sim.chance(300) {
            silent.store(true, Ordering::Relaxed);
            sleep(Duration::from_secs(150)).await;
        }
        ends.iter().for_each(tokio::task::AbortHandle::abort);
    });
    near
}

/// Passes bytes on, in order and later, while the path lets them through.
async fn pump(
    sim: Arc<Sim>,
    client: usize,
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
    silent: Arc<AtomicBool>,
) {
    let mut bytes = vec![0; WINDOW];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        sim.wait(sim.plan.latency).await;
        while silent.load(Ordering::Relaxed) || sim.path(client).sockets == Sockets::Silent {
            sleep(Duration::from_millis(500)).await;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
    // The other side is told; if it is gone itself, nobody has to be.
    let _ = to.shutdown().await;
}
