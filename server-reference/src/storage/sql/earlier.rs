//! What was judged before, under whichever id and in whichever form it came.

use sdk_core::{
    clock::Hlc,
    protocol::{ActorId, ClientId, DocKey, Judgement, Operation, decode, encode},
};

use std::ops::ControlFlow;

use super::{commit::Judge, corrupt, origins::Origin};
use crate::storage::{Batch, StorageError};

/// The index has to be named, which other databases do not know: SQLite takes one that leaves rows out for worse than going
/// through all of a tenant.
pub(in crate::storage) const EARLIER: &str = "SELECT client, payload_hash, made, judgement FROM judgements
        WHERE tenant = ?1 AND client IN (?2, ?3) AND seq = ?4
    UNION ALL SELECT client, payload_hash, made, judgement FROM judgements INDEXED BY judgements_by_maker
        WHERE tenant = ?1 AND maker = ?3 AND seq = ?4";

/// What was judged under the id of an operation.
pub(super) enum Earlier {
    /// The operation itself.
    Same(Judgement),
    /// Another one.
    Other,
}

impl Judge<'_> {
    /// The client that made an operation, if another one sends it and both are the subject's. Whoever names somebody
    /// else's client learns nothing of its operations, and takes nothing from them.
    pub(super) fn maker(&self, operation: &Operation) -> Result<Option<String>, StorageError> {
        match operation.maker.filter(|maker| *maker != self.batch.client) {
            Some(maker) => self.owned(maker),
            None => Ok(None),
        }
    }

    /// The operation in whose place one stands.
    pub(super) fn origin(
        &self,
        operation: &Operation,
        maker: Option<&String>,
    ) -> Result<Origin, StorageError> {
        let Batch { scope, client, .. } = self.batch;
        let maker = maker.cloned().unwrap_or_else(|| client.to_string());
        Origin::of(scope.tenant(), operation, maker, |first| self.owned(first))
    }

    /// A client, if it is the subject's.
    fn owned(&self, client: ClientId) -> Result<Option<String>, StorageError> {
        let (tenant, subject) = (self.batch.scope.tenant(), self.batch.scope.subject());
        self.connection.optional(
            "SELECT client FROM clients WHERE tenant = ?1 AND client = ?2 AND subject = ?3",
            (tenant, client.to_string(), subject),
            |row| row.get(0),
        )
    }

    /// What was judged before: the operation itself, under whichever id of a copy of its maker it came, or another one
    /// under the id of this client.
    pub(super) fn earlier(
        &self,
        operation: &Operation,
        hash: &[u8],
        maker: Option<&str>,
    ) -> Result<Option<Earlier>, StorageError> {
        let (tenant, client) = (self.batch.scope.tenant(), self.batch.client.to_string());
        let (mut is_taken, mut earlier) = (false, None);
        let named = (tenant, &client, maker.unwrap_or(&client), operation.seq.0);
        self.connection.each(EARLIER, named, |row| {
            let judged_as: String = row.get(0)?;
            let (same, made) = (row.get::<Vec<u8>>(1)?, row.get::<Option<String>>(2)?);
            if same == hash || made.is_some_and(|made| is_form_of(operation, &made)) {
                let judgement: String = row.get(3)?;
                let mut judgement: Judgement = decode(&judgement).map_err(corrupt("a judgement"))?;
                if judged_as != client && judgement.position.is_some() {
                    judgement.by = Some(self.actor_of(&judged_as)?);
                }
                earlier = Some(Earlier::Same(judgement));
                return Ok(ControlFlow::Break(()));
            }
            is_taken |= judged_as == client;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(earlier.or(is_taken.then_some(Earlier::Other)))
    }

    /// The actor of a client in whose name something was judged.
    fn actor_of(&self, client: &str) -> Result<ActorId, StorageError> {
        let sql = "SELECT actor FROM clients WHERE tenant = ?1 AND client = ?2";
        let actor = self.connection.one(sql, (self.batch.scope.tenant(), client), |row| row.get(0))?;
        Ok(ActorId(actor))
    }
}

/// Whether an operation is another form of the one that was `made` so. The decision of a conflict and another version of
/// the application's schema change what an operation does, and neither to which document nor when it was made.
fn is_form_of(operation: &Operation, made: &str) -> bool {
    let short = |_| {
        // Earlier releases did not note whether it was a decision,
        decode(made).map(|(at, schema, doc)| (at, schema, doc, false))
    };
    match decode::<(Hlc, u32, DocKey, bool)>(made).or_else(short) {
        Ok((at, schema, doc, decided)) => {
            let other_form = decided || operation.resolves.is_some() || operation.schema != schema;
            other_form && at == operation.at && doc == operation.doc
        }
        // and at first nothing but the time.
        Err(_) => operation.resolves.is_some() && made == encode(&operation.at),
    }
}
