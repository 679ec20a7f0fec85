//! A thin layer over the browser's IndexedDB, just as wide as the stores need.
//!
//! - A transaction is asked for everything at once and then awaited once. IndexedDB commits a transaction as soon as
//!   it has nothing to do, so nothing else may be awaited in between, and here nothing can be.
//! - Its end is a promise whose own functions are the `complete` and `abort` handlers, attached when the transaction
//!   is created. They live as long as JavaScript needs them: a future that is dropped leaves no handler whose closure
//!   is gone, which would throw inside the event and make IndexedDB abort a transaction that was going well.
//! - Only `complete` is success. A request that succeeded in a transaction that aborts has written nothing.
//! - A connection that the browser closes (storage cleared, disk trouble, another page deleting the database) is
//!   opened anew and the work done once more. A database that is found empty then was deleted under us, which is told
//!   and not papered over.

mod connection;
mod failure;
mod fence;
mod open;
mod transaction;

pub(crate) use connection::Connection;
pub(crate) use failure::Failure;
pub(crate) use fence::{FENCE, Term};
pub(crate) use open::Schema;
pub(crate) use transaction::{Durability, Transaction};
