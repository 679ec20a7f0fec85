//! The HTTP twins of the session's frames.

use super::{HttpGet, HttpReply, HttpRequest, Transport};
use crate::{
    engine::{Call, CallBody, Fetch, HttpFailure, Reply},
    protocol::{ErrorCode, ProtocolError, PullReply, PushReply, decode, encode},
    snapshot::Part,
    wire::record,
};

pub(super) async fn post(transport: &impl Transport, call: Call) -> Result<Reply, HttpFailure> {
    let (path, body, is_push) = match &call.body {
        CallBody::Push(request) => ("v1/push", encode(request), true),
        CallBody::Pull(request) => ("v1/pull", encode(request), false),
    };
    let request = HttpRequest { path, token: call.token, body };
    let reply = transport.post(request).await.map_err(|_| HttpFailure::Unreachable)?;
    if reply.status != 200 {
        return Err(problem(&reply));
    }
    // Something between us and the server may answer 200 with a page of its own.
    let foreign = |_| HttpFailure::Unreachable;
    if is_push {
        decode::<PushReply>(&reply.body).map(Reply::Push).map_err(foreign)
    } else {
        decode::<PullReply>(&reply.body).map(Reply::Pull).map_err(foreign)
    }
}

/// A part of a snapshot, as text.
pub(super) async fn fetch(transport: &impl Transport, fetch: Fetch) -> Result<String, HttpFailure> {
    let collection = fetch.collection.as_str();
    let (path, bypass) = match fetch.part {
        Part::Manifest(None) => (["v1/snapshots/", collection].concat(), true),
        Part::Manifest(Some(root)) => {
            (["v1/snapshots/", collection, "?root=", &root.to_string()].concat(), true)
        }
        Part::Chunk { hash, bypass, .. } => {
            (["v1/snapshots/", collection, "/chunks/", &hash.to_string()].concat(), bypass)
        }
    };
    let request = HttpGet { path, token: fetch.token, bypass };
    let reply = transport.get(request).await.map_err(|_| HttpFailure::Unreachable)?;
    if reply.status == 200 { Ok(reply.body) } else { Err(problem(&reply)) }
}

/// A problem document (RFC 9457) of ours, or somebody else's answer.
fn problem(reply: &HttpReply) -> HttpFailure {
    struct Problem {
        code: ErrorCode,
        detail: String,
    }
    record!(Problem { code: "code"; detail: "detail" or String::new(); });
    match decode::<Problem>(&reply.body) {
        Ok(Problem { code, detail }) => {
            let retry_after = reply.retry_after.map(|seconds| seconds.saturating_mul(1_000));
            HttpFailure::Refused(ProtocolError { code, message: detail, retry_after })
        }
        Err(_) => HttpFailure::Unreachable,
    }
}
