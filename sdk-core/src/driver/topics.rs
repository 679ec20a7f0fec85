//! Topics over plain HTTP, by the Durable Streams protocol: what comes is told as a session would.

use super::{
    HttpGet, HttpReply,
    http::{Problem, problem},
};
use crate::{
    connection::Rung,
    engine::{HttpFailure, TopicRead, TopicReply},
    protocol::{EndReason, Ended, Events, Json, Retry, Start, TopicPosition, decode},
};

/// The request for events of a topic. They are to be of one epoch, so that each has the position that follows on the one
/// before.
pub(super) fn get(read: &TopicRead) -> HttpGet {
    let (key, place) = match &read.start {
        Start::After(position) => ("?offset=", position.clone()),
        Start::Time(time) => ("?since=", time.0.to_string()),
        Start::Earliest {} => ("?offset=", "-1".to_owned()),
        Start::Latest {} => ("?offset=", "now".to_owned()),
    };
    let live = match read.rung {
        Rung::Get => "",
        Rung::LongPoll => "&live=long-poll",
    };
    let path = ["v1/streams/", read.topic.as_str(), key, &place, "&within=epoch", live].concat();
    HttpGet { path, token: read.token.clone(), bypass: true }
}

/// What an answer says, if it is one of ours; `sub` is the number of the request.
pub(super) fn answer(sub: u64, start: &Start, reply: &HttpReply) -> Result<TopicReply, HttpFailure> {
    match reply.status {
        200 | 204 => page(sub, start, reply).ok_or(HttpFailure::Unreachable),
        410 if position(reply, "stream-earliest-offset").is_some() => Ok(gap(sub, start, reply)),
        _ => refusal(sub, reply),
    }
}

fn position(reply: &HttpReply, header: &str) -> Option<TopicPosition> {
    reply.header(header)?.parse().ok()
}

/// The events of an answer. None if it is none of ours: something between us and the server may answer with a page of
/// its own, with what it has kept, or with a part; only what fits together, and what was asked for, may move a position.
fn page(sub: u64, start: &Start, reply: &HttpReply) -> Option<TopicReply> {
    let from = position(reply, "stream-start-offset")?;
    let to = position(reply, "stream-next-offset")?;
    if !reply.header("content-type")?.starts_with("application/json") {
        let message = "the topic is not one of JSON".to_owned();
        let reason = Some(EndReason { code: "content_type_mismatch".to_owned(), message });
        return Some(TopicReply { events: None, ended: Some(Ended { sub, reason }) });
    }
    let events = if reply.status == 204 { vec![] } else { decode::<Vec<Json>>(&reply.body).ok()? };
    let asked = start.position().filter(|asked| *asked != TopicPosition::ZERO);
    if asked.is_some_and(|asked| asked.offset != from.offset)
        || from.plus(events.len() as u64).offset != to.offset
    {
        return None;
    }
    let more = reply.header("stream-up-to-date").is_none();
    let ended = reply.header("stream-closed").map(|_| Ended { sub, reason: None });
    let events = Events { sub, from, to, events, recovered: true, missed: None, more };
    Some(TopicReply { events: Some(events), ended })
}

/// What comes after the reader's position is not there any more; where reading can go on.
fn gap(sub: u64, start: &Start, reply: &HttpReply) -> TopicReply {
    let earliest = position(reply, "stream-earliest-offset").unwrap_or(TopicPosition::ZERO);
    let known = start.position().filter(|known| known.epoch == earliest.epoch);
    let missed = known.and_then(|known| earliest.offset.checked_sub(known.offset));
    let (from, to) = (earliest, earliest);
    let events = Events { sub, from, to, events: vec![], recovered: false, missed, more: true };
    TopicReply { events: Some(events), ended: None }
}

/// A topic that cannot be read has an end; what is wrong for a while, or with the token, is a failure.
fn refusal(sub: u64, reply: &HttpReply) -> Result<TopicReply, HttpFailure> {
    match problem(reply) {
        HttpFailure::Refused(error) if error.code.retry() == Retry::Never && reply.status < 500 => {
            let reason = decode::<Problem>(&reply.body).ok();
            let reason = reason.map(|Problem { code, detail }| EndReason { code, message: detail });
            Ok(TopicReply { events: None, ended: Some(Ended { sub, reason }) })
        }
        failure => Err(failure),
    }
}
