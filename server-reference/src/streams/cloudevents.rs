//! CloudEvents 1.0 over HTTP, in the modes of their HTTP binding: structured, batched and binary.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::{borrow::Cow, sync::Arc};

use axum::{
    http::{HeaderMap, HeaderName, StatusCode, header as http},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use sdk_core::wire::write_text;

use super::{
    header,
    problem::{Code, Refusal},
    put, request,
    write::split,
};
use crate::{
    clock::wall,
    service::Service,
    storage::events::{CloudEvent, ContentType, Publish, TopicName},
    tenant::TenantScope,
};

/// What begins the names of headers that are attributes.
const PREFIX: &str = "ce-";

/// How a request carries its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// The body is one event.
    Structured,
    /// The body is an array of events.
    Batch,
    /// The attributes are headers, and the body is the data.
    Binary,
}

impl Mode {
    /// The mode of a request; none if it has nothing to do with CloudEvents.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let content_type = headers.get(http::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = content_type.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/cloudevents+json") {
            Some(Self::Structured)
        } else if essence.eq_ignore_ascii_case("application/cloudevents-batch+json") {
            Some(Self::Batch)
        } else {
            headers.contains_key("ce-specversion").then_some(Self::Binary)
        }
    }
}

/// Whether a topic is made of what a request has, whatever that means elsewhere: its maker said so.
pub(super) async fn is_own_type(
    service: &Service,
    scope: &TenantScope,
    topic: &TopicName,
    headers: &HeaderMap,
) -> bool {
    let Ok(Some(content_type)) = request::content_type(headers) else { return false };
    let state = service.events.describe(scope.clone(), topic.clone(), wall()).await;
    state.is_ok_and(|state| state.content_type == content_type && content_type != ContentType::json())
}

/// Appends the events of a request: all or none, and each once.
pub(super) async fn publish(
    service: &Arc<Service>,
    scope: TenantScope,
    topic: TopicName,
    (mode, headers): (Mode, HeaderMap),
    body: Bytes,
) -> Result<Response, Refusal> {
    for name in [&header::CLOSED, &header::SEQUENCE, &header::PRODUCER_ID] {
        if headers.contains_key(name) {
            let problem = format!("{name} does not go with CloudEvents, which are known by source and id");
            return Err(Refusal::new(Code::BadHeader, problem));
        }
    }
    let json = ContentType::json();
    let bodies = match mode {
        Mode::Binary => vec![whole(&headers, &body)?],
        Mode::Structured if body.trim_ascii_start().starts_with(b"[") => {
            return Err(bad("an array of events is application/cloudevents-batch+json"));
        }
        Mode::Batch if !body.trim_ascii_start().starts_with(b"[") => return Err(bad("a batch is an array")),
        Mode::Structured | Mode::Batch => split(service, &json, body)?,
    };
    if bodies.is_empty() {
        return Err(bad("there is no event"));
    }
    if bodies.iter().any(|event| event.len() > service.streams.event_bytes) {
        let most = service.streams.event_bytes;
        return Err(Refusal::new(Code::EventTooLarge, format!("an event may have {most} bytes")));
    }
    let events = bodies.into_iter().map(CloudEvent::new).collect::<Result<_, _>>();
    let events = events.map_err(|no_event| bad(&no_event.to_string()))?;
    let _cause = service.subscriptions.cause(scope.tenant(), &topic);
    let answers = service.events.publish(scope, vec![Publish { topic, events }], wall()).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    for positions in answers.into_iter().flatten() {
        if let Some(last) = positions?.last() {
            put(&mut response, header::NEXT_OFFSET, last);
        }
    }
    Ok(response)
}

/// The event of a request in binary mode, in the JSON format.
fn whole(headers: &HeaderMap, body: &[u8]) -> Result<Bytes, Refusal> {
    let content_type = request::content_type(headers)?;
    let mut event = String::from("{");
    let member = |event: &mut String, name: &str| {
        event.push_str(if event.len() > 1 { ",\"" } else { "\"" });
        event.push_str(name);
        event.push_str("\":");
    };
    let attributes = headers.keys().filter_map(|name| Some((name, name.as_str().strip_prefix(PREFIX)?)));
    for (name, attribute) in attributes {
        if matches!(attribute, "data" | "data_base64" | "datacontenttype") {
            return Err(wrong(name, "is not an attribute that has a header of its own"));
        }
        let value = request::text(headers, name)?.unwrap_or_default();
        let value = unquoted(value).ok_or_else(|| wrong(name, "has a quoted text that does not end"))?;
        let value = request::decode(&value).ok_or_else(|| wrong(name, "has an escape that is none"))?;
        member(&mut event, attribute);
        write_text(&value, &mut event);
    }
    if let Some(content_type) = &content_type {
        member(&mut event, "datacontenttype");
        write_text(content_type.as_str(), &mut event);
    }
    let text = std::str::from_utf8(body).ok();
    match (&content_type, text) {
        _ if body.is_empty() => {}
        (Some(content_type), Some(text)) if content_type.is_json() => {
            member(&mut event, "data");
            event.push_str(text.trim());
        }
        (Some(content_type), _) if content_type.is_json() => return Err(bad("the body is not UTF-8")),
        (Some(content_type), Some(text)) if content_type.is_text() => {
            member(&mut event, "data");
            write_text(text, &mut event);
        }
        _ => {
            member(&mut event, "data_base64");
            write_text(&STANDARD.encode(body), &mut event);
        }
    }
    event.push('}');
    Ok(event.into())
}

/// The text of a header without the quotes and backslashes of a quoted string (RFC 9110, section 5.6.4), which come off
/// before percent escapes do (section 3.1.3.2 of the binding). None if a quote or what it escapes is missing.
fn unquoted(value: &str) -> Option<Cow<'_, str>> {
    let Some(quoted) = value.trim().strip_prefix('"') else { return Some(Cow::Borrowed(value)) };
    let (mut text, mut rest) = (String::with_capacity(quoted.len()), quoted.chars());
    loop {
        match rest.next()? {
            '"' => return rest.next().is_none().then_some(Cow::Owned(text)),
            '\\' => text.push(rest.next()?),
            plain => text.push(plain),
        }
    }
}

fn bad(problem: &str) -> Refusal {
    Refusal::new(Code::BadEvent, problem)
}

fn wrong(name: &HeaderName, problem: &str) -> Refusal {
    Refusal::new(Code::BadHeader, format!("{name} {problem}"))
}
