//! One run: every part, and the loop that takes one event after the other.

use std::collections::BTreeSet;

use fastrand::Rng;
use sdk_core::{
    engine::{
        Call, HttpFailure, HttpId, LinkId, QueryId, ReadId, Reply, TokenError,
        storage::{Query, Scan},
    },
    protocol::Seq,
};

use crate::{
    Settings,
    agenda::{Agenda, Time},
    archive::Truth,
    client::Client,
    copies::Copies,
    download::PartRequest,
    ledger::Ledger,
    network::{ConnectionId, Network},
    plan::{AFTERMATH, Fault, HEALING, Plan},
    server::{Question, Server, SessionInput},
    tally::Tally,
    trace::Trace,
};

/// A claim that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub claim: &'static str,
    /// What was seen instead.
    pub seen: String,
}

/// Everything that can happen. What belongs to one life of a process says which, and is ignored in a later one.
pub(crate) enum Event {
    /// An application does something.
    Act(usize),
    /// A client's process starts.
    Start(usize),
    /// A client's timer fires; the number says whether it still counts.
    Timer(usize, u64),
    /// A client's commit is carried out.
    Write(usize, u32, u64),
    /// A client's read is carried out.
    Read(usize, u32, ReadId, Query, Scan),
    /// The application answers with a token.
    Token(usize, u32, Result<String, TokenError>),
    /// An attempt to open a WebSocket reaches the server.
    Open(usize, u32, LinkId),
    /// And its answer the client.
    Opened(usize, u32, LinkId, Option<ConnectionId>),
    /// A client notices that its connection is gone.
    Gone(usize, u32, LinkId),
    /// Something arrives at the server.
    Up(ConnectionId),
    /// Something arrives at a client.
    Down(ConnectionId),
    /// The server notices that a connection is gone.
    Lost(ConnectionId),
    /// An HTTP request reaches the server.
    Request(Box<Request>),
    /// An HTTP request is over for the client.
    HttpDone(usize, u32, HttpId, Result<Reply, HttpFailure>),
    /// A request for a part of a snapshot reaches the server.
    FetchPart(Box<PartRequest>),
    /// And its answer the client.
    Fetched(usize, u32, HttpId, Result<String, HttpFailure>),
    /// A client's process ends and begins again.
    Crash(usize, u32),
    /// A session gets an answer or a hint.
    Session(u32, ConnectionId, Box<SessionInput>),
    /// A session's timer fires.
    SessionTimer(u32, ConnectionId, u64),
    /// The server reads for somebody.
    ServerRead(u32, Question),
    /// The server commits whatever waits.
    ServerCommit(u32),
    /// The server's process starts.
    ServerStart,
    /// Something goes wrong.
    Fault,
    /// A fault of a client's path ends.
    Mend(usize, Fault),
    /// All faults end.
    Heal,
    /// Whether the run is quiet is looked at.
    Look,
}

/// An HTTP request on its way.
pub(crate) struct Request {
    /// Whose it is.
    pub(crate) client: usize,
    /// Which life of that client sent it.
    pub(crate) life: u32,
    /// What the client calls it.
    pub(crate) id: HttpId,
    /// What it asks for.
    pub(crate) call: Call,
    /// Whether the answer gets lost.
    pub(crate) mute: bool,
}

/// A run.
pub(crate) struct World {
    /// What it is like.
    pub(crate) plan: Plan,
    /// The one source of chance.
    pub(crate) random: Rng,
    /// What is to come.
    pub(crate) agenda: Agenda<Event>,
    /// What was.
    pub(crate) trace: Trace,
    /// By index.
    pub(crate) clients: Vec<Client>,
    /// Between the two.
    pub(crate) network: Network,
    /// The server.
    pub(crate) server: Server,
    /// The run's books.
    pub(crate) ledger: Ledger,
    /// Which clients there are several of.
    pub(crate) copies: Copies,
    /// The snapshots that were made.
    pub(crate) truth: Truth,
    /// What was counted.
    pub(crate) tally: Tally,
    /// Epochs that are over.
    pub(crate) retired: BTreeSet<String>,
    /// Withdrawals and new attempts.
    pub(crate) amendments: u64,
    /// Decisions of persons.
    pub(crate) decisions: u64,
    /// The first claim that did not hold.
    pub(crate) violation: Option<Violation>,
    /// Since when all faults are over.
    pub(crate) healed: Option<Time>,
    /// Since when nothing is pending any more.
    pub(crate) quiet: Option<Time>,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// What was counted.
    pub tally: Tally,
    /// Events.
    pub steps: u64,
    /// The hash of the trace.
    pub hash: u64,
    /// The claim that did not hold, if there is one.
    pub violation: Option<Violation>,
}

impl World {
    /// The run of a seed, before its first event.
    pub(crate) fn new(seed: u64, Settings { verbose }: Settings) -> Self {
        let mut random = Rng::with_seed(seed);
        let plan = Plan::of(&mut random);
        let mut clients = Vec::new();
        for (tenant, count) in plan.clients.iter().enumerate() {
            for number in 0..*count {
                let skew = random.i64(-(plan.skew as i64)..=plan.skew as i64);
                clients.push(Client::new(tenant, number, skew, random.u64(0..10_000_000), plan.relaxed));
            }
        }
        let mut world = Self {
            network: Network::new(clients.len()),
            server: Server::new(&plan),
            clients,
            plan,
            random,
            agenda: Agenda::default(),
            trace: Trace::new(verbose),
            ledger: Ledger::default(),
            copies: Copies::default(),
            truth: Truth::default(),
            tally: Tally::default(),
            retired: BTreeSet::new(),
            amendments: 0,
            decisions: 0,
            violation: None,
            healed: None,
            quiet: None,
        };
        world.trace.note(0, format_args!("{:?}", world.plan));
        world
    }

