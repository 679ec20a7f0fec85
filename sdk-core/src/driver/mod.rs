//! The asynchronous shell around the engine: performs its effects on a store, a network and a clock.
//!
//! Every effect becomes a task of its own, whose end is the engine's next input. Nothing is decided here.

mod http;
mod memory;
mod parts;
mod rules;
mod store;
mod topics;
mod transport;

#[cfg(feature = "testing")]
pub use http::asked;
pub use memory::MemoryStore;
pub use parts::{EventSink, Parts, Platform};
pub use rules::{Migration, Rules};
pub use store::Store;
pub use transport::{
    Each, HEADERS, HttpGet, HttpReply, HttpRequest, Link, Runtime, TRANSACTION_HEADERS, TokenSource,
    Transact, TransactionRequest, Transport, TransportError,
};

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use crate::{
    clock::Millis,
    engine::{
        Amendment, Attendance, Config, Conflicted, Effect, Engine, Event, HttpId, Input, LinkId, Outdated,
        QueryId, Rejected, Status, Subscription, Ticket, Unpublished, Unsettled, View,
        storage::{Query, StoreError},
    },
    presence::Room,
    protocol::{
        ClientId, DocKey, Intent, Json, Recipient, Seq, TopicName, TopicPosition, decode_server_frame, encode,
    },
    sorted::{SortedMap, SortedSet},
    stream::Shown,
};
use http::Request;

/// `Send` where there are threads; nothing in the browser, whose objects stay on theirs.
#[cfg(not(target_arch = "wasm32"))]
pub trait MaybeSend: Send {}
#[cfg(not(target_arch = "wasm32"))]
impl<T: Send> MaybeSend for T {}
/// `Send` where there are threads; nothing in the browser, whose objects stay on theirs.
#[cfg(target_arch = "wasm32")]
pub trait MaybeSend {}
#[cfg(target_arch = "wasm32")]
impl<T> MaybeSend for T {}

/// `Sync` where there are threads.
#[cfg(not(target_arch = "wasm32"))]
pub trait MaybeSync: Sync {}
#[cfg(not(target_arch = "wasm32"))]
impl<T: Sync> MaybeSync for T {}
/// `Sync` where there are threads.
#[cfg(target_arch = "wasm32")]
pub trait MaybeSync {}
#[cfg(target_arch = "wasm32")]
impl<T> MaybeSync for T {}

/// A running client. Cheap to clone; the clones are one client. It runs until [`stop`](Self::stop).
pub struct Driver<P: Platform>(Arc<Inner<P>>);

impl<P: Platform> Clone for Driver<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Inner<P: Platform> {
    parts: Parts<P>,
    core: Mutex<Core<P>>,
}

struct Core<P: Platform> {
    engine: Engine,
    /// The link that the engine wants, open or not.
    wanted: Option<LinkId>,
    link: Option<(LinkId, Arc<Link_<P>>)>,
    /// The tasks that wait for an answer over HTTP.
    requests: SortedMap<HttpId, Waker>,
    heralds: Heralds,
    /// When the running timer ends, and which one it is.
    armed: Option<Millis>,
    timer: u64,
    stopped: bool,
}

type Link_<P> = <<P as Platform>::Transport as Transport>::Link;

/// Events on their way out. Those that only say "look again" are told once, however often they occur.
#[derive(Default)]
struct Heralds {
    events: Vec<Event>,
    views: SortedSet<QueryId>,
    status: bool,
    leaving: bool,
}

impl<P: Platform> Driver<P> {
    /// Loads the store and begins to work. `seed` spreads the client's retries; it should be random.
    ///
    /// # Errors
    /// The outbox could not be loaded. Nothing was changed.
    pub async fn start(parts: Parts<P>, mut config: Config, seed: u64) -> Result<Self, StoreError> {
        let stored = parts.store.load().await?;
        config.durable = parts.store.is_durable();
        config.schema = parts.rules.schema();
        let core = Core {
            engine: Engine::restore(stored, config, seed),
            wanted: None,
            link: None,
            requests: SortedMap::new(),
            heralds: Heralds::default(),
            armed: None,
            timer: 0,
            stopped: false,
        };
        let driver = Self(Arc::new(Inner { parts, core: Mutex::new(core) }));
        // Before anybody looks, so that what an earlier version of the application has left is never shown as it was.
        let outdated = driver.core().engine.outdated();
        if !outdated.is_empty() {
            driver.migrate(outdated);
        }
        driver.dispatch(Input::Wake);
        Ok(driver)
    }

