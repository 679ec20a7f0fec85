//! Plain HTTP while the WebSocket does not work: the same operations, the same changes, one request at a time.

use super::{Call, CallBody, Effect, Engine, HttpFailure, HttpId, Now, Reply, fence::Fence};
use crate::{
    clock::Millis,
    outbox::{Batch, State},
    protocol::{PullRequest, PushRequest, Resume, Retry},
};

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Push,
    Pull,
}

impl Engine {
    /// Whether HTTP stands in for the WebSocket.
    fn falls_back(&self) -> bool {
        !self.socket.is_live() && self.socket.has_failed()
    }

    pub(super) fn advance_fallback(&mut self, now: Millis) {
        if self.poll.is_lost(now) {
            self.request_failed(now, 0, false);
        }
        self.reject_oversize();
        let urgent = self.fence == Fence::Ours && self.outbox.has_ready() && self.outbox.in_flight() == 0;
        let due = self.falls_back() && self.poll.is_due(now, urgent || self.replica.wants_pull());
        if !due || self.replica.is_storing() || !self.has_token(now) {
            return;
        }
        let Some(token) = self.token.get().map(str::to_owned) else { return };
        // A push has no hello before it: under a token that names somebody else it would have been applied before
        // the welcome tells. A pull asks first.
        let may_push = self.token.is_proved() && self.last_request == Kind::Pull;
        let kind = if urgent && may_push { Kind::Push } else { Kind::Pull };
        let body = match kind {
            Kind::Push => CallBody::Push(self.push_request()),
            Kind::Pull => CallBody::Pull(self.pull_request()),
        };
        let id = HttpId(self.next_id());
        self.request = Some(id);
        self.last_request = kind;
        self.poll.started(now);
        self.effects.push_back(Effect::Http(id, Call { token, body }));
    }

    fn push_request(&mut self) -> PushRequest {
        let Batch { operations, publications } = self.take_batch();
        self.forget_fence();
        let written = |resume: &Resume| {
            operations.iter().any(|operation| operation.doc.collection == resume.collection)
        };
        let collections = self.replica.resume().into_iter().filter(written).collect();
        PushRequest { client: self.client(), collections, operations, publications }
    }

    fn pull_request(&mut self) -> PullRequest {
        self.replica.link_changed();
        // What is being fetched as a snapshot is not pulled page by page beside it.
        let mut collections = self.replica.resume();
        collections.retain(|resume| !self.is_fetching(&resume.collection));
        PullRequest { client: self.client(), collections, rejected: Some(self.dead()) }
    }

    pub(super) fn http_done(&mut self, now: Now, id: HttpId, result: Result<Reply, HttpFailure>) {
        if self.request.take_if(|current| *current == id).is_none() {
            return;
        }
        let at = now.monotonic;
        let welcome = match &result {
            Ok(Reply::Push(reply)) => self.welcome(now, &reply.welcome),
            Ok(Reply::Pull(reply)) => self.welcome(now, &reply.welcome),
            Err(_) => Ok(()),
        };
        match (welcome, result) {
            (Err(error), _) | (_, Err(HttpFailure::Refused(error))) => {
                // Who is refused for good, or for a token, has nothing that works, however well the server is reached.
                let works = error.code.retry() == Retry::Later;
                let least = self.refused(at, error);
                if works {
                    // A browser does not tell why no WebSocket opens: most likely for the same reason.
                    self.socket.wait(at.plus(least));
                }
                self.request_failed(at, least, works);
            }
            (_, Err(HttpFailure::Unreachable)) => self.request_failed(at, 0, false),
            (Ok(()), Ok(Reply::Push(reply))) => {
                self.judged(reply.judgements);
                self.requeue_unanswered();
                self.poll.succeeded(at, true);
            }
            (Ok(()), Ok(Reply::Pull(reply))) => {
                self.judged(reply.judgements);
                reply.changes.into_iter().for_each(|changes| self.changes(now, changes));
                self.poll.succeeded(at, self.replica.wants_pull());
            }
        }
    }

    /// An answer without a judgement for each operation leaves the others to be sent again.
    fn requeue_unanswered(&mut self) {
        if self.outbox.entries().any(|entry| matches!(entry.state, State::InFlight)) {
            self.outbox.requeue();
        }
    }

    fn request_failed(&mut self, now: Millis, least: u64, works: bool) {
        self.request = None;
        self.poll.failed(now, least, works, &mut self.random);
        if !self.socket.is_live() {
            self.outbox.requeue();
            self.replica.fall_behind();
            self.forget_fence();
        }
    }

    pub(super) fn fallback_timeout(&self) -> Option<Millis> {
        if !self.falls_back() || (!self.poll.is_busy() && self.replica.is_storing()) {
            return None;
        }
        let at = self.poll.timeout();
        Some(self.token.timeout().filter(|_| !self.poll.is_busy()).map_or(at, |token| token.max(at)))
    }
}
