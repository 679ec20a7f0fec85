//! What scripts answer: a word, and what belongs to it.

use redis::Value;

use crate::storage::{
    StorageError,
    events::{LogEpoch, LogError, Position},
};

/// An answer of a script.
#[derive(Debug)]
pub(super) struct Reply {
    texts: Vec<Vec<u8>>,
    /// Of the call.
    pub(super) number: u64,
}

impl Reply {
    pub(super) fn new(value: Value) -> Self {
        Self { texts: texts(value), number: 0 }
    }

    /// What became of it.
    pub(super) fn word(&self) -> &str {
        self.texts.first().and_then(|word| std::str::from_utf8(word).ok()).unwrap_or_default()
    }

    /// The text at a place.
    pub(super) fn text(&self, place: usize) -> Result<&str, LogError> {
        let text = self.texts.get(place).and_then(|text| std::str::from_utf8(text).ok());
        text.ok_or_else(|| self.strange())
    }

    /// The number at a place.
    pub(super) fn number(&self, place: usize) -> Result<u64, LogError> {
        self.text(place)?.parse().map_err(|_| self.strange())
    }

    /// The end of the topic, as scripts give it behind their word.
    pub(super) fn tail(&self) -> Result<Position, LogError> {
        Ok(Position { epoch: LogEpoch(self.number(1)?), offset: self.number(2)? })
    }

    /// Whether the topic is closed, behind its end.
    pub(super) fn closed(&self) -> Result<bool, LogError> {
        Ok(self.text(3)? == "1")
    }

    /// What comes behind so many parts.
    pub(super) fn rest(&self, from: usize) -> &[Vec<u8>] {
        self.texts.get(from..).unwrap_or_default()
    }

    /// The error that it is an answer that nobody knows.
    pub(super) fn strange(&self) -> LogError {
        corrupt("a topic", format!("an unknown answer, {:?}", self.word()))
    }
}

/// What is stored cannot be understood.
pub(super) fn corrupt(what: &'static str, why: impl Into<String>) -> LogError {
    StorageError::Corrupt { what, source: why.into().into() }.into()
}

/// The texts of an answer, one behind the other.
pub(super) fn texts(value: Value) -> Vec<Vec<u8>> {
    match value {
        Value::Array(values) => values.into_iter().flat_map(texts).collect(),
        Value::Map(pairs) => {
            pairs.into_iter().flat_map(|(key, value)| [key, value]).flat_map(texts).collect()
        }
        Value::BulkString(bytes) => vec![bytes],
        Value::SimpleString(text) => vec![text.into_bytes()],
        Value::Int(number) => vec![number.to_string().into_bytes()],
        _ => Vec::new(),
    }
}
