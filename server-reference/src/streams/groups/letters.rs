//! Dead letters, for those who administer a topic.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, Request, State},
    response::Response,
};
use bytes::Bytes;
use sdk_core::protocol::{ErrorCode, Json};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Piece, Shown, name, stir};
use crate::{
    clock::wall,
    service::Service,
    storage::events::{Attempt, Change, Form, Letter, LetterId, MAX_LETTERS, NotJson, Which},
    streams::{
        problem::{Code, Refusal},
        request,
    },
    sync::{self, Caller, Path, Problem, body_bytes},
    tenant::TenantScope,
};

#[derive(Serialize)]
struct Told<'a> {
    id: String,
    topic: &'a str,
    position: &'a str,
    at: u64,
    since: u64,
    content_type: &'a str,
    edited: bool,
    retrying: bool,
    reason: Option<&'a str>,
    attempts: &'a [Attempt],
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    event: Option<Shown<'a>>,
}

impl<'a> Told<'a> {
    fn of(letter: &'a Letter, whole: bool) -> Self {
        Self {
            id: letter.id.to_string(),
            topic: letter.topic.as_str(),
            position: &letter.position,
            at: letter.at.0,
            since: letter.since.0,
            content_type: letter.content_type.as_str(),
            edited: letter.edited,
            retrying: letter.retrying,
            reason: letter.attempts.last().map(|attempt| attempt.error.as_str()),
            attempts: &letter.attempts,
            event: whole.then(|| Shown::of(&letter.content_type, &letter.body)),
        }
    }
}

pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    Caller { scope, .. }: Caller,
) -> Result<Response, Refusal> {
    let group = name(&id)?;
    let Piece { after, most } = Piece::of(query.as_deref(), Code::BadClaim)?;
    let after = after.map_or(Ok(0), |text| letter_id(&text).map(|id| id.key))?;
    let letters = service.letters.letters(scope, group, Which::After(after, most), wall()).await?;
    let next = letters.last().filter(|_| letters.len() == most).map(|letter| letter.id.to_string());
    let letters: Vec<Told<'_>> = letters.iter().map(|letter| Told::of(letter, false)).collect();
    Ok(sync::json(json!({ "letters": letters, "next": next }).to_string()))
}

pub(super) async fn show(
    State(service): State<Arc<Service>>,
    Path((id, letter)): Path<(String, String)>,
    Caller { scope, meter, .. }: Caller,
) -> Result<Response, Refusal> {
    let (group, letter) = (name(&id)?, letter_id(&letter)?);
    let room = meter.room(service.streams.event_bytes).await.map_err(Problem::from)?;
    let found = service.letters.letters(scope, group, Which::One(letter), wall()).await?;
    let told = found.first().map(|letter| serde_json::to_string(&Told::of(letter, true)).unwrap_or_default());
    let told = told.ok_or_else(|| Refusal::new(Code::NoSuchLetter, "no such dead letter"))?;
    Ok(room.held_by(sync::json(told)))
}

pub(super) async fn edit(
    State(service): State<Arc<Service>>,
    Path((id, letter)): Path<(String, String)>,
    Caller { scope, .. }: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    let letter = letter_id(&letter)?;
    let missing = || Refusal::new(Code::BadHeader, "content-type is missing");
    let content_type = request::content_type(request.headers())?.ok_or_else(missing)?;
    let most = service.streams.event_bytes;
    let body = body_bytes(request.into_body(), most).await.map_err(|error| match error.code {
        ErrorCode::FrameTooLarge => {
            Refusal::new(Code::EventTooLarge, format!("an event may have {most} bytes"))
        }
        _ => error.into(),
    })?;
    let body = if content_type.form() == Form::Json {
        // One event, whatever it is: an array is none of many here.
        let text = std::str::from_utf8(&body).ok().map(str::trim);
        let text = text.filter(|text| Json::parse(*text).is_ok());
        let text = text.ok_or_else(|| Refusal::new(Code::BadEvent, NotJson.to_string()))?;
        Bytes::copy_from_slice(text.as_bytes())
    } else {
        body
    };
    change(&service, scope, &id, Change::Edit(letter, content_type, body)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    letters: Vec<String>,
}

pub(super) async fn retry(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Caller { scope, .. }: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    let letters = named(request).await?;
    change(&service, scope, &id, Change::Retry(letters)).await
}

pub(super) async fn discard(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Caller { scope, .. }: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    let letters = named(request).await?;
    change(&service, scope, &id, Change::Discard(letters)).await
}

/// The letters that a request names.
pub(in crate::streams) async fn named(request: Request) -> Result<Vec<LetterId>, Refusal> {
    let Named { letters } = request::json(request).await?;
    if letters.is_empty() || letters.len() > MAX_LETTERS {
        return Err(bad(format!("letters names 1 to {MAX_LETTERS}")));
    }
    letters.iter().map(|text| letter_id(text)).collect()
}

async fn change(
    service: &Service,
    scope: TenantScope,
    id: &str,
    change: Change,
) -> Result<Response, Refusal> {
    let group = name(id)?;
    let fates = service.letters.change_letters(scope.clone(), group.clone(), change, wall()).await?;
    stir(service, &scope, group);
    let fates: Vec<_> =
        fates.iter().map(|(letter, fate)| json!({ "id": letter.to_string(), "state": fate })).collect();
    Ok(sync::json(json!({ "letters": fates }).to_string()))
}

/// The letter of an id as lists have them.
pub(in crate::streams) fn letter_id(text: &str) -> Result<LetterId, Refusal> {
    text.parse().map_err(|()| bad("a dead letter's id is that of a list"))
}

fn bad(problem: impl Into<String>) -> Refusal {
    Refusal::new(Code::BadClaim, problem)
}
