//! The server's database at work: what waits is committed together, reads are answered, and followers hear that
//! something has changed.

use std::{collections::BTreeSet, sync::Arc};

use sdk_core::protocol::Outcome;
use server_reference::storage::{Advance, Batch, Committed, StorageError};

use crate::{
    checks::key_of,
    network::ConnectionId,
    server::{Asker, Live, Question, SessionInput},
    world::{Event, World},
};

impl World {
    /// A batch waits for the next commit.
    pub(crate) fn enqueue(&mut self, asker: Asker, batch: Batch) {
        self.server.queue.push_back((asker, batch));
        if !std::mem::replace(&mut self.server.committing, true) {
            let delay = self.up_to(self.plan.server_latency);
            self.agenda.after(delay, Event::ServerCommit(self.server.life));
        }
    }

    /// A read is under way.
    pub(crate) fn ask_read(&mut self, question: Question) {
        let delay = self.up_to(self.plan.server_latency);
        self.agenda.after(delay, Event::ServerRead(self.server.life, question));
    }

    /// The server reads; the answer takes a while, in which commits may pass it.
    pub(crate) fn server_read(&mut self, life: u32, question: Question) {
        let Some(documents) = self.server.documents.as_ref().filter(|_| self.server.life == life) else {
            return;
        };
        let delay = self.random.u64(0..=self.plan.server_latency);
        match question {
            Question::Session(id, scope, page) => {
                let read = documents.changes(&scope, &page);
                self.agenda.after(delay, Event::Session(life, id, Box::new(SessionInput::Read(read))));
            }
            Question::Exchange(id, scope, page, answer) => {
                // A request that is gone wants no answer.
                let _ = answer.send(documents.changes(&scope, &page));
                self.go_on(id);
            }
            Question::Export(id, scope, collection, to, answer) => {
                let made = documents.export(&scope, &collection, to);
                if let Ok(manifest) = &made {
                    self.enter_snapshot(scope.tenant(), manifest.clone());
                }
                let _ = answer.send(made);
                self.go_on(id);
            }
        }
    }

    /// The server commits whatever waits, all in one transaction. The answers are sent later.
    pub(crate) fn server_commit(&mut self, life: u32) {
        if self.server.life != life || self.server.documents.is_none() {
            return;
        }
        if self.server.hangs_until > self.agenda.now() {
            self.agenda.at(self.server.hangs_until, Event::ServerCommit(life));
            return;
        }
        self.server.committing = false;
        let (askers, batches): (Vec<Asker>, Vec<Batch>) = self.server.queue.drain(..).unzip();
        let results = self.commit_group(&batches);
        let advances: Vec<Arc<Advance>> =
            results.iter().flatten().flat_map(|committed| committed.advances.clone()).collect();
        let operations: usize = batches.iter().map(|batch| batch.operations.len()).sum();
        self.note(format_args!("server commits {} batches with {operations} operations", batches.len()));
        for advance in advances {
            self.hint(&advance);
        }
        for (asker, result) in askers.into_iter().zip(results) {
            match asker {
                Asker::Session(_) if self.server.forgetful && self.chance(300) => {}
                Asker::Session(id) => {
                    let delay = self.random.u64(0..=self.plan.server_latency);
                    let input = Box::new(SessionInput::Committed(result));
                    self.agenda.after(delay, Event::Session(life, id, input));
                }
                Asker::Exchange(id, answer) => {
                    // A request that is gone wants no answer.
                    let _ = answer.send(result);
                    self.go_on(id);
                }
            }
        }
    }

    fn commit_group(&mut self, batches: &[Batch]) -> Vec<Result<Committed, StorageError>> {
        let failing = || StorageError::Unavailable("the disk is full".into());
        if self.server.disk_full {
            return batches.iter().map(|_| Err(failing())).collect();
        }
        let Some(documents) = &mut self.server.documents else { return Vec::new() };
        let results = documents.commit_group(batches.to_vec());
        let mut judged = BTreeSet::new();
        for (batch, result) in batches.iter().zip(&results) {
            for judgement in result.iter().flat_map(|committed| &committed.judgements) {
                if !matches!(judgement.outcome, Outcome::Conflicted(_)) {
                    judged.insert(key_of(batch, judgement.seq));
                }
            }
        }
        for (batch, result) in batches.iter().zip(&results) {
            match result {
                Ok(committed) => self.record(batch, committed.actor.0, &committed.judgements, &judged),
                Err(StorageError::Unavailable(error)) => {
                    self.violate("a database that is well can be written", error.to_string());
                }
                Err(_) => {}
            }
        }
        self.check_deleted(batches);
        results
    }

    /// Tells the sessions that follow a collection that it moved on, or that they have missed something.
    fn hint(&mut self, advance: &Arc<Advance>) {
        let life = self.server.life;
        let follows = |live: &Live| {
            live.follows.as_ref().is_some_and(|(tenant, collections)| {
                **tenant == *advance.tenant && collections.contains(&advance.collection)
            })
        };
        let followers: Vec<ConnectionId> =
            self.server.sessions.iter().filter(|(_, live)| follows(live)).map(|(id, _)| *id).collect();
        for id in followers {
            let at = self.agenda.now() + self.random.u64(0..=self.plan.server_latency);
            let lagged = self.chance(20);
            let Some(live) = self.server.sessions.get_mut(&id) else { continue };
            live.hinted = live.hinted.max(at);
            let input =
                if lagged { SessionInput::Lagged } else { SessionInput::Advanced(Arc::clone(advance)) };
            self.agenda.at(live.hinted, Event::Session(life, id, Box::new(input)));
        }
    }
}
