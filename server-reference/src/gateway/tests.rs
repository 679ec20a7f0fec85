//! Sessions over a real store, driven by hand: no sockets, no threads, no clock.

mod access;
mod ends;
mod follow;
mod pace;
mod publish;
mod refresh;
mod rooms;
mod topics;

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use sdk_core::{
    clock::Millis,
    protocol::{
        Changes, ClientFrame, ClientId, ErrorCode, Hello, Judgement, Limits, MAX_COLLECTIONS, Offset,
        Operation, Outcome, Push, Resume, ServerFrame, Strategy, StreamPosition, decode, encode,
    },
};

use super::{
    publishing::{Publishing, publish},
    session::{Closing, Effect, FIRST_FRAME_DEADLINE, HEARTBEAT, Input, Now, SILENCE, Session},
};
use crate::{
    fixtures::{START, client, collection, counted_epochs, issuer, set, token},
    limits::{Limiter, Quotas},
    rooms::{Presence, Rooms},
    storage::{
        Advance, Batch, Committed, StorageError,
        events::{EventLog, LogError, News, Read, Slice, TopicName},
        refusals::{Note, Refusals},
        sqlite::{
            SqliteDocuments,
            events::{Caps, EventStore},
        },
    },
    tenant::TenantScope,
};
use futures::future::{BoxFuture, FutureExt};

/// A server in one thread: each session's questions are answered at once, unless commits are held back.
struct Server {
    documents: SqliteDocuments,
    events: EventStore,
    news: Arc<Mutex<Vec<News>>>,
    rooms: Arc<Rooms>,
    limiter: Arc<Limiter>,
    /// Reads of events are left to the test.
    hold_reads: bool,
    _folder: tempfile::TempDir,
    elapsed: u64,
    hold_commits: bool,
    hold_publications: bool,
}

/// A client's end.
struct Peer {
    session: Session,
    received: Vec<ServerFrame>,
    closed: Option<Closing>,
    follows: bool,
    presence: Option<Presence>,
    topics: Vec<TopicName>,
    held: Vec<Batch>,
    publishing: Vec<Publishing>,
    reads: Vec<(TenantScope, TopicName, Read)>,
    misused: usize,
    foreign: Vec<(String, String)>,
}

/// What is refused, with the documents of a server that has no threads.
struct Keeper<'a>(Mutex<&'a mut SqliteDocuments>);

impl Refusals for Keeper<'_> {
    fn note(
        &self,
        scope: TenantScope,
        client: ClientId,
        notes: Vec<Note>,
        now: Millis,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        let noted = self.0.lock().unwrap().note(&scope, client, &notes, now);
        futures::future::ready(noted).boxed()
    }
}

fn block_on<T>(answer: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(answer)
}

