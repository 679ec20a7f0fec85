//! `revoke`: takes tokens back at a running server, which has whatever is open by them end; or in the data folder of one that is
//! stopped, which counts when it starts.

use std::{error::Error, fs, path::PathBuf, time::Duration};

use clap::{ArgGroup, Args};
use server_reference::{
    auth::{Asked, Revocation, is_name},
    clock::wall,
    config::StartError,
    data::DataFolder,
    storage::sqlite::audit::Office,
};

use crate::open;

/// How long the server may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Args)]
#[command(group = ArgGroup::new("whose").required(true).args(["subject", "session", "token"]))]
pub(crate) struct Revoking {
    /// The URL of the server.
    #[arg(long, default_value = "http://127.0.0.1:8787", env = "WEBWAKA_SERVER")]
    server: String,
    /// A file with the token of an administrator. It is not taken from the command line, where others could see it.
    #[arg(long, env = "WEBWAKA_ADMIN_TOKEN_FILE")]
    admin_token: Option<PathBuf>,
    #[command(flatten)]
    stopped: Option<Stopped>,
    /// All tokens that were issued to a subject until now.
    #[arg(long)]
    subject: Option<String>,
    /// The tokens with this `sid`, for good.
    #[arg(long)]
    session: Option<String>,
    /// The token with this `jti`.
    #[arg(long)]
    token: Option<String>,
    /// Of a subject, those that were issued before this Unix time in milliseconds.
    #[arg(long, requires = "subject")]
    before: Option<u64>,
    /// Under this access grant, in the tenant that it is for.
    #[arg(long, conflicts_with = "data")]
    grant: Option<String>,
}

/// Where no server runs that could be asked, and nobody's token says who asks.
#[derive(Args)]
struct Stopped {
    /// The data folder of a server that is stopped, to take tokens back there; that counts when it starts.
    // Not from the environment: that a server keeps its data somewhere does not say that it is stopped.
    #[arg(long, required = false, requires_all = ["tenant", "by", "justification"])]
    data: PathBuf,
    /// Whose tokens they are, in that folder.
    #[arg(long, required = false, requires = "data")]
    tenant: String,
    /// Who takes them back, in that folder: on record.
    #[arg(long, required = false, requires = "data")]
    by: String,
    /// Why, in that folder: on record.
    #[arg(long, required = false, requires = "data")]
    justification: String,
    /// Who else has approved of it, in that folder: on record.
    #[arg(long, requires = "data", default_value = "")]
    approver: String,
}

pub(crate) fn run(revoking: Revoking) -> Result<(), Box<dyn Error>> {
    let Revoking { server, admin_token, stopped, subject, session, token, before, grant } = revoking;
    let asked = Asked { subject, session, token, before };
    let kept = match stopped {
        Some(stopped) => in_folder(&stopped, asked)?,
        None => {
            let file = admin_token.ok_or(
                "a running server is asked with --admin-token, and the data folder of a stopped one is named with --data",
            )?;
            let admin = fs::read_to_string(&file)
                .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
            at_server(&server, admin.trim(), grant.as_deref(), &asked)?
        }
    };
    println!("{kept}");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn at_server(
    server: &str,
    admin: &str,
    grant: Option<&str>,
    asked: &Asked,
) -> Result<String, Box<dyn Error>> {
    let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
    let url = format!("{}/v1/admin/revocations", server.trim_end_matches('/'));
    let mut request = client.post(url).bearer_auth(admin).body(serde_json::to_string(asked)?);
    if let Some(grant) = grant {
        request = request.header("access-grant", grant);
    }
    let answer = request.send().await?;
    let (status, text) = (answer.status(), answer.text().await?);
    if !status.is_success() {
        return Err(format!("nothing was taken back: {status} {text}").into());
    }
    Ok(text)
}

fn in_folder(stopped: &Stopped, asked: Asked) -> Result<String, Box<dyn Error>> {
    let Stopped { data, tenant, by, justification, approver } = stopped;
    if !is_name(tenant) || !is_name(by) || justification.trim().is_empty() {
        return Err("tenant and by have 1 to 128 bytes of plain text, and there is a justification".into());
    }
    let now = wall();
    let revocation = Revocation::asked(asked, now)?;
    // A folder that is not one would be made one, and nobody's tokens be taken back.
    let [(_, documents), ..] = DataFolder::audited(data);
    if !documents.exists() {
        return Err(format!("nothing was taken back: {} has no data of a server", data.display()).into());
    }
    let (_folder, mut documents) = open(data).map_err(|error| match error {
        StartError::DataInUse { .. } => {
            "nothing was taken back: a server runs with this data. Ask it, with --server and --admin-token"
                .into()
        }
        other => Box::<dyn Error>::from(other),
    })?;
    let office = Office { subject: by, justification, approver };
    Ok(documents.revoke_as(&office, tenant, &revocation, now)?.shown().to_string())
}
