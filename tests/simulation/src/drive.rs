//! Driving a client's engine: what happens to it goes in, and what it asks for is done on the simulated parts.

use sdk_core::{
    engine::{
        BatchId, Effect, Engine, Event as Told, HttpFailure, HttpId, Input, LinkId, ReadId, Reply,
        TokenError,
        storage::{Batch, Query, StoreError},
    },
    protocol::{ClientFrame, encode},
};

use crate::{
    agenda::Time,
    ledger::Said,
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
    /// A client's process starts: its engine comes from its storage.
    pub(crate) fn start(&mut self, index: usize) {
        let unreadable = self.healed.is_none() && self.chance(30);
        let seed = self.random.u64(..);
        let client = &mut self.clients[index];
        if client.engine.is_some() {
            return;
        }
        client.life += 1;
        let life = client.life;
        let config = client.config(&self.plan);
        let mut stored = client.disk.load();
        if unreadable {
            stored.cursors = None;
        }
        let records = stored.outbox.len();
        match Engine::restore(stored, config, seed) {
            Ok(engine) => client.engine = Some(engine),
            Err(error) => return self.violate("what an engine wrote it can read", error.to_string()),
        }
        client.timer += 1;
        client.armed = None;
        client.asleep_until = 0;
        client.welcomed = false;
        self.note(format_args!("client {index} starts life {life} with {records} records"));
        self.input(index, Input::Wake);
        let queries = self.clients[index].queries.clone();
        for (id, query) in queries {
            self.input(index, Input::Open(id, query));
        }
    }

    /// A client's process ends. What is on its way to its storage gets there or not.
    pub(crate) fn crash_client(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if client.engine.take().is_none() {
            return;
        }
        self.tally.client_crashes += 1;
        let writes = std::mem::take(&mut self.clients[index].writes);
        let mut survived = 0;
        // Commits of one domain are carried out in order, so of those under way the first few survive.
        for (_, (_, batch)) in writes {
            if self.random.bool() {
                self.check_removals(index, &batch);
                self.clients[index].disk.apply(batch);
                survived += 1;
            }
        }
        let relaxed = self.clients[index].disk.relaxed();
        let lost = if self.random.bool() { self.random.usize(0..=relaxed) } else { 0 };
        self.clients[index].disk.crash(lost);
        self.note(format_args!(
            "client {index} crashes: {survived} commits survive, {lost} relaxed ones do not"
        ));
        self.settle_unanswered(index);
        if let Some((_, Some(connection))) = self.clients[index].link.take() {
            self.sever(connection, true);
        }
        let downtime = self.up_to(20_000);
        self.agenda.after(downtime, Event::Start(index));
    }

    /// After a crash the storage tells which edits that were never answered are there all the same.
    fn settle_unanswered(&mut self, index: usize) {
        let client = &self.clients[index];
        let kept: std::collections::BTreeMap<u64, u64> =
            client.disk.kept().map(|kept| (kept.ticket, kept.seq)).collect();
        let id = client.disk.client();
        for (ticket, one) in self.ledger.submissions.iter_mut().filter(|(_, one)| one.client == index) {
            match (kept.get(ticket), one.said, id) {
                // A refused edit that its store had written although it said otherwise, and that the client had no
                // time to take back, is an edit like any other after a restart.
                (Some(seq), Said::Nothing | Said::Refused, Some(id)) => one.said = Said::Durable(id, *seq),
                (_, Said::Nothing, _) => one.said = Said::Lost,
                _ => {}
            }
        }
    }

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
            Effect::Read(id, query) => {
                let delay = self.up_to(self.plan.disk_latency);
                self.agenda.after(delay, Event::Read(index, life, id, query));
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
            Effect::Emit(event) => self.hear(index, event),
        }
    }

    fn commit(&mut self, index: usize, id: BatchId, batch: Batch) {
        let life = self.clients[index].life;
        self.note(format_args!("client {index} commits {}: {batch:?}", id.0));
        let delay = self.up_to(self.plan.disk_latency);
        self.clients[index].writes.insert(id.0, (id, batch));
        self.agenda.after(delay, Event::Write(index, life, id.0));
    }

    /// A commit is carried out, or fails, or is carried out and said to have failed.
    pub(crate) fn write(&mut self, index: usize, life: u32, number: u64) {
        if self.clients[index].life != life {
            return;
        }
        let Some((id, batch)) = self.clients[index].writes.remove(&number) else { return };
        let trouble = self.clients[index].disk_trouble;
        let fails = self.chance(trouble);
        let writes = !fails || self.chance(300);
        if writes {
            self.check_removals(index, &batch);
            self.check_cursors(index, &batch);
            self.clients[index].disk.apply(batch);
        }
        if fails {
            self.tally.disk_failures += 1;
            self.note(format_args!("client {index} is told that commit {number} failed; written: {writes}"));
            let error = if self.random.bool() {
                StoreError::Full("the quota is used up".into())
            } else {
                StoreError::Failed("the disk is ill".into())
            };
            self.input(index, Input::StoreFailed(id, error));
        } else {
            self.note(format_args!("client {index} has committed {number}"));
            self.input(index, Input::Committed(id));
        }
    }

    /// A read is carried out, or fails.
    pub(crate) fn read(&mut self, index: usize, life: u32, id: ReadId, query: &Query) {
        if self.clients[index].life != life {
            return;
        }
        let trouble = self.clients[index].disk_trouble;
        let result = if self.chance(trouble) {
            self.tally.disk_failures += 1;
            Err(StoreError::Failed("the disk is ill".into()))
        } else {
            Ok(self.clients[index].disk.read(query))
        };
        self.note(format_args!("client {index} reads {}: {result:?}", id.0));
        self.input(index, Input::Loaded(id, result));
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
            Told::Settled(seq, doc, outcome) => self.told_settled(index, seq.0, &doc, outcome),
            Told::ViewChanged(id) => self.check_view(index, id),
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
