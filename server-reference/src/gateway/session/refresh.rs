//! Another token for a session that goes on.

use sdk_core::protocol::{ErrorCode, ProtocolError, Refresh, ServerFrame};

use super::{Effect, Now, Session, State, welcome};
use crate::{auth::AuthError, rooms::Call, tenant::TenantScope};

impl Session {
    pub(super) fn refresh(&mut self, Refresh { token }: Refresh) {
        let State::Open(open) = &mut self.state else { return };
        if open.refreshing {
            let message = "a token is being verified already";
            return self.refuse(ProtocolError::new(ErrorCode::UnexpectedFrame, message));
        }
        open.refreshing = true;
        self.effects.push_back(Effect::Verify(token));
    }

    /// The session goes on for as long as the new token says and with what it covers, from the next read or write on. What
    /// was read before for somebody who may not see it any more is not sent.
    pub(super) fn refreshed(&mut self, now: Now, result: Result<TenantScope, AuthError>) {
        let State::Open(open) = &mut self.state else { return };
        let scope = match result {
            Ok(scope) => scope,
            Err(error) => return self.refuse(ProtocolError::from(&error)),
        };
        if scope.identity() != open.scope.identity() {
            self.effects.push_back(Effect::Foreign(Box::new((open.scope.clone(), scope))));
            let message = "the token names another subject than the one whose session this is";
            return self.refuse(ProtocolError::new(ErrorCode::ClientIdTaken, message));
        }
        open.refreshing = false;
        open.token_ends = now.monotonic.plus(scope.expires().since(now.wall));
        let access = (scope.access() != open.scope.access()).then(|| scope.access().clone());
        open.scope = scope.clone();
        let (version, actor, limits) = (open.version, open.actor, self.limits);
        self.send(&ServerFrame::Welcome(welcome(version, actor, &scope, limits, now.wall)));
        let (Some(access), State::Open(open)) = (access, &mut self.state) else { return };
        open.following.granted(&access);
        let ended = open.topics.granted(&access);
        self.effects.push_back(Effect::Follow(scope, open.following.visible()));
        self.effects.push_back(Effect::Rooms(Call::Granted(access)));
        ended.into_iter().for_each(|told| self.tell(told));
        self.read_next();
        self.read_next_topic();
    }
}
