//! Snapshots over real sockets.

use std::{collections::BTreeMap, io::Read};

use crate::support::{Running, cards, client, set, told};
use flate2::read::GzDecoder;
use reqwest::{Client, Response};
use sdk_core::protocol::{
    ContentHash, Document, Manifest, PullReply, PullRequest, PushRequest, StreamPosition, decode, encode,
    read_chunk, read_manifest,
};
use serde_json::json;

/// Documents by id, as text.
type Copy = BTreeMap<String, String>;

async fn get(server: &Running, path: &str, token: &str) -> Response {
    with(server, path, token, &[]).await
}

/// An answer as it comes over the wire.
async fn with(server: &Running, path: &str, token: &str, headers: &[(&str, &str)]) -> Response {
    let client = Client::builder().no_gzip().build().unwrap();
    let mut request = client.get(server.http(path)).bearer_auth(token);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

async fn post(server: &Running, path: &str, tenant: &str, body: String) -> String {
    let request = Client::new().post(server.http(path)).bearer_auth(server.token(tenant, "ada")).body(body);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.text().await.unwrap()
}

/// Writes the cards `first..last`, 100 in a batch.
async fn fill(server: &Running, tenant: &str, first: u64, last: u64) {
    for start in (first..last).step_by(100) {
        let long = format!("\"{}\"", "x".repeat(300));
        let operations = (start..(start + 100).min(last)).map(|n| set(n + 1, &format!("{n:05}"), "x", &long));
        let body = PushRequest {
            client: client(1),
            collections: vec![cards(None)],
            operations: operations.collect(),
            publications: vec![],
        };
        post(server, "/v1/push", tenant, encode(&body)).await;
    }
}

async fn manifest(server: &Running, token: &str) -> Manifest {
    let response = get(server, "/v1/snapshots/cards", token).await;
    assert_eq!(response.status(), 200);
    read_manifest(&response.text().await.unwrap()).unwrap()
}

/// Fetches every chunk and checks it.
async fn fetch(server: &Running, token: &str, manifest: &Manifest) -> Copy {
    let mut copy = Copy::new();
    for chunk in &manifest.chunks {
        let response = get(server, &format!("/v1/snapshots/cards/chunks/{}", chunk.hash), token).await;
        let text = response.text().await.unwrap();
        assert_eq!(ContentHash::of(&text), chunk.hash);
        read_chunk(&text, &sdk_core::wire::Reader::skip, &mut |id, doc| {
            copy.insert(id.into_owned(), doc.to_owned());
            Ok(())
        })
        .unwrap();
    }
    copy
}

/// Pulls what came after a position, page by page, into a copy.
async fn pull(server: &Running, tenant: &str, mut after: Option<StreamPosition>, copy: &mut Copy) {
    loop {
        let request =
            PullRequest { client: client(2), collections: vec![cards(after.clone())], rejected: None };
        let reply: PullReply = decode(&post(server, "/v1/pull", tenant, encode(&request)).await).unwrap();
        let page = &reply.changes[0];
        assert!(page.recovered, "the history goes on from {after:?}");
        for changed in &page.documents {
            if changed.doc.is_alive() {
                copy.insert(changed.id.to_string(), encode(&changed.doc));
            } else {
                copy.remove(changed.id.as_str());
            }
        }
        after = Some(page.to.clone());
        if !page.more {
            return;
        }
    }
}

#[tokio::test]
async fn a_snapshot_and_its_tail_are_a_full_replay_under_concurrent_commits() {
    let server = Running::start().await;
    fill(&server, "acme", 0, 1_500).await;
    let token = server.token("acme", "ada");
    let write = fill(&server, "acme", 1_500, 2_500);
    let read = async {
        let manifest = manifest(&server, &token).await;
        (fetch(&server, &token, &manifest).await, manifest)
    };
    let ((), (mut copy, manifest)) = tokio::join!(write, read);
    assert_eq!(manifest.documents() as usize, copy.len());
    assert_eq!(
        manifest.position.offset.0 as usize,
        copy.len(),
        "each card was written once: one point in time"
    );
    assert!(manifest.chunks.len() > 3, "{} chunks", manifest.chunks.len());
    pull(&server, "acme", Some(manifest.position), &mut copy).await;
    let mut replay = Copy::new();
    pull(&server, "acme", None, &mut replay).await;
    assert_eq!(replay.len(), 2_500);
    assert!(copy == replay);
}

#[tokio::test]
async fn a_chunk_may_be_kept_by_any_cache_and_never_changes() {
    let server = Running::start().await;
    fill(&server, "acme", 0, 300).await;
    let token = server.token("acme", "ada");
    let first = manifest(&server, &token).await;
    assert_eq!(manifest(&server, &token).await, first, "one snapshot serves many readers");
    let path = format!("/v1/snapshots/cards/chunks/{}", first.chunks[0].hash);
    let response = get(&server, &path, &token).await;
    let headers = response.headers().clone();
    let tag = format!("\"{}\"", first.chunks[0].hash);
    assert_eq!(headers["cache-control"], "public, max-age=31536000, immutable");
    assert_eq!(headers["etag"], tag);
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["content-type"], "application/json");
    let known = with(&server, &path, &token, &[("if-none-match", &tag)]).await;
    assert_eq!((known.status().as_u16(), known.text().await.unwrap()), (304, String::new()));

    // Far enough beyond it that a reader would need more than a page.
    fill(&server, "acme", 300, 1_300).await;
    let second = manifest(&server, &token).await;
    assert_ne!(second.root, first.root);
    let again = get(&server, &format!("/v1/snapshots/cards?root={}", first.root), &token).await;
    assert_eq!(read_manifest(&again.text().await.unwrap()), Ok(first.clone()), "who began can finish");
    assert_eq!(second.chunks[0], first.chunks[0], "what did not change keeps its name");
}