    /// Submits an edit, to be sent once those it comes `after` have succeeded; [`Event::Submitted`] or
    /// [`Event::Refused`] answers with the ticket. `schema` is the version of the application's schema of whoever asks,
    /// which may be a page beside this one.
    pub fn submit(&self, ticket: Ticket, doc: DocKey, schema: u32, intents: Vec<Intent>, after: Vec<Seq>) {
        self.dispatch(Input::Submit { ticket, doc, schema, intents, after });
    }

    /// Publishes an event, to be sent once those it comes `after` have succeeded; answered like an edit. With a key it
    /// takes the place of an earlier event for the topic with that key which was not sent.
    pub fn publish(
        &self,
        ticket: Ticket,
        topic: TopicName,
        event: Json,
        coalesce: Option<String>,
        after: Vec<Seq>,
    ) {
        self.dispatch(Input::Publish { ticket, topic, event, coalesce, after });
    }

    /// Changes, retries or withdraws an operation; answered like a submission.
    pub fn amend(&self, ticket: Ticket, seq: Seq, amendment: Amendment) {
        self.dispatch(Input::Amend(ticket, seq, amendment));
    }

    /// What is asked next under this ticket was found in the store, as the submission of this key: a receipt takes its
    /// place in the commit that makes it an operation. With `orphan`, nobody is left to hear of a refusal: an edit that is
    /// refused for good becomes a dead letter.
    pub fn adopt(&self, ticket: Ticket, key: String, orphan: bool) {
        self.dispatch(Input::Adopt(ticket, key, orphan));
    }

    /// Begins to follow documents; [`Event::ViewChanged`] tells when to look.
    pub fn open(&self, id: QueryId, query: Query) {
        self.dispatch(Input::Open(id, query));
    }

    /// Begins to read a topic; [`Event::ViewChanged`] tells when to look.
    pub fn subscribe(&self, id: QueryId, wanted: Subscription) {
        self.dispatch(Input::Subscribe(id, wanted));
    }

    /// What of a topic has come and was not taken; none if it is not read.
    pub fn topic(&self, id: QueryId) -> Option<Shown> {
        self.core().engine.topic(id)
    }

    /// The application has taken all of a topic up to a position.
    pub fn taken(&self, id: QueryId, position: TopicPosition) {
        self.dispatch(Input::Taken(id, position));
    }

    /// Opens a room, or what is said to this person; [`Event::ViewChanged`] tells when to look.
    pub fn attend(&self, id: QueryId, wanted: Attendance) {
        self.dispatch(Input::Attend(id, wanted));
    }

    /// Wants to be seen in a room so; the newest counts.
    pub fn present(&self, id: QueryId, state: Option<Json>) {
        self.dispatch(Input::Present(id, state));
    }

    /// What is seen of a room now; none if it is not open.
    pub fn room(&self, id: QueryId) -> Option<Room> {
        self.core().engine.room(id)
    }

    /// The application has taken messages up to this number.
    pub fn heard(&self, id: QueryId, number: u64) {
        self.dispatch(Input::Heard(id, number));
    }

    /// Says something to those who are there now; [`Event::Sent`] or [`Event::Unsent`] answers with the ticket.
    pub fn say(&self, ticket: Ticket, to: Recipient, data: Json) {
        self.dispatch(Input::Say(ticket, to, data));
    }

    /// Ends any of these.
    pub fn close(&self, id: QueryId) {
        self.dispatch(Input::Close(id));
    }

    /// What a live query shows now; none if it is not open.
    pub fn view(&self, id: QueryId) -> Option<View> {
        self.core().engine.view(id)
    }

    /// The same as its JSON text.
    pub fn view_text(&self, id: QueryId) -> Option<String> {
        self.core().engine.view_text(id)
    }

    /// How the client is doing.
    pub fn status(&self) -> Status {
        let mut status = self.core().engine.status();
        // A store that was durable at the start may have been taken away since.
        status.durable &= self.0.parts.store.is_durable();
        status
    }

