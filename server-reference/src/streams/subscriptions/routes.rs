//! `/v1/streams/__ds/…`.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use sdk_core::{
    clock::Millis,
    protocol::{ErrorCode, ProtocolError},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    dispatch::streams,
    keys::Claim,
    record::{Delivery, MAX_LINKS, Setup, Subscription, Tails, Wake, is_pattern},
};
use crate::{
    access::Right,
    auth::AuthError,
    clock::wall,
    server::random_name,
    service::Service,
    storage::events::{LogError, Position, TopicName},
    streams::problem::{Code, Refusal},
    sync::{Problem, admit, authenticate, bearer, body},
    tenant::TenantScope,
};

/// Bytes of a body here.
const MAX_BODY: usize = 64 * 1024;
/// Milliseconds of a lease.
const LEASES: std::ops::RangeInclusive<u64> = 1_000..=600_000;
/// How long a receiver of webhooks may remember the keys.
const KEYS_AGE: HeaderValue = HeaderValue::from_static("public, max-age=300");

pub(crate) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/v1/streams/__ds/jwks.json", get(keys))
        .route("/v1/streams/__ds/subscriptions/{id}", put(make).get(show).delete(remove))
        .route("/v1/streams/__ds/subscriptions/{id}/streams", post(link))
        .route("/v1/streams/__ds/subscriptions/{id}/streams/{*topic}", delete(unlink))
        .route("/v1/streams/__ds/subscriptions/{id}/claim", post(claim))
        .route("/v1/streams/__ds/subscriptions/{id}/callback", post(ack))
        .route("/v1/streams/__ds/subscriptions/{id}/ack", post(ack))
        .route("/v1/streams/__ds/subscriptions/{id}/release", post(release))
}

async fn keys(State(service): State<Arc<Service>>) -> Response {
    let keys = &service.subscriptions.keys;
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "kid": keys.kid(), "use": "sig", "alg": "EdDSA", "x": keys.public() });
    let mut response = json!({ "keys": [key] }).to_string().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
    response.headers_mut().insert(header::CACHE_CONTROL, KEYS_AGE);
    response
}

async fn make(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let _permit = admit(&service)?;
    let scope = authenticate(&service, request.headers())?;
    let setup = checked(&service, &scope, &id, read(request).await?)?;
    let now = wall();
    let subscriptions = &service.subscriptions;
    loop {
        if let Some((there, _)) = subscriptions.load(scope.tenant(), &id).await? {
            if !there.open_to(&scope) || there.setup != setup {
                return Err(Refusal::new(
                    Code::SubscriptionExists,
                    "there is another subscription of that id",
                ));
            }
            return Ok(shown(&service, &scope, StatusCode::OK, &id, &there, now).await?);
        }
        let new = Subscription::new(setup.clone(), &scope, now);
        if let Some(made) = subscriptions.add(scope.tenant(), &id, new, now).await? {
            return Ok(shown(&service, &scope, StatusCode::CREATED, &id, &made, now).await?);
        }
    }
}

async fn show(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let _permit = admit(&service)?;
    let scope = authenticate(&service, &headers)?;
    let (subscription, _) = open(&service, &scope, &id).await?;
    Ok(shown(&service, &scope, StatusCode::OK, &id, &subscription, wall()).await?)
}

