//! The same in a page.

use js_sys::Date;
use wasm_bindgen::{JsError, prelude::wasm_bindgen};

use crate::Shape;

/// Merges two histories; operations per second.
#[wasm_bindgen]
pub fn merge(operations: usize, documents: usize, fields: usize) -> Result<f64, JsError> {
    let shape = Shape { operations, documents, fields };
    let histories = ["ada", "bola"].map(|writer| crate::history(shape, writer));
    let start = Date::now();
    let merged = crate::merge(&histories).map_err(|error| JsError::new(&error.to_string()))?;
    let seconds = (Date::now() - start) / 1_000.0;
    if merged.len() != documents {
        return Err(JsError::new("the merge has another number of documents"));
    }
    Ok((2 * operations) as f64 / seconds)
}
