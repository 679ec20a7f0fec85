//! What a store's rows come to: documents that stand alone laid over those in segments.

use std::{iter::Peekable, sync::Arc, vec::IntoIter};

use super::{
    kept::Kept,
    storage::{Query, Rows, Scan, StoreError, StoredDocument},
};
use crate::{
    protocol::{DocKey, DocumentId, read_chunk},
    wire::{Bad, Reader},
};

/// The living documents that a read found, by id.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) documents: Vec<(DocKey, Kept)>,
    /// Where the store may have more in the query's range: the last id up to which it is known.
    pub(super) horizon: Option<DocumentId>,
}

/// Puts the rows together.
///
/// # Errors
/// [`StoreError::Corrupt`]
pub(super) fn merge(query: &Query, scan: Scan, rows: Rows) -> Result<Found, StoreError> {
    let (_, to, limit) = query.bounds();
    let Rows { documents: alone, segments } = rows;
    let mut packed = Vec::new();
    let mut reached = None;
    let segment_count = segments.len();
    for text in segments {
        let text: Arc<str> = text.into();
        let bad = |bad: Bad| StoreError::Corrupt(bad.to_string());
        reached = None;
        read_chunk(&text, &|reader| Kept::read(reader, &text), &mut |id, kept| {
            let id = DocumentId::new(&id).map_err(|_| Reader::new(&text).bad("not an id"))?;
            if query.selects_id(&id) {
                packed.push((id.clone(), kept));
            }
            reached = Some(id);
            Ok(())
        })
        .map_err(bad)?;
    }
    let is_one = matches!(query, Query::One(_));
    // A store that gave as much as it was asked for may have more behind it.
    let more_segments = segment_count >= scan.segments && !is_one;
    let segments_end = reached.filter(|last| more_segments && to.is_none_or(|to| last < to));
    let documents_end = alone.last().map(|stored| stored.key.id.clone());
    let documents_end = documents_end.filter(|_| alone.len() >= limit && !is_one);
    let mut horizon = [segments_end, documents_end].into_iter().flatten().min();

    let mut documents = Vec::new();
    let rows = Overlay { alone: alone.into_iter().peekable(), packed: packed.into_iter().peekable() };
    for (id, kept) in rows.take_while(|(id, _)| horizon.as_ref().is_none_or(|end| id <= end)) {
        let key = DocKey { collection: query.collection().clone(), id };
        let kept = kept.map_err(|error| StoreError::Corrupt(format!("{key}: {error}")))?;
        if kept.is_alive() {
            documents.push((key, kept));
        }
        if documents.len() >= limit {
            horizon = documents.last().filter(|_| !is_one).map(|(key, _)| key.id.clone());
            break;
        }
    }
    Ok(Found { documents, horizon })
}

/// Two ascending rows of documents as one. Of two with the same id, the one that stands alone counts.
struct Overlay {
    alone: Peekable<IntoIter<StoredDocument>>,
    packed: Peekable<IntoIter<(DocumentId, Kept)>>,
}

impl Iterator for Overlay {
    type Item = (DocumentId, Result<Kept, Bad>);

