//! One connection as a state machine: frames and answers in, frames and questions out.
//!
//! ```text
//! Greeting --hello--> Verifying --scope--> Opening --actor--> Open --shutdown--> Draining --> Closed
//! ```
//! Any of them goes straight to `Closed` when a frame is refused, a deadline passes or the token ends. A frame that is
//! refused ends the session, because what it held is not known: going on could let later operations of a lane
//! overtake those that were in it. Only a pull of a collection that is not followed is answered and forgotten.
//!
//! Like the client's engine it has no I/O, no clock and no randomness. [`Session::handle`] takes one input;
//! [`Session::poll_effect`] is drained to `None` after each, and [`Session::poll_timeout`] tells when to come back.

mod pace;
mod refresh;
mod rooms;
mod topics;

use std::{collections::VecDeque, sync::Arc};

use sdk_core::{
    clock::Millis,
    protocol::{
        ActorId, Changes, ClientFrame, ErrorCode, GoAway, Hello, Judgement, Limits, MAX_FIRST_FRAME, Outcome,
        Outcomes, ProtocolError, Resume, ServerFrame, Unsubscribe, Welcome, encode,
    },
};

pub use super::input::{Closing, Effect, Input, Now};
use super::{
    follow::{Following, NextRead},
    frame,
    open::Open,
    publishing::Publishing,
    topics::{Told, Topics},
    work::Work,
};
use crate::{
    auth::AuthError,
    limits::{Meter, Seat, Unit},
    storage::{Advance, Batch, Committed, Page, StorageError, events::LogError},
    tenant::TenantScope,
};
pub(super) use pace::Pace;
pub(super) use rooms::Whereabouts;
pub use rooms::{ROOM_HEARTBEAT, ROOM_SILENCE};

/// Milliseconds until the first frame must be there.
pub const FIRST_FRAME_DEADLINE: u64 = 10_000;
/// Milliseconds between pings.
pub const HEARTBEAT: u64 = 25_000;
/// Milliseconds of silence after which the peer counts as gone. Hidden tabs get slow timers, but they still answer a
/// ping within this time.
pub const SILENCE: u64 = 3 * HEARTBEAT;
/// Milliseconds that a client stays away, at least, after the server has said that it stops.
const RETRY_AFTER_SHUTDOWN: u64 = 1_000;

enum State {
    Greeting { deadline: Millis },
    Verifying { hello: Box<Hello>, version: u32 },
    Opening { hello: Box<Hello>, version: u32, scope: TenantScope },
    Open(Box<Open>),
    Draining(Box<Open>),
    Closed,
}

/// The server's side of one connection.
pub struct Session {
    limits: Limits,
    /// Whom its frames are charged to.
    meter: Arc<Meter>,
    /// Among the connections of its user and its tenant.
    seat: Option<Seat>,
    state: State,
    effects: VecDeque<Effect>,
}

impl Session {
    /// A connection that has just been opened.
    pub fn new(limits: Limits, meter: Arc<Meter>, now: Now) -> Self {
        let deadline = now.monotonic.plus(FIRST_FRAME_DEADLINE);
        Self { limits, meter, seat: None, state: State::Greeting { deadline }, effects: VecDeque::new() }
    }

