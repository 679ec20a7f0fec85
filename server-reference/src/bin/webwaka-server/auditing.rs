//! The commands about the audit. All run beside a server as well.

use std::{
    error::Error,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde_json::json;
use server_reference::{
    clock::wall,
    config::{AUDIT_DAYS, days},
    data::DataFolder,
    storage::{
        StorageError,
        sqlite::audit::{Audit, Checkpoint, Kept, Office, Pruned, PublicKey, prune_all},
    },
    upkeep::before,
};

#[derive(Args)]
pub(crate) struct Auditing {
    #[command(subcommand)]
    what: What,
    /// The data folder.
    #[arg(long, global = true, default_value = "data", env = "WEBWAKA_DATA")]
    data: PathBuf,
    /// What `audit checkpoint --verifier` printed, for those who have a copy of the data and not the server's key.
    #[arg(long, global = true)]
    key: Option<PathBuf>,
}

/// The chains to look at.
struct Chains<'a> {
    data: &'a Path,
    key: Option<PublicKey>,
}

impl Chains<'_> {
    fn open(&self) -> Result<Vec<(&'static str, Audit)>, StorageError> {
        let open = |(name, path): (&'static str, PathBuf)| {
            let audit = match self.key {
                Some(key) => Audit::with_key(&path, name, key),
                None => Audit::open(&path, name),
            };
            Ok((name, audit?))
        };
        DataFolder::audited(self.data).into_iter().map(open).collect()
    }
}

#[derive(Subcommand)]
enum What {
    /// Print the records, one of JSON a line.
    List {
        /// Of this tenant alone.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Name what was changed, moved, taken out or cut off; fails if anything was.
    Verify {
        /// A file of checkpoints that were kept elsewhere: the records up to them have to be what they were.
        #[arg(long)]
        checkpoint: Vec<PathBuf>,
    },
    /// Print the signed head of each chain, to be kept elsewhere (c2sp.org/tlog-checkpoint; an empty line between two).
    Checkpoint {
        /// Of this tenant alone.
        #[arg(long)]
        tenant: Option<String>,
        /// Of this database alone: documents, topics or transactions.
        #[arg(long)]
        chain: Option<String>,
        /// Print what others verify them with (c2sp.org/signed-note), instead.
        #[arg(long)]
        verifier: bool,
    },
    /// Erase from a tenant's records who a person was. The chains stay whole.
    Erase {
        /// The tenant.
        #[arg(long)]
        tenant: String,
        /// Whom.
        #[arg(long)]
        subject: String,
        #[command(flatten)]
        by: By,
    },
    /// Remove records that are older than they have to be kept, and print a checkpoint of what is gone.
    Prune {
        /// How many days a record is kept.
        #[arg(long, default_value_t = AUDIT_DAYS, env = "WEBWAKA_AUDIT_DAYS")]
        days: u32,
        #[command(flatten)]
        by: By,
    },
}

/// Who does it: on record.
#[derive(Args)]
struct By {
    /// Who does it.
    #[arg(long)]
    by: String,
    /// Why.
    #[arg(long)]
    justification: String,
    /// Who else has approved of it.
    #[arg(long, default_value = "")]
    approver: String,
}

impl By {
    fn office(&self) -> Office<'_> {
        Office { subject: &self.by, justification: &self.justification, approver: &self.approver }
    }
}

pub(crate) fn run(Auditing { what, data, key }: Auditing) -> Result<(), Box<dyn Error>> {
    let key = match key {
        None => None,
        Some(file) => {
            let read = PublicKey::parse_all(&fs::read_to_string(&file)?);
            Some(read.ok_or_else(|| format!("{} has something else than one key", file.display()))?)
        }
    };
    let chains = Chains { data: &data, key };
    match what {
        What::List { tenant } => list(&chains, tenant.as_deref()),
        What::Verify { checkpoint } => verify(&chains, &checkpoint),
        What::Checkpoint { tenant, chain, verifier } => {
            let wanted = |name: &str, whose: &str| {
                chain.as_deref().is_none_or(|one| one == name)
                    && tenant.as_deref().is_none_or(|one| one == whose)
            };
            checkpoints(&chains, wanted, verifier)
        }
        What::Erase { tenant, subject, by } => {
            for (name, path) in DataFolder::audited(&data) {
                let count = Kept::open(&path, name)?.erase(&tenant, &subject, &by.office(), wall())?;
                eprintln!("{name}: {count} parts of records were erased");
            }
            Ok(())
        }
        What::Prune { days: kept, by } => prune(&data, kept, &by),
    }
}

