//! What the browser says when IndexedDB does not do what it was asked.

use js_sys::{JsString, Reflect};
use sdk_core::engine::storage::StoreError;
use wasm_bindgen::{JsCast, JsValue};

use super::fence::REVOKED;

/// Why a piece of work on a database was not done; nothing of it was written.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The browser refused.
    Refused(Refused),
    /// The database was deleted while it was in use, and what it held is gone.
    Lost,
}

/// A `DOMException`, or whatever else was thrown.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Its name. Browsers agree on names, not on messages.
    pub(crate) name: String,
    /// Its message, for people.
    pub(crate) message: String,
}

impl From<JsValue> for Refused {
    fn from(thrown: JsValue) -> Self {
        let text = |key: &str| {
            let value = Reflect::get(&thrown, &key.into()).unwrap_or(JsValue::UNDEFINED);
            value.dyn_into::<JsString>().map(String::from).unwrap_or_default()
        };
        Self { name: text("name"), message: text("message") }
    }
}

impl From<JsValue> for Failure {
    fn from(thrown: JsValue) -> Self {
        Self::Refused(thrown.into())
    }
}

impl Refused {
    /// Whether another client has taken the database over.
    pub(crate) fn is_fenced(&self) -> bool {
        self.name == REVOKED
    }

    /// Whether a transaction that ended like this may have been committed all the same.
    pub(crate) fn may_have_happened(&self) -> bool {
        matches!(self.name.as_str(), "AbortError" | "UnknownError")
    }

    /// Whether the same may succeed on a new connection: this one is closed, or was lost in mid-transaction.
    pub(crate) fn is_of_the_connection(&self) -> bool {
        matches!(
            self.name.as_str(),
            "InvalidStateError" | "AbortError" | "UnknownError" | "TransactionInactiveError"
        )
    }

    fn into_text(self) -> String {
        self.name + ": " + &self.message
    }
}

impl From<Refused> for StoreError {
    fn from(refused: Refused) -> Self {
        match refused.name.as_str() {
            REVOKED => Self::Fenced,
            "QuotaExceededError" => Self::Full(refused.into_text()),
            "SecurityError" | "NotAllowedError" | "InvalidStateError" => Self::Denied(refused.into_text()),
            "NotReadableError" | "NotFoundError" | "DataError" | "EncodingError" => {
                Self::Corrupt(refused.into_text())
            }
            _ => Self::Failed(refused.into_text()),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refused) => refused.into(),
            Failure::Lost => Self::Corrupt("the database was deleted while it was in use".into()),
        }
    }
}
