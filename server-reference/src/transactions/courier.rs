//! Takes the events that transactions have caused to their topics.
//!
//! An event is a row in the same commit as its transaction. The courier appends it under the id that it got there and then
//! removes the row; a crash in between has it appended once more, and the log knows it by its id. What is of one topic is
//! taken in the order of commits, and where a topic does not take one, those behind it wait.

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures::future::join_all;
use sdk_core::clock::Millis;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::Figures;
use crate::{
    access::Access,
    auth::Bearer,
    clock::wall,
    storage::{
        StorageError,
        events::{LogError, Publications, Publish},
        transactions::{Fate, Outgoing, Parcel, ParcelId},
    },
    tenant::TenantScope,
};

/// Milliseconds after which a topic that took no event is tried again.
const AGAIN: u64 = 10_000;
/// Time between two looks, if nothing is heard meanwhile, and after a store has failed.
const LOOK: Duration = Duration::from_secs(2);
/// Whose events they are, as far as the log asks.
const SUBJECT: &str = "webwaka:transactions";

/// Carries events from one store to another.
pub(crate) struct Courier {
    pub(crate) outgoing: Arc<dyn Outgoing>,
    pub(crate) log: Arc<dyn Publications>,
    pub(crate) woken: Arc<Notify>,
    pub(crate) figures: Arc<Figures>,
}

impl Courier {
    /// Carries, for as long as it is polled.
    pub(crate) async fn run(&self) -> Infallible {
        loop {
            match self.round(wall()).await {
                Ok(true) => {}
                // Whatever wakes it has been committed since the round began, or will be.
                Ok(false) => drop(timeout(LOOK, self.woken.notified()).await),
                Err(error) => {
                    tracing::warn!(%error, "events of transactions could not be appended; tried again soon");
                    sleep(LOOK).await;
                }
            }
        }
    }

    /// Takes along what waits now. Returns whether anything did.
    async fn round(&self, now: Millis) -> Result<bool, StorageError> {
        let parcels = self.outgoing.waiting(now).await?;
        let fates = join_all(parcels.iter().map(|parcel| self.carry(parcel, now))).await;
        let fates = fates.into_iter().collect::<Result<Vec<_>, _>>();
        let moved = !parcels.is_empty();
        // Of those that were appended nothing is noted if another failed: they are known by their ids.
        if moved {
            self.outgoing.settle(fates?).await?;
        }
        self.figures.backlog(self.outgoing.backlog().await?);
        Ok(moved)
    }

