//! The topics that one session reads, and what to read for it next.
//!
//! As with collections, at most one read is in flight, and a reader that was told `more` gets nothing until it asks: a
//! slow reader is never sent more than that, and catches up from the log.

use std::{collections::BTreeMap, sync::Arc};

use sdk_core::protocol::{
    EndReason, Ended, Events, Json, MAX_TOPICS, ProtocolError, ServerFrame, Start, Subscribe, TopicPosition,
    encode,
};

use super::level::{Level, Meets};
use crate::{
    access::{Access, Right},
    storage::events::{After, Events as Bodies, Form, Fresh, LogError, News, Read, Slice, TopicName},
    streams::{Code, refusal},
};

/// Bytes of the first page of a subscription. Whoever has more to catch up with gets it compressed over HTTP, if they
/// like, and as pages of the usual size if they ask on.
const FIRST_PAGE: usize = 8 * 1024;

/// The subscriptions of one session.
#[derive(Debug, Default)]
pub(super) struct Topics {
    subscriptions: BTreeMap<u64, Subscription>,
    reading: Option<Reading>,
    /// The one that was read last; the next one after it has its turn.
    last: Option<u64>,
}

#[derive(Debug)]
struct Subscription {
    topic: TopicName,
    /// After what the next read begins.
    after: After,
    /// Where the reader stands if it has all of the topic; `after` is then of no account.
    level: Arc<Level>,
    /// What the reader cannot be given: so many events, if it is known how many.
    lost: Option<Option<u64>>,
    wanted: Option<Wanted>,
    /// The reader was told that there is more, and has not asked.
    paused: bool,
    /// The topic ends when it is not read.
    idles: bool,
    /// Nothing was read for it yet.
    fresh: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// The reader waits for an answer, also if there is nothing new.
    Answer,
    /// Only news are of interest.
    News,
}

#[derive(Debug)]
struct Reading {
    sub: u64,
    wanted: Wanted,
    /// The reader has since said that it stands elsewhere, or is gone.
    stale: bool,
    /// The topic moved on meanwhile.
    behind: bool,
}

/// What a session has to send, and to be told of no more.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The texts of frames.
    pub(super) frames: Vec<Arc<str>>,
    pub(super) unfollow: Option<TopicName>,
    /// The reader has all of the topic, once it has these frames.
    pub(super) level: Option<Arc<Level>>,
}

/// A topic of which a session is to be told.
#[derive(Debug)]
pub(super) struct Follow {
    pub(super) topic: TopicName,
    pub(super) sub: u64,
    pub(super) level: Arc<Level>,
}

impl Topics {
    /// A reader asks for a topic, or to go on elsewhere in it. What is wrong with that is told with the end of the
    /// subscription. Returns the topic if it is one to be told of from now on.
    pub(super) fn subscribe(&mut self, asked: Subscribe) -> Result<Option<Follow>, Ended> {
        let Subscribe { sub, topic, start } = asked;
        let refuse = |code: &str, message: String| ended(sub, code, message);
        let topic = TopicName::new(&topic).map_err(|bad| refuse(Code::BadTopic.as_str(), bad.to_string()))?;
        let after = match start {
            Start::Earliest {} => After::Start,
            Start::Latest {} => After::Now,
            Start::Time(time) => After::Time(time),
            Start::After(text) => match text.parse() {
                Ok(position) => After::Position(position),
                Err(error) => return Err(refuse(Code::BadPosition.as_str(), format!("{error}"))),
            },
        };
        let known = self.subscriptions.get(&sub);
        if known.is_some_and(|known| known.topic != topic) {
            let message = "a subscription is of one topic".to_owned();
            return Err(refuse(Code::BadTopic.as_str(), message));
        }
        if known.is_none() && self.subscriptions.len() >= MAX_TOPICS {
            let message = format!("a session subscribes to {MAX_TOPICS} topics at most");
            return Err(refuse("too_many", message));
        }
        let followed = self.follows(&topic);
        let fresh = known.is_none_or(|known| known.fresh);
        let level = known.map(|known| known.level.clone()).unwrap_or_default();
        level.set(None);
        let subscription = Subscription {
            topic: topic.clone(),
            after,
            level: level.clone(),
            lost: None,
            wanted: Some(Wanted::Answer),
            paused: false,
            idles: false,
            fresh,
        };
        self.subscriptions.insert(sub, subscription);
        self.interrupt(sub);
        self.count_readers(&topic);
        Ok((!followed).then_some(Follow { topic, sub, level }))
    }

    /// Ends a subscription. Returns the topic if nothing needs to be told of it any more.
    pub(super) fn unsubscribe(&mut self, sub: u64) -> Option<TopicName> {
        let Subscription { topic, level, .. } = self.subscriptions.remove(&sub)?;
        level.set(None);
        self.interrupt(sub);
        self.count_readers(&topic);
        (!self.follows(&topic)).then_some(topic)
    }

