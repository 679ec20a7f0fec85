//! The server's process: the real routes and sessions over the real log. A crash leaves what is on the disk at that moment.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
};

use axum::Router;
use bytes::Bytes;
use futures::{
    FutureExt,
    executor::block_on,
    future::{BoxFuture, ready},
};
use sdk_core::{
    clock::Millis,
    protocol::{Changes, ClientId, CollectionName, Epoch, Limits, Manifest},
};
use server_reference::{
    auth::{Revocation, Whose},
    config::ServerConfig,
    dev::DevIssuer,
    hub::Hub,
    metrics::Metrics,
    resolvers::Resolvers,
    server::router,
    service::{Service, Stores},
    snapshot::{Export, Exports, Snapshots, store::SnapshotStore},
    storage::{
        Batch, Committed, Documents, Page, StorageError,
        events::{
            Answer, Append, ContentType, EventLog, LetterId, LogError, NewTopic, Retention, TopicName, Which,
        },
        refusals::{ClientChange, ClientDead, ClientFate, ClientLetters, Note, Refusals},
        revocations::{RevocationError, Revocations, Revoking, Standing},
        sqlite::{
            SqliteStore,
            events::{Caps, EventStore, SqliteEvents},
            transactions::TransactionStore,
        },
    },
    streams::subscriptions::{Keys, Subscriptions},
    tenant::TenantScope,
};
use tempfile::TempDir;
use tokio::{
    io::DuplexStream,
    sync::mpsc,
    task::{AbortHandle, unconstrained},
};
use tokio_util::sync::CancellationToken;

use crate::{
    log::Log,
    network::{Incoming, Signal},
    sim::Sim,
    truth::Backup,
};

/// A server that runs.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) router: Router,
    pub(crate) accept: mpsc::UnboundedSender<DuplexStream>,
    pub(crate) log: Arc<Log>,
    pub(crate) gone: Arc<Signal>,
}

/// The server, running or not.
pub(crate) struct Server {
    sim: Arc<Sim>,
    folder: TempDir,
    issuer: DevIssuer,
    scope: TenantScope,
    documents: Arc<Collections>,
    transactions: Arc<TransactionStore>,
    state: Mutex<State>,
}

/// What ends a process.
struct Ends {
    /// Tells it to come to its end.
    stop: CancellationToken,
    serving: AbortHandle,
}

#[derive(Default)]
struct State {
    running: Option<(Running, Ends)>,
    /// Which file is the log's.
    file: u32,
    /// What the next start begins with.
    restored: bool,
    backup: Option<(u32, Backup)>,
    /// What the disk surely has, if it has lied since.
    synced: Option<(u32, Backup)>,
}

impl Server {
    pub(crate) fn new(sim: Arc<Sim>) -> Self {
        // Memory where there is some to be had: the durability of the disk under it is not what is simulated.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let issuer = DevIssuer::from_secret([7; 32]);
        let folder = folder.expect("there is room for a folder");
        let documents = Arc::new(Collections::open(&folder.path().join("documents.db")));
        let transactions = folder.path().join("transactions.db");
        let transactions = TransactionStore::open(&transactions, Default::default(), Box::new(|| ()));
        let transactions = Arc::new(transactions.expect("a new database opens"));
        let now = server_reference::clock::wall();
        let token = issuer.mint("acme", "operator", 86_400, now).expect("a key of 32 bytes signs");
        let scope = TenantScope::of(issuer.verifier().verify(&token, now).expect("it has just been made"));
        Self { sim, folder, issuer, scope, documents, transactions, state: Mutex::default() }
    }

    /// A token for a client. The server's own clock is the real one, and so are these.
    pub(crate) fn token(&self, client: usize) -> String {
        let now = server_reference::clock::wall();
        self.issuer.mint("acme", &format!("subject-{client}"), 86_400, now).expect("a key of 32 bytes signs")
    }

    /// A token for who administers all of the tenant.
    pub(crate) fn operator_token(&self) -> String {
        let now = server_reference::clock::wall();
        self.issuer.mint("acme", "operator", 86_400, now).expect("a key of 32 bytes signs")
    }

    /// The process that runs, if one does, and takes requests.
    pub(crate) fn running(&self) -> Option<Running> {
        let state = self.state();
        let running = state.running.as_ref().filter(|(_, ends)| !ends.stop.is_cancelled());
        running.map(|(running, _)| running.clone())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no part panics")
    }

