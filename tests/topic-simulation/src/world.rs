//! One run from its beginning to its end.

use std::{collections::BTreeMap, sync::Arc};

use bus_simulation::{Ended, Trace};
use fastrand::Rng;
use sdk_core::routing::LinkState;
use tokio::time::{Duration, sleep};

use crate::{
    books::Books,
    client::Device,
    network::{Requests, Sockets},
    operator,
    plan::{Fault, HEALING, NOTICED, Plan},
    publisher,
    reader::{self, Mark, Memory, of_client},
    server::{Server, name},
    sim::{COPIES, Sim},
    store::Held,
    truth::Truth,
};

/// Milliseconds between two looks at what should be true all the time.
const LOOK: u64 = 5_000;
/// Milliseconds after which to look for the next refusal, once somebody has decided about one.
const DECIDED: u64 = 200;

struct World {
    sim: Arc<Sim>,
    server: Arc<Server>,
    devices: Vec<Arc<Device>>,
    /// What the storage of clients once was.
    backups: BTreeMap<usize, Held>,
    /// Since when the server runs, and its log works.
    well: u64,
}

/// Runs a seed.
pub(crate) async fn run(seed: u64, verbose: bool) -> Ended {
    let mut random = Rng::with_seed(seed);
    let plan = Plan::of(&mut random);
    let mut books = Books::new(Trace::new(verbose), Truth::new(plan.topics, plan.kept));
    books.trace.note(0, format_args!("{plan:?}"));
    let sim = Arc::new(Sim::new(plan, random, books));
    let server = Arc::new(Server::new(sim.clone()));
    let device = |number| Arc::new(Device::new(sim.clone(), server.clone(), number, number));
    let devices = (0..sim.plan.clients).map(device).collect();
    let mut world = World { sim: sim.clone(), server, devices, backups: BTreeMap::new(), well: 0 };
    if let Err(violation) = world.live().await {
        sim.violate(violation);
    }
    let books = sim.books();
    Ended { violation: books.violation().cloned(), hash: books.trace.hash() }
}

impl World {
    async fn live(&mut self) -> Result<(), String> {
        self.server.start();
        (0..self.sim.plan.topics).for_each(|topic| self.server.make(topic));
        self.server.back_up();
        for device in &self.devices {
            for topic in 0..self.sim.plan.topics {
                for memory in [Memory::Durable, Memory::Own] {
                    let mark = Mark::new(topic, memory, self.sim.random(|random| random.bool()));
                    let reader = of_client(device.number, &reader_of(topic, memory));
                    self.sim.books().marks.insert(reader, mark);
                }
            }
        }
        for device in &self.devices {
            self.start(device).await;
        }
        let mut next = self.sim.up_to(self.sim.plan.calm);
        while self.sim.now() < self.sim.plan.busy {
            sleep(Duration::from_millis(next.min(LOOK))).await;
            next = next.saturating_sub(LOOK);
            if self.sim.chance(200) {
                let (topic, count) =
                    (self.sim.random(|random| random.usize(0..self.sim.plan.topics)), self.sim.up_to(6));
                self.server.append(topic, count as usize);
            }
            if self.sim.chance(100) {
                self.server.sync();
            }
            if self.sim.chance(self.sim.plan.operator) {
                tokio::spawn(operator::act(self.sim.clone(), self.server.clone()));
            }
            self.look()?;
            if next == 0 {
                next = self.sim.up_to(self.sim.plan.calm);
                self.fault().await;
            }
        }
        self.heal().await;
        self.come_to_rest().await
    }

