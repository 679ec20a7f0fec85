//! Readers of topics.

use super::*;
use crate::{
    connection::Rung,
    protocol::{EndReason, Ended, Events, LogEpoch, MAX_TOPICS, Start, Subscribe, TopicName, TopicPosition},
    stream::Item,
};

fn place(offset: u64) -> TopicPosition {
    TopicPosition { epoch: LogEpoch(7), offset }
}

fn orders(start: Start, durable: Option<&str>) -> Subscription {
    let durable = durable.map(str::to_owned);
    Subscription { topic: TopicName::new("orders").unwrap(), start, durable }
}

impl Bench {
    fn subscribed(&mut self) -> Vec<(u64, Start)> {
        let asked = self.frames().into_iter().filter_map(|frame| match frame {
            ClientFrame::Subscribe(Subscribe { sub, start, .. }) => Some((sub, start)),
            _ => None,
        });
        asked.collect()
    }

    fn events_come(&mut self, link: LinkId, sub: u64, from: u64, count: u64) {
        self.page_comes(link, sub, from, count, false);
    }

    fn page_comes(&mut self, link: LinkId, sub: u64, from: u64, count: u64, more: bool) {
        let mut events = reply(HttpId(sub), from, count).events.unwrap();
        events.more = more;
        self.input(Input::Received(link, Ok(ServerFrame::Events(events))));
    }

    fn looks(&mut self, id: u64) -> Vec<TopicPosition> {
        let changed = Event::ViewChanged(QueryId(id));
        assert!(self.events().contains(&changed), "nothing says to look");
        self.engine.topic(QueryId(id)).unwrap().items.iter().map(Item::position).collect()
    }
}

/// What a store holds after the batches.
fn stored(batches: Vec<OutboxBatch>) -> Stored {
    let meta = batches.into_iter().filter_map(|batch| batch.meta).next_back();
    Stored { meta, cursors: Some(vec![]), ..Stored::default() }
}

#[test]
fn a_reader_goes_on_where_it_was_when_the_link_is_another() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.input(Input::Subscribe(QueryId(1), orders(Start::Earliest {}, None)));
    let [(sub, Start::Earliest {})] = bench.subscribed()[..] else { panic!("it asks") };
    bench.events_come(link, sub, 0, 2);
    assert_eq!(bench.looks(1), [place(1), place(2)]);
    bench.input(Input::LinkDown(link));
    bench.later(60_000);
    let link = bench.connect();
    let [(again, start)] = &bench.subscribed()[..] else { panic!("it asks again") };
    assert_eq!((*again == sub, start.position()), (false, Some(place(2))));
    bench.events_come(link, sub, 2, 1);
    bench.input(Input::Taken(QueryId(1), place(2)));
    assert!(bench.engine.topic(QueryId(1)).unwrap().items.is_empty(), "the former subscription says nothing");
}

#[test]
fn how_far_a_lasting_reader_has_come_is_stored_and_found_again() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.input(Input::Subscribe(QueryId(1), orders(Start::Latest {}, Some("feed"))));
    let [(sub, Start::Latest {})] = bench.subscribed()[..] else { panic!("it asks") };
    bench.events_come(link, sub, 5, 3);
    assert_eq!(bench.looks(1).len(), 3);
    bench.commit();
    bench.input(Input::Taken(QueryId(1), place(7)));
    let batches = bench.commit();
    assert_eq!(batches.len(), 1, "one commit, though no operation was submitted");

    for (start, name, expected) in [
        (Start::Latest {}, "feed", Some(place(7))),
        (Start::from(place(8)), "feed", Some(place(8))),
        (Start::from(place(3)), "feed", Some(place(7))),
        (Start::Latest {}, "other", None),
    ] {
        let mut next = Bench::new(stored(batches.clone()));
        next.connect();
        next.input(Input::Subscribe(QueryId(1), orders(start, Some(name))));
        assert_eq!(next.subscribed()[0].1.position(), expected, "{name}");
    }
}

