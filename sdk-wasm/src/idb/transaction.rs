//! One transaction, from its creation to its end.

use js_sys::{Function, Object, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;
use web_sys::{IdbDatabase, IdbObjectStore, IdbTransaction};

use super::failure::Refused;

#[wasm_bindgen]
extern "C" {
    /// web-sys keeps the options of a transaction behind a compiler flag that all who build this would have to set.
    #[wasm_bindgen(extends = IdbDatabase)]
    type DatabaseWithOptions;
    #[wasm_bindgen(method, catch, js_name = transaction)]
    fn transaction(
        this: &DatabaseWithOptions,
        stores: &JsValue,
        mode: &str,
        options: &JsValue,
    ) -> Result<IdbTransaction, JsValue>;

    /// A name that the glue is given (`npm/factory.mjs`). Where it is not, transactions end by themselves.
    #[wasm_bindgen(thread_local_v2, js_name = commit)]
    static COMMIT: Option<Function>;
}

/// What `complete` promises about a transaction's writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// They are on the disk.
    Strict,
    /// The operating system has them; the loss of power may take them back.
    Relaxed,
}

/// A transaction that aborts when it is dropped before [`finish`](Self::finish).
pub(crate) struct Transaction {
    inner: IdbTransaction,
    end: Option<JsFuture>,
}

impl Transaction {
    /// Begins to read; with a durability, to read and write.
    pub(super) fn begin(
        database: &IdbDatabase,
        stores: &JsValue,
        durability: Option<Durability>,
    ) -> Result<Self, JsValue> {
        let (mode, durability) = match durability {
            None => ("readonly", "default"),
            Some(Durability::Strict) => ("readwrite", "strict"),
            Some(Durability::Relaxed) => ("readwrite", "relaxed"),
        };
        let options = Object::new();
        Reflect::set(&options, &"durability".into(), &durability.into())?;
        let database: &DatabaseWithOptions = database.unchecked_ref();
        let inner = database.transaction(stores, mode, &options)?;
        let end = Promise::new(&mut |resolve, reject| {
            inner.set_oncomplete(Some(&resolve));
            inner.set_onabort(Some(&reject));
        });
        Ok(Self { end: Some(end.into()), inner })
    }

    /// One of the object stores. What is asked of it is done in order; its results can be taken from the requests
    /// after [`finish`](Self::finish).
    pub(crate) fn store(&self, name: &str) -> Result<IdbObjectStore, JsValue> {
        self.inner.object_store(name)
    }

    /// Says that everything has been asked for. By itself a transaction ends once its page has heard of all results: if that is
    /// frozen before, or hangs, nobody can write any more.
    pub(super) fn commit(&self) {
        COMMIT.with(|commit| {
            if let Some(commit) = commit {
                // What does not go well shows in the end.
                let _ = commit.call1(&JsValue::UNDEFINED, &self.inner);
            }
        });
    }

    /// Asks for nothing more, and waits for the end. What reads is not committed explicitly: Chromium may do that before it
    /// has fetched a result of more than 64 KB. A future that is dropped here does not stop the transaction.
    pub(super) async fn finish(mut self) -> Result<(), Refused> {
        let Some(end) = self.end.take() else { return Ok(()) };
        match end.await {
            Ok(_) => Ok(()),
            Err(_) => Err(match self.inner.error() {
                Some(error) => JsValue::from(error).into(),
                None => Refused { name: "AbortError".into(), message: String::new() },
            }),
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        // Half of what belongs together must not be committed.
        if self.end.is_some() {
            let _ = self.inner.abort();
        }
    }
}
