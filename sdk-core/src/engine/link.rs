//! The WebSocket session.

use super::{Effect, Engine, LinkId, Now, fence::Fence};
use crate::{
    clock::Millis,
    connection::Phase,
    outbox::{Batch, Entry, State, Work},
    protocol::{
        ClientFrame, ErrorCode, Hello, Judgement, Outcome, Outcomes, ProtocolError, Publish, Push, Rejection,
        Retry, Seq, ServerFrame, VERSIONS, Welcome,
    },
    routing::{Class, Route, route},
};

/// Milliseconds before another try after an error that will most likely come again.
const PERMANENT: u64 = 30_000;
/// Milliseconds that one clock must have gone on without the other to mean that the machine slept. A connection outlives
/// a shorter sleep, and clocks are rarely set by more.
const SLEPT: u64 = 10_000;

impl Engine {
    pub(super) fn link_up(&mut self, now: Millis, id: LinkId) {
        if id != self.link || self.socket.phase() != Phase::Opening {
            return;
        }
        self.socket.opened(now);
        self.forget_fence();
        let Some(token) = self.token.get() else {
            self.drop_link(now, 0);
            return;
        };
        let hello = Hello {
            versions: VERSIONS.to_vec(),
            token: token.to_owned(),
            client: self.client(),
            resume: self.replica.greet(),
            rejected: Some(self.dead()),
        };
        self.effects.push_back(Effect::Send(id, ClientFrame::Hello(hello)));
    }

    pub(super) fn link_down(&mut self, now: Millis, id: LinkId, least: u64) {
        if id == self.link && !matches!(self.socket.phase(), Phase::Waiting(_)) {
            self.lose_link(now, least);
        }
    }

    pub(super) fn received(&mut self, now: Now, id: LinkId, frame: Result<ServerFrame, ProtocolError>) {
        let at = now.monotonic;
        if id != self.link || matches!(self.socket.phase(), Phase::Waiting(_) | Phase::Opening) {
            return;
        }
        self.socket.heard(at);
        let (live, asked) = (self.socket.is_live(), self.unanswered());
        match frame {
            Ok(ServerFrame::Welcome(welcome)) => self.welcome_link(now, &welcome, live),
            Ok(ServerFrame::Outcomes(Outcomes { judgements })) if live => self.judged(judgements),
            Ok(ServerFrame::Changes(changes)) if live => self.changes(now, changes),
            Ok(ServerFrame::Events(events)) if live => self.topic_events(events),
            Ok(ServerFrame::Ended(ended)) if live => self.topic_ended(ended),
            Ok(ServerFrame::Room(news)) if live => self.room_news(news),
            Ok(ServerFrame::Message(message)) if live => self.message(&message),
            Ok(ServerFrame::Sent(sent)) if live => self.sent(sent),
            Ok(ServerFrame::Ping {}) => self.effects.push_back(Effect::Send(id, ClientFrame::Pong {})),
            Ok(ServerFrame::SlowDown(slow)) => self.socket.slow_down(at, slow.wait),
            Ok(ServerFrame::GoAway(leave)) => self.drop_link(at, leave.retry_after),
            Ok(ServerFrame::Error(error)) => self.refused_link(at, error),
            Err(error) => {
                // What cannot be read says nothing about what was sent.
                self.problem = Some(error);
                self.drop_link(at, 0);
            }
            Ok(_) => {
                let message = "frame out of place".to_owned();
                self.refused_link(at, ProtocolError::new(ErrorCode::UnexpectedFrame, message));
            }
        }
        // Heartbeats and other clients' changes answer nothing: only less to wait for does. Where nothing is waited for
        // any more, the application may have lost its interest.
        let open = self.unanswered();
        if self.socket.is_live() && (open < asked || open == 0) {
            self.socket.answered(at, open > 0);
        }
    }

    /// What was sent and wants an answer.
    fn unanswered(&self) -> usize {
        self.outbox.in_flight() + self.replica.pulls() + self.topics.asking() + self.rooms.asking()
    }

    fn welcome_link(&mut self, now: Now, welcome: &Welcome, live: bool) {
        if let Err(error) = self.welcome(now, welcome) {
            self.refused_link(now.monotonic, error);
            return;
        }
        self.token.ends(now.monotonic, welcome.token_ends);
        if live {
            // The answer to a refresh: the session goes on as it is.
            return;
        }
        self.socket.welcomed(now.monotonic, welcome.heartbeat);
        self.poll.stop();
        self.request = None;
        self.outbox.requeue();
        self.replica.link_changed();
        self.replica.welcomed();
        self.topics.link_changed();
        self.replica.fall_behind();
    }

