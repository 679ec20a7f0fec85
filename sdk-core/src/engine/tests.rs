//! The engine alone, its effects answered by hand. The simulator runs it against the real server.

use super::{
    storage::{Batch, OutboxBatch, Query, Rows, StoreError, Stored, StoredDocument},
    *,
};
use crate::{
    clock::{Dot, Hlc},
    protocol::{
        ActorId, Changed, Changes, ClientFrame, CollectionName, DocKey, Document, DocumentId, Epoch,
        ErrorCode, FieldName, GoAway, Identity, Intent, Json, Judgement, Offset, Operation, Outcome,
        Outcomes, Publication, Register, Rejection, ServerFrame, Stamp, Strategy, StreamPosition, Welcome,
        encode,
    },
};

mod abandoned;
mod amend;
mod caught_up;
mod conflict;
mod damaged;
mod fallback;
mod fence;
mod fetch;
mod history;
mod identity;
mod letters;
mod lost;
mod migrate;
mod order;
mod partial;
mod publish;
mod refresh;
mod rooms;
mod sleep;
mod topics;

struct Bench {
    engine: Engine,
    now: u64,
    effects: Vec<Effect>,
}

fn cards() -> CollectionName {
    CollectionName::new("cards").unwrap()
}

fn key(id: &str) -> DocKey {
    DocKey::new("cards", id).unwrap()
}

fn set(value: u32) -> Vec<Intent> {
    let field = (FieldName::new("n").unwrap(), Json::parse(value.to_string()).unwrap());
    vec![Intent::Set([field].into())]
}

fn at(offset: u64) -> StreamPosition {
    StreamPosition { epoch: Epoch::new("e").unwrap(), offset: Offset(offset) }
}

impl Bench {
    fn new(stored: Stored) -> Self {
        Self::with(Strategy::FieldLevel, stored)
    }

    fn with(strategy: Strategy, stored: Stored) -> Self {
        Self::at_schema(0, strategy, stored)
    }

    /// A client of an application that has come to this version of its schema.
    fn at_schema(schema: u32, strategy: Strategy, stored: Stored) -> Self {
        let mut config = Config::new(vec![(cards(), strategy)], ClientId::from_random([7; 16]));
        config.schema = schema;
        let engine = Engine::restore(stored, config, 1);
        Self { engine, now: 1_000, effects: vec![] }
    }

    fn fresh() -> Self {
        Self::new(Stored { cursors: Some(vec![]), ..Stored::default() })
    }

    fn input(&mut self, input: Input) {
        let now = Now { monotonic: Millis(self.now), wall: Millis(self.now) };
        self.engine.handle(now, input);
        while let Some(effect) = self.engine.poll_effect() {
            self.effects.push(effect);
        }
    }

    fn later(&mut self, millis: u64) {
        self.now += millis;
        self.input(Input::Timeout);
    }

    fn take<T>(&mut self, pick: impl Fn(&Effect) -> Option<T>) -> Vec<T> {
        let taken = self.effects.iter().filter_map(&pick).collect();
        self.effects.retain(|effect| pick(effect).is_none());
        taken
    }

    fn submit(&mut self, ticket: u64, id: &str, value: u32) {
        self.input(Input::Submit {
            ticket: Ticket(ticket),
            doc: key(id),
            schema: 0,
            intents: set(value),
            after: vec![],
        });
    }

    /// Answers every commit, until there is none; returns the outbox batches.
    fn commit(&mut self) -> Vec<OutboxBatch> {
        let mut outbox = vec![];
        loop {
            let commits = self.take(|effect| match effect {
                Effect::Commit(id, batch) => Some((*id, batch.clone())),
                _ => None,
            });
            if commits.is_empty() {
                return outbox;
            }
            for (id, batch) in commits {
                if let Batch::Outbox(batch) = batch {
                    outbox.push(batch);
                }
                self.input(Input::Committed(id));
            }
        }
    }

    /// Answers every read with these documents.
    fn load(&mut self, documents: Vec<StoredDocument>) {
        for id in self.take(|effect| if let Effect::Read(id, ..) = effect { Some(*id) } else { None }) {
            self.input(Input::Loaded(id, Ok(Rows { documents: documents.clone(), segments: vec![] })));
        }
    }

