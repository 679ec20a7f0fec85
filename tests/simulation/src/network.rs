//! The virtual network: per connection an ordered stream each way, and what becomes of it when it is cut.

use std::collections::{BTreeMap, VecDeque};

use sdk_core::engine::LinkId;

use crate::agenda::Time;

/// Names a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub u64);

/// What a stream carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// One text frame.
    Frame(String),
    /// The sender has closed.
    Close,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    items: VecDeque<Item>,
    newest: Time,
    stalled: usize,
    held_until: Time,
}

impl Stream {
    /// Takes an item on its way; returns when it arrives, never before the one sent earlier.
    pub(crate) fn send(&mut self, item: Item, arrives: Time) -> Time {
        self.items.push_back(item);
        self.newest = self.newest.max(arrives);
        self.newest
    }

    /// The item that arrives now.
    pub(crate) fn arrive(&mut self) -> Option<Item> {
        self.items.pop_front()
    }

    /// What should arrive now is held up.
    pub(crate) fn stall(&mut self) {
        self.stalled += 1;
    }

    /// How much is held up; it is not any more.
    pub(crate) fn release(&mut self) -> usize {
        std::mem::take(&mut self.stalled)
    }

    /// Whatever is on its way arrives no earlier than this.
    pub(crate) fn hold(&mut self, until: Time) {
        self.held_until = until;
    }

    /// When what should arrive at `now` will.
    pub(crate) fn held(&self, now: Time) -> Option<Time> {
        Some(self.held_until).filter(|until| *until > now)
    }

    /// Items on their way.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// The connection is cut: all but the first `kept` items are lost.
    pub(crate) fn cut(&mut self, kept: usize) {
        self.items.truncate(kept);
    }
}

/// One WebSocket.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Whose it is.
    pub(crate) client: usize,
    /// Which life of that client opened it.
    pub(crate) life: u32,
    /// What the client calls it.
    pub(crate) link: LinkId,
    /// From the client.
    pub(crate) up: Stream,
    /// To the client.
    pub(crate) down: Stream,
    /// Whether the client's end is open.
    pub(crate) near: bool,
    /// Whether the server's end is open.
    pub(crate) far: bool,
    /// Whether it was cut; what is still in it arrives, nothing is added.
    pub(crate) severed: bool,
}

/// What is between one client and the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Path {
    /// Nothing gets to the server.
    pub(crate) up_blocked: bool,
    /// Nothing gets to the client.
    pub(crate) down_blocked: bool,
    /// WebSockets are refused.
    pub(crate) refuses_websockets: bool,
}

/// All connections, and every client's path.
#[derive(Debug, Default)]
pub(crate) struct Network {
    /// Every connection with an end that is open, or with something in it.
    pub(crate) connections: BTreeMap<ConnectionId, Connection>,
    /// By client.
    pub(crate) paths: Vec<Path>,
    opened: u64,
}

impl Network {
    /// A network for so many clients.
    pub(crate) fn new(clients: usize) -> Self {
        Self { paths: vec![Path::default(); clients], ..Self::default() }
    }

    /// A new connection with both ends open.
    pub(crate) fn open(&mut self, client: usize, life: u32, link: LinkId) -> ConnectionId {
        self.opened += 1;
        let id = ConnectionId(self.opened);
        let (up, down) = (Stream::default(), Stream::default());
        let connection = Connection { client, life, link, up, down, near: true, far: true, severed: false };
        self.connections.insert(id, connection);
        id
    }

    /// Forgets connections that can do nothing any more.
    pub(crate) fn sweep(&mut self) {
        self.connections.retain(|_, one| one.near || one.far || one.up.len() > 0);
    }

    /// The newest connection of a client with an open end.
    pub(crate) fn newest(&self, client: usize) -> Option<ConnectionId> {
        let mine = |(_, one): &(&ConnectionId, &Connection)| one.client == client && one.near;
        self.connections.iter().rev().find(mine).map(|(id, _)| *id)
    }
}
