//! One client: its lives, and the parts that each has.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard},
};

use sdk_core::{
    client::{Client, With},
    clock::Millis,
    driver::{Runtime, TokenSource},
    engine::{Config, Now, TokenError},
    protocol::ClientId,
};
use tokio::{
    task::JoinSet,
    time::{Duration, Instant, sleep},
};

use crate::{
    server::Server,
    sim::Sim,
    store::{Disk, SimStore},
    transport::SimTransport,
};

/// A client as an application has it.
pub(crate) type Handle = Client<With<SimStore, SimTransport, SimRuntime, SimTokens>>;

/// Everything that a process runs; it ends with it.
#[derive(Clone, Default)]
pub(crate) struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.0.lock().expect("no part panics");
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    fn end(&self) {
        self.0.lock().expect("no part panics").abort_all();
    }
}

/// A device with a client on it.
pub(crate) struct Device {
    sim: Arc<Sim>,
    server: Arc<Server>,
    pub(crate) number: usize,
    /// Whose it is: a copy is that of the person with the original.
    person: usize,
    disk: Arc<Mutex<Disk>>,
    life: Mutex<Option<(Handle, Tasks)>>,
    lives: Mutex<u8>,
    skew: i64,
}

impl Device {
    pub(crate) fn new(sim: Arc<Sim>, server: Arc<Server>, number: usize, person: usize) -> Self {
        let skew = sim.plan.skew.cast_signed();
        let skew = sim.random(|random| random.i64(-skew..=skew));
        let (life, lives) = (Mutex::default(), Mutex::default());
        Self { sim, server, number, person, disk: Arc::default(), life, lives, skew }
    }

    /// Another device, with storage that is this one's at the moment.
    pub(crate) fn copy(&self, number: usize) -> Self {
        Self::new(self.sim.clone(), self.server.clone(), number, self.person)
    }

    /// The client that runs, if one does, and what runs with it.
    pub(crate) fn running(&self) -> Option<(Handle, Tasks)> {
        self.life.lock().expect("no part panics").clone()
    }

    pub(crate) fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().expect("no part panics")
    }

    /// The process starts.
    pub(crate) async fn start(&self) -> (Handle, Tasks) {
        let life = {
            let mut lives = self.lives.lock().expect("no part panics");
            *lives += 1;
            *lives
        };
        let tasks = Tasks::default();
        let mut id = [0; 16];
        (id[0], id[14], id[15]) = (0xc1, self.number as u8, life);
        let config = Config::new(Vec::new(), ClientId::from_random(id));
        let seed = self.sim.random(|random| random.u64(..));
        let started = Client::start(
            SimStore::new(self.sim.clone(), self.number, self.disk.clone()),
            SimTransport::new(self.sim.clone(), self.server.clone(), self.number),
            SimRuntime {
                sim: self.sim.clone(),
                tasks: tasks.clone(),
                skew: self.skew,
                start: Instant::now(),
            },
            SimTokens { sim: self.sim.clone(), server: self.server.clone(), client: self.person },
            (),
            config,
            seed,
        );
        let client = started.await.expect("the outbox can be loaded");
        let held = client.unpublished();
        let held: Vec<_> = held.into_iter().map(|one| (one.seq, one.event.as_str().to_owned())).collect();
        self.sim.note(format_args!("client {} starts life {life} with {} events", self.number, held.len()));
        let stored = self.disk().events();
        self.sim.books().restarted(self.number, &held, &stored);
        *self.life.lock().expect("no part panics") = Some((client.clone(), tasks.clone()));
        (client, tasks)
    }

    /// The process ends, in the middle of whatever it does.
    pub(crate) fn crash(&self) {
        let Some((client, tasks)) = self.life.lock().expect("no part panics").take() else { return };
        tasks.end();
        client.close();
        if self.disk().phantom {
            self.sim.books().ledger.haunted.insert(self.number);
        }
        self.sim.note(format_args!("client {} ends", self.number));
    }
}

/// The clocks and tasks of one life.
pub(crate) struct SimRuntime {
    sim: Arc<Sim>,
    tasks: Tasks,
    skew: i64,
    start: Instant,
}

impl Runtime for SimRuntime {
    fn now(&self) -> Now {
        let monotonic = u64::try_from(self.start.elapsed().as_millis()).expect("a run is short");
        let wall = self.sim.wall().0.saturating_add_signed(self.skew);
        Now { monotonic: Millis(monotonic), wall: Millis(wall) }
    }

    fn sleep(&self, millis: Millis) -> impl Future<Output = ()> + Send + 'static {
        sleep(Duration::from_millis(millis.0))
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }
}

/// Where a client gets its token.
pub(crate) struct SimTokens {
    sim: Arc<Sim>,
    server: Arc<Server>,
    client: usize,
}

impl TokenSource for SimTokens {
    async fn token(&self) -> Result<String, TokenError> {
        self.sim.wait(200).await;
        Ok(self.server.token(self.client))
    }
}
