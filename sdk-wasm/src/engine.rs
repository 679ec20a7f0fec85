//! The one class that JavaScript sees. It binds the core's driver; promises, views and types are TypeScript's.

use js_sys::{Function, Promise};
use sdk_core::{
    driver::{Driver, EventSink, Parts, Platform, TokenSource},
    engine::{
        Amendment, Attendance, Config, Event, QueryId, Subscription, Ticket, TokenError, Unpublished,
        storage::{MAX_QUERY, Query},
    },
    protocol::{
        ClientId, CollectionName, DocKey, DocumentId, InvalidId, Seq, Strategy, TopicName, decode, encode,
    },
    wire::{Decode, Encode, record, tagged, write_array},
};
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::{JsFuture, spawn_local};

use crate::{
    decisions::Decisions,
    error::CallError,
    hints::Hints,
    runtime::BrowserRuntime,
    store::{BrowserStore, Cipher},
    transport::{BrowserTransport, Traces},
};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn fill_random(bytes: &mut [u8]);
}

/// A running client.
#[wasm_bindgen]
pub struct Engine {
    driver: Driver<Browser>,
    store: BrowserStore,
    hints: Option<Hints>,
}

struct Browser;

impl Platform for Browser {
    type Store = BrowserStore;
    type Transport = BrowserTransport;
    type Runtime = BrowserRuntime;
    type Tokens = Tokens;
    type Events = Events;
}

struct Options {
    url: String,
    name: String,
    collections: Vec<(CollectionName, Strategy)>,
    schema: u32,
}

enum WireQuery {
    One(DocKey),
    Range(Range),
    Topic(Subscription),
    Room(Attendance),
}

struct Range {
    collection: CollectionName,
    from: Option<DocumentId>,
    to: Option<DocumentId>,
    limit: Option<usize>,
}

record!(Options {
    url: "url";
    name: "name";
    collections: "collections";
    schema: "schema" or 0;
});

tagged!(WireQuery { "one" => One, "range" => Range, "topic" => Topic, "room" => Room } {});

record!(Range {
    collection: "collection";
    from: "from";
    to: "to";
    limit: "limit";
});