    fn link(&mut self) -> LinkId {
        let ids = self.take(|effect| if let Effect::Connect(id) = effect { Some(*id) } else { None });
        *ids.last().expect("a WebSocket is wanted")
    }

    fn frames(&mut self) -> Vec<ClientFrame> {
        self.take(|effect| if let Effect::Send(_, frame) = effect { Some(frame.clone()) } else { None })
    }

    fn pushed(&mut self) -> Vec<Operation> {
        let pushes = self.frames().into_iter().filter_map(|frame| match frame {
            ClientFrame::Push(push) => Some(push.operations),
            _ => None,
        });
        pushes.flatten().collect()
    }

    fn published(&mut self) -> Vec<Publication> {
        let frames = self.frames().into_iter().filter_map(|frame| match frame {
            ClientFrame::Publish(frame) => Some(frame.publications),
            _ => None,
        });
        frames.flatten().collect()
    }

    fn events(&mut self) -> Vec<Event> {
        self.take(|effect| if let Effect::Emit(event) = effect { Some(event.clone()) } else { None })
    }

    fn connect(&mut self) -> LinkId {
        self.connect_to(welcome("ada"))
    }

    fn connect_to(&mut self, welcome: Welcome) -> LinkId {
        self.input(Input::Wake);
        if !self.take(|effect| (*effect == Effect::FetchToken).then_some(())).is_empty() {
            self.input(Input::Token(Ok("token".into())));
        }
        let link = self.link();
        self.frames();
        self.input(Input::LinkUp(link));
        assert!(matches!(self.frames()[..], [ClientFrame::Hello(_)]));
        self.input(Input::Received(link, Ok(ServerFrame::Welcome(welcome))));
        self.answer_fence();
        link
    }

    /// Lets the commit succeed by which the client asks its store whether it may send; no other.
    fn answer_fence(&mut self) {
        let is_empty =
            |batch: &OutboxBatch| batch.put.is_empty() && batch.remove.is_empty() && batch.adopted.is_empty();
        let asked = self.take(|effect| match effect {
            Effect::Commit(id, Batch::Outbox(batch)) if is_empty(batch) => Some(*id),
            _ => None,
        });
        asked.into_iter().for_each(|id| self.input(Input::Committed(id)));
    }

    fn receive(&mut self, link: LinkId, frame: ServerFrame) {
        self.input(Input::Received(link, Ok(frame)));
    }
}

fn welcome(subject: &str) -> Welcome {
    Welcome {
        version: 1,
        actor: ActorId(3),
        identity: Identity { tenant: "t".into(), subject: subject.into() },
        limits: Limits::default(),
        heartbeat: 25_000,
        server_time: Millis(1_000),
        token_ends: None,
    }
}

fn accepted(seq: u64, offset: u64) -> ServerFrame {
    let judgement = Judgement {
        seq: Seq(seq),
        outcome: Outcome::Accepted {},
        position: Some(at(offset)),
        by: None,
        event: None,
    };
    ServerFrame::Outcomes(Outcomes { judgements: vec![judgement] })
}

fn changes(from: Option<u64>, to: u64, id: &str) -> ServerFrame {
    let doc = Document { rev: Offset(to), ..Document::default() };
    ServerFrame::Changes(Changes {
        collection: cards(),
        from: from.map(at),
        to: at(to),
        documents: vec![Changed { id: DocumentId::new(id).unwrap(), doc }],
        recovered: true,
        more: false,
    })
}

#[test]
fn an_operation_is_never_sent_before_it_is_stored() {
    let mut bench = Bench::fresh();
    bench.connect();
    bench.submit(1, "a", 1);
    assert!(bench.pushed().is_empty() && !bench.events().contains(&Event::Submitted(Ticket(1), Seq(1))));
    bench.commit();
    assert_eq!(bench.pushed().len(), 1);
    assert!(bench.events().contains(&Event::Submitted(Ticket(1), Seq(1))));
}

#[test]
fn what_is_submitted_during_a_commit_goes_together_in_the_next() {
    let mut bench = Bench::fresh();
    (1..=100).for_each(|n| bench.submit(n, &n.to_string(), 1));
    assert_eq!(bench.commit().len(), 2);
    assert_eq!(bench.engine.status().pending, 100);
}