impl Server {
    fn new() -> Self {
        let documents = SqliteDocuments::in_memory(Limits::default(), counted_epochs()).unwrap();
        let (folder, news) = (tempfile::tempdir().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let tell = news.clone();
        let on_news = Box::new(move |piece| tell.lock().unwrap().push(piece));
        let path = folder.path().join("events.db");
        let events = EventStore::open(&path, Caps::default(), Box::new(|| 7), on_news).unwrap();
        let (hold_commits, hold_publications, hold_reads) = (false, false, false);
        let (elapsed, _folder) = (0, folder);
        let (rooms, limiter) = (Arc::default(), Limiter::new(Quotas::DEFAULT));
        Self {
            documents,
            events,
            news,
            rooms,
            limiter,
            hold_reads,
            _folder,
            elapsed,
            hold_commits,
            hold_publications,
        }
    }

    fn publish(&mut self, publishing: Publishing) -> Result<Vec<Option<Judgement>>, LogError> {
        let keeper = Keeper(Mutex::new(&mut self.documents));
        block_on(publish(&self.events, &keeper, &Limits::default(), publishing))
    }

    fn now(&self) -> Now {
        Now { monotonic: Millis(self.elapsed), wall: START.plus(self.elapsed) }
    }

    fn connect(&self) -> Peer {
        let meter = self.limiter.meter(Ipv4Addr::LOCALHOST.into(), self.now().monotonic);
        let session = Session::new(Limits::default(), meter.into(), self.now());
        Peer {
            session,
            received: Vec::new(),
            closed: None,
            follows: false,
            presence: None,
            topics: Vec::new(),
            held: Vec::new(),
            publishing: Vec::new(),
            reads: Vec::new(),
            misused: 0,
            foreign: Vec::new(),
        }
    }

    /// A session that has been welcomed.
    fn open(&mut self, number: u8) -> Peer {
        let mut peer = self.connect();
        self.send(&mut peer, &hello(client(number), None));
        assert!(matches!(peer.received[..], [ServerFrame::Welcome(_), ServerFrame::Changes(_)]));
        peer.received.clear();
        peer
    }

    fn send(&mut self, peer: &mut Peer, frame: &ClientFrame) -> Vec<Arc<Advance>> {
        self.send_text(peer, encode(frame))
    }

    fn send_text(&mut self, peer: &mut Peer, text: String) -> Vec<Arc<Advance>> {
        assert!(peer.session.wants_frame());
        self.give(peer, Input::Received(text))
    }

    /// Gives an input, performs what comes of it, and returns what other sessions would be told.
    fn give(&mut self, peer: &mut Peer, input: Input) -> Vec<Arc<Advance>> {
        let mut advances = Vec::new();
        peer.session.handle(self.now(), input);
        while let Some(effect) = peer.session.poll_effect() {
            assert!(peer.closed.is_none(), "an effect after the close: {effect:?}");
            let answer = match effect {
                Effect::Verify(token) => {
                    Input::Verified(issuer().verifier().verify(&token, self.now().wall).map(TenantScope::of))
                }
                Effect::Commit(batch) if self.hold_commits => {
                    peer.held.push(batch);
                    continue;
                }
                Effect::Commit(batch) => {
                    let result = self.commit(batch);
                    advances.extend(result.iter().flat_map(|committed| committed.advances.clone()));
                    Input::Committed(result)
                }
                Effect::Publish(publishing) if self.hold_publications => {
                    peer.publishing.push(publishing);
                    continue;
                }
                Effect::Publish(publishing) => Input::Published(self.publish(publishing)),
                Effect::Read(scope, page) => Input::Read(self.documents.changes(&scope, &page)),
                Effect::FollowTopic(_, topic, ..) => {
                    peer.topics.push(topic);
                    continue;
                }
                Effect::Foreign(pair) => {
                    peer.foreign.push((pair.0.holder().to_string(), pair.1.holder().to_string()));
                    continue;
                }
                Effect::Misused(_) => {
                    peer.misused += 1;
                    continue;
                }
                // Here everything goes through the session.
                Effect::Level(_) => continue,
                Effect::UnfollowTopic(topic) => {
                    peer.topics.retain(|followed| *followed != topic);
                    continue;
                }
                Effect::ReadTopic(scope, topic, read) if self.hold_reads => {
                    peer.reads.push((scope, topic, read));
                    continue;
                }
                Effect::ReadTopic(scope, topic, read) => Input::TopicRead(self.read(scope, topic, read)),
                Effect::Follow(..) => {
                    peer.follows = true;
                    continue;
                }
                Effect::Attach(scope, client) => {
                    peer.presence = Some(self.rooms.attach(scope, client));
                    continue;
                }
                Effect::Rooms(call) => {
                    peer.presence.as_mut().unwrap().call(call);
                    continue;
                }
                Effect::Send(text) => {
                    peer.received.push(decode(&text).unwrap());
                    continue;
                }
                Effect::Close(closing) => {
                    peer.closed = Some(closing);
                    continue;
                }
            };
            peer.session.handle(self.now(), answer);
        }
        advances
    }

    fn commit(&mut self, batch: Batch) -> Result<Committed, StorageError> {
        self.documents.commit_group(vec![batch]).remove(0)
    }

    fn read(&self, scope: TenantScope, topic: TopicName, read: Read) -> Result<Slice, LogError> {
        block_on(self.events.read(scope, topic, read, self.now().wall))
    }

    fn wait(&mut self, peer: &mut Peer, millis: u64) {
        self.elapsed += millis;
        self.give(peer, Input::Timeout);
    }
}

impl Peer {
    fn error(&self) -> ErrorCode {
        match self.received.last() {
            Some(ServerFrame::Error(error)) => error.code,
            other => panic!("no error but {other:?}"),
        }
    }

    /// The only frame since the last time.
    fn take(&mut self) -> ServerFrame {
        assert_eq!(self.received.len(), 1, "{:?}", self.received);
        self.received.remove(0)
    }

