//! Topics while the WebSocket does not work: read over plain HTTP, from the same positions.

use super::{
    Effect, Engine, HttpFailure, HttpId, QueryId,
    topics::{Open, Topics},
};
use crate::{
    clock::Millis,
    connection::{Ladder, Rung},
    protocol::{Ended, Events, Retry, Start, TopicName},
    routing::{Class, Route, route},
};

/// Requests that wait for something to happen, at one time. Browsers open six connections to a server, and edits and
/// snapshots need some of them; topics beyond that are asked about again and again.
const WAITING: usize = 2;
/// Requests that are answered at once.
const ASKING: usize = 1;
/// Milliseconds after which a request counts as lost, whatever its transport says. The server lets one wait for 20 s, and
/// says on one that goes on that it is there every 15.
const PATIENCE: u64 = 35_000;
/// Milliseconds for the first of an answer that goes on, which the server sends at once: a proxy may hold it back.
const FIRST: u64 = 10_000;
/// Milliseconds that an answer has to go on, or to be waited for, to count as one that does.
const SHORT: u64 = 5_000;
/// Milliseconds before another try after an error that will most likely come again.
const PERMANENT: u64 = 30_000;

/// A request for events of a topic, with the token to send.
#[derive(Clone, PartialEq, Eq)]
pub struct TopicRead {
    /// The bearer token.
    pub token: String,
    /// Which topic.
    pub topic: TopicName,
    /// Where to begin.
    pub start: Start,
    /// How the answer is to come.
    pub rung: Rung,
}

/// Without the token, which must not reach a log.
impl std::fmt::Debug for TopicRead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { token: _, topic, start, rung } = self;
        f.debug_struct("TopicRead")
            .field("topic", topic)
            .field("start", start)
            .field("rung", rung)
            .finish_non_exhaustive()
    }
}

/// What came of it, as a session would have told it; `sub` is the number of the request. Nothing, if an answer that goes
/// on only says that it does, or is over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicReply {
    /// Events, or where the topic stands.
    pub events: Option<Events>,
    /// The end of the topic, or why it cannot be read.
    pub ended: Option<Ended>,
}

/// A reader's way over HTTP.
#[derive(Debug, Default)]
pub(super) struct OverHttp {
    request: Option<Request>,
    /// When it is asked again, if nothing waits for it.
    next: Millis,
}

#[derive(Debug)]
struct Request {
    id: HttpId,
    rung: Rung,
    since: Millis,
    /// When it counts as lost.
    until: Millis,
}

impl OverHttp {
    /// Nothing that is under way is waited for any more.
    pub(super) fn forget(&mut self) -> bool {
        self.next = Millis::default();
        self.request.take().is_some()
    }
}

impl Engine {
    fn reads_over_http(&self) -> bool {
        route(Class::EventStreaming, self.link_state()) == Route::Http
    }

    pub(super) fn advance_ladder(&mut self, now: Millis) {
        if !self.reads_over_http() {
            self.topics.forget_requests();
            self.topics.ladder = Ladder::new(self.config.best_rung);
            return;
        }
        while let Some(id) = self.topics.lost(now) {
            self.topic_read(now, id, Err(HttpFailure::Unreachable));
        }
        if self.topics.ladder.next() > now || self.topics.readers.is_empty() || !self.has_token(now) {
            return;
        }
        let Some(token) = self.token.get().map(str::to_owned) else { return };
        let rung = self.topics.ladder.rung(now);
        while let Some((query, rung)) = self.topics.next_to_read(now, rung) {
            let id = HttpId(self.next_id());
            let Some(open) = self.topics.readers.get_mut(&query) else { return };
            let Some(start) = open.reader.ask(id.0) else { return };
            let until = now.plus(if rung == Rung::Sse { FIRST } else { PATIENCE });
            open.http.request = Some(Request { id, rung, since: now, until });
            let topic = open.reader.topic().clone();
            let read = TopicRead { token: token.clone(), topic, start, rung };
            self.effects.push_back(Effect::ReadTopic(id, read));
        }
    }

    /// Something came of a request that goes on.
    pub(super) fn topic_told(&mut self, now: Millis, id: HttpId, told: TopicReply) {
        if !self.awaits(id) {
            return;
        }
        self.topics.ladder.delivered(Rung::Sse);
        self.topic_replied(told);
        let Some(open) = self.topics.asked(id) else { return };
        if open.reader.is_full() {
            // It is asked again once there is room.
            open.http.forget();
            open.reader.link_changed();
        } else if let Some(request) = &mut open.http.request {
            request.until = now.plus(PATIENCE);
        }
    }

    /// Whether a request that goes on is wanted any longer.
    pub fn awaits(&self, id: HttpId) -> bool {
        let mut requests = self.topics.readers.values().filter_map(|open| open.http.request.as_ref());
        requests.any(|request| request.id == id)
    }

