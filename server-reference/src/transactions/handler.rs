//! What an application writes to have a critical transaction: a function of a call and of the tenant's records.
//!
//! A handler is pure and synchronous. It has no network, no file and no clock but the one of its call, so that the same
//! handler runs on every store, and may be run again if a store gave its first run up.

use std::ops::RangeInclusive;

use sdk_core::{
    clock::Millis,
    protocol::{Json, TopicName},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::storage::StorageError;

/// Bytes of a record's key.
pub const MAX_KEY: usize = 256;
/// Bytes of a record, as JSON text.
pub const MAX_RECORD: usize = 64 * 1024;
/// Records that one transaction puts or deletes.
pub const MAX_WRITES: usize = 1_024;
/// Records in one range.
pub const MAX_RANGE: usize = 1_024;
/// Events that one transaction emits.
pub const MAX_EVENTS: usize = 64;
/// Bytes of an answer, as JSON text.
pub const MAX_ANSWER: usize = 64 * 1024;

/// What is asked for, and by whom.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The person or program, as the verified token names it.
    pub subject: &'a str,
    /// The body, or of a query its parameters as an object of texts.
    pub body: &'a Json,
    /// The server's Unix time.
    pub now: Millis,
}

/// One kind of transaction.
pub trait Handler: Send + Sync + 'static {
    /// Does it, or says why not. Whatever it put, deleted and emitted is there if it answers, and nothing of it if it refuses,
    /// fails or panics.
    ///
    /// # Errors
    /// [`Fault::Refused`] is a decision: it is stored, and a repetition gets the same. After any other nothing is stored.
    fn run(&self, call: Call<'_>, records: &mut dyn Records) -> Result<Json, Fault>;
}

/// One kind of question, which changes nothing and may be asked as often as one likes.
pub trait Query: Send + Sync + 'static {
    /// Answers from the records of one point in time.
    ///
    /// # Errors
    /// As of a [`Handler`]; nothing is ever stored.
    fn run(&self, call: Call<'_>, records: &dyn Reads) -> Result<Json, Fault>;
}

/// The records of one tenant: JSON values by key, in the order of the keys' bytes.
pub trait Reads {
    /// The record of a key.
    ///
    /// # Errors
    /// [`Fault::Storage`], or [`Fault::Limit`] if it can be no key.
    fn get(&self, key: &str) -> Result<Option<Json>, Fault>;

    /// The records from a key to a key, both included, the first [`MAX_RANGE`] at most.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn range(&self, keys: RangeInclusive<&str>) -> Result<Vec<(String, Json)>, Fault>;
}

/// The same, to be changed. A transaction sees what it has changed itself.
pub trait Records: Reads {
    /// Puts a record in the place of whatever had its key.
    ///
    /// # Errors
    /// [`Fault::Storage`], or [`Fault::Limit`] if it is too large or too much.
    fn put(&mut self, key: &str, record: Json) -> Result<(), Fault>;

    /// Removes a record, if it is there.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    fn delete(&mut self, key: &str) -> Result<(), Fault>;

    /// Has an event appended to a topic once the transaction is committed: once, and in the order of commits.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    fn emit(&mut self, topic: TopicName, event: Emitted) -> Result<(), Fault>;
}

/// An event of a transaction. It becomes a CloudEvent, to which the server gives id, source and time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emitted {
    /// Its type, such as `ledger.transferred`.
    pub kind: String,
    /// What it is about.
    pub subject: Option<String>,
    /// What it carries.
    pub data: Json,
}

/// Why a transaction was not done.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The handler has decided against it.
    #[error("refused: {}", .0.code)]
    Refused(Refusal),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// It wants more than there may be.
    #[error(transparent)]
    Limit(#[from] Limit),
}

/// A decision against a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// A stable code of the application's.
    pub code: String,
    /// The same in words.
    pub message: String,
}

impl Refusal {
    /// A decision under a code of the application's, and the same in words.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What a transaction may not have more of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// The tenant has as many records as it may.
    #[error("the tenant has as many records as it may")]
    Records,
    /// As many events wait to be appended to the tenant's topics as may.
    #[error("too many events of the tenant wait to be appended")]
    Waiting,
    /// The handler goes beyond what one transaction may do.
    #[error("the handler goes beyond a limit: {0}")]
    Handler(&'static str),
}

impl Call<'_> {
    /// The body as a value of the handler's. What is none is refused as `invalid_body`.
    ///
    /// # Errors
    /// [`Fault::Refused`]
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_str(self.body.as_str())
            .map_err(|bad| Refusal::new("invalid_body", bad.to_string()).into())
    }
}

impl dyn Reads + '_ {
    /// A record as a value of the handler's.
    ///
    /// # Errors
    /// As [`Reads::get`]; [`StorageError::Corrupt`] if the record is none.
    pub fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Fault> {
        let value =
            |record: Json| serde_json::from_str(record.as_str()).map_err(|bad| corrupt(Box::new(bad)));
        Ok(self.get(key)?.map(value).transpose()?)
    }
}

impl dyn Records + '_ {
    /// As [`Reads`] has it.
    ///
    /// # Errors
    /// The same.
    pub fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Fault> {
        (self as &dyn Reads).read(key)
    }

    /// Puts a value of the handler's.
    ///
    /// # Errors
    /// As [`Records::put`].
    pub fn write(&mut self, key: &str, value: &impl Serialize) -> Result<(), Fault> {
        self.put(key, json(value)?)
    }
}

/// A value of the handler's as JSON, to answer with it or to emit it.
///
/// # Errors
/// [`Fault::Limit`] if it has no JSON form, or nests too deep.
pub fn json(value: &impl Serialize) -> Result<Json, Fault> {
    let text = serde_json::to_string(value).map_err(|_| Limit::Handler("a value has no JSON form"))?;
    Ok(Json::parse(text).map_err(|_| Limit::Handler("a value is nested too deep"))?)
}

fn corrupt(source: Box<dyn std::error::Error + Send + Sync>) -> StorageError {
    StorageError::Corrupt { what: "a record", source }
}
