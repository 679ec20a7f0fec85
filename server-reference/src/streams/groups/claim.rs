//! Taking events out and saying what became of them.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::HeaderMap,
    response::Response,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::{Shown, name, stir};
use crate::{
    clock::wall,
    limits::{Meter, Metered, Room},
    random,
    service::Service,
    storage::events::{
        Claim, Claimed, GroupName, MAX_BACKOFF, MAX_CLAIM, MAX_WORDS, Position, Settle, Verdict,
    },
    streams::{
        live,
        problem::{Code, Refusal},
        request,
    },
    sync::{self, Caller, Path, Problem, authenticate},
    tenant::TenantScope,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claiming {
    worker: String,
    #[serde(default)]
    events: Option<usize>,
    #[serde(default)]
    bytes: Option<usize>,
    #[serde(default)]
    wait_ms: Option<u64>,
}

pub(super) async fn claim(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Metered(meter): Metered,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Refusal> {
    let scope = authenticate(&service, &meter, &headers).await?;
    let _place = live::admit(&service, &meter)?;
    let group = name(&id)?;
    let claiming: Claiming = request::json(request).await?;
    let most = service.streams.read_bytes;
    if claiming.worker.is_empty() || claiming.worker.len() > MAX_WORDS {
        return Err(bad(format!("a worker's name has 1 to {MAX_WORDS} bytes")));
    }
    if claiming.events.is_some_and(|events| !(1..=MAX_CLAIM).contains(&events)) {
        return Err(bad(format!("events is 1 to {MAX_CLAIM}")));
    }
    let wait = claiming.wait_ms.map_or(service.streams.long_poll, Duration::from_millis);
    let deadline = Instant::now() + wait.min(service.streams.long_poll);
    let asked = Asked {
        service: &service,
        meter: &meter,
        scope: &scope,
        group: &group,
        worker: &claiming.worker,
        events: claiming.events.unwrap_or(1),
        bytes: claiming.bytes.unwrap_or(most).min(most),
    };
    let (mut claimed, mut room) = asked.claim().await?;
    if claimed.lease.is_none() && !wait.is_zero() {
        drop(room);
        (claimed, room) = tokio::select! {
            biased;
            error = service.verifier.withdrawn(&scope) => return Err(Problem::from(error).into()),
            claimed = asked.wait(deadline) => claimed?,
        };
    }
    Ok(room.held_by(answer(&claimed)))
}

/// Who asks for how much.
struct Asked<'a> {
    service: &'a Service,
    meter: &'a Arc<Meter>,
    scope: &'a TenantScope,
    group: &'a GroupName,
    worker: &'a str,
    events: usize,
    bytes: usize,
}

impl Asked<'_> {
    /// Claims what there is, with room for telling it.
    async fn claim(&self) -> Result<(Claimed, Room), Refusal> {
        // What is no JSON is told as text that is longer.
        let room = self.meter.room(self.bytes.saturating_mul(2)).await.map_err(Problem::from)?;
        let claim = Claim {
            worker: self.worker.to_owned(),
            events: self.events,
            bytes: self.bytes,
            secret: random::name(),
            chance: random::spread(),
        };
        let claimed =
            self.service.groups.claim(self.scope.clone(), self.group.clone(), claim, wall()).await?;
        Ok((claimed, room))
    }

    /// Claims until there is something, for as long as it may take. No event is missed between claiming and waiting, since
    /// whoever claims follows before. Nothing is held while it waits.
    async fn wait(&self, deadline: Instant) -> Result<(Claimed, Room), Refusal> {
        let Self { service, scope, group, .. } = *self;
        let topic = service.groups.group(scope.clone(), group.clone(), wall()).await?.topic;
        let mut news = service.news.follow(scope, vec![topic]);
        let mut stirred = service.stirred.follow(scope, vec![group.clone()]);
        loop {
            let (claimed, room) = self.claim().await?;
            if claimed.lease.is_some() || Instant::now() >= deadline || service.stopping.is_cancelled() {
                return Ok((claimed, room));
            }
            drop(room);
            let now = wall();
            let due = claimed.next.map(|next| Duration::from_millis(next.0.saturating_sub(now.0)));
            let until = due.map_or(deadline, |due| deadline.min(Instant::now() + due));
            tokio::select! {
                _ = news.next() => {}
                _ = stirred.next() => {}
                () = sleep_until(until) => {}
                () = service.stopping.cancelled() => {}
            }
        }
    }
}

