//! A consumer group, as a worker sees it that speaks plain HTTP.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

/// A group of a server that may be down at any time.
#[derive(Clone)]
pub struct Group {
    http: Client,
    url: String,
    token: String,
}

/// Events that are out at a worker, as it was told of them.
#[derive(Debug, Deserialize)]
pub struct Claimed {
    /// The lease; none if there was nothing.
    pub lease: Option<String>,
    /// Until when, in Unix time.
    pub until: Option<u64>,
    /// Whether nothing was lost to the group.
    pub recovered: bool,
    /// The events.
    pub events: Vec<Delivery>,
}

/// One event.
#[derive(Debug, Deserialize)]
pub struct Delivery {
    /// The position after it.
    pub position: String,
    /// How often it was handed out, with this time.
    pub attempt: u32,
    /// The event.
    pub event: Value,
}

/// What the server says to something that a worker says under a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It is so.
    Yes,
    /// The lease is over; nothing has changed.
    Fenced,
}

impl Group {
    /// The group of a name.
    ///
    /// # Panics
    /// If there can be no HTTP client.
    pub fn of(server: &str, token: &str, name: &str) -> Self {
        let http = Client::builder().timeout(Duration::from_secs(30)).build().expect("a client can be made");
        Self { http, url: format!("{server}/v1/groups/{name}"), token: token.into() }
    }

    /// Makes it.
    ///
    /// # Panics
    /// If it cannot be made.
    pub async fn make(&self, topic: &str, rules: Value) {
        let request = self.http.put(&self.url).bearer_auth(&self.token);
        let answer = request.body(json!({ "topic": topic, "rules": rules }).to_string()).send().await;
        assert_eq!(answer.expect("the server answers").status(), StatusCode::CREATED);
    }

    /// What there is to say of it. None if no answer came.
    pub async fn state(&self) -> Option<Value> {
        let answer = self.http.get(&self.url).bearer_auth(&self.token).send().await.ok()?;
        serde_json::from_str(&answer.text().await.ok()?).ok()
    }

    /// Claims, and waits if there is nothing. None if no answer came.
    ///
    /// # Panics
    /// If the server refuses it.
    pub async fn claim(&self, worker: &str, events: usize) -> Option<Claimed> {
        let (status, text) = self.post("claim", json!({ "worker": worker, "events": events })).await?;
        assert!(status.is_success(), "{status}: {text}");
        Some(serde_json::from_str(&text).expect("a claim is answered as the protocol says"))
    }

    /// Says that events are done. None if no answer came.
    ///
    /// # Panics
    /// If the server refuses it for another reason than that the lease is over.
    pub async fn ack(&self, lease: &str, positions: &[String]) -> Option<Said> {
        self.say("ack", json!({ "lease": lease, "positions": positions })).await
    }

    /// Says that events have failed. None if no answer came.
    ///
    /// # Panics
    /// As [`Group::ack`].
    pub async fn nack(&self, lease: &str, positions: &[String]) -> Option<Said> {
        let body = json!({ "lease": lease, "positions": positions, "delay_ms": 0, "error": "not this time" });
        self.say("nack", body).await
    }

    async fn say(&self, verb: &str, body: Value) -> Option<Said> {
        let (status, text) = self.post(verb, body).await?;
        if status.is_success() {
            return Some(Said::Yes);
        }
        assert_eq!(status, StatusCode::CONFLICT, "{text}");
        assert!(text.contains("\"fenced\""), "{text}");
        Some(Said::Fenced)
    }

    async fn post(&self, verb: &str, body: Value) -> Option<(StatusCode, String)> {
        let request = self.http.post(format!("{}/{verb}", self.url)).bearer_auth(&self.token);
        let answer = request.body(body.to_string()).send().await.ok()?;
        let status = answer.status();
        let text = answer.text().await.ok()?;
        (status != StatusCode::SERVICE_UNAVAILABLE).then_some((status, text))
    }
}
