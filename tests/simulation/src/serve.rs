//! Driving the server: what arrives goes into its sessions and handlers, and what they ask for is done.

use std::net::Ipv4Addr;

use sdk_core::{
    engine::{HttpFailure, Input, LinkId, TokenError},
    protocol::{ProtocolError, decode_server_frame},
};
use server_reference::{
    gateway::session::{Effect, Session},
    tenant::TenantScope,
};

use crate::{
    archive::Left,
    client::tenant,
    drive::shown,
    http::{Answered, Ask, Exchange},
    network::{ConnectionId, Item},
    server::{Asker, Live, Question, SessionInput},
    world::{Event, Request, World},
};

impl World {
    /// The server's process starts.
    pub(crate) fn server_start(&mut self) {
        if self.server.documents.is_some() {
            return;
        }
        if let Err(error) = self.server.start() {
            return self.violate("the server starts from what a crash left", format!("{error:?}"));
        }
        let life = self.server.life;
        self.note(format_args!("server starts life {life}"));
        if std::mem::take(&mut self.server.renew) {
            self.renew_epochs();
        }
    }

    fn renew_epochs(&mut self) {
        let (Some(documents), Some(witness)) = (&mut self.server.documents, &self.server.witness) else {
            return;
        };
        let over = witness.epochs().unwrap_or_default();
        match documents.renew_epochs() {
            Ok(count) => {
                self.retired.extend(over);
                self.note(format_args!("server begins {count} new epochs"));
            }
            Err(error) => self.violate("a database that is well can be written", format!("{error:?}")),
        }
    }

    /// The server's process ends. Every connection to it is gone; not every client is told.
    pub(crate) fn server_down(&mut self) {
        let left = match self.random.u8(0..6) {
            0 => Left::Nothing,
            1 => Left::Rubbish,
            _ => Left::Everything,
        };
        self.server.crash(left);
        let open: Vec<ConnectionId> = self.network.connections.keys().copied().collect();
        for connection in open {
            let told = self.random.u8(0..5) > 0;
            self.sever(connection, false);
            if told {
                self.tell_client(connection);
            }
        }
        let downtime = self.up_to(15_000);
        self.agenda.after(downtime, Event::ServerStart);
    }

    /// An attempt to open a WebSocket reaches the server, or does not.
    pub(crate) fn open(&mut self, client: usize, life: u32, link: LinkId) {
        let path = self.network.paths[client];
        if path.up_blocked || path.down_blocked {
            return;
        }
        let connection = if path.refuses_websockets || self.server.documents.is_none() {
            None
        } else {
            let id = self.network.open(client, life, link);
            let now = self.server.now(self.agenda.now());
            let meter = self.server.limiter.meter(Ipv4Addr::LOCALHOST.into(), now.monotonic);
            let session = Session::new(self.server.limits, meter.into(), now);
            let live = Live {
                session,
                inbox: std::collections::VecDeque::new(),
                follows: None,
                hinted: 0,
                timer: 0,
            };
            self.server.sessions.insert(id, live);
            self.arm_session(id);
            Some(id)
        };
        let delay = self.latency();
        self.agenda.after(delay, Event::Opened(client, life, link, connection));
    }

    /// A frame for the server.
    pub(crate) fn transmit_up(&mut self, id: ConnectionId, item: Item) {
        let arrives = self.agenda.now() + self.latency();
        let Some(connection) = self.network.connections.get_mut(&id) else { return };
        if connection.severed {
            return;
        }
        let arrives = connection.up.send(item, arrives);
        self.agenda.at(arrives, Event::Up(id));
    }

    /// A frame for a client.
    pub(crate) fn transmit_down(&mut self, id: ConnectionId, item: Item) {
        let arrives = self.agenda.now() + self.latency();
        let Some(connection) = self.network.connections.get_mut(&id) else { return };
        if connection.severed {
            return;
        }
        let arrives = connection.down.send(item, arrives);
        self.agenda.at(arrives, Event::Down(id));
    }

    /// Something arrives at the server, if nothing is in the way.
    pub(crate) fn arrive_at_server(&mut self, id: ConnectionId) {
        let Some(connection) = self.network.connections.get_mut(&id) else { return };
        if self.network.paths[connection.client].up_blocked && !connection.severed {
            connection.up.stall();
            return;
        }
        if let Some(until) = connection.up.held(self.agenda.now()) {
            self.agenda.at(until, Event::Up(id));
            return;
        }
        let client = connection.client;
        match connection.up.arrive() {
            None => {}
            Some(Item::Frame(_)) if !connection.far => self.tell_client(id),
            Some(Item::Frame(text)) => {
                self.note(format_args!("server receives of client {client}: {}", shown(&text)));
                if let Some(live) = self.server.sessions.get_mut(&id) {
                    live.inbox.push_back(text);
                }
                self.pump(id);
            }
            Some(Item::Close) => self.lost(id),
        }
    }

