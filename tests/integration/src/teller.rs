//! The server's ledger, as a program uses it that speaks plain HTTP.

use std::time::Duration;

use reqwest::{Client, RequestBuilder};
use serde_json::Value;

/// Somebody with accounts on a server that may be down at any time.
#[derive(Clone)]
pub struct Teller {
    http: Client,
    url: String,
    token: String,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// The status of the answer.
    pub status: u16,
    /// Whether it is the answer of an earlier call.
    pub replayed: bool,
    /// The answer.
    pub body: Value,
}

impl Teller {
    /// Somebody with a token.
    ///
    /// # Panics
    /// If there can be no HTTP client.
    pub fn of(server: &str, token: &str) -> Self {
        let http = Client::builder().timeout(Duration::from_secs(30)).build().expect("a client can be made");
        Self { http, url: format!("{server}/v1/transactions"), token: token.into() }
    }

    /// Has something done under a key. None if no answer came.
    pub async fn call(&self, name: &str, key: &str, body: &Value) -> Option<Said> {
        let request = self.http.post(format!("{}/{name}", self.url)).body(body.to_string());
        self.said(request.header("idempotency-key", format!("\"{key}\""))).await
    }

    /// Asks a question. None if no answer came.
    pub async fn ask(&self, name: &str, query: &str) -> Option<Value> {
        self.said(self.http.get(format!("{}/{name}?{query}", self.url))).await.map(|said| said.body)
    }

    async fn said(&self, request: RequestBuilder) -> Option<Said> {
        let answer = request.bearer_auth(&self.token).send().await.ok()?;
        let (status, replayed) =
            (answer.status().as_u16(), answer.headers().contains_key("idempotent-replayed"));
        let body = serde_json::from_str(&answer.text().await.ok()?).expect("the server speaks JSON");
        Some(Said { status, replayed, body })
    }
}