    fn take_changes(&mut self) -> Changes {
        match self.take() {
            ServerFrame::Changes(changes) => changes,
            other => panic!("no changes but {other:?}"),
        }
    }
}

fn hello(client: ClientId, after: Option<StreamPosition>) -> ClientFrame {
    ClientFrame::Hello(greeting(client, after))
}

fn greeting(client: ClientId, after: Option<StreamPosition>) -> Hello {
    let token = token("acme", "ada");
    Hello { versions: vec![1], token, client, resume: vec![resume("cards", after)], rejected: None }
}

fn resume(name: &str, after: Option<StreamPosition>) -> Resume {
    Resume { collection: collection(name), strategy: Strategy::FieldLevel, after }
}

fn push(operations: Vec<Operation>) -> ClientFrame {
    ClientFrame::Push(Push { operations, rejected: None })
}

#[test]
fn a_hello_is_answered_with_a_welcome_and_what_is_new() {
    let mut server = Server::new();
    let mut ada = server.open(1);
    server.send(&mut ada, &push(vec![set(1, "a", &[("x", "1")])]));

    let mut bob = server.connect();
    server.send(&mut bob, &hello(client(2), None));
    let [ServerFrame::Welcome(welcome), ServerFrame::Changes(changes)] = &bob.received[..] else {
        panic!("{:?}", bob.received);
    };
    assert_eq!((welcome.version, welcome.actor.0), (1, 2));
    assert_eq!((welcome.identity.tenant.as_str(), welcome.identity.subject.as_str()), ("acme", "ada"));
    assert_eq!((welcome.server_time, welcome.heartbeat), (START, HEARTBEAT));
    assert!(bob.follows && changes.recovered);
    assert_eq!(changes.documents.len(), 1);
}

#[test]
fn operations_are_judged_in_order_and_each_answered_once() {
    let mut server = Server::new();
    let mut ada = server.open(1);
    server.send(&mut ada, &push(vec![set(1, "a", &[("x", "1")]), set(2, "a", &[("x", "2")])]));
    let ServerFrame::Outcomes(outcomes) = ada.take() else { panic!() };
    let offsets: Vec<_> = outcomes.judgements.iter().map(|j| j.position.as_ref().unwrap().offset.0).collect();
    assert_eq!(offsets, [1, 2]);
}

#[test]
fn what_waits_behind_a_commit_goes_together_in_the_next_and_reading_stops_when_enough_waits() {
    let mut server = Server::new();
    let mut ada = server.open(1);
    server.hold_commits = true;
    let most = Limits::default().batch_operations as u64;
    let mut next = 1;
    while ada.session.wants_frame() {
        let batch = (next..next + most).map(|seq| set(seq, "a", &[("x", "1")])).collect();
        server.send(&mut ada, &push(batch));
        next += most;
    }
    assert_eq!(next - 1, Limits::default().in_flight_operations as u64);
    assert_eq!(ada.held.len(), 1, "one commit at a time");

    for pushes in [1, 3] {
        let held = ada.held.remove(0);
        assert_eq!(held.operations.len() as u64, pushes * most);
        let result = server.commit(held);
        server.give(&mut ada, Input::Committed(result));
    }
    let answers: Vec<_> = ada
        .received
        .iter()
        .filter_map(|frame| match frame {
            ServerFrame::Outcomes(outcomes) => Some(&outcomes.judgements),
            _ => None,
        })
        .collect();
    assert!(answers.iter().all(|judgements| judgements.len() as u64 == most), "an answer for each push");
    let judged: Vec<u64> = answers.into_iter().flatten().map(|judgement| judgement.seq.0).collect();
    assert!(judged.iter().copied().eq(1..next));
    assert!(ada.session.wants_frame());
}

#[test]
fn bad_first_frames_are_refused_by_name_and_end_the_session() {
    let many = (0..=MAX_COLLECTIONS).map(|n| resume(&format!("c{n}"), None)).collect();
    let bad_token = Hello { token: "not.a.token".into(), ..greeting(client(1), None) };
    let cases = [
        ("".to_owned(), ErrorCode::Malformed),
        ("{\"hello\":{}}".to_owned(), ErrorCode::Malformed),
        ("[".repeat(100), ErrorCode::TooDeep),
        (" ".repeat(20_000), ErrorCode::FrameTooLarge),
        ("{\"hello\":{\"versions\":[2,3],\"new\":1}}".to_owned(), ErrorCode::UnsupportedVersion),
        ("{\"pong\":{}}".to_owned(), ErrorCode::UnexpectedFrame),
        (encode(&push(vec![])), ErrorCode::UnexpectedFrame),
        (encode(&ClientFrame::Hello(bad_token)), ErrorCode::Unauthenticated),
        (
            encode(&ClientFrame::Hello(Hello { resume: many, ..greeting(client(1), None) })),
            ErrorCode::TooMany,
        ),
    ];
    for (text, code) in cases {
        let mut server = Server::new();
        let mut peer = server.connect();
        server.send_text(&mut peer, text.clone());
        assert_eq!((peer.error(), peer.closed), (code, Some(Closing::Refused(code))), "{text:.80}");
        assert!(!peer.session.wants_frame());
    }
}

#[test]
fn bad_later_frames_are_refused_by_name_and_nothing_of_them_is_done() {
    let limits = Limits::default();
    let many = (1..=limits.batch_operations as u64 + 1).map(|seq| set(seq, "a", &[("x", "1")])).collect();
    let deep = format!("{{\"push\":{{\"operations\":[{}", "[".repeat(100));
    let cases = [
        ("nonsense".to_owned(), ErrorCode::Malformed),
        ("{\"push\":{\"operations\":[{}]}}".to_owned(), ErrorCode::Malformed),
        ("{\"push\":{\"operations\":[]},\"pull\":{}}".to_owned(), ErrorCode::Malformed),
        (deep, ErrorCode::TooDeep),
        (format!("{{\"pong\":{{}}}}{}", " ".repeat(limits.frame_bytes)), ErrorCode::FrameTooLarge),
        ("{\"transact\":{\"amount\":100}}".to_owned(), ErrorCode::UnexpectedFrame),
        ("{\"transaction\":{\"amount\":100}}".to_owned(), ErrorCode::TransactionMisplaced),
        (marked(&push(vec![set(1, "a", &[("x", "1")])])), ErrorCode::TransactionMisplaced),
        (encode(&hello(client(1), None)), ErrorCode::UnexpectedFrame),
        (encode(&push(many)), ErrorCode::TooMany),
    ];
    for (text, code) in cases {
        let mut server = Server::new();
        let mut peer = server.open(1);
        let advances = server.send_text(&mut peer, text.clone());
        assert_eq!((peer.error(), peer.closed), (code, Some(Closing::Refused(code))), "{text:.80}");
        assert!(advances.is_empty());
        assert_eq!(peer.misused, usize::from(code == ErrorCode::TransactionMisplaced), "{text:.80}");
    }
}

/// A frame whose operations say that they are critical transactions.
fn marked(frame: &ClientFrame) -> String {
    encode(frame).replace("{\"seq\":", "{\"class\":\"D\",\"seq\":")
}

#[test]
fn unknown_fields_are_ignored() {
    let mut server = Server::new();
    let mut ada = server.open(1);
    server.send_text(&mut ada, "{\"pong\":{\"load\":0.5}}".to_owned());
    assert!(ada.received.is_empty() && ada.closed.is_none());
}

#[test]
fn a_client_id_of_somebody_else_ends_the_session() {
    let mut server = Server::new();
    server.open(1);
    let mut eve = server.connect();
    let stolen = Hello { token: token("acme", "eve"), ..greeting(client(1), None) };
    server.send(&mut eve, &ClientFrame::Hello(stolen));
    assert_eq!(eve.error(), ErrorCode::ClientIdTaken);
    assert_eq!(eve.closed, Some(Closing::Refused(ErrorCode::ClientIdTaken)));
}

#[test]
fn a_commit_that_failed_ends_the_session_before_anything_can_overtake_it() {
    let mut server = Server::new();
    let mut ada = server.open(1);
    server.hold_commits = true;
    server.send(&mut ada, &push(vec![set(1, "a", &[("x", "1")])]));
    server.send(&mut ada, &push(vec![set(2, "a", &[("x", "2")])]));
    server.give(&mut ada, Input::Committed(Err(StorageError::Unavailable("disk full".into()))));
    assert_eq!(ada.error(), ErrorCode::StorageUnavailable);
    assert_eq!(ada.held.len(), 1, "the second was never begun");
    assert!(ada.session.is_closed());
}