#[test]
fn a_position_that_could_not_be_stored_is_stored_later() {
    let mut bench = Bench::fresh();
    bench.connect();
    bench.commit();
    bench.input(Input::Subscribe(QueryId(1), orders(Start::Earliest {}, Some("feed"))));
    bench.input(Input::Taken(QueryId(1), place(4)));
    let failed = bench.take(|effect| if let Effect::Commit(id, _) = effect { Some(*id) } else { None });
    bench.input(Input::StoreFailed(failed[0], StoreError::Failed("busy".into())));
    bench.later(60_000);
    let mut next = Bench::new(stored(bench.commit()));
    next.connect();
    next.input(Input::Subscribe(QueryId(1), orders(Start::Earliest {}, Some("feed"))));
    assert_eq!(next.subscribed()[0].1.position(), Some(place(4)));
}

#[test]
fn where_a_topic_has_lost_its_end_the_position_that_is_kept_goes_back_with_its_reader() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.input(Input::Subscribe(QueryId(1), orders(Start::Earliest {}, Some("feed"))));
    let [(sub, _)] = bench.subscribed()[..] else { panic!("it asks") };
    bench.events_come(link, sub, 0, 9);
    bench.looks(1);
    bench.input(Input::Taken(QueryId(1), place(9)));
    bench.input(Input::LinkDown(link));
    bench.later(60_000);
    let link = bench.connect();
    let [(sub, _)] = bench.subscribed()[..] else { panic!("it asks again") };
    let gap = Events {
        sub,
        from: place(0),
        to: place(0),
        events: vec![],
        recovered: false,
        missed: None,
        more: true,
    };
    bench.input(Input::Received(link, Ok(ServerFrame::Events(gap))));
    bench.events_come(link, sub, 0, 3);
    assert_eq!(bench.looks(1), [0, 1, 2, 3].map(place));
    bench.input(Input::Taken(QueryId(1), place(3)));
    let mut next = Bench::new(stored(bench.commit()));
    next.connect();
    next.input(Input::Subscribe(QueryId(1), orders(Start::Earliest {}, Some("feed"))));
    assert_eq!(next.subscribed()[0].1.position(), Some(place(3)));
}

#[test]
fn what_ends_a_subscription_is_told_and_it_is_not_asked_for_again() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.input(Input::Subscribe(QueryId(1), orders(Start::Earliest {}, None)));
    let sub = bench.subscribed()[0].0;
    let reason = Some(EndReason { code: "no_such_topic".into(), message: String::new() });
    bench.input(Input::Received(link, Ok(ServerFrame::Ended(Ended { sub, reason: reason.clone() }))));
    assert!(bench.looks(1).is_empty());
    assert_eq!(bench.engine.topic(QueryId(1)).unwrap().over.unwrap().reason, reason);
    bench.input(Input::LinkDown(link));
    bench.later(60_000);
    bench.connect();
    assert_eq!(bench.subscribed(), []);
}

#[test]
fn a_reader_that_is_closed_is_no_longer_subscribed() {
    let mut bench = Bench::fresh();
    bench.connect();
    bench.input(Input::Subscribe(QueryId(1), orders(Start::Earliest {}, None)));
    let sub = bench.subscribed()[0].0;
    bench.input(Input::Close(QueryId(1)));
    assert!(matches!(&bench.frames()[..], [ClientFrame::Unsubscribe(gone)] if gone.sub == sub));
    assert_eq!(bench.engine.topic(QueryId(1)), None);
}

#[test]
fn a_client_reads_so_many_topics_and_no_more() {
    let mut bench = Bench::fresh();
    for id in 0..=MAX_TOPICS as u64 {
        bench.input(Input::Subscribe(QueryId(id), orders(Start::Latest {}, None)));
    }
    assert_eq!(bench.events().last(), Some(&Event::QueryRefused(QueryId(MAX_TOPICS as u64))));
}

fn reply(id: HttpId, from: u64, count: u64) -> TopicReply {
    let events = (from..from + count).map(|n| Json::parse(n.to_string()).unwrap()).collect();
    let (from, to) = (place(from), place(from + count));
    let events = Events { sub: id.0, from, to, events, recovered: true, missed: None, more: false };
    TopicReply { events: Some(events), ended: None }
}

impl Bench {
    /// The WebSocket is refused, and plain HTTP gets through.
    fn degraded(&mut self) {
        self.input(Input::Wake);
        self.input(Input::Token(Ok("token".into())));
        let link = self.link();
        self.input(Input::LinkDown(link));
        self.pulled();
        assert_eq!(self.engine.status().link, crate::routing::LinkState::Degraded);
    }

