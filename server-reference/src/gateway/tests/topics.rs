//! Topics over a session, on a real log.

use bytes::Bytes;
use sdk_core::protocol::{
    EndReason, Ended, Events, MAX_TOPICS, Start, Subscribe, TopicPosition, Unsubscribe,
};

use super::*;
use crate::{
    fixtures::{granted_token, scope},
    storage::events::{Append, ContentType, NewTopic, Position, Retention},
};

const BIG: usize = 200_000;

impl Server {
    fn make(&mut self, topic: &str, content_type: &str, retention: Retention) {
        let content_type = ContentType::new(content_type);
        let new = NewTopic { content_type, retention, ..NewTopic::default() };
        let made = self.events.create(scope("acme", "ada"), name(topic), new, self.now().wall);
        block_on(made).unwrap();
    }

    /// Appends, and returns what sessions would be told.
    fn append(&mut self, topic: &str, events: &[&str]) -> Vec<Arc<News>> {
        let events = events.iter().map(|event| Bytes::from((*event).to_owned())).collect();
        self.write(
            topic,
            Append { content_type: ContentType::new("application/json"), events, ..Append::default() },
        )
    }

    fn write(&mut self, topic: &str, append: Append) -> Vec<Arc<News>> {
        block_on(self.events.append(scope("acme", "ada"), name(topic), append, self.now().wall)).unwrap();
        self.news.lock().unwrap().drain(..).map(Arc::new).collect()
    }

    fn tell(&mut self, peer: &mut Peer, news: Vec<Arc<News>>) {
        news.into_iter().for_each(|news| drop(self.give(peer, Input::Moved(news))));
    }

    fn subscribe(&mut self, peer: &mut Peer, sub: u64, topic: &str, start: Start) {
        let topic = topic.to_owned();
        self.send(peer, &ClientFrame::Subscribe(Subscribe { sub, topic, start }));
    }

    /// A session that reads the topic `t` from its beginning, in which there are these events.
    fn reader(&mut self, events: &[&str]) -> Peer {
        self.make("t", "application/json", Retention::default());
        self.append("t", events);
        let mut peer = self.open(1);
        self.subscribe(&mut peer, 1, "t", Start::Earliest {});
        peer
    }
}

impl Peer {
    fn take_events(&mut self) -> Events {
        match self.take() {
            ServerFrame::Events(events) => events,
            other => panic!("no events but {other:?}"),
        }
    }

    fn take_end(&mut self) -> (u64, Option<String>) {
        match self.take() {
            ServerFrame::Ended(Ended { sub, reason }) => (sub, reason.map(|EndReason { code, .. }| code)),
            other => panic!("no end but {other:?}"),
        }
    }
}

fn name(topic: &str) -> TopicName {
    TopicName::new(topic).unwrap()
}

fn texts(events: &Events) -> Vec<&str> {
    events.events.iter().map(|event| event.as_str()).collect()
}

fn after(position: TopicPosition) -> Start {
    Start::After(position.to_string())
}

#[test]
fn a_reader_gets_what_is_there_and_then_what_comes_each_once() {
    let mut server = Server::new();
    let mut peer = server.reader(&["1", "{\"a\":[2]}"]);
    let first = peer.take_events();
    assert_eq!((texts(&first), first.recovered, first.more), (vec!["1", "{\"a\":[2]}"], true, false));
    assert_eq!((first.from.offset, first.to.offset), (0, 2));
    let news = server.append("t", &["3"]);
    server.tell(&mut peer, news);
    let next = peer.take_events();
    assert_eq!((texts(&next), next.from, next.to), (vec!["3"], first.to, first.to.plus(1)));
}

#[test]
fn a_reader_of_what_is_yet_to_come_is_told_where_it_stands() {
    let mut server = Server::new();
    let mut peer = server.reader(&["1"]);
    let known = peer.take_events();
    server.subscribe(&mut peer, 2, "t", Start::Latest {});
    let answer = peer.take_events();
    assert_eq!((answer.sub, texts(&answer), answer.to), (2, vec![], known.to));
    assert_eq!(peer.topics, [name("t")], "the hub is told of a topic once");
    let news = server.append("t", &["2"]);
    server.tell(&mut peer, news);
    assert_eq!(peer.received.len(), 2, "one for each subscription");
}