    async fn carry(&self, parcel: &Parcel, now: Millis) -> Result<(ParcelId, Fate), StorageError> {
        let Parcel { id, tenant, topic, events } = parcel;
        let scope = TenantScope::kept(tenant.clone(), SUBJECT.into(), Access::Everything, Bearer::default());
        let publish = Publish { topic: topic.clone(), events: events.clone() };
        let answer = match self.log.publish(scope, vec![publish], now).await {
            Ok(answers) => answers.into_iter().next().flatten(),
            Err(error) => Some(Err(error)),
        };
        match answer {
            Some(Ok(positions)) => {
                Figures::add(&self.figures.events_appended, positions.len() as u64);
                Ok((*id, Fate::Appended))
            }
            Some(Err(LogError::Storage(error))) => Err(error),
            Some(Err(error)) => {
                tracing::error!(%tenant, %topic, %error, "a topic takes no events of transactions; they wait");
                Ok((*id, Fate::Until(now.plus(AGAIN))))
            }
            None => Err(StorageError::Unavailable("the log has not answered for an event".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use sdk_core::protocol::{Json, TopicName, TransactionName};
    use tempfile::TempDir;

    use super::*;
    use crate::{
        fixtures::{START, scope},
        storage::{
            events::{After, EventLog, Read},
            sqlite::{
                events::{Caps as LogCaps, EventStore},
                transactions::TransactionStore,
            },
            transactions::{Backlog, Run, Transactions},
        },
        transactions::{
            Caps,
            handler::{Call, Emitted, Fault, Handler, Records},
        },
    };

    struct Emits(&'static str);

    impl Handler for Emits {
        fn run(&self, call: Call<'_>, records: &mut dyn Records) -> Result<Json, Fault> {
            let event = Emitted { kind: "test".to_owned(), subject: None, data: call.body.clone() };
            records.emit(TopicName::new(self.0).unwrap(), event)?;
            Ok(call.body.clone())
        }
    }

    struct Both {
        transactions: Arc<TransactionStore>,
        events: Arc<EventStore>,
        courier: Courier,
        _folder: TempDir,
    }

    impl Both {
        fn open() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path();
            let events = EventStore::open(
                &path.join("events.db"),
                LogCaps::default(),
                Box::new(|| 7),
                Box::new(|_| ()),
            );
            let transactions =
                TransactionStore::open(&path.join("transactions.db"), Caps::default(), Box::new(|| ()));
            let (transactions, events) = (Arc::new(transactions.unwrap()), Arc::new(events.unwrap()));
            let courier = Courier {
                outgoing: transactions.clone(),
                log: events.clone(),
                woken: Arc::default(),
                figures: Arc::default(),
            };
            Self { transactions, events, courier, _folder: folder }
        }

        async fn emit(&self, n: u64, topic: &'static str) {
            let run = Run {
                name: TransactionName::new("test").unwrap(),
                key: n.to_string().parse().unwrap(),
                body: Json::parse(n.to_string()).unwrap(),
                handler: Arc::new(Emits(topic)),
            };
            self.transactions.run(scope("acme", "ada"), run, START).await.unwrap();
        }

        async fn rounds(&self, now: Millis) {
            while self.courier.round(now).await.unwrap() {}
        }

        /// What a topic has of each event as its data.
        async fn read(&self, topic: &str) -> Vec<u64> {
            let read = Read { after: After::Start, bytes: usize::MAX, within_epoch: false };
            let topic = TopicName::new(topic).unwrap();
            let slice = self.events.read(scope("acme", "ada"), topic, read, START).await.unwrap();
            let number = |event: &[u8]| -> u64 {
                let event: serde_json::Value = serde_json::from_slice(event).unwrap();
                event["data"].as_u64().unwrap()
            };
            slice.events.iter().map(number).collect()
        }
    }

    #[tokio::test]
    async fn what_was_appended_before_a_crash_and_not_noted_is_not_appended_again() {
        let both = Both::open();
        both.emit(1, "one").await;
        both.emit(2, "one").await;
        // The crash comes before the parcel is settled.
        for parcel in both.transactions.waiting(START).await.unwrap() {
            both.courier.carry(&parcel, START).await.unwrap();
        }
        assert_eq!(both.read("one").await, [1, 2]);
        both.emit(3, "one").await;
        both.rounds(START).await;
        assert_eq!(both.read("one").await, [1, 2, 3]);
        assert_eq!(both.transactions.backlog().await.unwrap(), Backlog::default());
    }

    #[tokio::test]
    async fn a_closed_topic_holds_its_events_back_and_no_others_until_it_is_made_anew() {
        let both = Both::open();
        both.emit(1, "one").await;
        both.rounds(START).await;
        let close = crate::storage::events::Append { close: true, ..Default::default() };
        let (ada, one) = (scope("acme", "ada"), TopicName::new("one").unwrap());
        both.events.append(ada.clone(), one.clone(), close, START).await.unwrap();
        both.emit(2, "one").await;
        both.emit(3, "two").await;
        both.rounds(START).await;
        assert_eq!(both.read("two").await, [3]);
        let seen = both.courier.figures.read();
        assert_eq!((seen.events_waiting, seen.oldest_waiting, seen.events_appended), (1, START.0, 2));

        both.events.delete(ada, one, START).await.unwrap();
        both.rounds(START.plus(AGAIN)).await;
        assert_eq!(both.read("one").await, [2]);
        assert_eq!(both.courier.figures.read().events_waiting, 0);
    }
}
