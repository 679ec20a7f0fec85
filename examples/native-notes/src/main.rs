//! The task board of the demo, from the command line.
//!
//! ```text
//! cargo xtask demo                                  # in one terminal: the server, and the board in a browser
//! cargo run -p native-notes -- add "Buy milk"       # in another: the card appears there
//! ```
//!
//! Stop the server and add another: it is saved on this device, and is sent the next time this program runs and
//! finds the server. `board.rs` is what a program has to say about its documents; `report.rs` tells the user what
//! became of an edit. Both are short: everything else is the client's work.

mod board;
mod report;

use std::path::PathBuf;

use board::{Board, Card, Column};
use clap::{Parser, Subcommand};
use sdk_core::{
    native::{NativeClient, Tokens},
    protocol::Strategy,
};
use serde::{Deserialize, Serialize};

#[derive(Parser)]
#[command(about = "The task board of the demo, from the command line")]
struct Args {
    /// Where the server is.
    #[arg(long, default_value = "http://127.0.0.1:8787")]
    server: String,
    /// Who you are.
    #[arg(long, default_value = "ada")]
    subject: String,
    /// The folder that keeps the cards, and the edits the server does not have yet.
    #[arg(long, default_value = "native-notes-data")]
    store: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show the board.
    List,
    /// Add a card to the first column.
    Add { title: String },
    /// Change some of a card; what you do not name stays, also if somebody else changes it meanwhile.
    Edit {
        /// The first characters of the card's id.
        id: String,
        #[arg(long)]
        title: Option<String>,
        #[arg(long)]
        note: Option<String>,
        #[arg(long)]
        column: Option<Column>,
    },
    /// Move a card to the last column.
    Done { id: String },
    /// Remove a card.
    Remove { id: String },
    /// Show the board, again whenever it changes, until Ctrl-C.
    Watch,
    /// Tell what is saved where.
    Status,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Args { server, subject, store, command } = Args::parse();
    // Opening needs no network. The client asks for a token when it has found the server, and again when that
    // one has expired.
    let tokens = {
        let server = server.clone();
        Tokens::from_fn(move || fetch_token(server.clone(), subject.clone()))
    };
    let collections = [("cards", Strategy::FieldLevel)];
    let client = NativeClient::open(&server, store, &collections, tokens).await?;
    let result = run(&client, command).await;
    // What is pending stays in the store. Closing also frees the store for the next program.
    client.close().await;
    result
}

async fn run(client: &NativeClient, command: Command) -> anyhow::Result<()> {
    let cards = client.collection("cards")?;
    match command {
        Command::List => {
            report::wait_for_server(client).await;
            print!("{}", Board::new(cards.watch().next().await?));
            report::print_status(client);
        }
        Command::Add { title } => {
            let board = Board::new(cards.watch().next().await?);
            let card = Card { title, note: String::new(), column: Column::Todo, order: board.next_order() };
            let id = uuid::Uuid::new_v4().to_string();
            let operation = cards.put(&id, &card).await?;
            println!("card {}", board::short(&id));
            report::follow(client, &operation).await?;
        }
        Command::Edit { id, title, note, column } => {
            anyhow::ensure!(
                title.is_some() || note.is_some() || column.is_some(),
                "nothing to change: give --title, --note or --column"
            );
            edit(client, &id, &Patch { title, note, column }).await?;
        }
        Command::Done { id } => {
            edit(client, &id, &Patch { column: Some(Column::Done), ..Patch::default() }).await?;
        }
        Command::Remove { id } => {
            let board = Board::new(cards.watch().next().await?);
            let operation = cards.delete(board.find(&id)?).await?;
            report::follow(client, &operation).await?;
        }
        Command::Watch => {
            let mut watch = cards.watch();
            loop {
                println!("{}", Board::new(watch.next().await?));
            }
        }
        Command::Status => {
            report::wait_for_server(client).await;
            report::print_status(client);
        }
    }
    Ok(())
}

/// The fields that an edit names, and no others.
#[derive(Default, Serialize)]
struct Patch {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<Column>,
}

async fn edit(client: &NativeClient, id: &str, patch: &Patch) -> anyhow::Result<()> {
    let cards = client.collection("cards")?;
    let board = Board::new(cards.watch().next().await?);
    let operation = cards.update(board.find(id)?, patch).await?;
    report::follow(client, &operation).await
}

/// A token from a development server. A real program asks its own login service.
async fn fetch_token(server: String, subject: String) -> reqwest::Result<String> {
    #[derive(Serialize)]
    struct Request {
        subject: String,
    }
    #[derive(Deserialize)]
    struct Reply {
        token: String,
    }
    let url = format!("{}/dev/token", server.trim_end_matches('/'));
    let reply = reqwest::Client::new().post(url).json(&Request { subject }).send().await?;
    let Reply { token } = reply.error_for_status()?.json().await?;
    Ok(token)
}
