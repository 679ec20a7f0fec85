//! How fast a session may speak: by what it has sent itself, and by what all have sent with whom it shares a limit.
//!
//! Who goes beyond is first asked to wait, by a frame that says how long; what is lost without harm is then refused; and
//! who goes on for as much again is ended. Nothing that was sent is thrown away before that. For what others have sent
//! nobody is ended who does as asked.

use sdk_core::{
    clock::Millis,
    protocol::{EndReason, ErrorCode, ProtocolError, ServerFrame, SlowDown},
};

use super::{Now, Session, State};
use crate::{
    limits::{Answer, Exceeded, Meter, Spent, Verdict},
    rooms::Code,
};

/// Milliseconds between two requests to wait, and until the first of them is taken to be known.
const PAUSE: u64 = 1_000;

/// How fast one session has spoken.
#[derive(Debug)]
pub(in crate::gateway) struct Pace {
    own: Spent,
    /// What its last frame was too much for.
    over: Option<Exceeded>,
    asked: Option<Asked>,
}

/// A session was asked to wait.
#[derive(Debug)]
struct Asked {
    first: Millis,
    last: Millis,
    until: Millis,
}

/// What becomes of a frame.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Fine,
    /// It is taken, and its sender is to wait.
    Wait(Exceeded),
    /// There were too many for too long.
    End(Exceeded),
}

impl Pace {
    pub(super) fn new(meter: &Meter, now: Millis) -> Self {
        Self { own: Spent::nothing(meter.session_rates(), now), over: None, asked: None }
    }

    fn spend(&mut self, meter: &Meter, now: Millis, bytes: u64) -> Step {
        let (own, broken) = match self.own.take(now, 1, bytes) {
            Verdict::Fine => (None, false),
            Verdict::Over(unit, wait) => (Some(Exceeded::of_session(unit, wait)), false),
            Verdict::Broken(unit, wait) => (Some(Exceeded::of_session(unit, wait)), true),
        };
        let shared = meter.take(now, 1, bytes);
        self.over =
            [own, shared.map(|(shared, _)| shared)].into_iter().flatten().max_by_key(|over| over.wait);
        let Some(over) = self.over else { return Step::Fine };
        match (own, shared) {
            (Some(own), _) if broken => Step::End(own),
            (_, Some((shared, true))) if self.defies(now) => Step::End(shared),
            _ => Step::Wait(over),
        }
    }

    /// Whether it goes on while it is to wait, and has had time to hear of that.
    fn defies(&self, now: Millis) -> bool {
        self.asked.as_ref().is_some_and(|asked| now < asked.until && now.since(asked.first) >= PAUSE)
    }

    /// Whether it is to be asked to wait, once more or for the first time.
    fn ask(&mut self, now: Millis, wait: u64) -> bool {
        let until = now.plus(wait);
        match &mut self.asked {
            Some(asked) if now.since(asked.last) < PAUSE => false,
            Some(asked) if now < asked.until => {
                (asked.last, asked.until) = (now, asked.until.max(until));
                true
            }
            asked => {
                *asked = Some(Asked { first: now, last: now, until });
                true
            }
        }
    }
}

impl Session {
    /// Counts what the transport has answered already, which is a message as well as any other.
    pub(super) fn pinged(&mut self, now: Now, bytes: usize) {
        if matches!(self.state, State::Open(_)) {
            self.paced(now, bytes);
        } else if let Some((over, true)) = self.meter.take(now.monotonic, 1, bytes as u64) {
            self.meter.count(over, Answer::Ended);
            self.refuse(over.into());
        }
    }

    /// Counts a frame. Returns whether it is to be looked at.
    pub(super) fn paced(&mut self, now: Now, bytes: usize) -> bool {
        let State::Open(open) = &mut self.state else { return false };
        match open.pace.spend(&self.meter, now.monotonic, bytes as u64) {
            Step::Fine => true,
            Step::Wait(over) => {
                if open.pace.ask(now.monotonic, over.wait) {
                    self.meter.count(over, Answer::Wait);
                    self.send(&ServerFrame::SlowDown(SlowDown { wait: over.wait }));
                }
                true
            }
            Step::End(over) => {
                self.meter.count(over, Answer::Ended);
                let message = "too much for too long; what was not answered is to be sent again, more slowly";
                let error = ProtocolError::new(ErrorCode::RateLimited, message);
                self.refuse(ProtocolError { retry_after: Some(over.wait), ..error });
                false
            }
        }
    }

    /// Why something is refused that is lost without harm, if its sender goes beyond what it may.
    pub(super) fn hurried(&self) -> Option<EndReason> {
        let State::Open(open) = &self.state else { return None };
        open.pace.over.map(|over| {
            self.meter.count(over, Answer::Refused);
            let message = "too fast; wait as the server has asked".to_owned();
            EndReason { code: Code::RateLimited.as_str().to_owned(), message }
        })
    }
}