    /// The edits that the server will never apply and nobody has discarded.
    pub fn rejected(&self) -> Vec<Rejected> {
        self.core().engine.rejected()
    }

    /// The conflicts that wait for somebody to decide.
    pub fn conflicts(&self) -> Vec<Conflicted> {
        self.core().engine.conflicts()
    }

    /// The edits that are stored and not settled.
    pub fn unsettled(&self) -> Vec<Unsettled> {
        self.core().engine.unsettled()
    }

    /// The events that are stored and not settled, or were rejected and not discarded.
    pub fn unpublished(&self) -> Vec<Unpublished> {
        self.core().engine.unpublished()
    }

    /// A name that nobody else has, with the time as the server has it, as far as this machine knows.
    pub fn name(&self) -> (ClientId, Millis) {
        let now = self.0.parts.runtime.now();
        self.core().engine.name(now)
    }

    /// Drops a rejected operation for good.
    pub fn discard(&self, seq: Seq) {
        self.dispatch(Input::Discard(seq));
    }

    /// Allows the network, or forbids it; edits go on either way.
    pub fn set_network(&self, allowed: bool) {
        self.dispatch(Input::Network(allowed));
    }

    /// Tries again now whatever waits to be tried again.
    pub fn wake(&self) {
        self.dispatch(Input::Wake);
    }

    /// Says that the store was closed under us, so that what it held is looked after.
    pub fn store_taken(&self) {
        self.dispatch(Input::StoreTaken);
    }

    /// The id of this installation.
    pub fn client(&self) -> ClientId {
        self.core().engine.client()
    }

    /// Its parts, for what needs no engine.
    pub(crate) fn parts(&self) -> &Parts<P> {
        &self.0.parts
    }

    /// Ends it: closes the link, and does nothing any more. A commit under way still reaches the store.
    pub fn stop(&self) {
        let mut core = self.core();
        core.stopped = true;
        core.end_requests();
        if let Some((_, link)) = core.link.take() {
            link.close();
        }
    }

    fn core(&self) -> MutexGuard<'_, Core<P>> {
        self.0.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dispatch(&self, input: Input) {
        let mut core = self.core();
        if core.stopped {
            return;
        }
        core.engine.handle(self.0.parts.runtime.now(), input);
        // Under the lock, so that frames leave in the order in which the engine sent them.
        while let Some(effect) = core.engine.poll_effect() {
            self.perform(&mut core, effect);
        }
        core.end_requests();
        self.arm(&mut core);
    }

    fn perform(&self, core: &mut Core<P>, effect: Effect) {
        match effect {
            Effect::Send(id, frame) => {
                if let Some((_, link)) = core.link.as_ref().filter(|(current, _)| *current == id) {
                    link.send(encode(&frame));
                }
            }
            Effect::Disconnect(id) => {
                core.wanted = core.wanted.filter(|wanted| *wanted != id);
                if let Some((_, link)) = core.link.take_if(|(current, _)| *current == id) {
                    link.close();
                }
            }
            Effect::Emit(event) => self.announce(core, event),
            effect => {
                if let Effect::Connect(id) = effect {
                    core.wanted = Some(id);
                    core.link = None;
                }
                let driver = self.clone();
                // One type of task for all of them, since each costs a page some hundred bytes.
                self.0.parts.runtime.spawn(async move { driver.work(effect).await });
            }
        }
    }

    /// Does what takes a while, and what calls the application; returns when that is over.
    async fn work(&self, effect: Effect) {
        let Parts { store, transport, rules, runtime, tokens, .. } = &self.0.parts;
        let tell = |id, told| {
            self.dispatch(Input::TopicTold(id, told));
            self.core().awaits(id)
        };
        let heard = match effect {
            Effect::Commit(id, batch) => match store.apply(batch).await {
                Ok(()) => Input::Committed(id),
                Err(error) => Input::StoreFailed(id, error),
            },
            Effect::Read(id, query, scan) => Input::Loaded(id, store.read(query, scan).await),
            Effect::FetchToken => Input::Token(tokens.token().await),
            Effect::Connect(id) => self.run_link(id).await,
            Effect::Resolve(seq, id, conflict) => {
                let (resolution, took) = rules::resolve(&**rules, runtime, &conflict);
                Input::Resolved { seq, id, resolution, took }
            }
            Effect::Migrate(outdated) => Input::Migrated(rules::migrate(&**rules, outdated)),
            effect => {
                let Some((id, request)) = Request::of(effect) else { return };
                let exchange = http::exchange(transport, id, request, &tell);
                let Some(heard) = self.while_awaited(id, exchange).await else { return };
                heard
            }
        };
        self.dispatch(heard);
    }

