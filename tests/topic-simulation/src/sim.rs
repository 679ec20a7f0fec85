//! What all parts of a run share.

use std::sync::{Mutex, MutexGuard};

use fastrand::Rng;
use sdk_core::clock::Millis;
use tokio::time::{Duration, Instant, sleep};

use crate::{books::Books, network::Path, plan::Plan};

/// Unix time at which every run begins.
pub(crate) const BEGINNING: u64 = 1_767_225_600_000;

/// Devices that may come to a run as copies of others.
pub(crate) const COPIES: usize = 2;

/// One run.
pub(crate) struct Sim {
    /// What it is like.
    pub(crate) plan: Plan,
    random: Mutex<Rng>,
    books: Mutex<Books>,
    paths: Vec<Mutex<Path>>,
    start: Instant,
}

impl Sim {
    pub(crate) fn new(plan: Plan, random: Rng, books: Books) -> Self {
        let paths = (0..plan.clients + COPIES).map(|_| Mutex::default()).collect();
        let (random, books) = (Mutex::new(random), Mutex::new(books));
        Self { plan, random, books, paths, start: Instant::now() }
    }

    /// Milliseconds since the run began.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).expect("a run is short")
    }

    /// Unix time.
    pub(crate) fn wall(&self) -> Millis {
        Millis(BEGINNING + self.now())
    }

    /// Asks the one source of chance.
    pub(crate) fn random<T>(&self, ask: impl FnOnce(&mut Rng) -> T) -> T {
        ask(&mut self.random.lock().expect("no part panics"))
    }

    /// Whether chance has it, with so many per mille.
    pub(crate) fn chance(&self, per_mille: u64) -> bool {
        self.random(|random| random.u64(0..1_000)) < per_mille
    }

    /// Up to so many milliseconds, at least one.
    pub(crate) fn up_to(&self, most: u64) -> u64 {
        self.random(|random| random.u64(1..=most.max(1)))
    }

    /// Waits for a while.
    pub(crate) async fn wait(&self, most: u64) {
        let millis = self.up_to(most);
        sleep(Duration::from_millis(millis)).await;
    }

    /// What is between a client and the server.
    pub(crate) fn path(&self, client: usize) -> MutexGuard<'_, Path> {
        self.paths[client].lock().expect("no part panics")
    }

    /// What should be.
    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("no part panics")
    }

    /// Notes something in the trace.
    pub(crate) fn note(&self, what: std::fmt::Arguments<'_>) {
        let now = self.now();
        self.books().trace.note(now, what);
    }

    /// A claim does not hold.
    pub(crate) fn violate(&self, what: String) {
        self.books().violate(what);
    }
}
