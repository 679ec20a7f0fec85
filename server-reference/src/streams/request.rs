//! What a request asks for, read from its headers and its query.

use std::str::FromStr;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, Uri, header},
};
use sdk_core::{
    clock::Millis,
    protocol::{ErrorCode, ProtocolError},
};
use serde::de::DeserializeOwned;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    ROOT, header as headers_of,
    problem::{Code, Refusal},
};
use crate::{
    storage::events::{
        After, ContentType, Fork, Lifetime, Poison, Position, Producer, Redelivery, Retention, Rules,
        TopicName,
    },
    sync::body,
};

/// The greatest number that JavaScript holds exactly.
const MAX_NUMBER: u64 = (1 << 53) - 1;
/// Bytes of the id of a producer, or of a sequence.
const MAX_TEXT: usize = 256;
/// Bytes of a body that is about subscriptions or groups.
const MAX_BODY: usize = 64 * 1024;

pub(super) fn topic(name: &str) -> Result<TopicName, Refusal> {
    TopicName::new(name).map_err(|invalid| Refusal::new(Code::BadTopic, invalid.to_string()))
}

pub(super) fn content_type(headers: &HeaderMap) -> Result<Option<ContentType>, Refusal> {
    let read =
        |text: &str| ContentType::new(text).ok_or_else(|| bad(&header::CONTENT_TYPE, "is no media type"));
    text(headers, &header::CONTENT_TYPE)?.map(read).transpose()
}

/// Only `true` counts; whatever else is there says nothing.
pub(super) fn closed(headers: &HeaderMap) -> bool {
    headers.get(&headers_of::CLOSED).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
}

pub(super) fn sequence(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    short_text(headers, &headers_of::SEQUENCE)
}

pub(super) fn lifetime(headers: &HeaderMap) -> Result<Lifetime, Refusal> {
    let idle = text(headers, &headers_of::TTL)?;
    match (idle, text(headers, &headers_of::EXPIRES_AT)?) {
        (None, None) => Ok(Lifetime::Unlimited),
        (Some(seconds), None) => Ok(Lifetime::Idle(number(seconds, &headers_of::TTL)?)),
        (None, Some(time)) => {
            let millis =
                rfc3339(time).ok_or_else(|| bad(&headers_of::EXPIRES_AT, "is no time of RFC 3339"))?;
            Ok(Lifetime::Until(millis, time.to_owned()))
        }
        (Some(_), Some(_)) => Err(bad(&headers_of::TTL, "and Stream-Expires-At exclude each other")),
    }
}

/// `age=SECONDS, bytes=BYTES, events=EVENTS`, each at most once and at least one of them.
pub(super) fn retention(headers: &HeaderMap) -> Result<Retention, Refusal> {
    let name = &headers_of::RETENTION;
    let mut keep = Retention::default();
    let Some(text) = text(headers, name)? else { return Ok(keep) };
    for part in text.split(',') {
        let (what, figure) = part.trim().split_once('=').ok_or_else(|| bad(name, "is a list of limits"))?;
        let figure = number(figure, name)?;
        let (place, figure) = match what {
            "age" => (&mut keep.age, figure.saturating_mul(1000).min(MAX_NUMBER)),
            "bytes" => (&mut keep.bytes, figure),
            "events" => (&mut keep.events, figure),
            _ => return Err(bad(name, "knows age, bytes and events")),
        };
        if place.replace(figure).is_some() {
            return Err(bad(name, "has each limit once"));
        }
    }
    Ok(keep)
}

