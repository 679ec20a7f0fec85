//! Fencing: who opened a database before and does not know yet that another client took its place cannot write to it.
//!
//! Each client has a *term*. An object store holds, as keys, the terms that are revoked; whoever takes over revokes
//! the newest term and has the one after it. Every write of a client adds the key of its own term and deletes it
//! again: if it is there already, adding fails and the transaction aborts with all that it was to write. The check
//! and the write are one transaction, asked for in one go and committed, so that a page that is frozen in mid-write
//! blocks nobody.

use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{IdbKeyRange, IdbRequest};

use super::Transaction;

/// The object store that every fenced database has.
pub(crate) const FENCE: &str = "fence";
/// How the browser says that a key is there already. Nothing but fencing adds keys.
pub(crate) const REVOKED: &str = "ConstraintError";
/// Terms that are remembered as revoked: a page would have to sleep through as many take-overs to slip through, and
/// it hears of the first as soon as it wakes up, from the Web Lock that it lost.
const REMEMBERED: u64 = 32;

/// One client's turn as the writer. The first is 2, after the term 1 that nobody had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Term(u64);

impl Term {
    /// The next term, by the revoked ones that a database holds; none if they make no sense.
    pub(super) fn after(revoked: &IdbRequest) -> Option<Self> {
        let keys: Array = revoked.result().ok()?.dyn_into().ok()?;
        let last = keys.iter().last().map_or(Some(0.0), |key| key.as_f64())?;
        Some(Self(last as u64 + 2))
    }

    /// Takes over from the term before this; fails where another client has done so.
    pub(super) fn begin(self, transaction: &Transaction) -> Result<(), JsValue> {
        let fence = transaction.store(FENCE)?;
        fence.add_with_key(&JsValue::TRUE, &number(self.0 - 1))?;
        let forgotten = IdbKeyRange::upper_bound(&number(self.0.saturating_sub(REMEMBERED)))?;
        fence.delete(&forgotten)?;
        Ok(())
    }

    /// Revokes every term before this, where another database says that it is ours; fails if it is over.
    pub(super) fn impose(self, transaction: &Transaction) -> Result<(), JsValue> {
        self.assert(transaction)?;
        let fence = transaction.store(FENCE)?;
        fence.clear()?;
        for term in self.0.saturating_sub(REMEMBERED)..self.0 {
            fence.put_with_key(&JsValue::TRUE, &number(term))?;
        }
        Ok(())
    }

    /// Makes the transaction fail if this term is revoked.
    pub(super) fn assert(self, transaction: &Transaction) -> Result<(), JsValue> {
        let fence = transaction.store(FENCE)?;
        fence.add_with_key(&JsValue::TRUE, &number(self.0))?;
        fence.delete(&number(self.0))?;
        Ok(())
    }
}

/// Exact: nobody takes over 2^53 times.
fn number(term: u64) -> JsValue {
    JsValue::from_f64(term as f64)
}