#[derive(Serialize)]
struct Out<'a> {
    position: String,
    at: u64,
    attempt: u32,
    #[serde(flatten)]
    event: Shown<'a>,
}

fn answer(claimed: &Claimed) -> Response {
    let lost = claimed.lost.map(|lost| json!({ "events": lost.events, "through": lost.through.to_string() }));
    let events: Vec<Out<'_>> = claimed
        .events
        .iter()
        .map(|delivery| Out {
            position: delivery.position.to_string(),
            at: delivery.at.0,
            attempt: delivery.attempt,
            event: Shown::of(&claimed.content_type, &delivery.body),
        })
        .collect();
    #[derive(Serialize)]
    struct Answer<'a> {
        lease: Option<&'a str>,
        until: Option<u64>,
        recovered: bool,
        lost: Option<serde_json::Value>,
        content_type: &'a str,
        events: Vec<Out<'a>>,
    }
    let answer = Answer {
        lease: claimed.lease.as_ref().map(|lease| lease.id.as_str()),
        until: claimed.lease.as_ref().map(|lease| lease.until.0),
        recovered: lost.is_none(),
        lost,
        content_type: claimed.content_type.as_str(),
        events,
    };
    // Maps with keys of text, numbers and text can always be written.
    sync::json(serde_json::to_string(&answer).unwrap_or_default())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Acking {
    lease: String,
    positions: Option<Vec<String>>,
}

pub(super) async fn ack(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Caller { scope, .. }: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    let group = name(&id)?;
    let Acking { lease, positions } = request::json(request).await?;
    settle(&service, scope, group, lease, positions, Verdict::Ack).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nacking {
    lease: String,
    positions: Option<Vec<String>>,
    delay_ms: Option<u64>,
    #[serde(default)]
    error: String,
}

pub(super) async fn nack(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Caller { scope, .. }: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    let group = name(&id)?;
    let Nacking { lease, positions, delay_ms, error } = request::json(request).await?;
    if delay_ms.is_some_and(|delay| delay > MAX_BACKOFF) {
        return Err(bad("delay_ms is a day at most"));
    }
    if error.len() > MAX_WORDS {
        return Err(bad(format!("an error has at most {MAX_WORDS} bytes")));
    }
    settle(&service, scope, group, lease, positions, Verdict::Nack { delay: delay_ms, error }).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Extending {
    lease: String,
}

pub(super) async fn extend(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Caller { scope, .. }: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    let group = name(&id)?;
    let Extending { lease } = request::json(request).await?;
    settle(&service, scope, group, lease, None, Verdict::Extend).await
}

async fn settle(
    service: &Service,
    scope: TenantScope,
    group: GroupName,
    lease: String,
    positions: Option<Vec<String>>,
    verdict: Verdict,
) -> Result<Response, Refusal> {
    if positions.as_ref().is_some_and(|positions| positions.len() > MAX_CLAIM) {
        return Err(bad(format!("there are at most {MAX_CLAIM} positions")));
    }
    let parse = |text: &String| request::position(text);
    let positions: Option<Vec<Position>> =
        positions.map(|positions| positions.iter().map(parse).collect()).transpose()?;
    let settle = Settle { lease, positions, verdict, chance: random::spread() };
    let settled = service.groups.settle(scope.clone(), group.clone(), settle, wall()).await?;
    if settled.events > 0 {
        stir(service, &scope, group);
    }
    Ok(sync::json(json!({ "events": settled.events, "until": settled.until.0 }).to_string()))
}

fn bad(problem: impl Into<String>) -> Refusal {
    Refusal::new(Code::BadClaim, problem)
}
