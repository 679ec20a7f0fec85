//! Keys of documents: bytes, because IndexedDB orders text by UTF-16 code units, which puts U+FF5E after U+1F600,
//! while everything else here orders it by its UTF-8. Bytes are ordered as bytes.
//!
//! A key is the collection, a zero byte, and the id. Neither part holds a zero byte, so no two documents share a
//! key and the documents of a collection stand together.

use js_sys::Uint8Array;
use sdk_core::protocol::{CollectionName, DocKey, DocumentId};
use wasm_bindgen::JsValue;
use web_sys::IdbKeyRange;

const SEPARATOR: u8 = 0;

pub(super) fn document(key: &DocKey) -> JsValue {
    encode(&key.collection, SEPARATOR, key.id.as_str())
}

/// The documents with `from <= id < to`; none where that is no range.
pub(super) fn range(
    collection: &CollectionName,
    from: Option<&DocumentId>,
    to: Option<&DocumentId>,
) -> Result<Option<IdbKeyRange>, JsValue> {
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        return Ok(None);
    }
    let lower = encode(collection, SEPARATOR, from.map_or("", DocumentId::as_str));
    let upper = match to {
        Some(to) => encode(collection, SEPARATOR, to.as_str()),
        None => encode(collection, SEPARATOR + 1, ""),
    };
    IdbKeyRange::bound_with_lower_open_and_upper_open(&lower, &upper, false, true).map(Some)
}

/// The id in a key that [`document`] made.
pub(super) fn id(key: &JsValue) -> Option<DocumentId> {
    let bytes = Uint8Array::new(key).to_vec();
    let text = std::str::from_utf8(&bytes).ok()?;
    let (_, id) = text.split_once(char::from(SEPARATOR))?;
    DocumentId::new(id).ok()
}

fn encode(collection: &CollectionName, separator: u8, id: &str) -> JsValue {
    let bytes = [collection.as_str().as_bytes(), &[separator], id.as_bytes()].concat();
    Uint8Array::from(bytes.as_slice()).into()
}
