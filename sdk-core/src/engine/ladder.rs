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
    stream::Reader,
};

/// Requests that wait for something to happen, at one time. Browsers open six connections to a server, and edits and
/// snapshots need some of them; topics beyond that are asked about again and again.
const WAITING: usize = 2;
/// Requests that are answered at once.
const ASKING: usize = 1;
/// Requests for what is to be caught up with beside the WebSocket, over which further readers ask: none waits for another
/// that is far behind.
const CATCHING_UP: usize = 2;
/// Milliseconds after which a request counts as lost, whatever its transport says. The server lets one wait for 20 s, and
/// says on one that goes on that it is there every 15.
const PATIENCE: u64 = 35_000;
/// Milliseconds that one answer may go on at most. The server ends it after 60 s.
const WHOLE: u64 = 90_000;
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
    /// Whether something is under way.
    pub(super) fn is_asked(&self) -> bool {
        self.request.is_some()
    }

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

    /// Requests that were not answered in time are so no more.
    pub(super) fn lose_reads(&mut self, now: Millis) {
        while let Some(id) = self.topics.lost(now) {
            self.topic_read(now, id, Err(HttpFailure::Unreachable));
        }
    }

    pub(super) fn advance_ladder(&mut self, now: Millis) {
        if !self.reads_over_http() {
            if !self.socket.is_live() {
                self.topics.forget_requests();
            }
            self.topics.ladder = Ladder::default();
            return;
        }
        if self.topics.ladder.next() > now || self.topics.readers.is_empty() || !self.has_token(now) {
            return;
        }
        let Some(token) = self.token.get().map(str::to_owned) else { return };
        let rung = self.topics.ladder.rung(now);
        while let Some((query, rung)) = self.topics.next_to_read(now, rung) {
            let id = HttpId(self.next_id());
            let Some(open) = self.topics.readers.get_mut(&query) else { return };
            let Some(read) = open.read(now, id, token.clone(), rung) else { return };
            self.effects.push_back(Effect::ReadTopic(id, read));
        }
    }

    /// Beside a WebSocket, asks over HTTP for what readers have to catch up with: there it comes compressed. A
    /// subscription rests meanwhile, and its reader asks under its name.
    pub(super) fn catch_up(&mut self, now: Millis) {
        let mut asked = self.topics.asks(Rung::Get);
        for open in self.topics.readers.values_mut() {
            let sub = open.reader.rests().filter(|_| self.topics.http_works && asked < CATCHING_UP);
            if let (Some(sub), Some(token)) = (sub, self.token.get()) {
                let id = HttpId(sub);
                let read = open.read(now, id, token.to_owned(), Rung::Get);
                self.effects.extend(read.map(|read| Effect::ReadTopic(id, read)));
                asked += 1;
            }
        }
    }

    /// What came over HTTP beside a WebSocket, or did not. Over that the reader goes on, and is told of the end.
    fn caught_up(&mut self, sub: u64, result: Result<TopicReply, HttpFailure>) {
        let came = result.ok().and_then(|reply| reply.events);
        let came = came.filter(|events| events.from != events.to || !events.recovered);
        self.topics.http_works &= came.is_some();
        came.into_iter().for_each(|events| self.topic_events(events));
        self.with_reader(sub, Reader::ask_again);
    }

    /// Something came of a request that goes on.
    pub(super) fn topic_told(&mut self, now: Millis, id: HttpId, told: TopicReply) {
        if !self.awaits(id) {
            return;
        }
        // What comes may be anything, such as the refusal that is told when all of it is there.
        if told.events.is_some() {
            self.topics.ladder.delivered(Rung::Sse);
        }
        self.topic_replied(told);
        let Some(open) = self.topics.asked(id) else { return };
        if open.reader.is_full() {
            // It is asked again once there is room.
            open.http.forget();
            open.reader.link_changed();
        } else if let Some(request) = &mut open.http.request {
            request.until = now.plus(PATIENCE).min(request.since.plus(WHOLE));
        }
    }

    /// Whether the answer to a request is waited for any longer.
    pub fn awaits(&self, id: HttpId) -> bool {
        let mut reads = self.topics.readers.values().filter_map(|open| open.http.request.as_ref());
        self.request == Some(id) || self.is_fetched_by(id) || reads.any(|request| request.id == id)
    }

    fn topic_replied(&mut self, TopicReply { events, ended }: TopicReply) {
        events.into_iter().for_each(|events| self.topic_events(events));
        ended.into_iter().for_each(|ended| self.topic_ended(ended));
    }

    /// A request for events of a topic was answered, or was not.
    pub(super) fn topic_read(&mut self, now: Millis, id: HttpId, result: Result<TopicReply, HttpFailure>) {
        let Some(open) = self.topics.asked(id) else { return };
        let Some(Request { rung, since, .. }) = open.http.request.take() else { return };
        if self.socket.is_live() {
            return self.caught_up(id.0, result);
        }
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
        let mut first = None;
        let may_ask = self.reads_over_http() && self.topics.asks(Rung::Get) < ASKING;
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

impl Open {
    /// The request for what comes next, as whose answer it waits from now on.
    fn read(&mut self, now: Millis, id: HttpId, token: String, rung: Rung) -> Option<TopicRead> {
        let start = self.reader.ask(id.0)?;
        let until = now.plus(if rung == Rung::Sse { FIRST } else { PATIENCE });
        self.http.request = Some(Request { id, rung, since: now, until });
        Some(TopicRead { token, topic: self.reader.topic().clone(), start, rung })
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
