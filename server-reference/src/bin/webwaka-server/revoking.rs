//! `revoke`: takes tokens back at a running server, which has whatever is open by them end.

use std::{error::Error, fs, path::PathBuf, time::Duration};

use clap::{ArgGroup, Args};
use serde_json::json;

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
    admin_token: PathBuf,
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
    #[arg(long)]
    grant: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(revoking: Revoking) -> Result<(), Box<dyn Error>> {
    let Revoking { server, admin_token, subject, session, token, before, grant } = revoking;
    let asked = [("subject", subject), ("session", session), ("token", token)];
    let mut body: serde_json::Map<_, _> =
        asked.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))).collect();
    body.extend(before.map(|before| ("before".to_owned(), json!(before))));
    let admin = fs::read_to_string(&admin_token)
        .map_err(|error| format!("{} cannot be read: {error}", admin_token.display()))?;
    let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
    let url = format!("{}/v1/admin/revocations", server.trim_end_matches('/'));
    let mut request = client.post(url).bearer_auth(admin.trim()).body(json!(body).to_string());
    if let Some(grant) = grant {
        request = request.header("access-grant", grant);
    }
    let answer = request.send().await?;
    let (status, text) = (answer.status(), answer.text().await?);
    if !status.is_success() {
        return Err(format!("nothing was taken back: {status} {text}").into());
    }
    println!("{text}");
    Ok(())
}
