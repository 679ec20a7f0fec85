//! `POST /v1/tickets`: a token changed for something that may stand in an address, because it is of no use a moment later.
//!
//! A browser's `EventSource` cannot set a header, and many a tool for WebSockets cannot make a first frame with a token in it. A
//! ticket is good for one request, for a few seconds, and for no more than its token was.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use axum::{Router, extract::State, response::Response, routing::post};
use sdk_core::protocol::{ErrorCode, ProtocolError};
use serde_json::json;

use crate::{
    auth::AuthError,
    clock::wall,
    limits::Meter,
    random,
    service::Service,
    sync::{self, Caller, Problem},
    tenant::TenantScope,
    trace::on_behalf_of,
};

/// How long a ticket is good.
const LIFE: Duration = Duration::from_secs(30);
/// Tickets of one subject that are not used.
const SUBJECT_TICKETS: usize = 16;
/// Tickets of all.
const TICKETS: usize = 10_000;

/// The tickets that are not used.
#[derive(Default)]
pub(crate) struct Tickets(Mutex<Held>);

#[derive(Default)]
struct Held {
    /// By the hash of their text: whoever saw this memory could use none.
    tickets: HashMap<[u8; SHA256_OUTPUT_LEN], (TenantScope, Instant)>,
    /// How many each subject has.
    counts: HashMap<(Arc<str>, Arc<str>), usize>,
}

/// There are too many.
#[derive(Debug, PartialEq, Eq)]
struct Full;

pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/v1/tickets", post(issue))
}

async fn issue(
    State(service): State<Arc<Service>>,
    Caller { scope, .. }: Caller,
) -> Result<Response, Problem> {
    let ticket = service.tickets.issue(scope, Instant::now()).map_err(|Full| {
        let message = format!("{SUBJECT_TICKETS} tickets of a subject wait to be used, at most");
        ProtocolError::new(ErrorCode::RateLimited, message)
    });
    let expires = u64::try_from(LIFE.as_millis()).unwrap_or(u64::MAX);
    Ok(sync::json(json!({ "ticket": ticket?, "expiresIn": expires }).to_string()))
}

/// Who made a request, if the query of its address has a ticket. It is used then, whatever becomes of the request.
pub(crate) fn admitted(
    service: &Service,
    meter: &Meter,
    query: Option<&str>,
) -> Result<Option<TenantScope>, Problem> {
    let mut parts = query.unwrap_or_default().split('&');
    let Some(ticket) = parts.find_map(|part| part.strip_prefix("ticket=")) else { return Ok(None) };
    let bad = || {
        let error = AuthError::Malformed("no such ticket, or it was used".into());
        service.token_refused(meter, &error);
        error
    };
    let scope = service.tickets.redeem(ticket, Instant::now()).ok_or_else(bad)?;
    if scope.expires() <= wall() {
        return Err(AuthError::Expired.into());
    }
    service.verifier.stands(&scope)?;
    on_behalf_of(&scope);
    meter.identify(&scope, service.now())?;
    Ok(Some(scope))
}

impl Tickets {
    fn issue(&self, scope: TenantScope, now: Instant) -> Result<String, Full> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let person = (scope.tenant().clone(), scope.subject().clone());
        let count = |held: &Held| held.counts.get(&person).copied().unwrap_or(0);
        if held.tickets.len() >= TICKETS || count(&held) >= SUBJECT_TICKETS {
            held.forget(now);
            if held.tickets.len() >= TICKETS || count(&held) >= SUBJECT_TICKETS {
                return Err(Full);
            }
        }
        let ticket = random::name();
        held.tickets.insert(mark(&ticket), (scope, now + LIFE));
        *held.counts.entry(person).or_default() += 1;
        Ok(ticket)
    }

    /// Whose a ticket is, once.
    fn redeem(&self, ticket: &str, now: Instant) -> Option<TenantScope> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (scope, until) = held.tickets.remove(&mark(ticket))?;
        held.uncount(&scope);
        (until > now).then_some(scope)
    }
}

impl Held {
    fn forget(&mut self, now: Instant) {
        let over: Vec<TenantScope> =
            self.tickets.extract_if(|_, (_, until)| *until <= now).map(|(_, (scope, _))| scope).collect();
        over.iter().for_each(|scope| self.uncount(scope));
    }

    fn uncount(&mut self, scope: &TenantScope) {
        let person = (scope.tenant().clone(), scope.subject().clone());
        if let Some(count) = self.counts.get_mut(&person) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&person);
            }
        }
    }
}

fn mark(ticket: &str) -> [u8; SHA256_OUTPUT_LEN] {
    let mut mark = [0; SHA256_OUTPUT_LEN];
    mark.copy_from_slice(digest(&SHA256, ticket.as_bytes()).as_ref());
    mark
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::scope;

    #[test]
    fn a_ticket_is_good_once_and_for_a_moment() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        let (first, second) = (
            tickets.issue(scope("acme", "ada"), now).unwrap(),
            tickets.issue(scope("acme", "ada"), now).unwrap(),
        );
        assert_ne!(first, second);
        assert_eq!(tickets.redeem(&first, now), Some(scope("acme", "ada")));
        assert_eq!(tickets.redeem(&first, now), None);
        assert_eq!(tickets.redeem(&second, now + LIFE), None, "its time is over");
        for other in ["", "0", &first.to_uppercase()] {
            assert_eq!(tickets.redeem(other, now), None);
        }
        let held = tickets.0.lock().unwrap();
        assert!(held.tickets.is_empty() && held.counts.is_empty());
    }

    #[test]
    fn tickets_have_bounds_and_room_comes_back_with_time_or_use() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        let issue = |subject: &str, now| tickets.issue(scope("acme", subject), now);
        let first = issue("ada", now).unwrap();
        (1..SUBJECT_TICKETS).for_each(|_| drop(issue("ada", now).unwrap()));
        assert_eq!(issue("ada", now), Err(Full));
        assert!(issue("bob", now).is_ok() && tickets.issue(scope("other", "ada"), now).is_ok());
        tickets.redeem(&first, now);
        assert!(issue("ada", now).is_ok() && issue("ada", now) == Err(Full));
        assert!(issue("ada", now + LIFE).is_ok());
        let held = tickets.0.lock().unwrap();
        assert_eq!((held.tickets.len(), held.counts.len()), (1, 1), "what is over is forgotten");
    }
}
