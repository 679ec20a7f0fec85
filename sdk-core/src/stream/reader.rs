//! One reader of one topic.

use std::collections::VecDeque;

use crate::{
    protocol::{
        ClientFrame, EndReason, Ended, Events, Json, Start, Subscribe, TopicName, TopicPosition, Unsubscribe,
    },
    wire::record,
};

/// Items that may wait for the application before the reader asks for no more. What was on its way still comes: at
/// most one page.
const MOST_ITEMS: usize = 1_024;
/// Bytes of events that may.
const MOST_BYTES: usize = 1 << 20;
/// Items that the application is shown at one time.
const WINDOW: usize = 256;
/// Bytes of events that it is shown, beyond the first.
const WINDOW_BYTES: usize = 256 << 10;

/// What the application is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An event, and the position with which it is known.
    Event(TopicPosition, Json),
    /// Events before this position cannot be given: so many, if that is known.
    Gap(TopicPosition, Option<u64>),
}

/// What a reader shows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Whether the reader knows where it stands.
    pub loaded: bool,
    /// The position once the items were taken.
    pub position: Option<TopicPosition>,
    /// The oldest that were not taken.
    pub items: Vec<Item>,
    /// After them there is nothing, and never will be.
    pub over: Option<Over>,
}

/// The end of a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Over {
    /// Why the topic cannot be read; none if it is closed.
    pub reason: Option<EndReason>,
}

/// Where the reader's subscription is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// There is none: no link, or no room.
    Idle,
    /// It was asked for under this name, and not answered.
    Asked(u64),
    /// Events come as they are appended.
    Live(u64),
    /// There are more, which the server keeps until it is asked.
    Rest(u64),
}

/// One reader of one topic.
#[derive(Debug)]
pub struct Reader {
    topic: TopicName,
    start: Start,
    received: Option<TopicPosition>,
    waiting: VecDeque<Item>,
    bytes: usize,
    /// Of those that wait, the application was shown so many.
    shown: usize,
    /// The topic had lost its end, and has other events there now.
    back: bool,
    phase: Phase,
    /// Something was received that does not follow on what was there before.
    mend: bool,
    over: Option<Over>,
}

impl Reader {
    /// A reader that begins somewhere.
    pub fn new(topic: TopicName, start: Start) -> Self {
        Self {
            topic,
            start,
            received: None,
            waiting: VecDeque::new(),
            bytes: 0,
            shown: 0,
            back: false,
            phase: Phase::Idle,
            mend: false,
            over: None,
        }
    }

    /// Which topic it reads.
    pub fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// The frame to send now, if there is a link; `name` gives one that no subscription of it had.
    pub fn next_frame(&mut self, name: &mut dyn FnMut() -> u64) -> Option<ClientFrame> {
        let sub = match self.phase {
            _ if self.over.is_some() => return None,
            Phase::Live(sub) if self.is_full() => {
                self.phase = Phase::Idle;
                return Some(ClientFrame::Unsubscribe(Unsubscribe { sub }));
            }
            Phase::Live(sub) if std::mem::take(&mut self.mend) => sub,
            Phase::Rest(sub) if self.has_room() => sub,
            Phase::Idle if self.has_room() => name(),
            _ => return None,
        };
        self.phase = Phase::Asked(sub);
        let start = self.place();
        let topic = self.topic.as_str().to_owned();
        Some(ClientFrame::Subscribe(Subscribe { sub, topic, start }))
    }

    /// Where to go on, for a request of its own instead of a frame; `sub` is its number. None if there is no room.
    pub fn ask(&mut self, sub: u64) -> Option<Start> {
        if !self.would_ask() {
            return None;
        }
        self.phase = Phase::Asked(sub);
        Some(self.place())
    }

    /// The name of its subscription, if that has more which the server keeps, and there is room for it.
    pub fn rests(&self) -> Option<u64> {
        match self.phase {
            Phase::Rest(sub) if self.would_ask() => Some(sub),
            _ => None,
        }
    }

    /// Has it ask the server under the same name where it stands, unless it already knows that there is more. Returns
    /// whether the application has to look.
    pub fn ask_again(&mut self) -> bool {
        if let Phase::Asked(sub) | Phase::Live(sub) = self.phase {
            self.phase = Phase::Live(sub);
            self.mend = true;
        }
        false
    }

