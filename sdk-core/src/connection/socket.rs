//! One WebSocket after another.

use super::backoff::Backoff;
use crate::clock::Millis;

/// Milliseconds for a WebSocket to open, and then for the welcome to come.
const OPENING: u64 = 10_000;
/// Milliseconds that the server may leave something unanswered while it still sends heartbeats.
const ANSWER: u64 = 30_000;
/// Milliseconds a link must have lived for the next failure to count as the first.
const STABLE: u64 = 10_000;
/// Heartbeats that may be missed. Timers run once a minute in hidden tabs, hence also a floor.
const MISSED: u64 = 2;
const SILENCE_FLOOR: u64 = 75_000;

/// How far the current WebSocket has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// There is none; the next is opened at this time.
    Waiting(Millis),
    /// It is being opened.
    Opening,
    /// It is open, and has been greeted.
    Greeting,
    /// The server has welcomed it.
    Live,
}

/// Why a link counts as dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// It did not open, or no welcome came.
    NotEstablished,
    /// Not even heartbeats come.
    Silent,
    /// Heartbeats come, answers do not.
    Stuck,
}

/// Milliseconds that a server can ask for silence, at most.
const LONGEST_WAIT: u64 = 60_000;

/// The state of the WebSocket.
#[derive(Debug)]
pub struct Socket {
    phase: Phase,
    backoff: Backoff,
    since: Millis,
    heard: Millis,
    heartbeat: u64,
    unanswered: Option<Millis>,
    /// Until when the server has asked for silence.
    quiet: Option<Millis>,
    /// Whether the last try did not come as far as the welcome.
    failed: bool,
}

impl Socket {
    /// No WebSocket yet; the first is opened at once.
    pub fn new() -> Self {
        let zero = Millis::default();
        Self {
            phase: Phase::Waiting(zero),
            backoff: Backoff::new(1_000, 60_000),
            since: zero,
            heard: zero,
            heartbeat: 0,
            unanswered: None,
            quiet: None,
            failed: false,
        }
    }

    /// How far it has come.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether frames other than a hello may be sent.
    pub fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    /// Whether the last try did not come as far as the welcome, so that something else has to do meanwhile.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Whether it is time to open one.
    pub fn is_due(&self, now: Millis) -> bool {
        matches!(self.phase, Phase::Waiting(at) if at <= now)
    }

    /// One is being opened.
    pub fn opening(&mut self, now: Millis) {
        self.enter(Phase::Opening, now);
    }

    /// It is open.
    pub fn opened(&mut self, now: Millis) {
        self.enter(Phase::Greeting, now);
    }

    /// The server has welcomed it and sends a ping every `heartbeat` milliseconds.
    pub fn welcomed(&mut self, now: Millis, heartbeat: u64) {
        self.enter(Phase::Live, now);
        self.heartbeat = heartbeat;
        self.failed = false;
    }

    /// It is gone or given up. The next try is at least `least` milliseconds away.
    pub fn lost(&mut self, now: Millis, least: u64, random: &mut fastrand::Rng) {
        if self.is_live() && now.since(self.since) >= STABLE {
            self.backoff.reset();
        }
        self.failed |= !self.is_live();
        self.phase = Phase::Waiting(self.backoff.fail(now, least, random));
        (self.unanswered, self.quiet) = (None, None);
    }

    /// The application forbade it; nothing has failed.
    pub fn rest(&mut self) {
        *self = Self::new();
    }

    /// Something hints that a try may succeed now.
    pub fn hurry(&mut self, now: Millis) {
        if let Phase::Waiting(at) = &mut self.phase {
            *at = now.min(*at);
        }
    }

    /// The server has said elsewhere that no try succeeds before.
    pub fn wait(&mut self, until: Millis) {
        if let Phase::Waiting(at) = &mut self.phase {
            *at = until.max(*at);
        }
    }

    /// The server has asked to send nothing for so many milliseconds.
    pub fn slow_down(&mut self, now: Millis, wait: u64) {
        self.quiet = Some(now.plus(wait.min(LONGEST_WAIT)));
    }

