//! What the stores over SQL databases have in common: the judging of batches, letters, origins, conflicts, reading and upkeep
//! are written once, over a [`Connection`] that each database has its own of.
//!
//! Statements are texts that every database understands: their parameters are `?1`, `?2` and so on, whole numbers are signed
//! and have 64 bits, and a name is compared byte by byte. What only one of them can do (tables, their versions, locks) stays
//! with it.

mod admit;
pub(super) mod commit;
pub(super) mod conflict;
mod earlier;
pub(super) mod grants;
pub(super) mod groups;
pub(super) mod letters;
mod origins;
pub(super) mod read;
pub(super) mod refusals;
pub(super) mod revocations;
pub(crate) mod transactions;
pub(super) mod upkeep;
mod value;
mod writer;

use std::ops::ControlFlow;

use sdk_core::protocol::{Epoch, Limits};

#[cfg(test)]
pub(super) use earlier::EARLIER;
pub(super) use value::{Row, Value, Values};
pub(super) use writer::{Commits, Writer, stopped};

use super::StorageError;
use crate::resolvers::Resolvers;

/// Makes the name of a new epoch, unlike any before: at most 32 bytes, without `~`.
pub type NewEpoch = Box<dyn FnMut() -> Epoch + Send>;

/// What a store judges with.
pub(super) struct Rules {
    pub(super) limits: Limits,
    pub(super) resolvers: Resolvers,
    pub(super) new_epoch: NewEpoch,
}

/// What is done with each row. Those behind one are not read any more if it says so.
pub(super) type Each<'a> = dyn FnMut(&dyn Row) -> Result<ControlFlow<()>, StorageError> + 'a;

/// A connection to a database, with a transaction under way. After an error nothing may be committed, unless it is rolled back
/// to a savepoint from before.
pub(super) trait Connection {
    /// Executes a statement and returns how many rows it has changed.
    fn run(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, StorageError>;

    /// Hands out the rows of a statement, of which there are few.
    fn fetch(&self, sql: &str, values: &[Value<'_>], each: &mut Each<'_>) -> Result<(), StorageError>;

    /// Hands out the rows of a statement one after another, however many there are and however large they are together.
    fn scan(&self, sql: &str, values: &[Value<'_>], each: &mut Each<'_>) -> Result<(), StorageError>;

    /// Executes a statement without parameters that opens a savepoint or ends it.
    fn control(&self, sql: &'static str) -> Result<(), StorageError>;

    /// The turn of who stands behind all that wait for one.
    fn turn(&self) -> Result<i64, StorageError>;

    /// Signs how many records a tenant's chain has, and the root of their tree.
    fn sign(&self, tenant: &str, size: u64, root: &[u8; 32]) -> Result<Vec<u8>, StorageError>;

    /// Whether that was signed so.
    fn has_signed(
        &self,
        tenant: &str,
        size: u64,
        root: &[u8; 32],
        signature: &[u8],
    ) -> Result<bool, StorageError>;
}

impl dyn Connection + '_ {
    /// Executes a statement and returns how many rows it has changed.
    pub(super) fn execute(&self, sql: &str, values: impl Values) -> Result<usize, StorageError> {
        values.hand(&mut |values| self.run(sql, values))
    }

    /// Reads the row that there is.
    pub(super) fn one<T>(
        &self,
        sql: &str,
        values: impl Values,
        read: impl FnOnce(&dyn Row) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.optional(sql, values, read)?.ok_or_else(|| corrupt("a row")(NoRow))
    }

    /// Reads the first row, if there is one.
    pub(super) fn optional<T>(
        &self,
        sql: &str,
        values: impl Values,
        read: impl FnOnce(&dyn Row) -> Result<T, StorageError>,
    ) -> Result<Option<T>, StorageError> {
        let (mut read, mut found) = (Some(read), None);
        let mut first = |row: &dyn Row| {
            found = read.take().map(|read| read(row)).transpose()?;
            Ok(ControlFlow::Break(()))
        };
        values.hand(&mut |values| self.fetch(sql, values, &mut first))?;
        Ok(found)
    }

    /// Whether there is a row.
    pub(super) fn exists(&self, sql: &str, values: impl Values) -> Result<bool, StorageError> {
        Ok(self.optional(sql, values, |_| Ok(()))?.is_some())
    }

    /// Reads all rows.
    pub(super) fn all<T>(
        &self,
        sql: &str,
        values: impl Values,
        mut read: impl FnMut(&dyn Row) -> Result<T, StorageError>,
    ) -> Result<Vec<T>, StorageError> {
        let mut found = Vec::new();
        self.each(sql, values, |row| {
            found.push(read(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// Goes through rows of which there are few.
    pub(super) fn each(
        &self,
        sql: &str,
        values: impl Values,
        mut each: impl FnMut(&dyn Row) -> Result<ControlFlow<()>, StorageError>,
    ) -> Result<(), StorageError> {
        values.hand(&mut |values| self.fetch(sql, values, &mut each))
    }

    /// Goes through rows, however many there are.
    pub(super) fn through(
        &self,
        sql: &str,
        values: impl Values,
        mut each: impl FnMut(&dyn Row) -> Result<ControlFlow<()>, StorageError>,
    ) -> Result<(), StorageError> {
        values.hand(&mut |values| self.scan(sql, values, &mut each))
    }
}

/// A row that has to be there is not.
#[derive(Debug, thiserror::Error)]
#[error("there is none")]
struct NoRow;

/// For values that a database handed out and that do not have their form.
pub(super) fn corrupt<E: std::error::Error + Send + Sync + 'static>(
    what: &'static str,
) -> impl Fn(E) -> StorageError {
    move |source| StorageError::Corrupt { what, source: Box::new(source) }
}