    /// Takes what the server says of itself and of this client.
    ///
    /// # Errors
    /// The token names somebody else than the one whose data this is. Nothing must be sent.
    pub(super) fn welcome(&mut self, now: Now, welcome: &Welcome) -> Result<(), ProtocolError> {
        let owner = self.ids.meta.identity.as_ref();
        if owner.is_some_and(|owner| *owner != welcome.identity) {
            let message = "the token names another person than the one whose edits are stored here";
            return Err(ProtocolError::new(ErrorCode::ClientIdTaken, message));
        }
        self.ids.met(welcome.actor, &welcome.identity);
        self.limits = welcome.limits.usable();
        self.ahead = welcome.server_time.0.cast_signed().wrapping_sub(now.wall.0.cast_signed());
        self.token.proved();
        self.problem = None;
        Ok(())
    }

    fn refused_link(&mut self, now: Millis, error: ProtocolError) {
        let least = self.refused(now, error);
        self.drop_link(now, least);
    }

    /// Learns from an error of the server; returns how long to stay away.
    pub(super) fn refused(&mut self, now: Millis, error: ProtocolError) -> u64 {
        let retry = error.code.retry();
        let blamed = retry == Retry::Never && blames_operations(error.code) && self.outbox.in_flight() > 0;
        let least = match retry {
            Retry::Later => error.retry_after.unwrap_or(0),
            Retry::Never if blamed => {
                self.isolate(&error);
                0
            }
            Retry::Never => PERMANENT,
            Retry::Reauthenticate => {
                self.token.refused(now, &mut self.random);
                0
            }
        };
        if error.code == ErrorCode::ClientIdTaken {
            self.token.refused(now, &mut self.random);
        }
        self.problem = Some(error);
        least
    }

    /// Something in flight upsets the server. Operations go one by one until the one is found; it is rejected, so
    /// that it blocks nothing but itself.
    fn isolate(&mut self, error: &ProtocolError) {
        self.batch = 1;
        let in_flight = |entry: &&Entry| matches!(entry.state, State::InFlight);
        let suspects: Vec<Seq> = self.outbox.entries().filter(in_flight).map(Entry::seq).take(2).collect();
        if let [culprit] = suspects[..] {
            self.reject(culprit, error.code, &error.message);
        }
    }

    fn reject(&mut self, seq: Seq, code: ErrorCode, message: &str) {
        let outcome = Outcome::Rejected(Rejection { code, message: message.to_owned() });
        self.judge(Judgement { seq, outcome, position: None, by: None, event: None });
    }

    /// Closes the WebSocket, if there is one.
    pub(super) fn drop_link(&mut self, now: Millis, least: u64) {
        if !matches!(self.socket.phase(), Phase::Waiting(_)) {
            self.effects.push_back(Effect::Disconnect(self.link));
            self.lose_link(now, least);
        }
    }

    /// Ends all that is under way with the server, without a thought of what comes next.
    pub(super) fn disconnect(&mut self, now: Millis) {
        self.drop_link(now, 0);
        self.socket.rest();
        self.poll.stop();
        self.request = None;
        self.outbox.requeue();
        self.topics.link_changed();
        self.replica.fall_behind();
    }

    fn lose_link(&mut self, now: Millis, least: u64) {
        // A try that failed says nothing about what is read over HTTP meanwhile.
        if self.socket.is_live() {
            self.topics.link_changed();
            self.leave_rooms();
        }
        self.socket.lost(now, least, &mut self.random);
        self.outbox.requeue();
        self.replica.link_changed();
        self.replica.fall_behind();
        self.forget_fence();
    }

    /// Notices that the machine slept where the monotonic clock stood still meanwhile: Unix time has then gone on alone.
    /// The link looks as good as before, and is most likely dead.
    pub(super) fn compare_clocks(&mut self, Now { monotonic, wall }: Now) {
        let origin = Millis(wall.0.saturating_sub(monotonic.0));
        if self.origin.replace(origin).is_some_and(|before| origin.since(before) >= SLEPT) {
            self.drop_link(monotonic, 0);
            self.wake(monotonic);
        }
    }

