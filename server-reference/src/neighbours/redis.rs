//! Messages between servers by Redis's pub/sub.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, StreamExt, pin_mut};
use redis::{
    Client, Pipeline, RedisError,
    aio::{MultiplexedConnection, PubSubSink, PubSubStream},
};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Act, Circle, Order, Outbox, QUEUE};
use crate::{
    clock::{Clock, wall},
    random,
    rooms::{Neighbours, Rooms, ServerId},
    storage::{
        StorageError,
        redis::{Nodes, Options, Settings},
    },
};

/// Orders that are carried out together.
const TOGETHER: usize = 512;
/// How long to wait before the first new connection, and at most; twice as long each time.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How a server reaches the others.
pub struct Redis {
    /// Of servers of Redis that hear of one another's messages.
    clients: Vec<Client>,
    /// What names of channels and keys begin with.
    prefix: String,
    /// How long an answer may take.
    patience: Duration,
    /// Whether it says of a message how many have heard it, wherever they are: a cluster counts those of one node.
    counts: bool,
}

/// The connection is lost.
struct Lost;

impl From<RedisError> for Lost {
    fn from(error: RedisError) -> Self {
        tracing::debug!(%error, "other servers are not reached");
        Self
    }
}

/// Both ways of a connection.
struct Joined {
    sink: PubSubSink,
    stream: PubSubStream,
    out: MultiplexedConnection,
}

/// Rooms that are shared with the servers that are reached this way, and what has to run for that.
pub struct Shared {
    /// The rooms.
    pub rooms: Arc<Rooms>,
    circle: Circle,
    orders: mpsc::Receiver<Order>,
    dropped: Arc<AtomicBool>,
    way: Redis,
    clock: Clock,
}

impl Shared {
    /// Rooms of a server that nobody has heard of yet.
    pub fn new(way: Redis) -> Self {
        let me = ServerId::of(random::spread());
        let (orders, queue) = mpsc::channel(QUEUE);
        let dropped = Arc::new(AtomicBool::new(false));
        let outbox: Arc<dyn Neighbours> = Arc::new(Outbox { orders, dropped: dropped.clone() });
        let rooms = Arc::new(Rooms::among(me, outbox));
        let circle = Circle::new(me, wall(), rooms.clone());
        Self { rooms, circle, orders: queue, dropped, way, clock: Clock::start() }
    }

