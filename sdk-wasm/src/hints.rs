//! What a page hears that may mean that the network is back, or that it slept: reason to try again at once.

use js_sys::{Reflect, global};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::EventTarget;

/// `online` is a hint and no more: browsers say it of networks that lead nowhere.
const EVENTS: [&str; 4] = ["online", "visibilitychange", "pageshow", "focus"];

/// Listens until it is dropped.
pub(crate) struct Hints {
    target: EventTarget,
    on_event: Closure<dyn FnMut()>,
}

impl Hints {
    /// Calls `wake` at each hint. None in a worker, which no such event reaches.
    pub(crate) fn listen(mut wake: impl FnMut() + 'static) -> Option<Self> {
        let document = Reflect::get(&global(), &"document".into()).ok()?;
        if document.is_undefined() {
            return None;
        }
        let on_event = Closure::new(move || {
            let state = Reflect::get(&document, &"visibilityState".into());
            // Going into the background is no reason to try anything.
            if state.is_ok_and(|state| state != JsValue::from_str("hidden")) {
                wake();
            }
        });
        // All four reach the window, `visibilitychange` by bubbling.
        let hints = Self { target: global().unchecked_into(), on_event };
        for event in EVENTS {
            let listener = hints.on_event.as_ref().unchecked_ref();
            let _ = hints.target.add_event_listener_with_callback(event, listener);
        }
        Some(hints)
    }
}

impl Drop for Hints {
    fn drop(&mut self) {
        for event in EVENTS {
            let listener = self.on_event.as_ref().unchecked_ref();
            let _ = self.target.remove_event_listener_with_callback(event, listener);
        }
    }
}
