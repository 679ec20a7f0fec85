//! Reads chains, and names what was done to them.

use std::{collections::BTreeMap, ops::ControlFlow, path::Path};

use sdk_core::clock::Millis;
use serde::Serialize;

use super::{
    Checkpoint, Database, Head, PARTS, PublicKey, commitment, database::File, hash, key, tree::Tree,
};
use crate::storage::{
    StorageError,
    sql::{Connection, Row},
};

/// Records that do not fit where they stand, of which it is looked for where they stood.
const MOVED: usize = 64;

/// What one record says. Parts that were absent, or were erased, are none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// In whose data.
    pub tenant: String,
    /// Its place in the tenant's chain, from 1.
    pub number: u64,
    /// When, in milliseconds of Unix time.
    pub at: u64,
    /// What was done.
    pub action: String,
    /// `allowed`, `granted` (by an access grant) or `refused`; empty for what the server notes by itself.
    pub outcome: String,
    /// Who.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// To what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub justification: Option<String>,
    /// Who else has approved of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approver: Option<String>,
    /// The parts that were erased.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub erased: Vec<&'static str>,
}

/// What a chain is that is not as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// There is no record of some numbers, but behind them there are some.
    #[error("records {0} to {1} were taken out")]
    TakenOut(u64, u64),
    /// A record's hash is not that of its content and the one before.
    #[error("record {0}, or what stood before it, was changed")]
    Changed(u64),
    /// A record was recorded at another place.
    #[error("record {0} was moved: it was record {1}")]
    Moved(u64, u64),
    /// What a record says is not what its hash stands for.
    #[error("the {1} of record {0} was changed")]
    PartChanged(u64, &'static str),
    /// The head counts more records than there are.
    #[error("records {0} to {1} were cut off")]
    CutOff(u64, u64),
    /// The head is not that of the records.
    #[error("the head is not that of the {0} records")]
    WrongHead(u64),
    /// The key of this server did not sign it.
    #[error("the {0} is not signed with the key of this server")]
    Unsigned(&'static str),
    /// A checkpoint stands for more records than there are.
    #[error("a checkpoint stands for {0} records and there are {1}: the others were cut off")]
    Short(u64, u64),
    /// The records up to a checkpoint are not those it stands for, while those up to another are.
    #[error("one of the records {0} to {1} is not what a checkpoint stands for")]
    Rewritten(u64, u64),
    /// The server noted, when it added this record, that the head was not as it had been signed.
    #[error("record {0} notes that the chain before it had been altered")]
    Noted(u64),
    /// A value of the record has not the form of one.
    #[error("a record behind record {0} is damaged")]
    Damaged(u64),
}

/// A tenant's chain that was read to its end.
#[derive(Debug)]
pub struct Verified {
    /// Whose.
    pub tenant: String,
    /// How many records it has had, with those that were pruned.
    pub records: u64,
    /// Those of them that were pruned.
    pub pruned: u64,
    /// What is not as it was recorded.
    pub findings: Vec<Finding>,
}

/// The chains of one database, also while servers write to it: each as it is at one point in time, and those of a file of SQLite's
/// all at the same.
pub struct Audit {
    database: Box<dyn Database>,
    pub(super) key: PublicKey,
    pub(super) chain: &'static str,
}

impl Audit {
    /// Opens those of a database.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`], also if the database was never opened by this version of the server.
    pub fn open(path: &Path, chain: &'static str) -> Result<Self, StorageError> {
        Self::with_key(path, chain, key(Some(path))?.public())
    }

    /// The same for somebody who has not the key that the server signs with, and knows what verifies it.
    ///
    /// # Errors
    /// As [`Audit::open`].
    pub fn with_key(path: &Path, chain: &'static str, key: PublicKey) -> Result<Self, StorageError> {
        Ok(Self::of(File::seen(path)?, chain, key))
    }

    pub(in crate::storage) fn of(
        database: impl Database + 'static,
        chain: &'static str,
        key: PublicKey,
    ) -> Self {
        Self { database: Box::new(database), key, chain }
    }

    /// Every tenant that has a chain.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`].
    pub fn tenants(&self) -> Result<Vec<String>, StorageError> {
        let sql = "SELECT tenant FROM audit UNION SELECT tenant FROM audit_heads
                   UNION SELECT tenant FROM audit_starts ORDER BY tenant";
        self.database.read(|connection| connection.all(sql, (), |row| row.get(0)))
    }

    /// Every tenant whose first record is from before a Unix time.
    pub(super) fn tenants_before(&self, before: Millis) -> Result<Vec<String>, StorageError> {
        let sql = "SELECT tenant FROM audit AS first WHERE at < ?1
                   AND number = (SELECT min(number) FROM audit WHERE tenant = first.tenant) ORDER BY tenant";
        self.database.read(|connection| connection.all(sql, (before.0,), |row| row.get(0)))
    }

    /// The head of a tenant's chain, signed; none if there is none, or if it is not as the server has signed it. It says what
    /// the server has recorded: whether the records are still so is for [`Audit::verify`].
    ///
    /// # Errors
    /// [`StorageError::Unavailable`].
    pub fn checkpoint(&self, tenant: &str) -> Result<Option<Checkpoint>, StorageError> {
        self.signed(tenant, "audit_heads")
    }

    /// Where a tenant's chain begins, if its first records were pruned.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`].
    pub fn start(&self, tenant: &str) -> Result<Option<Checkpoint>, StorageError> {
        self.signed(tenant, "audit_starts")
    }

    fn signed(&self, tenant: &str, table: &'static str) -> Result<Option<Checkpoint>, StorageError> {
        let head = self.database.read(|connection| Head::load(connection, tenant, table))?;
        let Some((Head { tree, .. }, signature)) = head else { return Ok(None) };
        let origin = self.key.origin(self.chain, tenant);
        let checkpoint = Checkpoint::new(&self.key, origin, tree.size(), tree.root(), &signature);
        Ok(checkpoint.is_by(&self.key).then_some(checkpoint))
    }

    /// What others verify the checkpoints of a tenant's chain with.
    pub fn verifier(&self, tenant: &str) -> String {
        self.key.verifier(&self.key.origin(self.chain, tenant))
    }

    /// Whether a checkpoint is of a tenant's chain.
    pub fn is_of(&self, checkpoint: &Checkpoint, tenant: &str) -> bool {
        checkpoint.origin == self.key.origin(self.chain, tenant)
    }

    /// Reads a tenant's chain, hands out each record, and names what is not as it was recorded, nor as the checkpoints of it
    /// have it.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`].
    pub fn verify(
        &self,
        tenant: &str,
        checkpoints: &[Checkpoint],
        mut each: impl FnMut(&Record),
    ) -> Result<Verified, StorageError> {
        self.database.read(|connection| self.walk(connection, tenant, checkpoints, &mut each))
    }

    fn walk(
        &self,
        connection: &dyn Connection,
        tenant: &str,
        checkpoints: &[Checkpoint],
        each: &mut dyn FnMut(&Record),
    ) -> Result<Verified, StorageError> {
        let mut findings = Vec::new();
        let start = Head::load(connection, tenant, "audit_starts")?;
        let origin = self.key.origin(self.chain, tenant);
        let signs = |head: &Head, signature: &[u8]| {
            self.key.has_signed(&origin, head.tree.size(), &head.tree.root(), signature)
        };
        if start.as_ref().is_some_and(|(start, signature)| !signs(start, signature)) {
            findings.push(Finding::Unsigned("beginning"));
        }
        let head = start.map_or_else(Head::default, |(start, _)| start);
        let pruned = head.tree.size();
        let mut kept = Against::new(checkpoints.iter().filter(|one| one.origin == origin), &self.key);
        kept.at(&head.tree, true);
        let mut walk = Walk { head, findings, misfits: Vec::new(), whole: true };
        let sql = "SELECT number, at, action, outcome, commitments, hash FROM audit WHERE tenant = ?1 ORDER BY number";
        connection.through(sql, (tenant,), |row| {
            let (Some(link), false) = (Link::read(row), walk.head.tree.size() == i64::MAX.unsigned_abs())
            else {
                walk.findings.push(Finding::Damaged(walk.head.tree.size()));
                return Ok(ControlFlow::Break(()));
            };
            if !walk.step(tenant, &link) {
                return Ok(ControlFlow::Break(()));
            }
            each(&record(connection, tenant, link, &mut walk.findings)?);
            kept.at(&walk.head.tree, walk.whole);
            Ok(ControlFlow::Continue(()))
        })?;
        walk.place(tenant);
        let Walk { head, mut findings, .. } = walk;
        match Head::load(connection, tenant, "audit_heads")? {
            None => findings.push(Finding::Unsigned("head")),
            Some((stored, signature)) => {
                let (there, said) = (head.tree.size(), stored.tree.size());
                if !signs(&stored, &signature) {
                    findings.push(Finding::Unsigned("head"));
                }
                if said > there {
                    findings.push(Finding::CutOff(there + 1, said));
                } else if stored != head {
                    findings.push(Finding::WrongHead(there));
                }
            }
        }
        let records = head.tree.size();
        findings.extend(kept.finish(records));
        Ok(Verified { tenant: tenant.to_owned(), records, pruned, findings })
    }
}

/// What a record says, as far as it was not erased.
fn record(
    connection: &dyn Connection,
    tenant: &str,
    link: Link,
    findings: &mut Vec<Finding>,
) -> Result<Record, StorageError> {
    let sql = "SELECT part, salt, text FROM audit_parts WHERE tenant = ?1 AND number = ?2";
    let mut said = [const { None }; PARTS.len()];
    connection.each(sql, (tenant, link.number), |row| {
        let (part, salt, text): (usize, Vec<u8>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let of = |part: usize| link.commitments.get(part * 32..(part + 1) * 32);
        let Some(committed) = (part < PARTS.len()).then(|| of(part)).flatten() else {
            findings.push(Finding::PartChanged(link.number, "parts"));
            return Ok(ControlFlow::Continue(()));
        };
        if commitment(&salt, part, &text) != *committed {
            findings.push(Finding::PartChanged(link.number, PARTS[part]));
        }
        said[part] = Some(text);
        Ok(ControlFlow::Continue(()))
    })?;
    let is_erased = |part: usize| {
        said[part].is_none() && link.commitments[part * 32..(part + 1) * 32].iter().any(|byte| *byte != 0)
    };
    let erased = (0..PARTS.len()).filter(|part| is_erased(*part)).map(|part| PARTS[part]).collect();
    let [subject, target, justification, approver] = said;
    let Link { number, at, action, outcome, .. } = link;
    let tenant = tenant.to_owned();
    Ok(Record { tenant, number, at, action, outcome, subject, target, justification, approver, erased })
}

/// What of a record is under its hash.
#[derive(Clone)]
struct Link {
    number: u64,
    at: u64,
    action: String,
    outcome: String,
    commitments: Vec<u8>,
    hash: Vec<u8>,
}

impl Link {
    /// Whoever writes into the file may write anything.
    fn read(row: &dyn Row) -> Option<Self> {
        let commitments: Vec<u8> = row.get(4).ok()?;
        (commitments.len() == 32 * PARTS.len()).then_some(())?;
        let (number, at) = (row.get(0).ok()?, row.get(1).ok()?);
        let (action, outcome, hash) = (row.get(2).ok()?, row.get(3).ok()?, row.get(5).ok()?);
        Some(Self { number, at, action, outcome, commitments, hash })
    }

    fn fits(&self, tenant: &str, before: &[u8], number: u64) -> bool {
        let texts = [tenant, &self.action, &self.outcome];
        hash(before, number, self.at, texts, &self.commitments) == *self.hash
    }
}

/// A way along a chain.
struct Walk {
    head: Head,
    findings: Vec<Finding>,
    /// Records that do not fit where they stand, with the hash before them.
    misfits: Vec<(Link, Vec<u8>)>,
    /// Nothing is missing so far.
    whole: bool,
}

impl Walk {
    /// Goes on to a record; it cannot where too many are missing before it.
    fn step(&mut self, tenant: &str, link: &Link) -> bool {
        let next = self.head.tree.size() + 1;
        if link.number < next || !self.head.pass(link.number - 1) {
            self.findings.push(Finding::Damaged(next - 1));
            return false;
        }
        if link.number > next {
            self.whole = false;
            self.findings.push(Finding::TakenOut(next, link.number - 1));
        } else if !link.fits(tenant, &self.head.hash, link.number) {
            self.misfits.push((link.clone(), self.head.hash.clone()));
        }
        if link.action == super::ALTERED {
            self.findings.push(Finding::Noted(link.number));
        }
        self.head.hash.clone_from(&link.hash);
        self.head.tree.push(&link.hash);
        true
    }

    /// Says of those that do not fit where they fit.
    fn place(&mut self, tenant: &str) {
        let (near, far) = self.misfits.split_at(self.misfits.len().min(MOVED));
        let hashes: Vec<&[u8]> = near.iter().flat_map(|(link, before)| [&*link.hash, &**before]).collect();
        let stood = |link: &Link, number| hashes.iter().any(|before| link.fits(tenant, before, number));
        let mut found = Vec::new();
        for (link, _) in near {
            let places = near.iter().map(|(other, _)| other.number);
            match places.filter(|number| *number != link.number).find(|number| stood(link, *number)) {
                Some(was) => found.push(Finding::Moved(link.number, was)),
                // It is as it was, behind one that is not.
                None if stood(link, link.number) => {}
                None => found.push(Finding::Changed(link.number)),
            }
        }
        found.extend(far.iter().map(|(link, _)| Finding::Changed(link.number)));
        if found.is_empty()
            && let Some((link, _)) = near.first()
        {
            found.push(Finding::Changed(link.number));
        }
        self.findings.extend(found);
    }
}

/// The checkpoints of a chain, while one goes along it.
struct Against<'a> {
    kept: BTreeMap<u64, Vec<&'a Checkpoint>>,
    findings: Vec<Finding>,
    /// Up to where the last one that was right reached.
    right: u64,
}

impl<'a> Against<'a> {
    fn new(checkpoints: impl Iterator<Item = &'a Checkpoint>, key: &PublicKey) -> Self {
        let (mut kept, mut findings) = (BTreeMap::<u64, Vec<_>>::new(), Vec::new());
        for checkpoint in checkpoints {
            if checkpoint.is_by(key) {
                kept.entry(checkpoint.size).or_default().push(checkpoint);
            } else {
                findings.push(Finding::Unsigned("checkpoint"));
            }
        }
        Self { kept, findings, right: 0 }
    }

    /// Compares what stands for the records so far.
    fn at(&mut self, tree: &Tree, whole: bool) {
        let Some(checkpoints) = self.kept.remove(&tree.size()) else { return };
        for checkpoint in checkpoints {
            if whole && checkpoint.root == tree.root() {
                self.right = tree.size();
            } else {
                self.findings.push(Finding::Rewritten(self.right + 1, tree.size()));
            }
        }
    }

    /// Those that stand for more than there is. What stands for less than was pruned cannot be compared any more, and where
    /// the very number is missing, that was found already.
    fn finish(mut self, records: u64) -> Vec<Finding> {
        let behind = self.kept.range(records + 1..).map(|(size, _)| Finding::Short(*size, records));
        self.findings.extend(behind);
        self.findings
    }
}