#[tokio::test]
async fn a_chunk_travels_compressed_to_who_takes_that() {
    let server = Running::start().await;
    fill(&server, "acme", 0, 300).await;
    let token = server.token("acme", "ada");
    let chunk = &manifest(&server, &token).await.chunks[0];
    let path = format!("/v1/snapshots/cards/chunks/{}", chunk.hash);
    let gzip = ("accept-encoding", "br, gzip");
    let response = with(&server, &path, &token, &[gzip]).await;
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert!(response.headers().get_all("vary").iter().any(|name| name == "accept-encoding"));
    let tag = response.headers()["etag"].to_str().unwrap().to_owned();
    let body = response.bytes().await.unwrap();
    assert!(body.len() * 4 < chunk.bytes as usize, "{} of {} bytes", body.len(), chunk.bytes);
    let mut text = String::new();
    GzDecoder::new(&*body).read_to_string(&mut text).unwrap();
    assert_eq!((ContentHash::of(&text), text.len() as u64), (chunk.hash, chunk.bytes));

    let plain = get(&server, &path, &token).await;
    assert!(!plain.headers().contains_key("content-encoding"));
    assert_ne!(plain.headers()["etag"], tag.as_str(), "what is sent in two ways has two names");
    assert_eq!(plain.text().await.unwrap(), text);
    let known = with(&server, &path, &token, &[gzip, ("if-none-match", &tag)]).await;
    assert_eq!((known.status().as_u16(), known.text().await.unwrap()), (304, String::new()));
    let other = with(&server, &path, &token, &[("if-none-match", &tag)]).await;
    assert_eq!(other.status(), 200);
}

#[tokio::test]
async fn a_snapshot_is_only_for_those_who_may_read_all_of_its_collection() {
    let server = Running::start().await;
    fill(&server, "acme", 0, 300).await;
    fill(&server, "other", 0, 300).await;
    let (ours, theirs) = (server.token("acme", "ada"), server.token("other", "ada"));
    let (manifest, other) = (manifest(&server, &ours).await, manifest(&server, &theirs).await);
    assert_ne!(manifest.chunks[0].hash, other.chunks[0].hash, "the same documents under another salt");
    let chunk = format!("/v1/snapshots/cards/chunks/{}", manifest.chunks[0].hash);
    let root = format!("/v1/snapshots/cards?root={}", manifest.root);
    let narrow = server.granted("acme", "ben", json!([{ "collection": "cards", "prefix": "0000" }]));
    let none = server.granted("acme", "ben", json!([]));
    let missing = format!("/v1/snapshots/cards/chunks/{}", ContentHash::of("nothing"));
    let mut answers = Vec::new();
    for (path, token) in [
        (&*chunk, &theirs),
        (&root, &theirs),
        (&chunk, &narrow),
        ("/v1/snapshots/cards", &narrow),
        ("/v1/snapshots/cards", &none),
        (&missing, &ours),
        ("/v1/snapshots/unknown", &ours),
        ("/v1/snapshots/Not%20A%20Name", &ours),
        ("/v1/snapshots/cards/chunks/xyz", &ours),
    ] {
        let response = get(&server, path, token).await;
        answers.push(told(response).await);
    }
    assert_eq!(answers[0].0, 403);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    assert_eq!(get(&server, &chunk, "nonsense").await.status(), 401);
}

#[tokio::test]
async fn deleted_documents_are_not_in_a_snapshot() {
    let server = Running::start().await;
    fill(&server, "acme", 0, 50).await;
    let mut gone = set(51, "00007", "x", "1");
    gone.intents = vec![sdk_core::protocol::Intent::Delete {}];
    gone.at.wall = sdk_core::clock::Millis(1_000);
    let body = PushRequest {
        client: client(1),
        collections: vec![cards(None)],
        operations: vec![gone],
        publications: vec![],
    };
    post(&server, "/v1/push", "acme", encode(&body)).await;
    let token = server.token("acme", "ada");
    let manifest = manifest(&server, &token).await;
    let copy = fetch(&server, &token, &manifest).await;
    assert_eq!((copy.len(), copy.contains_key("00007")), (49, false));
    let document: Document = decode(&copy["00008"]).unwrap();
    assert!(document.is_alive());
}
