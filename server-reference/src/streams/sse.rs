//! Server-sent events: `data` with events, then `control` with the position after them.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderValue, header as http},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::stream;
use sdk_core::wire::Object;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use super::{
    cursor, header,
    live::{Page, Tail, Waiting},
    put,
    read::json_array,
};
use crate::{
    clock::wall,
    random,
    storage::events::{Form, Slice},
};

/// After so long without an event a comment tells that the connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const COMMENT: &[u8] = b":\n\n";

/// A connection that begins with a slice and goes on until its time is over, the topic ends, the token does, or the
/// reader is too slow. Its place is held until then.
pub(super) fn response(tail: Tail, first: Page, cursor: Option<u64>, place: Waiting) -> Response {
    let form = first.slice.content_type.form();
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let _place = place;
        let (service, scope) = (tail.service().clone(), tail.scope().clone());
        tokio::select! {
            biased;
            // The reader finds out why when it comes back.
            _ = service.verifier.withdrawn(&scope) => {}
            () = send(tail, first, cursor, sender) => {}
        }
    });
    let chunks = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (Ok::<_, std::convert::Infallible>(chunk), receiver))
    });
    let mut response = Body::from_stream(chunks).into_response();
    put(&mut response, http::CONTENT_TYPE, "text/event-stream");
    response.headers_mut().insert(http::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // A proxy that collects an answer before it passes it on would never pass on this one.
    response.headers_mut().insert(header::NO_BUFFERING, HeaderValue::from_static("no"));
    if form == Form::Binary {
        put(&mut response, header::DATA_ENCODING, "base64");
    }
    response
}

async fn send(mut tail: Tail, first: Page, mut cursor: Option<u64>, sender: mpsc::Sender<Bytes>) {
    let service = tail.service().clone();
    let expires = Duration::from_millis(tail.scope().expires().0.saturating_sub(wall().0));
    let end = Instant::now() + service.streams.events_lifetime.min(expires);
    let pause = tail.idle().map_or(KEEP_ALIVE, |idle| KEEP_ALIVE.min(idle / 2));
    let mut next = Some(first);
    loop {
        let mut more = false;
        let (chunk, over) = match next.take() {
            Some(Page { slice, room }) => {
                more = !slice.up_to_date;
                let told = cursor::next(wall(), cursor, random::spread());
                // The first answers what the client sent; later ones need only not go back.
                cursor = Some(told.saturating_sub(1));
                // Who takes it slowly, with many others, is to come back for it.
                let Ok(chunk) = room.carry(encode(&slice, told)) else { return };
                (chunk, slice.closed)
            }
            None => (Bytes::from_static(COMMENT), false),
        };
        // Whoever does not take a chunk in time would hold it, and its place, for ever.
        if !matches!(timeout(service.write_deadline, sender.send(chunk)).await, Ok(Ok(()))) || over {
            return;
        }
        let now = Instant::now();
        if now >= end || service.stopping.is_cancelled() {
            return;
        }
        let waited = tokio::select! {
            biased;
            waited = tail.go_on(more, end.min(now + pause)) => waited,
            () = sender.closed() => return,
        };
        next = match waited {
            Ok(Some(page)) => Some(page),
            // A topic that ends when it is not read is being read.
            Ok(None) if tail.idle().is_some() => match tail.read().await {
                Ok(page) => (!page.slice.events.is_empty() || page.slice.closed).then_some(page),
                Err(_) => return,
            },
            Ok(None) => None,
            // The reader finds out why when it comes back.
            Err(_) => return,
        };
    }
}

/// A slice as one `data` event, if there is anything in it, and one `control` event.
fn encode(slice: &Slice, cursor: u64) -> Bytes {
    let mut out = Vec::with_capacity(slice.events.bytes().len() * 4 / 3 + 256);
    if !slice.events.is_empty() {
        out.extend_from_slice(b"event: data\n");
        match slice.content_type.form() {
            Form::Json => lines(&mut out, &json_array(&slice.events)),
            // What is no UTF-8 cannot be shown here as it is; over GET it can.
            Form::Text => lines(&mut out, String::from_utf8_lossy(slice.events.bytes()).as_bytes()),
            Form::Binary => {
                out.extend_from_slice(b"data:");
                out.extend_from_slice(STANDARD.encode(slice.events.bytes()).as_bytes());
                out.push(b'\n');
            }
        }
        out.push(b'\n');
    }
    let mut control = String::new();
    let mut object = Object::new(&mut control);
    object.field("streamNextOffset", &slice.to.to_string());
    if slice.closed {
        object.field("streamClosed", &true);
    } else {
        object.field("streamCursor", &cursor.to_string());
    }
    if slice.up_to_date {
        object.field("upToDate", &true);
    }
    object.end();
    out.extend_from_slice(b"event: control\ndata:");
    out.extend_from_slice(control.as_bytes());
    out.extend_from_slice(b"\n\n");
    out.into()
}

/// Text as lines of data. Whatever ends a line for a reader begins a new one, so that no text can end an event.
fn lines(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    loop {
        out.extend_from_slice(b"data:");
        // A reader takes one space away.
        if rest.first() == Some(&b' ') {
            out.push(b' ');
        }
        match rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            None => {
                out.extend_from_slice(rest);
                out.push(b'\n');
                return;
            }
            Some(end) => {
                out.extend_from_slice(&rest[..end]);
                out.push(b'\n');
                let width = if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
                rest = &rest[end + width..];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_end_an_event() {
        let mut out = Vec::new();
        lines(&mut out, b" a\r\n\r\nevent: control\rb\n\n");
        assert_eq!(out, b"data:  a\ndata:\ndata:event: control\ndata:b\ndata:\ndata:\n");
    }
}