async fn remove(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let _permit = admit(&service)?;
    let scope = authenticate(&service, &headers)?;
    open(&service, &scope, &id).await?;
    service.subscriptions.store.forget(scope.tenant().clone(), id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
struct Links {
    streams: Vec<String>,
}

async fn link(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let _permit = admit(&service)?;
    let scope = authenticate(&service, request.headers())?;
    let Links { streams } = read(request).await?;
    topics(&scope, &streams)?;
    loop {
        let (mut subscription, version) = open(&service, &scope, &id).await?;
        for topic in &streams {
            if !service.subscriptions.link(scope.tenant(), &mut subscription, topic, wall()).await? {
                return Err(Refusal::new(
                    Code::BadSubscription,
                    format!("a subscription has {MAX_LINKS} topics"),
                ));
            }
        }
        if service.subscriptions.save(scope.tenant(), &id, &subscription, version).await? {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
    }
}

async fn unlink(
    State(service): State<Arc<Service>>,
    Path((id, topic)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let _permit = admit(&service)?;
    let scope = authenticate(&service, &headers)?;
    loop {
        let (mut subscription, version) = open(&service, &scope, &id).await?;
        subscription.unlink(&topic);
        if service.subscriptions.save(scope.tenant(), &id, &subscription, version).await? {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
    }
}

#[derive(Deserialize)]
struct Claiming {
    worker: String,
}

async fn claim(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let _permit = admit(&service)?;
    let scope = authenticate(&service, request.headers())?;
    let Claiming { worker } = read(request).await?;
    if worker.is_empty() || worker.len() > 256 {
        return Err(Refusal::new(Code::BadSubscription, "a worker's name has 1 to 256 bytes"));
    }
    let tenant = scope.tenant();
    loop {
        let now = wall();
        let (mut subscription, version) = open(&service, &scope, &id).await?;
        if subscription.setup.delivery != Delivery::PullWake {
            return Err(Refusal::new(Code::BadSubscription, "this subscription calls its workers"));
        }
        subscription.lapse(now);
        let tails = service.subscriptions.tails(tenant, &subscription, now).await?;
        if let Some(Wake { holder: Some(holder), .. }) = &subscription.wake {
            let more = json!({ "current_holder": holder, "generation": subscription.generation });
            return Ok(conflict(Code::AlreadyClaimed, "ALREADY_CLAIMED", "another worker has it", more));
        }
        // Whoever comes before the work was announced finds it all the same.
        subscription.announce(random_name, &tails, now);
        let Some(wake) = &mut subscription.wake else {
            return Ok(conflict(Code::NoWork, "NO_PENDING_WORK", "there is nothing to do", json!({})));
        };
        wake.holder = Some(worker.clone());
        let wake_id = wake.id.clone();
        subscription.extend(now);
        if service.subscriptions.save(tenant, &id, &subscription, version).await? {
            return Ok(answer(&json!({
                "wake_id": wake_id,
                "generation": subscription.generation,
                "token": service.subscriptions.token(tenant, &id, subscription.generation, now),
                "streams": streams(&subscription, &tails),
                "lease_ttl_ms": subscription.setup.lease_ttl_ms,
            })));
        }
    }
}

#[derive(Deserialize)]
struct Acking {
    wake_id: String,
    generation: u64,
    #[serde(default)]
    acks: Vec<Ack>,
    #[serde(default)]
    done: bool,
}

#[derive(Deserialize)]
struct Ack {
    stream: String,
    offset: String,
}

async fn ack(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let _permit = admit(&service)?;
    let claim = claimed(&service, request.headers(), &id)?;
    let acking: Acking = read(request).await?;
    let tenant: Arc<str> = claim.tenant.as_str().into();
    loop {
        let now = wall();
        let Some((mut subscription, version)) =
            held(&service, &claim, &acking.wake_id, acking.generation, now).await?
        else {
            return Ok(fenced());
        };
        let tails = service.subscriptions.tails(&tenant, &subscription, now).await?;
        for Ack { stream, offset } in &acking.acks {
            let position: Position = offset
                .parse()
                .map_err(|_| Refusal::new(Code::BadPosition, "an ack has an offset of its topic"))?;
            if !subscription.ack(stream, position, &tails) {
                return Err(Refusal::new(
                    Code::BadPosition,
                    "an ack has an offset of a topic of the subscription",
                ));
            }
        }
        let next = acking.done && subscription.has_work(&tails);
        if acking.done {
            subscription.finish();
        } else {
            subscription.extend(now);
        }
        if service.subscriptions.save(&tenant, &id, &subscription, version).await? {
            if next {
                service.subscriptions.look(&tenant, &id, None).await;
            }
            return Ok(answer(&json!({ "ok": true, "next_wake": next })));
        }
    }
}

#[derive(Deserialize)]
struct Releasing {
    wake_id: String,
    generation: u64,
}

async fn release(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let _permit = admit(&service)?;
    let claim = claimed(&service, request.headers(), &id)?;
    let Releasing { wake_id, generation } = read(request).await?;
    let tenant: Arc<str> = claim.tenant.as_str().into();
    loop {
        let Some((mut subscription, version)) = held(&service, &claim, &wake_id, generation, wall()).await?
        else {
            return Ok(fenced());
        };
        subscription.finish();
        if service.subscriptions.save(&tenant, &id, &subscription, version).await? {
            service.subscriptions.look(&tenant, &id, None).await;
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
    }
}

/// The subscription that a worker holds the lease of; none if it is over.
async fn held(
    service: &Service,
    claim: &Claim,
    wake: &str,
    generation: u64,
    now: Millis,
) -> Result<Option<(Subscription, u64)>, LogError> {
    let loaded = service.subscriptions.load(&claim.tenant.as_str().into(), &claim.id).await?;
    Ok(loaded.and_then(|(mut subscription, version)| {
        subscription.lapse(now);
        let holds = claim.generation == generation && subscription.holds(wake, generation);
        holds.then_some((subscription, version))
    }))
}

/// What the token of a worker is for.
fn claimed(service: &Service, headers: &HeaderMap, id: &str) -> Result<Claim, Refusal> {
    let refused = || Problem::from(AuthError::Malformed("no token of this subscription".into()));
    let token = bearer(headers)?;
    let claim = service.subscriptions.keys.claim(token, wall()).ok_or_else(refused)?;
    if claim.id == id { Ok(claim) } else { Err(refused().into()) }
}

/// A subscription that the scope may look at.
async fn open(service: &Service, scope: &TenantScope, id: &str) -> Result<(Subscription, u64), Refusal> {
    let found = service.subscriptions.load(scope.tenant(), id).await?;
    let absent = || Refusal::new(Code::NoSuchSubscription, "no such subscription");
    found.filter(|(subscription, _)| subscription.open_to(scope)).ok_or_else(absent)
}

/// A setup that can be meant and that the scope may have, in its one form.
fn checked(service: &Service, scope: &TenantScope, id: &str, setup: Setup) -> Result<Setup, Refusal> {
    let bad = |problem: &str| Refusal::new(Code::BadSubscription, problem);
    let mut setup = setup;
    if id.contains('/') || id.len() > 128 || TopicName::new(id).is_err() {
        return Err(bad("an id has 1 to 128 bytes of what names of topics have, without /"));
    }
    setup.streams.sort_unstable();
    setup.streams.dedup();
    if setup.pattern.is_none() && setup.streams.is_empty() {
        return Err(bad("a subscription has a pattern or streams"));
    }
    if setup.pattern.as_deref().is_some_and(|pattern| !is_pattern(pattern)) {
        return Err(bad("a pattern has whole segments, * for one and ** for any number"));
    }
    topics(scope, &setup.streams)?;
    if !LEASES.contains(&setup.lease_ttl_ms) {
        return Err(bad("a lease lasts 1 second to 10 minutes"));
    }
    if setup.description.as_ref().is_some_and(|text| text.len() > 1_024) {
        return Err(bad("a description has at most 1024 bytes"));
    }
    match (setup.delivery, &setup.webhook, &setup.wake_stream) {
        (Delivery::Webhook, Some(webhook), None) => {
            if !service.subscriptions.caller.may_call(&webhook.url) {
                return Err(Refusal::new(Code::WebhookRejected, "that address may not be called"));
            }
        }
        (Delivery::PullWake, None, Some(stream)) => {
            let stream = TopicName::new(stream).map_err(|invalid| bad(&invalid.to_string()))?;
            if !scope.access().topic(stream.as_str(), Right::Write) {
                return Err(Refusal::new(Code::NotAllowed, "not allowed to this subject"));
            }
        }
        _ => {
            return Err(bad(
                "a webhook has webhook.url, a pull-wake has wake_stream, and neither has the other's",
            ));
        }
    }
    Ok(setup)
}

/// Whether these are topics that the scope may read, and not too many.
fn topics(scope: &TenantScope, names: &[String]) -> Result<(), Refusal> {
    if names.len() > MAX_LINKS {
        return Err(Refusal::new(Code::BadSubscription, format!("a subscription has {MAX_LINKS} topics")));
    }
    for name in names {
        let topic = TopicName::new(name).map_err(|bad| Refusal::new(Code::BadTopic, bad.to_string()))?;
        if !scope.access().topic(topic.as_str(), Right::Read) {
            return Err(LogError::NoSuchTopic.into());
        }
    }
    Ok(())
}

async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Refusal> {
    let text = body(request.into_body(), MAX_BODY).await?;
    let malformed = |error: serde_json::Error| ProtocolError::new(ErrorCode::Malformed, error.to_string());
    Ok(serde_json::from_str(&text).map_err(malformed)?)
}

async fn shown(
    service: &Service,
    scope: &TenantScope,
    status: StatusCode,
    id: &str,
    subscription: &Subscription,
    now: Millis,
) -> Result<Response, LogError> {
    let subscriptions = &service.subscriptions;
    let tails: Tails = subscriptions.tails(scope.tenant(), subscription, now).await?;
    let signing = json!({
        "alg": "ed25519",
        "kid": subscriptions.keys.kid(),
        "jwks_url": format!("{}/__ds/jwks.json", subscriptions.public),
    });
    let setup = &subscription.setup;
    let webhook = setup.webhook.as_ref().map(|webhook| json!({ "url": webhook.url, "signing": signing }));
    let mut response = answer(&json!({
        "id": id,
        "subscription_id": id,
        "type": setup.delivery,
        "pattern": setup.pattern,
        "streams": streams(subscription, &tails),
        "webhook": webhook,
        "wake_stream": setup.wake_stream,
        "lease_ttl_ms": setup.lease_ttl_ms,
        "created_at": subscription.created,
        "status": if subscription.failures > 0 { "failed" } else { "active" },
        "description": setup.description,
    }));
    *response.status_mut() = status;
    Ok(response)
}

fn answer(value: &Value) -> Response {
    let mut response = value.to_string().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn fenced() -> Response {
    conflict(Code::Fenced, "FENCED", "the lease is over", json!({}))
}

/// A problem document that has its code as the protocol wants it, too.
pub(in crate::streams) fn conflict(code: Code, word: &str, detail: &str, more: Value) -> Response {
    let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::CONFLICT);
    let mut error = more;
    error["code"] = word.into();
    let mut response = answer(&json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "code": code.as_str(),
        "detail": detail,
        "error": error,
    }));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}