    fn path(&self, file: u32) -> PathBuf {
        self.folder.path().join(format!("{file}.db"))
    }

    /// The process starts.
    pub(crate) fn start(&self) {
        let mut state = self.state();
        if state.running.is_some() {
            return;
        }
        let path = self.path(state.file);
        let restored = std::mem::take(&mut state.restored);
        if restored {
            let events = SqliteEvents::open(&path, Caps::default(), Box::new(|| 7));
            let renewed = events.expect("the log opens").renew_epochs(self.sim.wall());
            renewed.expect("a log that is well can be written");
        }
        let gone = Arc::<Signal>::default();
        let log = Arc::new(Log::open(self.sim.clone(), &path, gone.clone()).expect("the log opens"));
        if restored {
            let (_, backup) = state.backup.as_ref().expect("it was restored from it");
            let epochs: Vec<_> = (0..self.sim.plan.topics)
                .map(|topic| {
                    let described = log.store.describe(self.scope.clone(), name(topic), self.sim.wall());
                    match log.finish(described) {
                        Ok(state) => Some(state.tail.epoch),
                        Err(LogError::NoSuchTopic) => None,
                        Err(error) => panic!("a log that is well can be read: {error}"),
                    }
                })
                .collect();
            self.sim.books().truth.restored(backup, &epochs);
        }
        let stop = CancellationToken::new();
        let router = router(self.service(log.clone(), stop.clone()), None);
        let (accept, incoming) = mpsc::unbounded_channel();
        let serving = tokio::spawn(axum::serve(Incoming(incoming), router.clone()).into_future());
        let running = Running { router, accept, log, gone };
        let serving = serving.abort_handle();
        state.running = Some((running, Ends { stop, serving }));
        drop(state);
        self.sim.note(format_args!("server starts"));
    }

    fn service(&self, log: Arc<Log>, stopping: CancellationToken) -> Service {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let config = ServerConfig::development(address, self.folder.path().to_owned());
        let mut config = config.expect("loopback is local");
        config.identity = self.issuer.clone().into();
        if self.sim.plan.small {
            config.limits =
                Limits { frame_bytes: 1_200, operation_bytes: 600, batch_operations: 4, ..config.limits };
            config.streams.read_bytes = 300;
        }
        let salt = || "salt".to_owned();
        let snapshots = SnapshotStore::in_memory(Box::new(salt)).expect("a database in memory opens");
        let stores = Stores {
            documents: self.documents.clone(),
            snapshots: Snapshots::new(self.documents.clone(), snapshots),
            hub: Arc::new(Hub::default()),
            events: log.clone(),
            news: log.hub.clone(),
            groups: log.store.clone(),
            letters: log.store.clone(),
            client_letters: self.documents.clone(),
            revocations: self.documents.clone(),
            grants: self.documents.0.clone(),
            attempts: self.documents.0.clone(),
            subscriptions: subscriptions(),
            transactions: self.transactions.clone(),
            figures: Arc::default(),
            metrics: Arc::new(Metrics::new().expect("each number has a name of its own")),
        };
        Service::new(stores, config, address, stopping)
    }

    /// The process is told to stop: it takes nothing new, and ends what is under way.
    pub(crate) fn stop(&self) {
        if let Some((_, ends)) = &self.state().running {
            ends.stop.cancel();
        }
        self.sim.note(format_args!("server is told to stop"));
    }

    /// The process ends. What it had committed is there when it starts again.
    pub(crate) fn crash(&self) {
        let mut state = self.state();
        let Some((running, ends)) = state.running.take() else { return };
        running.gone.give();
        ends.serving.abort();
        self.copy(state.file, state.file + 1);
        state.file += 1;
        drop(running);
        drop(state);
        self.sim.note(format_args!("server ends"));
    }

    /// What is on the disk now is kept aside.
    pub(crate) fn back_up(&self) {
        let mut state = self.state();
        let file = 1_000_000 + state.file;
        self.copy(state.file, file);
        state.backup = Some((file, self.sim.books().truth.backup()));
    }

