//! The engine over a store in memory, and a server's snapshot.

use futures::executor::block_on;

use sdk_core::{
    clock::{Dot, Hlc, Millis},
    driver::{MemoryStore, Store},
    engine::{
        Config, Effect, Engine, Event, Fetch, HttpFailure, HttpId, Input, LinkId, Now, QueryId, Ticket,
        storage::{Generation, Query, Scan},
    },
    protocol::{
        ActorId, Changed, Changes, ChunkRef, ClientFrame, ClientId, CollectionName, ContentHash, DocKey,
        Document, DocumentId, Epoch, ErrorCode, FieldName, Identity, Intent, Json, Judgement, Limits,
        Manifest, Offset, Outcome, Outcomes, ProtocolError, Register, Seq, ServerFrame, Stamp, Strategy,
        StreamPosition, Welcome, encode,
    },
    snapshot::Part,
};

struct Device {
    engine: Engine,
    link: LinkId,
    fetches: Vec<(HttpId, Fetch)>,
    pulls: Vec<Option<StreamPosition>>,
    events: Vec<Event>,
    /// Commits wait here while the disk is slow.
    slow: Option<Vec<(sdk_core::engine::BatchId, sdk_core::engine::storage::Batch)>>,
}

fn cards() -> CollectionName {
    CollectionName::new("cards").unwrap()
}

fn at(epoch: &str, offset: u64) -> StreamPosition {
    StreamPosition { epoch: Epoch::new(epoch).unwrap(), offset: Offset(offset) }
}

fn document(rev: u64) -> Document {
    let stamp = Stamp { at: Hlc::default(), by: Dot { actor: ActorId(9), seq: Seq(rev) }, rev: Offset(rev) };
    let value = Some(Json::parse(rev.to_string()).unwrap());
    let fields =
        [(FieldName::new("n").unwrap(), Register { value, stamp: Some(stamp), ..Register::default() })]
            .into();
    Document { rev: Offset(rev), written: Some(stamp), fields, ..Document::default() }
}

