//! A live query.

use std::sync::Arc;

use futures::{StreamExt, channel::mpsc};
use serde::de::DeserializeOwned;

use super::{Client, Closed, Document, Router};
use crate::{
    driver::{Driver, Platform},
    engine::{QueryId, View, storage::Query},
};

/// Follows documents until it is dropped.
pub struct Watch<P: Platform> {
    driver: Driver<P>,
    router: Arc<Router>,
    id: QueryId,
    changed: mpsc::Receiver<()>,
}

impl<P: Platform> Watch<P> {
    pub(super) fn new(client: &Client<P>, query: Query) -> Self {
        let (id, changed) = client.router.watch();
        client.driver.open(id, query);
        Self { driver: client.driver.clone(), router: Arc::clone(&client.router), id, changed }
    }

    /// Waits until the documents have changed since the last call, then returns them all. The first call returns
    /// once the store has been read. Changes in quick succession come as one. Cancel safe.
    ///
    /// # Errors
    /// [`Closed`] if the client is closed, or follows as much as it may already.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Vec<Document<T>>, Closed> {
        Ok(Document::read_all(self.next_view().await?))
    }

    pub(super) async fn next_view(&mut self) -> Result<View, Closed> {
        loop {
            self.changed.next().await.ok_or(Closed)?;
            let view = self.driver.view(self.id).ok_or(Closed)?;
            if view.loaded {
                return Ok(view);
            }
        }
    }
}

impl<P: Platform> Drop for Watch<P> {
    fn drop(&mut self) {
        self.driver.close(self.id);
        self.router.unwatch(self.id);
    }
}
