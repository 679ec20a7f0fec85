//! Tokens that were taken back, and telling those who act by one.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use sdk_core::clock::Millis;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{bearer::Bearer, is_name};

/// Milliseconds that a token may live, whatever its `exp` says: 90 days. A revocation is kept for as long.
pub const MAX_LIFE: u64 = 90 * 24 * 60 * 60 * 1000;

/// By what tokens are taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Whose {
    /// Those of one subject that were issued before the revocation.
    Subject,
    /// Those with one `sid`, whenever they were issued: the session is over.
    Session,
    /// The one with this `jti`.
    Token,
}

/// That tokens are taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// By what.
    pub whose: Whose,
    /// The subject, the session or the token.
    pub name: Box<str>,
    /// Of a subject, those tokens that were issued before.
    pub before: Millis,
    /// When no such token can live any more, and this is forgotten.
    pub until: Millis,
}

/// A request to take tokens back. Exactly one of the first three is there.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Those of a subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Those of a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// One token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Of a subject, those that were issued before this Unix time in milliseconds; without one, before now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
}

/// Why a request to take tokens back means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRevocation {
    /// None of the three is named, or several.
    #[error("name a subject, a session or a token, and one of them")]
    Whose,
    /// Nobody can have such a name.
    #[error("a name has 1 to 128 bytes of plain text")]
    Name,
    /// A time where there is none.
    #[error("before is for a subject: a session and a token are over for good")]
    Before,
    /// Tokens cannot be taken back before they are issued.
    #[error("before is a time in the past")]
    Future,
}

/// The revocations of every tenant, where each token is compared with them.
pub struct Revoked {
    tenants: RwLock<HashMap<Arc<str>, Tenant>>,
    told: watch::Sender<()>,
}

#[derive(Default)]
struct Tenant {
    subjects: HashMap<Box<str>, (Millis, Millis)>,
    sessions: HashMap<Box<str>, Millis>,
    tokens: HashMap<Box<str>, Millis>,
}

impl Whose {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Subject, Self::Session, Self::Token];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Session => "session",
            Self::Token => "token",
        }
    }
}

impl Revocation {
    /// The one that is asked for at a time.
    ///
    /// # Errors
    /// See [`BadRevocation`].
    pub fn asked(asked: Asked, now: Millis) -> Result<Self, BadRevocation> {
        let Asked { subject, session, token, before } = asked;
        let (whose, name) = match (subject, session, token) {
            (Some(subject), None, None) => (Whose::Subject, subject),
            (None, Some(session), None) => (Whose::Session, session),
            (None, None, Some(token)) => (Whose::Token, token),
            _ => return Err(BadRevocation::Whose),
        };
        if !is_name(&name) {
            return Err(BadRevocation::Name);
        }
        let before = match before {
            None => now,
            Some(_) if whose != Whose::Subject => return Err(BadRevocation::Before),
            Some(before) if before > now.0 => return Err(BadRevocation::Future),
            Some(before) => Millis(before),
        };
        Ok(Self::new(whose, &name, before, now))
    }

    /// One of this moment, kept for as long as a token may live that it is for.
    pub fn new(whose: Whose, name: &str, before: Millis, now: Millis) -> Self {
        Self { whose, name: name.into(), before, until: now.plus(MAX_LIFE) }
    }
}

impl Default for Revoked {
    fn default() -> Self {
        Self { tenants: RwLock::default(), told: watch::Sender::new(()) }
    }
}

impl Revoked {
    /// Takes revocations in, and tells of them. One that is there already and goes further stays.
    pub fn add(&self, revocations: impl IntoIterator<Item = (Arc<str>, Revocation)>) {
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        for (tenant, Revocation { whose, name, before, until }) in revocations {
            let tenant = tenants.entry(tenant).or_default();
            match whose {
                Whose::Subject => {
                    let known = tenant.subjects.entry(name).or_default();
                    *known = (known.0.max(before), known.1.max(until));
                }
                Whose::Session => later(tenant.sessions.entry(name).or_default(), until),
                Whose::Token => later(tenant.tokens.entry(name).or_default(), until),
            }
        }
        drop(tenants);
        self.tell();
    }