/// Six documents of a collection in three chunks.
fn snapshot(epoch: &str) -> (Manifest, Vec<String>) {
    let texts = [["a", "b"], ["c", "d"], ["e", "f"]].map(|ids| {
        let documents = ids.map(|id| format!(r#"{{"id":"{id}","doc":{}}}"#, encode(&document(5))));
        format!(r#"{{"salt":"{epoch}","documents":[{}]}}"#, documents.join(","))
    });
    let chunk = |(text, last): (&String, &str)| ChunkRef {
        hash: ContentHash::of(text),
        bytes: text.len() as u64,
        documents: 2,
        last: DocumentId::new(last).unwrap(),
    };
    let chunks = texts.iter().zip(["b", "d", "f"]).map(chunk).collect();
    (Manifest::seal(cards(), at(epoch, 6), chunks), texts.into())
}

/// The first of several pages from nothing.
fn first_page(epoch: &str, recovered: bool) -> ServerFrame {
    let documents = vec![Changed { id: DocumentId::new("a").unwrap(), doc: document(1) }];
    let (collection, to) = (cards(), at(epoch, 1));
    ServerFrame::Changes(Changes { collection, from: None, to, documents, recovered, more: true })
}

fn changes(from: StreamPosition, to: u64, id: &str, doc: Document) -> ServerFrame {
    let documents = vec![Changed { id: DocumentId::new(id).unwrap(), doc }];
    let to = StreamPosition { offset: Offset(to), ..from.clone() };
    let (collection, from) = (cards(), Some(from));
    ServerFrame::Changes(Changes { collection, from, to, documents, recovered: true, more: false })
}

impl Device {
    /// A client on a store, connected, that looks at all of `cards`.
    fn start(store: &MemoryStore) -> Self {
        let config = Config::new(vec![(cards(), Strategy::FieldLevel)], ClientId::from_random([7; 16]));
        let engine = Engine::restore(block_on(store.load()).unwrap(), config, 1);
        let (fetches, pulls, events) = (vec![], vec![], vec![]);
        let mut device = Self { engine, link: LinkId(0), fetches, pulls, events, slow: None };
        device.input(store, Input::Wake);
        device.input(store, Input::Token(Ok("token".into())));
        device.input(store, Input::LinkUp(device.link));
        let welcome = Welcome {
            version: 1,
            actor: ActorId(3),
            identity: Identity { tenant: "t".into(), subject: "ada".into() },
            limits: Limits::default(),
            heartbeat: 25_000,
            server_time: Millis(1_000),
            token_ends: None,
        };
        device.receive(store, ServerFrame::Welcome(welcome));
        device.input(store, Input::Open(QueryId(1), Query::all(cards())));
        device
    }

    fn input(&mut self, store: &MemoryStore, input: Input) {
        let mut inputs = vec![input];
        while !inputs.is_empty() {
            let now = Now { monotonic: Millis(1_000), wall: Millis(1_000) };
            self.engine.handle(now, inputs.remove(0));
            while let Some(effect) = self.engine.poll_effect() {
                match effect {
                    Effect::Commit(id, batch) => match &mut self.slow {
                        Some(waiting) => waiting.push((id, batch)),
                        None => {
                            block_on(store.apply(batch)).unwrap();
                            inputs.push(Input::Committed(id));
                        }
                    },
                    Effect::Read(id, query, scan) => {
                        inputs.push(Input::Loaded(id, block_on(store.read(query, scan))));
                    }
                    Effect::Connect(id) => self.link = id,
                    Effect::Send(_, ClientFrame::Pull(resume)) => self.pulls.push(resume.after),
                    Effect::Fetch(id, fetch) => self.fetches.push((id, fetch)),
                    Effect::Emit(event) => self.events.push(event),
                    _ => {}
                }
            }
        }
    }

    fn receive(&mut self, store: &MemoryStore, frame: ServerFrame) {
        self.input(store, Input::Received(self.link, Ok(frame)));
    }

    /// Answers what is asked for, up to so many parts; returns the chunks that were asked for.
    fn serve(&mut self, store: &MemoryStore, snapshot: &(Manifest, Vec<String>), parts: usize) -> Vec<usize> {
        let mut chunks = vec![];
        for _ in 0..parts {
            if self.fetches.is_empty() {
                break;
            }
            let (id, Fetch { part, .. }) = self.fetches.remove(0);
            let text = match part {
                Part::Manifest(Some(root)) if root != snapshot.0.root => {
                    let gone = ProtocolError::new(ErrorCode::Forbidden, "gone");
                    self.input(store, Input::Fetched(id, Err(HttpFailure::Refused(gone))));
                    continue;
                }
                Part::Manifest(_) => encode(&snapshot.0),
                Part::Chunk { index, .. } => {
                    chunks.push(index);
                    snapshot.1[index].clone()
                }
            };
            self.input(store, Input::Fetched(id, Ok(text)));
        }
        chunks
    }

    /// The disk comes to what waits for it, one after the other.
    fn write(&mut self, store: &MemoryStore) {
        while let Some((id, batch)) = self.slow.as_mut().and_then(|waiting| waiting.pop()) {
            block_on(store.apply(batch)).unwrap();
            self.input(store, Input::Committed(id));
        }
        self.slow = None;
    }

    fn ids(&self) -> Vec<String> {
        let documents = self.engine.view(QueryId(1)).unwrap().documents;
        documents.iter().map(|document| document.id.to_string()).collect()
    }
}

#[test]
fn the_tail_follows_the_snapshot_without_a_gap() {
    let store = MemoryStore::new();
    let mut device = Device::start(&store);
    device.receive(&store, first_page("e", true));
    assert_eq!(device.serve(&store, &snapshot("e"), 9), [0, 1, 2]);
    assert_eq!(device.pulls, [Some(at("e", 6))], "what came after it is asked for from where it was taken");
    device.receive(&store, changes(at("e", 6), 7, "c", Document { rev: Offset(7), ..Document::default() }));
    assert_eq!(device.ids(), ["a", "b", "d", "e", "f"]);
    let again = Device::start(&store);
    assert_eq!(again.ids(), ["a", "b", "d", "e", "f"], "a deletion hides what a segment holds");
}

#[test]
fn a_restart_goes_on_at_the_chunk_where_it_stopped() {
    let store = MemoryStore::new();
    let mut device = Device::start(&store);
    device.receive(&store, first_page("e", true));
    assert_eq!(device.serve(&store, &snapshot("e"), 2), [0], "the manifest and one chunk");
    let syncing = device.engine.status().syncing.unwrap();
    assert_eq!((syncing.done, syncing.total), (2, 6));
    assert_eq!(device.ids(), Vec::<String>::new(), "no part of it shows");
    drop(device);
    let mut device = Device::start(&store);
    device.receive(&store, first_page("e", true));
    assert_eq!(device.serve(&store, &snapshot("e"), 9), [1, 2]);
    assert_eq!(device.ids(), ["a", "b", "c", "d", "e", "f"]);
    assert_eq!(device.engine.status().syncing, None);
}

#[test]
fn a_root_that_is_gone_after_a_restart_begins_again_and_mixes_nothing() {
    let store = MemoryStore::new();
    let mut device = Device::start(&store);
    device.receive(&store, first_page("e", true));
    device.serve(&store, &snapshot("e"), 3);
    drop(device);
    let mut device = Device::start(&store);
    device.receive(&store, first_page("other", true));
    assert_eq!(device.serve(&store, &snapshot("other"), 9), [0, 1, 2]);
    assert_eq!(device.ids(), ["a", "b", "c", "d", "e", "f"]);
}

#[test]
fn the_old_state_and_pending_edits_stay_in_view_until_the_flip_is_durable() {
    let store = MemoryStore::new();
    let mut device = Device::start(&store);
    device.receive(&store, first_page("old", true));
    device.serve(&store, &snapshot("old"), 9);
    device.receive(&store, changes(at("old", 6), 7, "z", document(7)));
    let field = (FieldName::new("n").unwrap(), Json::parse("1").unwrap());
    let intents = vec![Intent::Set([field].into())];
    let doc = DocKey::new("cards", "y").unwrap();
    device.input(&store, Input::Submit { ticket: Ticket(1), doc, schema: 0, intents, after: vec![] });
    let before = ["a", "b", "c", "d", "e", "f", "y", "z"];
    assert_eq!(device.ids(), before);

    device.receive(&store, first_page("new", false));
    assert!(device.events.contains(&Event::NotRecovered(cards())));
    device.serve(&store, &snapshot("new"), 3);
    device.slow = Some(vec![]);
    device.serve(&store, &snapshot("new"), 9);
    assert_eq!(device.ids(), before, "nothing changes while the store has not said that it is done");
    device.write(&store);
    assert_eq!(device.ids(), ["a", "b", "c", "d", "e", "f", "y"]);
    assert_eq!(device.pulls.last(), Some(&Some(at("new", 6))));
}

#[test]
fn without_a_snapshot_to_be_had_it_goes_on_page_by_page() {
    let store = MemoryStore::new();
    let mut device = Device::start(&store);
    device.receive(&store, first_page("e", true));
    let (id, _) = device.fetches.remove(0);
    let none = ProtocolError::new(ErrorCode::Forbidden, "no such collection");
    device.input(&store, Input::Fetched(id, Err(HttpFailure::Refused(none))));
    assert_eq!(device.pulls, [None]);
    device.receive(&store, first_page("e", true));
    assert_eq!((device.ids(), device.pulls.len()), (vec!["a".to_owned()], 2));
}

#[test]
fn a_deletion_that_comes_before_the_snapshot_is_in_place_outlasts_a_restart() {
    let store = MemoryStore::new();
    let mut device = Device::start(&store);
    device.receive(&store, first_page("e", true));
    device.slow = Some(vec![]);
    device.serve(&store, &snapshot("e"), 9);
    // The first chunk is on its way to the store; the others wait behind it, and so does what takes their place.
    device.receive(&store, changes(at("e", 6), 7, "c", Document { rev: Offset(7), ..Document::default() }));
    device.write(&store);
    assert_eq!(device.ids(), ["a", "b", "d", "e", "f"]);
    assert_eq!(Device::start(&store).ids(), ["a", "b", "d", "e", "f"]);
}

#[test]
fn a_snapshot_that_begins_while_another_is_put_in_place_is_whole() {
    let store = MemoryStore::new();
    let mut device = Device::start(&store);
    device.receive(&store, first_page("old", true));
    device.serve(&store, &snapshot("old"), 3);
    device.slow = Some(vec![]);
    device.serve(&store, &snapshot("old"), 9);
    device.receive(&store, first_page("new", false));
    device.serve(&store, &snapshot("new"), 2);
    device.write(&store);
    device.serve(&store, &snapshot("new"), 9);
    assert_eq!(device.pulls.last(), Some(&Some(at("new", 6))));
    assert_eq!(device.ids(), ["a", "b", "c", "d", "e", "f"]);
    let again = Device::start(&store);
    assert_eq!(again.ids(), ["a", "b", "c", "d", "e", "f"]);
    let stored = block_on(store.load()).unwrap();
    assert_eq!(stored.cursors, Some(vec![(cards(), at("new", 6))]));
}

#[test]
fn what_was_judged_before_a_snapshot_settles_also_if_nothing_came_after_it() {
    let store = MemoryStore::new();
    let mut device = Device::start(&store);
    let field = (FieldName::new("n").unwrap(), Json::parse("1").unwrap());
    let (intents, doc) = (vec![Intent::Set([field].into())], DocKey::new("cards", "a").unwrap());
    device.input(&store, Input::Submit { ticket: Ticket(1), doc, schema: 0, intents, after: vec![] });
    let (seq, outcome) = (Seq(1), Outcome::Accepted {});
    let judgements = vec![Judgement { seq, outcome, position: Some(at("former", 9)), by: None, event: None }];
    device.receive(&store, ServerFrame::Outcomes(Outcomes { judgements }));
    device.receive(&store, first_page("e", false));
    device.serve(&store, &snapshot("e"), 9);
    assert_eq!(device.engine.status().pending, 1, "what came after the snapshot may have it");
    let (collection, from, to) = (cards(), Some(at("e", 6)), at("e", 6));
    let nothing = Changes { collection, from, to, documents: vec![], recovered: true, more: false };
    device.receive(&store, ServerFrame::Changes(nothing));
    assert_eq!(device.engine.status().pending, 0);
}

#[test]
fn pages_that_do_what_a_snapshot_was_to_do_leave_nothing_of_it() {
    let store = MemoryStore::new();
    let mut device = Device::start(&store);
    device.receive(&store, first_page("e", true));
    device.serve(&store, &snapshot("e"), 2);
    let scan = Scan { generation: Generation(1), segments: 9 };
    let stored = || block_on(store.read(Query::all(cards()), scan)).unwrap().segments.len();
    assert_eq!(stored(), 1);
    drop(device);
    let mut device = Device::start(&store);
    let documents = vec![Changed { id: DocumentId::new("a").unwrap(), doc: document(7) }];
    let (collection, to) = (cards(), at("e", 7));
    let whole = Changes { collection, from: None, to, documents, recovered: true, more: false };
    device.receive(&store, ServerFrame::Changes(whole));
    assert_eq!((device.ids(), stored()), (vec!["a".to_owned()], 0));
}
