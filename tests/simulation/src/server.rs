//! The server's process: its real sessions and its real database, with the parts between them simulated. A commit is
//! a step of its own, later than the frames that asked for it, and its answers later still; the process may end
//! between any two of these.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    path::PathBuf,
    sync::Arc,
};

use sdk_core::{
    clock::Millis,
    protocol::{CollectionName, Epoch, Limits, Manifest},
    reconcile::{Conflict, Resolution},
};
use server_reference::{
    auth::Verifier,
    dev::DevIssuer,
    gateway::session::{Now, Session},
    limits::{Limiter, Quotas},
    resolvers::Resolvers,
    snapshot::Export,
    storage::{Batch, Page, sqlite::SqliteDocuments},
    tenant::TenantScope,
};
use tempfile::TempDir;

pub(crate) use server_reference::gateway::session::Input as SessionInput;

use crate::{
    agenda::Time,
    archive::{self, Archive, Cuts, Left},
    client::BEGINNING,
    http::{Answer, Exchange},
    network::ConnectionId,
    plan::Plan,
    records::Witness,
    workload,
};

/// A session and what surrounds it.
pub(crate) struct Live {
    /// The session.
    pub(crate) session: Session,
    /// Frames that it does not want yet.
    pub(crate) inbox: VecDeque<String>,
    /// Whose collections it follows.
    pub(crate) follows: Option<(Arc<str>, Vec<CollectionName>)>,
    /// When the newest hint reaches it; hints come in their order.
    pub(crate) hinted: Time,
    /// The timer that counts.
    pub(crate) timer: u64,
}

/// Who waits for a commit.
pub(crate) enum Asker {
    /// A session.
    Session(ConnectionId),
    /// An HTTP request.
    Exchange(u64, Answer<server_reference::storage::Committed>),
}

/// A read that somebody waits for.
pub(crate) enum Question {
    /// A session.
    Session(ConnectionId, TenantScope, Page),
    /// An HTTP request.
    Exchange(u64, TenantScope, Page, Answer<sdk_core::protocol::Changes>),
    /// An HTTP request, of a whole collection.
    Export(u64, TenantScope, CollectionName, Box<dyn Export>, Answer<Manifest>),
}

/// The server.
pub(crate) struct Server {
    folder: TempDir,
    copies: u32,
    /// The database; none while the process is down.
    pub(crate) documents: Option<SqliteDocuments>,
    /// The snapshots; none while the process is down.
    pub(crate) archive: Option<Archive>,
    cuts: Cuts,
    /// Looks at the database from outside; none while the process is down.
    pub(crate) witness: Option<Witness>,
    /// How often the process was started.
    pub(crate) life: u32,
    /// The sessions.
    pub(crate) sessions: BTreeMap<ConnectionId, Live>,
    /// Batches that wait for the next commit.
    pub(crate) queue: VecDeque<(Asker, Batch)>,
    /// Whether a commit is planned.
    pub(crate) committing: bool,
    /// HTTP requests under way.
    pub(crate) exchanges: BTreeMap<u64, Exchange>,
    /// Numbers that were given to requests.
    pub(crate) exchanged: u64,
    /// Commits fail while this is so.
    pub(crate) disk_full: bool,
    /// Some answers to commits are lost.
    pub(crate) forgetful: bool,
    /// Commits wait until then.
    pub(crate) hangs_until: Time,
    /// New epochs begin at the next start, as after a restored backup.
    pub(crate) renew: bool,
    /// How far its wall clock is from the truth.
    pub(crate) skew: i64,
    /// Whether tokens are made on another machine, whose clock is right.
    pub(crate) issuer_apart: bool,
    /// Whether its resolver lets those who come later have their way in some documents.
    takes_mine: bool,
    /// Whether it has one.
    resolves: bool,
    /// Makes tokens.
    pub(crate) issuer: DevIssuer,
    /// Verifies them.
    pub(crate) verifier: Verifier,
    /// What it accepts.
    pub(crate) limits: Limits,
    /// How much of it; a process that starts anew has forgotten what was spent.
    pub(crate) limiter: Arc<Limiter>,
}

