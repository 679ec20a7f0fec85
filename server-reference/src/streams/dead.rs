//! `/v1/dead`: what clients were refused for good, for those who administer what it is for. The same requests, with the
//! same words, as about the dead letters of a [group](super::groups).

use std::sync::Arc;

use axum::{
    Router,
    extract::{RawQuery, Request, State},
    response::Response,
    routing::{get, post},
};
use sdk_core::protocol::{ErrorCode, Json, Rejection, TopicPosition};
use serde::Serialize;
use serde_json::{json, value::RawValue};

use super::{
    groups::{Piece, letter_id, named},
    problem::{Code, Refusal, refusal},
};
use crate::{
    clock::wall,
    service::Service,
    storage::{
        StorageError,
        events::{Attempt, CloudEvent, LetterId, LogError, NotJson, Publish, TopicName, Which},
        refusals::{ClientChange, ClientFate, ClientLetter, Place},
    },
    sync::{self, Caller, Path, Problem, body},
    tenant::TenantScope,
};

pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/v1/dead", get(list))
        .route("/v1/dead/retry", post(retry))
        .route("/v1/dead/discard", post(discard))
        .route("/v1/dead/{letter}", get(show).put(edit))
}

/// A letter as it is told.
#[derive(Serialize)]
struct Told<'a> {
    id: String,
    client: String,
    seq: u64,
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    collection: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<&'a str>,
    since: u64,
    content_type: &'static str,
    edited: bool,
    retrying: bool,
    reason: Option<&'a str>,
    attempts: &'a [Attempt],
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'a RawValue>,
}

impl<'a> Told<'a> {
    fn of(letter: &'a ClientLetter) -> Self {
        // None in a list, where bodies are left out.
        let content = serde_json::from_str(&letter.body).ok();
        let (topic, document) = match &letter.place {
            Place::Topic(topic) => (Some(topic), None),
            Place::Document(doc) => (None, Some(doc)),
        };
        Self {
            id: letter.id.to_string(),
            client: letter.client.to_string(),
            seq: letter.seq.0,
            subject: &letter.subject,
            topic: topic.map(TopicName::as_str),
            collection: document.map(|doc| doc.collection.as_str()),
            document: document.map(|doc| doc.id.as_str()),
            since: letter.since.0,
            content_type: "application/json",
            edited: letter.edited,
            // It is judged at once.
            retrying: false,
            reason: letter.attempts.last().map(|attempt| attempt.error.as_str()),
            attempts: &letter.attempts,
            event: content.filter(|_| topic.is_some()),
            operation: content.filter(|_| topic.is_none()),
        }
    }
}

async fn list(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    Caller { scope, .. }: Caller,
) -> Result<Response, Refusal> {
    let Piece { after, most } = Piece::of(query.as_deref(), Code::BadClaim)?;
    let after = after.map_or(Ok(0), |text| letter_id(&text).map(|id| id.key))?;
    let dead = service.client_letters.client_letters(scope, Which::After(after, most), wall()).await?;
    let letters = &dead.letters;
    let next = letters.last().filter(|_| letters.len() == most).map(|letter| letter.id.to_string());
    let letters: Vec<Told<'_>> = letters.iter().map(Told::of).collect();
    Ok(sync::json(json!({ "letters": letters, "dropped": dead.dropped, "next": next }).to_string()))
}

async fn show(
    State(service): State<Arc<Service>>,
    Path(letter): Path<String>,
    Caller { scope, meter, .. }: Caller,
) -> Result<Response, Refusal> {
    let letter = letter_id(&letter)?;
    let room = meter.room(service.limits.operation_bytes).await.map_err(Problem::from)?;
    let dead = service.client_letters.client_letters(scope, Which::One(letter), wall()).await?;
    let told =
        dead.letters.first().map(|letter| serde_json::to_string(&Told::of(letter)).unwrap_or_default());
    let told = told.ok_or_else(|| Refusal::new(Code::NoSuchLetter, "no such dead letter"))?;
    Ok(room.held_by(sync::json(told)))
}

async fn edit(
    State(service): State<Arc<Service>>,
    Path(letter): Path<String>,
    Caller { scope, .. }: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    let letter = letter_id(&letter)?;
    let most = service.limits.operation_bytes;
    let text = body(request.into_body(), most).await.map_err(|error| match error.code {
        ErrorCode::FrameTooLarge => {
            Refusal::new(Code::EventTooLarge, format!("an operation or an event may have {most} bytes"))
        }
        _ => error.into(),
    })?;
    let text = text.trim();
    if Json::parse(text).is_err() {
        return Err(Refusal::new(Code::BadEvent, NotJson.to_string()));
    }
    Ok(answer(&change(&service, scope, ClientChange::Edit(letter, text.to_owned())).await?))
}

async fn discard(
    State(service): State<Arc<Service>>,
    Caller { scope, .. }: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    let letters = named(request).await?;
    Ok(answer(&change(&service, scope, ClientChange::Discard(letters)).await?))
}

async fn retry(
    State(service): State<Arc<Service>>,
    Caller { scope, .. }: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    let mut fates = Vec::new();
    for letter in named(request).await? {
        for (id, fate) in change(&service, scope.clone(), ClientChange::Retry(letter)).await? {
            match fate {
                // There is one event of a name however often it comes, so that what fails in between may be repeated.
                ClientFate::Publish(topic, event) => {
                    let answer = publish(&service, scope.clone(), topic, event).await?;
                    fates.extend(change(&service, scope.clone(), ClientChange::Settle(id, answer)).await?);
                }
                fate => fates.push((id, fate)),
            }
        }
    }
    Ok(answer(&fates))
}

/// Appends an event of a letter; or why it is refused for good.
async fn publish(
    service: &Service,
    scope: TenantScope,
    topic: TopicName,
    event: String,
) -> Result<Result<TopicPosition, Rejection>, LogError> {
    let refused = |code, message| Ok(Err(Rejection { code, message }));
    let event = match CloudEvent::new(event.into()) {
        Ok(event) => event,
        Err(no_event) => return refused(ErrorCode::BadEvent, no_event.to_string()),
    };
    let publish = Publish { topic, events: vec![event] };
    match service.events.publish(scope, vec![publish], wall()).await?.into_iter().flatten().next() {
        Some(Ok(positions)) => positions.first().map(|position| Ok(*position)).ok_or_else(unanswered),
        Some(Err(error @ LogError::Storage(_))) => Err(error),
        Some(Err(error)) => {
            let (code, message) = refusal(error);
            refused(ErrorCode::of(code), message)
        }
        None => Err(unanswered()),
    }
}

fn unanswered() -> LogError {
    StorageError::Unavailable("the log has not answered for an event".into()).into()
}

async fn change(
    service: &Service,
    scope: TenantScope,
    change: ClientChange,
) -> Result<Vec<(LetterId, ClientFate)>, LogError> {
    service.client_letters.change_client_letters(scope, change, wall()).await
}

fn answer(fates: &[(LetterId, ClientFate)]) -> Response {
    let fates: Vec<_> =
        fates.iter().map(|(letter, fate)| json!({ "id": letter.to_string(), "state": fate })).collect();
    sync::json(json!({ "letters": fates }).to_string())
}
