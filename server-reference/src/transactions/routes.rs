//! `/v1/transactions/{name}`: POST has a transaction done, GET asks a question.

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    extract::{RawQuery, Request, State},
    http::{HeaderName, HeaderValue},
    response::Response,
    routing::post,
};
use sdk_core::protocol::{ErrorCode, Json, JsonError, ProtocolError, TransactionName};
use serde_json::{Map, Value};

use super::{
    Figures, Kind, key,
    problem::{Code, No},
};
use crate::{
    clock::wall,
    service::Service,
    storage::transactions::{Ask, Ran, Run, Verdict},
    sync::{self, Caller, Path, body},
};

/// Tells a repetition's answer from that of a first call.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What a page of another origin may send.
pub(crate) const SENT: [HeaderName; 1] = [key::HEADER];
/// What a page of another origin may see.
pub(crate) const TOLD: [HeaderName; 2] = [key::HEADER, REPLAYED];

pub(crate) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/v1/transactions/{name}", post(run).get(ask))
}

async fn run(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
    Caller { scope, .. }: Caller,
    request: Request,
) -> Result<Response, No> {
    let (name, kind) = known(&service, &scope, &name)?;
    let Kind::Transaction(handler) = kind else { return Err(unknown()) };
    let key = key::of(request.headers()).map_err(|why| No::Coded(Code::BadKey, why))?;
    let body = json(&body(request.into_body(), service.transactions.config.body_bytes).await?)?;
    let figures = &service.transactions.figures;
    let field = HeaderValue::try_from(key.to_field());
    let run = Run { name, key, body, handler: handler.clone() };
    let began = Instant::now();
    let ran = service.transactions.store.run(scope, run, wall()).await;
    let (outcome, count) = match &ran {
        Err(_) => ("not_run", &figures.not_run),
        Ok(Ran { replayed: true, .. }) => ("replayed", &figures.replayed),
        Ok(Ran { verdict: Verdict::Done(_), .. }) => ("done", &figures.done),
        Ok(Ran { verdict: Verdict::Refused(_), .. }) => ("refused", &figures.refused),
    };
    Figures::add(count, 1);
    service.metrics.transacted(outcome, began.elapsed());
    let Ran { verdict, replayed } = ran?;
    let mut response = answer(verdict).unwrap_or_else(axum::response::IntoResponse::into_response);
    // So that nobody takes what something in between answers for a decision.
    if let Ok(field) = field {
        response.headers_mut().insert(key::HEADER, field);
    }
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

async fn ask(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    Caller { scope, .. }: Caller,
) -> Result<Response, No> {
    let (_, kind) = known(&service, &scope, &name)?;
    let Kind::Query(query_handler) = kind else { return Err(unknown()) };
    let parameters = parameters(query.as_deref().unwrap_or_default())?;
    let ask = Ask { parameters, query: query_handler.clone() };
    answer(service.transactions.store.ask(scope, ask, wall()).await?)
}

/// What a name stands for. One that the subject was not given looks like one that is not there.
fn known<'a>(
    service: &'a Service,
    scope: &crate::tenant::TenantScope,
    name: &str,
) -> Result<(TransactionName, &'a Kind), No> {
    let name = TransactionName::new(name).map_err(|_| unknown())?;
    let kind = service.transactions.config.handlers.of(&name).filter(|_| scope.access().transaction(&name));
    kind.map(|kind| (name, kind)).ok_or_else(unknown)
}

/// Also where a name is of the other kind.
fn unknown() -> No {
    No::Coded(Code::NoSuchTransaction, "no such transaction".to_owned())
}

fn json(text: &str) -> Result<Json, No> {
    Json::parse(text).map_err(|bad| {
        let code = if bad == JsonError::TooDeep { ErrorCode::TooDeep } else { ErrorCode::Malformed };
        ProtocolError::new(code, bad.to_string()).into()
    })
}

/// The parameters of a question as an object of texts.
fn parameters(query: &str) -> Result<Json, No> {
    let mut parameters = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        parameters.insert(name.into_owned(), Value::String(value.into_owned()));
    }
    json(&Value::Object(parameters).to_string())
}

fn answer(verdict: Verdict) -> Result<Response, No> {
    match verdict {
        Verdict::Done(answer) => Ok(sync::json(answer.into())),
        Verdict::Refused(refusal) => Err(No::Refused(refusal)),
    }
}
