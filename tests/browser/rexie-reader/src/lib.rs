//! An independent reader of a client's two databases: another library, and nothing shared with the code that wrote
//! them but the names and shapes that are spelled out here.
#![cfg(target_arch = "wasm32")]

use js_sys::Uint8Array;
use rexie::{ObjectStore, Rexie, Store, TransactionMode};
use serde::Serialize;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

/// Everything that is stored.
#[derive(Serialize)]
struct Found {
    /// Key and text of each record.
    outbox: Vec<(f64, String)>,
    meta: Option<String>,
    /// Collection, id and text of each document, in the order of their keys.
    documents: Vec<(String, String, String)>,
    /// Collection and position of each cursor.
    cursors: Vec<(String, String)>,
}

/// Reads what the client `name` has stored. Both databases must exist: opening one that does not would create it.
#[wasm_bindgen(js_name = readStored)]
pub async fn read_stored(name: String) -> Result<JsValue, JsValue> {
    let stores = ["records", "meta", "submissions", "fence"];
    let outbox = open(&format!("webwaka:{name}:outbox"), 2, &stores).await?;
    let stores = ["documents", "cursors", "segments", "notes", "fence"];
    let replica = open(&format!("webwaka:{name}:replica"), 2, &stores).await?;
    let found = Found {
        outbox: entries(&outbox, "records")
            .await?
            .iter()
            .map(number_and_text)
            .collect::<Option<_>>()
            .ok_or_else(foreign)?,
        meta: entries(&outbox, "meta").await?.iter().find_map(|(_, text)| text.as_string()),
        documents: entries(&replica, "documents")
            .await?
            .iter()
            .map(document)
            .collect::<Option<_>>()
            .ok_or_else(foreign)?,
        cursors: entries(&replica, "cursors")
            .await?
            .iter()
            .map(two_texts)
            .collect::<Option<_>>()
            .ok_or_else(foreign)?,
    };
    outbox.close();
    replica.close();
    Ok(serde_wasm_bindgen::to_value(&found)?)
}

async fn open(name: &str, version: u32, stores: &[&str]) -> Result<Rexie, JsValue> {
    // Version and object stores are those that are there, so that nothing is upgraded: rexie deletes whatever it is
    // not told of.
    let builder = Rexie::builder(name).version(version);
    let builder =
        stores.iter().fold(builder, |builder, store| builder.add_object_store(ObjectStore::new(store)));
    builder.build().await.map_err(thrown)
}

async fn entries(database: &Rexie, store: &str) -> Result<Vec<(JsValue, JsValue)>, JsValue> {
    let transaction = database.transaction(&[store], TransactionMode::ReadOnly).map_err(thrown)?;
    let store: Store = transaction.store(store).map_err(thrown)?;
    store.scan(None, None, None, None).await.map_err(thrown)
}

fn number_and_text((key, text): &(JsValue, JsValue)) -> Option<(f64, String)> {
    Some((key.as_f64()?, text.as_string()?))
}

fn two_texts((key, text): &(JsValue, JsValue)) -> Option<(String, String)> {
    Some((key.as_string()?, text.as_string()?))
}

/// A document's key is the bytes of its collection, a zero, and the bytes of its id.
fn document((key, text): &(JsValue, JsValue)) -> Option<(String, String, String)> {
    let key = String::from_utf8(Uint8Array::new(key).to_vec()).ok()?;
    let (collection, id) = key.split_once('\0')?;
    Some((collection.into(), id.into(), text.as_string()?))
}

fn foreign() -> JsValue {
    js_sys::Error::new("a record has another shape than expected").into()
}

fn thrown(error: rexie::Error) -> JsValue {
    js_sys::Error::new(&error.to_string()).into()
}
