//! One HTTP request by `fetch`.

use js_sys::{Object, Promise, Reflect, Uint8Array};
use sdk_core::driver::{Each, HEADERS, HttpGet, HttpReply, HttpRequest, TransportError};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, ReadableStream, ReadableStreamDefaultReader, Response};

use super::Traces;

/// Bytes of an answer that are read; the largest that a server of ours gives has a fraction of it.
const MOST: usize = 4 << 20;

#[wasm_bindgen]
extern "C" {
    // A global rather than a method of a window, because workers have it too.
    #[wasm_bindgen(catch)]
    fn fetch(url: &str, options: &JsValue) -> Result<Promise, JsValue>;
}

pub(super) async fn post(
    base: &str,
    request: &HttpRequest,
    traces: &Traces,
) -> Result<HttpReply, TransportError> {
    let headers = [("content-type", "application/json")];
    let body = Some(request.body.as_str());
    let url = [base, "/", request.path];
    exchange(&url, &request.token, traces, &headers, body, "no-store", &|_| true)
        .await
        .map_err(|_| unreached())
}

/// With `private` nothing of the answer is left in the browser's cache.
pub(super) async fn get(
    base: &str,
    request: &HttpGet,
    private: bool,
    traces: &Traces,
    each: &Each<'_>,
) -> Result<HttpReply, TransportError> {
    let cache = match (private, request.bypass) {
        (true, _) => "no-store",
        (false, true) => "reload",
        (false, false) => "default",
    };
    let url = [base, "/", &request.path];
    exchange(&url, &request.token, traces, &[], None, cache, each).await.map_err(|_| unreached())
}

/// Ends a request when it is dropped: with its future, which the driver drops once nobody waits for the answer, or when
/// no more of that is wanted. A request that is over does not notice.
struct Ends(AbortController);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn unreached() -> TransportError {
    TransportError::new("the server was not reached")
}

async fn exchange(
    url: &[&str],
    token: &str,
    traces: &Traces,
    headers: &[(&str, &str)],
    body: Option<&str>,
    cache: &str,
    each: &Each<'_>,
) -> Result<HttpReply, JsValue> {
    let ends = Ends(AbortController::new()?);
    let method = if body.is_some() { "POST" } else { "GET" };
    let options = options(method, token, traces, headers, body, cache, &ends)?;
    let response = JsFuture::from(fetch(&url.concat(), &options)?).await?;
    let response: Response = response.unchecked_into();
    let told = response.headers();
    let header = |name| Some((name, told.get(name).ok()??));
    Ok(HttpReply {
        status: response.status(),
        headers: HEADERS.into_iter().filter_map(header).collect(),
        body: match response.body() {
            Some(body) => read(&body, each).await?,
            None => String::new(),
        },
    })
}

fn options(
    method: &str,
    token: &str,
    traces: &Traces,
    headers: &[(&str, &str)],
    body: Option<&str>,
    cache: &str,
    ends: &Ends,
) -> Result<JsValue, JsValue> {
    let given = object(&[("authorization", ["Bearer ", token].concat().into())])?;
    for (name, value) in headers {
        Reflect::set(&given, &(*name).into(), &(*value).into())?;
    }
    if let Some(parent) = traces.current() {
        Reflect::set(&given, &"traceparent".into(), &parent.into())?;
    }
    object(&[
        ("method", method.into()),
        ("headers", given),
        ("body", body.map_or(JsValue::UNDEFINED, JsValue::from_str)),
        // The token is all that identifies us; cookies would make it a question of cross-site requests too.
        ("credentials", "omit".into()),
        ("cache", cache.into()),
        // A token goes to the server it is for and nowhere else.
        ("redirect", "error".into()),
        ("signal", ends.0.signal().into()),
    ])
}

fn object(entries: &[(&str, JsValue)]) -> Result<JsValue, JsValue> {
    let object = Object::new();
    for (key, value) in entries {
        Reflect::set(&object, &(*key).into(), value)?;
    }
    Ok(object.into())
}

async fn read(body: &ReadableStream, each: &Each<'_>) -> Result<String, JsValue> {
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    let mut bytes = Vec::new();
    while bytes.len() < MOST {
        let chunk = JsFuture::from(reader.read()).await?;
        let value = Reflect::get(&chunk, &"value".into())?;
        if value.is_undefined() {
            return String::from_utf8(bytes).map_err(|_| JsValue::UNDEFINED);
        }
        bytes.extend(Uint8Array::new(&value).to_vec());
        if !each(&mut bytes) {
            break;
        }
    }
    Err(JsValue::UNDEFINED)
}