    /// The reader may read something else from now on: what it may not looks as if it were not there.
    pub(super) fn granted(&mut self, access: &Access) -> Vec<Told> {
        let lost =
            self.subscriptions.iter().filter(|(_, each)| !access.topic(each.topic.as_str(), Right::Read));
        let lost: Vec<u64> = lost.map(|(sub, _)| *sub).collect();
        let (code, message) = refusal(LogError::NoSuchTopic);
        let reason = || Some(EndReason { code: code.to_owned(), message: message.clone() });
        lost.into_iter().map(|sub| self.end(sub, reason())).collect()
    }

    /// The next read, if one is wanted and none is in flight: first what a reader waits for, then news, in turns.
    pub(super) fn next_read(&mut self, bytes: usize) -> Option<(TopicName, Read)> {
        if self.reading.is_some() {
            return None;
        }
        let wanting = |want: Wanted| {
            let mut those = self.subscriptions.iter().filter(move |(_, each)| each.wanted == Some(want));
            let later = |(sub, _): &(&u64, &Subscription)| self.last.is_none_or(|last| **sub > last);
            let first = those.clone().next();
            those.find(later).or(first).map(|(sub, _)| *sub)
        };
        let sub = wanting(Wanted::Answer).or_else(|| wanting(Wanted::News))?;
        let subscription = self.subscriptions.get_mut(&sub)?;
        let wanted = subscription.wanted.take()?;
        self.reading = Some(Reading { sub, wanted, stale: false, behind: false });
        self.last = Some(sub);
        if let Some(position) = subscription.level.take() {
            subscription.after = After::Position(position);
        }
        let bytes = if subscription.fresh { bytes.min(FIRST_PAGE) } else { bytes };
        let read = Read { after: subscription.after, bytes, within_epoch: true };
        Some((subscription.topic.clone(), read))
    }

    /// Takes the result of the read in flight.
    ///
    /// # Errors
    /// The store does not answer, which says nothing about the subscription.
    pub(super) fn read(&mut self, result: Result<Slice, LogError>) -> Result<Told, ProtocolError> {
        let Some(Reading { sub, wanted, stale, behind }) = self.reading.take() else {
            return Ok(Told::default());
        };
        let Some(subscription) = self.subscriptions.get_mut(&sub).filter(|_| !stale) else {
            return Ok(Told::default());
        };
        let slice = match result {
            Ok(slice) => slice,
            Err(LogError::Storage(error)) => return Err(ProtocolError::from(&error)),
            Err(LogError::PositionLost { earliest }) => {
                subscription.begin_again(earliest, None);
                return Ok(Told::default());
            }
            Err(LogError::PositionTrimmed { earliest }) => {
                let missed = match subscription.after {
                    After::Position(position) => Some(earliest.offset.saturating_sub(position.offset)),
                    After::Start | After::Now | After::Time(_) => None,
                };
                subscription.begin_again(earliest, missed);
                return Ok(Told::default());
            }
            Err(error) => {
                let (code, message) = refusal(error);
                return Ok(self.end(sub, Some(EndReason { code: code.to_owned(), message })));
            }
        };
        if slice.content_type.form() != Form::Json {
            let message = format!("a topic of {} is read over HTTP only", slice.content_type.as_str());
            let code = Code::ContentTypeMismatch.as_str().to_owned();
            return Ok(self.end(sub, Some(EndReason { code, message })));
        }
        subscription.after = After::Position(slice.to);
        subscription.fresh = false;
        subscription.level.set(slice.up_to_date.then_some(slice.to));
        subscription.idles = slice.idle.is_some();
        let lost = subscription.lost.take();
        let tell = wanted == Wanted::Answer || !slice.events.is_empty() || lost.is_some();
        subscription.paused = tell && !slice.up_to_date;
        // A reader that was told of more asks for it, and is sent nothing before that.
        if !subscription.paused && (behind || !slice.up_to_date) {
            subscription.wanted.get_or_insert(Wanted::News);
        }
        let level = slice.up_to_date.then(|| subscription.level.clone());
        let mut told = Told { level, ..Told::default() };
        if tell {
            let Some(events) = values(&slice.events) else { return Ok(self.unreadable(sub)) };
            let (recovered, missed) = (lost.is_none(), lost.flatten());
            let (from, to, more) = (slice.from, slice.to, !slice.up_to_date);
            told.frames.push(text(Events { sub, from, to, events, recovered, missed, more }));
        }
        if slice.closed {
            let end = self.end(sub, None);
            told.frames.extend(end.frames);
            told.unfollow = end.unfollow;
            told.level = None;
        }
        Ok(told)
    }

