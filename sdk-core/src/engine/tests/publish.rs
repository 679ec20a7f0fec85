//! Events for topics, from the application to the outbox and the server's answer.

use super::*;
use crate::{
    outbox::OutboxLimits,
    protocol::{LogEpoch, PullReply, PushReply, TopicName, TopicPosition},
};

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn event(data: u64) -> Json {
    Json::parse(format!(r#"{{"specversion":"1.0","id":"{data}","source":"/","type":"t","data":{data}}}"#))
        .unwrap()
}

fn position(offset: u64) -> TopicPosition {
    TopicPosition { epoch: LogEpoch(1), offset }
}

fn appended(seq: u64, offset: u64) -> Judgement {
    Judgement {
        seq: Seq(seq),
        outcome: Outcome::Published { position: position(offset) },
        position: None,
        by: None,
        event: None,
    }
}

fn refused(seq: u64) -> Judgement {
    let reason = Rejection { code: ErrorCode::TopicClosed, message: "closed".into() };
    Judgement { seq: Seq(seq), outcome: Outcome::Rejected(reason), position: None, by: None, event: None }
}

fn answer(judgements: Vec<Judgement>) -> ServerFrame {
    ServerFrame::Outcomes(Outcomes { judgements })
}

/// The seq and the data of each.
fn shown(publications: &[Publication]) -> Vec<(u64, u64)> {
    let data = |event: &Json| {
        event.as_str().rsplit_once(r#""data":"#).unwrap().1.trim_end_matches('}').parse().unwrap()
    };
    publications.iter().map(|one| (one.seq.0, data(&one.event))).collect()
}

impl Bench {
    fn publish(&mut self, ticket: u64, name: &str, data: u64) {
        self.publish_as(ticket, name, data, None);
    }

    fn publish_as(&mut self, ticket: u64, name: &str, data: u64, key: Option<&str>) {
        self.input(Input::Publish {
            ticket: Ticket(ticket),
            topic: topic(name),
            event: event(data),
            coalesce: key.map(str::to_owned),
            after: vec![],
        });
    }

    /// Another life of the client, with what it has stored since the first of `batches`.
    fn reload(&mut self, mut batches: Vec<OutboxBatch>) -> Self {
        batches.extend(self.commit());
        let mut stored = Stored { cursors: Some(vec![]), ..Stored::default() };
        for batch in batches {
            let gone =
                |key: u64| batch.remove.contains(&key) || batch.put.iter().any(|record| record.key == key);
            stored.outbox.retain(|record| !gone(record.key));
            stored.outbox.extend(batch.put.clone());
            stored.meta = batch.meta.or(stored.meta);
        }
        Self::new(stored)
    }
}

#[test]
fn an_event_is_never_sent_before_it_is_stored_and_is_settled_by_its_judgement() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.publish(1, "orders", 7);
    assert!(bench.published().is_empty());
    assert!(bench.commit()[0].put[0].text.contains("orders"));
    let [sent] = &bench.published()[..] else { panic!("one is sent") };
    assert_eq!((sent.seq, &sent.topic), (Seq(1), &topic("orders")));
    bench.receive(link, answer(vec![appended(1, 5)]));
    let events = bench.events();
    assert!(events.contains(&Event::Submitted(Ticket(1), Seq(1))));
    assert!(events.contains(&Event::Settled(Seq(1), None, Outcome::Published { position: position(5) })));
    assert_eq!(bench.commit()[0].remove, [1]);
    assert_eq!((bench.engine.status().pending, bench.engine.unpublished().len()), (0, 0));
}

#[test]
fn an_event_published_offline_goes_out_after_a_restart_as_it_was_made() {
    let mut bench = Bench::fresh();
    bench.publish(1, "orders", 7);
    let mut later = bench.reload(vec![]);
    let [made] = &bench.engine.unpublished()[..] else { panic!("one waits") };
    assert_eq!(later.engine.unpublished()[0].event, made.event);
    let link = later.connect();
    let sent = later.published();
    assert_eq!((sent.len(), &sent[0].event), (1, &made.event));
    // Its answer is lost with the link; the next one gets the same event.
    later.input(Input::LinkDown(link));
    later.later(60_000);
    later.connect();
    assert_eq!(later.published(), sent);
}

#[test]
fn a_topic_has_one_frame_on_its_way_and_another_topic_does_not_wait() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.publish(1, "a", 1);
    bench.publish(2, "a", 2);
    bench.commit();
    assert_eq!(shown(&bench.published()), [(1, 1)], "what was durable first goes first");
    bench.publish(3, "b", 3);
    bench.submit(4, "card", 4);
    bench.commit();
    let frames = bench.frames();
    let [ClientFrame::Publish(publish), ClientFrame::Push(push)] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!(push.operations[0].seq, Seq(4));
    assert_eq!(shown(&publish.publications), [(3, 3)]);
    bench.receive(link, answer(vec![appended(1, 1)]));
    assert_eq!(shown(&bench.published()), [(2, 2)]);
}

#[test]
fn nothing_overtakes_a_refused_event_before_the_application_has_acted_on_it() {
    for amendment in [Amendment::Retry, Amendment::Republish(event(20)), Amendment::Abort] {
        let mut bench = Bench::fresh();
        for n in 1..=3 {
            bench.publish(n, "a", n);
        }
        bench.publish(4, "b", 4);
        let batches = bench.commit();
        let link = bench.connect();
        let sent = bench.published();
        assert_eq!(shown(&sent), [(1, 1), (2, 2), (3, 3), (4, 4)]);
        // The third has no judgement.
        bench.receive(link, answer(vec![appended(1, 1), refused(2), appended(4, 1)]));
        bench.publish(5, "a", 5);
        bench.publish(6, "b", 6);
        let mut later = bench.reload(batches);
        for bench in [&mut bench, &mut later] {
            let waiting = bench.engine.unpublished();
            let reasons =
                waiting.iter().map(|one| (one.seq.0, one.reason.as_ref().map(|reason| reason.code)));
            let closed = Some(ErrorCode::TopicClosed);
            assert_eq!(reasons.collect::<Vec<_>>(), [(2, closed), (3, None), (5, None), (6, None)]);
        }
        let status = later.engine.status();
        assert_eq!((status.pending, status.rejected), (3, 1));
        later.connect();
        assert_eq!(shown(&later.published()), [(6, 6)]);
        let expected: &[(u64, u64)] = match &amendment {
            Amendment::Retry => &[(2, 2), (3, 3), (5, 5)],
            Amendment::Republish(_) => &[(2, 20), (3, 3), (5, 5)],
            _ => &[(3, 3), (5, 5)],
        };
        let same = matches!(amendment, Amendment::Retry);
        later.input(Input::Amend(Ticket(9), Seq(2), amendment));
        later.commit();
        let again = later.published();
        assert_eq!(shown(&again), expected);
        assert_eq!(again[0].event == sent[1].event, same, "who tries again sends the same event");
    }
}

#[test]
fn a_dead_letter_that_is_dropped_lets_its_topic_go_on() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.publish(1, "a", 1);
    bench.commit();
    bench.publish(2, "a", 2);
    bench.commit();
    bench.receive(link, answer(vec![refused(1)]));
    bench.commit();
    bench.frames();
    bench.input(Input::Discard(Seq(1)));
    assert_eq!(shown(&bench.published()), [(2, 2)]);
}

