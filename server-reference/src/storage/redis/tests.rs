//! What the log of several servers promises.

mod faults;
mod instances;
mod lines;
pub(crate) mod server;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use sdk_core::clock::Millis;
use tokio::{sync::mpsc, time};

use super::{Heard, Nodes, Options, RedisEvents, Trust};
use crate::{
    fixtures::{START, scope},
    storage::{
        StorageError,
        contract::events::events_contract,
        events::{
            After, Append, CloudEvent, ContentType, EventLog, LogError, News, Position, Producer, Read,
            Slice, TopicName,
        },
        sqlite::events::Caps,
    },
    tenant::TenantScope,
};

const CAPS: Caps = Caps { topics: 32 };
/// How long something may take that has to happen.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn instance(options: &Options) -> Arc<RedisEvents> {
    listening(options).await.0
}

/// An instance, and what it hears.
async fn listening(options: &Options) -> (Arc<RedisEvents>, Hears) {
    let (told, heard) = mpsc::unbounded_channel();
    let on_heard = Box::new(move |heard| drop(told.send(heard)));
    let opened = RedisEvents::open(options, CAPS, crate::random::bits(), on_heard).await.unwrap();
    (Arc::new(opened), Hears(heard))
}

struct Hears(mpsc::UnboundedReceiver<Heard>);

impl Hears {
    async fn next(&mut self) -> Heard {
        time::timeout(PATIENCE, self.0.recv()).await.expect("nothing is heard").unwrap()
    }

    async fn next_news(&mut self) -> News {
        match self.next().await {
            Heard::News(news) => news,
            Heard::Missed => panic!("something was missed"),
        }
    }
}

fn ada() -> TenantScope {
    scope("acme", "ada")
}

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn octets(events: &[&str]) -> Append {
    let events = events.iter().map(|event| Bytes::copy_from_slice(event.as_bytes())).collect();
    Append { content_type: Some(ContentType::octets()), events, ..Append::default() }
}

fn named(id: &str) -> CloudEvent {
    let text = format!(r#"{{"specversion":"1.0","type":"t","source":"/s","id":"{id}"}}"#);
    CloudEvent::new(text.into()).unwrap()
}

async fn slice(log: &RedisEvents, name: &str, after: After) -> Result<Slice, LogError> {
    log.read(ada(), topic(name), Read { after, bytes: 1_000_000, within_epoch: false }, START).await
}

async fn all(log: &RedisEvents, name: &str) -> Vec<String> {
    let slice = slice(log, name, After::Start).await.unwrap();
    slice.events.iter().map(|event| String::from_utf8(event.to_vec()).unwrap()).collect()
}

/// What somebody gets who asks until Redis is there.
pub(crate) async fn until_there<T>(ask: impl AsyncFn() -> Result<T, LogError>) -> T {
    let asking = async {
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(LogError::Storage(StorageError::Unavailable(_))) => {}
                Err(error) => panic!("{error}"),
            }
            time::sleep(Duration::from_millis(20)).await;
        }
    };
    time::timeout(PATIENCE, asking).await.expect("it does not come back")
}

mod single {
    use super::*;

    async fn log() -> (Arc<dyn EventLog>, ()) {
        (instance(&server::single()).await, ())
    }

    events_contract!(log);
}

mod cluster {
    use super::*;

    async fn log() -> (Arc<dyn EventLog>, ()) {
        (instance(&server::cluster()).await, ())
    }

    events_contract!(log);
}