    /// Something arrives at a client, if nothing is in the way.
    pub(crate) fn arrive_at_client(&mut self, id: ConnectionId) {
        let Some(connection) = self.network.connections.get_mut(&id) else { return };
        if self.network.paths[connection.client].down_blocked {
            connection.down.stall();
            return;
        }
        let (client, life, link) = (connection.client, connection.life, connection.link);
        let Some(item) = connection.down.arrive() else { return };
        let current = self.clients[client].link == Some((link, Some(id)));
        if !connection.near || self.clients[client].life != life || !current {
            return;
        }
        match item {
            Item::Close => {
                connection.near = false;
                self.gone(client, life, link);
            }
            Item::Frame(text) => {
                self.note(format_args!("client {client} receives {}", shown(&text)));
                if let Some(frame) = decode_server_frame(&text).transpose() {
                    self.check_answer(client, &frame);
                    self.input(client, Input::Received(link, frame));
                }
            }
        }
        self.network.sweep();
    }

    /// The server notices that a connection is gone.
    pub(crate) fn lost(&mut self, id: ConnectionId) {
        if let Some(connection) = self.network.connections.get_mut(&id) {
            connection.far = false;
        }
        // What the session had begun to commit is committed all the same.
        self.server.sessions.remove(&id);
        self.network.sweep();
    }

    /// Gives a session the frames it wants.
    fn pump(&mut self, id: ConnectionId) {
        loop {
            let Some(live) = self.server.sessions.get_mut(&id) else { return };
            if !live.session.wants_frame() {
                return;
            }
            let Some(text) = live.inbox.pop_front() else { return };
            self.session_input(id, SessionInput::Received(text));
        }
    }

    /// An answer or a hint for a session.
    pub(crate) fn session(&mut self, life: u32, id: ConnectionId, input: SessionInput) {
        if self.server.life == life && self.server.documents.is_some() {
            self.session_input(id, input);
            self.pump(id);
        }
    }

    fn session_input(&mut self, id: ConnectionId, input: SessionInput) {
        let now = self.server.now(self.agenda.now());
        let Some(live) = self.server.sessions.get_mut(&id) else { return };
        live.session.handle(now, input);
        let mut effects = Vec::new();
        while let Some(effect) = live.session.poll_effect() {
            effects.push(effect);
        }
        for effect in effects {
            self.serve(id, effect);
        }
        self.arm_session(id);
    }

    fn arm_session(&mut self, id: ConnectionId) {
        let Some(live) = self.server.sessions.get_mut(&id) else { return };
        live.timer += 1;
        if let Some(at) = live.session.poll_timeout() {
            let event = Event::SessionTimer(self.server.life, id, live.timer);
            self.agenda.at(at.0, event);
        }
    }

    /// A session's timer fires.
    pub(crate) fn session_timer(&mut self, life: u32, id: ConnectionId, timer: u64) {
        let current = self.server.sessions.get(&id).is_some_and(|live| live.timer == timer);
        if current {
            self.session(life, id, SessionInput::Timeout);
        }
    }

    fn serve(&mut self, id: ConnectionId, effect: Effect) {
        let (life, time) = (self.server.life, self.agenda.now());
        match effect {
            Effect::Verify(token) => {
                let verified =
                    self.server.verifier.verify(&token, self.server.now(time).wall).map(TenantScope::of);
                self.agenda.after(1, Event::Session(life, id, Box::new(SessionInput::Verified(verified))));
            }
            Effect::Follow(scope, collections) => {
                if let Some(live) = self.server.sessions.get_mut(&id) {
                    live.follows = Some((scope.tenant().clone(), collections));
                }
            }
            // It is there, and in no room.
            Effect::Attach(..) => {}
            Effect::FollowTopic(..)
            | Effect::Level(_)
            | Effect::Rooms(_)
            | Effect::UnfollowTopic(_)
            | Effect::ReadTopic(..)
            | Effect::Publish(..)
            | Effect::Misused(_)
            | Effect::Foreign(_) => {
                self.violate("nobody has topics, rooms or transactions here", format!("{effect:?}"));
            }
            Effect::Commit(batch) => self.enqueue(Asker::Session(id), batch),
            Effect::Read(scope, page) => self.ask_read(Question::Session(id, scope, page)),
            Effect::Send(text) => self.transmit_down(id, Item::Frame(text.to_string())),
            Effect::Close(why) => {
                self.note(format_args!("server closes {}: {why:?}", id.0));
                self.transmit_down(id, Item::Close);
                self.lost(id);
            }
        }
    }

