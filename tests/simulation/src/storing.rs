//! A client's storage at work: commits and reads are carried out, or fail, or are carried out and said to have failed.

use sdk_core::engine::{
    BatchId, Input, ReadId,
    storage::{Batch, Query, Scan, StoreError},
};

use crate::world::{Event, World};

/// What becomes of a commit.
struct Fate {
    /// Whether it is written.
    written: bool,
    /// What the client is told.
    told: Result<(), StoreError>,
}

impl World {
    /// A client asks for a commit.
    pub(crate) fn commit(&mut self, index: usize, id: BatchId, batch: Batch) {
        let life = self.clients[index].life;
        self.note(format_args!("client {index} commits {}: {batch:?}", id.0));
        let delay = self.up_to(self.plan.disk_latency);
        self.shake(index, &batch);
        self.clients[index].writes.insert(id.0, (id, batch));
        self.agenda.after(delay, Event::Write(index, life, id.0));
    }

    /// A commit reaches the storage.
    pub(crate) fn write(&mut self, index: usize, life: u32, number: u64) {
        if self.clients[index].life != life {
            return;
        }
        let Some((id, batch)) = self.clients[index].writes.remove(&number) else { return };
        let Fate { written, told } = self.fate(index, &batch);
        let replica = matches!(batch, Batch::Replica(_));
        let wishes = &mut self.clients[index].wishes;
        wishes.lied = written && told.is_err() && !replica;
        if written {
            self.apply(index, batch.clone());
        }
        match told {
            Ok(()) => {
                self.note(format_args!("client {index} has committed {number}"));
                self.clients[index].reads.committed(&batch);
                if !replica {
                    self.clients[index].wishes.stored();
                }
                self.input(index, Input::Committed(id));
            }
            Err(error) => {
                self.tally.disk_failures += 1;
                self.tally.phantoms += u64::from(written);
                self.note(format_args!(
                    "client {index} is told that commit {number} failed; written: {written}"
                ));
                self.clients[index].disk_error = Some(error.clone());
                if replica {
                    self.clients[index].reads.lost_replica();
                    self.clients[index].downloads.doubt();
                }
                self.input(index, Input::StoreFailed(id, error));
                self.clients[index].wishes.lied = false;
            }
        }
    }

    /// Writes a batch, and holds what must hold of it.
    pub(crate) fn apply(&mut self, index: usize, batch: Batch) {
        self.check_removals(index, &batch);
        self.check_stored(index, &batch);
        self.check_staged(index, &batch);
        self.doubt(index, &batch);
        self.clients[index].disk.apply(batch.clone());
        if let Batch::Replica(batch) = &batch {
            self.check_flipped(index, batch);
        }
        // What could not be withdrawn is there again, and others may have taken its place meanwhile.
        let most = self.plan.outbox + self.clients[index].stayed;
        let kept = self.clients[index].disk.kept().count();
        self.claim(kept <= most, "an outbox holds no more than its limit", || {
            format!("client {index} holds {kept} operations; {most} are allowed")
        });
    }

    /// A commit that is carried out and called failed leaves operations of which the client knows nothing.
    fn doubt(&mut self, index: usize, batch: &Batch) {
        let client = &mut self.clients[index];
        if let Batch::Outbox(batch) = batch
            && client.wishes.lied
        {
            client.wishes.undone.extend(client.disk.added_by(batch));
        }
    }

    fn fate(&mut self, index: usize, batch: &Batch) -> Fate {
        if let Some(left) = &mut self.clients[index].quota
            && batch.grows()
        {
            if *left == 0 {
                let told = Err(StoreError::Full("the quota is used up".into()));
                return Fate { written: false, told };
            }
            *left -= 1;
        }
        let trouble = self.clients[index].disk_trouble;
        if !self.chance(trouble) {
            return Fate { written: true, told: Ok(()) };
        }
        let written = self.chance(300);
        let error = if self.random.bool() {
            StoreError::Full("the quota is used up".into())
        } else {
            StoreError::Failed("the disk is ill".into())
        };
        Fate { written, told: Err(error) }
    }

    /// A read is carried out, or fails.
    pub(crate) fn read(&mut self, index: usize, life: u32, id: ReadId, query: &Query, scan: Scan) {
        if self.clients[index].life != life {
            return;
        }
        let trouble = self.clients[index].disk_trouble;
        let result = if self.chance(trouble) {
            self.tally.disk_failures += 1;
            self.clients[index].reads.lost_replica();
            self.clients[index].downloads.doubt();
            Err(StoreError::Failed("the disk is ill".into()))
        } else {
            Ok(self.clients[index].disk.read(query, scan))
        };
        self.note(format_args!("client {index} reads {}: {result:?}", id.0));
        self.input(index, Input::Loaded(id, result));
    }
}

/// Whether a batch needs room.
trait Grows {
    fn grows(&self) -> bool;
}

impl Grows for Batch {
    fn grows(&self) -> bool {
        match self {
            Batch::Outbox(batch) => !batch.put.is_empty(),
            Batch::Replica(batch) => !batch.put.is_empty() || !batch.stage.is_empty(),
        }
    }
}