#[test]
fn an_accepted_operation_leaves_only_after_the_replica_holds_it() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.submit(1, "a", 1);
    bench.commit();
    bench.receive(link, accepted(1, 5));
    assert!(bench.commit().is_empty(), "the record stays");
    assert_eq!(bench.engine.status().pending, 1);
    bench.receive(link, changes(None, 5, "a"));
    let removed = bench.commit();
    assert_eq!(removed[0].remove, [1]);
    assert!(bench.events().contains(&Event::Settled(Seq(1), Some(key("a")), Outcome::Accepted {})));
    assert_eq!(bench.engine.status().pending, 0);
}

#[test]
fn heartbeats_and_other_peoples_changes_do_not_keep_a_link_that_answers_nothing() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.submit(1, "a", 1);
    bench.commit();
    assert_eq!(bench.pushed().len(), 1);
    bench.later(25_000);
    bench.receive(link, ServerFrame::Ping {});
    bench.receive(link, changes(None, 5, "b"));
    bench.commit();
    bench.effects.clear();
    bench.later(5_000);
    assert!(bench.effects.contains(&Effect::Disconnect(link)));
}

#[test]
fn what_was_sent_and_not_judged_goes_out_again_on_the_next_link() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.submit(1, "a", 1);
    bench.commit();
    assert_eq!(bench.pushed().len(), 1);
    bench.input(Input::LinkDown(link));
    bench.connect();
    assert_eq!(bench.pushed().len(), 1);
}

#[test]
fn a_failed_commit_refuses_the_operation_and_shows_it_no_more() {
    let mut bench = Bench::fresh();
    bench.input(Input::Open(QueryId(1), storage::Query::all(cards())));
    bench.submit(1, "a", 1);
    assert_eq!(bench.engine.view(QueryId(1)).unwrap().documents.len(), 1);
    let ids = bench.take(|effect| if let Effect::Commit(id, _) = effect { Some(*id) } else { None });
    bench.input(Input::StoreFailed(ids[0], StoreError::Full("quota".into())));
    let refused = |event: &Event| matches!(event, Event::Refused(Ticket(1), Refusal::NotDurable(_)));
    assert!(bench.events().iter().any(refused));
    assert!(bench.engine.view(QueryId(1)).unwrap().documents.is_empty());
}

#[test]
fn a_change_that_does_not_come_is_pulled() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.submit(1, "a", 1);
    bench.commit();
    bench.receive(link, accepted(1, 5));
    bench.frames();
    bench.later(5_000);
    assert!(matches!(bench.frames()[..], [ClientFrame::Pull(_)]));
}

#[test]
fn a_gap_is_pulled_and_not_applied() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.receive(link, changes(None, 5, "a"));
    bench.commit();
    bench.frames();
    bench.receive(link, changes(Some(7), 8, "b"));
    let frames = bench.frames();
    let [ClientFrame::Pull(resume)] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!(resume.after, Some(at(5)));
}

#[test]
fn an_operation_that_upsets_the_server_is_found_and_set_aside() {
    let mut bench = Bench::fresh();
    let mut link = bench.connect();
    (1..=3).for_each(|n| bench.submit(n, "abc".get(n as usize - 1..n as usize).unwrap(), 1));
    bench.commit();
    let error = ProtocolError::new(ErrorCode::Malformed, "no");
    bench.receive(link, ServerFrame::Error(error.clone()));
    link = bench.connect();
    let alone: Vec<u64> = bench.pushed().iter().map(|operation| operation.seq.0).collect();
    assert_eq!(alone, [1]);
    bench.receive(link, accepted(1, 1));
    let rest: Vec<u64> = bench.pushed().iter().map(|operation| operation.seq.0).collect();
    assert_eq!(rest, [2, 3]);
    bench.receive(link, ServerFrame::Error(error.clone()));
    link = bench.connect();
    assert_eq!(bench.pushed()[0].seq, Seq(2));
    bench.receive(link, ServerFrame::Error(error));
    assert_eq!(bench.engine.rejected()[0].seq, Seq(2));
    bench.commit();
    bench.connect();
    assert_eq!(bench.pushed()[0].seq, Seq(3));
}

