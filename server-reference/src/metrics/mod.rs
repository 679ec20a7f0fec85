//! What this process does, in numbers, for Prometheus.
//!
//! No label is ever a tenant, a subject or another name from outside: each has the values that stand in the code, so that
//! nobody can make the numbers grow by what they send. Those who may read them are the operators, and they are served on
//! an address of their own.

mod frames;
mod http;
mod stores;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry, Result, TextEncoder,
    register_histogram_vec_with_registry, register_int_counter_vec_with_registry,
    register_int_counter_with_registry, register_int_gauge_with_registry,
};

use sdk_core::{
    clock::Millis,
    protocol::{Judgement, Outcome},
};

use crate::{
    auth::AuthError, clock::wall, service::Service, storage::grants::Counted, transactions::Observed,
};
pub(crate) use frames::{Frames, kind};
pub(crate) use http::{Scraped, observe};
pub(crate) use stores::Measured;

/// Upper ends of the buckets of times, in seconds.
const SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    pub(crate) received: Frames,
    pub(crate) sent: Frames,
    sessions_closed: IntCounterVec,
    tokens_refused: IntCounterVec,
    limits_reached: IntCounterVec,
    pub(crate) tokens_revoked: IntCounter,
    grants: IntCounterVec,
    under_grants: IntCounterVec,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    store_seconds: HistogramVec,
    store_errors: IntCounterVec,
    transactions: IntCounterVec,
    transactions_misused: IntCounter,
    outbox_appended: IntCounter,
    pub(crate) events_appended: IntCounter,
    operations: IntCounterVec,
    transaction_seconds: HistogramVec,
    webhook_calls: IntCounterVec,
    gauges: Gauges,
    /// Held while the numbers of others are taken over, so that no two do it at once: until when the grants that ended by
    /// themselves are counted.
    taking: Mutex<Millis>,
}

/// What is looked at when somebody asks.
struct Gauges {
    connections: IntGauge,
    greeting: IntGauge,
    requests: IntGauge,
    live_readers: IntGauge,
    rooms: IntGauge,
    room_members: IntGauge,
    outbox_events: IntGauge,
    outbox_oldest: IntGauge,
    groups: IntGauge,
    group_lag: IntGauge,
    group_leases: IntGauge,
    group_letters: IntGauge,
    client_letters: IntGauge,
    grants_pending: IntGauge,
    grants_active: IntGauge,
    subscriptions: IntGauge,
    subscriptions_failing: IntGauge,
    subscription_lag: IntGauge,
}

/// What was read of the stores; none of what could not be.
pub(crate) struct Kept {
    /// What that of topics holds.
    pub(crate) held: Option<Held>,
    /// Dead letters of clients.
    pub(crate) letters: Option<i64>,
    /// Access grants.
    pub(crate) grants: Option<Counted>,
}

/// What the store of topics holds that somebody has to do something about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Held {
    /// Consumer groups.
    pub(crate) groups: i64,
    /// Events that groups have not done with.
    pub(crate) group_lag: i64,
    /// Leases that workers hold, or held until a moment ago.
    pub(crate) group_leases: i64,
    /// Dead letters of groups.
    pub(crate) group_letters: i64,
    /// Subscriptions of workers.
    pub(crate) subscriptions: i64,
    /// Those of them whose worker could not be told last time.
    pub(crate) subscriptions_failing: i64,
    /// Events that they have not done with.
    pub(crate) subscription_lag: i64,
}

