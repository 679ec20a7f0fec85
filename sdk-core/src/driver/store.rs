//! The store under a client.

use std::future::Future;

use super::{MaybeSend, MaybeSync};
use crate::engine::storage::{Batch, Query, Rows, Scan, StoreError, Stored};

/// Durable storage of one client. `sdk_core::testing::store_contract` holds what an implementation owes.
pub trait Store: MaybeSend + MaybeSync + 'static {
    /// Reads what a client needs at its start.
    ///
    /// # Errors
    /// Only for the outbox; a replica that cannot be read is told by `Stored::cursors`.
    fn load(&self) -> impl Future<Output = Result<Stored, StoreError>> + MaybeSend;

    /// Reads documents of the replica, and the segments that may hold others, at one point in time.
    fn read(&self, query: Query, scan: Scan) -> impl Future<Output = Result<Rows, StoreError>> + MaybeSend;

    /// Writes all of a batch or nothing, and resolves when it is durable: for the outbox when it would survive
    /// the loss of power, for the replica when it would survive the end of the process.
    ///
    /// The batch is one value because an IndexedDB transaction ends as soon as it has nothing to do.
    fn apply(&self, batch: Batch) -> impl Future<Output = Result<(), StoreError>> + MaybeSend;

    /// Whether what `apply` wrote is still there after a restart.
    fn is_durable(&self) -> bool;
}