#[test]
fn the_latest_event_of_a_key_goes_out_in_the_place_of_the_first() {
    let mut bench = Bench::fresh();
    bench.publish_as(1, "a", 1, Some("x"));
    bench.publish_as(2, "a", 2, Some("y"));
    bench.commit();
    bench.publish_as(3, "a", 3, Some("x"));
    bench.publish_as(4, "b", 4, Some("x"));
    bench.publish(5, "a", 5);
    bench.commit();
    let submitted = |bench: &mut Bench| -> Vec<(u64, u64)> {
        let events = bench.events().into_iter();
        events
            .filter_map(|event| {
                if let Event::Submitted(ticket, seq) = event { Some((ticket.0, seq.0)) } else { None }
            })
            .collect()
    };
    assert_eq!(submitted(&mut bench), [(1, 1), (2, 2), (3, 1), (4, 3), (5, 4)]);
    bench.connect();
    assert_eq!(shown(&bench.published()), [(1, 3), (2, 2), (3, 4), (4, 5)]);
    // What may have been sent stays what it is.
    bench.publish_as(6, "a", 6, Some("x"));
    bench.commit();
    assert_eq!(submitted(&mut bench), [(6, 5)]);
}

#[test]
fn what_is_too_much_is_refused_and_nothing_is_kept_of_it() {
    let mut bench = Bench::fresh();
    let refusals = |bench: &mut Bench| -> Vec<&'static str> {
        let events = bench.events().into_iter();
        events
            .filter_map(
                |event| if let Event::Refused(_, refusal) = event { Some(refusal.code()) } else { None },
            )
            .collect()
    };
    let long = Json::parse(format!(r#"{{"type":"t","data":"{}"}}"#, "x".repeat(131_072))).unwrap();
    let (ticket, after) = (Ticket(1), vec![]);
    bench.input(Input::Publish { ticket, topic: topic("a"), event: long, coalesce: None, after });
    assert_eq!(refusals(&mut bench), ["too_large"]);
    let mut config = Config::new(vec![], ClientId::from_random([7; 16]));
    config.outbox = OutboxLimits { operations: 1, bytes: 1_000 };
    bench.engine = Engine::restore(Stored { cursors: Some(vec![]), ..Stored::default() }, config, 1);
    bench.publish(3, "a", 1);
    bench.publish(4, "a", 2);
    assert_eq!(refusals(&mut bench), ["outbox_full"]);
    assert_eq!(bench.engine.status().pending, 1);
    bench.input(Input::Amend(Ticket(5), Seq(1), Amendment::Edit(0, set(1))));
    bench.commit();
    bench.input(Input::Amend(Ticket(6), Seq(1), Amendment::Edit(0, set(1))));
    assert!(refusals(&mut bench).contains(&"invalid_operation"), "an event stays an event");
}

#[test]
fn an_event_waits_for_the_edit_that_it_comes_after() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.submit(1, "card", 1);
    bench.commit();
    let (ticket, after) = (Ticket(2), vec![Seq(1)]);
    bench.input(Input::Publish { ticket, topic: topic("a"), event: event(2), coalesce: None, after });
    bench.commit();
    assert!(bench.published().is_empty());
    bench.receive(link, accepted(1, 1));
    assert_eq!(shown(&bench.published()), [(2, 2)]);
}