    pub(super) fn wake(&mut self, now: Millis) {
        if self.socket.is_overdue(now) {
            self.drop_link(now, 0);
        }
        self.socket.hurry(now);
        self.poll.hurry(now);
        self.token.hurry(now);
    }

    pub(super) fn advance_link(&mut self, now: Millis) {
        if self.socket.is_dead(now).is_some() {
            self.drop_link(now, 0);
        }
        if self.socket.is_due(now) && self.has_token(now) {
            self.link = LinkId(self.next_id());
            self.socket.opening(now);
            self.effects.push_back(Effect::Connect(self.link));
        }
        if self.socket.is_live() {
            self.renew_token(now);
        }
        if !self.socket.may_speak(now) {
            return;
        }
        if route(Class::LowLatency, self.link_state()) == Route::Socket {
            self.pull_overdue(now);
            self.send(now);
        }
        if route(Class::EventStreaming, self.link_state()) == Route::Socket {
            self.catch_up(now);
            if self.ask_for_topics() {
                self.socket.asked(now);
            }
        }
        if self.advance_rooms(now) {
            self.socket.asked(now);
        }
    }

    /// What is still held of what was refused, as the server is about to hear.
    pub(super) fn dead(&mut self) -> Vec<Seq> {
        self.untold = false;
        self.outbox.dead()
    }

    fn send(&mut self, now: Millis) {
        self.reject_oversize();
        // A removal is durable before anybody hears of it; and what has no answer yet may be refused.
        if self.untold && self.saving.is_done() && self.outbox.in_flight() == 0 && self.fence == Fence::Ours {
            let push = Push { operations: Vec::new(), rejected: Some(self.dead()) };
            self.effects.push_back(Effect::Send(self.link, ClientFrame::Push(push)));
        }
        loop {
            // One at a time while a culprit is sought, so that an error can be told to be about it.
            let searching = self.batch == 1 && self.outbox.in_flight() > 0;
            if searching || self.fence != Fence::Ours {
                break;
            }
            let batch = self.take_batch();
            if batch.is_empty() {
                break;
            }
            self.socket.asked(now);
            let Batch { operations, publications } = batch;
            if !operations.is_empty() {
                let push = Push { operations, rejected: None };
                self.effects.push_back(Effect::Send(self.link, ClientFrame::Push(push)));
            }
            if !publications.is_empty() {
                let frame = ClientFrame::Publish(Publish { publications });
                self.effects.push_back(Effect::Send(self.link, frame));
            }
        }
        if let Some(resume) = self.replica.take_pull() {
            self.socket.asked(now);
            self.effects.push_back(Effect::Send(self.link, ClientFrame::Pull(resume)));
        }
    }

    /// What the server would refuse for its size is not sent; it may be from before the limit was known.
    pub(super) fn reject_oversize(&mut self) {
        let limit = self.limits.operation_bytes;
        // Its text is longer than what counts; most need not be written out to see that they fit.
        let size = |entry: &Entry| match &entry.work {
            _ if entry.bytes <= limit => 0,
            Work::Edit(operation) => operation.payload().len(),
            Work::Event(publication, _) => publication.event.as_str().len(),
        };
        while let Some(entry) = self.outbox.oldest_queued().filter(|entry| size(entry) > limit) {
            let (seq, bytes) = (entry.seq(), size(entry));
            let code =
                if entry.event().is_some() { ErrorCode::EventTooLarge } else { ErrorCode::FrameTooLarge };
            self.reject(seq, code, &format!("it has {bytes} bytes; {limit} are allowed"));
        }
    }

    pub(super) fn link_timeout(&self) -> Option<Millis> {
        match self.socket.phase() {
            Phase::Waiting(at) => Some(self.token.timeout().map_or(at, |token| token.max(at))),
            _ => {
                let live = [self.overdue_at(), self.token.renewal()].into_iter().flatten();
                let live = live.filter(|_| self.socket.is_live());
                live.chain(self.socket.timeout()).min()
            }
        }
    }
}

/// Whether an error says that what was sent is at fault, and not who sent it.
fn blames_operations(code: ErrorCode) -> bool {
    use ErrorCode::*;
    matches!(
        code,
        Malformed | FrameTooLarge | TooDeep | TooMany | InvalidOperation | DocumentTooLarge | Unknown
    )
}
