//! `/v1/groups/{group}`: workers that share the events of a topic.

mod claim;
mod letters;

pub(super) use letters::{letter_id, named};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::sync::Arc;

use axum::{
    Router,
    extract::{RawQuery, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Value, json, value::RawValue};

use super::{
    problem::{Code, Refusal},
    request,
};
use crate::{
    clock::wall,
    service::Service,
    storage::events::{
        ContentType, Form, GroupName, GroupState, NewGroup, Redelivery, Rules, Start, Stirred,
    },
    sync::{self, Caller, Path},
    tenant::TenantScope,
};

/// Entries of one piece of a list, where nothing else was said.
const PAGE: usize = 100;
/// Entries of one piece of a list at most.
const MAX_PAGE: usize = 1_000;

pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/v1/groups", get(list))
        .route("/v1/groups/{group}", put(make).get(show).delete(remove))
        .route("/v1/groups/{group}/claim", post(claim::claim))
        .route("/v1/groups/{group}/ack", post(claim::ack))
        .route("/v1/groups/{group}/nack", post(claim::nack))
        .route("/v1/groups/{group}/extend", post(claim::extend))
        .route("/v1/groups/{group}/dead", get(letters::list))
        .route("/v1/groups/{group}/dead/retry", post(letters::retry))
        .route("/v1/groups/{group}/dead/discard", post(letters::discard))
        .route("/v1/groups/{group}/dead/{letter}", get(letters::show).put(letters::edit))
}

/// What a group is made with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Setup {
    topic: String,
    #[serde(default)]
    start: Begin,
    #[serde(default)]
    rules: Said,
}

/// Rules as somebody says them: what is not said of failures is the topic's to say.
#[derive(Default)]
struct Said {
    rules: Rules,
    redelivery: Redelivery,
}

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let rules: Rules = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
        let redelivery = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
        // Those are said apart.
        let Rules { attempts, backoff_ms, backoff_max_ms, poison, .. } = Rules::default();
        Ok(Self { rules: Rules { attempts, backoff_ms, backoff_max_ms, poison, ..rules }, redelivery })
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Begin {
    #[default]
    Earliest,
    Latest,
    Position(String),
    Time(Moment),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Moment {
    Millis(u64),
    Text(String),
}

impl Setup {
    fn checked(self) -> Result<NewGroup, Refusal> {
        let bad = |problem: &str| Refusal::new(Code::BadGroup, problem);
        let start = match self.start {
            Begin::Earliest => Start::Earliest,
            Begin::Latest => Start::Latest,
            Begin::Position(text) => Start::After(request::position(&text)?),
            Begin::Time(moment) => {
                let text = match moment {
                    Moment::Millis(millis) => millis.to_string(),
                    Moment::Text(text) => text,
                };
                let time = request::time(&text);
                Start::Since(time.ok_or_else(|| bad("a time is of RFC 3339 or in milliseconds"))?)
            }
        };
        Ok(NewGroup {
            topic: request::topic(&self.topic)?,
            start,
            rules: self.rules.rules,
            redelivery: self.rules.redelivery,
        })
    }
}

async fn make(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Caller { scope, .. }: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    let name = name(&id)?;
    let new = request::json::<Setup>(request).await?.checked()?;
    let (fresh, state) = service.groups.make_group(scope, name, new, wall()).await?;
    let mut response = sync::json(shown(&id, &state).to_string());
    *response.status_mut() = if fresh { StatusCode::CREATED } else { StatusCode::OK };
    Ok(response)
}

async fn show(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Caller { scope, .. }: Caller,
) -> Result<Response, Refusal> {
    let state = service.groups.group(scope, name(&id)?, wall()).await?;
    Ok(sync::json(shown(&id, &state).to_string()))
}

async fn list(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    Caller { scope, .. }: Caller,
) -> Result<Response, Refusal> {
    let Piece { after, most } = Piece::of(query.as_deref(), Code::BadGroup)?;
    let behind = after.map(|text| name(&text)).transpose()?;
    let groups = service.groups.groups(scope, behind, most, wall()).await?;
    let next = groups.last().filter(|_| groups.len() == most).map(|(name, _)| name.as_str());
    let damaged = |name: &GroupName| json!({ "group": name.as_str(), "damaged": true });
    let show = |(name, state): &(GroupName, Option<GroupState>)| match state {
        Some(state) => shown(name.as_str(), state),
        None => damaged(name),
    };
    let groups: Vec<_> = groups.iter().map(show).collect();
    Ok(sync::json(json!({ "groups": groups, "next": next }).to_string()))
}

async fn remove(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Caller { scope, .. }: Caller,
) -> Result<Response, Refusal> {
    let name = name(&id)?;
    service.groups.remove_group(scope.clone(), name.clone(), wall()).await?;
    stir(&service, &scope, name);
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn shown(id: &str, state: &GroupState) -> Value {
    json!({
        "group": id,
        "topic": state.topic.as_str(),
        "rules": state.rules,
        "cursor": state.cursor.to_string(),
        "tail": state.tail.to_string(),
        "outstanding": state.outstanding,
        "leased": state.leased,
        "halted": state.halted,
        "lost": state.lost,
        "skipped": state.skipped,
        "dead_letters": state.letters,
    })
}

/// Which piece of a list is asked for.
pub(super) struct Piece {
    pub(super) after: Option<String>,
    pub(super) most: usize,
}

impl Piece {
    /// # Errors
    /// A limit that is none, under a code.
    pub(super) fn of(query: Option<&str>, code: Code) -> Result<Self, Refusal> {
        let mut piece = Self { after: None, most: PAGE };
        for part in query.unwrap_or_default().split('&') {
            match part.split_once('=').unwrap_or((part, "")) {
                ("after", text) => piece.after = Some(text.to_owned()),
                ("limit", text) => {
                    let limit = text.parse().ok().filter(|limit| (1..=MAX_PAGE).contains(limit));
                    piece.most =
                        limit.ok_or_else(|| Refusal::new(code, format!("limit is 1 to {MAX_PAGE}")))?;
                }
                _ => {}
            }
        }
        Ok(piece)
    }
}

fn name(text: &str) -> Result<GroupName, Refusal> {
    GroupName::new(text).map_err(|invalid| Refusal::new(Code::BadGroup, invalid.to_string()))
}

/// Has the workers that wait for a group look again.
fn stir(service: &Service, scope: &TenantScope, group: GroupName) {
    service.stirred.publish(&Arc::new(Stirred { tenant: scope.tenant().clone(), group }));
}

/// An event as it is shown in JSON: as it is, or in base64 where it is not JSON itself.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Shown<'a> {
    Event(&'a RawValue),
    Base64(String),
}

impl<'a> Shown<'a> {
    fn of(content_type: &ContentType, body: &'a [u8]) -> Self {
        let json = if content_type.form() == Form::Json { serde_json::from_slice(body).ok() } else { None };
        json.map_or_else(|| Self::Base64(STANDARD.encode(body)), Self::Event)
    }
}