impl Metrics {
    /// Everything, at zero.
    ///
    /// # Errors
    /// Two of the numbers have one name.
    pub fn new() -> Result<Self> {
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register_int_counter_vec_with_registry!(name, help, labels, registry)
        };
        let counter = |name: &str, help: &str| register_int_counter_with_registry!(name, help, registry);
        let gauge = |name: &str, help: &str| register_int_gauge_with_registry!(name, help, registry);
        let seconds = |name: &str, help: &str, labels: &[&str]| {
            register_histogram_vec_with_registry!(name, help, labels, SECONDS.to_vec(), registry)
        };
        Ok(Self {
            received: Frames::new(
                counters("webwaka_frames_received_total", "Frames that clients sent, by kind.", &["kind"])?,
                counters("webwaka_frames_received_bytes_total", "Bytes of those frames.", &["kind"])?,
            ),
            sent: Frames::new(
                counters("webwaka_frames_sent_total", "Frames that clients were sent, by kind.", &["kind"])?,
                counters("webwaka_frames_sent_bytes_total", "Bytes of those frames.", &["kind"])?,
            ),
            sessions_closed: counters(
                "webwaka_sessions_closed_total",
                "WebSocket connections that ended: by the code that the client was told, as the server stops \
                 (going_away), as the client was too slow (slow_consumer) or went away (gone).",
                &["reason"],
            )?,
            tokens_refused: counters("webwaka_tokens_refused_total", "Tokens refused.", &["reason"])?,
            limits_reached: counters(
                "webwaka_limits_reached_total",
                "How often which limit was reached, of what, and what was answered: more was to wait, it was refused, or \
                 the session ended.",
                &["limit", "unit", "answer"],
            )?,
            tokens_revoked: counter("webwaka_revocations_total", "Revocations of tokens.")?,
            grants: counters(
                "webwaka_access_grants_total",
                "What became of access grants of super admins: requested, approved, refused, withdrawn, or over as their \
                 time was.",
                &["event"],
            )?,
            under_grants: counters(
                "webwaka_access_grant_requests_total",
                "Requests under an access grant: allowed, or refused as it does not cover them.",
                &["outcome"],
            )?,
            requests: counters(
                "webwaka_http_requests_total",
                "HTTP requests, by the template of their route.",
                &["method", "route", "status"],
            )?,
            request_seconds: seconds(
                "webwaka_http_request_duration_seconds",
                "Time until the head of the answer; that of a long-poll is mostly waiting.",
                &["method", "route"],
            )?,
            store_seconds: seconds(
                "webwaka_store_call_duration_seconds",
                "Time that a call of a store took, its turn waited for and, where it writes, the disk.",
                &["store", "call"],
            )?,
            store_errors: counters(
                "webwaka_store_errors_total",
                "Calls of a store that failed as it could not be read or written.",
                &["store", "call"],
            )?,
            transactions: counters("webwaka_transactions_total", "Critical transactions.", &["outcome"])?,
            transactions_misused: counter(
                "webwaka_transactions_misplaced_total",
                "Attempts to have a critical transaction over the socket or in an outbox.",
            )?,
            outbox_appended: counter(
                "webwaka_outbox_events_appended_total",
                "Events of transactions that came to their topics.",
            )?,
            events_appended: counter("webwaka_events_appended_total", "Events appended to topics.")?,
            operations: counters(
                "webwaka_operations_total",
                "Operations on documents that were judged, by the answer; one that is sent again is answered again.",
                &["outcome"],
            )?,
            transaction_seconds: seconds(
                "webwaka_transaction_duration_seconds",
                "Time from a critical transaction's body to its outcome, its turn waited for and the disk.",
                &["outcome"],
            )?,
            webhook_calls: counters(
                "webwaka_webhook_calls_total",
                "Calls of webhooks: done at once, taken to be done, or failed.",
                &["outcome"],
            )?,
            gauges: Gauges {
                connections: gauge("webwaka_connections", "WebSocket connections.")?,
                greeting: gauge("webwaka_connections_greeting", "Those without a valid hello yet.")?,
                requests: gauge("webwaka_http_requests_in_flight", "HTTP requests under way.")?,
                live_readers: gauge("webwaka_live_readers", "HTTP readers that wait for events.")?,
                rooms: gauge("webwaka_rooms", "Rooms with somebody in them.")?,
                room_members: gauge("webwaka_room_members", "Those who are in rooms.")?,
                outbox_events: gauge("webwaka_outbox_events", "Events of transactions that wait.")?,
                outbox_oldest: gauge("webwaka_outbox_oldest_age_seconds", "Age of the oldest of them.")?,
                groups: gauge("webwaka_groups", "Consumer groups.")?,
                group_lag: gauge("webwaka_group_lag_events", "Events that groups have not done with.")?,
                group_leases: gauge("webwaka_group_leases", "Leases of events.")?,
                group_letters: gauge("webwaka_group_dead_letters", "Dead letters of groups.")?,
                client_letters: gauge("webwaka_client_dead_letters", "Dead letters of clients.")?,
                grants_pending: gauge(
                    "webwaka_access_grants_pending",
                    "Access grants that wait for an approval.",
                )?,
                grants_active: gauge("webwaka_access_grants_active", "Access grants in force.")?,
                subscriptions: gauge("webwaka_subscriptions", "Subscriptions of workers.")?,
                subscriptions_failing: gauge(
                    "webwaka_subscriptions_failing",
                    "Those whose worker could not be told last time.",
                )?,
                subscription_lag: gauge(
                    "webwaka_subscription_lag_events",
                    "Events that subscriptions have not done with.",
                )?,
            },
            taking: Mutex::new(wall()),
            registry,
        })
    }

    pub(crate) fn closed(&self, reason: &str) {
        self.sessions_closed.with_label_values(&[reason]).inc();
    }

    /// Something has become of an access grant.
    pub(crate) fn grant(&self, event: &str) {
        self.grants.with_label_values(&[event]).inc();
    }

    /// A request named an access grant.
    pub(crate) fn under_grant(&self, outcome: &str) {
        self.under_grants.with_label_values(&[outcome]).inc();
    }

    /// Until when the grants that ended by themselves are counted.
    fn grants_until(&self) -> Millis {
        *self.take()
    }

    fn take(&self) -> MutexGuard<'_, Millis> {
        // Nothing is half-way where a panic left it: every number is taken over by itself.
        self.taking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn token_refused(&self, error: &AuthError) {
        self.tokens_refused.with_label_values(&[error.reason()]).inc();
    }

    /// Operations were judged.
    fn judged(&self, judgements: &[Judgement]) {
        for judgement in judgements {
            let outcome = match &judgement.outcome {
                Outcome::Accepted {} => "accepted",
                Outcome::Merged { .. } => "merged",
                Outcome::Superseded {} => "superseded",
                Outcome::Rejected(_) => "rejected",
                Outcome::Conflicted(_) => "conflicted",
                _ => "other",
            };
            self.operations.with_label_values(&[outcome]).inc();
        }
    }

    /// A transaction has come to its outcome.
    pub(crate) fn transacted(&self, outcome: &str, took: Duration) {
        self.transaction_seconds.with_label_values(&[outcome]).observe(took.as_secs_f64());
    }

    fn request(&self, method: &str, route: &str) -> Histogram {
        self.request_seconds.with_label_values(&[method, route])
    }

    /// All numbers as they are now, in the text format of Prometheus (0.0.4).
    fn text(&self, service: &Service, Kept { held, letters, grants }: Kept, now: u64) -> Result<String> {
        let mut grants_until = self.take();
        let gauges = &self.gauges;
        let used = |most: usize, semaphore: &tokio::sync::Semaphore| {
            count(most.saturating_sub(semaphore.available_permits()))
        };
        gauges.connections.set(used(crate::service::MAX_SESSIONS as usize, &service.sessions));
        gauges.greeting.set(used(crate::service::MAX_GREETINGS, &service.greetings));
        gauges.requests.set(used(crate::service::MAX_REQUESTS, &service.requests));
        gauges.live_readers.set(used(service.streams.live, &service.live));
        let (rooms, members) = service.rooms.sizes();
        gauges.rooms.set(count(rooms));
        gauges.room_members.set(count(members));
        for (labels, to) in service.limiter.figures.read() {
            catch_up(&self.limits_reached.with_label_values(&labels), to);
        }
        for (outcome, to) in service.subscriptions.calls() {
            catch_up(&self.webhook_calls.with_label_values(&[outcome]), to);
        }
        let observed = service.transactions.figures.read();
        self.take_over(&observed);
        gauges.outbox_events.set(observed.events_waiting.try_into().unwrap_or(i64::MAX));
        let oldest = Some(observed.oldest_waiting).filter(|at| *at > 0);
        let age = oldest.map_or(0, |at| now.saturating_sub(at) / 1000);
        gauges.outbox_oldest.set(age.try_into().unwrap_or(i64::MAX));
        if let Some(held) = held {
            gauges.groups.set(held.groups);
            gauges.group_lag.set(held.group_lag);
            gauges.group_leases.set(held.group_leases);
            gauges.group_letters.set(held.group_letters);
            gauges.subscriptions.set(held.subscriptions);
            gauges.subscriptions_failing.set(held.subscriptions_failing);
            gauges.subscription_lag.set(held.subscription_lag);
        }
        if let Some(letters) = letters {
            gauges.client_letters.set(letters);
        }
        if let Some(Counted { pending, active, over, since, until }) = grants {
            gauges.grants_pending.set(pending);
            gauges.grants_active.set(active);
            // Whoever asks at the same time has counted from there as well.
            if since == *grants_until {
                self.grants.with_label_values(&["over"]).inc_by(over);
                *grants_until = until;
            }
        }
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// What is counted elsewhere: here it is only brought up to that.
    fn take_over(&self, observed: &Observed) {
        let outcomes = [
            ("done", observed.done),
            ("refused", observed.refused),
            ("replayed", observed.replayed),
            ("not_run", observed.not_run),
        ];
        for (outcome, to) in outcomes {
            catch_up(&self.transactions.with_label_values(&[outcome]), to);
        }
        catch_up(&self.transactions_misused, observed.misused);
        catch_up(&self.outbox_appended, observed.events_appended);
    }
}

/// Brings a counter up to what was counted elsewhere.
fn catch_up(counter: &IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

fn count(number: usize) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