    fn topic_replied(&mut self, TopicReply { events, ended }: TopicReply) {
        events.into_iter().for_each(|events| self.topic_events(events));
        ended.into_iter().for_each(|ended| self.topic_ended(ended));
    }

    /// A request for events of a topic was answered, or was not.
    pub(super) fn topic_read(&mut self, now: Millis, id: HttpId, result: Result<TopicReply, HttpFailure>) {
        let Some(open) = self.topics.asked(id) else { return };
        let Some(Request { rung, since, .. }) = open.http.request.take() else { return };
        open.http.next = now.plus(self.config.poll_interval);
        let error = match result {
            Ok(reply) => {
                let over = reply.events.is_none() && reply.ended.is_none();
                if over {
                    open.reader.link_changed();
                }
                let nothing_new = |events: &Events| events.recovered && events.from == events.to;
                let in_vain = over || (rung != Rung::Get && reply.events.as_ref().is_some_and(nothing_new));
                // A proxy may let the first of it through and end the rest, or answer with what it has kept, or ask for what
                // is there now. Who waits for that again and again would ask as fast as the network can answer.
                if in_vain && now.since(since) < SHORT {
                    self.topics.ladder.failed(now, rung, 0, &mut self.random);
                } else {
                    self.topics.ladder.delivered(rung);
                }
                return self.topic_replied(reply);
            }
            Err(error) => error,
        };
        open.reader.link_changed();
        let least = match error {
            HttpFailure::Unreachable => 0,
            HttpFailure::Refused(error) => {
                let least = match error.code.retry() {
                    Retry::Later => error.retry_after.unwrap_or(1),
                    Retry::Never => PERMANENT,
                    Retry::Reauthenticate => {
                        self.token.refused(now, &mut self.random);
                        1
                    }
                };
                self.problem = Some(error);
                least
            }
        };
        self.topics.ladder.failed(now, rung, least, &mut self.random);
    }

    pub(super) fn ladder_timeout(&self) -> Option<Millis> {
        if !self.reads_over_http() {
            return None;
        }
        let mut first = None;
        let may_ask = self.topics.asks(Rung::Get) < ASKING;
        for open in self.topics.readers.values() {
            let at = match &open.http.request {
                Some(request) => request.until,
                None if may_ask && open.reader.would_ask() => {
                    let next = if open.reader.is_level() { open.http.next } else { Millis::default() };
                    next.max(self.topics.ladder.next()).max(self.token.timeout().unwrap_or_default())
                }
                None => continue,
            };
            first = Some(first.map_or(at, |first: Millis| first.min(at)));
        }
        first
    }
}

impl Topics {
    /// What was asked over HTTP is not waited for any more.
    fn forget_requests(&mut self) {
        for open in self.readers.values_mut() {
            if open.http.forget() {
                open.reader.link_changed();
            }
        }
    }

    /// The reader that this request is for.
    fn asked(&mut self, id: HttpId) -> Option<&mut Open> {
        let asked = |open: &&mut Open| open.http.request.as_ref().is_some_and(|request| request.id == id);
        self.readers.values_mut().find(asked)
    }

    /// A request that was not answered in time.
    fn lost(&self, now: Millis) -> Option<HttpId> {
        let mut requests = self.readers.values().filter_map(|open| open.http.request.as_ref());
        requests.find(|request| request.until <= now).map(|request| request.id)
    }

    fn asks(&self, rung: Rung) -> usize {
        let requests = self.readers.values().filter_map(|open| open.http.request.as_ref());
        requests.filter(|request| (request.rung == Rung::Get) == (rung == Rung::Get)).count()
    }

    /// The reader whose turn it is, and how its topic is to be read. Where a reader stands is found out before anything
    /// waits for it: who begins with what is yet to come would else have no place to go on from, should that fail.
    fn next_to_read(&self, now: Millis, rung: Rung) -> Option<(QueryId, Rung)> {
        let may_wait = rung != Rung::Get && self.asks(rung) < WAITING;
        let may_ask = self.asks(Rung::Get) < ASKING;
        let mut first: Option<(Millis, QueryId, Rung)> = None;
        for (id, open) in self.readers.iter() {
            let (level, next) = (open.reader.is_level(), open.http.next);
            if open.http.request.is_some() || !open.reader.would_ask() {
                continue;
            }
            let way = if level && may_wait {
                rung
            } else if may_ask && (next <= now || !level) {
                Rung::Get
            } else {
                continue;
            };
            if first.is_none_or(|(before, ..)| next < before) {
                first = Some((next, *id, way));
            }
        }
        first.map(|(_, id, rung)| (id, rung))
    }
}