#[wasm_bindgen]
impl Engine {
    /// Opens a client: its store, and then its connection, which it keeps trying to have.
    ///
    /// `options` is `{"url", "name", "collections": [[name, strategy], ...], "schema"}`; `token` gives a bearer token whenever
    /// one is needed; `events` takes a JSON array of what happened; `cipher` encrypts what is stored. The promise resolves when the store is loaded,
    /// whether or not there is a network.
    pub async fn open(
        options: String,
        #[wasm_bindgen(
            unchecked_param_type = "{ (): Promise<string>; traceparent?: () => string | undefined }"
        )]
        token: Function,
        #[wasm_bindgen(unchecked_param_type = "(json: string) => void")] events: Function,
        #[wasm_bindgen(
            unchecked_optional_param_type = "{ seal(records: [string, string][]): Promise<string[]>; open(records: [string, string][]): Promise<string[]> }"
        )]
        cipher: Option<Cipher>,
        #[wasm_bindgen(unchecked_optional_param_type = "(json: string) => string")] rules: Option<Function>,
    ) -> Result<Engine, JsValue> {
        let options: Options = decode(&options).map_err(|error| CallError::options(error.message))?;
        let transport = BrowserTransport::new(&options.url, cipher.is_some(), Traces::beside(&token))
            .ok_or_else(|| CallError::options("url must be an absolute http or https address"))?;
        let store = BrowserStore::open(&options.name, cipher).await.map_err(CallError::from)?;

        let mut random = [0; 24];
        fill_random(&mut random);
        let mut client = [0; 16];
        let (first, second) = random.split_at(client.len());
        client.copy_from_slice(first);
        let seed = second.iter().fold(0, |seed, byte| (seed << 8) | u64::from(*byte));

        let parts = Parts {
            store: store.clone(),
            transport,
            runtime: BrowserRuntime,
            tokens: Tokens(token),
            events: Events(events),
            rules: Box::new(Decisions { function: rules, schema: options.schema }),
        };
        let config = Config::new(options.collections, ClientId::from_random(client));
        let driver = match Driver::start(parts, config, seed).await {
            Ok(driver) => driver,
            Err(error) => {
                store.close();
                return Err(CallError::from(error).into());
            }
        };
        store.on_taken({
            let driver = driver.clone();
            // Not at once: whoever deletes it waits for us to be done with it.
            move || {
                let driver = driver.clone();
                spawn_local(async move { driver.store_taken() });
            }
        });
        let hints = Hints::listen({
            let driver = driver.clone();
            move || driver.wake()
        });
        Ok(Engine { driver, store, hints })
    }

    /// Submits an edit of a document, as a JSON array of intents; or an event for a topic, as a whole CloudEvent, with the
    /// key under which a later one takes its place in that of the id, if it is not empty. An event answers with the ticket.
    /// Intents are written for the `schema` of whoever asks; `after` is a JSON array of the operations it waits for.
    pub fn submit(
        &self,
        ticket: f64,
        target: &str,
        id: &str,
        schema: u32,
        work: &str,
        after: Option<String>,
    ) -> Result<(), JsValue> {
        let after = after.map_or(Ok(Vec::new()), |after| read(&after))?;
        let ticket = Ticket(ticket as u64);
        let bad = |error: InvalidId| CallError::value(error.to_string());
        if work.starts_with('{') {
            let coalesce = (!id.is_empty()).then(|| id.to_owned());
            self.driver.publish(ticket, TopicName::new(target).map_err(bad)?, read(work)?, coalesce, after);
        } else {
            let doc = DocKey::new(target, id).map_err(bad)?;
            self.driver.submit(ticket, doc, schema, read(work)?, after);
        }
        Ok(())
    }

    /// Replaces what an operation does, by a JSON array of intents, or by an event; answered like a submission.
    pub fn edit(&self, ticket: f64, seq: f64, schema: u32, work: &str) -> Result<(), JsValue> {
        let event = work.starts_with('{');
        let amendment =
            if event { Amendment::Republish(read(work)?) } else { Amendment::Edit(schema, read(work)?) };
        self.amend(ticket, seq, amendment);
        Ok(())
    }

    /// Tries a dead letter again, as a new operation; answered like a submission.
    pub fn retry(&self, ticket: f64, seq: f64) {
        self.amend(ticket, seq, Amendment::Retry);
    }

    /// Withdraws an operation that was never sent, or a dead letter; answered like a submission.
    pub fn abort(&self, ticket: f64, seq: f64) {
        self.amend(ticket, seq, Amendment::Abort);
    }

    /// Ends a conflict by a person's decision, `{"mine": {}}`, `{"theirs": {}}` or `{"merged": fields}`; answered like a
    /// submission.
    pub fn resolve(&self, ticket: f64, seq: f64, resolution: &str) -> Result<(), JsValue> {
        self.amend(ticket, seq, Amendment::Resolve(read(resolution)?));
        Ok(())
    }

    /// The conflicts that wait for somebody to decide, as JSON.
    pub fn conflicts(&self) -> String {
        encode(&self.driver.conflicts())
    }

    fn amend(&self, ticket: f64, seq: f64, amendment: Amendment) {
        self.driver.amend(Ticket(ticket as u64), Seq(seq as u64), amendment);
    }

    /// What is asked next under this ticket was found among the submissions in the store, under this key. A receipt
    /// takes its place there, in the commit that makes it an operation. With `orphan`, nobody is left to hear of a
    /// refusal: an edit that is refused for good becomes a dead letter.
    pub fn adopt(&self, ticket: f64, key: String, orphan: bool) {
        self.driver.adopt(Ticket(ticket as u64), key, orphan);
    }

    /// Begins to follow documents, or to read a topic; an event tells when to look. `query` is `{"one": [collection, id]}`,
    /// `{"range": {"collection", "from"?, "to"?, "limit"?}}`, `{"topic": {"topic", "start", "durable"?}}` or
    /// `{"room": {"room"?, "listen"?, "interval"?, "state"?}}`.
    #[wasm_bindgen(js_name = openQuery)]
    pub fn open_query(&self, id: f64, query: &str) -> Result<(), JsValue> {
        let query = match read(query)? {
            WireQuery::One(doc) => Query::One(doc),
            WireQuery::Range(Range { collection, from, to, limit }) => {
                Query::Range { collection, from, to, limit: limit.unwrap_or(MAX_QUERY).clamp(1, MAX_QUERY) }
            }
            WireQuery::Topic(wanted) => {
                self.driver.subscribe(QueryId(id as u64), wanted);
                return Ok(());
            }
            WireQuery::Room(wanted) => {
                self.driver.attend(QueryId(id as u64), wanted);
                return Ok(());
            }
        };
        self.driver.open(QueryId(id as u64), query);
        Ok(())
    }

    /// Ends that.
    #[wasm_bindgen(js_name = closeQuery)]
    pub fn close_query(&self, id: f64) {
        self.driver.close(QueryId(id as u64));
    }

    /// What a query shows now, or what of a topic has come and was not taken, as JSON; nothing if it is not open.
    pub fn view(&self, id: f64) -> Option<String> {
        let id = QueryId(id as u64);
        let topic = || self.driver.topic(id).map(|shown| encode(&shown));
        let room = || self.driver.room(id).map(|room| encode(&room));
        self.driver.view_text(id).or_else(topic).or_else(room)
    }

    /// The application has taken all of a topic up to a position, or messages up to a number.
    pub fn taken(&self, id: f64, position: &str) {
        let id = QueryId(id as u64);
        if let Ok(position) = position.parse() {
            self.driver.taken(id, position);
        } else if let Ok(number) = position.parse() {
            self.driver.heard(id, number);
        }
    }

    /// Wants to be seen in a room in this state, as JSON; or not to be seen.
    pub fn present(&self, id: f64, state: Option<String>) -> Result<(), JsValue> {
        let state = state.map(|state| read(&state)).transpose()?;
        self.driver.present(QueryId(id as u64), state);
        Ok(())
    }

    /// Says something to those who are there now, `{"room": name}` or `{"user": subject}`; `sent` or `unsent` answers with the
    /// ticket.
    pub fn say(&self, ticket: f64, to: &str, data: &str) -> Result<(), JsValue> {
        self.driver.say(Ticket(ticket as u64), read(to)?, read(data)?);
        Ok(())
    }

    /// How the client is doing, as JSON.
    pub fn status(&self) -> String {
        encode(&self.driver.status())
    }

    /// The operations that the server refused and nobody has discarded, as JSON: edits, and then events.
    pub fn rejected(&self) -> String {
        together(&self.driver.rejected(), &self.unpublished(true))
    }

    /// The operations that are stored and not settled, as JSON, edits and then events: after a restart, those that an
    /// earlier instance could not tell of any more are found here.
    pub fn unsettled(&self) -> String {
        together(&self.driver.unsettled(), &self.unpublished(false))
    }

    fn unpublished(&self, refused: bool) -> Vec<Unpublished> {
        let mut events = self.driver.unpublished();
        events.retain(|event| event.reason.is_some() == refused);
        events
    }

    /// Drops a rejected operation for good.
    pub fn discard(&self, seq: f64) {
        self.driver.discard(Seq(seq as u64));
    }

    /// Allows the network, or forbids it; edits go on either way.
    #[wasm_bindgen(js_name = setNetwork)]
    pub fn set_network(&self, allowed: bool) {
        self.driver.set_network(allowed);
    }

    /// Tries again now whatever waits to be tried again.
    pub fn wake(&self) {
        self.driver.wake();
    }

    /// The id of this installation.
    #[wasm_bindgen(js_name = clientId)]
    pub fn client_id(&self) -> String {
        self.driver.client().to_string()
    }

    /// Ends it. What is being saved is still saved; another client can open the store then.
    pub async fn stop(&mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.driver.stop();
        self.store.close();
        self.hints = None;
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}

