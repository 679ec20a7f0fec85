//! An application with critical transactions of its own: seats that are booked once.
//!
//! ```sh
//! cargo run -p booking
//! ```
//!
//! It runs the server with its [handlers](seats) in it, and two people who want one seat. What one of them repeats under one
//! key happens once; what the other wants has happened to the first, and is refused.

mod seats;

use std::{net::SocketAddr, path::Path};

use anyhow::Result;
use sdk_core::{
    client::{QueryAnswer, TransactionOutcome},
    native::{NativeClient, Tokens},
    routing::LinkState,
};
use serde_json::json;
use server_reference::{
    clock::wall,
    config::ServerConfig,
    dev::{DevIssuer, TENANT},
    server::Server,
    transactions::{Handlers, TransactionsConfig},
};
use tokio::sync::oneshot;

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("server");
    let handlers =
        Handlers::default().transaction("seat.book", seats::Book)?.query("seat.holder", seats::Holder)?;
    let transactions = TransactionsConfig { handlers, ..TransactionsConfig::default() };
    let config = ServerConfig::development(SocketAddr::from(([127, 0, 0, 1], 0)), data.clone())?;
    let server = Server::bind(ServerConfig { transactions, ..config }).await?;
    let url = format!("http://{}", server.address()?);
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(async move { drop(stopped.await) }));

    let ada = person(&url, &data, folder.path(), "ada").await?;
    let bob = person(&url, &data, folder.path(), "bob").await?;
    // She keeps the key before she sends it, and so may ask as often as it takes.
    for _ in 0..2 {
        tell("ada", book(&ada, "12A", "ada-books-12A").await?);
    }
    tell("bob", book(&bob, "12A", "bob-books-12A").await?);
    tell("bob", book(&bob, "12B", "bob-books-12B").await?);
    for seat in ["12A", "12C", "the roof"] {
        match bob.question("seat.holder", &[("seat", seat)])?.ask().await? {
            QueryAnswer::Done(holder) => println!("bob: {seat} is of {}", holder.as_str()),
            QueryAnswer::Refused { code, message } => println!("bob: {code}: {message}"),
        }
    }

    ada.close().await;
    bob.close().await;
    // Gone only if the server has ended by itself.
    let _ = stop.send(());
    Ok(serving.await??)
}

/// A client of somebody, once it is connected.
async fn person(url: &str, data: &Path, folder: &Path, name: &str) -> Result<NativeClient> {
    let token = DevIssuer::load_or_create(data)?.mint(TENANT, name, 600, wall())?;
    let client = NativeClient::open(url, folder.join(name), &[], Tokens::fixed(token)).await?;
    while client.status().link == LinkState::Down {
        client.status_changed().await?;
    }
    Ok(client)
}

async fn book(client: &NativeClient, seat: &str, key: &str) -> Result<TransactionOutcome> {
    let booking = client.transaction("seat.book", &json!({ "seat": seat }))?;
    Ok(booking.idempotency_key(key)?.send().await?)
}

fn tell(who: &str, outcome: TransactionOutcome) {
    match outcome {
        TransactionOutcome::Done { answer, replayed: false } => println!("{who}: booked {}", answer.as_str()),
        TransactionOutcome::Done { answer, replayed: true } => {
            println!("{who}: had booked {}", answer.as_str())
        }
        TransactionOutcome::Refused { code, message, .. } => println!("{who}: {code}: {message}"),
    }
}