    fn next(&mut self) -> Option<Self::Item> {
        let order = match (self.alone.peek(), self.packed.peek()) {
            (Some(alone), Some((id, _))) => alone.key.id.cmp(id),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, _) => return self.packed.next().map(|(id, kept)| (id, Ok(kept))),
        };
        if order.is_eq() {
            self.packed.next();
        } else if order.is_gt() {
            return self.packed.next().map(|(id, kept)| (id, Ok(kept)));
        }
        self.alone.next().map(|stored| (stored.key.id, Kept::of(&stored.text.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::{Dot, Hlc},
        engine::storage::Generation,
        protocol::{ActorId, Document, Offset, Seq, Stamp, encode},
    };

    fn text(rev: u64, alive: bool) -> String {
        let stamp =
            Stamp { at: Hlc::default(), by: Dot { actor: ActorId(1), seq: Seq(1) }, rev: Offset(rev) };
        let written = alive.then_some(stamp);
        encode(&Document { rev: Offset(rev), written, ..Document::default() })
    }

    fn alone(id: &str, alive: bool) -> StoredDocument {
        StoredDocument { key: DocKey::new("cards", id).unwrap(), text: text(2, alive) }
    }

    fn segment(ids: &[&str]) -> String {
        let documents: Vec<_> =
            ids.iter().map(|id| format!(r#"{{"id":"{id}","doc":{}}}"#, text(1, true))).collect();
        format!(r#"{{"salt":"s","documents":[{}]}}"#, documents.join(","))
    }

    fn range(from: Option<&str>, to: Option<&str>, limit: usize) -> Query {
        let id = |id: Option<&str>| id.map(|id| DocumentId::new(id).unwrap());
        let collection = DocKey::new("cards", "any").unwrap().collection;
        Query::Range { collection, from: id(from), to: id(to), limit }
    }

    /// The ids found with their revisions, and the horizon.
    fn found(query: &Query, segments: usize, rows: &Rows) -> (Vec<(String, u64)>, Option<String>) {
        let scan = Scan { generation: Generation(1), segments };
        let Found { documents, horizon } = merge(query, scan, rows.clone()).unwrap();
        let document = |(key, kept): (DocKey, Kept)| (key.id.to_string(), kept.rev().0);
        (documents.into_iter().map(document).collect(), horizon.map(|id| id.to_string()))
    }

    fn expected(documents: &[(&str, u64)]) -> Vec<(String, u64)> {
        documents.iter().map(|(id, rev)| ((*id).to_owned(), *rev)).collect()
    }

    #[test]
    fn what_stands_alone_overrides_segments_and_a_deletion_hides() {
        let rows = Rows {
            documents: vec![alone("b", true), alone("c", false), alone("e", true)],
            segments: vec![segment(&["a", "b"]), segment(&["c", "d"])],
        };
        let (documents, horizon) = found(&range(None, None, 9), 3, &rows);
        assert_eq!(documents, expected(&[("a", 1), ("b", 2), ("d", 1), ("e", 2)]));
        assert_eq!(horizon, None);
    }

    #[test]
    fn nothing_counts_beyond_what_the_store_was_asked_for() {
        let rows = Rows {
            documents: vec![alone("a", true), alone("x", true)],
            segments: vec![segment(&["b", "c"])],
        };
        let (documents, horizon) = found(&range(None, None, 9), 1, &rows);
        assert_eq!(documents, expected(&[("a", 2), ("b", 1), ("c", 1)]));
        assert_eq!(horizon.as_deref(), Some("c"), "another segment may hold d");
        let (documents, horizon) = found(&range(None, None, 2), 2, &rows);
        assert_eq!((documents, horizon.as_deref()), (expected(&[("a", 2), ("b", 1)]), Some("b")));
        let rows = Rows { documents: vec![alone("a", true)], ..rows };
        let (documents, horizon) = found(&range(None, Some("c"), 9), 1, &rows);
        assert_eq!(documents, expected(&[("a", 2), ("b", 1)]));
        assert_eq!(horizon, None, "the segment goes beyond the range");
    }

    #[test]
    fn deletions_that_fill_a_read_leave_a_horizon_to_go_on_from() {
        let rows = Rows {
            documents: vec![alone("a", false), alone("b", false)],
            segments: vec![segment(&["a", "b", "c"])],
        };
        let (documents, horizon) = found(&range(None, None, 2), 2, &rows);
        assert_eq!((documents, horizon.as_deref()), (vec![], Some("b")));
    }

    #[test]
    fn one_document_is_found_within_its_segment() {
        let one = Query::One(DocKey::new("cards", "b").unwrap());
        let rows = Rows { documents: vec![], segments: vec![segment(&["a", "b", "c"])] };
        assert_eq!(found(&one, 1, &rows), (expected(&[("b", 1)]), None));
        let deleted = Rows { documents: vec![alone("b", false)], ..rows };
        assert_eq!(found(&one, 1, &deleted), (vec![], None));
    }
}