    /// Whether it would ask for more, and does not already.
    pub fn would_ask(&self) -> bool {
        self.over.is_none() && !self.is_asking() && self.has_room()
    }

    /// Whether it knows where it stands, and of nothing that comes after.
    pub fn is_level(&self) -> bool {
        self.received.is_some() && !matches!(self.phase, Phase::Rest(_))
    }

    /// The frame that ends it.
    pub fn close(&mut self) -> Option<ClientFrame> {
        let sub = self.sub()?;
        self.phase = Phase::Idle;
        Some(ClientFrame::Unsubscribe(Unsubscribe { sub }))
    }

    /// The name of its subscription on this link.
    pub fn sub(&self) -> Option<u64> {
        match self.phase {
            Phase::Idle => None,
            Phase::Asked(sub) | Phase::Live(sub) | Phase::Rest(sub) => Some(sub),
        }
    }

    /// Whether it waits for an answer.
    pub fn is_asking(&self) -> bool {
        matches!(self.phase, Phase::Asked(_))
    }

    /// The link is another one now, or none.
    pub fn link_changed(&mut self) {
        self.phase = Phase::Idle;
        self.mend = false;
    }

    /// Takes events of its subscription. Returns whether the application has to look.
    pub fn events(&mut self, events: Events) -> bool {
        let Events { sub, from, to, events, recovered, missed, more } = events;
        let asking = self.is_asking();
        // Of what was asked for the offset alone counts: a fork has its source's epochs, up to where it begins.
        let follows =
            |received: TopicPosition| received == from || (asking && received.offset == from.offset);
        if recovered && !self.received.is_none_or(follows) {
            if asking {
                // Sent before the question came; its answer is still on its way.
                return false;
            }
            // Nothing of it is taken: the answer to the next question has it again.
            self.mend = true;
            self.phase = Phase::Live(sub);
            return false;
        }
        if !recovered {
            // What it was to begin after it has had, be it in an earlier life.
            self.back |= self.place().position() > Some(from);
            self.waiting.push_back(Item::Gap(from, missed));
        }
        let (count, first) = (events.len() as u64, self.received.is_none());
        for (event, number) in events.into_iter().zip(1..) {
            let position = if number == count { to } else { from.plus(number) };
            self.bytes += event.as_str().len();
            self.waiting.push_back(Item::Event(position, event));
        }
        self.received = Some(to);
        self.phase = if more { Phase::Rest(sub) } else { Phase::Live(sub) };
        first || self.has_news()
    }

    /// The server has ended its subscription. Returns whether the application has to look.
    pub fn ended(&mut self, ended: Ended) -> bool {
        self.phase = Phase::Idle;
        self.end(ended.reason)
    }

    /// Nothing more will come. Returns whether the application has to look.
    pub fn end(&mut self, reason: Option<EndReason>) -> bool {
        self.over = Some(Over { reason });
        self.shown == 0
    }

    /// What the application is shown: the oldest items that it has not taken. Their positions only grow, so that it can
    /// say by one what it has taken: where the topic has lost its end, what comes after that is shown by itself.
    pub fn show(&mut self) -> Shown {
        let (mut bytes, mut last) = (0, TopicPosition::ZERO);
        let fits = |item: &&Item| {
            bytes += item.bytes();
            let grows = std::mem::replace(&mut last, item.position()) <= last;
            grows && (bytes <= WINDOW_BYTES || bytes == item.bytes())
        };
        let items: Vec<Item> = self.waiting.iter().take(WINDOW).take_while(fits).cloned().collect();
        self.shown = items.len();
        let all = self.shown == self.waiting.len();
        Shown {
            loaded: self.received.is_some() || self.over.is_some(),
            position: if all { self.received } else { items.last().map(Item::position) },
            items,
            over: self.over.clone().filter(|_| all),
        }
    }

    /// The application has taken all that it was shown up to a position. Returns whether it has to look again.
    pub fn taken(&mut self, position: TopicPosition) -> bool {
        while self.shown > 0
            && let Some(item) = self.waiting.pop_front_if(|item| item.position() <= position)
        {
            self.bytes -= item.bytes();
            self.shown -= 1;
        }
        self.has_news()
    }

    /// Whether it has gone back within an epoch, so that a further position is not a later one.
    pub fn went_back(&self) -> bool {
        self.back
    }

    /// Whether there is something that the application was not shown, and it has nothing else to do.
    fn has_news(&self) -> bool {
        self.shown == 0 && (!self.waiting.is_empty() || self.over.is_some())
    }