    /// Plain HTTP still gets through.
    fn pulled(&mut self) {
        let pull = |effect: &Effect| if let Effect::Http(id, _) = effect { Some(*id) } else { None };
        for id in self.take(pull) {
            let reply =
                crate::protocol::PullReply { welcome: welcome("ada"), changes: vec![], judgements: vec![] };
            self.input(Input::HttpDone(id, Ok(Reply::Pull(reply))));
        }
    }

    fn reads(&mut self) -> Vec<(HttpId, Start, Rung)> {
        self.take(|effect| match effect {
            Effect::ReadTopic(id, read) => Some((*id, read.start.clone(), read.rung)),
            _ => None,
        })
    }

    fn answers(&mut self, id: HttpId, from: u64, count: u64) {
        self.input(Input::TopicRead(id, Ok(reply(id, from, count))));
    }

    fn tells(&mut self, id: HttpId, from: u64, count: u64) {
        self.input(Input::TopicTold(id, reply(id, from, count)));
    }
}

#[test]
fn where_no_websocket_gets_through_a_topic_is_read_over_http_and_the_websocket_takes_over_again() {
    let mut bench = Bench::fresh();
    bench.degraded();
    bench.input(Input::Subscribe(QueryId(1), orders(Start::Latest {}, None)));
    let [(id, Start::Latest {}, Rung::Get)] = bench.reads()[..] else { panic!("it finds out where it is") };
    bench.answers(id, 4, 0);
    let [(id, start, Rung::Sse)] = &bench.reads()[..] else { panic!("it waits for more") };
    assert_eq!(start.position(), Some(place(4)));
    bench.tells(*id, 4, 1);
    bench.tells(*id, 5, 1);
    assert_eq!(bench.looks(1), [place(5), place(6)]);
    assert!(bench.reads().is_empty() && bench.engine.awaits(*id));

    bench.later(2_000);
    bench.connect();
    let [(_, start)] = &bench.subscribed()[..] else { panic!("it asks over the WebSocket") };
    assert_eq!(start.position(), Some(place(6)));
    bench.tells(*id, 6, 3);
    assert!(!bench.engine.awaits(*id));
    bench.input(Input::Taken(QueryId(1), place(6)));
    assert!(bench.engine.topic(QueryId(1)).unwrap().items.is_empty(), "what comes late counts for nothing");
}

#[test]
fn an_answer_that_goes_on_is_followed_by_another_and_one_that_ends_at_once_by_something_else() {
    let mut bench = Bench::fresh();
    bench.degraded();
    bench.input(Input::Subscribe(QueryId(1), orders(Start::Earliest {}, None)));
    let [(id, ..)] = bench.reads()[..] else { panic!("it asks") };
    bench.answers(id, 0, 1);
    let [(id, _, Rung::Sse)] = bench.reads()[..] else { panic!("it waits") };
    for _ in 0..4 {
        bench.tells(id, 1, 0);
        bench.later(15_000);
        bench.pulled();
        assert!(bench.engine.awaits(id), "it lives");
    }
    bench.input(Input::TopicRead(id, Ok(TopicReply::default())));
    let [(id, _, Rung::Sse)] = bench.reads()[..] else { panic!("it waits again") };
    bench.tells(id, 1, 1);
    bench.input(Input::TopicRead(id, Ok(TopicReply::default())));
    let [(_, start, Rung::LongPoll)] = &bench.reads()[..] else { panic!("it waits in another way") };
    assert_eq!(start.position(), Some(place(2)));
}

#[test]
fn what_waits_in_vain_is_followed_by_questions_that_are_answered_at_once() {
    let mut bench = Bench::fresh();
    bench.degraded();
    bench.input(Input::Subscribe(QueryId(1), orders(Start::Earliest {}, None)));
    let [(id, ..)] = bench.reads()[..] else { panic!("it asks") };
    bench.answers(id, 0, 1);
    let [(_, _, Rung::Sse)] = bench.reads()[..] else { panic!("it waits") };
    // Nothing comes, not even the first.
    bench.later(10_000);
    bench.pulled();
    let [(id, _, Rung::LongPoll)] = bench.reads()[..] else { panic!("it waits in another way") };
    bench.input(Input::TopicRead(id, Err(HttpFailure::Unreachable)));
    for n in 1..4 {
        bench.later(3_000);
        bench.pulled();
        let [(id, start, Rung::Get)] = &bench.reads()[..] else { panic!("it asks again") };
        assert_eq!(start.position(), Some(place(n)));
        bench.answers(*id, n, 1);
    }
    bench.later(120_000);
    bench.pulled();
    let [(_, _, Rung::Sse)] = bench.reads()[..] else { panic!("it tries to wait again") };
}