fn list(chains: &Chains<'_>, tenant: Option<&str>) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    for (name, audit) in chains.open()? {
        for whose in audit.tenants()?.iter().filter(|whose| tenant.is_none_or(|tenant| tenant == *whose)) {
            let mut written = Ok(());
            audit.verify(whose, &[], |record| {
                if written.is_ok() {
                    written = writeln!(out, "{}", json!({ "chain": name, "record": record }));
                }
            })?;
            written?;
        }
    }
    Ok(())
}

fn verify(chains: &Chains<'_>, files: &[PathBuf]) -> Result<(), Box<dyn Error>> {
    let mut kept = Vec::new();
    for file in files {
        let read = Checkpoint::parse_all(&fs::read_to_string(file)?);
        kept.extend(read.ok_or_else(|| format!("{} has something else than checkpoints", file.display()))?);
    }
    let (mut whole, mut known) = (true, vec![false; kept.len()]);
    let mut out = std::io::stdout().lock();
    for (name, audit) in chains.open()? {
        for tenant in audit.tenants()? {
            let verified = audit.verify(&tenant, &kept, |_| {})?;
            for (known, checkpoint) in known.iter_mut().zip(&kept) {
                *known |= audit.is_of(checkpoint, &tenant);
            }
            let state = if verified.findings.is_empty() { "intact" } else { "not what was recorded" };
            let (records, pruned) = (verified.records, verified.pruned);
            writeln!(out, "{name} of {tenant:?}: {records} records ({pruned} pruned), {state}")?;
            for finding in &verified.findings {
                writeln!(out, "  {finding}")?;
                whole = false;
            }
        }
    }
    for (_, checkpoint) in known.iter().zip(&kept).filter(|(known, _)| !**known) {
        writeln!(out, "no chain is {}: it was removed, or the server's key was", checkpoint.origin())?;
        whole = false;
    }
    if whole { Ok(()) } else { Err("the audit is not what was recorded".into()) }
}

fn checkpoints(
    chains: &Chains<'_>,
    wanted: impl Fn(&str, &str) -> bool,
    verifier: bool,
) -> Result<(), Box<dyn Error>> {
    let (mut out, mut first) = (std::io::stdout().lock(), true);
    for (name, audit) in chains.open()? {
        for tenant in audit.tenants()?.iter().filter(|tenant| wanted(name, tenant)) {
            if verifier {
                writeln!(out, "{}", audit.verifier(tenant))?;
                continue;
            }
            let altered = || format!("the chain {name} of {tenant:?} is not as it was signed: verify it");
            let checkpoint = audit.checkpoint(tenant)?.ok_or_else(altered)?;
            if !std::mem::take(&mut first) {
                writeln!(out)?;
            }
            write!(out, "{checkpoint}")?;
        }
    }
    Ok(())
}

fn prune(data: &Path, kept: u32, by: &By) -> Result<(), Box<dyn Error>> {
    let (mut out, mut first, mut altered) = (std::io::stdout().lock(), true, false);
    for Pruned { chain, tenant, outcome } in
        prune_all(data, before(wall(), days(kept)), &by.office(), wall())?
    {
        match outcome {
            Ok((count, start)) => {
                if let Some(start) = start {
                    if !std::mem::take(&mut first) {
                        writeln!(out)?;
                    }
                    write!(out, "{start}")?;
                }
                eprintln!("{chain} of {tenant:?}: {count} records were removed");
            }
            Err(finding) => {
                altered = true;
                eprintln!("the chain {chain} of {tenant:?} is kept: {finding}");
            }
        }
    }
    if altered { Err("a chain is not what was recorded".into()) } else { Ok(()) }
}
