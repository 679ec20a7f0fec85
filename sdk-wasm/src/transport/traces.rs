//! Which trace what is sent belongs to: the application says.

use js_sys::{Function, Reflect};
use sdk_core::protocol::is_traceparent;
use wasm_bindgen::{JsCast, JsValue};

/// Asks the application, if that can be asked.
#[derive(Clone)]
pub struct Traces(Option<Function>);

impl Traces {
    /// What a function has as `traceparent`.
    pub fn beside(function: &Function) -> Self {
        Self(Reflect::get(function, &"traceparent".into()).ok().and_then(|source| source.dyn_into().ok()))
    }

    /// The `traceparent` of what is sent now; none if there is none, or none that may be sent.
    pub(super) fn current(&self) -> Option<String> {
        let parent = self.0.as_ref()?.call0(&JsValue::UNDEFINED).ok()?.as_string();
        parent.filter(|parent| is_traceparent(parent))
    }
}
