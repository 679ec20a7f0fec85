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
/// Milliseconds after which a request counts as lost, whatever its transport says.
const PATIENCE: u64 = 35_000;
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

/// What came of it, as a session would have told it; `sub` is the number of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    since: Millis,
    rung: Rung,
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
            self.topics.ladder = Ladder::new();
            return;
        }
        let lost = |open: &Open| {
            open.http
                .request
                .as_ref()
                .filter(|request| request.since.plus(PATIENCE) <= now)
                .map(|lost| lost.id)
        };
        for id in self.topics.readers.values().filter_map(lost).collect::<Vec<_>>() {
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
            open.http.request = Some(Request { id, since: now, rung });
            let topic = open.reader.topic().clone();
            let read = TopicRead { token: token.clone(), topic, start, rung };
            self.effects.push_back(Effect::ReadTopic(id, read));
        }
    }

    /// A request for events of a topic was answered, or was not.
    pub(super) fn topic_read(&mut self, now: Millis, id: HttpId, result: Result<TopicReply, HttpFailure>) {
        let asked = |open: &&mut Open| open.http.request.as_ref().is_some_and(|request| request.id == id);
        let Some(open) = self.topics.readers.values_mut().find(asked) else { return };
        let Some(Request { rung, .. }) = open.http.request.take() else { return };
        open.http.next = now.plus(self.config.poll_interval);
        let error = match result {
            Ok(TopicReply { events, ended }) => {
                self.topics.ladder.delivered(rung);
                events.into_iter().for_each(|events| self.topic_events(events));
                ended.into_iter().for_each(|ended| self.topic_ended(ended));
                return;
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
        let opens = || self.topics.readers.values();
        let lost = opens().filter_map(|open| Some(open.http.request.as_ref()?.since.plus(PATIENCE)));
        let idle = opens().filter(|open| open.http.request.is_none() && open.reader.would_ask());
        let next = idle
            .map(|open| if open.reader.is_level() { open.http.next } else { Millis::default() })
            .min()
            .filter(|_| self.topics.asks(Rung::Get) < ASKING);
        let next = next.map(|next| next.max(self.topics.ladder.next()));
        let next = next.map(|next| self.token.timeout().map_or(next, |token| token.max(next)));
        lost.chain(next).min()
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

    fn asks(&self, rung: Rung) -> usize {
        let requests = self.readers.values().filter_map(|open| open.http.request.as_ref());
        requests.filter(|request| (request.rung == Rung::Get) == (rung == Rung::Get)).count()
    }

    /// The reader whose turn it is, and how its topic is to be read. Where a reader stands is found out before anything
    /// waits for it: who begins with what is yet to come would else have no place to go on from, should that fail.
    fn next_to_read(&self, now: Millis, rung: Rung) -> Option<(QueryId, Rung)> {
        let may_wait = rung != Rung::Get && self.asks(rung) < WAITING;
        let may_ask = self.asks(Rung::Get) < ASKING;
        let idle =
            self.readers.iter().filter(|(_, open)| open.http.request.is_none() && open.reader.would_ask());
        let way = |open: &Open| {
            if may_wait && open.reader.is_level() {
                Some(rung)
            } else {
                (may_ask && (open.http.next <= now || !open.reader.is_level())).then_some(Rung::Get)
            }
        };
        let ready = idle.filter_map(|(id, open)| Some((open.http.next, *id, way(open)?)));
        ready.min_by_key(|(next, id, _)| (*next, *id)).map(|(_, id, rung)| (id, rung))
    }
}
