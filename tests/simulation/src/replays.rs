//! Every resolution that the server keeps a record of can be made again from the record alone, and comes to the same.

use std::collections::BTreeMap;

use sdk_core::{
    protocol::{Fields, ResolvedBy},
    reconcile::Resolution,
};
use server_reference::storage::{KEPT_RESOLUTIONS, ResolutionRecord};

use crate::{ledger::OpKey, model::Expected, records::Records, server, world::World};

impl World {
    /// At the end: the records are of what was decided, and each can be replayed.
    pub(crate) fn check_resolutions(&mut self, records: &Records) {
        let resolvers = server::resolvers(self.plan.server_resolves, self.plan.takes_mine);
        let mut kept: BTreeMap<(&str, String), Vec<OpKey>> = BTreeMap::new();
        for (tenant, record) in &records.resolutions {
            let key = (tenant.clone(), record.client.to_string(), record.seq.0);
            self.tally.replayed += 1;
            let ResolutionRecord { conflict, resolution, by, on_server, .. } = record;
            let again = resolvers.resolve(conflict);
            let same = !on_server || (*by == ResolvedBy::Merger && again == *resolution);
            self.claim(same, "the resolver decides a recorded conflict as it did", || {
                format!("{key:?}: {record:?}, and now {again:?}")
            });
            let committed = self.ledger.committed.get(&key);
            let right = committed.is_some_and(|one| {
                let said =
                    one.operation.resolves.as_ref().map(|resolves| (Some(resolves.choice), resolves.by));
                let decided = *on_server || said == Some((resolution.choice(), *by));
                decided && one.now == record.at && one.operation.doc == conflict.doc
            });
            let seen = format!("{key:?}: {record:?} of {committed:?}");
            self.claim(right, "a record is of an operation that was judged then", || seen);
            kept.entry((tenant, conflict.doc.to_string())).or_default().push(key);
        }
        let mut missing = None;
        for (key, one) in self.ledger.committed.iter() {
            if one.operation.resolves.is_none() || one.judgement.position.is_none() {
                continue;
            }
            let there = kept.get(&(&*key.0, one.operation.doc.to_string())).map_or(&[][..], Vec::as_slice);
            if !there.contains(key) && there.len() < KEPT_RESOLUTIONS {
                missing.get_or_insert(format!("{key:?}: {one:?}"));
            }
        }
        self.claim(missing.is_none(), "of each decision there is a record, but for old ones", || {
            missing.unwrap_or_default()
        });
    }
}

/// Whether what a record says of a document before and after a decision is what the document was, and what was decided.
pub(crate) fn is_told(record: &ResolutionRecord, before: &Expected, after: &Expected) -> bool {
    let ResolutionRecord { conflict, resolution, result, .. } = record;
    let shows = |fields: &Option<Fields>, document: &Expected| match fields {
        Some(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.as_str(), value.as_str().to_owned()));
            document.written.is_some() && fields.collect::<BTreeMap<_, _>>() == document.values()
        }
        None => document.written.is_none(),
    };
    let decided = match resolution {
        Resolution::TakeTheirs => *result == conflict.theirs,
        Resolution::Merged(fields) => result
            .as_ref()
            .is_some_and(|result| fields.iter().all(|(name, value)| result.get(name) == Some(value))),
        Resolution::TakeMine => true,
        Resolution::Defer => false,
    };
    decided && shows(&conflict.theirs, before) && shows(result, after)
}
