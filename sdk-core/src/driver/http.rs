//! The HTTP twins of the session's frames.

use std::sync::Mutex;

use super::{HttpGet, HttpReply, HttpRequest, MaybeSync, Transport, TransportError, topics};
use crate::{
    connection::Rung,
    engine::{Call, CallBody, Effect, Fetch, HttpFailure, HttpId, Input, Reply, TopicRead, TopicReply},
    protocol::{ErrorCode, ProtocolError, PullReply, PushReply, decode, encode},
    snapshot::Part,
    wire::record,
};

/// What the engine wants of HTTP.
pub(super) enum Request {
    Call(Call),
    Part(Fetch),
    Topic(TopicRead),
}

impl Request {
    /// What an effect asks for, and under which number; none if it asks for nothing.
    pub(super) fn of(effect: Effect) -> Option<(HttpId, Self)> {
        Some(match effect {
            Effect::Http(id, call) => (id, Self::Call(call)),
            Effect::Fetch(id, fetch) => (id, Self::Part(fetch)),
            Effect::ReadTopic(id, read) => (id, Self::Topic(read)),
            _ => return None,
        })
    }
}

/// Sends a request; returns what the engine is to hear. Of an answer that goes on, what comes is given to `tell`, which
/// says whether more is wanted.
pub(super) async fn exchange<T, F>(transport: &T, id: HttpId, request: Request, tell: &F) -> Input
where
    T: Transport,
    F: Fn(HttpId, TopicReply) -> bool + MaybeSync,
{
    let at = Mutex::new(None);
    let each = |bytes: &mut Vec<u8>| match &request {
        Request::Topic(read) if read.rung == Rung::Sse => {
            topics::take(bytes, id.0, &read.start, &at, &|told| tell(id, told))
        }
        _ => true,
    };
    let get = match &request {
        Request::Call(call) => {
            let result = transport.post(post(call)).await;
            return heard(id, request, result);
        }
        Request::Part(fetch) => part(fetch),
        Request::Topic(read) => topics::get(read),
    };
    let result = transport.get(get, &each).await;
    heard(id, request, result)
}

/// Does what an effect asks of HTTP, apart from a client; returns what the engine hears of it, or none if it asks for nothing
/// there. Of an answer that goes on, what comes is given to `tell`, which says whether more is wanted.
#[cfg(feature = "testing")]
pub async fn asked<T, F>(transport: &T, effect: Effect, tell: &F) -> Option<Input>
where
    T: Transport,
    F: Fn(HttpId, TopicReply) -> bool + MaybeSync,
{
    let (id, request) = Request::of(effect)?;
    Some(exchange(transport, id, request, tell).await)
}

fn heard(id: HttpId, request: Request, result: Result<HttpReply, TransportError>) -> Input {
    let reply = result.map_err(|_| HttpFailure::Unreachable);
    match request {
        Request::Call(call) => Input::HttpDone(id, reply.and_then(|reply| replied(&call.body, &reply))),
        Request::Part(_) => Input::Fetched(id, reply.and_then(whole)),
        Request::Topic(read) => {
            Input::TopicRead(id, reply.and_then(|reply| topics::answer(id.0, &read.start, &reply)))
        }
    }
}

fn post(call: &Call) -> HttpRequest {
    let (path, body) = match &call.body {
        CallBody::Push(request) => ("v1/push", encode(request)),
        CallBody::Pull(request) => ("v1/pull", encode(request)),
    };
    HttpRequest { path, token: call.token.clone(), body }
}

fn replied(body: &CallBody, reply: &HttpReply) -> Result<Reply, HttpFailure> {
    if reply.status != 200 {
        return Err(problem(reply));
    }
    // Something between us and the server may answer 200 with a page of its own.
    let foreign = |_| HttpFailure::Unreachable;
    match body {
        CallBody::Push(_) => decode::<PushReply>(&reply.body).map(Reply::Push).map_err(foreign),
        CallBody::Pull(_) => decode::<PullReply>(&reply.body).map(Reply::Pull).map_err(foreign),
    }
}

/// A part of a snapshot.
fn part(fetch: &Fetch) -> HttpGet {
    let collection = fetch.collection.as_str();
    let (path, bypass) = match &fetch.part {
        Part::Manifest(None) => (["v1/snapshots/", collection].concat(), true),
        Part::Manifest(Some(root)) => {
            (["v1/snapshots/", collection, "?root=", &root.to_string()].concat(), true)
        }
        Part::Chunk { hash, bypass, .. } => {
            (["v1/snapshots/", collection, "/chunks/", &hash.to_string()].concat(), *bypass)
        }
    };
    HttpGet { path, token: fetch.token.clone(), bypass, waits: false }
}

fn whole(reply: HttpReply) -> Result<String, HttpFailure> {
    if reply.status == 200 { Ok(reply.body) } else { Err(problem(&reply)) }
}

pub(super) struct Problem {
    pub(super) code: String,
    pub(super) detail: String,
}

record!(Problem { code: "code"; detail: "detail" or String::new(); });

/// A problem document (RFC 9457) of ours, or somebody else's answer.
pub(super) fn problem(reply: &HttpReply) -> HttpFailure {
    match decode::<Problem>(&reply.body) {
        Ok(Problem { code, detail }) => {
            let (code, retry_after) = (ErrorCode::of(&code), reply.retry_after());
            HttpFailure::Refused(ProtocolError { code, message: detail, retry_after })
        }
        Err(_) => HttpFailure::Unreachable,
    }
}
