//! What instances hear of one another's commits. A hint: what is missed of it is found by reading.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use redis::{Client, aio::PubSub};
use tokio::time;

use super::{
    keys::unescaped,
    settings::{Timeouts, down, unavailable},
};
use crate::storage::{
    StorageError,
    events::{Events, Fresh, LogEpoch, News, Position, TopicName},
};

/// How often the connection is tried while nothing is heard.
const PROBE: Duration = Duration::from_secs(10);
/// How long to wait before the first new connection, and at most; twice as long each time.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What an instance hears of topics.
#[derive(Debug)]
pub enum Heard {
    /// A topic moved on or ended, by this instance or another.
    News(News),
    /// Something of others may have been missed: whoever follows a topic has to read.
    Missed,
}

/// Called with each piece of news: of this instance's own commits before they are acknowledged, and of others' when they are heard
/// of. Those of one topic may come in another order than they were committed in. Must not wait.
pub type OnHeard = Box<dyn Fn(Heard) + Send + Sync>;

/// Listens to the others.
pub(super) struct Listener {
    clients: Vec<Client>,
    channel: String,
    timeouts: Timeouts,
}

impl Listener {
    pub(super) fn new(clients: Vec<Client>, channel: String, timeouts: Timeouts) -> Self {
        Self { clients, channel, timeouts }
    }

    /// Begins to listen at one of the servers.
    pub(super) async fn join(&self) -> Result<PubSub, StorageError> {
        let mut problem = unavailable("no server of Redis is named");
        for client in &self.clients {
            let joining = async {
                let mut connection = client.get_async_pubsub().await.map_err(down)?;
                connection.subscribe(&self.channel).await.map_err(down)?;
                Ok(connection)
            };
            match time::timeout(self.timeouts.connect, joining).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => problem = error,
                Err(_) => problem = unavailable("Redis did not answer in time"),
            }
        }
        Err(problem)
    }

    /// Tells what is heard, for as long as somebody polls it.
    pub(super) async fn listen(self, first: PubSub, tell: impl Fn(Option<&[u8]>)) {
        let mut connection = Some(first);
        let mut pause = PAUSE;
        loop {
            if let Some(connection) = connection.take() {
                self.hear(connection, &tell).await;
                pause = PAUSE;
            }
            time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            if let Ok(joined) = self.join().await {
                // Now that nothing more is missed.
                tell(None);
                connection = Some(joined);
            }
        }
    }

    /// Hears until the connection is lost.
    async fn hear(&self, connection: PubSub, tell: &impl Fn(Option<&[u8]>)) {
        let (mut sink, mut stream) = connection.split();
        loop {
            match time::timeout(PROBE, stream.next()).await {
                Ok(Some(message)) => tell(Some(message.get_payload_bytes())),
                Ok(None) => return,
                // The answer of who is gone never comes.
                Err(_) => match time::timeout(self.timeouts.answer, sink.ping::<redis::Value>()).await {
                    Ok(Ok(_)) => {}
                    _ => return,
                },
            }
        }
    }
}

/// What a message tells, and who has sent it.
pub(super) fn parse(message: &[u8]) -> Option<(&str, News, Position)> {
    let mut rest = message;
    let mut line = || {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let (line, more) = rest.split_at(end);
        rest = &more[1..];
        std::str::from_utf8(line).ok()
    };
    let origin = line()?;
    let tenant = unescaped(line()?)?;
    let topic = TopicName::new(&unescaped(line()?)?).ok()?;
    let epoch = LogEpoch(line()?.parse().ok()?);
    let (from, to) = (line()?.parse().ok()?, line()?.parse().ok()?);
    let closed = line()? == "1";
    let appended = line()?.parse().ok()?;
    let carried = line()? == "1";
    let at = |offset| Position { epoch, offset };
    let events =
        carried.then(|| bodies(rest)).map(|events| Some(Fresh::new(at(from), at(to), events?, closed)));
    let events = match events {
        Some(events) => Some(events?),
        None => None,
    };
    Some((origin, News { tenant: tenant.into(), topic, appended, events }, at(to)))
}

/// Events, each behind its length.
fn bodies(mut rest: &[u8]) -> Option<Events> {
    let mut events = Events::default();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b':')?;
        let length: usize = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
        let body = rest.get(end + 1..)?.get(..length)?;
        events.push(body);
        rest = &rest[end + 1 + length..];
    }
    Some(events)
}

/// Who tells what to whom it matters in this process.
pub(super) type Tell = Arc<dyn Fn(Heard) + Send + Sync>;