    /// What is on the disk now surely stays there.
    pub(crate) fn sync(&self) {
        let mut state = self.state();
        let file = 2_000_000 + state.file;
        self.copy(state.file, file);
        state.synced = Some((file, self.sim.books().truth.backup()));
    }

    /// The process ends, and of what is on the disk the newest never was.
    pub(crate) fn lose(&self) {
        self.crash();
        let mut state = self.state();
        let Some((from, synced)) = &state.synced else { return };
        let from = *from;
        if state.restored || !self.sim.books().truth.lose(synced) {
            return;
        }
        state.file += 1;
        self.copy(from, state.file);
        drop(state);
        self.sim.note(format_args!("server has lost its newest commits"));
    }

    /// The process ends, and goes on from the backup.
    pub(crate) fn restore(&self) {
        self.crash();
        let mut state = self.state();
        let Some((from, _)) = state.backup else { return };
        state.file += 1;
        self.copy(from, state.file);
        state.restored = true;
        drop(state);
        self.sim.note(format_args!("server is restored from a backup"));
    }

    fn copy(&self, from: u32, to: u32) {
        for suffix in ["", "-wal"] {
            let name = |file| PathBuf::from(format!("{}{suffix}", self.path(file).display()));
            if name(from).exists() {
                fs::copy(name(from), name(to)).expect("the log can be copied");
            }
        }
    }

    /// A topic is no more.
    pub(crate) fn delete(&self, topic: usize) {
        let Some(Running { log, .. }) = self.running() else { return };
        match log.finish(log.store.delete(self.scope.clone(), name(topic), self.sim.wall())) {
            Ok(()) => self.sim.books().truth.last(topic).deleted = true,
            Err(LogError::NoSuchTopic) => {}
            Err(error) => self.sim.violate(format!("a topic is deleted: {error:?}")),
        }
        self.sim.note(format_args!("topic {topic} is deleted"));
        log.tell();
    }

    /// Makes a topic, or makes it anew.
    pub(crate) fn make(&self, topic: usize) {
        let Some(Running { log, .. }) = self.running() else { return };
        let now = self.sim.wall();
        match log.finish(log.store.delete(self.scope.clone(), name(topic), now)) {
            Ok(()) => self.sim.books().truth.last(topic).deleted = true,
            Err(LogError::NoSuchTopic) => {}
            Err(error) => return self.sim.violate(format!("a topic is deleted: {error:?}")),
        }
        let retention = Retention { events: self.sim.plan.kept, ..Retention::default() };
        let new = NewTopic { content_type: Some(json()), retention, ..NewTopic::default() };
        let created = log.finish(log.store.create(self.scope.clone(), name(topic), new, now));
        let created = created.expect("a topic can be made");
        self.sim.books().truth.begun(topic, created.state.tail.epoch);
        self.sim.note(format_args!("topic {topic} is made"));
        log.tell();
    }

    /// Whether a topic is there, and takes events.
    pub(crate) fn takes_events(&self, topic: usize) -> bool {
        let mut books = self.sim.books();
        let last = books.truth.last(topic);
        !last.deleted && !last.closed
    }

    /// Somebody else appends some events, if the topic takes any.
    pub(crate) fn append(&self, topic: usize, count: usize) {
        self.append_and(topic, count, false);
    }

    /// The same, and these are the last.
    pub(crate) fn close(&self, topic: usize, count: usize) {
        self.append_and(topic, count, true);
    }

    fn append_and(&self, topic: usize, count: usize, close: bool) {
        let Some(Running { log, .. }) = self.running().filter(|_| self.takes_events(topic)) else { return };
        let number = self.sim.now();
        let bodies: Vec<String> =
            (0..count).map(|each| format!("{{\"at\":{number},\"each\":{each}}}")).collect();
        let events = bodies.iter().map(|body| Bytes::copy_from_slice(body.as_bytes())).collect();
        let append = Append { content_type: Some(json()), events, close, ..Append::default() };
        let appended = log.finish(log.store.append(self.scope.clone(), name(topic), append, self.sim.wall()));
        let tail = appended.expect("a topic that is open takes events").tail;
        self.sim.books().truth.appended(topic, tail, &bodies, number);
        if close {
            self.sim.books().truth.last(topic).close();
        }
        self.sim.note(format_args!("topic {topic} has {count} more, up to {}; closed: {close}", tail.offset));
        log.tell();
    }

