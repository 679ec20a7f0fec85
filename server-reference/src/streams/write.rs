//! PUT, POST and DELETE.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header as http},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use sdk_core::protocol::ErrorCode;

use super::{
    cloudevents, header,
    problem::{Code, Refusal},
    put, request,
};
use crate::{
    clock::wall,
    service::Service,
    storage::events::{Append, ContentType, NewTopic, TopicName},
    sync::{Caller, Path, body_bytes},
    tenant::TenantScope,
};

pub(super) async fn create(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
    Caller { scope, .. }: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    let topic = request::topic(&name)?;
    let mut new = described(&service, request.headers())?;
    let body = whole_body(&service, request).await?;
    new.events = first_events(&service, &scope, &mut new, body).await?;
    let _cause = service.subscriptions.cause(scope.tenant(), &topic);
    let created = service.events.create(scope, topic.clone(), new, wall()).await?;
    let status = if created.fresh { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = status.into_response();
    if created.fresh {
        put(&mut response, http::LOCATION, format_args!("{}/{topic}", service.public_streams));
    }
    put(&mut response, http::CONTENT_TYPE, created.state.content_type.as_str());
    put(&mut response, header::NEXT_OFFSET, created.state.tail);
    if created.state.closed {
        put(&mut response, header::CLOSED, "true");
    }
    Ok(response)
}

pub(super) async fn append(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
    Caller { scope, .. }: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    let topic = request::topic(&name)?;
    let headers = request.headers();
    if let Some(mode) = cloudevents::Mode::of(headers)
        && !cloudevents::is_own_type(&service, &scope, &topic, headers).await
    {
        let said = (mode, headers.clone());
        let body = whole_body(&service, request).await?;
        return cloudevents::publish(&service, scope, topic, said, body).await;
    }
    let (close, sequence) = (request::closed(headers), request::sequence(headers)?);
    let producer = request::producer(headers)?;
    // A request without a body may say of it whatever it likes.
    let content_type = request::content_type(headers);
    let body = whole_body(&service, request).await?;
    let (content_type, events) = if body.is_empty() {
        if !close {
            return Err(Refusal::new(
                Code::BadEvent,
                "the body is empty; only a request that closes may have none",
            ));
        }
        (None, Vec::new())
    } else {
        let missing = || Refusal::new(Code::BadHeader, "content-type is missing");
        let content_type = content_type?.ok_or_else(missing)?;
        let events = split(&service, &content_type, body)?;
        if events.is_empty() {
            return Err(Refusal::new(Code::BadEvent, "the array is empty"));
        }
        (Some(content_type), events)
    };
    let wrote = !events.is_empty();
    let append = Append { content_type, events, close, sequence, producer: producer.clone() };
    let _cause = service.subscriptions.cause(scope.tenant(), &topic);
    let appended = service.events.append(scope, topic, append, wall()).await?;
    let said = producer.is_some() && appended.fresh && wrote;
    let mut response = if said { StatusCode::OK } else { StatusCode::NO_CONTENT }.into_response();
    put(&mut response, header::NEXT_OFFSET, appended.tail);
    if appended.closed {
        put(&mut response, header::CLOSED, "true");
    }
    if let (Some(producer), Some(newest)) = (producer, appended.newest) {
        put(&mut response, header::PRODUCER_EPOCH, producer.epoch);
        put(&mut response, header::PRODUCER_SEQUENCE, newest);
    }
    Ok(response)
}

pub(super) async fn delete(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
    Caller { scope, .. }: Caller,
) -> Result<Response, Refusal> {
    service.events.delete(scope, request::topic(&name)?, wall()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The topic that headers describe, without its events.
fn described(service: &Service, headers: &HeaderMap) -> Result<NewTopic, Refusal> {
    Ok(NewTopic {
        content_type: request::content_type(headers)?,
        lifetime: request::lifetime(headers)?,
        retention: request::retention(headers)?,
        redelivery: request::redelivery(headers)?,
        events: Vec::new(),
        closed: request::closed(headers),
        fork: request::fork(headers, &service.public_streams)?,
    })
}

/// The events that a topic begins with. Those of a fork are cut as its source's are.
async fn first_events(
    service: &Service,
    scope: &TenantScope,
    new: &mut NewTopic,
    body: Bytes,
) -> Result<Vec<Bytes>, Refusal> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    if let (Some(fork), None) = (&new.fork, &new.content_type) {
        let source: TopicName = fork.source.clone();
        new.content_type = Some(service.events.describe(scope.clone(), source, wall()).await?.content_type);
    }
    match &new.content_type {
        Some(content_type) => split(service, content_type, body),
        None => split(service, &ContentType::octets(), body),
    }
}

pub(super) fn split(
    service: &Service,
    content_type: &ContentType,
    body: Bytes,
) -> Result<Vec<Bytes>, Refusal> {
    let events = content_type.split(body).map_err(|bad| Refusal::new(Code::BadEvent, bad.to_string()))?;
    let (most, largest) = (service.streams.append_events, service.streams.event_bytes);
    if events.len() > most {
        return Err(Refusal::new(Code::EventTooLarge, format!("a request may have {most} events")));
    }
    if events.iter().any(|event| event.len() > largest) {
        return Err(Refusal::new(Code::EventTooLarge, format!("an event may have {largest} bytes")));
    }
    Ok(events)
}

async fn whole_body(service: &Service, request: Request) -> Result<Bytes, Refusal> {
    let most = service.streams.append_bytes;
    body_bytes(request.into_body(), most).await.map_err(|error| match error.code {
        ErrorCode::FrameTooLarge => {
            Refusal::new(Code::EventTooLarge, format!("a request may have {most} bytes"))
        }
        _ => error.into(),
    })
}
