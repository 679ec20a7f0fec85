//! The topics that the application reads.

use super::{Effect, Engine, Event, QueryId, ladder::OverHttp};
use crate::{
    connection::Ladder,
    protocol::{EndReason, Ended, Events, MAX_TOPICS, Start, TopicName, TopicPosition},
    sorted::SortedMap,
    stream::{Reader, Shown},
    wire::record,
};

/// Positions that a client keeps for readers that last.
pub const MAX_DURABLE: usize = 256;

/// What an application asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The topic.
    pub topic: TopicName,
    /// Where to begin, if no position is kept.
    pub start: Start,
    /// The name under which the client keeps how far the application has come; at most [`MAX_DURABLE`] in all.
    pub durable: Option<String>,
}

record!(Subscription {
    topic: "topic";
    start: "start";
    durable: "durable";
});

/// How far a reader that lasts has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bookmark {
    name: String,
    topic: TopicName,
    at: TopicPosition,
}

record!(Bookmark {
    name: "name";
    topic: "topic";
    at: "at";
});

/// The readers of a client.
#[derive(Debug)]
pub(super) struct Topics {
    pub(super) readers: SortedMap<QueryId, Open>,
    pub(super) ladder: Ladder,
    /// Whether nothing has failed over HTTP beside this link.
    pub(super) http_works: bool,
}

/// A reader that the application has open.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) reader: Reader,
    durable: Option<String>,
    pub(super) http: OverHttp,
}

impl Topics {
    /// Without readers.
    pub(super) fn new() -> Self {
        Self { readers: SortedMap::new(), ladder: Ladder::default(), http_works: true }
    }

    /// Readers that wait for an answer over the WebSocket.
    pub(super) fn asking(&self) -> usize {
        self.readers.values().filter(|open| open.reader.is_asking() && !open.http.is_asked()).count()
    }

    /// What was asked for on the former link is not answered any more.
    pub(super) fn link_changed(&mut self) {
        self.http_works = true;
        for open in self.readers.values_mut() {
            open.reader.link_changed();
            open.http.forget();
        }
    }
}

impl Engine {
    pub(super) fn subscribe(&mut self, id: QueryId, wanted: Subscription) {
        if self.topics.readers.len() >= MAX_TOPICS {
            self.emit(Event::QueryRefused(id));
            return;
        }
        let Subscription { topic, start, durable } = wanted;
        let bookmarks = &self.ids.meta.bookmarks;
        let known = durable.as_ref().and_then(|name| {
            bookmarks.iter().find(|mark| mark.name == *name && mark.topic == topic).map(|mark| mark.at)
        });
        // Further than what is kept is who was told to go on from there, as after a change of the leading tab.
        let start = match (known, start.position()) {
            (Some(kept), Some(told)) => Start::from(kept.max(told)),
            (Some(kept), None) => Start::from(kept),
            (None, _) => start,
        };
        let mut reader = Reader::new(topic, start);
        if durable.is_some() && known.is_none() && bookmarks.len() >= MAX_DURABLE {
            let message = format!("a client keeps {MAX_DURABLE} positions at most");
            reader.end(Some(EndReason { code: "too_many".into(), message }));
            self.emit(Event::ViewChanged(id));
        }
        self.topics.readers.insert(id, Open { reader, durable, http: OverHttp::default() });
    }

    /// What a reader shows now; none if it is not open.
    pub fn topic(&mut self, id: QueryId) -> Option<Shown> {
        self.topics.readers.get_mut(&id).map(|open| open.reader.show())
    }

    /// The application has taken events up to a position. For a reader that lasts that is stored by the next commit of
    /// the outbox: after a crash an event may come again, and none is passed over.
    pub(super) fn topic_taken(&mut self, id: QueryId, position: TopicPosition) {
        let Some(Open { reader, durable, .. }) = self.topics.readers.get_mut(&id) else { return };
        let (look, topic) = (reader.taken(position), reader.topic().clone());
        let back = reader.went_back();
        if let Some(name) = durable {
            let mark = Bookmark { name: name.clone(), topic, at: position };
            self.ids.keep(mark, back);
        }
        if look {
            self.emit(Event::ViewChanged(id));
        }
    }

    pub(super) fn close_topic(&mut self, id: QueryId) {
        if let Some(mut open) = self.topics.readers.remove(&id)
            && let Some(frame) = open.reader.close()
            && self.socket.is_live()
        {
            self.effects.push_back(Effect::Send(self.link, frame));
        }
    }

    pub(super) fn topic_events(&mut self, events: Events) {
        self.with_reader(events.sub, |reader| reader.events(events));
    }

    pub(super) fn topic_ended(&mut self, ended: Ended) {
        self.with_reader(ended.sub, |reader| reader.ended(ended));
    }

    /// What comes for a subscription that is over is left aside.
    pub(super) fn with_reader(&mut self, sub: u64, take: impl FnOnce(&mut Reader) -> bool) {
        let reads = |(_, open): &(&QueryId, &mut Open)| open.reader.sub() == Some(sub);
        let found = self.topics.readers.iter_mut().find(reads);
        let found = found.map(|(id, open)| (*id, take(&mut open.reader)));
        if let Some((id, true)) = found {
            self.emit(Event::ViewChanged(id));
        }
    }

    /// Asks for what readers have room for. Returns whether anything was asked.
    pub(super) fn ask_for_topics(&mut self) -> bool {
        let Self { topics, counter, effects, link, .. } = self;
        let mut name = || {
            *counter += 1;
            *counter
        };
        let before = effects.len();
        for open in topics.readers.values_mut() {
            while let Some(frame) = open.reader.next_frame(&mut name) {
                effects.push_back(Effect::Send(*link, frame));
            }
        }
        effects.len() > before
    }
}

/// Puts a position in its place among others. Two readers of one name go by the one that is further, unless that went
/// `back` because the topic has lost its end: to stay where it was would pass over what is there now.
pub(super) fn keep(bookmarks: &mut Vec<Bookmark>, mark: Bookmark, back: bool) -> bool {
    let same = |known: &&mut Bookmark| known.name == mark.name && known.topic == mark.topic;
    match bookmarks.iter_mut().find(same) {
        Some(known) => {
            let moves = back || mark.at > known.at;
            if moves {
                known.at = mark.at;
            }
            moves
        }
        None => {
            let room = bookmarks.len() < MAX_DURABLE;
            bookmarks.extend(room.then_some(mark));
            room
        }
    }
}
