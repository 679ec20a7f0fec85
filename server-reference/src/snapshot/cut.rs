//! Cutting a collection into chunks.
//!
//! Where one ends is told by the ids in it: an id whose hash says so ends its chunk, whatever came before. So a
//! document that is added, changed or removed changes its own chunk, and those beside it keep their hash.

use sdk_core::{
    protocol::{ChunkRef, ContentHash, DocumentId},
    wire::Encode,
};

/// How large chunks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of a chunk before an id may end it.
    pub least: usize,
    /// Bytes of a chunk, if it has more than one document.
    pub most: usize,
    /// One id in so many ends a chunk.
    pub one_in: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { least: 32 * 1024, most: 256 * 1024, one_in: 128 }
    }
}

/// A chunk that is whole.
pub(super) struct Cut {
    pub(super) chunk: ChunkRef,
    pub(super) text: String,
}

/// Takes documents by id and gives chunks.
pub(super) struct Cutter {
    /// The beginning of each chunk. The salt in it makes the hash of a chunk unguessable also for who guesses what is
    /// in it, so that a hash is the right to read.
    head: String,
    sizes: Sizes,
    text: String,
    documents: u64,
    last: Option<DocumentId>,
}

impl Cutter {
    /// `salt` is random, of one collection, and needs no escaping.
    pub(super) fn new(salt: String, sizes: Sizes) -> Self {
        let head = format!(r#"{{"salt":"{salt}","documents":["#);
        Self { text: head.clone(), head, sizes, documents: 0, last: None }
    }

    /// Takes the next document; returns the chunk before it, or the one that it ends.
    pub(super) fn add(&mut self, id: &DocumentId, state: &str) -> Option<Cut> {
        let full = self.documents > 0 && self.text.len() + state.len() > self.sizes.most;
        let before = if full { self.finish() } else { None };
        if self.documents > 0 {
            self.text.push(',');
        }
        self.text.push_str(r#"{"id":"#);
        id.write(&mut self.text);
        self.text.push_str(r#","doc":"#);
        self.text.push_str(state);
        self.text.push('}');
        self.documents += 1;
        self.last = Some(id.clone());
        // After a full one, a chunk of this one document waits for the next call.
        if before.is_none() && self.text.len() >= self.sizes.least && self.ends(id) {
            self.finish()
        } else {
            before
        }
    }

    /// The chunk of what is left.
    pub(super) fn finish(&mut self) -> Option<Cut> {
        let last = self.last.take()?;
        let mut text = std::mem::replace(&mut self.text, self.head.clone());
        text.push_str("]}");
        let documents = std::mem::take(&mut self.documents);
        let chunk = ChunkRef { hash: ContentHash::of(&text), bytes: text.len() as u64, documents, last };
        Some(Cut { chunk, text })
    }

    /// FNV-1a of the id; it decides where, not whether, so nobody gains by choosing ids.
    fn ends(&self, id: &DocumentId) -> bool {
        let hash = id
            .as_str()
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        hash.is_multiple_of(self.sizes.one_in)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sdk_core::{protocol::read_chunk, wire::Reader};

    use super::*;

    fn cut(documents: &[(String, String)]) -> Vec<Cut> {
        let mut cutter = Cutter::new("salt".into(), Sizes::default());
        let mut cuts = Vec::new();
        for (id, state) in documents {
            cuts.extend(cutter.add(&DocumentId::new(id).unwrap(), state));
        }
        cuts.extend(cutter.finish());
        cuts
    }

    fn documents(count: usize, bytes: usize) -> Vec<(String, String)> {
        (0..count).map(|n| (format!("document-{n:06}"), format!("\"{}\"", "x".repeat(bytes)))).collect()
    }

    #[test]
    fn chunks_hold_every_document_once_in_order_and_within_their_bounds() {
        for bytes in [10, 400, 100_000, 300_000] {
            let documents = documents(if bytes > 1_000 { 20 } else { 5_000 }, bytes);
            let mut found = Vec::new();
            for Cut { chunk, text } in cut(&documents) {
                let before = found.len();
                read_chunk(&text, &Reader::skip, &mut |id, doc| {
                    found.push((id.into_owned(), doc.to_owned()));
                    Ok(())
                })
                .unwrap();
                assert_eq!(chunk.documents as usize, found.len() - before);
                assert_eq!(chunk.last.as_str(), found.last().unwrap().0);
                assert_eq!((chunk.bytes as usize, chunk.hash), (text.len(), ContentHash::of(&text)));
                assert!(
                    text.len() <= Sizes::default().most + 64 || chunk.documents == 1,
                    "{} bytes",
                    text.len()
                );
            }
            assert!(found == documents, "documents of {bytes} bytes");
        }
    }

    #[test]
    fn a_change_leaves_the_other_chunks_as_they_were() {
        let mut documents = documents(5_000, 400);
        let hashes = |documents: &[_]| -> BTreeSet<_> {
            cut(documents).into_iter().map(|cut| cut.chunk.hash).collect()
        };
        let before = hashes(&documents);
        documents[2_500].1 = "\"changed\"".into();
        documents.insert(100, ("document-000099-new".into(), "\"new\"".into()));
        let after = hashes(&documents);
        let changed = after.difference(&before).count();
        assert!(before.len() > 20, "{} chunks", before.len());
        assert!((2..=6).contains(&changed), "{changed} of {} chunks are new", after.len());
    }
}
