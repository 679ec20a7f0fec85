//! Readers of topics.

use super::*;
use crate::{
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
        let events = (from..from + count).map(|n| Json::parse(n.to_string()).unwrap()).collect();
        let (from, to) = (place(from), place(from + count));
        let events = Events { sub, from, to, events, recovered: true, missed: None, more: false };
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
