//! What the topics hold, and have held.

use sdk_core::protocol::{LogEpoch, TopicPosition};

/// What there was of each topic at one time, if it was there.
pub(crate) type Backup = Vec<Option<Era>>;

/// One history of a topic.
#[derive(Debug, Clone)]
pub(crate) struct Era {
    pub(crate) epoch: LogEpoch,
    /// Every event that ever was, oldest first.
    pub(crate) events: Vec<Known>,
    /// Events that it has to keep; none keeps all.
    kept: Option<u64>,
    /// Whether it takes no more.
    pub(crate) closed: bool,
    /// Where it was closed; what its log has lost was told all the same.
    pub(crate) ends: Vec<u64>,
    /// Whether the topic was deleted.
    pub(crate) deleted: bool,
    /// What it had at its end and lost, each with its offset: who was told of it before may still say so.
    lost: Vec<(u64, Known)>,
}

/// An event.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) body: String,
    /// When it was appended.
    pub(crate) at: u64,
    /// Which of the clients' events it is.
    pub(crate) number: Option<usize>,
}

/// The histories of each topic.
#[derive(Debug)]
pub(crate) struct Truth {
    topics: Vec<Vec<Era>>,
    kept: Option<u64>,
}

impl Truth {
    pub(crate) fn new(topics: usize, kept: Option<u64>) -> Self {
        Self { topics: vec![Vec::new(); topics], kept }
    }

    /// A topic was made.
    pub(crate) fn begun(&mut self, topic: usize, epoch: LogEpoch) {
        self.begin(topic, epoch, self.kept);
    }

    /// A topic was made because an event was published to it while it was not there; it keeps all.
    pub(crate) fn begun_for_an_event(&mut self, topic: usize, epoch: LogEpoch) {
        self.begin(topic, epoch, None);
    }

    fn begin(&mut self, topic: usize, epoch: LogEpoch, kept: Option<u64>) {
        self.topics[topic].push(Era {
            epoch,
            events: Vec::new(),
            kept,
            closed: false,
            ends: Vec::new(),
            deleted: false,
            lost: Vec::new(),
        });
    }

    /// What is there now.
    pub(crate) fn backup(&self) -> Backup {
        self.topics.iter().map(|eras| eras.last().filter(|era| !era.deleted).cloned()).collect()
    }

    /// The topics go on from what they were, in other epochs.
    pub(crate) fn restored(&mut self, backup: &Backup, epochs: &[Option<LogEpoch>]) {
        for ((eras, era), epoch) in self.topics.iter_mut().zip(backup).zip(epochs) {
            match (era.clone(), *epoch) {
                (Some(era), Some(epoch)) => eras.push(Era { epoch, ..era }),
                _ => eras.iter_mut().for_each(|era| era.deleted = true),
            }
        }
    }

    /// The topics have lost what came to their ends since then. False, and nothing is lost, if one has another history now.
    pub(crate) fn lose(&mut self, backup: &Backup) -> bool {
        let same = |(eras, before): (&Vec<Era>, &Option<Era>)| {
            let last = eras.last().filter(|era| !era.deleted);
            last.map(|era| era.epoch) == before.as_ref().map(|era| era.epoch)
        };
        if !self.topics.iter().zip(backup).all(same) {
            return false;
        }
        for (eras, before) in self.topics.iter_mut().zip(backup) {
            let (Some(era), Some(before)) = (eras.last_mut(), before) else { continue };
            let lost = era.events.split_off(before.events.len()).into_iter();
            era.lost.extend((before.tail().offset + 1..).zip(lost));
            era.closed = before.closed;
        }
        true
    }

    /// The history that a topic has now.
    pub(crate) fn last(&mut self, topic: usize) -> &mut Era {
        self.topics[topic].last_mut().expect("topics are made before anything else")
    }

    /// A history.
    pub(crate) fn era(&self, topic: usize, epoch: LogEpoch) -> Option<&Era> {
        self.topics[topic].iter().find(|era| era.epoch == epoch)
    }

    /// The histories of a topic.
    pub(crate) fn eras(&self, topic: usize) -> &[Era] {
        &self.topics[topic]
    }

    /// Whether a history is the last one.
    pub(crate) fn is_last(&self, topic: usize, epoch: LogEpoch) -> bool {
        self.topics[topic].last().is_some_and(|era| era.epoch == epoch)
    }

    /// Somebody appended events.
    pub(crate) fn appended(&mut self, topic: usize, tail: TopicPosition, bodies: &[String], at: u64) {
        let era = self.last(topic);
        let known = |body: &String| Known { body: body.clone(), at, number: None };
        era.events.extend(bodies.iter().map(known));
        assert_eq!(
            (era.epoch, era.events.len() as u64),
            (tail.epoch, tail.offset),
            "positions have no holes"
        );
    }
}

impl Era {
    /// Events that may be gone.
    pub(crate) fn gone(&self) -> u64 {
        let most = self.lost.iter().map(|(offset, _)| *offset).fold(self.tail().offset, u64::max);
        self.kept.map_or(0, |kept| most.saturating_sub(kept))
    }

    /// Its end.
    pub(crate) fn tail(&self) -> TopicPosition {
        TopicPosition { epoch: self.epoch, offset: self.events.len() as u64 }
    }

    /// Whether it had an event at a position that it has lost.
    pub(crate) fn had(&self, position: TopicPosition, is: impl Fn(&Known) -> bool) -> bool {
        self.lost.iter().any(|(offset, known)| *offset == position.offset && is(known))
    }

    /// Whether a reader may have to go back from one offset to another: what it had last is lost.
    pub(crate) fn goes_back(&self, from: u64, to: u64) -> bool {
        to < from && self.has_lost(from)
    }

    /// Whether an event was there and is lost, whatever is in its place now.
    pub(crate) fn has_lost(&self, at: u64) -> bool {
        self.lost.iter().any(|(offset, _)| *offset == at)
    }

    /// No event comes any more.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.ends.push(self.events.len() as u64);
    }

    /// The event that is known with a position.
    pub(crate) fn before(&self, position: TopicPosition) -> Option<&Known> {
        self.events.get(usize::try_from(position.offset).ok()?.checked_sub(1)?)
    }
}
