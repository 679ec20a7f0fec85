//! What clients were refused for good: the server's mirror of the dead letters that rest on their devices.
//!
//! An operation that is rejected is kept in the commit of its judgement, a publication before its client is told. There
//! is one letter for an operation however often it comes. It ends when its client does not hold it any more, when an
//! operator has applied or discarded it, or when there are too many: then the oldest go first, and are counted.

use futures::future::BoxFuture;
use sdk_core::{
    clock::Millis,
    protocol::{ClientId, DocKey, Publication, Rejection, Seq, TopicPosition},
};
use serde::Serialize;

use super::{
    StorageError,
    events::{Answer, Attempt, LetterId, TopicName, Which},
};
use crate::tenant::TenantScope;

/// Letters of one client. As many does it name when it says which it still holds.
pub use sdk_core::protocol::MAX_REJECTED as MAX_CLIENT_LETTERS;
/// Letters of the clients of one tenant.
pub const MAX_TENANT_LETTERS: u64 = 10_000;
/// Bytes of what they hold.
pub const MAX_TENANT_BYTES: u64 = 64 * 1024 * 1024;

/// Keeps what is refused of publications, which are judged elsewhere.
pub trait Refusals: Send + Sync {
    /// Keeps those that were refused and takes away the letters of those that were not; durable when it resolves.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]; nothing was kept.
    fn note(
        &self,
        scope: TenantScope,
        client: ClientId,
        notes: Vec<Note>,
        now: Millis,
    ) -> BoxFuture<'_, Result<(), StorageError>>;
}

/// What became of a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// It was refused for good.
    Refused(Publication, Rejection),
    /// It is in its topic.
    Published(Seq),
}

/// The dead letters of clients, for those who administer the documents or topics that they are for. Each call is recorded,
/// durably, with what it does or before it shows anything.
pub trait ClientLetters: Refusals + 'static {
    /// Letters of the tenant, after one of them, in the order in which they first died; those that the scope administers.
    fn client_letters(&self, scope: TenantScope, which: Which, now: Millis) -> Answer<'_, ClientDead>;

    /// Changes letters. A repetition has no second effect.
    fn change_client_letters(
        &self,
        scope: TenantScope,
        change: ClientChange,
        now: Millis,
    ) -> Answer<'_, Vec<(LetterId, ClientFate)>>;
}

/// Some letters, and how many there were once.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientDead {
    /// They.
    pub letters: Vec<ClientLetter>,
    /// How many of the tenant's were ever let go because there were too many.
    pub dropped: u64,
}

/// Something that a client was refused for good.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientLetter {
    /// Its name.
    pub id: LetterId,
    /// Which installation made it.
    pub client: ClientId,
    /// Its place among all that the client ever made.
    pub seq: Seq,
    /// Whose token the client had.
    pub subject: String,
    /// Where it was to go.
    pub place: Place,
    /// The operation or the event as it came, or as it was edited; empty in a list.
    pub body: String,
    /// Whether somebody has edited it.
    pub edited: bool,
    /// When it was refused last.
    pub since: Millis,
    /// What was tried, and why it was refused.
    pub attempts: Vec<Attempt>,
}

/// Where something was to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// An operation, into a document.
    Document(DocKey),
    /// An event, into a topic.
    Topic(TopicName),
}

/// What is to become of letters of clients.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientChange {
    /// Another operation on the same document, or another event, in place of the one that was refused.
    Edit(LetterId, String),
    /// Once more. An operation is made anew upon the document as it is, in the name of the tenant's operators, and judged
    /// in the same commit. An event is given back to be published, and is settled then.
    Retry(LetterId),
    /// What the log says of an event that was given back.
    Settle(LetterId, Result<TopicPosition, Rejection>),
    /// Not at all.
    Discard(Vec<LetterId>),
}

/// What became of a letter of a client.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientFate {
    /// It is done: the client hears of it when it comes back.
    Applied,
    /// It was refused once more, and has another id now.
    Refused,
    /// It is discarded.
    Discarded,
    /// It is another now.
    Edited,
    /// There is no such letter any more: it was applied, discarded, settled by its client, or refused under another id.
    Gone,
    /// This event is to be published in this topic; then it is settled.
    #[serde(skip)]
    Publish(TopicName, String),
}
