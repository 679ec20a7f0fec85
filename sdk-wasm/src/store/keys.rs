//! Keys of documents: bytes, because IndexedDB orders text by UTF-16 code units, which puts U+FF5E after U+1F600,
//! while everything else here orders it by its UTF-8. Bytes are ordered as bytes.
//!
//! A key is the collection, a zero byte, and the id. Neither part holds a zero byte, so no two documents share a
//! key and the documents of a collection stand together. The key of a segment has its generation, as eight bytes,
//! before the id.

use js_sys::Uint8Array;
use sdk_core::{
    engine::storage::{Generation, Segment},
    protocol::{CollectionName, DocKey, DocumentId},
};
use wasm_bindgen::JsValue;
use web_sys::IdbKeyRange;

const SEPARATOR: u8 = 0;

pub(super) fn document(key: &DocKey) -> JsValue {
    encode(&key.collection, SEPARATOR, &[], key.id.as_str())
}

pub(super) fn segment(segment: &Segment) -> JsValue {
    let Segment { collection, generation, last, .. } = segment;
    encode(collection, SEPARATOR, &generation.0.to_be_bytes(), last.as_str())
}

/// All that is stored of a collection, in whichever object store.
pub(super) fn collection(name: &CollectionName) -> Result<IdbKeyRange, JsValue> {
    between(&encode(name, SEPARATOR, &[], ""), &encode(name, SEPARATOR + 1, &[], ""))
}

/// The segments of a generation.
pub(super) fn generation(name: &CollectionName, generation: Generation) -> Result<IdbKeyRange, JsValue> {
    let bound = |generation: Generation| encode(name, SEPARATOR, &generation.0.to_be_bytes(), "");
    between(&bound(generation), &bound(generation.next()))
}

/// The segments of a generation whose largest id is in a range, and those that go beyond it.
pub(super) fn segments(
    name: &CollectionName,
    generation: Generation,
    from: Option<&DocumentId>,
    to: Option<&DocumentId>,
) -> Result<Option<(IdbKeyRange, Option<IdbKeyRange>)>, JsValue> {
    if is_empty(from, to) {
        return Ok(None);
    }
    let at = |id: &str| encode(name, SEPARATOR, &generation.0.to_be_bytes(), id);
    let first = at(from.map_or("", DocumentId::as_str));
    let end = encode(name, SEPARATOR, &generation.next().0.to_be_bytes(), "");
    let Some(to) = to else { return Ok(Some((between(&first, &end)?, None))) };
    let middle = at(to.as_str());
    Ok(Some((between(&first, &middle)?, Some(between(&middle, &end)?))))
}

/// The documents with `from <= id < to`; none where that is no range.
pub(super) fn range(
    collection: &CollectionName,
    from: Option<&DocumentId>,
    to: Option<&DocumentId>,
) -> Result<Option<IdbKeyRange>, JsValue> {
    if is_empty(from, to) {
        return Ok(None);
    }
    let lower = encode(collection, SEPARATOR, &[], from.map_or("", DocumentId::as_str));
    let upper = match to {
        Some(to) => encode(collection, SEPARATOR, &[], to.as_str()),
        None => encode(collection, SEPARATOR + 1, &[], ""),
    };
    between(&lower, &upper).map(Some)
}

/// IndexedDB takes no range whose end is before its start.
fn is_empty(from: Option<&DocumentId>, to: Option<&DocumentId>) -> bool {
    to.is_some_and(|to| from.is_some_and(|from| from >= to))
}

fn between(lower: &JsValue, upper: &JsValue) -> Result<IdbKeyRange, JsValue> {
    IdbKeyRange::bound_with_lower_open_and_upper_open(lower, upper, false, true)
}

/// The id in a key that [`document`] made.
pub(super) fn id(key: &JsValue) -> Option<DocumentId> {
    let bytes = Uint8Array::new(key).to_vec();
    let text = std::str::from_utf8(&bytes).ok()?;
    let (_, id) = text.split_once(char::from(SEPARATOR))?;
    DocumentId::new(id).ok()
}

fn encode(collection: &CollectionName, separator: u8, generation: &[u8], id: &str) -> JsValue {
    let bytes = [collection.as_str().as_bytes(), &[separator], generation, id.as_bytes()].concat();
    Uint8Array::from(bytes.as_slice()).into()
}
