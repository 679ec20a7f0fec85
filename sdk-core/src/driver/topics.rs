//! Topics over plain HTTP, by the Durable Streams protocol: what comes is told as a session would.

use std::sync::{Mutex, PoisonError};

use super::{
    HttpGet, HttpReply,
    http::{Problem, problem},
};
use crate::{
    connection::Rung,
    engine::{HttpFailure, TopicRead, TopicReply},
    protocol::{EndReason, Ended, ErrorCode, Events, Json, Retry, Start, TopicPosition, decode},
    wire::record,
};

/// The request for events of a topic. They are to be of one epoch, so that each has the position that follows on the one
/// before.
pub(super) fn get(read: &TopicRead) -> HttpGet {
    let mut path = ["v1/streams/", read.topic.as_str(), "?within=epoch"].concat();
    path.push_str(match read.rung {
        Rung::Get => "",
        Rung::LongPoll => "&live=long-poll",
        Rung::Sse => "&live=sse",
    });
    path.push_str(if matches!(read.start, Start::Time(_)) { "&since=" } else { "&offset=" });
    match &read.start {
        Start::After(position) => path.push_str(position),
        Start::Time(time) => path.push_str(&time.0.to_string()),
        Start::Earliest {} => path.push_str("-1"),
        Start::Latest {} => path.push_str("now"),
    }
    HttpGet { path, token: read.token.clone(), bypass: true, waits: read.rung != Rung::Get }
}

/// Takes from an answer that goes on what has come of it: server-sent events, `data` with events of the topic, then
/// `control` with the position after them. `at` is the position so far. False if it is none of ours, or no more is wanted.
pub(super) fn take(
    bytes: &mut Vec<u8>,
    sub: u64,
    start: &Start,
    at: &Mutex<Option<TopicPosition>>,
    tell: &dyn Fn(TopicReply) -> bool,
) -> bool {
    let mut at = at.lock().unwrap_or_else(PoisonError::into_inner);
    // Also what is only there to show that the connection lives.
    let mut wanted = tell(TopicReply::default());
    while let Some((events, control, length)) = next(bytes) {
        bytes.drain(..length);
        let events = if events.is_empty() { Some(vec![]) } else { decode::<Vec<Json>>(&events).ok() };
        let (Some(from), Some(events), Ok(Control { next: to, closed, level })) =
            (at.or_else(|| start.position()), events, decode(&control))
        else {
            return false;
        };
        if from.offset.checked_add(events.len() as u64) != Some(to.offset) {
            return false;
        }
        *at = Some(to);
        let ended = closed.then_some(Ended { sub, reason: None });
        let events = Events { sub, from, to, events, recovered: true, missed: None, more: !level };
        wanted = tell(TopicReply { events: Some(events), ended });
    }
    wanted
}

/// The data of the next events and that of the control after them, if all of it is there, and how long it is.
fn next(bytes: &[u8]) -> Option<(String, String, usize)> {
    let (mut start, mut events) = (0, String::new());
    loop {
        let length = bytes[start..].windows(2).position(|two| two == b"\n\n")?;
        let event = std::str::from_utf8(&bytes[start..start + length]).unwrap_or_default();
        start += length + 2;
        let mut data = String::new();
        for line in event.split('\n').filter_map(|line| line.strip_prefix("data:")) {
            data.push_str(line);
        }
        if event.starts_with("event: control") {
            return Some((events, data, start));
        }
        events.push_str(&data);
    }
}

/// What follows the events of an answer that goes on.
struct Control {
    next: TopicPosition,
    closed: bool,
    level: bool,
}

record!(Control {
    next: "streamNextOffset";
    closed: "streamClosed" or false;
    level: "upToDate" or false;
});

/// What an answer says, if it is one of ours; `sub` is the number of the request.
pub(super) fn answer(sub: u64, start: &Start, reply: &HttpReply) -> Result<TopicReply, HttpFailure> {
    match reply.status {
        200 if goes_on(reply) => Ok(TopicReply::default()),
        200 | 204 => page(sub, start, reply).ok_or(HttpFailure::Unreachable),
        410 if position(reply, "stream-earliest-offset").is_some() => Ok(gap(sub, start, reply)),
        _ => refusal(sub, reply),
    }
}

/// Whether an answer was one that goes on, and was told as it came.
fn goes_on(reply: &HttpReply) -> bool {
    reply.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"))
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
        || from.offset.checked_add(events.len() as u64) != Some(to.offset)
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
    let Ok(Problem { code, detail }) = decode(&reply.body) else { return Err(HttpFailure::Unreachable) };
    if ErrorCode::of(&code).retry() != Retry::Never || reply.status >= 500 {
        return Err(problem(reply));
    }
    let reason = Some(EndReason { code, message: detail });
    Ok(TopicReply { events: None, ended: Some(Ended { sub, reason }) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &str = "event: data\ndata:[1,\"\u{e4}\"]\n\nevent: control\n\
        data:{\"streamNextOffset\":\"0000000000000007_0000000000000003\",\"upToDate\":true}\n\n:\n\n\
        event: control\ndata:{\"streamNextOffset\":\"0000000000000007_0000000000000003\",\"streamClosed\":true}\n\n";

    /// What is told of bytes that come in pieces of a size.
    fn told(sent: &str, from: u64, size: usize) -> Option<Vec<(u64, usize, bool)>> {
        let (at, told) = (Mutex::new(None), Mutex::new(vec![]));
        let start = Start::After(format!("0000000000000007_{from:016x}"));
        let tell = |reply: TopicReply| {
            let known = reply.events.map(|it| (it.to.offset, it.events.len(), reply.ended.is_some()));
            told.lock().unwrap().extend(known);
            true
        };
        let mut bytes = vec![];
        for piece in sent.as_bytes().chunks(size) {
            bytes.extend(piece);
            if !take(&mut bytes, 9, &start, &at, &tell) {
                return None;
            }
        }
        let told = told.lock().unwrap().clone();
        Some(told)
    }

    #[test]
    fn an_answer_that_goes_on_says_the_same_however_its_bytes_are_cut() {
        for size in 1..SENT.len() {
            assert_eq!(told(SENT, 1, size), Some(vec![(3, 2, false), (3, 0, true)]), "in {size}s");
        }
    }

    #[test]
    fn what_does_not_follow_or_is_none_of_ours_is_not_believed() {
        assert_eq!(told(SENT, 2, 10), None);
        assert_eq!(told("event: control\ndata:{}\n\n", 0, 5), None);
        let page = "<!doctype html>\n\n<p>Welcome</p>\n\n";
        assert_eq!(told(page, 0, page.len()), Some(vec![]));
    }
}