#[test]
fn edits_of_one_person_are_not_sent_under_another_ones_token() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.submit(1, "a", 1);
    bench.commit();
    bench.input(Input::LinkDown(link));
    bench.frames();
    bench.input(Input::Wake);
    let link = bench.link();
    bench.input(Input::LinkUp(link));
    bench.frames();
    bench.receive(link, ServerFrame::Welcome(welcome("eve")));
    assert!(bench.pushed().is_empty());
    assert_eq!(bench.engine.status().problem.unwrap().code, ErrorCode::ClientIdTaken);
    assert_eq!(bench.engine.status().pending, 1);
}

#[test]
fn a_server_that_leaves_is_not_called_before_it_asked_to_be() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.receive(link, ServerFrame::GoAway(GoAway { reason: "restart".into(), retry_after: 5_000 }));
    bench.later(4_999);
    assert!(!bench.effects.iter().any(|effect| matches!(effect, Effect::Connect(_))));
    bench.later(60_000);
    bench.link();
}

#[test]
fn the_network_switched_off_stays_off_until_it_is_switched_on() {
    let mut bench = Bench::fresh();
    bench.connect();
    bench.input(Input::Network(false));
    assert!(bench.effects.iter().any(|effect| matches!(effect, Effect::Disconnect(_))));
    bench.effects.clear();
    bench.submit(1, "a", 1);
    bench.commit();
    bench.later(600_000);
    assert!(!bench.effects.iter().any(|effect| matches!(effect, Effect::Connect(_) | Effect::Http(..))));
    bench.input(Input::Network(true));
    bench.link();
}

#[test]
fn stored_and_unsettled_documents_show_in_one_order_each_once() {
    let mut bench = Bench::fresh();
    bench.input(Input::Open(QueryId(1), Query::all(cards())));
    let reads = bench.take(|effect| if let Effect::Read(id, ..) = effect { Some(*id) } else { None });
    let by = Dot { actor: ActorId(9), seq: Seq(1) };
    let stamp = Stamp { at: Hlc { wall: Millis(1), counter: 0 }, by, rev: Offset(1) };
    let text = encode(&Document { rev: Offset(1), written: Some(stamp), ..Document::default() });
    let stored = ["b", "d", "f"].map(|id| StoredDocument { key: key(id), text: text.clone() });
    bench.input(Input::Loaded(reads[0], Ok(Rows { documents: stored.into(), segments: vec![] })));
    for (ticket, id) in ["g", "b", "a", "e"].into_iter().enumerate() {
        bench.submit(ticket as u64, id, 1);
    }
    let documents = bench.engine.view(QueryId(1)).unwrap().documents;
    let shown: Vec<_> = documents.iter().map(|document| (document.id.as_str(), document.pending)).collect();
    assert_eq!(shown, [("a", true), ("b", true), ("d", false), ("e", true), ("f", false), ("g", true)]);
}

#[test]
fn a_view_as_text_is_the_view() {
    let mut bench = Bench::fresh();
    bench.input(Input::Open(QueryId(1), Query::all(cards())));
    assert_eq!(bench.engine.view_text(QueryId(1)).unwrap(), r#"{"loaded":false,"documents":[]}"#);
    let text = r#"{"rev":1,"clock":{"9":1},"latest":{"n":[1,"\""],"s":"ü"},"written":{"at":[5,0],"by":[9,1],"rev":1}}"#;
    bench.load(["b", "d"].map(|id| StoredDocument { key: key(id), text: text.into() }).into());
    bench.submit(1, "b", 2);
    bench.submit(2, "c\"", 3);
    let shown = |document: &ViewDocument| {
        let ViewDocument { id, fields, pending, conflicted, updated } = document;
        let fields: serde_json::Value = serde_json::from_str(fields.as_str()).unwrap();
        let updated = updated.map(|at| at.0);
        serde_json::json!({ "id": id.as_str(), "fields": fields, "pending": pending, "conflicted": conflicted, "updated": updated })
    };
    let View { loaded, documents } = bench.engine.view(QueryId(1)).unwrap();
    let documents: Vec<_> = documents.iter().map(shown).collect();
    let text: serde_json::Value = serde_json::from_str(&bench.engine.view_text(QueryId(1)).unwrap()).unwrap();
    assert_eq!(text, serde_json::json!({ "loaded": loaded, "documents": documents }));
}