#[test]
fn over_http_edits_and_events_go_in_one_request() {
    let mut bench = Bench::fresh();
    bench.submit(1, "card", 1);
    bench.publish(2, "a", 2);
    bench.commit();
    bench.input(Input::Wake);
    bench.input(Input::Token(Ok("token".into())));
    let mut pushed = None;
    for _ in 0..50 {
        for link in bench.take(|effect| if let Effect::Connect(id) = effect { Some(*id) } else { None }) {
            bench.input(Input::LinkDown(link));
        }
        let calls =
            bench.take(
                |effect| if let Effect::Http(id, call) = effect { Some((*id, call.clone())) } else { None },
            );
        for (id, call) in calls {
            match call.body {
                CallBody::Push(request) => pushed = Some((id, request)),
                CallBody::Pull(_) => {
                    let reply = PullReply { welcome: welcome("ada"), changes: vec![], judgements: vec![] };
                    bench.input(Input::HttpDone(id, Ok(Reply::Pull(reply))));
                }
            }
        }
        bench.answer_fence();
        if pushed.is_some() {
            break;
        }
        bench.later(5_000);
    }
    let (id, request) = pushed.expect("it is pushed");
    assert_eq!((request.operations[0].seq, shown(&request.publications)), (Seq(1), vec![(2, 2)]));
    let judgements = vec![appended(2, 1)];
    let reply = PushReply { welcome: welcome("ada"), judgements };
    bench.input(Input::HttpDone(id, Ok(Reply::Push(reply))));
    assert!(bench.engine.unpublished().is_empty());
    assert_eq!(bench.engine.status().pending, 1, "what has no judgement is sent again");
}

#[test]
fn what_a_server_cannot_read_is_found_and_becomes_a_dead_letter() {
    let mut bench = Bench::fresh();
    for n in 1..=2 {
        bench.publish(n, &format!("t{n}"), n);
    }
    bench.commit();
    let link = bench.connect();
    assert_eq!(bench.published().len(), 2);
    let malformed = || ServerFrame::Error(ProtocolError::new(ErrorCode::Malformed, "no"));
    bench.receive(link, malformed());
    bench.later(60_000);
    let link = bench.connect();
    assert_eq!(shown(&bench.published()), [(1, 1)]);
    bench.receive(link, malformed());
    let dead: Vec<_> =
        bench.engine.unpublished().into_iter().map(|one| (one.seq.0, one.reason.is_some())).collect();
    assert_eq!(dead, [(1, true), (2, false)]);
}