    /// A client starts, with its applications.
    async fn start(&self, device: &Arc<Device>) {
        let (client, tasks) = device.start().await;
        let (sim, number) = (self.sim.clone(), device.number);
        let bookmarks = device.disk().bookmarks();
        for topic in 0..sim.plan.topics {
            for memory in [Memory::Durable, Memory::Own] {
                let reader = reader_of(topic, memory);
                let stored = bookmarks.iter().find(|(of, on, _)| *of == reader && *on == name(topic));
                let pace = [10, 1_000, 20_000][sim.random(|random| random.usize(0..3))];
                let stored = stored.map(|stored| stored.2);
                tasks.spawn(reader::run(sim.clone(), client.clone(), number, reader, stored, pace));
            }
        }
        tasks.spawn(publisher::run(sim, client, tasks.clone(), number, self.sim.plan.busy));
    }

    /// Something goes wrong, for a while.
    async fn fault(&mut self) {
        if self.sim.plan.faults.is_empty() {
            return;
        }
        let (fault, client, lasts) = self.sim.random(|random| {
            let fault = self.sim.plan.faults[random.usize(0..self.sim.plan.faults.len())];
            (fault, random.usize(0..self.devices.len()), random.u64(1..=self.sim.plan.lasts))
        });
        self.sim.note(format_args!("{fault:?}, of client {client} if it is one's, for {lasts}"));
        let topic = self.sim.random(|random| random.usize(0..self.sim.plan.topics));
        let now = self.sim.now();
        let refused = |path: &mut crate::network::Path| path.sockets = Sockets::Refused;
        let mut path = self.sim.path(client);
        match fault {
            Fault::Cut => return path.cut(),
            Fault::Refuse => path.change(now, refused),
            Fault::Portal => path.change(now, |path| {
                (path.sockets, path.requests) = (Sockets::Page, Requests::Page);
            }),
            Fault::Silence => path.change(now, |path| {
                (path.sockets, path.requests) = (Sockets::Silent, Requests::Silent);
            }),
            Fault::Offline => path.change(now, |path| {
                (path.sockets, path.requests) = (Sockets::Refused, Requests::Refused);
            }),
            Fault::Buffering => path.change(now, |path| {
                refused(path);
                path.buffers = true;
            }),
            Fault::Impatience => {
                let patience = self.sim.up_to(30_000);
                path.change(now, |path| {
                    refused(path);
                    path.patience = Some(patience.max(4_000));
                });
            }
            Fault::Damage => path.change(now, |path| {
                refused(path);
                path.damage = 200;
            }),
            Fault::Staleness => path.change(now, |path| {
                refused(path);
                path.stale = true;
            }),
            Fault::Haste => path.change(now, |path| {
                refused(path);
                path.hasty = true;
            }),
            _ => {
                drop(path);
                return self.fault_of_a_process(fault, client, topic, lasts).await;
            }
        }
        // What was open before is not, but where nothing is told.
        if fault != Fault::Silence {
            path.cut();
        }
        drop(path);
        let sim = self.sim.clone();
        tokio::spawn(async move {
            sleep(Duration::from_millis(lasts)).await;
            let mut path = sim.path(client);
            if path.since == now {
                path.change(now + lasts, |_| {});
            }
        });
    }

