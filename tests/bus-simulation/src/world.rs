//! One run: a topic with retention, producers whose answers get lost, readers, workers that share a group and forget
//! their leases, an operator, a clock, and a server that is started again.

use bytes::Bytes;
use fastrand::Rng;
use sdk_core::clock::Millis;
use server_reference::{
    dev::DevIssuer,
    storage::{
        events::{
            Append, Claim, ContentType, EventLog, GroupName, GroupStore, LetterId, LogError, NewGroup,
            NewTopic, Poison, Position, Producer, Retention, Rules, Settle, Start, TopicName, Unread,
            Verdict,
        },
        sqlite::events::{Caps, EventStore},
    },
    tenant::TenantScope,
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::{
    Ended, Trace,
    model::{Item, Lease, Model, State},
    reader::Reader,
};

/// When the world begins, in Unix milliseconds.
const BEGINNING: u64 = 1_700_000_000_000;
/// Steps before everything is brought to an end.
const STEPS: usize = 120;
/// Lanes.
const KEYS: u8 = 4;

/// One run.
pub(crate) struct World {
    pub(crate) random: Rng,
    pub(crate) now: u64,
    folder: TempDir,
    pub(crate) runtime: Runtime,
    store: Option<EventStore>,
    pub(crate) scope: TenantScope,
    pub(crate) retention: Retention,
    pub(crate) model: Model,
    producers: Vec<Sender>,
    readers: Vec<Reader>,
    trace: Trace,
}

/// A producer: the batch that it does not know the fate of, and how far it has come.
#[derive(Default)]
struct Sender {
    epoch: u64,
    sequence: u64,
    unknown: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(seed: u64, verbose: bool) -> Self {
        let mut random = Rng::with_seed(seed);
        let issuer = DevIssuer::from_secret([7; 32]);
        let token = issuer.mint("t", "ada", 3_600, Millis(BEGINNING)).expect("a key of 32 bytes signs");
        let identity = issuer.verifier().verify(&token, Millis(BEGINNING)).expect("it has just been made");
        let some =
            |random: &mut Rng, share: f64, from, to| (random.f64() < share).then(|| random.u64(from..=to));
        let retention = Retention {
            events: some(&mut random, 0.3, 5, 60),
            age: some(&mut random, 0.2, 20_000, 200_000),
            bytes: None,
        };
        let backoff = random.u64(0..=2_000);
        let rules = Rules {
            lease_ms: random.u64(1_000..=20_000),
            attempts: random.u32(1..=4),
            backoff_ms: backoff,
            backoff_max_ms: backoff * random.u64(1..=8),
            poison: *random.choice(&[Poison::Halt, Poison::Park, Poison::Skip]).expect("there are three"),
            outstanding: if random.f64() < 0.3 { random.u64(1..=10) } else { 1_000 },
            unread: Unread {
                events: some(&mut random, 0.2, 5, 40),
                bytes: None,
                age_seconds: some(&mut random, 0.15, 10, 100),
            },
            ..Rules::default()
        };
        Self {
            now: BEGINNING,
            folder: tempfile::tempdir().expect("there is room for a folder"),
            runtime: Builder::new_current_thread().build().expect("a runtime needs memory alone"),
            store: None,
            scope: TenantScope::of(identity),
            retention,
            model: Model::new(rules),
            producers: (0..3).map(|_| Sender::default()).collect(),
            readers: (0..3).map(|_| Reader::default()).collect(),
            trace: Trace::new(verbose),
            random,
        }
    }

    pub(crate) fn run(mut self) -> Ended {
        let violation = self.live().err();
        Ended { violation, hash: self.trace.hash() }
    }

    fn live(&mut self) -> Result<(), String> {
        self.restart()?;
        let new = NewTopic { content_type: Some(json()), retention: self.retention, ..NewTopic::default() };
        self.runtime
            .block_on(self.store().create(self.scope.clone(), topic(), new, self.time()))
            .map_err(words)?;
        let new = NewGroup {
            topic: topic(),
            start: Start::Earliest,
            rules: self.model.rules.clone(),
            redelivery: Default::default(),
        };
        self.runtime
            .block_on(self.store().make_group(self.scope.clone(), group(), new, self.time()))
            .map_err(words)?;
        for _ in 0..STEPS {
            match self.random.u8(0..100) {
                0..22 => self.produce()?,
                22..44 => self.claim(None)?,
                44..66 => self.settle()?,
                66..76 => self.read()?,
                76..84 => self.operate()?,
                84..88 => self.tidy()?,
                88..91 => self.restart()?,
                _ => {
                    let most = if self.random.bool() { 500 } else { 30_000 };
                    self.now += self.random.u64(0..=most);
                }
            }
            self.hold()?;
        }
        self.finish()
    }

    /// Everything is worked on until nothing is left, and nothing was lost unawares.
    fn finish(&mut self) -> Result<(), String> {
        for sender in 0..self.producers.len() {
            if self.producers[sender].unknown.is_some() {
                self.send(sender, false)?;
            }
        }
        for _ in 0..10_000 {
            let open = self.model.count(|state| !matches!(state, State::Resolved | State::Halted));
            let halted: Vec<LetterId> =
                self.letters()?.into_iter().filter(|(_, _, live)| !live).map(|(id, ..)| id).collect();
            if !halted.is_empty() {
                self.discard(&halted)?;
            }
            if open == 0 && halted.is_empty() {
                break;
            }
            self.claim(Some(1_000))?;
            let lease = self.model.leases.len() - 1;
            if !self.model.leases[lease].over {
                self.answer(lease, None, Verdict::Ack)?;
            }
            self.hold()?;
            self.now += 25_000;
        }
        for _ in 0..10_000 {
            self.read()?;
            if self.readers.iter().all(|reader| reader.at.is_some_and(|at| at.offset == self.model.tail())) {
                break;
            }
        }
        let tail = self.model.tail();
        if self.model.cursor() != tail {
            return Err(format!("the group never came beyond {} of {tail}", self.model.cursor()));
        }
        match self.readers.iter().find(|reader| reader.read + reader.missed != tail) {
            Some(reader) => Err(format!("a reader of {tail} events has {reader:?}")),
            None => Ok(()),
        }
    }

    fn produce(&mut self) -> Result<(), String> {
        let sender = self.random.usize(0..self.producers.len());
        let lost = self.random.u8(0..4) == 0;
        self.send(sender, lost)
    }

    /// Sends a batch, or once more the one whose answer was lost.
    fn send(&mut self, sender: usize, lost: bool) -> Result<(), String> {
        let repeated = self.producers[sender].unknown.take();
        let is_new = repeated.is_none();
        let count = self.random.usize(1..=5);
        let first = self.model.tail() + 1;
        let batch = repeated.unwrap_or_else(|| (first..).take(count).map(|n| self.event(n)).collect());
        if is_new && self.random.u8(0..10) == 0 {
            // It was started again.
            let sender = &mut self.producers[sender];
            (sender.epoch, sender.sequence) = (sender.epoch + 1, 0);
        }
        let Sender { epoch, sequence, .. } = self.producers[sender];
        let append = Append {
            content_type: Some(json()),
            events: batch.iter().map(|body| Bytes::copy_from_slice(body.as_bytes())).collect(),
            producer: Some(Producer { id: format!("p{sender}"), epoch, sequence }),
            ..Append::default()
        };
        let appended =
            self.runtime.block_on(self.store().append(self.scope.clone(), topic(), append, self.time()));
        let appended = appended.map_err(words)?;
        self.note(format_args!("p{sender} sends {} (lost: {lost}): {appended:?}", batch.len()));
        if appended.fresh != is_new {
            return Err(format!(
                "a batch of p{sender} that was new ({is_new}) was taken as {}",
                appended.fresh
            ));
        }
        if is_new {
            let at = self.now;
            self.model.items.extend(batch.iter().map(|body| item(body, at)));
        }
        if lost {
            self.producers[sender].unknown = Some(batch);
        } else {
            self.producers[sender].sequence += 1;
        }
        Ok(())
    }

    fn event(&mut self, number: u64) -> String {
        match self.random.u8(0..KEYS + 2) {
            key @ 0..KEYS => format!("{{\"subject\":\"k{key}\",\"n\":{number}}}"),
            _ => format!("{{\"n\":{number}}}"),
        }
    }

    fn claim(&mut self, most: Option<usize>) -> Result<(), String> {
        let events = most.unwrap_or_else(|| self.random.usize(1..=8));
        let secret = format!("s{}", self.model.leases.len());
        let worker = format!("w{}", self.random.u8(0..5));
        let chance = self.random.u64(..);
        let claim = Claim { worker, events, bytes: 1_000_000, secret, chance };
        let now = self.now;
        let claimed =
            self.runtime.block_on(self.store().claim(self.scope.clone(), group(), claim, self.time()));
        let claimed = claimed.map_err(words)?;
        self.note(format_args!("claim of {events}: {claimed:?}"));
        self.model.lapse(now);
        self.model.shed(now);
        let untold = self.model.lost - self.model.told;
        if claimed.lost.map_or(0, |lost| lost.events) != untold {
            return Err(format!("{untold} lost events nobody was told of, and it was {:?}", claimed.lost));
        }
        if claimed.events.is_empty() && self.model.rules.outstanding > self.model.tail() {
            let due = (1..=self.model.tail()).find(|number| self.model.is_due(*number, now));
            if let Some(number) = due {
                return Err(format!("{number} may be handed out, and was not"));
            }
        }
        let Some(given) = claimed.lease else {
            return if claimed.events.is_empty() { Ok(()) } else { Err("events without a lease".into()) };
        };
        if self.model.leases.iter().any(|lease| lease.id == given.id) {
            return Err(format!("the lease {} was given twice", given.id));
        }
        let lease = self.model.leases.len() as u64;
        let mut members = Vec::new();
        for redelivery in &claimed.events {
            let number = redelivery.position.offset;
            if let Some(why) = self.model.obstacle(number, now) {
                return Err(why);
            }
            let item = self.model.item(number);
            if item.edited.as_ref().unwrap_or(&item.body).as_bytes() != redelivery.body
                || item.at != redelivery.at.0
            {
                return Err(format!("{number} was handed out as another event"));
            }
            if item.attempts + 1 != redelivery.attempt {
                return Err(format!(
                    "attempt {} of {number} is called {}",
                    item.attempts + 1,
                    redelivery.attempt
                ));
            }
            item.state = State::Out(lease);
            members.push(number);
        }
        let told = self.model.lost;
        let until = given.until.0;
        self.model.leases.push(Lease { id: given.id, until, members, told, over: false });
        Ok(())
    }

    fn settle(&mut self) -> Result<(), String> {
        let Some(newest) = self.model.leases.len().checked_sub(1) else { return Ok(()) };
        // Mostly a late one, and sometimes one that is long over.
        let lease = newest.saturating_sub(self.random.usize(0..6));
        let some = (self.random.u8(0..3) > 0).then(|| {
            let members = self.model.leases[lease].members.clone();
            members.into_iter().filter(|_| self.random.bool()).collect::<Vec<_>>()
        });
        let verdict = match self.random.u8(0..10) {
            0..6 => Verdict::Ack,
            6..9 => {
                let delay = self.random.bool().then(|| self.random.u64(0..=5_000));
                Verdict::Nack { delay, error: "no".into() }
            }
            _ => Verdict::Extend,
        };
        self.answer(lease, some, verdict)
    }

    fn answer(&mut self, lease: usize, some: Option<Vec<u64>>, verdict: Verdict) -> Result<(), String> {
        let now = self.now;
        let held = self.model.leases[lease].clone();
        let epoch = self
            .runtime
            .block_on(self.store().describe(self.scope.clone(), topic(), self.time()))
            .map_err(words)?
            .tail
            .epoch;
        let positions = some
            .clone()
            .map(|some| some.into_iter().map(|offset| Position { epoch, offset }).collect::<Vec<_>>());
        let settle = Settle {
            lease: held.id.clone(),
            positions,
            verdict: verdict.clone(),
            chance: self.random.u64(..),
        };
        let settled =
            self.runtime.block_on(self.store().settle(self.scope.clone(), group(), settle, self.time()));
        self.note(format_args!("{verdict:?} of {some:?} under {lease}: {settled:?}"));
        let is_good = !held.over && held.until > now;
        let settled = match (settled, is_good) {
            (Ok(settled), true) => settled,
            (Err(LogError::Fenced), false) => return Ok(()),
            (settled, _) => return Err(format!("under a lease that is good ({is_good}): {settled:?}")),
        };
        self.model.told = self.model.told.max(held.told);
        let mut changed = 0;
        if verdict == Verdict::Extend {
            let until = held.until.max(now + self.model.rules.lease_ms);
            self.model.leases[lease].until = until;
        } else {
            for number in some.unwrap_or(held.members) {
                let item = self.model.item(number);
                if item.state != State::Out(lease as u64) {
                    continue;
                }
                changed += 1;
                match verdict {
                    Verdict::Nack { delay, .. } => self.model.fail(number, now, delay),
                    _ => (item.state, item.letter) = (State::Resolved, None),
                }
            }
        }
        let until = self.model.leases[lease].until;
        if (settled.events, settled.until.0) != (changed, until) {
            return Err(format!("{changed} were settled until {until}, and told was {settled:?}"));
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), String> {
        let reader = self.random.usize(0..self.readers.len());
        let bytes = self.random.usize(1..=400);
        let question = self.readers[reader].question(bytes);
        let answer =
            self.runtime.block_on(self.store().read(self.scope.clone(), topic(), question, self.time()));
        self.note(format_args!("reader {reader}: {answer:?}"));
        self.readers[reader].take(answer, &self.model)
    }

    fn tidy(&mut self) -> Result<(), String> {
        self.runtime.block_on(self.store().tidy(self.time())).map_err(words)?;
        self.look_at_the_head()?;
        self.model.lapse(self.now);
        if self.model.rules.unread != Unread::default() {
            self.model.shed(self.now);
        }
        if let Some(events) = self.retention.events
            && self.model.trimmed < self.model.tail().saturating_sub(events)
        {
            return Err(format!(
                "{} of {} are gone, and {events} to be kept",
                self.model.trimmed,
                self.model.tail()
            ));
        }
        Ok(())
    }

    /// The server is started again. What it acknowledged is there.
    fn restart(&mut self) -> Result<(), String> {
        self.store = None;
        let path = self.folder.path().join("events.db");
        let store = EventStore::open(&path, Caps::default(), Box::new(|| 7), Box::new(|_| {}));
        self.store = Some(store.map_err(|error| error.to_string())?);
        self.note(format_args!("restart"));
        Ok(())
    }

    pub(crate) fn store(&self) -> &EventStore {
        self.store.as_ref().expect("it is started before anything else")
    }

    pub(crate) fn time(&self) -> Millis {
        Millis(self.now)
    }

    pub(crate) fn note(&mut self, what: std::fmt::Arguments<'_>) {
        self.trace.note(self.now - BEGINNING, what);
    }
}

fn item(body: &str, at: u64) -> Item {
    let value: serde_json::Value = serde_json::from_str(body).expect("events are JSON");
    let key = value["subject"].as_str().and_then(|key| key.strip_prefix('k')?.parse().ok());
    Item {
        key,
        at,
        body: body.to_owned(),
        edited: None,
        state: State::Waiting,
        again: false,
        attempts: 0,
        due: (0, 0),
        letter: None,
    }
}

pub(crate) fn topic() -> TopicName {
    TopicName::new("orders").expect("it is a name")
}

pub(crate) fn group() -> GroupName {
    GroupName::new("workers").expect("it is a name")
}

pub(crate) fn json() -> ContentType {
    ContentType::new("application/json").expect("it is a type")
}

#[expect(clippy::needless_pass_by_value, reason = "it ends a chain of calls")]
pub(crate) fn words(error: LogError) -> String {
    format!("the log answered: {error:?}")
}
