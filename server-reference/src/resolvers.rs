//! Functions of the application that decide conflicts on the server, by collection.

use std::{
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use sdk_core::{
    protocol::CollectionName,
    reconcile::{Conflict, Resolution, Resolver},
};

/// A resolver that takes longer is reported: every commit waits for it.
const SLOW: Duration = Duration::from_millis(20);

/// The resolvers of a server. A collection without one leaves its conflicts to the clients.
#[derive(Clone, Default)]
pub struct Resolvers(BTreeMap<CollectionName, Arc<dyn Resolver + Send + Sync>>);

impl Resolvers {
    /// With a resolver for a collection of every tenant. It is asked only where the collection's strategy has
    /// conflicts, within the transaction that applies its resolution.
    pub fn with(
        mut self,
        collection: CollectionName,
        resolver: impl Resolver + Send + Sync + 'static,
    ) -> Self {
        self.0.insert(collection, Arc::new(resolver));
        self
    }

    /// Asks the resolver of the conflict's collection. One that panics has decided nothing.
    pub fn resolve(&self, conflict: &Conflict) -> Resolution {
        let Some(resolver) = self.0.get(&conflict.doc.collection) else { return Resolution::Defer };
        let started = Instant::now();
        let resolution = catch_unwind(AssertUnwindSafe(|| resolver.resolve(conflict))).unwrap_or_else(|_| {
            tracing::error!(doc = %conflict.doc, "a resolver panicked; the conflict is left to the client");
            Resolution::Defer
        });
        let took = started.elapsed();
        if took > SLOW {
            tracing::warn!(doc = %conflict.doc, ?took, "a resolver is slow, and every commit waits for it");
        }
        resolution
    }
}

impl fmt::Debug for Resolvers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