#[test]
fn reading_begins_at_a_time() {
    let mut server = Server::new();
    let mut peer = server.reader(&["1", "2"]);
    peer.take_events();
    server.elapsed += 1_000;
    let later = server.now().wall;
    server.append("t", &["3", "4"]);
    server.elapsed += 1_000;
    server.append("t", &["5"]);
    for (time, expected) in [
        (Millis(0), vec!["1", "2", "3", "4", "5"]),
        (later, vec!["3", "4", "5"]),
        (later.plus(1), vec!["5"]),
        (later.plus(1_001), vec![]),
    ] {
        server.subscribe(&mut peer, 2, "t", Start::Time(time));
        assert_eq!(texts(&peer.take_events()), expected, "{time:?}");
    }
}

#[test]
fn a_slow_reader_gets_no_more_than_a_page_until_it_asks_and_then_all_of_it() {
    let mut server = Server::new();
    let large = format!("\"{}\"", "x".repeat(BIG));
    let mut peer = server.reader(&[&large, &large, &large]);
    let page = peer.take_events();
    assert!(page.more && page.events.len() == 1);
    for _ in 0..3 {
        let news = server.append("t", &["0"]);
        server.tell(&mut peer, news);
    }
    server.give(&mut peer, Input::MissedNews);
    assert_eq!(peer.received, [], "nothing is sent to who has not asked");
    let (mut at, mut seen) = (page.to, 1);
    while seen < 6 {
        server.subscribe(&mut peer, 1, "t", after(at));
        let page = peer.take_events();
        assert_eq!((page.from, page.recovered), (at, true));
        (at, seen) = (page.to, seen + page.events.len());
    }
    assert_eq!(at.offset, 6);
}

#[test]
fn the_first_page_is_small_and_those_that_are_asked_for_after_it_are_not() {
    let mut server = Server::new();
    let event = format!("\"{}\"", "x".repeat(1_000));
    let mut peer = server.reader(&[event.as_str(); 300]);
    let page = peer.take_events();
    assert!(page.more && (5..10).contains(&page.events.len()), "{} events", page.events.len());
    server.subscribe(&mut peer, 1, "t", after(page.to));
    let page = peer.take_events();
    assert!(page.more && page.events.len() > 200, "{} events", page.events.len());
}

