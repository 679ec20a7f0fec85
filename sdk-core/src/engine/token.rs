//! The application's token: asked for when needed, kept until the server refuses it. While a session is open another is
//! asked for before this one ends, and the session goes on by it.

use super::{Effect, Engine, TokenError};
use crate::{
    clock::Millis,
    connection::Backoff,
    protocol::{ClientFrame, ErrorCode, ProtocolError, Refresh},
};

/// Milliseconds for the application to answer, before it is asked again.
const PATIENCE: u64 = 60_000;
/// Milliseconds before its end, at most, that another token is asked for; of a short life it is a quarter.
const LEAD: u64 = 60_000;
/// Milliseconds until the application is asked again that had no other.
const AGAIN: u64 = 5_000;

/// Where the token is.
#[derive(Debug)]
pub(super) struct Token {
    state: State,
    /// Whether a welcome has told that it names the one whose data this is.
    proved: bool,
    backoff: Backoff,
    /// When another is to be asked for, or counts as asked for in vain.
    renewal: Option<Millis>,
    /// The application is being asked for another.
    renewing: bool,
}

#[derive(Debug)]
enum State {
    /// To be asked for at this time.
    Wanted(Millis),
    Asked(Millis),
    Here(String),
}

impl Default for Token {
    fn default() -> Self {
        Self {
            state: State::Wanted(Millis::default()),
            proved: false,
            backoff: Backoff::new(1_000, 60_000),
            renewal: None,
            renewing: false,
        }
    }
}

impl Token {
    /// The token, if it is here.
    pub(super) fn get(&self) -> Option<&str> {
        if let State::Here(token) = &self.state { Some(token) } else { None }
    }

    /// The server took it, and it names the owner of what is stored here.
    pub(super) fn proved(&mut self) {
        self.proved = true;
        self.backoff.reset();
    }

    /// The session by it ends after so many milliseconds, if it is known when.
    pub(super) fn ends(&mut self, now: Millis, ends: Option<u64>) {
        self.renewal = ends.map(|ends| now.plus(ends - LEAD.min(ends / 4)));
    }

    /// When another has to be asked for while the session is open.
    pub(super) fn renewal(&self) -> Option<Millis> {
        self.renewal
    }

    /// Whether operations may be sent with it.
    pub(super) fn is_proved(&self) -> bool {
        self.proved
    }

    /// The server refused it.
    pub(super) fn refused(&mut self, now: Millis, random: &mut fastrand::Rng) {
        // The first time at once: a token that was good has expired.
        let at = if self.backoff.failures() == 0 { now } else { now.plus(1_000) };
        let later = self.backoff.fail(now, 0, random);
        self.state = State::Wanted(if at == now { now } else { later.max(at) });
    }

    pub(super) fn hurry(&mut self, now: Millis) {
        if let State::Wanted(at) = &mut self.state {
            *at = now.min(*at);
        }
    }

    pub(super) fn timeout(&self) -> Option<Millis> {
        match self.state {
            State::Wanted(at) => Some(at),
            State::Asked(since) => Some(since.plus(PATIENCE)),
            State::Here(_) => None,
        }
    }
}

impl Engine {
    /// Whether a token is here; asks for one if not.
    pub(super) fn has_token(&mut self, now: Millis) -> bool {
        let ask = self.token.timeout().is_some_and(|at| at <= now);
        if ask {
            self.token.state = State::Asked(now);
            self.effects.push_back(Effect::FetchToken);
        }
        self.token.get().is_some()
    }

    /// Asks for another token, if the one of the open session is about to end.
    pub(super) fn renew_token(&mut self, now: Millis) {
        if self.token.renewal.is_some_and(|at| at <= now) {
            self.token.renewal = Some(now.plus(PATIENCE));
            self.token.renewing = true;
            self.effects.push_back(Effect::FetchToken);
        }
    }

    /// Another token came while this one is still good.
    fn token_renewed(&mut self, now: Millis, result: Result<String, TokenError>) {
        self.token.renewing = false;
        match result {
            Ok(token) if self.token.get() != Some(&token) => {
                // The answer tells when it ends.
                self.token.renewal = None;
                if self.socket.is_live() {
                    let refresh = Refresh { token: token.clone() };
                    self.effects.push_back(Effect::Send(self.link, ClientFrame::Refresh(refresh)));
                }
                self.token.state = State::Here(token);
                self.token.proved = false;
            }
            _ => self.token.renewal = Some(now.plus(AGAIN)),
        }
    }

    pub(super) fn token_came(&mut self, now: Millis, result: Result<String, TokenError>) {
        if !matches!(self.token.state, State::Asked(_)) {
            if self.token.renewing {
                self.token_renewed(now, result);
            }
            return;
        }
        match result {
            Ok(token) => {
                self.token.state = State::Here(token);
                self.token.proved = false;
            }
            Err(error) => {
                self.problem = Some(ProtocolError::new(ErrorCode::Unauthenticated, error.to_string()));
                self.token.state = State::Wanted(self.token.backoff.fail(now, 500, &mut self.random));
            }
        }
    }
}
