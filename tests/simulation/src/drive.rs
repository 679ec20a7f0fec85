//! Driving a client's engine: what happens to it goes in, and what it asks for is done on the simulated parts.

use sdk_core::{
    engine::{Effect, Engine, Event as Told, HttpFailure, HttpId, Input, LinkId, Reply, TokenError},
    protocol::{ClientFrame, encode},
};

use crate::{
    agenda::Time,
    network::{ConnectionId, Item},
    world::{Event, Request, World},
};

/// Inputs of one client within a simulated second that no healthy engine needs.
const FRENZY: u32 = 2_000;
/// Timeouts in a row that come at once and do nothing.
const SPINS: u32 = 20;
/// Attempts to connect within a simulated minute that no backoff allows.
const ATTEMPTS: u32 = 150;

impl World {
    /// Gives an engine an input, and does what it asks for.
    pub(crate) fn input(&mut self, index: usize, input: Input) {
        let time = self.agenda.now();
        let client = &mut self.clients[index];
        let now = client.now(time);
        let Some(engine) = &mut client.engine else { return };
        let timeout = matches!(input, Input::Timeout);
        engine.handle(now, input);
        let mut effects = Vec::new();
        while let Some(effect) = engine.poll_effect() {
            effects.push(effect);
        }
        client.spins = if timeout && effects.is_empty() { client.spins + 1 } else { 0 };
        if client.inputs.0 != time / 1_000 {
            client.inputs = (time / 1_000, 0);
        }
        client.inputs.1 += 1;
        let busy = client.spins > SPINS || client.inputs.1 > FRENZY;
        self.claim(!busy, "an engine waits until there is something to do", || {
            format!("client {index} spins")
        });
        for effect in effects {
            self.perform(index, effect);
        }
        self.arm(index);
    }

    /// Keeps one timer that fires no earlier than the engine's next deadline, and at least a millisecond from now.
    fn arm(&mut self, index: usize) {
        let time = self.agenda.now();
        let lag = if self.chance(20) { self.up_to(1_500) } else { self.random.u64(0..4) };
        let client = &mut self.clients[index];
        let Some(at) = client.engine.as_ref().and_then(Engine::poll_timeout) else { return };
        let at = client.time_of(at).max(time + 1);
        if client.armed.is_some_and(|armed| armed <= at) {
            return;
        }
        client.timer += 1;
        client.armed = Some(at);
        let (timer, due) = (client.timer, (at + lag).max(client.asleep_until));
        self.agenda.at(due, Event::Timer(index, timer));
    }

    /// A timer fires.
    pub(crate) fn timer(&mut self, index: usize, timer: u64) {
        let time = self.agenda.now();
        let client = &mut self.clients[index];
        if client.timer != timer || client.engine.is_none() {
            return;
        }
        if time < client.asleep_until {
            self.agenda.at(client.asleep_until, Event::Timer(index, timer));
            return;
        }
        client.armed = None;
        self.note(format_args!("client {index} timeout"));
        self.input(index, Input::Timeout);
    }

    fn perform(&mut self, index: usize, effect: Effect) {
        let life = self.clients[index].life;
        match effect {
            Effect::Commit(id, batch) => self.commit(index, id, batch),
            Effect::Read(id, query, scan) => {
                let delay = self.up_to(self.plan.disk_latency);
                self.agenda.after(delay, Event::Read(index, life, id, query, scan));
            }
            Effect::FetchToken => {
                let result = self.issue(index);
                let delay = self.up_to(200);
                self.agenda.after(delay, Event::Token(index, life, result));
            }
            Effect::Connect(link) => self.connect(index, link),
            Effect::Send(link, frame) => self.send(index, link, &frame),
            Effect::Disconnect(link) => {
                self.note(format_args!("client {index} disconnects {}", link.0));
                if self.clients[index].link.is_some_and(|(current, _)| current == link) {
                    self.hang_up(index);
                }
            }
            Effect::Http(id, call) => self.post(index, id, call),
            Effect::Resolve(seq, id, conflict) => self.ask(index, seq, id, &conflict),
            // The workload names no version that is older than its client's.
            Effect::Migrate(outdated) => self.violate("nothing is outdated", format!("{outdated:?}")),
            Effect::ReadTopic(_, read) => self.violate("no topic is read", format!("{read:?}")),
            Effect::Fetch(id, fetch) => self.fetch(index, id, fetch),
            Effect::Emit(event) => self.hear(index, event),
        }
    }

    /// The application's answer comes.
    pub(crate) fn token(&mut self, index: usize, life: u32, token: Result<String, TokenError>) {
        if self.clients[index].life == life {
            self.note(format_args!("client {index} gets a token: {}", token.is_ok()));
            self.input(index, Input::Token(token));
        }
    }

    fn connect(&mut self, index: usize, link: LinkId) {
        let minute = self.agenda.now() / 60_000;
        self.hang_up(index);
        let client = &mut self.clients[index];
        client.link = Some((link, None));
        client.in_flight.clear();
        if client.attempts.0 != minute {
            client.attempts = (minute, 0);
        }
        client.attempts.1 += 1;
        let (life, attempts) = (client.life, client.attempts.1);
        self.claim(attempts <= ATTEMPTS, "attempts to connect are spread out", || {
            format!("client {index} made {attempts} within a minute")
        });
        self.note(format_args!("client {index} connects {}", link.0));
        let delay = self.latency();
        self.agenda.after(delay, Event::Open(index, life, link));
    }