/// A retention as its header.
pub(super) fn retention_text(keep: &Retention) -> Option<String> {
    let age = keep.age.map(|age| format!("age={}", age / 1000));
    let bytes = keep.bytes.map(|bytes| format!("bytes={bytes}"));
    let events = keep.events.map(|events| format!("events={events}"));
    let parts: Vec<String> = [age, bytes, events].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// `attempts=N, backoff_ms=N, backoff_max_ms=N, poison=WORD`, each at most once.
pub(super) fn redelivery(headers: &HeaderMap) -> Result<Redelivery, Refusal> {
    let name = &headers_of::REDELIVERY;
    let mut said = Redelivery::default();
    let Some(text) = text(headers, name)? else { return Ok(said) };
    for part in text.split(',') {
        let (what, value) = part.trim().split_once('=').ok_or_else(|| bad(name, "is a list of rules"))?;
        let twice = match what {
            "attempts" => {
                // More than fits is more than is allowed.
                let attempts = u32::try_from(number(value, name)?).unwrap_or(u32::MAX);
                said.attempts.replace(attempts).is_some()
            }
            "backoff_ms" => said.backoff_ms.replace(number(value, name)?).is_some(),
            "backoff_max_ms" => said.backoff_max_ms.replace(number(value, name)?).is_some(),
            "poison" => {
                let poison =
                    Poison::named(value).ok_or_else(|| bad(name, "has poison=halt, park or skip"))?;
                said.poison.replace(poison).is_some()
            }
            _ => return Err(bad(name, "knows attempts, backoff_ms, backoff_max_ms and poison")),
        };
        if twice {
            return Err(bad(name, "has each rule once"));
        }
    }
    said.over(Rules::default())
        .check()
        .map_err(|problem| bad(name, &format!("makes no sense: {problem}")))?;
    Ok(said)
}

/// A topic's redelivery as its header.
pub(super) fn redelivery_text(said: &Redelivery) -> Option<String> {
    let attempts = said.attempts.map(|attempts| format!("attempts={attempts}"));
    let backoff = said.backoff_ms.map(|millis| format!("backoff_ms={millis}"));
    let longest = said.backoff_max_ms.map(|millis| format!("backoff_max_ms={millis}"));
    let poison = said.poison.map(|poison| format!("poison={}", poison.as_str()));
    let parts: Vec<String> = [attempts, backoff, longest, poison].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

pub(super) fn producer(headers: &HeaderMap) -> Result<Option<Producer>, Refusal> {
    let id = short_text(headers, &headers_of::PRODUCER_ID)?;
    let epoch = text(headers, &headers_of::PRODUCER_EPOCH)?;
    match (id, epoch, text(headers, &headers_of::PRODUCER_SEQUENCE)?) {
        (None, None, None) => Ok(None),
        (Some(id), Some(epoch), Some(sequence)) => Ok(Some(Producer {
            id,
            epoch: number(epoch, &headers_of::PRODUCER_EPOCH)?,
            sequence: number(sequence, &headers_of::PRODUCER_SEQUENCE)?,
        })),
        _ => {
            Err(bad(&headers_of::PRODUCER_ID, "Producer-Epoch and Producer-Seq come together or not at all"))
        }
    }
}

/// The fork that the headers ask for. `public` is the path of the topics as clients see it.
pub(super) fn fork(headers: &HeaderMap, public: &str) -> Result<Option<Fork>, Refusal> {
    let at = text(headers, &headers_of::FORK_OFFSET)?;
    let more = text(headers, &headers_of::FORK_SUB_OFFSET)?;
    let Some(source) = text(headers, &headers_of::FORKED_FROM)? else {
        return match (at, more) {
            (None, None) => Ok(None),
            _ => Err(bad(&headers_of::FORKED_FROM, "is missing")),
        };
    };
    let public: Uri = public.parse().unwrap_or_default();
    let path = source.strip_prefix(ROOT).or_else(|| source.strip_prefix(public.path().trim_end_matches('/')));
    let path = path.and_then(|path| path.strip_prefix('/'));
    let path =
        path.and_then(decode).ok_or_else(|| bad(&headers_of::FORKED_FROM, "is not the path of a topic"))?;
    let at = match at {
        None | Some("now") => None,
        Some("-1") => Some(Position::ZERO),
        Some(at) => Some(position(at)?),
    };
    let more = more.map_or(Ok(0), |more| number(more, &headers_of::FORK_SUB_OFFSET))?;
    Ok(Some(Fork { source: topic(&path)?, at, more }))
}

/// A time as a person writes it (RFC 3339), or as the milliseconds of Unix time.
pub(super) fn time(text: &str) -> Option<Millis> {
    text.parse().ok().filter(|millis| *millis <= MAX_NUMBER).map(Millis).or_else(|| rfc3339(text))
}

fn rfc3339(text: &str) -> Option<Millis> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok().map(Millis)
}

/// The body of a request that is about subscriptions or groups.
pub(super) async fn json<T: DeserializeOwned>(request: Request) -> Result<T, Refusal> {
    let text = body(request.into_body(), MAX_BODY).await?;
    let malformed = |error: serde_json::Error| ProtocolError::new(ErrorCode::Malformed, error.to_string());
    Ok(serde_json::from_str(&text).map_err(malformed)?)
}

/// What a reader's query asks for.
#[derive(Debug, Default)]
pub(super) struct Query {
    pub(super) after: Option<After>,
    pub(super) live: Option<Live>,
    pub(super) cursor: Option<u64>,
    pub(super) within_epoch: bool,
}

/// How to be told of what is yet to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Live {
    LongPoll,
    Sse,
}