impl Server {
    /// A server that was never started, with a folder of its own.
    pub(crate) fn new(plan: &Plan) -> Self {
        // Memory where there is some to be had: the durability of the disk under it is not what is simulated.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let issuer = DevIssuer::from_secret([7; 32]);
        Self {
            folder: folder.expect("a folder for the database"),
            copies: 0,
            documents: None,
            archive: None,
            cuts: plan.cuts,
            witness: None,
            life: 0,
            sessions: BTreeMap::new(),
            queue: VecDeque::new(),
            committing: false,
            exchanges: BTreeMap::new(),
            exchanged: 0,
            disk_full: false,
            forgetful: false,
            hangs_until: 0,
            renew: false,
            skew: 0,
            issuer_apart: plan.issuer_apart,
            takes_mine: plan.takes_mine,
            resolves: plan.server_resolves,
            verifier: issuer.verifier(),
            issuer,
            limits: plan.limits,
            limiter: Limiter::new(Quotas::DEFAULT),
        }
    }

    /// Where the database is.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join(format!("{}.db", self.copies))
    }

    /// Opens the database.
    pub(crate) fn start(&mut self) -> Result<(), server_reference::storage::StorageError> {
        self.life += 1;
        self.limiter = Limiter::new(Quotas::DEFAULT);
        let (life, mut count) = (self.life, 0);
        let new_epoch = move || {
            count += 1;
            Epoch::new(&format!("epoch-{life}-{count}")).expect("an epoch's name")
        };
        let resolvers = resolvers(self.resolves, self.takes_mine);
        let documents = SqliteDocuments::open(&self.path(), self.limits, Box::new(new_epoch))?;
        self.documents = Some(documents.with_resolvers(resolvers));
        self.witness = Some(Witness::open(&self.path())?);
        self.archive = Some(Archive::open(&self.path(), life, self.cuts)?);
        Ok(())
    }

    /// Ends the process as a crash does: the database goes on from what is on the disk at this moment, and was not
    /// closed. Of the snapshots less may be left.
    pub(crate) fn crash(&mut self, left: Left) {
        self.sessions.clear();
        self.queue.clear();
        self.exchanges.clear();
        self.committing = false;
        self.witness = None;
        self.hangs_until = 0;
        let before = self.path();
        self.copies += 1;
        let after = self.path();
        self.archive = None;
        archive::crash(&before, &after, left);
        for suffix in ["", "-wal"] {
            let name = |path: &PathBuf| PathBuf::from(format!("{}{suffix}", path.display()));
            if name(&before).exists() {
                fs::copy(name(&before), name(&after)).expect("the database can be copied");
            }
        }
        self.documents = None;
        for suffix in ["", "-wal", "-shm"] {
            // Closing it may have removed some of them.
            let _ = fs::remove_file(format!("{}{suffix}", before.display()));
        }
    }

    /// Both clocks.
    pub(crate) fn now(&self, time: Time) -> Now {
        let wall = (BEGINNING + time).saturating_add_signed(self.skew);
        Now { monotonic: Millis(time), wall: Millis(wall) }
    }

    /// The clock of whoever issues tokens.
    pub(crate) fn issued_at(&self, time: Time) -> Millis {
        if self.issuer_apart { Millis(BEGINNING + time) } else { self.now(time).wall }
    }
}

/// What the application has registered on the server: whether anything, and whether it lets those who come later have
/// their way in some documents.
pub(crate) fn resolvers(any: bool, takes_mine: bool) -> Resolvers {
    let resolver = move |conflict: &Conflict| {
        let mine = takes_mine && workload::takes_mine(conflict.doc.id.as_str());
        if mine { Resolution::TakeMine } else { Resolution::TakeTheirs }
    };
    let name = workload::RESOLVED.parse().expect("a collection's name");
    let resolvers = Resolvers::default();
    if any { resolvers.with(name, resolver) } else { resolvers }
}