#[test]
fn what_is_appended_during_a_read_is_not_missed() {
    let mut server = Server::new();
    let mut peer = server.reader(&["1"]);
    let first = peer.take_events();
    server.hold_reads = true;
    server.subscribe(&mut peer, 1, "t", after(first.to));
    let (scope, topic, read) = peer.reads.remove(0);
    let early = server.read(scope, topic, read);
    let news = server.append("t", &["2"]);
    server.tell(&mut peer, news);
    server.hold_reads = false;
    server.give(&mut peer, Input::TopicRead(early));
    let frames: Vec<Events> = peer
        .received
        .drain(..)
        .map(|frame| match frame {
            ServerFrame::Events(events) => events,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(frames.iter().flat_map(texts).collect::<Vec<_>>(), ["2"]);
    assert!(frames.windows(2).all(|two| two[0].to == two[1].from));
}

#[test]
fn a_page_that_is_not_the_last_is_the_last_word_also_if_the_topic_moved_on_while_it_was_read() {
    let mut server = Server::new();
    let mut peer = server.reader(&["1"]);
    let first = peer.take_events();
    let large = format!("\"{}\"", "x".repeat(BIG));
    server.append("t", &[&large, &large]);
    server.hold_reads = true;
    server.subscribe(&mut peer, 1, "t", after(first.to));
    let (scope, topic, read) = peer.reads.remove(0);
    let page = server.read(scope, topic, read);
    let news = server.append("t", &["2"]);
    server.tell(&mut peer, news);
    server.hold_reads = false;
    server.give(&mut peer, Input::TopicRead(page));
    assert!(peer.take_events().more);
    assert_eq!(peer.received, [], "nothing is sent to who has not asked");
}

#[test]
fn an_answer_for_where_the_reader_no_longer_stands_is_not_sent() {
    let mut server = Server::new();
    let mut peer = server.reader(&["1", "2"]);
    let first = peer.take_events();
    server.hold_reads = true;
    server.subscribe(&mut peer, 1, "t", Start::Earliest {});
    let (scope, topic, read) = peer.reads.remove(0);
    let old = server.read(scope, topic, read);
    server.subscribe(&mut peer, 1, "t", after(first.to));
    server.hold_reads = false;
    server.give(&mut peer, Input::TopicRead(old));
    assert_eq!(texts(&peer.take_events()), [""; 0]);
}

#[test]
fn a_reader_behind_what_is_kept_is_told_how_many_it_missed() {
    let mut server = Server::new();
    server.make("t", "application/json", Retention { events: Some(2), ..Retention::default() });
    server.append("t", &["1"]);
    let mut peer = server.open(1);
    server.subscribe(&mut peer, 1, "t", Start::Earliest {});
    let first = peer.take_events();
    server.append("t", &["2", "3", "4", "5", "6"]);
    server.subscribe(&mut peer, 1, "t", after(first.to));
    let events = peer.take_events();
    assert_eq!((texts(&events), events.recovered, events.missed), (vec!["5", "6"], false, Some(3)));
    assert_eq!((events.from.offset, events.to.offset), (4, 6));
}

#[test]
fn a_reader_of_another_history_is_told_and_begins_again() {
    let mut server = Server::new();
    let mut peer = server.reader(&["1", "2"]);
    peer.take_events();
    let elsewhere: Position = format!("{:016x}_{:016x}", 99, 1).parse().unwrap();
    server.subscribe(&mut peer, 1, "t", after(elsewhere));
    let events = peer.take_events();
    assert_eq!((texts(&events), events.recovered, events.missed), (vec!["1", "2"], false, None));
}

#[test]
fn a_page_ends_where_the_positions_of_a_fork_become_its_own() {
    let mut server = Server::new();
    let mut peer = server.reader(&["1", "2"]);
    let source = peer.take_events();
    let fork = Some(crate::storage::events::Fork { source: name("t"), at: None, more: 0 });
    let new = NewTopic { fork, ..NewTopic::default() };
    block_on(server.events.create(scope("acme", "ada"), name("f"), new, START)).unwrap();
    server.append("f", &["3", "4"]);
    server.subscribe(&mut peer, 2, "f", Start::Earliest {});
    let shared = peer.take_events();
    assert_eq!((texts(&shared), shared.from.epoch, shared.more), (vec!["1", "2"], source.to.epoch, true));
    assert_ne!(shared.to.epoch, source.to.epoch);
    for (start, own) in [(shared.to, vec!["3", "4"]), (shared.to.plus(1), vec!["4"])] {
        server.subscribe(&mut peer, 2, "f", after(start));
        let events = peer.take_events();
        assert_eq!((texts(&events), events.from, events.recovered), (own, start, true));
    }
}

#[test]
fn a_topic_ends_with_its_last_event() {
    let mut server = Server::new();
    let mut peer = server.reader(&["1"]);
    peer.take_events();
    let events = vec![Bytes::from_static(b"2")];
    let last = Append {
        content_type: ContentType::new("application/json"),
        events,
        close: true,
        ..Append::default()
    };
    let news = server.write("t", last);
    server.tell(&mut peer, news);
    assert!(matches!(&peer.received[0], ServerFrame::Events(events) if texts(events) == ["2"]));
    peer.received.remove(0);
    assert_eq!(peer.take_end(), (1, None));
    assert_eq!(peer.topics, []);
    server.subscribe(&mut peer, 2, "t", Start::Latest {});
    assert!(matches!(
        peer.received[..],
        [ServerFrame::Events(_), ServerFrame::Ended(Ended { sub: 2, reason: None })]
    ));
}

#[test]
fn what_cannot_be_read_ends_a_subscription_and_nothing_else() {
    let mut server = Server::new();
    let mut peer = server.reader(&["1"]);
    let known = peer.take_events();
    server.make("octets", "application/octet-stream", Retention::default());
    for (topic, start, code) in [
        ("missing", Start::Earliest {}, "no_such_topic"),
        ("a//b", Start::Earliest {}, "bad_topic"),
        ("__ds/x", Start::Latest {}, "bad_topic"),
        ("t", Start::After("7".into()), "bad_position"),
        ("octets", Start::Earliest {}, "content_type_mismatch"),
    ] {
        server.subscribe(&mut peer, 2, topic, start);
        assert_eq!(peer.take_end(), (2, Some(code.to_owned())), "{topic}");
    }
    server.subscribe(&mut peer, 1, "octets", Start::Earliest {});
    assert_eq!(peer.take_end(), (1, Some("bad_topic".to_owned())), "a subscription stays with its topic");
    let news = server.append("t", &["2"]);
    server.tell(&mut peer, news);
    assert_eq!(peer.take_events().from, known.to);
}

#[test]
fn a_topic_that_is_deleted_ends_its_subscriptions() {
    let mut server = Server::new();
    let mut peer = server.reader(&["1"]);
    peer.take_events();
    block_on(server.events.delete(scope("acme", "ada"), name("t"), START)).unwrap();
    let news: Vec<_> = server.news.lock().unwrap().drain(..).map(Arc::new).collect();
    server.tell(&mut peer, news);
    assert_eq!(peer.take_end(), (1, Some("no_such_topic".to_owned())));
}

#[test]
fn a_token_reads_what_it_was_granted_and_learns_nothing_of_the_rest() {
    let mut server = Server::new();
    for topic in ["open/news", "hidden"] {
        server.make(topic, "application/json", Retention::default());
        server.append(topic, &["1"]);
    }
    let token = granted_token("ada", serde_json::json!([{ "topic": "open/*", "may": "read" }]));
    let mut peer = server.connect();
    let frame = Hello { token, ..greeting(client(1), None) };
    server.send(&mut peer, &ClientFrame::Hello(frame));
    peer.received.clear();
    server.subscribe(&mut peer, 1, "open/news", Start::Earliest {});
    assert_eq!(texts(&peer.take_events()), ["1"]);
    for topic in ["hidden", "missing"] {
        server.subscribe(&mut peer, 2, topic, Start::Earliest {});
        assert_eq!(peer.take_end(), (2, Some("no_such_topic".to_owned())));
    }
}

#[test]
fn a_session_has_so_many_subscriptions_and_no_more() {
    let mut server = Server::new();
    let mut peer = server.reader(&["1"]);
    for sub in 2..=MAX_TOPICS as u64 {
        server.subscribe(&mut peer, sub, "t", Start::Latest {});
    }
    assert_eq!(peer.received.len(), MAX_TOPICS);
    peer.received.clear();
    let beyond = MAX_TOPICS as u64 + 1;
    server.subscribe(&mut peer, beyond, "t", Start::Latest {});
    assert_eq!(peer.take_end(), (beyond, Some("too_many".to_owned())));
    server.send(&mut peer, &ClientFrame::Unsubscribe(Unsubscribe { sub: 1 }));
    server.subscribe(&mut peer, beyond, "t", Start::Latest {});
    assert_eq!(peer.take_events().sub, beyond);
}

#[test]
fn a_store_that_does_not_answer_ends_the_session_so_that_the_reader_comes_back() {
    let mut server = Server::new();
    let mut peer = server.reader(&["1"]);
    peer.take_events();
    server.hold_reads = true;
    server.subscribe(&mut peer, 1, "t", Start::Earliest {});
    let broken = StorageError::Unavailable("the disk is gone".into());
    server.give(&mut peer, Input::TopicRead(Err(LogError::Storage(broken))));
    assert_eq!(peer.error(), ErrorCode::StorageUnavailable);
}

#[test]
fn after_the_end_of_a_subscription_nothing_of_it_is_sent() {
    let mut server = Server::new();
    let mut peer = server.reader(&["1"]);
    peer.take_events();
    server.send(&mut peer, &ClientFrame::Unsubscribe(Unsubscribe { sub: 1 }));
    assert_eq!(peer.topics, []);
    let news = server.append("t", &["2"]);
    server.tell(&mut peer, news);
    assert_eq!(peer.received, []);
}
