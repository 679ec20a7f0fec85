//! What should be: the events of a topic, and what a group has made of each.

use server_reference::storage::events::{Poison, Rules};

/// An event of the topic.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// Its lane.
    pub(crate) key: Option<u8>,
    /// When it was appended.
    pub(crate) at: u64,
    /// What was appended.
    pub(crate) body: String,
    /// What is handed out in its place, since its letter was edited.
    pub(crate) edited: Option<String>,
    pub(crate) state: State,
    /// It is tried again after it had been resolved.
    pub(crate) again: bool,
    /// How often it was handed out and failed.
    pub(crate) attempts: u32,
    /// It is due no earlier and no later than that.
    pub(crate) due: (u64, u64),
    pub(crate) letter: Option<Letter>,
}

/// Where an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It may be handed out when it is due, and nothing of its lane is in the way.
    Waiting,
    /// It is out under a lease.
    Out(u64),
    /// It waits for somebody to decide.
    Halted,
    /// The group is done with it.
    Resolved,
}

/// A dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Letter {
    /// Which death.
    pub(crate) round: u32,
    /// It is being tried once more.
    pub(crate) live: bool,
}

/// A lease that was given.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    pub(crate) id: String,
    pub(crate) until: u64,
    /// The numbers of its events.
    pub(crate) members: Vec<u64>,
    /// How much the group had lost when it was given.
    pub(crate) told: u64,
    /// It was taken back.
    pub(crate) over: bool,
}

/// The topic and its group. The event with number n is the nth that was ever appended.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) rules: Rules,
    pub(crate) items: Vec<Item>,
    pub(crate) leases: Vec<Lease>,
    /// Events that are not kept any more.
    pub(crate) trimmed: u64,
    pub(crate) lost: u64,
    pub(crate) told: u64,
    pub(crate) skipped: u64,
}

impl Model {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules, items: Vec::new(), leases: Vec::new(), trimmed: 0, lost: 0, told: 0, skipped: 0 }
    }

    pub(crate) fn tail(&self) -> u64 {
        self.items.len() as u64
    }

    pub(crate) fn item(&mut self, number: u64) -> &mut Item {
        &mut self.items[index(number)]
    }

    /// Everything up to here is resolved.
    pub(crate) fn cursor(&self) -> u64 {
        let open = |item: &Item| item.state != State::Resolved && !item.again;
        self.items.iter().position(open).map_or(self.tail(), |first| first as u64)
    }

    pub(crate) fn count(&self, is: impl Fn(State) -> bool) -> u64 {
        self.items.iter().filter(|item| is(item.state)).count() as u64
    }

    pub(crate) fn letters(&self) -> impl Iterator<Item = (u64, Letter)> {
        (1..).zip(&self.items).filter_map(|(number, item)| Some((number, item.letter?)))
    }

    /// What is out under leases that are over comes back, as attempts that failed.
    pub(crate) fn lapse(&mut self, now: u64) {
        let mut over: Vec<usize> = (0..self.leases.len())
            .filter(|lease| !self.leases[*lease].over && self.leases[*lease].until <= now)
            .collect();
        over.sort_by_key(|lease| self.leases[*lease].until);
        for lease in over {
            self.leases[lease].over = true;
            for number in self.leases[lease].members.clone() {
                if self.item(number).state == State::Out(lease as u64) {
                    self.fail(number, now, None);
                }
            }
        }
    }

    /// What cannot be read any more, or was left unread for too long, is lost.
    pub(crate) fn shed(&mut self, now: u64) {
        let mut floor = self.trimmed;
        if let Some(events) = self.rules.unread.events {
            floor = floor.max(self.tail().saturating_sub(events));
        }
        if let Some(seconds) = self.rules.unread.age_seconds {
            let oldest = now.saturating_sub(seconds * 1_000);
            floor = floor.max(self.items.iter().filter(|item| item.at < oldest).count() as u64);
        }
        for number in 1..=floor {
            let item = self.item(number);
            if item.state == State::Waiting && item.letter.is_none() {
                item.state = State::Resolved;
                self.lost += 1;
            }
        }
    }

    /// An attempt has failed.
    pub(crate) fn fail(&mut self, number: u64, now: u64, delay: Option<u64>) {
        let Rules { attempts, backoff_ms, backoff_max_ms, poison, .. } = self.rules.clone();
        let is_kept = number > self.trimmed;
        let item = self.item(number);
        if item.attempts + 1 < attempts {
            let bound = backoff_ms.saturating_mul(1 << item.attempts.min(40)).min(backoff_max_ms);
            item.due = delay.map_or((now, now + bound), |delay| (now + delay, now + delay));
            item.attempts += 1;
            item.state = State::Waiting;
            return;
        }
        if poison == Poison::Skip {
            item.state = State::Resolved;
            self.skipped += 1;
            return;
        }
        item.letter = match item.letter {
            Some(Letter { round, .. }) => Some(Letter { round: round + 1, live: false }),
            None if is_kept => Some(Letter { round: 1, live: false }),
            None => None,
        };
        item.state = match (item.letter, poison) {
            (Some(_), Poison::Halt) => State::Halted,
            _ => State::Resolved,
        };
        if item.letter.is_none() {
            self.lost += 1;
        }
    }

    /// Why an event cannot be handed out now; none if it can.
    pub(crate) fn obstacle(&self, number: u64, now: u64) -> Option<String> {
        let item = &self.items[index(number)];
        if item.state != State::Waiting {
            return Some(format!("{number} is {:?}", item.state));
        }
        if item.due.0 > now {
            return Some(format!("{number} is due at {} and it is {now}", item.due.0));
        }
        if item.letter.is_none() && number <= self.trimmed {
            return Some(format!("{number} is not kept any more"));
        }
        let key = item.key?;
        let lane = (1..).zip(&self.items).filter(|(other, each)| each.key == Some(key) && *other != number);
        for (other, each) in lane {
            if matches!(each.state, State::Out(_)) {
                return Some(format!("{number} has the key of {other}, which is out"));
            }
            let before = other < number && !each.again && !item.again;
            if before && each.state != State::Resolved {
                return Some(format!("{number} has the key of {other}, which comes before it"));
            }
        }
        None
    }

    /// Whether nothing at all speaks against handing an event out, whatever chance said of its pause.
    pub(crate) fn is_due(&self, number: u64, now: u64) -> bool {
        let item = &self.items[index(number)];
        let lane_is_free = item.key.is_none_or(|key| {
            let mut others = (1..).zip(&self.items).filter(|(other, _)| *other != number);
            others.all(|(_, each)| each.key != Some(key) || each.state == State::Resolved)
        });
        item.due.1 <= now && lane_is_free && self.obstacle(number, now).is_none()
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number - 1).expect("as many events as memory holds")
}
