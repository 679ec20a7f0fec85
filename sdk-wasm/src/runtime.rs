//! The browser's clocks, timers and microtasks.

use js_sys::{Date, Function, Promise};
use sdk_core::{clock::Millis, driver::Runtime, engine::Now};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::{JsFuture, spawn_local};

#[wasm_bindgen]
extern "C" {
    // Globals rather than methods of a window, because workers have them too.
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(handler: &Function, millis: i32);
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
}

/// Time and tasks of the page or worker that this runs in.
pub struct BrowserRuntime;

impl Runtime for BrowserRuntime {
    fn now(&self) -> Now {
        Now { monotonic: Millis(performance_now() as u64), wall: Millis(Date::now() as u64) }
    }

    fn sleep(&self, millis: Millis) -> impl Future<Output = ()> + 'static {
        // The longest a browser can count to is 24 days; what waits longer asks again then.
        let millis = i32::try_from(millis.0).unwrap_or(i32::MAX);
        let end = JsFuture::from(Promise::new(&mut |resolve, _| set_timeout(&resolve, millis)));
        async move {
            let _ = end.await;
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        spawn_local(task);
    }
}
