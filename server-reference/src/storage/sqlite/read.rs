//! Reading.

use rusqlite::{Connection, OptionalExtension};
use sdk_core::protocol::{Changed, Changes, DocumentId, Epoch, Offset, Strategy, StreamPosition, decode};

use super::corrupt;
use crate::{
    storage::{PAGE_DOCUMENTS, Page, StorageError},
    tenant::TenantScope,
};

/// The strategy of a stored collection is not one that this program knows.
#[derive(Debug, thiserror::Error)]
#[error("unknown strategy")]
struct UnknownStrategy;

/// A collection as its row has it.
#[derive(Debug, Clone)]
pub(super) struct Collection {
    pub(super) key: i64,
    pub(super) strategy: Strategy,
    pub(super) epoch: Epoch,
    pub(super) head: Offset,
}

impl Collection {
    pub(super) fn position(&self) -> StreamPosition {
        self.at(self.head)
    }

    pub(super) fn at(&self, offset: Offset) -> StreamPosition {
        StreamPosition { epoch: self.epoch.clone(), offset }
    }
}

pub(super) fn collection(
    connection: &Connection,
    tenant: &str,
    name: &str,
) -> Result<Option<Collection>, StorageError> {
    let row = connection
        .prepare_cached("SELECT key, strategy, epoch, head FROM collections WHERE tenant = ?1 AND name = ?2")?
        .query_row((tenant, name), |row| {
            Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, u64>(3)?))
        })
        .optional()?;
    let Some((key, strategy, epoch, head)) = row else { return Ok(None) };
    Ok(Some(Collection {
        key,
        strategy: Strategy::named(&strategy).ok_or_else(|| corrupt("a collection")(UnknownStrategy))?,
        epoch: Epoch::new(&epoch).map_err(corrupt("a collection"))?,
        head: Offset(head),
    }))
}

/// One page, read within one transaction.
pub(super) fn changes(
    connection: &Connection,
    scope: &TenantScope,
    page: &Page,
) -> Result<Changes, StorageError> {
    let collection = collection(connection, scope.tenant(), page.collection.as_str())?
        .ok_or(StorageError::NoSuchCollection)?;
    let known = page.after.as_ref();
    // Another history, or more of this one than there is: what the reader has cannot be built upon.
    let recovered =
        known.is_none_or(|position| position.epoch == collection.epoch && position.offset <= collection.head);
    let from = page.after.clone().filter(|_| recovered);
    let start = from.as_ref().map_or(Offset(0), |position| position.offset);

    let mut statement = connection.prepare_cached(
        "SELECT id, rev, state FROM documents WHERE collection = ?1 AND rev > ?2 ORDER BY rev LIMIT ?3",
    )?;
    let mut rows = statement.query((collection.key, start.0, PAGE_DOCUMENTS + 1))?;
    let (mut documents, mut bytes, mut reached, mut more) = (Vec::new(), 0, start, false);
    while let Some(row) = rows.next()? {
        let state = row.get_ref(2)?.as_str().map_err(corrupt("a document"))?;
        let id = row.get_ref(0)?.as_str().map_err(corrupt("a document"))?;
        bytes += state.len() + id.len();
        let fits = bytes <= page.bytes || (documents.is_empty() && page.bytes > 0);
        if !fits || documents.len() == PAGE_DOCUMENTS {
            more = true;
            break;
        }
        reached = Offset(row.get(1)?);
        documents.push(Changed {
            id: DocumentId::new(id).map_err(corrupt("a document"))?,
            doc: decode(state).map_err(corrupt("a document"))?,
        });
    }
    let to = collection.at(if more { reached } else { collection.head });
    Ok(Changes { collection: page.collection.clone(), from, to, documents, recovered, more })
}
