//! The client as a pure state machine: no I/O, no clock, no randomness of its own.
//!
//! Whoever drives it passes every event in with [`Engine::handle`], then drains [`Engine::poll_effect`] to `None` and
//! performs the effects, and calls again with [`Input::Timeout`] when [`Engine::poll_timeout`] is reached. The same
//! inputs give the same effects.
//!
//! The life of an edit: `submit` gives it a place in its lane and shows it; `commit` makes it durable, together
//! with whatever else was submitted meanwhile; `link` or `fallback` sends it; `settle` takes the server's
//! judgement and keeps the edit in view until `changes` has brought the document that contains it; then its
//! record is removed. A crash between any two of these repeats a step and never its effect.

mod adopt;
mod amend;
mod changes;
mod commit;
mod config;
mod conflict;
mod event;
mod fallback;
mod fence;
mod fetch;
mod identity;
mod input;
mod kept;
mod ladder;
mod link;
mod meta;
mod migrate;
mod note;
mod replica;
mod rooms;
mod rows;
mod settle;
mod staging;
mod status;
pub mod storage;
mod submit;
#[cfg(test)]
mod tests;
mod token;
mod topics;
mod view;

use std::collections::VecDeque;

pub use config::Config;
pub use conflict::Conflicted;
pub use event::{Event, Refusal, Unsent};
pub use fetch::{Fetch, Syncing};
pub use input::{
    Amendment, BatchId, Call, CallBody, Effect, HttpFailure, HttpId, Input, LinkId, Now, QueryId, ReadId,
    Reply, ResolveId, Ticket, TokenError,
};
pub use ladder::{TopicRead, TopicReply};
pub(crate) use migrate::failed as migration_failed;
pub use migrate::{Migrated, Outdated};
pub use rooms::Attendance;
pub use status::{Rejected, Status, Unpublished, Unsettled};
pub use topics::{MAX_DURABLE, Subscription};
pub use view::{MAX_QUERIES, View, ViewDocument};

use crate::sorted::SortedMap;
use crate::{
    clock::{HybridClock, Millis},
    connection::{Poll, Socket},
    outbox::Outbox,
    protocol::{ClientId, DocKey, Limits, ProtocolError, Seq},
};
use adopt::Adoption;
use commit::{Saving, Tickets};
use conflict::Inbox;
use fence::Fence;
use meta::Identifiers;
use replica::Replica;
use storage::Stored;
use submit::Wanted;
use token::Token;
use view::Views;

/// How far a clock that starts goes on from where it was, at most: so much do those of two copies of a client differ.
const CLOCK_STEPS: u32 = 1 << 20;

/// One client.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    random: fastrand::Rng,
    ids: Identifiers,
    clock: HybridClock,
    /// Unix time as this machine believes it, at the newest input.
    wall: Millis,
    /// What Unix time was at the zero of the monotonic clock, by the newest input. None before the first.
    origin: Option<Millis>,
    /// Milliseconds that the server's clock is ahead of ours.
    ahead: i64,
    outbox: Outbox,
    /// Records of the outbox that are left alone.
    damaged: usize,
    tickets: Tickets,
    adoption: Adoption,
    /// Changes that wait for the commit under way.
    postponed: Vec<(Ticket, Seq, Amendment)>,
    /// Operations withdrawn by a change that is being saved.
    aborted: SortedMap<Seq, Option<DocKey>>,
    inbox: Inbox,
    /// The application is being asked about operations of an earlier schema.
    migrating: bool,
    saving: Saving,
    fence: Fence,
    replica: Replica,
    views: Views,
    fetches: fetch::Fetches,
    topics: topics::Topics,
    rooms: rooms::Rooms,
    socket: Socket,
    link: LinkId,
    poll: Poll,
    request: Option<HttpId>,
    last_request: fallback::Kind,
    token: Token,
    limits: Limits,
    /// Operations in the next batch; small while one of them is suspected to upset the server.
    batch: usize,
    network: bool,
    problem: Option<ProtocolError>,
    /// The server is yet to hear that the application has dropped some of what was refused.
    untold: bool,
    /// Since when judged operations wait for the change that contains them.
    waiting_since: Option<Millis>,
    told: Option<Status>,
    counter: u64,
    effects: VecDeque<Effect>,
}

impl Engine {
    /// A client with what its store holds. What cannot be read of the outbox stays there as it is and is told of
    /// ([`Event::StorageDamaged`]); if that is the record of who the client is, it has another id, and leaves alone all
    /// that was stored under the former.
    pub fn restore(stored: Stored, config: Config, seed: u64) -> Self {
        let ids = match (stored.meta.as_deref().map(crate::wire::decode), stored.outbox.last()) {
            (Some(Ok(meta)), _) => Identifiers::restore(meta),
            (None, None) => Identifiers::fresh(config.fresh_client),
            (_, last) => Identifiers::succeed(config.fresh_client, last.map_or(0, |record| record.key)),
        };
        let ours = stored.outbox.iter().filter(|record| ids.owns(record.key));
        let foreign = stored.outbox.len() - ours.clone().count();
        let records = ours.map(|record| (record.key, record.text.as_str()));
        let careful = config.collections.iter().filter(|(_, strategy)| strategy.has_conflicts());
        let careful = careful.map(|(name, _)| name.clone()).collect();
        let outbox = Outbox::restore(records, config.outbox, config.schema, careful);
        let damaged = foreign + outbox.unreadable();
        let newest = outbox.entries().filter_map(|entry| Some(entry.edit()?.at)).max().unwrap_or_default();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut engine = Self {
            clock: HybridClock::resume(newest.max(ids.newest()), random.u32(..CLOCK_STEPS)),
            random,
            ids,
            wall: Millis::default(),
            origin: None,
            ahead: 0,
            outbox,
            damaged,
            tickets: Tickets::new(),
            adoption: Adoption::default(),
            postponed: Vec::new(),
            aborted: SortedMap::new(),
            inbox: Inbox::default(),
            migrating: false,
            saving: Saving::default(),
            fence: Fence::default(),
            replica: Replica::restore(&config.collections, stored.cursors, &stored.notes),
            views: Views::default(),
            fetches: fetch::Fetches::default(),
            topics: topics::Topics::new(),
            rooms: rooms::Rooms::default(),
            socket: Socket::new(),
            link: LinkId(0),
            poll: Poll::new(config.poll_interval),
            request: None,
            last_request: fallback::Kind::Pull,
            token: Token::default(),
            limits: Limits::default(),
            batch: usize::MAX,
            network: true,
            problem: None,
            untold: false,
            waiting_since: None,
            told: None,
            counter: 0,
            effects: VecDeque::new(),
            config,
        };
        if damaged > 0 {
            engine.emit(Event::StorageDamaged(damaged));
        }
        engine
    }