    /// Goes on with a request for as long as its answer is awaited. What waits holds one of the few connections that a
    /// browser opens to a server.
    async fn while_awaited(&self, id: HttpId, request: impl Future<Output = Input>) -> Option<Input> {
        let mut request = pin!(request);
        poll_fn(|context| {
            let mut core = self.core();
            if !core.awaits(id) {
                return Poll::Ready(None);
            }
            core.requests.insert(id, context.waker().clone());
            drop(core);
            request.as_mut().poll(context).map(Some)
        })
        .await
    }

    fn migrate(&self, outdated: Vec<Outdated>) {
        let answers = rules::migrate(&*self.0.parts.rules, outdated);
        self.dispatch(Input::Migrated(answers));
    }

    /// Opens a WebSocket and passes on what it brings, to its end.
    async fn run_link(&self, id: LinkId) -> Input {
        let link = match self.0.parts.transport.open().await {
            Ok(link) => Arc::new(link),
            Err(error) => return Input::LinkRefused(id, error.retry_after.unwrap_or(0)),
        };
        {
            let mut core = self.core();
            if core.stopped || core.wanted != Some(id) {
                link.close();
                return Input::LinkDown(id);
            }
            core.link = Some((id, Arc::clone(&link)));
        }
        self.dispatch(Input::LinkUp(id));
        while let Some(text) = link.receive().await {
            if let Some(frame) = decode_server_frame(&text).transpose() {
                self.dispatch(Input::Received(id, frame));
            }
        }
        Input::LinkDown(id)
    }

    /// Events leave from a task of their own: whoever hears them may call back.
    fn announce(&self, core: &mut Core<P>, event: Event) {
        let heralds = &mut core.heralds;
        match event {
            Event::ViewChanged(id) => {
                heralds.views.insert(id);
            }
            Event::StatusChanged => heralds.status = true,
            event => heralds.events.push(event),
        }
        if std::mem::replace(&mut heralds.leaving, true) {
            return;
        }
        let driver = self.clone();
        self.0.parts.runtime.spawn(async move {
            let heralds = std::mem::take(&mut driver.core().heralds);
            let mut events = heralds.events;
            events.extend(heralds.views.into_iter().map(Event::ViewChanged));
            events.extend(heralds.status.then_some(Event::StatusChanged));
            driver.0.parts.events.emit(events);
        });
    }

    /// Keeps one timer running that ends no later than the engine's next deadline.
    fn arm(&self, core: &mut Core<P>) {
        let Some(at) = core.engine.poll_timeout() else { return };
        if core.armed.is_some_and(|armed| armed <= at) {
            return;
        }
        core.armed = Some(at);
        core.timer += 1;
        let (driver, timer) = (self.clone(), core.timer);
        let runtime = &self.0.parts.runtime;
        let sleep = runtime.sleep(Millis(at.since(runtime.now().monotonic).max(1)));
        runtime.spawn(async move {
            sleep.await;
            {
                let mut core = driver.core();
                if core.timer != timer {
                    return;
                }
                core.armed = None;
            }
            driver.dispatch(Input::Timeout);
        });
    }
}

impl<P: Platform> Core<P> {
    fn awaits(&self, id: HttpId) -> bool {
        !self.stopped && self.engine.awaits(id)
    }

    /// Ends the requests whose answers nobody waits for any more.
    fn end_requests(&mut self) {
        let Self { requests, engine, stopped, .. } = self;
        requests.retain(|id, task| {
            let goes_on = !*stopped && engine.awaits(*id);
            if !goes_on {
                task.wake_by_ref();
            }
            goes_on
        });
    }
}