    /// A topic moved on. What follows exactly on what a reader has is sent as it came; otherwise it is read.
    pub(super) fn moved(&mut self, news: &News) -> Vec<Told> {
        let subs = self.subscriptions.iter().filter(|(_, each)| each.topic == news.topic);
        let subs: Vec<u64> = subs.map(|(sub, _)| *sub).collect();
        subs.into_iter().filter_map(|sub| self.moved_for(sub, news.events.as_ref())).collect()
    }

    fn moved_for(&mut self, sub: u64, fresh: Option<&Fresh>) -> Option<Told> {
        if let Some(reading) = self.reading.as_mut().filter(|reading| reading.sub == sub) {
            reading.behind = true;
            return None;
        }
        let subscription = self.subscriptions.get_mut(&sub)?;
        if subscription.paused || subscription.wanted.is_some() {
            return None;
        }
        let meets = fresh.map(|fresh| (fresh, subscription.level.meet(fresh)));
        let Some((fresh, meets)) = meets.filter(|(_, meets)| *meets != Meets::Ahead) else {
            subscription.wanted = Some(Wanted::News);
            return None;
        };
        let level = Some(subscription.level.clone());
        if meets == Meets::Had {
            return Some(Told { level, ..Told::default() });
        }
        let Some(frame) = events_frame(fresh, sub) else { return Some(self.unreadable(sub)) };
        let mut told = if fresh.closed { self.end(sub, None) } else { Told { level, ..Told::default() } };
        told.frames.insert(0, frame.into());
        Some(told)
    }

    /// Hints were lost: every topic may have moved on.
    pub(super) fn lagged(&mut self) {
        if let Some(reading) = &mut self.reading {
            reading.behind = true;
        }
        for subscription in self.subscriptions.values_mut().filter(|each| !each.paused) {
            subscription.wanted.get_or_insert(Wanted::News);
        }
    }

    /// Reads the topics that end when they are not read, so that a reader who waits keeps them.
    pub(super) fn use_idle(&mut self) {
        for subscription in self.subscriptions.values_mut().filter(|each| each.idles && !each.paused) {
            subscription.wanted.get_or_insert(Wanted::News);
        }
    }

    fn count_readers(&self, topic: &TopicName) {
        let readers = self.subscriptions.values().filter(|each| each.topic == *topic);
        let crowded = readers.clone().count() > 1;
        readers.for_each(|reader| reader.level.crowd(crowded));
    }

    fn follows(&self, topic: &TopicName) -> bool {
        self.subscriptions.values().any(|each| each.topic == *topic)
    }

    fn interrupt(&mut self, sub: u64) {
        if let Some(reading) = self.reading.as_mut().filter(|reading| reading.sub == sub) {
            reading.stale = true;
        }
    }

    fn end(&mut self, sub: u64, reason: Option<EndReason>) -> Told {
        let unfollow = self.unsubscribe(sub);
        Told {
            frames: vec![encode(&ServerFrame::Ended(Ended { sub, reason })).into()],
            unfollow,
            level: None,
        }
    }

    fn unreadable(&mut self, sub: u64) -> Told {
        let code = Code::BadEvent.as_str().to_owned();
        self.end(sub, Some(EndReason { code, message: "an event is nested too deep to be sent".into() }))
    }
}

impl Subscription {
    /// What came before a position cannot be given to the reader.
    fn begin_again(&mut self, earliest: TopicPosition, missed: Option<u64>) {
        self.lost = Some(match self.lost {
            None => missed,
            Some(before) => before.zip(missed).map(|(before, now)| before + now),
        });
        self.after = After::Position(earliest);
        self.wanted = Some(Wanted::Answer);
    }
}

fn ended(sub: u64, code: &str, message: String) -> Ended {
    Ended { sub, reason: Some(EndReason { code: code.to_owned(), message }) }
}

/// How a frame of events begins; the number of the subscription comes next.
const EVENTS_OF: &str = r#"{"events":{"sub":"#;

/// The frame of what was appended, for a reader that goes on with it. None if an event is not what a frame can hold.
pub(super) fn events_frame(fresh: &Fresh, sub: u64) -> Option<String> {
    let behind_sub = fresh.shared(|fresh| {
        let (from, to, events) = (fresh.from, fresh.to, values(&fresh.events)?);
        let frame = text(Events { sub: 0, from, to, events, recovered: true, missed: None, more: false });
        frame.strip_prefix(EVENTS_OF)?.strip_prefix('0').map(Into::into)
    });
    behind_sub.map(|behind_sub| format!("{EVENTS_OF}{sub}{behind_sub}"))
}

fn text(events: Events) -> Arc<str> {
    encode(&ServerFrame::Events(events)).into()
}

/// The events as values; none if one is not what a frame can hold.
fn values(events: &Bodies) -> Option<Vec<Json>> {
    events.iter().map(|event| Json::parse(std::str::from_utf8(event).ok()?).ok()).collect()
}
