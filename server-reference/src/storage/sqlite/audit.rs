//! Who administered what: a record that is durable before anything is shown, and with whatever is changed.

use aws_lc_rs::digest::{Context, SHA256};
use rusqlite::{Connection, OptionalExtension};
use sdk_core::clock::Millis;

use crate::{storage::StorageError, tenant::TenantScope};

/// Adds a record. Its hash covers the one before, so that a record that is changed or taken out from between shows.
pub(in crate::storage) fn record(
    connection: &Connection,
    scope: &TenantScope,
    action: &str,
    target: &str,
    now: Millis,
) -> Result<(), StorageError> {
    let sql = "SELECT hash FROM audit ORDER BY id DESC LIMIT 1";
    let before: Option<Vec<u8>> =
        connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?;
    let mut hash = Context::new(&SHA256);
    hash.update(&before.unwrap_or_default());
    hash.update(&now.0.to_be_bytes());
    for part in [&**scope.tenant(), &**scope.subject(), action, target] {
        // With its length, so that no two records read alike.
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let hash = hash.finish();
    let sql = "INSERT INTO audit (at, tenant, subject, action, target, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    connection.prepare_cached(sql)?.execute((
        now.0,
        &**scope.tenant(),
        &**scope.subject(),
        action,
        target,
        hash.as_ref(),
    ))?;
    Ok(())
}
