//! What goes wrong, and how it is mended.

use sdk_core::engine::Input;

use crate::{
    network::{ConnectionId, Item},
    plan::Fault,
    server::SessionInput,
    workload,
    world::{Event, World},
};

/// Milliseconds that a server which stops gives its sessions.
const GRACE: u64 = 1_000;
/// Live queries of one application.
const QUERIES: usize = 6;

impl World {
    /// An application does something, and plans to do something else.
    pub(crate) fn act(&mut self, index: usize) {
        if self.healed.is_some() {
            return;
        }
        let pause = self.up_to(self.plan.pace);
        self.agenda.after(pause, Event::Act(index));
        if self.clients[index].engine.is_none() {
            return;
        }
        match self.random.u8(0..20) {
            0..12 => {
                for _ in 0..self.random.usize(1..=self.plan.burst) {
                    match self.clients[index].newest {
                        Some(newest) if self.random.u8(0..4) == 0 => self.go_on_with(index, newest),
                        _ => self.submit(index),
                    }
                }
            }
            12 | 13 => {
                for _ in 0..self.random.usize(1..=self.plan.burst) {
                    self.amend(index);
                }
            }
            14 | 15 => {
                self.look_at_something(index);
                let open: Vec<_> = self.clients[index].queries.keys().copied().collect();
                open.into_iter().for_each(|id| self.check_view(index, id));
            }
            16 => {
                if let Some(id) = self.clients[index].queries.keys().next().copied() {
                    self.clients[index].queries.remove(&id);
                    self.input(index, Input::Close(id));
                }
            }
            17 => {
                let allowed = self.random.u8(0..3) > 0;
                self.note(format_args!("client {index} network: {allowed}"));
                self.input(index, Input::Network(allowed));
            }
            18 => self.input(index, Input::Wake),
            19 if self.random.bool() => self.decide(index),
            _ => self.discard_rejected(index),
        }
    }

    fn submit(&mut self, index: usize) {
        let tag = self.ledger.submissions.len() as u64 + 1;
        let (doc, intents) = workload::edit(&mut self.random, &self.plan, tag);
        let Some(maker) = self.clients[index].engine.as_ref().map(|engine| engine.client()) else { return };
        let ticket = self.ledger.submit(index, maker, doc.clone(), intents.clone());
        let parents = self.parents(index);
        self.ledger.submissions.entry(ticket).and_modify(|one| {
            one.after = parents.iter().map(|(parent, _)| *parent).collect();
        });
        self.clients[index].reads.edited(&doc, ticket);
        self.clients[index].newest = Some(ticket);
        self.tally.submissions += 1;
        self.tally.dependents += u64::from(!parents.is_empty());
        self.note(format_args!("client {index} submits {ticket} on {doc} after {parents:?}"));
        let schema = u32::try_from(ticket).expect("few enough");
        self.input(
            index,
            Input::Submit {
                ticket: sdk_core::engine::Ticket(ticket),
                doc,
                schema,
                intents,
                after: parents.into_iter().map(|(_, seq)| seq).collect(),
            },
        );
    }

    fn look_at_something(&mut self, index: usize) {
        if self.clients[index].queries.len() < QUERIES {
            let query = workload::query(&mut self.random, &self.plan);
            self.follow(index, query);
        }
    }

    fn follow(&mut self, index: usize, query: sdk_core::engine::storage::Query) {
        let id = self.next_query(index);
        self.clients[index].queries.insert(id, query.clone());
        self.input(index, Input::Open(id, query));
    }

    /// Something goes wrong, and the next thing is planned.
    pub(crate) fn fault(&mut self) {
        if self.healed.is_some() {
            return;
        }
        let pause = self.up_to(self.plan.calm);
        self.agenda.after(pause, Event::Fault);
        let fault = self.plan.faults[self.random.usize(0..self.plan.faults.len())];
        let client = self.random.usize(0..self.clients.len());
        self.note(format_args!("fault {fault:?}, client {client} if it is one's"));
        self.tally.faults += 1;
        self.strike(client, fault);
    }

    fn strike(&mut self, client: usize, fault: Fault) {
        let until = self.up_to(120_000);
        match fault {
            Fault::Cut => {
                if let Some(connection) = self.network.newest(client) {
                    self.cut(connection);
                }
                return;
            }
            Fault::Partition => {
                let ways = self.random.u8(0..3);
                self.network.paths[client].up_blocked = ways != 1;
                self.network.paths[client].down_blocked = ways != 0;
            }
            Fault::RefuseWebSocket => {
                self.network.paths[client].refuses_websockets = true;
                if let Some(connection) = self.network.newest(client) {
                    self.cut(connection);
                }
            }
            Fault::ClientCrash => return self.crash_client(client),
            Fault::ServerCrash => return self.crash_server(),
            Fault::ServerStop => {
                self.stop_sessions();
                self.agenda.after(GRACE, Event::Mend(client, fault));
                return;
            }
            Fault::Disk => self.clients[client].disk_trouble = self.random.u64(50..=1_000),
            Fault::Quota => self.clients[client].quota = Some(self.random.u64(0..12)),
            Fault::Wipe => return self.wipe_client(client),
            Fault::Clone => return self.clone_client(client),
            Fault::Restore => return self.restore_client(client),
            Fault::ServerClock => {
                let skew = i64::try_from(self.plan.server_skew).unwrap_or_default();
                self.server.skew = if self.random.bool() { skew } else { -skew };
            }
            Fault::ClockStep => {
                let skew = i64::try_from(self.plan.skew.max(1_000)).unwrap_or_default();
                self.clients[client].skew = self.random.i64(-skew..=skew);
                return;
            }
            Fault::Sleep => {
                self.clients[client].asleep_until = self.agenda.now() + until;
            }
            Fault::ServerDisk => self.server.disk_full = true,
            Fault::LostAnswers => self.server.forgetful = true,
            Fault::Hang => self.server.hangs_until = self.agenda.now() + until,
            Fault::Prune => return self.prune(),
            Fault::NewEpoch => {
                self.server.renew = true;
                return self.crash_server();
            }
        }
        self.agenda.after(until, Event::Mend(client, fault));
    }