#[test]
fn a_proxy_that_answers_at_once_what_should_wait_is_not_asked_as_fast_as_it_answers() {
    let mut bench = Bench::fresh();
    bench.degraded();
    bench.input(Input::Subscribe(QueryId(1), orders(Start::Earliest {}, None)));
    let [(id, ..)] = bench.reads()[..] else { panic!("it asks") };
    bench.answers(id, 0, 1);
    let [(id, _, Rung::Sse)] = bench.reads()[..] else { panic!("it waits") };
    bench.answers(id, 1, 0);
    let [(id, _, Rung::LongPoll)] = bench.reads()[..] else { panic!("it waits in another way") };
    bench.later(5_000);
    bench.pulled();
    bench.answers(id, 1, 0);
    let [(id, _, Rung::LongPoll)] = bench.reads()[..] else { panic!("so long is long enough") };
    bench.answers(id, 1, 0);
    assert_eq!(bench.reads(), [], "it does not ask at once");
    bench.later(3_000);
    bench.pulled();
    let [(_, _, Rung::Get)] = bench.reads()[..] else { panic!("it asks now and then") };
}

#[test]
fn however_many_topics_are_read_over_http_some_connections_are_left_for_the_rest() {
    let mut bench = Bench::fresh();
    bench.degraded();
    for id in 1..=10 {
        bench.input(Input::Subscribe(QueryId(id), orders(Start::Earliest {}, None)));
    }
    let (mut open, mut asked) = (vec![], 0);
    for _ in 0..80 {
        open.extend(bench.reads());
        assert!(open.len() <= 3, "{open:?}");
        if let Some(at) = open.iter().position(|(_, _, rung)| *rung == Rung::Get) {
            asked += 1;
            let (id, ..) = open.remove(at);
            bench.answers(id, 0, 0);
        } else {
            bench.later(3_000);
            bench.pulled();
            open.iter().for_each(|(id, ..)| bench.tells(*id, 0, 0));
        }
    }
    assert_eq!(open.iter().filter(|(_, _, rung)| *rung == Rung::Sse).count(), 2);
    assert!(asked > 30, "the others are asked about in turn: {asked}");
}

#[test]
fn a_topic_is_not_read_while_nothing_works_and_a_full_reader_asks_for_no_more() {
    let mut bench = Bench::fresh();
    bench.input(Input::Subscribe(QueryId(1), orders(Start::Earliest {}, None)));
    bench.input(Input::Wake);
    assert!(bench.reads().is_empty());
    bench.degraded();
    let [(id, ..)] = bench.reads()[..] else { panic!("it asks") };
    bench.answers(id, 0, 2_000);
    assert!(bench.reads().is_empty());
    bench.looks(1);
    for _ in 0..8 {
        let position = bench.engine.topic(QueryId(1)).unwrap().position.unwrap();
        bench.input(Input::Taken(QueryId(1), position));
    }
    let [(_, start, _)] = &bench.reads()[..] else { panic!("it goes on") };
    assert_eq!(start.position(), Some(place(2_000)));
}

#[test]
fn what_is_to_be_caught_up_with_comes_over_http_and_what_follows_over_the_websocket() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.input(Input::Subscribe(QueryId(1), orders(Start::Earliest {}, None)));
    let sub = bench.subscribed()[0].0;
    bench.page_comes(link, sub, 0, 2, true);
    let [(id, start, Rung::Get)] = &bench.reads()[..] else { panic!("it asks over HTTP") };
    assert_eq!((start.position(), bench.subscribed()), (Some(place(2)), vec![]));
    let mut page = reply(*id, 2, 3);
    page.events.as_mut().unwrap().more = true;
    bench.input(Input::TopicRead(*id, Ok(page)));
    let [(id, start, Rung::Get)] = &bench.reads()[..] else { panic!("it asks for the rest") };
    assert_eq!(start.position(), Some(place(5)));
    bench.answers(*id, 5, 1);
    let [(again, start)] = &bench.subscribed()[..] else { panic!("it goes on over the WebSocket") };
    assert_eq!((*again, start.position()), (sub, Some(place(6))));
    bench.events_come(link, sub, 6, 1);
    assert_eq!(bench.looks(1), (1..=7).map(place).collect::<Vec<_>>());
    assert!(bench.reads().is_empty() && bench.subscribed().is_empty());
}