    /// Where its next question begins.
    fn place(&self) -> Start {
        self.received.map_or_else(|| self.start.clone(), Start::from)
    }

    /// Whether nothing more is to come for a while.
    pub fn is_full(&self) -> bool {
        self.waiting.len() > MOST_ITEMS || self.bytes > MOST_BYTES
    }

    fn has_room(&self) -> bool {
        self.waiting.len() <= MOST_ITEMS / 2 && self.bytes <= MOST_BYTES / 2
    }
}

impl Item {
    /// What is known once it was taken. A gap has the position of what comes before the next event.
    pub fn position(&self) -> TopicPosition {
        match self {
            Self::Event(position, _) | Self::Gap(position, _) => *position,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Event(_, event) => event.as_str().len(),
            Self::Gap(..) => 0,
        }
    }
}

record!(out Shown {
    loaded: "loaded";
    position: "position";
    items: "items";
    over: "over";
});

record!(out Over {
    reason: "reason";
});

/// As `{"position", "data"}`, or `{"position", "gap": {"missed"?}}`.
impl crate::wire::Encode for Item {
    fn write(&self, out: &mut String) {
        struct Gap {
            missed: Option<u64>,
        }
        record!(out Gap { missed: "missed"; });
        let mut object = crate::wire::Object::new(out);
        object.field("position", &self.position());
        match self {
            Self::Event(_, data) => object.field("data", data),
            Self::Gap(_, missed) => object.field("gap", &Gap { missed: *missed }),
        }
        object.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::LogEpoch;

    fn at(offset: u64) -> TopicPosition {
        TopicPosition { epoch: LogEpoch(7), offset }
    }

    fn page(sub: u64, from: u64, count: u64, more: bool) -> Events {
        let events = (from..from + count).map(|n| Json::parse(n.to_string()).unwrap()).collect();
        Events { sub, from: at(from), to: at(from + count), events, recovered: true, missed: None, more }
    }

    fn reader() -> (Reader, u64) {
        let mut reader = Reader::new(TopicName::new("t").unwrap(), Start::Earliest {});
        assert_eq!(frame(&mut reader), Some((1, Start::Earliest {})));
        (reader, 1)
    }

    /// What it asks for.
    fn frame(reader: &mut Reader) -> Option<(u64, Start)> {
        let name = reader.sub().unwrap_or(0) + 1;
        match reader.next_frame(&mut || name)? {
            ClientFrame::Subscribe(Subscribe { sub, start, .. }) => Some((sub, start)),
            other => panic!("{other:?}"),
        }
    }

    fn take_all(reader: &mut Reader) -> Vec<TopicPosition> {
        let mut taken = Vec::new();
        loop {
            let shown = reader.show();
            let Some(last) = shown.items.last() else { return taken };
            taken.extend(shown.items.iter().map(Item::position));
            reader.taken(last.position());
        }
    }

    #[test]
    fn each_event_is_given_once_with_its_position() {
        let (mut reader, sub) = reader();
        assert!(reader.events(page(sub, 0, 3, false)));
        assert_eq!(take_all(&mut reader), [at(1), at(2), at(3)]);
        assert!(reader.events(page(sub, 3, 1, false)));
        assert_eq!(reader.show().items, [Item::Event(at(4), Json::parse("3").unwrap())]);
    }

    #[test]
    fn who_looked_is_told_again_only_when_what_it_saw_is_taken() {
        let (mut reader, sub) = reader();
        assert!(reader.events(page(sub, 0, 2, false)));
        assert_eq!(reader.show().items.len(), 2);
        assert!(!reader.events(page(sub, 2, 1, false)));
        assert!(!reader.taken(at(1)));
        assert!(reader.taken(at(2)));
    }

    #[test]
    fn a_hole_between_two_frames_is_mended_before_anything_is_given() {
        let (mut reader, sub) = reader();
        reader.events(page(sub, 0, 2, false));
        assert!(!reader.events(page(sub, 3, 2, false)));
        assert_eq!(frame(&mut reader), Some((sub, Start::from(at(2)))));
        reader.events(page(sub, 2, 3, false));
        assert_eq!(take_all(&mut reader), [1, 2, 3, 4, 5].map(at));
    }

    #[test]
    fn what_was_sent_before_a_question_is_not_taken_for_its_answer() {
        let (mut reader, sub) = reader();
        reader.events(page(sub, 0, 2, false));
        reader.events(page(sub, 3, 1, false));
        assert_eq!(frame(&mut reader), Some((sub, Start::from(at(2)))));
        // Of the events behind the hole, and once more of those before it.
        assert!(!reader.events(page(sub, 4, 1, false)) && !reader.events(page(sub, 0, 2, false)));
        assert!(reader.is_asking());
        reader.events(page(sub, 2, 3, false));
        assert_eq!(take_all(&mut reader), [1, 2, 3, 4, 5].map(at));
    }

    #[test]
    fn who_was_further_in_an_earlier_life_than_the_topic_is_now_goes_back() {
        for (known, goes_back) in [(4, true), (0, false)] {
            let mut reader = Reader::new(TopicName::new("t").unwrap(), Start::from(at(known)));
            let (sub, _) = frame(&mut reader).unwrap();
            reader.events(Events { recovered: false, ..page(sub, 1, 2, false) });
            assert_eq!(reader.went_back(), goes_back);
        }
    }

    #[test]
    fn where_a_topic_has_lost_its_end_that_is_told_and_what_is_there_now_is_given() {
        let (mut reader, sub) = reader();
        reader.events(page(sub, 0, 4, false));
        assert_eq!(reader.show().items.len(), 4);
        reader.link_changed();
        let (sub, _) = frame(&mut reader).unwrap();
        reader.events(Events { recovered: false, ..page(sub, 1, 2, false) });
        // What was shown before is taken, and nothing of what was not shown with it.
        assert!(reader.taken(at(4)));
        assert_eq!(reader.show().items[0], Item::Gap(at(1), None));
        assert_eq!(take_all(&mut reader), [1, 2, 3].map(at));
        assert!(reader.went_back());
    }

    #[test]
    fn what_cannot_be_given_is_told_in_its_place() {
        let (mut reader, sub) = reader();
        reader.events(page(sub, 0, 1, false));
        reader.link_changed();
        assert_eq!(frame(&mut reader).map(|(_, start)| start), Some(Start::from(at(1))));
        reader.events(Events { recovered: false, missed: Some(8), ..page(1, 9, 1, false) });
        let items = reader.show().items;
        assert_eq!((items.len(), &items[1]), (3, &Item::Gap(at(9), Some(8))));
    }

    #[test]
    fn a_full_buffer_ends_the_subscription_and_room_begins_it_again_after_what_is_there() {
        let (mut reader, sub) = reader();
        let mut next = 0;
        while reader.waiting.len() <= MOST_ITEMS {
            reader.events(page(sub, next, 100, false));
            next += 100;
        }
        assert_eq!(reader.next_frame(&mut || 9), Some(ClientFrame::Unsubscribe(Unsubscribe { sub })));
        assert_eq!(reader.next_frame(&mut || 9), None);
        let taken = take_all(&mut reader);
        assert_eq!(taken.len() as u64, next);
        assert_eq!(frame(&mut reader), Some((1, Start::from(at(next)))));
    }

    #[test]
    fn large_events_fill_the_buffer_too_and_are_shown_in_parts() {
        let (mut reader, sub) = reader();
        let large = Json::parse(format!("\"{}\"", "x".repeat(WINDOW_BYTES))).unwrap();
        let events = vec![large; 4];
        reader.events(Events { events, ..page(sub, 0, 4, false) });
        assert!(reader.is_full());
        assert_eq!(reader.show().items.len(), 1);
        assert_eq!(reader.show().position, Some(at(1)));
    }

    #[test]
    fn a_page_that_is_not_the_last_is_followed_by_a_question_once_there_is_room() {
        let (mut reader, sub) = reader();
        reader.events(page(sub, 0, 600, true));
        assert_eq!(frame(&mut reader), None);
        take_all(&mut reader);
        assert_eq!(frame(&mut reader), Some((sub, Start::from(at(600)))));
    }

    #[test]
    fn the_end_comes_after_the_last_event() {
        let (mut reader, sub) = reader();
        reader.events(page(sub, 0, 300, false));
        reader.ended(Ended { sub, reason: None });
        let shown = reader.show();
        assert_eq!((shown.items.len(), shown.over), (WINDOW, None));
        assert!(reader.taken(at(WINDOW as u64)));
        assert_eq!(reader.show().over, Some(Over { reason: None }));
        assert_eq!(frame(&mut reader), None);
    }
}