    /// Whether the server has asked for silence.
    pub fn is_quiet(&self) -> bool {
        self.quiet.is_some()
    }

    /// Whether the server has not asked for silence, or its time is over.
    pub fn may_speak(&mut self, now: Millis) -> bool {
        self.quiet = self.quiet.filter(|quiet| *quiet > now);
        self.quiet.is_none()
    }

    /// A frame came.
    pub fn heard(&mut self, now: Millis) {
        self.heard = now;
    }

    /// Something was sent that wants an answer.
    pub fn asked(&mut self, now: Millis) {
        self.unanswered.get_or_insert(now);
    }

    /// An answer came; `more` says whether others are still wanted.
    pub fn answered(&mut self, now: Millis, more: bool) {
        self.unanswered = more.then_some(now);
    }

    /// Whether the link has to be given up.
    pub fn is_dead(&self, now: Millis) -> Option<Silence> {
        let (at, why) = self.deadline()?;
        (at <= now).then_some(why)
    }

    /// Whether nothing was heard for longer than a heartbeat, as after the machine slept.
    pub fn is_overdue(&self, now: Millis) -> bool {
        self.is_live() && now.since(self.heard) > self.heartbeat + self.heartbeat / 2
    }

    /// When something is to be done: open one, or give one up.
    pub fn timeout(&self) -> Option<Millis> {
        match self.phase {
            Phase::Waiting(at) => Some(at),
            _ => self.deadline().map(|(at, _)| at).into_iter().chain(self.quiet).min(),
        }
    }

    fn deadline(&self) -> Option<(Millis, Silence)> {
        match self.phase {
            Phase::Waiting(_) => None,
            Phase::Opening | Phase::Greeting => Some((self.since.plus(OPENING), Silence::NotEstablished)),
            Phase::Live => {
                let silence = (self.heartbeat * (MISSED + 1)).max(SILENCE_FLOOR);
                let silent = (self.heard.plus(silence), Silence::Silent);
                let stuck = self.unanswered.map(|since| (since.plus(ANSWER), Silence::Stuck));
                Some(stuck.filter(|stuck| stuck.0 < silent.0).unwrap_or(silent))
            }
        }
    }

    fn enter(&mut self, phase: Phase, now: Millis) {
        self.phase = phase;
        self.since = now;
        self.heard = now;
        self.unanswered = None;
    }
}

impl Default for Socket {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live() -> Socket {
        let mut socket = Socket::new();
        socket.opening(Millis(0));
        socket.opened(Millis(10));
        socket.welcomed(Millis(20), 25_000);
        socket
    }

    #[test]
    fn a_socket_that_opens_and_says_nothing_is_given_up() {
        let mut socket = Socket::new();
        socket.opening(Millis(0));
        socket.opened(Millis(9_000));
        assert_eq!(socket.is_dead(Millis(18_999)), None);
        assert_eq!(socket.is_dead(Millis(19_000)), Some(Silence::NotEstablished));
    }

    #[test]
    fn a_silent_link_is_given_up_after_missed_heartbeats() {
        let mut socket = live();
        socket.heard(Millis(50_000));
        assert_eq!(socket.is_dead(Millis(124_999)), None);
        assert_eq!(socket.is_dead(Millis(125_000)), Some(Silence::Silent));
    }

    #[test]
    fn heartbeats_alone_do_not_keep_a_stuck_link() {
        let mut socket = live();
        socket.asked(Millis(1_000));
        socket.heard(Millis(30_000));
        assert_eq!(socket.is_dead(Millis(31_000)), Some(Silence::Stuck));
        socket.answered(Millis(30_500), false);
        assert_eq!(socket.is_dead(Millis(31_000)), None);
    }

    #[test]
    fn links_that_break_at_once_are_tried_ever_more_rarely() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut socket = live();
        for _ in 0..5 {
            socket.welcomed(Millis(100), 25_000);
            socket.lost(Millis(200), 0, &mut random);
        }
        assert_eq!(socket.backoff.failures(), 5);
        socket.welcomed(Millis(300), 25_000);
        socket.lost(Millis(300 + STABLE), 0, &mut random);
        assert_eq!(socket.backoff.failures(), 1);
    }
}
