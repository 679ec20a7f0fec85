//! What was tried and refused, put on record so that whoever tries cannot fill the record with it.
//!
//! The first attempt of a person in some way is on record at once. Those that follow within a while are counted, and one more record
//! says how many they were: two records for each [`SPAN`], however fast somebody tries. Of a tenant in which many try, only so many
//! are named; the others are counted together.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sdk_core::clock::Millis;
use tokio::time::sleep;

use crate::{
    clock::wall,
    service::Service,
    storage::{attempts::Attempt, transactions::Misuse},
    tenant::TenantScope,
};

/// Milliseconds that one count covers.
const SPAN: u64 = 10 * 60_000;
/// People of one tenant that are told apart within a span.
const NAMED: usize = 32;
/// Counts of all tenants at one time.
const COUNTS: usize = 4_096;
/// Time between two looks for counts whose span is over.
const LOOK: Duration = Duration::from_secs(10);

/// In which way somebody tried what is not theirs to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    /// A request about administration.
    Administration,
    /// A request under an access grant that does not cover it.
    Grant,
    /// A session that was to go on by the token of somebody else.
    Refresh,
    /// The token of somebody was used in another tenant's session.
    Token,
    /// A critical transaction where there are none.
    Misplaced(Misuse),
}

impl Way {
    fn action(&self) -> &'static str {
        match self {
            Self::Administration => "administration",
            Self::Grant => "data accessed",
            Self::Refresh => "session continued by another's token",
            Self::Token => "token used in another's session",
            Self::Misplaced(_) => "critical transaction misplaced",
        }
    }
}

/// In whose record, who, and in which way. Without a name it stands for all those that are too many to be told apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    tenant: Arc<str>,
    name: Option<Arc<str>>,
    way: Way,
}

/// Attempts that were not put on record one by one.
#[derive(Debug)]
struct Count {
    scope: TenantScope,
    target: String,
    since: Millis,
    more: u64,
}

/// The counts that are open.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<HashMap<Key, Count>>);

/// What is to be put on record.
#[derive(Debug)]
struct Due {
    key: Key,
    scope: TenantScope,
    target: String,
}

impl Attempts {
    /// Counts an attempt; what is to be put on record now is returned, at most one thing.
    fn note(&self, scope: &TenantScope, tenant: &Arc<str>, way: Way, target: &str, now: Millis) -> Vec<Due> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = over(&mut counts, |count| now.0.saturating_sub(count.since.0) >= SPAN);
        let named = |counts: &HashMap<Key, Count>| {
            counts.keys().filter(|key| key.tenant == *tenant && key.name.is_some()).count()
        };
        let mut key = Key { tenant: tenant.clone(), name: Some(scope.subject().clone()), way };
        if !counts.contains_key(&key) && named(&counts) >= NAMED {
            key.name = None;
        }
        if let Some(count) = counts.get_mut(&key) {
            count.more += 1;
            return due;
        }
        if counts.len() >= COUNTS {
            tracing::warn!("more is tried and refused in more tenants than can be counted");
            return due;
        }
        let (scope, target) = (scope.clone(), target.to_owned());
        due.push(Due { key: key.clone(), scope: scope.clone(), target: target.clone() });
        counts.insert(key, Count { scope, target, since: now, more: 0 });
        due
    }

    /// Ends the counts whose span is over, or all of them.
    fn end(&self, now: Option<Millis>) -> Vec<Due> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        over(&mut counts, |count| now.is_none_or(|now| now.0.saturating_sub(count.since.0) >= SPAN))
    }
}

/// Takes out the counts that are over; of those with more than their first attempt there is something to put on record.
fn over(counts: &mut HashMap<Key, Count>, mut is_over: impl FnMut(&Count) -> bool) -> Vec<Due> {
    let ended = counts.extract_if(|_, count| is_over(count));
    let told = |(key, Count { scope, target, since, more }): (Key, Count)| Due {
        key,
        scope,
        target: format!("{target} and {more} more since {}", since.0),
    };
    ended.filter(|(_, count)| count.more > 0).map(told).collect()
}