#[test]
fn where_http_fails_beside_a_websocket_what_is_to_be_caught_up_with_comes_over_that() {
    let empty = |id| Ok(reply(id, 2, 0));
    let closed = Ended { sub: 0, reason: None };
    let ended = |_| Ok(TopicReply { events: None, ended: Some(closed.clone()) });
    let failures: [&dyn Fn(HttpId) -> Result<TopicReply, HttpFailure>; 3] =
        [&|_| Err(HttpFailure::Unreachable), &empty, &ended];
    for failure in failures {
        let mut bench = Bench::fresh();
        let link = bench.connect();
        bench.input(Input::Subscribe(QueryId(1), orders(Start::Earliest {}, None)));
        let sub = bench.subscribed()[0].0;
        bench.page_comes(link, sub, 0, 2, true);
        let id = bench.reads()[0].0;
        bench.input(Input::TopicRead(id, failure(id)));
        for at in [2, 4] {
            let [(again, start)] = &bench.subscribed()[..] else { panic!("it asks over the WebSocket") };
            assert_eq!((*again, start.position()), (sub, Some(place(at))));
            bench.page_comes(link, sub, at, 2, true);
            assert_eq!(bench.reads(), [], "and does so from now on");
        }
        assert_eq!(bench.looks(1).len(), 6);
    }
}

#[test]
fn of_an_answer_over_http_that_does_not_come_nobody_waits_for_ever() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.input(Input::Subscribe(QueryId(1), orders(Start::Earliest {}, None)));
    let sub = bench.subscribed()[0].0;
    bench.page_comes(link, sub, 0, 2, true);
    let id = bench.reads()[0].0;
    bench.later(17_500);
    bench.input(Input::Received(link, Ok(ServerFrame::Ping {})));
    assert!(bench.engine.awaits(id));
    bench.later(17_500);
    assert!(!bench.engine.awaits(id));
    assert_eq!(bench.subscribed().len(), 1, "it asks over the WebSocket, which lives");
}

#[test]
fn two_readers_catch_up_over_http_and_no_other_waits_for_them() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    for id in 1..=3 {
        bench.input(Input::Subscribe(QueryId(id), orders(Start::Earliest {}, None)));
    }
    for (sub, _) in bench.subscribed() {
        bench.page_comes(link, sub, 0, 1, true);
    }
    let [(first, ..), _] = bench.reads()[..] else { panic!("two of them ask") };
    let [(third, _)] = bench.subscribed()[..] else { panic!("the third asks, too") };
    bench.input(Input::Close(QueryId(1)));
    assert!(!bench.engine.awaits(first), "a reader that is closed waits for nothing");
    bench.page_comes(link, third, 1, 1, true);
    assert_eq!(bench.reads().len(), 1, "now there is room for the third");
}

#[test]
fn a_refusal_in_place_of_an_answer_that_goes_on_is_no_answer() {
    let mut bench = Bench::fresh();
    bench.degraded();
    bench.input(Input::Subscribe(QueryId(1), orders(Start::Earliest {}, None)));
    let [(id, ..)] = bench.reads()[..] else { panic!("it asks") };
    bench.answers(id, 0, 1);
    let mut pauses = vec![];
    for _ in 0..8 {
        let [(id, _, Rung::Sse)] = bench.reads()[..] else { panic!("it waits") };
        // Its bytes come before it is known what they are.
        bench.input(Input::TopicTold(id, TopicReply::default()));
        let busy = ProtocolError::new(ErrorCode::Overloaded, "too many");
        bench.input(Input::TopicRead(id, Err(HttpFailure::Refused(busy))));
        let mut pause = 0;
        while bench.engine.topics.ladder.next() > Millis(bench.now) {
            bench.later(100);
            pause += 100;
        }
        bench.pulled();
        pauses.push(pause);
    }
    assert!(pauses.iter().max() > Some(&2_000), "pauses grow: {pauses:?}");
}