    fn crash_server(&mut self) {
        if self.server.documents.is_some() {
            self.tally.server_crashes += 1;
            self.note(format_args!("server crashes with {} batches uncommitted", self.server.queue.len()));
            self.server_down();
        }
    }

    fn stop_sessions(&mut self) {
        let (life, open) = (self.server.life, self.server.sessions.keys().copied().collect::<Vec<_>>());
        for id in open {
            self.session(life, id, SessionInput::Shutdown);
        }
    }

    /// A fault ends.
    pub(crate) fn mend(&mut self, client: usize, fault: Fault) {
        if self.healed.is_some() {
            return;
        }
        self.note(format_args!("mended {fault:?}, client {client}"));
        match fault {
            Fault::Partition => self.unblock(client),
            Fault::RefuseWebSocket => self.network.paths[client].refuses_websockets = false,
            Fault::Disk => self.clients[client].disk_trouble = 0,
            Fault::Quota => self.clients[client].quota = None,
            Fault::ServerClock => self.server.skew = 0,
            Fault::Sleep => self.input(client, Input::Wake),
            Fault::ServerDisk => self.server.disk_full = false,
            Fault::LostAnswers => self.server.forgetful = false,
            Fault::ServerStop => self.crash_server(),
            Fault::Hang
            | Fault::Cut
            | Fault::ClientCrash
            | Fault::ServerCrash
            | Fault::Wipe
            | Fault::Clone
            | Fault::Restore
            | Fault::ClockStep
            | Fault::Prune
            | Fault::NewEpoch => {}
        }
    }

    /// All faults end. From here on everything must come to rest by itself.
    pub(crate) fn heal(&mut self) {
        self.note(format_args!("everything is mended"));
        self.healed = Some(self.agenda.now());
        self.server.disk_full = false;
        self.server.forgetful = false;
        self.server.skew = 0;
        for client in 0..self.clients.len() {
            self.network.paths[client].refuses_websockets = false;
            self.unblock(client);
            self.clients[client].disk_trouble = 0;
            self.clients[client].quota = None;
            self.clients[client].asleep_until = 0;
            self.input(client, Input::Network(true));
            for (collection, _) in workload::collections() {
                self.follow(client, sdk_core::engine::storage::Query::all(collection));
            }
        }
        self.agenda.after(5_000, Event::Look);
    }

    /// Frames flow again; those that were held up go on in their order.
    fn unblock(&mut self, client: usize) {
        let path = &mut self.network.paths[client];
        path.up_blocked = false;
        path.down_blocked = false;
        let mut released = Vec::new();
        for (id, connection) in &mut self.network.connections {
            if connection.client == client {
                released.push((*id, connection.up.release(), connection.down.release()));
            }
        }
        for (id, up, down) in released {
            for _ in 0..up {
                self.agenda.after(1, Event::Up(id));
            }
            for _ in 0..down {
                self.agenda.after(1, Event::Down(id));
            }
        }
    }

    /// A connection breaks in the middle. Either side notices sooner or later; or the client does not at all.
    fn cut(&mut self, id: ConnectionId) {
        self.note(format_args!("connection {} is cut", id.0));
        self.sever(id, true);
        if self.random.u8(0..10) < 7 {
            self.tell_client(id);
        }
    }

    /// Nothing is added to a connection any more. What the client had sent may still arrive, up to a point and much
    /// later, if the server is there to take it; what the server had sent is lost.
    pub(crate) fn sever(&mut self, id: ConnectionId, server_lives: bool) {
        let stragglers = self.plan.stragglers && server_lives;
        let late = self.agenda.now() + if stragglers { self.up_to(30_000) } else { 0 };
        let unnoticed = self.up_to(60_000);
        let Some(connection) = self.network.connections.get_mut(&id) else { return };
        if connection.severed {
            return;
        }
        connection.severed = true;
        let kept = if stragglers { self.random.usize(0..=connection.up.len()) } else { 0 };
        connection.up.cut(kept);
        connection.up.hold(late);
        connection.down.cut(0);
        if server_lives {
            self.agenda.at(late + unnoticed, Event::Lost(id));
        } else {
            self.lost(id);
        }
    }

    /// The client will notice that a connection is gone, unless nothing reaches it.
    pub(crate) fn tell_client(&mut self, id: ConnectionId) {
        let delay = self.latency();
        let Some(connection) = self.network.connections.get_mut(&id) else { return };
        if connection.near && !self.network.paths[connection.client].down_blocked {
            connection.near = false;
            let gone = Event::Gone(connection.client, connection.life, connection.link);
            self.agenda.after(delay, gone);
        }
    }

    /// The client closes its end; what it sent before still goes out.
    pub(crate) fn close_near(&mut self, id: ConnectionId) {
        if let Some(connection) = self.network.connections.get_mut(&id) {
            connection.near = false;
        }
        self.transmit_up(id, Item::Close);
        self.network.sweep();
    }
}
