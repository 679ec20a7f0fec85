//! The audit as it was before each tenant had a chain of its own: one chain a database, whose hashes covered the names.

use rusqlite::Connection;
use sdk_core::clock::Millis;

use super::{ALLOWED, Entry, append, tree::sha256};
use crate::{data::hex, storage::StorageError};

/// Puts the earlier table out of the way, until [`adopt`] has moved its records.
pub(in crate::storage::sqlite) const SET_ASIDE: &str = "ALTER TABLE audit RENAME TO audit_before;";

/// Moves the records of an earlier version into the chains of their tenants, with the times they had. What the old chain came to
/// is recorded with each tenant: whoever has noted an old head finds it there.
pub(in crate::storage::sqlite) fn adopt(connection: &mut Connection) -> Result<(), StorageError> {
    if !connection.table_exists(None, "audit_before")? {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    let (mut last, mut broken, mut tenants) = (Vec::new(), None, Vec::<(String, u64)>::new());
    {
        let sql = "SELECT id, at, tenant, subject, action, target, hash FROM audit_before ORDER BY id";
        let mut statement = transaction.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (id, at): (i64, u64) = (row.get(0)?, row.get(1)?);
            let texts: [String; 4] = [row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?];
            let stored: Vec<u8> = row.get(6)?;
            if hash(&last, at, &texts) != *stored {
                broken.get_or_insert(id);
            }
            last = stored;
            let [tenant, subject, action, target] = texts;
            let entry = Entry { action: &action, outcome: ALLOWED, parts: [&subject, &target, "", ""] };
            append(&*transaction, &tenant, &entry, Millis(at))?;
            match tenants.iter_mut().find(|(known, _)| *known == tenant) {
                Some((_, newest)) => *newest = at,
                None => tenants.push((tenant, at)),
            }
        }
    }
    let state = broken.map_or_else(|| "intact".to_owned(), |id| format!("broken at record {id}"));
    let what = format!("{state}, head {}", hex(&last));
    for (tenant, newest) in tenants {
        let entry = Entry { action: "audit moved", outcome: "", parts: ["", &what, "", ""] };
        append(&*transaction, &tenant, &entry, Millis(newest))?;
    }
    transaction.execute_batch("DROP TABLE audit_before")?;
    Ok(transaction.commit()?)
}

pub(super) fn hash(before: &[u8], at: u64, texts: &[String; 4]) -> [u8; 32] {
    let mut bytes = [before, &at.to_be_bytes()].concat();
    for text in texts {
        bytes.extend((text.len() as u64).to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    sha256(&[&bytes])
}
