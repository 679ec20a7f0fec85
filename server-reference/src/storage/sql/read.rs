//! Reading.

use std::ops::ControlFlow;

use sdk_core::protocol::{
    Changed, Changes, CollectionName, DocumentId, Epoch, Offset, Strategy, StreamPosition, decode,
};

use super::{Connection, corrupt};
use crate::{
    access::Portion,
    snapshot::Export,
    storage::{
        PAGE_DOCUMENTS, Page, StorageError,
        history::{History, nowhere},
    },
    tenant::TenantScope,
};

/// Documents that one page looks at. Of a small portion of a large collection a page may hold few documents, or none.
const SCANNED_DOCUMENTS: usize = 8 * PAGE_DOCUMENTS;

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
    /// The newest revision of a document of which nothing is left.
    pub(super) pruned: Offset,
}

impl Collection {
    pub(super) fn position(&self) -> StreamPosition {
        self.at(self.head)
    }

    pub(super) fn at(&self, offset: Offset) -> StreamPosition {
        StreamPosition { epoch: self.epoch.clone(), offset }
    }

    /// Whether what a reader of that portion has there can be built upon: it is no other history, nor more of this one than
    /// there is, and no deletions were missed of which nothing is left.
    pub(super) fn goes_on(&self, portion: &Portion, position: &StreamPosition) -> bool {
        let began = History { epoch: &self.epoch, portion }.began(&position.epoch);
        let misses_nothing = |began| position.offset >= self.pruned || began >= self.pruned;
        position.offset <= self.head && began.is_some_and(misses_nothing)
    }
}

pub(super) fn collection(
    connection: &dyn Connection,
    tenant: &str,
    name: &str,
) -> Result<Option<Collection>, StorageError> {
    let row = connection.optional(
        "SELECT key, strategy, epoch, head, pruned FROM collections WHERE tenant = ?1 AND name = ?2",
        (tenant, name),
        |row| {
            let (strategy, epoch) = (row.get::<String>(1)?, row.get::<String>(2)?);
            Ok((row.get(0)?, strategy, epoch, row.get::<u64>(3)?, row.get::<u64>(4)?))
        },
    )?;
    let Some((key, strategy, epoch, head, pruned)) = row else { return Ok(None) };
    Ok(Some(Collection {
        key,
        strategy: Strategy::named(&strategy).ok_or_else(|| corrupt("a collection")(UnknownStrategy))?,
        epoch: Epoch::new(&epoch).map_err(corrupt("a collection"))?,
        head: Offset(head),
        pruned: Offset(pruned),
    }))
}

/// One page, read within one transaction.
pub(in crate::storage) fn changes(
    connection: &dyn Connection,
    scope: &TenantScope,
    page: &Page,
) -> Result<Changes, StorageError> {
    let portion = scope.access().portion(&page.collection);
    if portion == Portion::Nothing {
        return nothing(page);
    }
    let collection = collection(connection, scope.tenant(), page.collection.as_str())?
        .ok_or(StorageError::NoSuchCollection)?;
    let history = History { epoch: &collection.epoch, portion: &portion };
    let from = page.after.clone().filter(|position| collection.goes_on(&portion, position));
    let recovered = from.is_some() || page.after.is_none();
    let (name, start) = match &from {
        Some(StreamPosition { epoch, offset }) => (epoch.clone(), *offset),
        None => (history.name(collection.pruned).map_err(corrupt("a collection"))?, Offset(0)),
    };

    let sql = "SELECT id, rev, state FROM documents WHERE collection = ?1 AND rev > ?2 ORDER BY rev LIMIT ?3";
    let behind = (collection.key, start.0, SCANNED_DOCUMENTS + 1);
    let (mut documents, mut bytes, mut reached, mut more) = (Vec::new(), 0, start, false);
    let mut scanned = 0;
    connection.through(sql, behind, |row| {
        let id = DocumentId::new(row.get(0)?).map_err(corrupt("a document"))?;
        let seen = portion.holds(&id);
        let state: &str = row.get(2)?;
        bytes += if seen { state.len() + id.as_str().len() } else { 0 };
        let fits = bytes <= page.bytes || (documents.is_empty() && page.bytes > 0);
        if !fits || documents.len() == PAGE_DOCUMENTS || scanned == SCANNED_DOCUMENTS {
            more = true;
            return Ok(ControlFlow::Break(()));
        }
        scanned += 1;
        reached = Offset(row.get(1)?);
        if seen {
            documents.push(Changed { id, doc: decode(state).map_err(corrupt("a document"))? });
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let to = StreamPosition { epoch: name, offset: if more { reached } else { collection.head } };
    Ok(Changes { collection: page.collection.clone(), from, to, documents, recovered, more })
}

/// Reads every living document of a collection by id, within one transaction, and returns where it stands.
pub(in crate::storage) fn export(
    connection: &dyn Connection,
    scope: &TenantScope,
    name: &CollectionName,
    to: &mut dyn Export,
) -> Result<StreamPosition, StorageError> {
    let portion = scope.access().portion(name);
    let found = collection(connection, scope.tenant(), name.as_str())?;
    let collection = found.filter(|_| portion == Portion::Whole).ok_or(StorageError::NoSuchCollection)?;
    let sql = "SELECT id, state FROM documents WHERE collection = ?1 AND buried IS NULL ORDER BY id";
    connection.through(sql, (collection.key,), |row| {
        let id = DocumentId::new(row.get(0)?).map_err(corrupt("a document"))?;
        to.document(&id, row.get(1)?)?;
        Ok(ControlFlow::Continue(()))
    })?;
    let history = History { epoch: &collection.epoch, portion: &portion };
    let epoch = history.name(collection.pruned).map_err(corrupt("a collection"))?;
    Ok(StreamPosition { epoch, offset: collection.head })
}

/// The page of a collection of which the reader may see nothing. What it has from before is void.
fn nothing(page: &Page) -> Result<Changes, StorageError> {
    let to = nowhere().map_err(corrupt("a collection"))?;
    let from = page.after.clone().filter(|after| *after == to);
    let recovered = from.is_some() || page.after.is_none();
    let documents = Vec::new();
    Ok(Changes { collection: page.collection.clone(), from, to, documents, recovered, more: false })
}