impl Query {
    /// Reads a query. What is not known is left alone.
    pub(super) fn read(query: &str) -> Result<Self, Refusal> {
        let mut read = Self::default();
        for part in query.split('&') {
            // Nothing that has a meaning needs an escape, but for the colons of a time.
            match part.split_once('=').unwrap_or((part, "")) {
                ("offset" | "since", _) if read.after.is_some() => {
                    return Err(Refusal::new(Code::BadPosition, "there is more than one offset"));
                }
                ("since", text) => {
                    let time = decode(text).as_deref().and_then(time);
                    let time = time.ok_or_else(|| {
                        Refusal::new(Code::BadPosition, "since is a time of RFC 3339 or milliseconds")
                    })?;
                    read.after = Some(After::Time(time));
                }
                ("offset", "-1") => read.after = Some(After::Start),
                ("offset", "now") => read.after = Some(After::Now),
                ("offset", text) => read.after = Some(After::Position(position(text)?)),
                ("live", "long-poll") => read.live = Some(Live::LongPoll),
                ("live", "sse") => read.live = Some(Live::Sse),
                ("live", _) => return Err(Refusal::new(Code::BadHeader, "live is long-poll or sse")),
                ("within", "epoch") => read.within_epoch = true,
                ("cursor", text) => read.cursor = text.parse().ok(),
                _ => {}
            }
        }
        if read.live.is_some() && read.after.is_none() {
            return Err(Refusal::new(Code::BadPosition, "a live read needs an offset"));
        }
        Ok(read)
    }
}

pub(super) fn position(text: &str) -> Result<Position, Refusal> {
    Position::from_str(text).map_err(|bad| Refusal::new(Code::BadPosition, bad.to_string()))
}

/// A whole number in plain digits, which JavaScript holds exactly.
fn number(text: &str, name: &HeaderName) -> Result<u64, Refusal> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    let value = if plain { text.parse().ok() } else { None };
    value.filter(|value| *value <= MAX_NUMBER).ok_or_else(|| bad(name, "is a whole number up to 2^53 - 1"))
}

fn short_text(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Refusal> {
    let text = text(headers, name)?;
    if text.is_some_and(|text| text.is_empty() || text.len() > MAX_TEXT) {
        return Err(bad(name, "has 1 to 256 bytes"));
    }
    Ok(text.map(str::to_owned))
}

/// A header that may come once.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| bad(name, "is not plain text")),
        _ => Err(bad(name, "is there more than once")),
    }
}

fn bad(name: &HeaderName, problem: &str) -> Refusal {
    Refusal::new(Code::BadHeader, format!("{name} {problem}"))
}

/// A text without its percent escapes.
pub(crate) fn decode(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok().filter(|d| !d.starts_with('+'))?, 16).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}
