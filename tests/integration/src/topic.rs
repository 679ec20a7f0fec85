//! A topic, as a program sees it that speaks plain HTTP.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;

/// A topic of a server that may be down at any time.
#[derive(Clone)]
pub struct Topic {
    http: Client,
    url: String,
    token: String,
}

/// Events that follow a position.
pub struct Page {
    /// The events: what is text as it is, all else as JSON.
    pub events: Vec<String>,
    /// The position after them.
    pub position: String,
    /// Whether there were no more.
    pub up_to_date: bool,
}

impl Topic {
    /// The topic of a name.
    ///
    /// # Panics
    /// If there can be no HTTP client.
    pub fn of(server: &str, token: &str, name: &str) -> Self {
        let http = Client::builder().timeout(Duration::from_secs(30)).build().expect("a client can be made");
        Self { http, url: format!("{server}/v1/streams/{name}"), token: token.into() }
    }

    /// Makes it.
    ///
    /// # Panics
    /// If it cannot be made.
    pub async fn make(&self) {
        let answer = self.request(Method::PUT, "").send().await.expect("the server answers");
        assert_eq!(answer.status(), StatusCode::CREATED);
    }

    /// Makes it so that it keeps no more than its newest events.
    ///
    /// # Panics
    /// If it cannot be made.
    pub async fn make_keeping(&self, events: u64) {
        let request = self.request(Method::PUT, "").header("stream-retention", format!("events={events}"));
        let answer = request.send().await.expect("the server answers");
        assert_eq!(answer.status(), StatusCode::CREATED);
    }

    /// Makes it begin with all there is in another one.
    ///
    /// # Panics
    /// If it cannot be made.
    pub async fn make_fork(&self, of: &str) {
        let from = format!("/v1/streams/{of}");
        let answer = self.request(Method::PUT, "").header("stream-forked-from", from).send().await;
        assert_eq!(answer.expect("the server answers").status(), StatusCode::CREATED);
    }

    /// Says that nothing will come any more.
    ///
    /// # Panics
    /// If the server does not take it.
    pub async fn end(&self) {
        let request = self.request(Method::POST, "").header("stream-closed", "true");
        let answer = request.send().await.expect("the server answers");
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    /// Publishes one batch of a producer. False if no answer came.
    ///
    /// # Panics
    /// If the server refuses it.
    pub async fn publish(&self, producer: &str, sequence: u64, body: &str) -> bool {
        let request = self
            .request(Method::POST, "")
            .header("producer-id", producer)
            .header("producer-epoch", 0)
            .header("producer-seq", sequence)
            .body(body.to_owned());
        let Ok(answer) = request.send().await else { return false };
        let status = answer.status();
        assert!(status.is_success() || status == StatusCode::SERVICE_UNAVAILABLE, "{status}");
        status.is_success()
    }

    /// Reads what follows a position, and waits for it if asked. None if no answer came.
    ///
    /// # Panics
    /// If the server refuses it.
    pub async fn read(&self, position: &str, wait: bool) -> Option<Page> {
        let query = format!("?offset={position}{}", if wait { "&live=long-poll" } else { "" });
        let answer = self.request(Method::GET, &query).send().await.ok()?;
        let status = answer.status();
        assert!(status.is_success() || status == StatusCode::SERVICE_UNAVAILABLE, "{status}");
        if !status.is_success() {
            return None;
        }
        let up_to_date = answer.headers().contains_key("stream-up-to-date");
        let position = answer.headers()["stream-next-offset"].to_str().expect("it is text").to_owned();
        let text = answer.text().await.ok()?;
        let events: Vec<Value> =
            if text.is_empty() { Vec::new() } else { serde_json::from_str(&text).ok()? };
        let shown = |event: Value| match event {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let events = events.into_iter().map(shown).collect();
        Some(Page { events, position, up_to_date })
    }

    fn request(&self, method: Method, query: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{query}", self.url));
        request.bearer_auth(&self.token).header("content-type", "application/json")
    }
}
