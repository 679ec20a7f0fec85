//! What this instance holds of the browser, told to JavaScript: after a trap no destructor runs, and somebody has to
//! close it.

use js_sys::Function;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

#[wasm_bindgen]
extern "C" {
    /// A name that the glue is given (`npm/factory.mjs`). Where it is not, nobody outlives the instance to care.
    #[wasm_bindgen(thread_local_v2, js_name = hold)]
    static HOLD: Option<Function>;
    #[wasm_bindgen(thread_local_v2, js_name = notice)]
    static NOTICE: Option<Function>;
}

/// Tells of what happens before there is an engine to tell of it.
pub(crate) fn notice(name: &str) {
    NOTICE.with(|notice| {
        if let Some(notice) = notice {
            // Who hears it has harmed nobody but itself if it throws.
            let _ = notice.call1(&JsValue::UNDEFINED, &name.into());
        }
    });
}

/// Tells of something with a method `close`. There is one of each name at a time.
pub(crate) fn hold(name: &str, resource: &JsValue) {
    HOLD.with(|hold| {
        if let Some(hold) = hold {
            // It puts this into a map, and a map takes anything.
            let _ = hold.call2(&JsValue::UNDEFINED, &name.into(), resource);
        }
    });
}