    async fn fault_of_a_process(&mut self, fault: Fault, client: usize, topic: usize, lasts: u64) {
        let device = self.devices[client].clone();
        match fault {
            Fault::ClientCrash => {
                device.crash();
                self.start(&device).await;
            }
            Fault::Disk => {
                device.disk().trouble = 400;
                sleep(Duration::from_millis(lasts.min(20_000))).await;
                device.disk().trouble = 0;
            }
            Fault::Amnesia => {
                device.crash();
                let commits = self.sim.up_to(8);
                device.disk().lose(commits as usize);
                self.sim.note(format_args!("client {client} has lost {commits} commits"));
                let held = device.disk().held.clone();
                self.go_on_from(&device, held).await;
            }
            Fault::PutBack => match self.backups.remove(&client) {
                Some(held) => {
                    device.crash();
                    self.sim.note(format_args!("client {client} is put back"));
                    self.go_on_from(&device, held).await;
                }
                None => {
                    self.backups.insert(client, device.disk().held.clone());
                }
            },
            Fault::Copy => self.copy(&device).await,
            Fault::ServerCrash => {
                self.server.crash();
                self.sim.wait(15_000).await;
                self.server.start();
            }
            Fault::ServerStop => {
                self.server.stop();
                self.sim.wait(10_000).await;
                self.server.crash();
                self.sim.wait(15_000).await;
                self.server.start();
            }
            Fault::ServerAmnesia => {
                self.server.lose();
                self.sim.wait(15_000).await;
                self.server.start();
            }
            Fault::Restore => {
                self.server.restore();
                self.sim.wait(15_000).await;
                self.server.start();
                self.server.back_up();
            }
            Fault::ServerDisk => {
                if let Some(running) = self.server.running() {
                    *running.log.trouble.lock().expect("no part panics") = 400;
                    sleep(Duration::from_millis(lasts.min(20_000))).await;
                    *running.log.trouble.lock().expect("no part panics") = 0;
                }
            }
            Fault::Recreate => self.server.make(topic),
            Fault::Delete => {
                self.server.delete(topic);
                self.make_later(topic, lasts);
            }
            Fault::Close => {
                let count = self.sim.up_to(4);
                self.server.close(topic, count as usize);
                if self.sim.chance(700) {
                    self.make_later(topic, lasts);
                }
            }
            Fault::Flood => {
                self.server.append(topic, 40);
                self.server.tidy();
                return;
            }
            _ => return,
        }
        self.well = self.sim.now();
        if self.sim.chance(300) {
            self.server.back_up();
        }
    }

    /// A topic is made anew, if it takes no events then.
    fn make_later(&self, topic: usize, millis: u64) {
        let (sim, server) = (self.sim.clone(), self.server.clone());
        tokio::spawn(async move {
            sleep(Duration::from_millis(millis)).await;
            if sim.now() < sim.plan.busy && !server.takes_events(topic) {
                server.make(topic);
            }
        });
    }

    /// A client starts whose storage is what it was before, or another's.
    async fn go_on_from(&self, device: &Arc<Device>, held: Held) {
        let events = {
            let mut disk = device.disk();
            disk.put_back(held);
            disk.events()
        };
        self.sim.books().ledger.put_back(device.number, &events);
        self.start(device).await;
    }

    /// There is another device with the storage of one, and with what its applications know.
    async fn copy(&mut self, device: &Arc<Device>) {
        let number = self.devices.len();
        if number == self.sim.plan.clients + COPIES {
            return;
        }
        self.sim.note(format_args!("client {} is copied as {number}", device.number));
        let held = device.disk().held.clone();
        for topic in 0..self.sim.plan.topics {
            for memory in [Memory::Durable, Memory::Own] {
                let reader = reader_of(topic, memory);
                let mut books = self.sim.books();
                let mark = books.marks[&of_client(device.number, &reader)].clone();
                books.marks.insert(of_client(number, &reader), mark);
            }
        }
        let copy = Arc::new(device.copy(number));
        self.devices.push(copy.clone());
        self.go_on_from(&copy, held).await;
    }

    /// What is true all the time.
    fn look(&self) -> Result<(), String> {
        if let Some(violation) = self.sim.books().violation() {
            return Err(violation.clone());
        }
        let now = self.sim.now();
        for device in &self.devices {
            let Some((client, _)) = device.running() else { continue };
            let (since, sockets, requests, troubled) = {
                let path = self.sim.path(device.number);
                (path.since.max(self.well), path.sockets, path.requests, path.damage > 0 || path.stale)
            };
            if now < since + NOTICED {
                continue;
            }
            let expected = match (sockets, requests) {
                (Sockets::Open, _) => LinkState::Up,
                (_, Requests::Open) => LinkState::Degraded,
                _ => LinkState::Down,
            };
            let link = client.status().link;
            if link != expected && !troubled {
                return Err(format!("client {} says {link:?} and it is {expected:?}", device.number));
            }
            if expected != LinkState::Down && !troubled {
                self.look_at_readers(device.number, now)?;
            }
        }
        Ok(())
    }