    /// Runs to the end, or to the first claim that does not hold.
    pub(crate) fn run(mut self) -> Ended {
        self.agenda.at(0, Event::ServerStart);
        for client in 0..self.clients.len() {
            // Some come when there is much already.
            let latest = if self.random.u8(0..4) == 0 { self.plan.busy } else { 2_000 };
            let at = self.random.u64(0..latest);
            self.agenda.at(at, Event::Start(client));
            self.agenda.at(at + 1, Event::Act(client));
        }
        if !self.plan.faults.is_empty() {
            self.agenda.at(self.random.u64(0..self.plan.calm), Event::Fault);
        }
        self.agenda.at(self.plan.busy, Event::Heal);
        while self.violation.is_none() && !self.is_over() {
            let Some(event) = self.agenda.next() else { break };
            self.happen(event);
        }
        if self.violation.is_none() {
            self.check_end();
        }
        let (steps, hash) = (self.trace.steps(), self.trace.hash());
        self.tally.operations = self.ledger.committed.len() as u64;
        Ended { tally: self.tally, steps, hash, violation: self.violation }
    }

    fn is_over(&self) -> bool {
        self.quiet.is_some_and(|since| self.agenda.now() >= since + AFTERMATH)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Act(client) => self.act(client),
            Event::Start(client) => self.start(client),
            Event::Timer(client, timer) => self.timer(client, timer),
            Event::Write(client, life, number) => self.write(client, life, number),
            Event::Read(client, life, id, query, scan) => self.read(client, life, id, &query, scan),
            Event::Token(client, life, token) => self.token(client, life, token),
            Event::Open(client, life, link) => self.open(client, life, link),
            Event::Opened(client, life, link, connection) => self.opened(client, life, link, connection),
            Event::Gone(client, life, link) => self.gone(client, life, link),
            Event::Up(connection) => self.arrive_at_server(connection),
            Event::Down(connection) => self.arrive_at_client(connection),
            Event::Lost(connection) => self.lost(connection),
            Event::Request(request) => self.request(*request),
            Event::HttpDone(client, life, id, result) => self.http_done(client, life, id, result),
            Event::FetchPart(request) => self.part_request(*request),
            Event::Fetched(client, life, id, result) => self.fetched(client, life, id, result),
            Event::Crash(client, life) => {
                if self.clients[client].life == life && self.healed.is_none() {
                    self.crash_client(client);
                }
            }
            Event::Session(life, connection, input) => self.session(life, connection, *input),
            Event::SessionTimer(life, connection, timer) => self.session_timer(life, connection, timer),
            Event::ServerRead(life, question) => self.server_read(life, question),
            Event::ServerCommit(life) => self.server_commit(life),
            Event::ServerStart => self.server_start(),
            Event::Fault => self.fault(),
            Event::Mend(client, fault) => self.mend(client, fault),
            Event::Heal => self.heal(),
            Event::Look => self.look(),
        }
    }

    fn look(&mut self) {
        let Some(healed) = self.healed else { return };
        for client in 0..self.clients.len() {
            self.discard_rejected(client);
            self.decide(client);
        }
        let pending = self.pending();
        match pending {
            None => self.quiet = self.quiet.or(Some(self.agenda.now())),
            Some(what) if self.agenda.now() > healed + HEALING => {
                self.violate("after healing everything is settled within a bounded time", what);
            }
            Some(_) => self.quiet = None,
        }
        self.agenda.after(5_000, Event::Look);
    }

    /// The application has seen what was rejected.
    pub(crate) fn discard_rejected(&mut self, client: usize) {
        let Some(engine) = &self.clients[client].engine else { return };
        let rejected: Vec<Seq> = engine.rejected().into_iter().map(|one| one.seq).collect();
        for seq in rejected {
            self.clients[client].wishes.unwanted.insert(seq.0);
            self.input(client, sdk_core::engine::Input::Discard(seq));
        }
    }

    /// Notes something in the trace.
    pub(crate) fn note(&mut self, line: std::fmt::Arguments<'_>) {
        self.trace.note(self.agenda.now(), line);
    }

    /// A claim does not hold; only the first is kept, the others may follow from it.
    pub(crate) fn violate(&mut self, claim: &'static str, seen: String) {
        self.trace.note(self.agenda.now(), format_args!("VIOLATED {claim}: {seen}"));
        self.violation.get_or_insert(Violation { claim, seen });
    }

    /// Holds a claim.
    pub(crate) fn claim(&mut self, holds: bool, claim: &'static str, seen: impl FnOnce() -> String) {
        if !holds {
            self.violate(claim, seen());
        }
    }

    /// Whether chance has it, with so many per mille.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.random.u64(0..1_000) < per_mille
    }

    /// Up to so many milliseconds, at least one.
    pub(crate) fn up_to(&mut self, most: u64) -> u64 {
        self.random.u64(1..=most.max(1))
    }

    /// A new live query for a client.
    pub(crate) fn next_query(&mut self, client: usize) -> QueryId {
        let client = &mut self.clients[client];
        client.asked += 1;
        QueryId(client.asked)
    }
}