    /// Takes one event. Drain [`Self::poll_effect`] before the next.
    pub fn handle(&mut self, now: Now, input: Input) {
        let at = now.monotonic;
        self.wall = now.wall;
        self.compare_clocks(now);
        match input {
            Input::Submit { ticket, doc, schema, intents, after } => {
                self.submit(ticket, Wanted::Edit(doc, schema, intents), after);
            }
            Input::Publish { ticket, topic, event, coalesce, after } => {
                self.submit(ticket, Wanted::Event(topic, event, coalesce), after);
            }
            Input::Amend(ticket, seq, amendment) => self.amend(ticket, seq, amendment),
            Input::Adopt(ticket, key, orphan) => self.adoption.expect(ticket, key, orphan),
            Input::Discard(seq) => self.discard(seq),
            Input::Open(id, query) => self.open(id, query),
            Input::Subscribe(id, wanted) => self.subscribe(id, wanted),
            Input::Taken(id, position) => self.topic_taken(id, position),
            Input::Attend(id, wanted) => self.attend(id, wanted),
            Input::Present(id, state) => self.present(id, state),
            Input::Heard(id, number) => self.heard(id, number),
            Input::Say(ticket, to, data) => self.say(ticket, to, data),
            Input::Close(id) => {
                self.views.close(id, |key| self.outbox.has_lane(key));
                self.close_topic(id);
                self.close_room(id);
            }
            Input::Network(allowed) => self.allow_network(at, allowed),
            Input::Committed(id) => self.committed(at, id),
            Input::StoreFailed(id, error) => self.store_failed(at, id, error),
            Input::StoreTaken => self.write_all(),
            Input::Loaded(id, result) => self.loaded(at, id, result),
            Input::Token(result) => self.token_came(at, result),
            Input::LinkUp(id) => self.link_up(at, id),
            Input::LinkRefused(id, least) => self.link_down(at, id, least),
            Input::LinkDown(id) => self.link_down(at, id, 0),
            Input::Received(id, frame) => self.received(now, id, frame),
            Input::HttpDone(id, result) => self.http_done(now, id, result),
            Input::Resolved { seq, id, resolution, took } => self.resolved(seq, id, resolution, took),
            Input::Migrated(answers) => self.migrated(answers),
            Input::Fetched(id, result) => self.fetched(at, id, result),
            Input::TopicTold(id, told) => self.topic_told(at, id, told),
            Input::TopicRead(id, result) => self.topic_read(at, id, result),
            Input::Wake => self.wake(at),
            Input::Timeout => {}
        }
        self.advance(at);
    }

    /// The next thing to do; none when nothing is left.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to call with [`Input::Timeout`], on the monotonic clock.
    pub fn poll_timeout(&self) -> Option<Millis> {
        let stores = [self.saving.timeout(), self.replica.timeout()];
        let network = if self.may_connect() {
            [
                self.link_timeout(),
                self.fallback_timeout(),
                self.fetches_timeout(),
                self.ladder_timeout(),
                self.rooms_timeout(),
            ]
        } else {
            [None; 5]
        };
        stores.into_iter().chain(network).flatten().min()
    }

    /// The id of this installation.
    pub fn client(&self) -> ClientId {
        self.ids.meta.client
    }

    /// A name that nobody else has, and what the server's clock shows now, as far as this machine knows. The name is as
    /// random as the id that a client has at first.
    pub fn name(&mut self, now: Now) -> (ClientId, Millis) {
        let mut bytes = [0; 16];
        bytes.iter_mut().for_each(|byte| *byte = self.random.u8(..));
        (self.config.fresh_client.mixed_with(bytes), self.server_time(now.wall))
    }

    /// Does whatever can be done now.
    fn advance(&mut self, now: Millis) {
        self.advance_migrations();
        self.advance_conflicts();
        self.renew_identity(now);
        self.flush_outbox(now);
        self.stage_fetched();
        self.flush_replica(now);
        if self.may_connect() {
            self.lose_reads(now);
            self.advance_link(now);
            self.advance_fallback(now);
            self.advance_fetches(now);
            self.advance_ladder(now);
        }
        for id in self.views.take_dirty() {
            self.emit(Event::ViewChanged(id));
        }
        let status = self.status();
        if self.told.as_ref() != Some(&status) {
            self.told = Some(status);
            self.emit(Event::StatusChanged);
        }
    }

    fn emit(&mut self, event: Event) {
        self.effects.push_back(Effect::Emit(event));
    }

    fn next_id(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }
}
