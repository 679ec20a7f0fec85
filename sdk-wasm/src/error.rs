//! Errors as JavaScript sees them: an `Error` with `code` and `retryable`.

use js_sys::{Error, Reflect};
use sdk_core::engine::storage::StoreError;
use wasm_bindgen::JsValue;

/// Why a call did nothing.
#[derive(Debug)]
pub(crate) struct CallError {
    /// The stable reason.
    pub(crate) code: &'static str,
    /// The reason in words.
    pub(crate) message: String,
    /// Whether the same call may succeed later.
    pub(crate) retryable: bool,
}

impl CallError {
    /// The options of a client make no sense.
    pub(crate) fn options(message: impl Into<String>) -> Self {
        Self { code: "invalid_options", message: message.into(), retryable: false }
    }

    /// Another argument makes no sense.
    pub(crate) fn value(message: impl Into<String>) -> Self {
        Self { code: "invalid_value", message: message.into(), retryable: false }
    }
}

impl From<StoreError> for CallError {
    fn from(error: StoreError) -> Self {
        let (code, retryable) = match &error {
            StoreError::Denied(_) => ("denied", false),
            StoreError::Full(_) => ("full", true),
            StoreError::InUse => ("in_use", true),
            StoreError::Locked => ("wrong_key", false),
            StoreError::Lost => ("storage_lost", true),
            StoreError::Fenced => ("fenced", true),
            StoreError::Corrupt(_) => ("corrupt", false),
            _ => ("failed", true),
        };
        Self { code, message: error.to_string(), retryable }
    }
}

impl From<CallError> for JsValue {
    fn from(error: CallError) -> Self {
        let object = Error::new(&error.message);
        // A plain object takes any property.
        let _ = Reflect::set(&object, &"code".into(), &error.code.into());
        let _ = Reflect::set(&object, &"retryable".into(), &error.retryable.into());
        object.into()
    }
}