    /// Tells the others and hears them until it is told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut pause = PAUSE;
        loop {
            let joined = tokio::select! {
                joined = timeout(self.way.patience, self.way.join()) => joined.unwrap_or(Err(Lost)),
                () = stop.cancelled() => return,
            };
            match joined {
                Ok(joined) => {
                    pause = PAUSE;
                    match self.speak(joined, &stop).await {
                        Ok(()) => return,
                        Err(Lost) => tracing::warn!(
                            "other servers are not reached; rooms have only those who are here"
                        ),
                    }
                }
                Err(Lost) => pause = (pause * 2).min(LONGEST_PAUSE),
            }
            // Meanwhile what is wanted is known by survey, and who is not heard is gone.
            let waiting = sleep(pause);
            pin_mut!(waiting);
            loop {
                tokio::select! {
                    () = &mut waiting => break,
                    () = stop.cancelled() => return,
                    order = self.orders.recv() => match order {
                        Some(order) => drop(self.circle.order(order, self.clock.monotonic())),
                        None => return,
                    },
                }
            }
            drop(self.circle.turn(self.clock.monotonic()));
        }
    }

    /// Does so over a connection, until that is lost or it is told to stop.
    async fn speak(&mut self, joined: Joined, stop: &CancellationToken) -> Result<(), Lost> {
        let Joined { mut sink, mut stream, mut out } = joined;
        let acts = self.circle.joined();
        self.act(acts, &mut sink, &mut out).await?;
        loop {
            let (mut acts, next) = self.circle.turn(self.clock.monotonic());
            if self.dropped.swap(false, Ordering::AcqRel) {
                acts.extend(self.circle.dropped());
            }
            self.act(acts, &mut sink, &mut out).await?;
            let now = self.clock.monotonic();
            let due = sleep(Duration::from_millis(next.since(now)));
            let acts = tokio::select! {
                () = stop.cancelled() => {
                    let leave = vec![self.circle.leave()];
                    self.act(leave, &mut sink, &mut out).await?;
                    return Ok(());
                }
                () = due => continue,
                message = stream.next() => {
                    let mut message = Some(message.ok_or(Lost)?);
                    let mut acts = Vec::new();
                    while let Some(heard) = message.take() {
                        if let Ok(text) = std::str::from_utf8(heard.get_payload_bytes()) {
                            acts.extend(self.circle.hear(text, now));
                        }
                        if acts.len() < TOGETHER {
                            message = stream.next().now_or_never().flatten();
                        }
                    }
                    acts
                }
                order = self.orders.recv() => {
                    let mut order = order;
                    let mut acts = Vec::new();
                    while let Some(wanted) = order.take() {
                        acts.extend(self.circle.order(wanted, now));
                        if acts.len() < TOGETHER {
                            order = self.orders.try_recv().ok();
                        }
                    }
                    acts
                }
            };
            self.act(acts, &mut sink, &mut out).await?;
        }
    }

    /// Does things in their order, those one behind the other at once that can be.
    async fn act(
        &mut self,
        acts: Vec<Act>,
        sink: &mut PubSubSink,
        out: &mut MultiplexedConnection,
    ) -> Result<(), Lost> {
        let (mut pipeline, mut writes) = (Pipeline::new(), Vec::new());
        for act in acts {
            match act {
                Act::Send(channel, text) => {
                    pipeline.publish(self.way.named(&channel), text);
                    writes.push(None);
                }
                Act::Write(channel, text, number) => {
                    pipeline.publish(self.way.named(&channel), text);
                    writes.push(Some(number));
                }
                Act::Listen(channel, word) => {
                    self.send(&mut pipeline, &mut writes, out).await?;
                    let channel = self.way.named(&channel);
                    self.way.within(sink.subscribe(&channel)).await?;
                    if let Some(word) = word {
                        pipeline.publish(channel, word);
                        writes.push(None);
                    }
                }
                Act::Ignore(channel) => {
                    self.send(&mut pipeline, &mut writes, out).await?;
                    self.way.within(sink.unsubscribe(self.way.named(&channel))).await?;
                }
            }
        }
        self.send(&mut pipeline, &mut writes, out).await
    }

    async fn send(
        &mut self,
        pipeline: &mut Pipeline,
        writes: &mut Vec<Option<u64>>,
        out: &mut MultiplexedConnection,
    ) -> Result<(), Lost> {
        if writes.is_empty() {
            return Ok(());
        }
        let heard: Vec<u64> = self.way.within(pipeline.query_async(out)).await?;
        *pipeline = Pipeline::new();
        for (write, heard) in writes.drain(..).zip(heard) {
            if let Some(number) = write
                && self.way.counts
            {
                self.circle.reached(number, heard);
            }
        }
        Ok(())
    }
}

impl Redis {
    /// To the servers of some options.
    ///
    /// # Errors
    /// Something is wrong with the options.
    pub fn new(options: &Options) -> Result<Self, StorageError> {
        Ok(Self {
            clients: Settings::new(options)?.each()?,
            prefix: options.prefix.clone(),
            patience: options.timeouts.answer,
            counts: matches!(options.nodes, Nodes::One(_)),
        })
    }

    /// Connects both ways to one of the servers of Redis.
    async fn join(&self) -> Result<Joined, Lost> {
        for client in &self.clients {
            let joining = async {
                let (sink, stream) = client.get_async_pubsub().await?.split();
                let out = client.get_multiplexed_async_connection().await?;
                Ok::<_, Lost>(Joined { sink, stream, out })
            };
            if let Ok(joined) = joining.await {
                return Ok(joined);
            }
        }
        Err(Lost)
    }

    async fn within<T>(&self, call: impl Future<Output = redis::RedisResult<T>>) -> Result<T, Lost> {
        Ok(timeout(self.patience, call).await.map_err(|_| Lost)??)
    }

    fn named(&self, channel: &str) -> String {
        format!("{}:{channel}", self.prefix)
    }
}
