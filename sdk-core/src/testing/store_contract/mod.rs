//! What a [`Store`] owes its client, as cases that run against any implementation.
//!
//! A backend's test file holds one line, which makes a test of each case:
//!
//! ```ignore
//! sdk_core::store_contract!(tokio::test, TemporaryStores::new());
//! ```
//!
//! The cases know no runtime: the first argument is the attribute of a test function that may be `async`
//! (`tokio::test`, `wasm_bindgen_test`), the second makes the [`Stores`] of one test.

mod durability;
mod outbox;
mod ranges;
mod replica;
mod segments;

pub use durability::*;
pub use outbox::*;
pub use ranges::*;
pub use replica::*;
pub use segments::*;

use std::future::Future;

use crate::{
    driver::Store,
    engine::storage::{Batch, OutboxBatch, OutboxRecord, ReplicaBatch, StoreError, StoredDocument},
    protocol::{CollectionName, DocKey, Epoch, Offset, StreamPosition},
};

/// Opens stores for one test. Each value of this type has places of its own: what another test keeps under
/// the same name is not seen.
pub trait Stores {
    /// The store under test.
    type Store: Store;

    /// Opens the store of this name, and finds in it what a durable store kept there before. An earlier one
    /// was dropped, unless the test wants to see it in the way.
    fn open(&self, name: &str) -> impl Future<Output = Result<Self::Store, StoreError>>;
}

/// Makes a test function of every case of the [contract](self).
///
/// Where there is no such attribute, `store_contract!(names)` is the array of the cases' names, and
/// `store_contract!(run name, stores)` runs one of them in a function that is `async`; it panics at a name that is
/// none.
#[macro_export]
macro_rules! store_contract {
    ($test:meta, $stores:expr) => {
        $crate::store_contract! { @each @tests $test, $stores }
    };
    (names) => {
        $crate::store_contract! { @each @names }
    };
    (run $name:expr, $stores:expr) => {
        $crate::store_contract! { @each @run $name, $stores }
    };
    (@each $($form:tt)*) => {
        $crate::store_contract! { $($form)*;
            an_empty_store_holds_nothing
            outbox_records_are_put_replaced_and_removed
            a_batch_removes_before_it_puts
            removing_what_is_not_there_is_no_error
            records_are_loaded_in_the_order_of_their_keys
            metadata_stays_until_it_is_replaced
            a_batch_with_a_bad_key_writes_nothing
            outbox_and_replica_are_independent
            documents_are_put_replaced_and_removed
            a_replica_batch_clears_then_removes_then_puts
            clearing_collections_spares_the_others
            clearing_all_empties_the_replica
            cursors_are_replaced
            a_range_is_half_open
            a_range_has_its_first_documents_up_to_the_limit
            a_range_without_ids_is_empty
            ids_are_ordered_by_the_bytes_of_their_utf8
            ids_of_any_text_are_kept_apart
            large_texts_are_kept_whole
            two_thousand_documents_in_one_batch
            a_range_reads_the_segments_that_reach_into_it
            one_document_reads_its_segment
            staged_segments_stand_beside_what_is_there
            a_flip_replaces_a_collection_in_one_batch
            clearing_takes_segments_and_notes
            a_durable_store_keeps_everything_across_a_restart
            a_store_has_one_writer
        }
    };
    (@tests $test:meta, $stores:expr; $($case:ident)*) => {
        $(#[$test] async fn $case() { $crate::testing::store_contract::$case(&$stores).await })*
    };
    (@names; $($case:ident)*) => {
        [$(stringify!($case)),*]
    };
    (@run $name:expr, $stores:expr; $($case:ident)*) => {
        match $name {
            $(stringify!($case) => $crate::testing::store_contract::$case(&$stores).await,)*
            unknown => panic!("the contract has no case {unknown}"),
        }
    };
}

async fn open<S: Stores>(stores: &S) -> S::Store {
    stores.open("main").await.expect("an empty place can be opened")
}

fn record(key: u64, text: &str) -> OutboxRecord {
    OutboxRecord { key, text: text.into() }
}

fn key(collection: &str, id: &str) -> DocKey {
    DocKey::new(collection, id).expect("the test's names are valid")
}

fn document(collection: &str, id: &str, text: &str) -> StoredDocument {
    StoredDocument { key: key(collection, id), text: text.into() }
}

fn cursor(collection: &str, offset: u64) -> (CollectionName, StreamPosition) {
    let epoch = Epoch::new("epoch").expect("the test's epoch is valid");
    (key(collection, "any").collection, StreamPosition { epoch, offset: Offset(offset) })
}

async fn write_outbox(store: &impl Store, batch: OutboxBatch) {
    store.apply(Batch::Outbox(batch)).await.expect("the outbox takes a valid batch");
}

async fn write_replica(store: &impl Store, batch: ReplicaBatch) {
    store.apply(Batch::Replica(batch)).await.expect("the replica takes a valid batch");
}