    /// The attempt's answer comes.
    pub(crate) fn opened(&mut self, index: usize, life: u32, link: LinkId, connection: Option<ConnectionId>) {
        let wanted = self.clients[index].life == life && self.clients[index].link == Some((link, None));
        match connection {
            Some(connection) if !wanted => self.close_near(connection),
            Some(connection) => {
                self.clients[index].link = Some((link, Some(connection)));
                self.tally.connections += 1;
                self.note(format_args!("client {index} link {} is up", link.0));
                self.input(index, Input::LinkUp(link));
            }
            None if wanted => {
                self.clients[index].link = None;
                self.note(format_args!("client {index} link {} is refused", link.0));
                self.input(index, Input::LinkDown(link));
            }
            None => {}
        }
    }

    /// The client notices that a connection is gone.
    pub(crate) fn gone(&mut self, index: usize, life: u32, link: LinkId) {
        let client = &mut self.clients[index];
        if client.life != life || client.link.is_none_or(|(current, _)| current != link) {
            return;
        }
        client.link = None;
        self.note(format_args!("client {index} link {} is down", link.0));
        self.input(index, Input::LinkDown(link));
    }

    fn send(&mut self, index: usize, link: LinkId, frame: &ClientFrame) {
        self.check_frame(index, frame);
        let Some((current, Some(connection))) = self.clients[index].link else { return };
        if current == link {
            let text = encode(frame);
            self.note(format_args!("client {index} sends {}", shown(&text)));
            self.transmit_up(connection, Item::Frame(text));
        }
    }

    /// The client closes its end, if it has one.
    pub(crate) fn hang_up(&mut self, index: usize) {
        if let Some((_, Some(connection))) = self.clients[index].link.take() {
            self.close_near(connection);
        }
    }

    fn post(&mut self, index: usize, id: HttpId, call: sdk_core::engine::Call) {
        self.check_call(index, &call);
        self.tally.requests += 1;
        let (life, path) = (self.clients[index].life, self.network.paths[index]);
        let sort = if matches!(call.body, sdk_core::engine::CallBody::Push(_)) { "push" } else { "pull" };
        self.note(format_args!("client {index} posts {sort} {}", id.0));
        let trouble = if self.healed.is_some() { 0 } else { self.plan.http_trouble };
        let (lost, mute, twice, late) =
            (self.chance(trouble), self.chance(trouble), self.chance(trouble), self.chance(trouble));
        if lost || path.up_blocked {
            // Half of the time nobody ever says so.
            if self.random.bool() {
                let delay = self.latency() + self.up_to(5_000);
                let result = Err(HttpFailure::Unreachable);
                self.agenda.after(delay, Event::HttpDone(index, life, id, result));
            }
            return;
        }
        let request = |call, mute| Box::new(Request { client: index, life, id, call, mute });
        if twice {
            let delay = self.latency() + self.up_to(60_000);
            self.agenda.after(delay, Event::Request(request(call.clone(), true)));
        }
        let delay = self.latency() + if late { self.up_to(60_000) } else { 0 };
        self.agenda.after(delay, Event::Request(request(call, mute)));
    }

    /// A request is over.
    pub(crate) fn http_done(
        &mut self,
        index: usize,
        life: u32,
        id: HttpId,
        result: Result<Reply, HttpFailure>,
    ) {
        if self.clients[index].life != life || self.clients[index].engine.is_none() {
            return;
        }
        if self.network.paths[index].down_blocked && result.is_ok() {
            return;
        }
        self.clients[index].welcomed |= result.is_ok();
        self.note(format_args!("client {index} http {} done: {}", id.0, shown(&format!("{result:?}"))));
        self.input(index, Input::HttpDone(id, result));
    }

    fn hear(&mut self, index: usize, event: Told) {
        self.note(format_args!("client {index} hears {event:?}"));
        match event {
            Told::Submitted(ticket, seq) => self.told_submitted(index, ticket.0, seq.0),
            Told::Refused(ticket, refusal) => self.told_refused(index, ticket.0, &refusal),
            Told::Settled(seq, Some(doc), outcome) => self.told_settled(index, seq.0, &doc, outcome),
            Told::Settled(seq, None, _) => self.violate("nobody publishes here", format!("{seq:?}")),
            Told::ViewChanged(id) => self.check_view(index, id),
            Told::IdentityRenewed => self.tally.renewals += 1,
            Told::NotRecovered(_) => self.clients[index].reads.lost_replica(),
            _ => {}
        }
    }

    /// Milliseconds that something is under way.
    pub(crate) fn latency(&mut self) -> Time {
        self.up_to(self.plan.latency)
    }
}

/// Enough of a text to follow a run by.
pub(crate) fn shown(text: &str) -> &str {
    let end = (0..=text.len().min(600)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}
