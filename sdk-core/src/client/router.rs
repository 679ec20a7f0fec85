//! Brings each event to whoever waits for it.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::{
    FutureExt, StreamExt,
    channel::{mpsc, oneshot},
    future::Shared,
    lock::Mutex as AsyncMutex,
};

use super::Closed;
use crate::{
    driver::EventSink,
    engine::{Event, QueryId, Refusal, Ticket, Unsent},
    protocol::{Outcome, Seq},
};

/// The answer to a submission or a change: its place, and where its outcome will come.
pub(super) type Taken = Result<(Seq, OutcomeReceiver), Refusal>;

/// Where an outcome comes, for as many as wait for it.
pub(super) type OutcomeReceiver = Shared<oneshot::Receiver<Outcome>>;

/// Hears the driver's events for a [`Client`](super::Client).
#[derive(Debug)]
pub struct Router {
    waiting: Mutex<Waiting>,
    next: AtomicU64,
    status: AsyncMutex<mpsc::Receiver<()>>,
    conflicts: AsyncMutex<mpsc::Receiver<()>>,
}

/// Who waits; each map holds at most what the outbox or the queries hold.
#[derive(Debug)]
struct Waiting {
    submissions: BTreeMap<Ticket, oneshot::Sender<Taken>>,
    messages: BTreeMap<Ticket, oneshot::Sender<Result<u64, Unsent>>>,
    /// Edits that were folded into one operation share its outcome.
    outcomes: BTreeMap<Seq, (oneshot::Sender<Outcome>, OutcomeReceiver)>,
    views: BTreeMap<QueryId, mpsc::Sender<()>>,
    status: Option<mpsc::Sender<()>>,
    conflicts: Option<mpsc::Sender<()>>,
    closed: bool,
}

impl Default for Router {
    fn default() -> Self {
        // One message tells as much as many: look again.
        let (sender, receiver) = mpsc::channel(0);
        let (conflicts, conflicts_changed) = mpsc::channel(0);
        let waiting = Waiting {
            submissions: BTreeMap::new(),
            messages: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            views: BTreeMap::new(),
            status: Some(sender),
            conflicts: Some(conflicts),
            closed: false,
        };
        Self {
            waiting: Mutex::new(waiting),
            next: AtomicU64::new(1),
            status: AsyncMutex::new(receiver),
            conflicts: AsyncMutex::new(conflicts_changed),
        }
    }
}

impl Router {
    pub(super) fn submission(&self) -> (Ticket, oneshot::Receiver<Taken>) {
        let ticket = Ticket(self.number());
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting();
        // Without a sender the receiver ends at once, which says that the client is closed.
        if !waiting.closed {
            waiting.submissions.insert(ticket, sender);
        }
        (ticket, receiver)
    }

    pub(super) fn message(&self) -> (Ticket, oneshot::Receiver<Result<u64, Unsent>>) {
        let ticket = Ticket(self.number());
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting();
        if !waiting.closed {
            waiting.messages.insert(ticket, sender);
        }
        (ticket, receiver)
    }

    pub(super) fn watch(&self) -> (QueryId, mpsc::Receiver<()>) {
        let id = QueryId(self.number());
        let (sender, receiver) = mpsc::channel(0);
        let mut waiting = self.waiting();
        if !waiting.closed {
            waiting.views.insert(id, sender);
        }
        (id, receiver)
    }

    pub(super) fn unwatch(&self, id: QueryId) {
        self.waiting().views.remove(&id);
    }

    pub(super) async fn status_changed(&self) -> Result<(), Closed> {
        self.status.lock().await.next().await.ok_or(Closed)
    }

    pub(super) async fn conflicts_changed(&self) -> Result<(), Closed> {
        self.conflicts.lock().await.next().await.ok_or(Closed)
    }

    pub(super) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.submissions.clear();
        waiting.messages.clear();
        waiting.outcomes.clear();
        waiting.views.clear();
        waiting.status = None;
        waiting.conflicts = None;
        waiting.closed = true;
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventSink for std::sync::Arc<Router> {
    fn emit(&self, events: Vec<Event>) {
        let mut waiting = self.waiting();
        events.into_iter().for_each(|event| waiting.tell(event));
    }
}

impl Waiting {
    /// Whoever has stopped waiting is passed over; a full channel holds the same message already.
    fn tell(&mut self, event: Event) {
        match event {
            Event::Submitted(ticket, seq) => {
                if let Some(submission) = self.submissions.remove(&ticket) {
                    let (_, receiver) = self.outcomes.entry(seq).or_insert_with(|| {
                        let (sender, receiver) = oneshot::channel();
                        (sender, receiver.shared())
                    });
                    let _ = submission.send(Ok((seq, receiver.clone())));
                }
            }
            Event::Refused(ticket, refusal) => {
                if let Some(submission) = self.submissions.remove(&ticket) {
                    let _ = submission.send(Err(refusal));
                }
            }
            Event::Sent(ticket, count) => {
                if let Some(message) = self.messages.remove(&ticket) {
                    let _ = message.send(Ok(count));
                }
            }
            Event::Unsent(ticket, why) => {
                if let Some(message) = self.messages.remove(&ticket) {
                    let _ = message.send(Err(why));
                }
            }
            Event::Settled(seq, _, outcome) => {
                if let Some((handle, _)) = self.outcomes.remove(&seq) {
                    let _ = handle.send(outcome);
                }
            }
            Event::ViewChanged(id) => {
                if let Some(view) = self.views.get_mut(&id) {
                    let _ = view.try_send(());
                }
            }
            Event::QueryRefused(id) => {
                self.views.remove(&id);
            }
            Event::StatusChanged => {
                if let Some(status) = &mut self.status {
                    let _ = status.try_send(());
                }
            }
            Event::ConflictsChanged => {
                if let Some(conflicts) = &mut self.conflicts {
                    let _ = conflicts.try_send(());
                }
            }
            Event::NotRecovered(_)
            | Event::Reopened(_)
            | Event::IdentityRenewed
            | Event::StorageLost
            | Event::Fenced
            | Event::StorageDamaged(_)
            | Event::SlowResolver(..) => {}
        }
    }
}