    /// An HTTP request reaches the server.
    pub(crate) fn request(&mut self, request: Request) {
        let Request { client, life, id, call, mute } = request;
        if self.server.documents.is_none() {
            let delay = self.latency();
            self.agenda.after(delay, Event::HttpDone(client, life, id, Err(HttpFailure::Unreachable)));
            return;
        }
        let now = self.server.now(self.agenda.now()).wall;
        self.note(format_args!("server takes http {} of client {client}", id.0));
        match self.server.verifier.verify(&call.token, now) {
            Err(error) => {
                let refused = HttpFailure::Refused(ProtocolError::from(&error));
                self.reply(client, life, id, Err(refused), mute);
            }
            Ok(claims) => {
                let scope = TenantScope::of(claims);
                let exchange =
                    Exchange::new((client, life, id, mute), scope, self.server.limits, call.body, now);
                self.take_exchange(exchange);
            }
        }
    }

    /// A request is under way.
    pub(crate) fn take_exchange(&mut self, exchange: Exchange) {
        self.server.exchanged += 1;
        let number = self.server.exchanged;
        self.server.exchanges.insert(number, exchange);
        self.go_on(number);
    }

    /// A request goes on with what it has been answered.
    pub(crate) fn go_on(&mut self, number: u64) {
        let Some(exchange) = self.server.exchanges.get_mut(&number) else { return };
        let (client, life, id, mute) = exchange.caller;
        let (asks, reply) = exchange.poll();
        for ask in asks {
            match ask {
                Ask::Commit(batch, answer) => self.enqueue(Asker::Exchange(number, answer), batch),
                Ask::Changes(scope, page, answer) => {
                    self.ask_read(Question::Exchange(number, scope, page, answer));
                }
                Ask::Export(scope, collection, to, answer) => {
                    self.ask_read(Question::Export(number, scope, collection, to, answer));
                }
            }
        }
        let Some(reply) = reply else { return };
        self.server.exchanges.remove(&number);
        match reply {
            Answered::Call(reply) => {
                self.reply(client, life, id, reply.map_err(HttpFailure::Refused), mute);
            }
            Answered::Part(part) => {
                self.part_reply(client, life, id, part);
                // Others may have waited until this one had made its snapshot.
                let parts = self.server.exchanges.iter().filter(|(_, exchange)| exchange.wants_part);
                let parts: Vec<u64> = parts.map(|(number, _)| *number).collect();
                parts.into_iter().for_each(|number| self.go_on(number));
            }
        }
    }

    fn reply(
        &mut self,
        client: usize,
        life: u32,
        id: sdk_core::engine::HttpId,
        result: Result<sdk_core::engine::Reply, HttpFailure>,
        mute: bool,
    ) {
        if mute {
            // The answer is lost; sometimes the client is told that the connection broke.
            if self.random.bool() {
                return;
            }
            let delay = self.latency();
            self.agenda.after(delay, Event::HttpDone(client, life, id, Err(HttpFailure::Unreachable)));
            return;
        }
        let delay = self.latency();
        self.agenda.after(delay, Event::HttpDone(client, life, id, result));
    }

    /// The application's answer when it is asked for a token. Sometimes it has none, or an old one.
    pub(crate) fn issue(&mut self, index: usize) -> Result<String, TokenError> {
        let mood = if self.healed.is_some() { 9 } else { self.random.u8(0..10) };
        if mood == 0 {
            return Err(TokenError("not logged in".into()));
        }
        let client = &self.clients[index];
        let now = self.server.issued_at(self.agenda.now());
        let (tenant, subject) = (tenant(client.tenant), client.subject());
        let (seconds, now) = match mood {
            1 => (60, sdk_core::clock::Millis(now.0 - 120_000)),
            2 | 3 => (60, now),
            _ => (3_600, now),
        };
        let token = self.server.issuer.mint(&tenant, &subject, seconds, now);
        token.map_err(|error| TokenError(error.to_string()))
    }
}
