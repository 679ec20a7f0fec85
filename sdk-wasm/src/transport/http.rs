//! One HTTP request by `fetch`.

use js_sys::{Object, Promise, Reflect, Uint8Array};
use sdk_core::driver::{HttpReply, HttpRequest, TransportError};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, ReadableStream, ReadableStreamDefaultReader, Response};

/// Milliseconds from the first byte sent to the last byte received.
const DEADLINE: u32 = 30_000;
/// Bytes of an answer that are read; the largest that a server of ours gives has a fraction of it.
const MOST: usize = 4 << 20;

#[wasm_bindgen]
extern "C" {
    // A global rather than a method of a window, because workers have it too.
    #[wasm_bindgen(catch)]
    fn fetch(url: &str, options: &JsValue) -> Result<Promise, JsValue>;
}

pub(super) async fn post(base: &str, request: &HttpRequest) -> Result<HttpReply, TransportError> {
    exchange(base, request).await.map_err(|_| TransportError("the server was not reached".into()))
}

async fn exchange(base: &str, request: &HttpRequest) -> Result<HttpReply, JsValue> {
    let url = [base, "/", request.path].concat();
    let response = JsFuture::from(fetch(&url, &options(request)?)?).await?;
    let response: Response = response.unchecked_into();
    let retry_after = response.headers().get("retry-after")?;
    Ok(HttpReply {
        status: response.status(),
        retry_after: retry_after.and_then(|seconds| seconds.parse().ok()),
        body: match response.body() {
            Some(body) => read(&body).await?,
            None => String::new(),
        },
    })
}

fn options(request: &HttpRequest) -> Result<JsValue, JsValue> {
    let headers = object(&[
        ("authorization", ["Bearer ", &request.token].concat().into()),
        ("content-type", "application/json".into()),
    ])?;
    object(&[
        ("method", "POST".into()),
        ("headers", headers),
        ("body", request.body.as_str().into()),
        // The token is all that identifies us; cookies would make it a question of cross-site requests too.
        ("credentials", "omit".into()),
        ("cache", "no-store".into()),
        // A token goes to the server it is for and nowhere else.
        ("redirect", "error".into()),
        ("signal", AbortSignal::timeout_with_u32(DEADLINE).into()),
    ])
}

fn object(entries: &[(&str, JsValue)]) -> Result<JsValue, JsValue> {
    let object = Object::new();
    for (key, value) in entries {
        Reflect::set(&object, &(*key).into(), value)?;
    }
    Ok(object.into())
}

async fn read(body: &ReadableStream) -> Result<String, JsValue> {
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    let mut bytes = Vec::new();
    while bytes.len() < MOST {
        let chunk = JsFuture::from(reader.read()).await?;
        let value = Reflect::get(&chunk, &"value".into())?;
        if value.is_undefined() {
            return String::from_utf8(bytes).map_err(|_| JsValue::UNDEFINED);
        }
        bytes.extend(Uint8Array::new(&value).to_vec());
    }
    let _ = reader.cancel();
    Err(JsValue::UNDEFINED)
}