    /// What was there a while ago has come to those who read.
    fn look_at_readers(&self, client: usize, now: u64) -> Result<(), String> {
        let mut books = self.sim.books();
        for topic in 0..self.sim.plan.topics {
            let era = books.truth.last(topic);
            let old = era.events.iter().take_while(|known| known.at + NOTICED < now).count() as u64;
            let epoch = era.epoch;
            if era.deleted {
                continue;
            }
            for memory in [Memory::Durable, Memory::Own] {
                let reader = of_client(client, &reader_of(topic, memory));
                let mark = &books.marks[&reader];
                if mark.waits_in_vain(now - NOTICED, epoch, old) {
                    return Err(format!(
                        "reader {reader} is at {:?} and {old} were there long ago",
                        mark.at()
                    ));
                }
            }
        }
        Ok(())
    }

    /// All faults end.
    async fn heal(&mut self) {
        self.sim.note(format_args!("everything is mended"));
        self.server.start();
        for topic in 0..self.sim.plan.topics {
            // Of what waits for a topic that is closed each is refused; one that is made anew takes it.
            if !self.server.takes_events(topic)
                && (self.sim.chance(700) || self.sim.books().truth.last(topic).deleted)
            {
                self.server.make(topic);
            }
        }
        self.well = self.sim.now();
        for device in &self.devices {
            device.disk().trouble = 0;
            let now = self.sim.now();
            self.sim.path(device.number).change(now, |_| {});
        }
    }

    /// What is pending comes to its end.
    async fn come_to_rest(&mut self) -> Result<(), String> {
        let healed = self.sim.now();
        let mut pause = LOOK;
        loop {
            sleep(Duration::from_millis(pause)).await;
            pause = LOOK;
            for device in &self.devices {
                if let Some((client, _)) = device.running() {
                    // Behind each that was refused others may wait for the same.
                    pause = if client.status().rejected > 0 { DECIDED } else { pause };
                    publisher::care(&self.sim, &client, device.number).await;
                }
            }
            self.look()?;
            match self.pending() {
                None => break,
                Some(what) if self.sim.now() > healed + HEALING => {
                    return Err(format!("never at rest: {what}"));
                }
                Some(_) => {}
            }
        }
        self.sim.books().ledger.at_rest()
    }

    fn pending(&self) -> Option<String> {
        for device in &self.devices {
            let (client, _) = device.running()?;
            let status = client.status();
            if status.link != LinkState::Up || status.pending > 0 || status.rejected > 0 {
                return Some(format!("client {} is {status:?}", device.number));
            }
            let bookmarks = device.disk().bookmarks();
            for topic in 0..self.sim.plan.topics {
                let (tail, closed) = {
                    let mut books = self.sim.books();
                    let era = books.truth.last(topic);
                    (era.tail(), era.closed)
                };
                for memory in [Memory::Durable, Memory::Own] {
                    let name = reader_of(topic, memory);
                    let reader = of_client(device.number, &name);
                    let mark = self.sim.books().marks[&reader].clone();
                    let at = mark.at();
                    if !mark.is_done(tail, closed) {
                        return Some(format!("reader {reader} is at {at:?}, the topic at {tail}; {closed}"));
                    }
                    let stored = bookmarks
                        .iter()
                        .find(|(of, on, _)| *of == name && *on == crate::server::name(topic))
                        .map(|(.., at)| *at);
                    if memory == Memory::Durable && at.is_some() && stored != at {
                        return Some(format!("reader {reader} is at {at:?} and stored is {stored:?}"));
                    }
                }
            }
        }
        None
    }
}

fn reader_of(topic: usize, memory: Memory) -> String {
    format!("{topic}-{memory:?}")
}
