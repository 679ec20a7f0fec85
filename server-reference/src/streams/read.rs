//! GET and HEAD.

use std::{hash::BuildHasher, sync::Arc};

use axum::{
    Extension,
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header as http},
    response::{IntoResponse, Response},
};
use flate2::Compression;
use sdk_core::protocol::ProtocolError;

use super::{
    cursor, header,
    live::{self, Page, Tail},
    problem::Refusal,
    put,
    request::{self, Live, Query},
    sse,
};
use crate::{
    clock::wall,
    gzip,
    identity::tickets::admitted,
    limits::Metered,
    random,
    service::Service,
    storage::StorageError,
    storage::events::{After, Events, Form, Lifetime, Read, Slice},
    sync::{Caller, Path, Problem, admit, authenticate},
    tenant::TenantScope,
};

/// An answer that ends before the topic does stays as it is: a browser may keep it, for this subject alone.
const SETTLED: HeaderValue = HeaderValue::from_static("private, max-age=60, stale-while-revalidate=300");
/// One that reaches the end may be out of date at any time.
const CHECKED: HeaderValue = HeaderValue::from_static("private, no-cache");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// Bytes of events from which on an answer is compressed: a smaller one fits in a packet or two either way.
const WORTH: usize = 2 * 1024;
/// A sixth more bytes than at the level that is usual, in a third of the time.
const LEVEL: Compression = Compression::new(4);

pub(super) async fn head(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
    Caller { scope, .. }: Caller,
) -> Result<Response, Refusal> {
    let state = service.events.describe(scope, request::topic(&name)?, wall()).await?;
    let mut response = StatusCode::OK.into_response();
    put(&mut response, http::CONTENT_TYPE, state.content_type.as_str());
    put(&mut response, header::NEXT_OFFSET, state.tail);
    put(&mut response, header::EARLIEST_OFFSET, state.earliest);
    match &state.lifetime {
        Lifetime::Unlimited => {}
        Lifetime::Idle(seconds) => put(&mut response, header::TTL, seconds),
        Lifetime::Until(_, text) => put(&mut response, header::EXPIRES_AT, text),
    }
    if let Some(text) = request::redelivery_text(&state.redelivery) {
        put(&mut response, header::REDELIVERY, text);
    }
    if let Some(text) = request::retention_text(&state.retention) {
        put(&mut response, header::RETENTION, text);
    }
    if state.closed {
        put(&mut response, header::CLOSED, "true");
    }
    response.headers_mut().insert(http::CACHE_CONTROL, NO_STORE);
    Ok(response)
}

pub(super) async fn read(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    Metered(meter): Metered,
    granted: Option<Extension<TenantScope>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let asked = Query::read(query.as_deref().unwrap_or_default());
    let streams = matches!(&asked, Ok(Query { live: Some(Live::Sse), .. }));
    // Who cannot set a header can only have its events streamed.
    let ticket = if streams { admitted(&service, &meter, query.as_deref())? } else { None };
    let scope = match (granted, ticket) {
        (Some(Extension(scope)), _) | (None, Some(scope)) => scope,
        (None, None) => authenticate(&service, &meter, &headers).await?,
    };
    let topic = request::topic(&name)?;
    let query = asked?;
    let after = query.after.unwrap_or(After::Start);
    match query.live {
        None => {
            let _place =
                admit(&service, &meter).and_then(|place| place.known(&meter)).map_err(Problem::from)?;
            let read = Read { after, bytes: service.streams.read_bytes, within_epoch: query.within_epoch };
            let room = meter.room(read.bytes).await.map_err(Problem::from)?;
            let slice = service.events.read(scope, topic, read, wall()).await?;
            Ok(room.held_by(caught_up(&service, slice, after, &headers).await?))
        }
        Some(Live::LongPoll) => {
            let place = live::admit(&service, &meter)?;
            let mut tail = Tail::new(service.clone(), meter, scope.clone(), topic, &query);
            let Page { slice, room } = tokio::select! {
                biased;
                error = service.verifier.withdrawn(&scope) => return Err(Problem::from(error).into()),
                polled = tail.poll() => polled?,
            };
            drop(place);
            Ok(room.held_by(polled(tail.service(), slice, query.cursor, &headers).await?))
        }
        Some(Live::Sse) => {
            let place = live::admit(&service, &meter)?;
            let mut tail = Tail::new(service, meter, scope, topic, &query);
            // What is wrong with the request is told with a status.
            let first = tail.read().await?;
            Ok(sse::response(tail, first, query.cursor, place))
        }
    }
}

