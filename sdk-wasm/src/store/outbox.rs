//! The irreplaceable side: operations that the server has not judged yet, and the client's own identity.

use js_sys::Array;
use sdk_core::{
    engine::storage::{Adopted, OutboxBatch, OutboxRecord, StoreError},
    protocol::MAX_SAFE_INTEGER,
};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::IdbRequest;

use crate::idb::{Connection, Durability, FENCE, Failure, Schema, Term};

const SCHEMA: Schema = Schema { version: 2, stores: &[RECORDS, META, SUBMISSIONS, FENCE] };
/// Record key (a number) to its text.
const RECORDS: &str = "records";
/// One record, under the key [`META_KEY`].
const META: &str = "meta";
const META_KEY: &str = "client";
/// Key of a submission to its text, as the page that left it wrote it, or to the number of the operation it became.
const SUBMISSIONS: &str = "submissions";
/// How often it is looked for what was to be stored, where reading fails.
const READS: u32 = 4;

pub(super) struct Outbox {
    database: Connection,
}

impl Outbox {
    /// Opens it, and takes it over from whoever had it.
    pub(super) async fn open(name: String) -> Result<(Self, Term), StoreError> {
        let database = Connection::new(name, &SCHEMA);
        let term = database.take_over().await?;
        Ok((Self { database }, term))
    }

    /// Every record by its key, and the metadata.
    pub(super) async fn load(&self) -> Result<(Vec<OutboxRecord>, Option<String>), StoreError> {
        let (keys, texts, meta) = self
            .database
            .read(|transaction| {
                let records = transaction.store(RECORDS)?;
                let meta = transaction.store(META)?.get(&META_KEY.into())?;
                Ok((records.get_all_keys()?, records.get_all()?, meta))
            })
            .await?;
        let keys = results(keys.result())?;
        let texts = results(texts.result())?;
        let records = keys
            .iter()
            .zip(texts.iter())
            .map(|(key, text)| Some(OutboxRecord { key: key.as_f64()? as u64, text: text.as_string()? }))
            .collect::<Option<_>>()
            .ok_or_else(foreign)?;
        Ok((records, meta.result().unwrap_or(JsValue::UNDEFINED).as_string()))
    }

    /// Resolves when the batch would survive the loss of power.
    ///
    /// # Errors
    /// `Lost` once after it was deleted under us: whoever knows what it held has to write all of that, for in an
    /// outbox with less than that the client's id could come to name two operations alike.
    pub(super) async fn apply(&self, batch: &OutboxBatch) -> Result<(), StoreError> {
        if batch.put.iter().any(|record| record.key > MAX_SAFE_INTEGER) {
            return Err(StoreError::Failed("a key is beyond 2^53 - 1".into()));
        }
        let write = self.database.write(Durability::Strict, |transaction| {
            let records = transaction.store(RECORDS)?;
            for key in &batch.remove {
                records.delete(&number(*key))?;
            }
            for record in &batch.put {
                records.put_with_key(&record.text.as_str().into(), &number(record.key))?;
            }
            if !batch.adopted.is_empty() {
                let submissions = transaction.store(SUBMISSIONS)?;
                for Adopted { key, seq } in &batch.adopted {
                    submissions.put_with_key(&number(seq.0), &key.into())?;
                }
            }
            if let Some(meta) = &batch.meta {
                transaction.store(META)?.put_with_key(&meta.into(), &META_KEY.into())?;
            }
            Ok(())
        });
        match write.await {
            Err(Failure::Lost) => {
                self.database.accept_loss().await?;
                Err(StoreError::Lost)
            }
            Err(Failure::Refused(_)) if self.has_happened(batch).await => Ok(()),
            result => Ok(result?),
        }
    }

    /// Whether a batch that is said to have failed is stored all the same, where that matters: whoever left what it adopts
    /// takes its receipt for saved. One of its records at least is new; another page's would be another.
    async fn has_happened(&self, batch: &OutboxBatch) -> bool {
        if batch.adopted.is_empty() || batch.put.is_empty() {
            return false;
        }
        for _ in 0..READS {
            let read = self.database.read(|transaction| {
                let records = transaction.store(RECORDS)?;
                batch.put.iter().map(|record| records.get(&number(record.key))).collect::<Result<Vec<_>, _>>()
            });
            if let Ok(found) = read.await {
                let text = |found: &IdbRequest| found.result().ok().and_then(|text| text.as_string());
                let mut pairs = batch.put.iter().zip(&found);
                return pairs.all(|(record, found)| text(found).as_ref() == Some(&record.text));
            }
        }
        false
    }

    /// Calls back whenever the browser or another page has closed it.
    pub(super) fn on_taken(&self, callback: impl Fn() + 'static) {
        self.database.on_taken(callback);
    }
}

/// Exact for every key that can be there.
fn number(key: u64) -> JsValue {
    JsValue::from_f64(key as f64)
}

fn results(result: Result<JsValue, JsValue>) -> Result<Array, StoreError> {
    result.ok().and_then(|value| value.dyn_into().ok()).ok_or_else(foreign)
}

fn foreign() -> StoreError {
    StoreError::Corrupt("the outbox holds a record that is not ours".into())
}
