//! The keys that are trusted at this moment.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use jsonwebtoken::{DecodingKey, Validation};

use super::{bearer::KeyMark, keys::Key};

/// A key with what it takes to verify by it.
pub(super) struct Trusted {
    pub(super) decoding: DecodingKey,
    pub(super) validation: Validation,
    pub(super) mark: KeyMark,
}

type Keys = BTreeMap<String, Arc<Trusted>>;

/// Keys that an operator named, and those of a document that changes.
pub(super) struct Keyring {
    issuer: String,
    audience: String,
    fixed: Keys,
    all: RwLock<Keys>,
}

impl Keyring {
    pub(super) fn new(issuer: &str, audience: &str, keys: impl IntoIterator<Item = Key>) -> Self {
        let mut ring = Self {
            issuer: issuer.into(),
            audience: audience.into(),
            fixed: Keys::new(),
            all: RwLock::default(),
        };
        ring.fixed = keys.into_iter().map(|key| ring.trusted(key)).collect();
        ring.all = RwLock::new(ring.fixed.clone());
        ring
    }

    /// Trusts these besides those that an operator named, in the place of the ones before. Whether one is trusted no more.
    pub(super) fn replace(&self, keys: Vec<Key>) -> bool {
        let mut all: Keys = keys.into_iter().map(|key| self.trusted(key)).collect();
        // What the operator of this server said goes before what a document says.
        all.extend(self.fixed.iter().map(|(id, key)| (id.clone(), key.clone())));
        let mut trusted = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let gone = trusted.iter().any(|(id, old)| all.get(id).is_none_or(|new| new.mark != old.mark));
        *trusted = all;
        gone
    }

    /// The key of an id. A token may leave its id out where there is one key, if that will be so tomorrow as well.
    pub(super) fn find(&self, id: Option<&str>, settled: bool) -> Option<Arc<Trusted>> {
        let keys = self.all.read().unwrap_or_else(PoisonError::into_inner);
        match id {
            Some(id) => keys.get(id),
            None if settled && keys.len() == 1 => keys.values().next(),
            None => None,
        }
        .cloned()
    }

    /// Whether a key is still trusted.
    pub(super) fn holds(&self, mark: KeyMark) -> bool {
        let keys = self.all.read().unwrap_or_else(PoisonError::into_inner);
        keys.values().any(|key| key.mark == mark)
    }

    fn trusted(&self, key: Key) -> (String, Arc<Trusted>) {
        let mut validation = Validation::new(key.algorithm);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["iss", "aud", "exp", "nbf", "sub"]);
        // Both are checked against the time that is passed in.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let mark = KeyMark::of(&key.id, key.algorithm, &key.decoding);
        (key.id, Arc::new(Trusted { decoding: key.decoding, validation, mark }))
    }
}
