//! One client per store, held by a Web Lock: the browser lets go of it when the page ends, however it ends.

use js_sys::{Array, Function, Object, Promise, Reflect};
use sdk_core::engine::storage::StoreError;
use wasm_bindgen::{JsCast, JsValue, closure::Closure, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;
use web_sys::AbortSignal;

use crate::{held::hold, idb::Refused};

/// Milliseconds that a page is given to let go after a reload.
const PATIENCE: u32 = 2_000;

#[wasm_bindgen]
extern "C" {
    /// web-sys keeps Web Locks behind a compiler flag that all who build this would have to set.
    type LockManager;
    #[wasm_bindgen(method, catch)]
    fn request(
        this: &LockManager,
        name: &str,
        options: &JsValue,
        granted: &JsValue,
    ) -> Result<Promise, JsValue>;
}

/// A lock that is held until this is dropped.
pub(super) struct Lock {
    release: Function,
}

impl Lock {
    /// Waits for the lock, but not longer than [`PATIENCE`].
    pub(super) async fn acquire(name: &str) -> Result<Self, StoreError> {
        let (release, held) = deferred();
        let (grant, granted) = deferred();
        // The browser holds the lock until the promise that this returns is settled.
        let on_granted = Closure::<dyn FnMut() -> Promise>::new(move || {
            let _ = grant.call0(&JsValue::UNDEFINED);
            held.clone()
        });
        let request = request(name, on_granted.as_ref()).map_err(denied)?;
        // `request` itself settles only when the lock is let go, or was not to be had.
        match JsFuture::from(Promise::race(&Array::of2(&granted, &request))).await {
            Ok(_) => {
                let held = Object::new();
                let _ = Reflect::set(&held, &"close".into(), &release);
                hold("lock", &held);
                Ok(Self { release })
            }
            Err(error) => {
                let refused = Refused::from(error);
                match refused.name.as_str() {
                    "TimeoutError" | "AbortError" => Err(StoreError::InUse),
                    _ => Err(StoreError::Denied(refused.message)),
                }
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.release.call0(&JsValue::UNDEFINED);
    }
}

fn request(name: &str, granted: &JsValue) -> Result<Promise, JsValue> {
    let navigator = Reflect::get(&js_sys::global(), &"navigator".into())?;
    let locks = Reflect::get(&navigator, &"locks".into())?;
    let options = Object::new();
    Reflect::set(&options, &"signal".into(), &AbortSignal::timeout_with_u32(PATIENCE))?;
    // Where there are no Web Locks this throws, as `locks` is undefined then.
    locks.unchecked_into::<LockManager>().request(name, &options, granted)
}

fn denied(thrown: JsValue) -> StoreError {
    StoreError::Denied(Refused::from(thrown).message)
}

fn deferred() -> (Function, Promise) {
    let mut resolve = Function::from(JsValue::UNDEFINED);
    let promise = Promise::new(&mut |resolved, _| resolve = resolved);
    (resolve, promise)
}
