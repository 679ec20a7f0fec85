//! An operator, who decides about what the server refused of clients' events.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{Method, Request, header},
};
use http_body_util::BodyExt;
use serde::Deserialize;
use tower::ServiceExt;

use crate::{
    ledger::number_of,
    server::{Running, Server},
    sim::Sim,
};

#[derive(Deserialize)]
struct List {
    letters: Vec<Letter>,
}

#[derive(Deserialize)]
struct Letter {
    id: String,
    event: Option<serde_json::Value>,
}

/// Looks at what there is, and decides about one letter.
pub(crate) async fn act(sim: Arc<Sim>, server: Arc<Server>) {
    let Some(Running { router, gone, .. }) = server.running() else { return };
    let token = server.operator_token();
    let ask = |method: Method, path: String, body: String| {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        let request = request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body));
        let answer = router.clone().oneshot(request.expect("it is a request"));
        let gone = gone.clone();
        async move {
            let answer = tokio::select! {
                biased;
                () = gone.wait() => return None,
                answer = answer => answer.expect("it cannot fail"),
            };
            let good = answer.status().is_success();
            let body = answer.into_body().collect().await.ok()?.to_bytes();
            good.then_some(body)
        }
    };
    let Some(list) = ask(Method::GET, "/v1/dead?limit=50".to_owned(), String::new()).await else { return };
    let List { letters } = serde_json::from_slice(&list).expect("it is a list");
    if letters.is_empty() {
        return;
    }
    let letter = &letters[sim.random(|random| random.usize(0..letters.len()))];
    let Some(shown) = ask(Method::GET, format!("/v1/dead/{}", letter.id), String::new()).await else {
        return;
    };
    let Letter { event, .. } = serde_json::from_slice(&shown).expect("it is a letter");
    let number = event.and_then(|event| number_of(&event.to_string()));
    let Some(number) = number else { return };
    sim.wait(2_000).await;
    let what = if sim.chance(800) { "retry" } else { "discard" };
    if what == "retry" {
        // It has a way of its own into its topic from now on.
        sim.books().ledger.operated(number);
    }
    let named = serde_json::json!({ "letters": [letter.id] }).to_string();
    let answer = ask(Method::POST, format!("/v1/dead/{what}"), named).await;
    let answer = answer.map(|answer| String::from_utf8_lossy(&answer).into_owned());
    sim.note(format_args!("the operator: {what} {} with event {number}: {answer:?}", letter.id));
}
