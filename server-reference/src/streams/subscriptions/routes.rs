//! `/v1/streams/__ds/…`.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use sdk_core::clock::Millis;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Subscriptions,
    dispatch::streams,
    keys::Claim,
    record::{Delivery, MAX_LINKS, Setup, Subscription, Tails, Wake, is_pattern},
};
use crate::{
    access::Right,
    auth::AuthError,
    clock::wall,
    limits::{Meter, Metered},
    random,
    service::Service,
    storage::events::{LEASES, LogError, Position, TopicName},
    streams::{
        problem::{Code, Refusal},
        request::json as read,
    },
    sync::{self, Caller, Path, Problem, admit, bearer},
    tenant::TenantScope,
};

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
    Caller { scope, .. }: Caller,
    request: Request,
) -> Result<Response, Refusal> {
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
    Caller { scope, .. }: Caller,
) -> Result<Response, Refusal> {
    let subscription = open(&service, &scope, &id).await?;
    Ok(shown(&service, &scope, StatusCode::OK, &id, &subscription, wall()).await?)
}

async fn remove(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Caller { scope, .. }: Caller,
) -> Result<Response, Refusal> {
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
    Caller { scope, .. }: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    let Links { streams } = read(request).await?;
    topics(&scope, &streams)?;
    let (subscriptions, tenant, streams) = (&service.subscriptions, scope.tenant(), &streams);
    change(&service, &scope, &id, move |mut subscription| async move {
        for topic in streams {
            if !subscriptions.link(tenant, &mut subscription, topic, wall()).await? {
                let problem = format!("a subscription has {MAX_LINKS} topics");
                return Err(Refusal::new(Code::BadSubscription, problem));
            }
        }
        Ok((subscription, ()))
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn unlink(
    State(service): State<Arc<Service>>,
    Path((id, topic)): Path<(String, String)>,
    Caller { scope, .. }: Caller,
) -> Result<Response, Refusal> {
    let topic = &topic;
    change(&service, &scope, &id, move |mut subscription| async move {
        subscription.unlink(topic);
        Ok((subscription, ()))
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
struct Claiming {
    worker: String,
}

async fn claim(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Caller { scope, .. }: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    let Claiming { worker } = read(request).await?;
    if worker.is_empty() || worker.len() > 256 {
        return Err(Refusal::new(Code::BadSubscription, "a worker's name has 1 to 256 bytes"));
    }
    let (subscriptions, tenant, id, worker) = (&service.subscriptions, scope.tenant(), &id, &worker);
    let claimed = change(&service, &scope, id, move |mut subscription| async move {
        let now = wall();
        if subscription.setup.delivery != Delivery::PullWake {
            return Err(Refusal::new(Code::BadSubscription, "this subscription calls its workers"));
        }
        subscription.lapse(now);
        let generation = subscription.generation;
        if let Some(Wake { holder: Some(holder), .. }) = &subscription.wake {
            let more = json!({ "current_holder": holder, "generation": generation });
            return Err(Refusal::new(Code::AlreadyClaimed, "another worker has it").in_capitals(more));
        }
        let mut tails = subscriptions.tails(tenant, &subscription, now).await?;
        // Whoever comes before the work was announced finds it all the same, also in a topic that was just made.
        if !subscription.has_work(&tails) {
            subscriptions.discover(tenant, &mut subscription).await?;
            tails = subscriptions.tails(tenant, &subscription, now).await?;
        }
        // Whoever has come need not be reached: that nobody could be tells nothing of the work.
        subscription.next_attempt = None;
        subscription.announce(random::name, &tails, now);
        let Some(wake) = &mut subscription.wake else {
            return Err(Refusal::new(Code::NoWork, "there is nothing to do").in_capitals(json!({})));
        };
        wake.holder = Some(worker.clone());
        let wake_id = wake.id.clone();
        subscription.extend(now);
        let claimed = json!({
            "wake_id": wake_id,
            "generation": subscription.generation,
            "token": subscriptions.token(tenant, id, subscription.generation, now),
            "streams": streams(&subscription, &tails),
            "lease_ttl_ms": subscription.setup.lease_ttl_ms,
        });
        Ok((subscription, claimed))
    });
    Ok(answer(&claimed.await?))
}

#[derive(Deserialize)]
struct Acking {
    #[serde(flatten)]
    lease: Lease,
    #[serde(default)]
    acks: Vec<Ack>,
    #[serde(default)]
    done: bool,
}

/// Which work a worker says that it holds.
#[derive(Deserialize)]
struct Lease {
    wake_id: String,
    generation: u64,
}

#[derive(Deserialize)]
struct Ack {
    stream: String,
    offset: String,
}

async fn ack(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Metered(meter): Metered,
    request: Request,
) -> Result<Response, Refusal> {
    let place = admit(&service, &meter).map_err(Problem::from)?;
    let claim = claimed(&service, &meter, request.headers(), &id)?;
    let _place = place.known(&meter).map_err(Problem::from)?;
    let Acking { lease, acks, done } = read(request).await?;
    let (subscriptions, acks) = (&*service.subscriptions, &acks);
    let tenant = &claim.tenant();
    let next = work(subscriptions, &claim, &lease, move |mut subscription, now| async move {
        let tails = subscriptions.tails(tenant, &subscription, now).await?;
        for Ack { stream, offset } in acks {
            let position: Position = offset
                .parse()
                .map_err(|_| Refusal::new(Code::BadPosition, "an ack has an offset of its topic"))?;
            if !subscription.ack(stream, position, &tails) {
                let problem = "an ack has an offset of a topic of the subscription";
                return Err(Refusal::new(Code::BadPosition, problem));
            }
        }
        if !done {
            subscription.extend(now);
            return Ok((subscription, false));
        }
        subscription.finish();
        let next = subscription.has_work(&tails);
        Ok((subscription, next))
    })
    .await?;
    if next {
        service.subscriptions.look(tenant, &id, None).await;
    }
    Ok(answer(&json!({ "ok": true, "next_wake": next })))
}

async fn release(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Metered(meter): Metered,
    request: Request,
) -> Result<Response, Refusal> {
    let place = admit(&service, &meter).map_err(Problem::from)?;
    let claim = claimed(&service, &meter, request.headers(), &id)?;
    let _place = place.known(&meter).map_err(Problem::from)?;
    let lease: Lease = read(request).await?;
    work(&service.subscriptions, &claim, &lease, |mut subscription, _| async {
        subscription.finish();
        Ok((subscription, ()))
    })
    .await?;
    service.subscriptions.look(&claim.tenant(), &id, None).await;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Changes a subscription for the worker that holds its lease.
async fn work<T, F: Future<Output = Result<(Subscription, T), Refusal>>>(
    subscriptions: &Subscriptions,
    claim: &Claim,
    lease: &Lease,
    change: impl Fn(Subscription, Millis) -> F,
) -> Result<T, Refusal> {
    let fenced = || Refusal::new(Code::Fenced, "the lease is over").in_capitals(json!({}));
    let (Lease { wake_id, generation }, change) = (lease, &change);
    let tenant = claim.tenant();
    let changed = subscriptions.change(&tenant, &claim.id, move |mut subscription| async move {
        let now = wall();
        subscription.lapse(now);
        if claim.generation != *generation || !subscription.holds(wake_id, *generation) {
            return Err(fenced());
        }
        change(subscription, now).await
    });
    changed.await?.ok_or_else(fenced)
}

/// What the token of a worker is for. Its subscription is charged as a user of the tenant.
fn claimed(service: &Service, meter: &Meter, headers: &HeaderMap, id: &str) -> Result<Claim, Refusal> {
    let refused = || {
        let error = AuthError::Malformed("no token of this subscription".into());
        service.token_refused(meter, &error);
        Problem::from(error)
    };
    let token = bearer(headers)?;
    let claim = service.subscriptions.keys.claim(token, wall()).ok_or_else(refused)?;
    if claim.id != id {
        return Err(refused().into());
    }
    // No subject has a control character in its name.
    let worker = format!("\0{id}").into();
    meter.identify_as(&claim.tenant(), &worker, service.now()).map_err(Problem::from)?;
    Ok(claim)
}

/// Changes a subscription that the scope may look at.
async fn change<T, F: Future<Output = Result<(Subscription, T), Refusal>>>(
    service: &Service,
    scope: &TenantScope,
    id: &str,
    change: impl Fn(Subscription) -> F,
) -> Result<T, Refusal> {
    let change = &change;
    let changed = service.subscriptions.change(scope.tenant(), id, move |subscription| async move {
        if subscription.open_to(scope) { change(subscription).await } else { Err(absent()) }
    });
    changed.await?.ok_or_else(absent)
}

/// A subscription that the scope may look at.
async fn open(service: &Service, scope: &TenantScope, id: &str) -> Result<Subscription, Refusal> {
    let found = service.subscriptions.load(scope.tenant(), id).await?.map(|(subscription, _)| subscription);
    found.filter(|subscription| subscription.open_to(scope)).ok_or_else(absent)
}

fn absent() -> Refusal {
    Refusal::new(Code::NoSuchSubscription, "no such subscription")
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
                let refusal = Refusal::new(Code::WebhookRejected, "that address may not be called");
                return Err(refusal.in_capitals(json!({})));
            }
        }
        (Delivery::PullWake, None, Some(stream)) => {
            let stream = TopicName::new(stream).map_err(|invalid| bad(&invalid.to_string()))?;
            if !scope.topic(stream.as_str(), Right::Write) {
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
        if !scope.topic(topic.as_str(), Right::Read) {
            return Err(LogError::NoSuchTopic.into());
        }
    }
    Ok(())
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
    sync::json(value.to_string())
}