/// Two lists as one.
fn together(edits: &[impl Encode], events: &[Unpublished]) -> String {
    let mut all: Vec<&dyn Encode> = Vec::new();
    edits.iter().for_each(|edit| all.push(edit));
    events.iter().for_each(|event| all.push(event));
    let mut text = String::new();
    write_array(&mut all.into_iter(), &mut text);
    text
}

/// Reads an argument.
fn read<T: Decode>(text: &str) -> Result<T, CallError> {
    decode(text).map_err(|error| CallError::value(error.message))
}

struct Tokens(Function);

impl TokenSource for Tokens {
    async fn token(&self) -> Result<String, TokenError> {
        let failed = |_| TokenError("the application gave no token".into());
        let promise = self.0.call0(&JsValue::UNDEFINED).map_err(failed)?;
        // Whatever it is: a plain value becomes a promise of it.
        let token = JsFuture::from(Promise::resolve(&promise)).await.map_err(failed)?;
        token.as_string().ok_or_else(|| TokenError("a token must be text".into()))
    }
}

struct Events(Function);

impl EventSink for Events {
    fn emit(&self, events: Vec<Event>) {
        // A listener that throws has harmed nobody but itself.
        let _ = self.0.call1(&JsValue::UNDEFINED, &encode(&events).into());
    }
}
