//! Tokens that were found to be true, so that a request does not cost a verification each.

use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, PoisonError},
};

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

use super::verifier::Claimed;

/// Tokens of one generation.
const GENERATION: usize = 2_048;

/// What stands for a token. The tokens themselves are not kept: whoever saw this memory could not use them.
pub(super) type Mark = [u8; SHA256_OUTPUT_LEN];

/// The claims of the tokens that were used last. Whether their time has come, or is over, is not known here.
#[derive(Default)]
pub(super) struct Known(Mutex<Generations>);

/// Tokens that are used go over to the younger generation; when that is full, those that were not are forgotten.
#[derive(Default)]
struct Generations {
    young: HashMap<Mark, Claimed>,
    old: HashMap<Mark, Claimed>,
}

pub(super) fn mark(token: &str) -> Mark {
    let mut mark = [0; SHA256_OUTPUT_LEN];
    mark.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    mark
}

impl Known {
    pub(super) fn get(&self, mark: &Mark) -> Option<Claimed> {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(claimed) = tokens.young.get(mark) {
            return Some(claimed.clone());
        }
        let claimed = tokens.old.remove(mark)?;
        tokens.keep(*mark, claimed.clone());
        Some(claimed)
    }

    pub(super) fn add(&self, mark: Mark, claimed: Claimed) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keep(mark, claimed);
    }
}

impl Generations {
    fn keep(&mut self, mark: Mark, claimed: Claimed) {
        if self.young.len() >= GENERATION {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(mark, claimed);
    }
}

#[cfg(test)]
mod tests {
    use sdk_core::clock::Millis;

    use super::*;

    #[test]
    fn what_is_kept_has_a_bound_and_what_is_used_stays() {
        let known = Known::default();
        let number = |n: usize| mark(&n.to_string());
        let claimed = |n: usize| Claimed::for_test(&n.to_string(), Millis(n as u64));
        for n in 0..3 * GENERATION {
            known.add(number(n), claimed(n));
            assert_eq!(known.get(&number(0)), Some(claimed(0)), "it is used each time");
        }
        assert_eq!(known.get(&number(1)), None);
        assert_eq!(known.get(&number(3 * GENERATION - 1)), Some(claimed(3 * GENERATION - 1)));
        let tokens = known.0.lock().unwrap();
        assert!(tokens.young.len() <= GENERATION && tokens.old.len() <= GENERATION);
    }
}