    /// Forgets what no living token can be of.
    pub fn forget(&self, now: Millis) {
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        tenants.retain(|_, Tenant { subjects, sessions, tokens }| {
            subjects.retain(|_, (_, until)| *until > now);
            sessions.retain(|_, until| *until > now);
            tokens.retain(|_, until| *until > now);
            !(subjects.is_empty() && sessions.is_empty() && tokens.is_empty())
        });
    }

    /// Whether what somebody acts by was taken back.
    pub(crate) fn covers(&self, tenant: &str, subject: &str, bearer: &Bearer) -> bool {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let Some(tenant) = tenants.get(tenant) else { return false };
        let older = |(before, _): &(Millis, Millis)| bearer.issued.is_none_or(|issued| issued < *before);
        tenant.subjects.get(subject).is_some_and(older)
            || bearer.session.as_ref().is_some_and(|session| tenant.sessions.contains_key(session))
            || bearer.token.as_ref().is_some_and(|token| tenant.tokens.contains_key(token))
    }

    /// Changes each time when a token that counted may count no longer.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.told.subscribe()
    }

    pub(super) fn tell(&self) {
        self.told.send_replace(());
    }
}

fn later(known: &mut Millis, until: Millis) {
    *known = (*known).max(until);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(issued: Option<u64>, session: &str, token: &str) -> Bearer {
        let (session, token) = (Some(session.into()), Some(token.into()));
        Bearer { key: None, session, token, issued: issued.map(Millis) }
    }

    #[test]
    fn a_subject_loses_the_tokens_of_before_and_no_others() {
        let revoked = Revoked::default();
        revoked.add([("acme".into(), Revocation::new(Whose::Subject, "ada", Millis(5_000), Millis(5_000)))]);
        let covers =
            |tenant: &str, subject: &str, issued| revoked.covers(tenant, subject, &bearer(issued, "s", "t"));
        assert!(covers("acme", "ada", Some(4_999)) && covers("acme", "ada", None));
        assert!(!covers("acme", "ada", Some(5_000)));
        assert!(!covers("acme", "bob", Some(0)) && !covers("other", "ada", Some(0)));
        // One that goes less far takes nothing back.
        revoked.add([("acme".into(), Revocation::new(Whose::Subject, "ada", Millis(1), Millis(5_000)))]);
        assert!(covers("acme", "ada", Some(4_999)));
    }

    #[test]
    fn a_session_or_a_token_is_over_whenever_it_was_issued() {
        let revoked = Revoked::default();
        revoked.add([
            ("acme".into(), Revocation::new(Whose::Session, "s1", Millis(1), Millis(1))),
            ("acme".into(), Revocation::new(Whose::Token, "t1", Millis(1), Millis(1))),
        ]);
        let covers = |session, token| revoked.covers("acme", "ada", &bearer(Some(9_000), session, token));
        assert!(covers("s1", "t") && covers("s", "t1") && !covers("t1", "s1"));
        assert!(!revoked.covers("acme", "ada", &Bearer::default()));
        revoked.forget(Millis(MAX_LIFE));
        assert!(covers("s1", "t"));
        revoked.forget(Millis(MAX_LIFE + 1));
        assert!(!covers("s1", "t") && revoked.tenants.read().unwrap().is_empty());
    }

    #[test]
    fn whoever_waits_is_told() {
        let revoked = Revoked::default();
        let mut changes = revoked.changes();
        assert!(!changes.has_changed().unwrap());
        revoked.add([("acme".into(), Revocation::new(Whose::Token, "t", Millis(1), Millis(1)))]);
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
    }
}
