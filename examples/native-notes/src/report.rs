//! Telling the user what is saved where.

use std::time::Duration;

use anyhow::bail;
use sdk_core::{client::Operation, native::NativeClient, protocol::Outcome, routing::LinkState};
use tokio::time::timeout;

/// How long a command waits for the server. Nothing depends on it: what the server does not have by then is sent
/// by the next command.
const PATIENCE: Duration = Duration::from_secs(2);

/// Says what became of an edit. It is saved on this device before this is called.
pub(crate) async fn follow(client: &NativeClient, operation: &Operation) -> anyhow::Result<()> {
    println!("saved on this device");
    // Also waits for what earlier commands could not send, since an edit follows those before it.
    match timeout(PATIENCE, operation.outcome()).await {
        Ok(outcome) => match outcome? {
            Outcome::Accepted {} => println!("saved on the server"),
            Outcome::Merged { lost } => {
                let lost: Vec<_> = lost.iter().map(|field| field.as_str()).collect();
                println!("saved on the server, but for {}: changed elsewhere since", lost.join(", "));
            }
            Outcome::Superseded {} => println!("the server has kept what somebody else did later"),
            Outcome::Rejected(reason) => bail!("the server will never take it: {}", reason.message),
            // A newer server may judge in words that this program does not know.
            _ => println!("settled by the server"),
        },
        Err(_too_late) => print_status(client),
    }
    Ok(())
}

/// Waits a moment for the server to be found, to take what earlier commands left, and to give what others have done. A
/// command goes on without it just as well.
pub(crate) async fn wait_for_server(client: &NativeClient) {
    let settled = async {
        loop {
            let status = client.status();
            if (status.caught_up && status.pending == 0) || client.status_changed().await.is_err() {
                return;
            }
        }
    };
    // Too late is fine: the status says so.
    let _ = timeout(PATIENCE, settled).await;
}

pub(crate) fn print_status(client: &NativeClient) {
    let status = client.status();
    match status.link {
        LinkState::Up => println!("server: connected"),
        LinkState::Degraded => println!("server: connected, but slowly (plain HTTP)"),
        LinkState::Down => println!("server: not reached; this is what this device has"),
    }
    match status.pending {
        0 => println!("edits: all on the server"),
        count => println!("edits: {count} saved on this device, waiting for the server"),
    }
    if let Some(problem) = status.problem {
        println!("problem: {}", problem.message);
    }
    for rejected in client.rejected() {
        println!("refused by the server: an edit of {}: {}", rejected.doc, rejected.reason.message);
    }
}
