//! Clients, and waiting for what must come.

use std::{collections::BTreeMap, path::Path, time::Duration};

use sdk_core::{
    client::{Closed, Document},
    native::{NativeClient, OpenError, Tokens},
    protocol::Strategy,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

/// Longer than anything takes that does come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client with a store in a folder: of `cards`, field by field, and `notes`, where the last write wins.
///
/// # Errors
/// As [`NativeClient::open`].
pub async fn open(server: &str, folder: &Path, tokens: Tokens) -> Result<NativeClient, OpenError> {
    let collections = [("cards", Strategy::FieldLevel), ("notes", Strategy::LastWriteWins)];
    NativeClient::open(server, folder, &collections, tokens).await
}

/// A client with a new store, whose folder goes with the second value.
pub async fn client(server: &str, tokens: Tokens) -> (NativeClient, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    (open(server, folder.path(), tokens).await.expect("the client starts"), folder)
}

/// Waits until something is so.
///
/// # Panics
/// If it is not so in time.
pub async fn eventually(claim: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "in vain: {claim}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Waits for something that must come.
///
/// # Panics
/// If it does not come in time.
pub async fn waits<T>(claim: &str, coming: impl Future<Output = T>) -> T {
    timeout(PATIENCE, coming).await.unwrap_or_else(|_| panic!("in vain: {claim}"))
}

/// Waits until a document has certain fields on this client, and nothing of it is pending.
///
/// # Panics
/// If that does not happen in time.
pub async fn values(client: &NativeClient, collection: &str, id: &str, expected: Value) {
    let mut watch = client.collection(collection).expect("a good name").watch();
    let mut last = None;
    let seen = async {
        loop {
            let documents: Result<Vec<Document<BTreeMap<String, Value>>>, Closed> = watch.next().await;
            let documents = documents.expect("the client is open");
            last = documents.into_iter().find(|document| document.id.as_str() == id);
            if let Some(document) = &last
                && !document.pending
                && Value::from_iter(document.value.clone()) == expected
            {
                return;
            }
        }
    };
    if timeout(PATIENCE, seen).await.is_err() {
        panic!("{collection}/{id} should be {expected}, but is {last:?}");
    }
}