    /// Takes one input. Answers that come after the session was closed are ignored.
    pub fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Received(text) => self.received(now, &text),
            Input::Unreadable(code) => self.refuse(ProtocolError::new(code, "not a frame of this protocol")),
            Input::Pinged(bytes) => self.pinged(now, bytes),
            Input::Verified(result) => self.verified(now, result),
            Input::Withdrawn(error) => self.refuse(ProtocolError::from(&error)),
            Input::Committed(result) => self.committed(now, result),
            Input::Published(result) => self.published(now, result),
            Input::Read(result) => self.read(result),
            Input::Advanced(advance) => self.advanced(&advance),
            Input::Lagged => self.lagged(),
            Input::TopicRead(result) => self.topic_read(result),
            Input::Moved(news) => self.topic_moved(&news),
            Input::MissedNews => self.missed_news(),
            Input::Mail(mail) => self.mail(mail),
            Input::Shutdown => self.shut_down(),
            Input::Timeout => {}
        }
        self.check_deadlines(now);
    }

    /// What to do next, until there is nothing more.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        let next = self.effects.pop_front();
        if next.is_none() {
            // Very many sessions idle, each for long, and an effect has room for the largest.
            self.effects = VecDeque::new();
        }
        next
    }

    /// When, on the monotonic clock, to come back with [`Input::Timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Millis> {
        match &self.state {
            State::Greeting { deadline } => Some(*deadline),
            State::Open(open) => {
                let ends = open.next_ping.min(open.token_ends).min(open.silence_ends());
                Some(open.fades().map_or(ends, |fades| fades.min(ends)))
            }
            State::Verifying { .. } | State::Opening { .. } | State::Draining(_) | State::Closed => None,
        }
    }

    /// Whether another frame may be given. While not, frames stay in the transport and the peer is slowed down:
    /// what a session holds is bounded by one batch in flight and what fits behind it.
    pub fn wants_frame(&self) -> bool {
        match &self.state {
            State::Greeting { .. } => true,
            State::Open(open) => open.has_room(&self.limits),
            State::Verifying { .. } | State::Opening { .. } | State::Draining(_) | State::Closed => false,
        }
    }

    /// Whether the session has ended; what is left of its effects is still to be drained.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether a store is at work for it.
    pub fn is_storing(&self) -> bool {
        matches!(&self.state, State::Open(open) | State::Draining(open) if open.is_storing())
    }

    /// Whose session it is, once that is known.
    pub fn scope(&self) -> Option<&TenantScope> {
        match &self.state {
            State::Opening { scope, .. } => Some(scope),
            State::Open(open) | State::Draining(open) => Some(&open.scope),
            State::Greeting { .. } | State::Verifying { .. } | State::Closed => None,
        }
    }

    fn received(&mut self, now: Now, text: &str) {
        match &mut self.state {
            State::Greeting { .. } => match frame::hello(text, MAX_FIRST_FRAME) {
                Ok((hello, version)) => {
                    self.effects.push_back(Effect::Verify(hello.token.clone()));
                    self.state = State::Verifying { hello: Box::new(hello), version };
                }
                Err(error) => self.refuse(error),
            },
            State::Open(open) => {
                open.last_heard = now.monotonic;
                self.effects.extend(open.set_away(false));
                if self.paced(now, text.len()) {
                    self.take(now, text);
                }
            }
            State::Verifying { .. } | State::Opening { .. } | State::Draining(_) | State::Closed => {}
        }
    }

    fn take(&mut self, now: Now, text: &str) {
        match frame::decode(text, self.limits.frame_bytes) {
            Ok(frame) => self.frame(now, frame, text.len()),
            Err(error) => {
                if error.code == ErrorCode::TransactionMisplaced
                    && let Some(scope) = self.scope()
                {
                    self.effects.push_back(Effect::Misused(scope.clone()));
                }
                self.refuse(error);
            }
        }
    }

    fn frame(&mut self, now: Now, frame: ClientFrame, bytes: usize) {
        let State::Open(open) = &mut self.state else { return };
        match frame {
            ClientFrame::Pong {} => {}
            ClientFrame::Hello(_) => {
                let message = "a session has one hello";
                self.refuse(ProtocolError::new(ErrorCode::UnexpectedFrame, message));
            }
            ClientFrame::Publish(batch) if batch.publications.len() > self.limits.batch_operations => {
                self.refuse(frame::too_many_operations(batch.publications.len(), &self.limits));
            }
            ClientFrame::Push(push) => match frame::check_push(&push, &self.limits) {
                Ok(()) => {
                    open.holds = push.rejected.or(open.holds.take());
                    open.operations.add(push.operations, bytes);
                    self.commit_next(now);
                }
                Err(error) => self.refuse(error),
            },
            ClientFrame::Publish(batch) => {
                open.publications.add(batch.publications, bytes);
                self.publish_next(now);
            }
            ClientFrame::Pull(pull) => {
                if open.following.pull(&pull.collection, pull.after) {
                    self.read_next();
                } else {
                    let message = format!("collection {} is not followed by this session", pull.collection);
                    self.send(&ServerFrame::Error(ProtocolError::new(ErrorCode::Forbidden, message)));
                }
            }
            ClientFrame::Subscribe(asked) => self.subscribe(asked),
            ClientFrame::Enter(enter) => self.enter(now, enter),
            ClientFrame::Leave(leave) => self.leave(&leave),
            ClientFrame::Send(send) => self.say(send),
            ClientFrame::Refresh(refresh) => self.refresh(refresh),
            ClientFrame::Unsubscribe(Unsubscribe { sub }) => {
                let unfollow = open.topics.unsubscribe(sub);
                self.tell(Told { unfollow, ..Told::default() });
                self.read_next_topic();
            }
        }
    }

    fn verified(&mut self, now: Now, result: Result<TenantScope, AuthError>) {
        let State::Verifying { hello, version } = &mut self.state else {
            return self.refreshed(now, result);
        };
        let scope = match result {
            Ok(scope) => scope,
            Err(error) => return self.refuse(ProtocolError::from(&error)),
        };
        let identified = self.meter.identify(&scope, now.monotonic);
        self.seat = match identified.and_then(|()| self.meter.known_seat(Unit::Connections)) {
            Ok(seat) => seat,
            Err(exceeded) => return self.refuse(exceeded.into()),
        };
        // Makes client and collections known; there is nothing to judge yet.
        self.effects.push_back(Effect::Commit(Batch {
            scope: scope.clone(),
            client: hello.client,
            collections: hello.resume.clone(),
            operations: Vec::new(),
            holds: hello.rejected.clone(),
            now: now.wall,
        }));
        let (hello, version) = (hello.clone(), *version);
        self.state = State::Opening { hello, version, scope };
    }

    fn committed(&mut self, now: Now, result: Result<Committed, StorageError>) {
        let committed = match result {
            Ok(committed) => committed,
            // Nothing was acknowledged. The session ends, so that nothing of it can overtake what failed.
            Err(error) => return self.refuse(ProtocolError::from(&error)),
        };
        match &mut self.state {
            State::Opening { .. } => self.open(now, committed),
            State::Open(open) => {
                let pushes = open.operations.done();
                // While a commit was under way no frame was read, so silence says nothing about the peer.
                open.last_heard = now.monotonic;
                self.answer(pushes, committed.judgements);
                self.tell_applied(committed.applied);
                self.commit_next(now);
            }
            State::Draining(open) => {
                let pushes = open.operations.done();
                self.answer(pushes, committed.judgements);
                self.close_drained();
            }
            State::Greeting { .. } | State::Verifying { .. } | State::Closed => {}
        }
    }

    fn published(&mut self, now: Now, result: Result<Vec<Option<Judgement>>, LogError>) {
        let (State::Open(open) | State::Draining(open)) = &mut self.state else { return };
        let judged = match result {
            Ok(judged) => judged,
            // As with a commit.
            Err(error) => return self.refuse(error.into()),
        };
        let frames = open.publications.done();
        open.last_heard = now.monotonic;
        let refused = |judgement: &Judgement| matches!(judgement.outcome, Outcome::Rejected(_));
        open.has_letters |= judged.iter().flatten().any(refused);
        let mut judged = judged.into_iter();
        for publications in frames {
            let judgements = judged.by_ref().take(publications).flatten().collect();
            self.send(&ServerFrame::Outcomes(Outcomes { judgements }));
        }
        self.publish_next(now);
        self.close_drained();
    }

    fn open(&mut self, now: Now, committed: Committed) {
        let State::Opening { hello, version, scope } = std::mem::replace(&mut self.state, State::Closed)
        else {
            return;
        };
        let Committed { actor, applied: judgements, has_letters, .. } = committed;
        self.send(&ServerFrame::Welcome(welcome(version, actor, &scope, self.limits, now.wall)));
        self.tell_applied(judgements);
        let Hello { client, resume, .. } = *hello;
        let following = Following::new(resume, scope.access());
        // Before the first read, so that what is committed after it is not missed.
        self.effects.push_back(Effect::Follow(scope.clone(), following.visible()));
        self.effects.push_back(Effect::Attach(scope.clone(), client));
        self.state = State::Open(Box::new(Open {
            version,
            actor,
            refreshing: false,
            token_ends: now.monotonic.plus(scope.expires().since(now.wall)),
            scope,
            client,
            following,
            topics: Topics::default(),
            whereabouts: Whereabouts::default(),
            pace: Pace::new(&self.meter, now.monotonic),
            operations: Work::default(),
            publications: Work::default(),
            holds: None,
            has_letters,
            next_ping: now.monotonic.plus(HEARTBEAT),
            last_heard: now.monotonic,
        }));
        self.read_next();
    }

    /// What was applied of that which the client holds as refused.
    fn tell_applied(&mut self, judgements: Vec<Judgement>) {
        if !judgements.is_empty() {
            self.send(&ServerFrame::Outcomes(Outcomes { judgements }));
        }
    }

    /// Each push has its own answer.
    fn answer(&mut self, pushes: Vec<usize>, judgements: Vec<Judgement>) {
        let mut judgements = judgements.into_iter();
        for operations in pushes {
            let judgements = judgements.by_ref().take(operations).collect();
            self.send(&ServerFrame::Outcomes(Outcomes { judgements }));
        }
    }

    fn commit_next(&mut self, now: Now) {
        let State::Open(open) = &mut self.state else { return };
        let Some(operations) = open.operations.begin() else { return };
        let mut collections: Vec<Resume> = Vec::new();
        for operation in &operations {
            let name = &operation.doc.collection;
            if !collections.iter().any(|known| known.collection == *name) {
                collections.extend(open.following.resume(name));
            }
        }
        let (scope, client, holds) = (open.scope.clone(), open.client, open.holds.take());
        self.effects.push_back(Effect::Commit(Batch {
            scope,
            client,
            collections,
            operations,
            holds,
            now: now.wall,
        }));
    }

    fn publish_next(&mut self, now: Now) {
        let State::Open(open) = &mut self.state else { return };
        let Some(publications) = open.publications.begin() else { return };
        let (scope, client, has_letters) = (open.scope.clone(), open.client, open.has_letters);
        let publishing = Publishing { scope, client, publications, has_letters, now: now.wall };
        self.effects.push_back(Effect::Publish(publishing));
    }

    fn read(&mut self, result: Result<Changes, StorageError>) {
        let State::Open(open) = &mut self.state else { return };
        match result {
            Ok(changes) => {
                if let Some(changes) = open.following.read(changes) {
                    self.send(&ServerFrame::Changes(changes));
                }
                self.read_next();
            }
            Err(error) => self.refuse(ProtocolError::from(&error)),
        }
    }

    fn read_next(&mut self) {
        let State::Open(open) = &mut self.state else { return };
        if let Some(NextRead { collection, after }) = open.following.next_read() {
            let page = Page { collection, after, bytes: self.limits.frame_bytes / 2 };
            self.effects.push_back(Effect::Read(open.scope.clone(), page));
        }
    }

    fn advanced(&mut self, advance: &Advance) {
        let State::Open(open) = &mut self.state else { return };
        // The hub tells only of the tenant that was asked for; a mistake there must not become a leak here.
        if *advance.tenant != **open.scope.tenant() {
            return;
        }
        match open.following.advanced(advance) {
            Some(frame) => self.effects.push_back(Effect::Send(frame)),
            None => self.read_next(),
        }
    }

    fn lagged(&mut self) {
        if let State::Open(open) = &mut self.state {
            open.following.lagged();
            self.read_next();
        }
    }

    fn shut_down(&mut self) {
        let reason = "the server is stopping".to_owned();
        let go_away = ServerFrame::GoAway(GoAway { reason, retry_after: RETRY_AFTER_SHUTDOWN });
        match std::mem::replace(&mut self.state, State::Closed) {
            // What is being committed is still answered for; what waits behind it was never begun.
            State::Open(open) if open.is_storing() => {
                self.send(&go_away);
                self.state = State::Draining(open);
            }
            State::Draining(open) => self.state = State::Draining(open),
            State::Closed => {}
            State::Greeting { .. } | State::Verifying { .. } | State::Opening { .. } | State::Open(_) => {
                self.send(&go_away);
                self.close(Closing::GoingAway);
            }
        }
    }

    /// Ends a session that has answered all that was with a store when the server stopped.
    fn close_drained(&mut self) {
        if matches!(&self.state, State::Draining(open) if !open.is_storing()) {
            self.close(Closing::GoingAway);
        }
    }

    fn check_deadlines(&mut self, now: Now) {
        let error = match &mut self.state {
            State::Greeting { deadline } if now.monotonic >= *deadline => {
                ProtocolError::new(ErrorCode::Timeout, "no hello within the deadline")
            }
            State::Open(open) if now.monotonic >= open.token_ends => ProtocolError::from(&AuthError::Expired),
            State::Open(open) if now.monotonic >= open.silence_ends() => {
                ProtocolError::new(ErrorCode::Timeout, "no answer to pings")
            }
            State::Open(open) if open.fades().is_some_and(|fades| now.monotonic >= fades) => {
                return self.effects.extend(open.set_away(true));
            }
            State::Open(open) if now.monotonic >= open.next_ping => {
                open.next_ping = now.monotonic.plus(open.heartbeat());
                open.topics.use_idle();
                self.send(&ServerFrame::Ping {});
                return self.read_next_topic();
            }
            _ => return,
        };
        self.refuse(error);
    }

    fn send(&mut self, frame: &ServerFrame) {
        self.effects.push_back(Effect::Send(encode(frame).into()));
    }

    fn refuse(&mut self, error: ProtocolError) {
        if self.is_closed() {
            return;
        }
        let code = error.code;
        self.send(&ServerFrame::Error(error));
        self.close(Closing::Refused(code));
    }

    fn close(&mut self, closing: Closing) {
        self.state = State::Closed;
        self.effects.push_back(Effect::Close(closing));
    }
}

/// What an accepted caller is told, over WebSocket and HTTP alike.
pub fn welcome(version: u32, actor: ActorId, scope: &TenantScope, limits: Limits, wall: Millis) -> Welcome {
    let (identity, heartbeat) = (scope.identity(), HEARTBEAT);
    let token_ends = Some(scope.expires().since(wall));
    Welcome { version, actor, identity, limits, heartbeat, server_time: wall, token_ends }
}