/// The answer to a read that does not wait.
async fn caught_up(
    service: &Service,
    slice: Slice,
    after: After,
    asked: &HeaderMap,
) -> Result<Response, Refusal> {
    // What is sent in two ways has two names, so that nobody takes the one for the other.
    let way = if is_compressed(&slice.events, asked) { ".gzip" } else { "" };
    let tag = format!("\"{}-{}{}{way}\"", slice.from, slice.to, if slice.closed { "-c" } else { "" });
    let known = asked.get(http::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let cache = match after {
        After::Now | After::Time(_) => NO_STORE,
        _ if slice.up_to_date => CHECKED,
        _ => SETTLED,
    };
    let ends = Ends::of(&slice);
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        body(service, slice.content_type.form(), slice.events, asked).await?
    };
    told(&mut response, slice.content_type.as_str(), &ends);
    if !matches!(after, After::Now | After::Time(_)) {
        put(&mut response, http::ETAG, tag);
    }
    response.headers_mut().insert(http::CACHE_CONTROL, cache);
    response.headers_mut().insert(http::VARY, HeaderValue::from_static("authorization, accept-encoding"));
    Ok(response)
}

/// The answer to a read that waited.
async fn polled(
    service: &Service,
    slice: Slice,
    cursor: Option<u64>,
    asked: &HeaderMap,
) -> Result<Response, Refusal> {
    let ends = Ends::of(&slice);
    let mut response = if slice.events.is_empty() {
        StatusCode::NO_CONTENT.into_response()
    } else {
        body(service, slice.content_type.form(), slice.events, asked).await?
    };
    told(&mut response, slice.content_type.as_str(), &ends);
    put(&mut response, header::CURSOR, cursor::next(wall(), cursor, random::spread()));
    response.headers_mut().insert(http::CACHE_CONTROL, NO_STORE);
    Ok(response)
}

/// Where an answer begins and ends.
struct Ends {
    from: String,
    to: String,
    up_to_date: bool,
    closed: bool,
}

impl Ends {
    fn of(slice: &Slice) -> Self {
        Self {
            from: slice.from.to_string(),
            to: slice.to.to_string(),
            up_to_date: slice.up_to_date,
            closed: slice.closed,
        }
    }
}

fn told(response: &mut Response, content_type: &str, ends: &Ends) {
    put(response, http::CONTENT_TYPE, content_type);
    put(response, header::START_OFFSET, &ends.from);
    put(response, header::NEXT_OFFSET, &ends.to);
    if ends.up_to_date {
        response.headers_mut().insert(header::UP_TO_DATE, header::TRUE);
    }
    if ends.closed {
        response.headers_mut().insert(header::CLOSED, header::TRUE);
    }
}

/// Whether events are sent compressed to who asks so.
fn is_compressed(events: &Events, asked: &HeaderMap) -> bool {
    events.bytes().len() >= WORTH && gzip::is_taken(asked)
}

/// Events as the body of an answer.
async fn body(service: &Service, form: Form, events: Events, asked: &HeaderMap) -> Result<Response, Refusal> {
    let is_compressed = is_compressed(&events, asked);
    let bytes = if form == Form::Json {
        let array = json_array(&events);
        // Gone before anything else is made of the array.
        drop(events);
        array
    } else {
        events.into_bytes()
    };
    if !is_compressed {
        return Ok(Body::from(bytes).into_response());
    }
    let number = service.blur.hash_one(&bytes);
    let packing = move || gzip::packed(&bytes, LEVEL, number);
    // A page of a megabyte takes some milliseconds, in which others are to be served.
    let packed = tokio::task::spawn_blocking(packing).await.map_err(std::io::Error::from).flatten();
    let failed = |error| ProtocolError::from(&StorageError::Unavailable(Box::new(error)));
    let packed = packed.map_err(failed)?;
    Ok(([(http::CONTENT_ENCODING, "gzip")], packed).into_response())
}

/// Events of JSON as one array.
pub(super) fn json_array(events: &Events) -> Vec<u8> {
    let mut array = Vec::with_capacity(events.bytes().len() + events.len() + 2);
    array.push(b'[');
    for (number, event) in events.iter().enumerate() {
        if number > 0 {
            array.push(b',');
        }
        array.extend_from_slice(event);
    }
    array.push(b']');
    array
}