impl Service {
    /// Puts on record that somebody tried something in vain: in the record of their own tenant, or of another that it was aimed at.
    pub(crate) async fn attempted(
        &self,
        scope: &TenantScope,
        aimed: Option<&Arc<str>>,
        way: Way,
        target: &str,
    ) {
        let tenant = aimed.unwrap_or(scope.tenant());
        tracing::info!(%tenant, by = %scope.holder(), what = way.action(), "refused");
        for due in self.attempts.note(scope, tenant, way, target, wall()) {
            self.put_on_record(due).await;
        }
    }

    /// Puts the counts on record whose span is over, for as long as it is polled.
    pub(crate) async fn count_attempts(&self) -> Infallible {
        loop {
            sleep(LOOK).await;
            for due in self.attempts.end(Some(wall())) {
                self.put_on_record(due).await;
            }
        }
    }

    /// Puts all counts on record, before the server ends.
    pub(crate) async fn finish_attempts(&self) {
        for due in self.attempts.end(None) {
            self.put_on_record(due).await;
        }
    }

    async fn put_on_record(&self, Due { key, scope, target }: Due) {
        let Key { tenant, name, way } = key;
        let by = match name {
            None => String::new(),
            Some(subject) if *tenant == **scope.tenant() => subject.to_string(),
            Some(_) => scope.holder().to_string(),
        };
        let action = way.action();
        let recorded = match way {
            // Beside the transactions that there are.
            Way::Misplaced(_) => self.transactions.store.misused(scope, by, target, wall()).await,
            _ => self.attempts_log.refused(scope, Attempt { tenant, by, action, target }, wall()).await,
        };
        if let Err(error) = recorded {
            tracing::error!(%error, "what was refused could not be put on record");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{START, scope};

    fn note(attempts: &Attempts, tenant: &str, subject: &str, way: Way, at: u64) -> Vec<String> {
        let scope = scope(tenant, subject);
        let due = attempts.note(&scope, scope.tenant(), way, "GET /v1/dead", START.plus(at));
        due.into_iter()
            .map(|due| format!("{}: {}", due.key.name.as_deref().unwrap_or("-"), due.target))
            .collect()
    }

    #[test]
    fn the_first_attempt_is_told_at_once_and_those_behind_it_are_counted() {
        let attempts = Attempts::default();
        assert_eq!(note(&attempts, "acme", "eve", Way::Administration, 0), ["eve: GET /v1/dead"]);
        for at in 1..1_000 {
            assert!(note(&attempts, "acme", "eve", Way::Administration, at).is_empty());
        }
        assert_eq!(note(&attempts, "acme", "bob", Way::Administration, 5).len(), 1, "another person");
        assert_eq!(note(&attempts, "acme", "eve", Way::Refresh, 5).len(), 1, "another way");
        assert_eq!(note(&attempts, "globex", "eve", Way::Administration, 5).len(), 1, "another tenant");
        let counted = format!("eve: GET /v1/dead and 999 more since {}", START.0);
        let told = note(&attempts, "acme", "eve", Way::Administration, SPAN);
        assert_eq!(told, [counted, "eve: GET /v1/dead".to_owned()], "the next span begins with its first");
        assert!(attempts.end(Some(START.plus(SPAN + 4))).is_empty());
        assert!(attempts.end(None).is_empty(), "what was told once needs no count");
        assert!(attempts.0.lock().unwrap().is_empty());
    }

    #[test]
    fn of_many_people_only_so_many_are_told_apart() {
        let attempts = Attempts::default();
        let told: Vec<String> = (0..10 * NAMED)
            .flat_map(|n| note(&attempts, "acme", &format!("p{n}"), Way::Administration, 0))
            .collect();
        assert_eq!(told.len(), NAMED + 1);
        assert_eq!(told.last().unwrap(), "-: GET /v1/dead");
        let rest = attempts.end(None);
        assert_eq!(rest.len(), 1);
        assert!(rest[0].target.contains(&format!("and {} more", 9 * NAMED - 1)), "{}", rest[0].target);
    }

    #[test]
    fn there_are_only_so_many_counts() {
        let attempts = Attempts::default();
        let told: usize = (0..COUNTS + 10)
            .map(|n| note(&attempts, &format!("t{n}"), "eve", Way::Administration, 0).len())
            .sum();
        assert_eq!((told, attempts.0.lock().unwrap().len()), (COUNTS, COUNTS));
        assert_eq!(note(&attempts, "other", "eve", Way::Administration, SPAN).len(), 1, "room comes back");
    }
}