    /// The log is rid of what need not be kept.
    pub(crate) fn tidy(&self) {
        let Some(Running { log, .. }) = self.running() else { return };
        let now = self.sim.wall();
        log.finish(log.store.tidy(now).boxed()).expect("a log that is well can be written");
    }
}

/// The name of a topic.
pub(crate) fn name(topic: usize) -> TopicName {
    TopicName::new(&format!("topic-{topic}")).expect("it is a name")
}

fn json() -> ContentType {
    ContentType::new("application/json").expect("it is a type")
}

/// Nobody subscribes, but the routes want them; all runs share what it costs to make them.
fn subscriptions() -> Arc<Subscriptions> {
    static SUBSCRIPTIONS: OnceLock<Arc<Subscriptions>> = OnceLock::new();
    let make = || {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let store = EventStore::open(
            &folder.path().join("events.db"),
            Caps::default(),
            Box::new(|| 7),
            Box::new(|_| {}),
        );
        let store = Arc::new(store.expect("the log opens"));
        let keys = Keys::load_or_create(&folder.path().join("key")).expect("a key can be made");
        let (public, moved, revoked) = (String::new(), Arc::default(), Arc::default());
        let subscriptions = Subscriptions::new(store.clone(), store, keys, true, public, moved, revoked);
        Arc::new(subscriptions.expect("TLS is there"))
    };
    SUBSCRIPTIONS.get_or_init(make).clone()
}

/// The collections, of which there are none; who says hello is known here, and what clients were refused is kept. It
/// outlives the process, as a disk does. Its threads are waited for within a step.
struct Collections(Arc<SqliteStore>);

impl Collections {
    fn open(path: &Path) -> Self {
        let epoch = || Epoch::new("epoch").expect("it is a name");
        let resolvers = Resolvers::default();
        let store = SqliteStore::open(path, Limits::default(), Box::new(epoch), resolvers, Box::new(|_| {}));
        Self(Arc::new(store.expect("the documents open")))
    }
}

fn at_once<'a, T: Send + 'a>(answer: BoxFuture<'_, T>) -> BoxFuture<'a, T> {
    ready(block_on(unconstrained(answer))).boxed()
}

impl Documents for Collections {
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Committed, StorageError>> {
        at_once(self.0.commit(batch))
    }

    fn changes(&self, scope: TenantScope, page: Page) -> BoxFuture<'_, Result<Changes, StorageError>> {
        at_once(self.0.changes(scope, page))
    }

    fn check(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        at_once(self.0.check())
    }
}

impl Exports for Collections {
    fn export(
        &self,
        scope: TenantScope,
        collection: CollectionName,
        to: Box<dyn Export>,
    ) -> BoxFuture<'_, Result<Manifest, StorageError>> {
        at_once(self.0.export(scope, collection, to))
    }
}

impl Refusals for Collections {
    fn note(
        &self,
        scope: TenantScope,
        client: ClientId,
        notes: Vec<Note>,
        now: Millis,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        at_once(self.0.note(scope, client, notes, now))
    }
}

impl ClientLetters for Collections {
    fn client_letters(&self, scope: TenantScope, which: Which, now: Millis) -> Answer<'_, ClientDead> {
        at_once(self.0.client_letters(scope, which, now))
    }

    fn change_client_letters(
        &self,
        scope: TenantScope,
        change: ClientChange,
        now: Millis,
    ) -> Answer<'_, Vec<(LetterId, ClientFate)>> {
        at_once(self.0.change_client_letters(scope, change, now))
    }
}

impl Revocations for Collections {
    fn revoke(
        &self,
        scope: TenantScope,
        revocation: Revocation,
        now: Millis,
    ) -> BoxFuture<'_, Result<Revoking, RevocationError>> {
        at_once(self.0.revoke(scope, revocation, now))
    }

    fn revocations(
        &self,
        scope: TenantScope,
        after: Option<(Whose, String)>,
        most: usize,
        now: Millis,
    ) -> BoxFuture<'_, Result<Vec<Revoking>, RevocationError>> {
        at_once(self.0.revocations(scope, after, most, now))
    }

    fn standing(&self, now: Millis) -> BoxFuture<'_, Result<Standing, StorageError>> {
        at_once(self.0.standing(now))
    }
}
