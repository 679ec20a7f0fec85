//! Peers that are there to hold what others need.

use std::time::Duration;

use reqwest::StatusCode;
use server_reference::{config::ServerConfig, limits::Quotas};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{PATIENCE, Running};

/// Resolves when the server has ended a connection.
async fn ended(mut connection: TcpStream) {
    let mut rest = Vec::new();
    // Ended one way or the other.
    let _ = timeout(PATIENCE, connection.read_to_end(&mut rest)).await.expect("the connection stays");
}

#[tokio::test]
async fn a_head_that_comes_slowly_or_never_ends_its_connection() {
    let head_deadline = Duration::from_millis(200);
    let server = Running::start_with(|config| ServerConfig { head_deadline, ..config }).await;
    for begun in ["", "GET /healthz HTTP/1.1\r\nhost: a\r\nx-", "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"] {
        let mut connection = TcpStream::connect(server.address).await.unwrap();
        connection.write_all(begun.as_bytes()).await.unwrap();
        ended(connection).await;
    }
}

#[tokio::test]
async fn those_who_say_nothing_keep_nobody_out_who_is_known() {
    let head_deadline = Duration::from_secs(600);
    let quotas = Quotas { greetings: 1, ..Quotas::DEFAULT };
    let server = Running::start_with(|config| ServerConfig { head_deadline, quotas, ..config }).await;
    let (token, client) = (server.token("acme", "ada"), reqwest::Client::new());
    let ask = || client.post(server.http("/v1/tickets")).bearer_auth(&token).send();
    assert_eq!(ask().await.unwrap().status(), StatusCode::OK);
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    // Over the connection that it has.
    assert_eq!(ask().await.unwrap().status(), StatusCode::OK);
    // Four have a place; the others have waited for one and are gone.
    let mut last = Vec::new();
    let others = silent.split_off(4);
    for connection in others {
        ended(connection).await;
    }
    for connection in &mut silent {
        connection.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        connection.read_to_end(&mut last).await.unwrap();
        assert!(last.starts_with(b"HTTP/1.1 200"));
    }
    assert!(TcpStream::connect(server.address).await.is_ok());
    assert_eq!(reqwest::get(server.http("/healthz")).await.unwrap().status(), StatusCode::OK);
}
