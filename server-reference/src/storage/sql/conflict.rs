//! Conflicts within a transaction: asking the resolver, and keeping a record of what was decided.

use sdk_core::{
    protocol::{
        Author, Choice, Document, Fields, Limits, Operation, Rejection, ResolvedBy, Resolves, Stamp,
        Strategy, StreamPosition, decode, encode,
    },
    reconcile::{Applied, Clash, Conflict, Resolution, Write, apply, overflow, oversize, validate},
};

use super::{Connection, corrupt};
use crate::{
    resolvers::Resolvers,
    storage::{KEPT_RESOLUTIONS, ResolutionRecord, StorageError},
};

/// An operation before its document.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) strategy: Strategy,
    pub(super) document: &'a Document,
    pub(super) write: Write<'a>,
    pub(super) limits: &'a Limits,
}

/// A conflict that is over.
pub(super) struct Decided {
    pub(super) conflict: Conflict,
    pub(super) resolution: Resolution,
    pub(super) by: ResolvedBy,
    pub(super) on_server: bool,
}

impl Case<'_> {
    /// Applies the operation, where nothing collides.
    pub(super) fn apply(&self) -> Applied {
        apply(self.strategy, self.document, &self.write)
    }

    /// The conflict, with the name of whoever wrote the other side.
    pub(super) fn conflict(
        &self,
        connection: &dyn Connection,
        tenant: &str,
        clash: Clash,
    ) -> Result<Conflict, StorageError> {
        let author = clash.theirs.map(|stamp| author(connection, tenant, stamp)).transpose()?.flatten();
        Ok(Conflict::new(self.strategy, self.document, &self.write, clash, author))
    }

    /// Asks the resolver of the collection. None if it leaves the conflict to the client's side, or if what it says
    /// cannot be applied. A client that has decided already is not asked again by way of the server's resolver: what
    /// it decided upon is no longer what is there, and that is its to know.
    pub(super) fn decide(&self, resolvers: &Resolvers, conflict: Conflict) -> Option<(Applied, Decided)> {
        let operation = self.write.operation;
        if operation.resolves.is_some() {
            return None;
        }
        let (by, resolution) = (ResolvedBy::Merger, resolvers.resolve(&conflict));
        // Everything up to the revision that the operation gets.
        let head = StreamPosition { epoch: self.write.epoch.clone(), offset: self.write.rev };
        let settled = resolution.settle(by, &conflict, operation, self.document, head)?;
        let applied = apply(self.strategy, self.document, &Write { operation: &settled, ..self.write });
        let problem =
            validate(self.strategy, &settled).err().or_else(|| misfit(&applied.document, self.limits));
        if let Some(problem) = problem {
            let reason = problem.message;
            tracing::error!(doc = %conflict.doc, reason, "a resolver's merge cannot be applied; the client decides");
            return None;
        }
        Some((applied, Decided { conflict, resolution, by, on_server: true }))
    }

    /// The conflict that the operation ends by its own account, for the record.
    pub(super) fn decided_before(&self, applied: &Applied) -> Option<Decided> {
        let Resolves { choice, by, mine, was } = self.write.operation.resolves.as_ref()?;
        let mut former = Operation { resolves: None, ..self.write.operation.clone() };
        former.base.was.clone_from(was);
        if !mine.is_empty() {
            former.intents.clone_from(mine);
        }
        let write = Write { operation: &former, ..self.write };
        let clash = Clash { fields: Vec::new(), theirs: None };
        let mut conflict = Conflict::new(self.strategy, self.document, &write, clash, None);
        if let (Some(mine), Some(theirs)) = (&conflict.mine, &conflict.theirs) {
            let names = mine.keys().chain(theirs.keys().filter(|name| !mine.contains_key(*name)));
            conflict.fields = names.filter(|name| mine.get(*name) != theirs.get(*name)).cloned().collect();
        }
        let resolution = match choice {
            Choice::Mine => Resolution::TakeMine,
            Choice::Theirs => Resolution::TakeTheirs,
            Choice::Merged => Resolution::Merged(shown(&applied.document).unwrap_or_default()),
        };
        Some(Decided { conflict, resolution, by: *by, on_server: false })
    }
}

/// Why a document cannot be kept.
pub(super) fn misfit(document: &Document, limits: &Limits) -> Option<Rejection> {
    oversize(document, limits.document_bytes).or_else(|| overflow(document))
}

/// What a document shows; none if it does not exist.
pub(super) fn shown(document: &Document) -> Option<Fields> {
    let values = || document.values().map(|(name, value)| (name.clone(), value)).collect();
    document.is_alive().then(values)
}

fn author(connection: &dyn Connection, tenant: &str, stamp: Stamp) -> Result<Option<Author>, StorageError> {
    let subject = connection.optional(
        "SELECT subject FROM clients WHERE tenant = ?1 AND actor = ?2",
        (tenant, stamp.by.actor.0),
        |row| row.get(0),
    )?;
    Ok(subject.map(|subject| Author { subject, at: stamp.at.wall }))
}

/// Keeps a record, and lets the document's oldest go beyond [`KEPT_RESOLUTIONS`].
pub(super) fn keep(
    connection: &dyn Connection,
    collection: i64,
    record: &ResolutionRecord,
) -> Result<(), StorageError> {
    let document = record.conflict.doc.id.as_str();
    connection.execute(
        "INSERT INTO resolutions (collection, document, record) VALUES (?1, ?2, ?3)",
        (collection, document, encode(record)),
    )?;
    connection
        .execute("DELETE FROM resolutions WHERE collection = ?1 AND document = ?2 AND key <= (SELECT key FROM resolutions
             WHERE collection = ?1 AND document = ?2 ORDER BY key DESC LIMIT 1 OFFSET ?3)", (collection, document, KEPT_RESOLUTIONS))?;
    Ok(())
}

/// The records of a document, oldest first.
pub(in crate::storage) fn records(
    connection: &dyn Connection,
    tenant: &str,
    collection: &str,
    document: &str,
) -> Result<Vec<ResolutionRecord>, StorageError> {
    let texts: Vec<String> = connection.all(
        "SELECT record FROM resolutions JOIN collections ON collections.key = resolutions.collection
         WHERE tenant = ?1 AND name = ?2 AND document = ?3 ORDER BY resolutions.key",
        (tenant, collection, document),
        |row| row.get(0),
    )?;
    texts.iter().map(|text| decode(text).map_err(corrupt("a resolution"))).collect()
}
