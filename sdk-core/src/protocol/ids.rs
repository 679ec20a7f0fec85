//! A type for every identifier, each checked where it enters the program.

use std::{fmt, str::FromStr, sync::Arc};

use crate::wire::{Bad, Decode, Encode, Key, Reader, transparent, write_text};

/// Why a piece of text is not a valid identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {problem}")]
pub struct InvalidId {
    kind: &'static str,
    problem: &'static str,
}

/// Declares a cheap-to-clone name whose text was checked by `$check`.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text`; nothing is normalised, so equal names are equal bytes.
            pub fn new(text: &str) -> Result<Self, InvalidId> {
                match Self::problem(text) {
                    None => Ok(Self(text.into())),
                    Some(problem) => Err(InvalidId { kind: $kind, problem }),
                }
            }

            fn problem(text: &str) -> Option<&'static str> {
                let check: fn(&str) -> Option<&'static str> = $check;
                check(text)
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl Encode for $name {
            fn write(&self, out: &mut String) {
                write_text(&self.0, out);
            }
        }

        impl Decode for $name {
            fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
                read_id(reader)
            }
        }
    };
}

name! {
    /// A collection of documents: 1 to 64 bytes of `a-z`, `0-9`, `-`, `_` and `.`.
    CollectionName, "collection name", |text| {
        let plain = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
        if text.is_empty() || text.len() > 64 {
            Some("must have 1 to 64 bytes")
        } else if !text.bytes().all(plain) {
            Some("may hold only a-z, 0-9, '-', '_' and '.'")
        } else {
            None
        }
    }
}

name! {
    /// A document within its collection: 1 to 128 bytes of text without control characters.
    DocumentId, "document id", |text| free_text(text, 128)
}

name! {
    /// A field of a document: 1 to 128 bytes of text without control characters, and none of the
    /// names that reach a JavaScript prototype.
    FieldName, "field name", |text| {
        if matches!(text, "__proto__" | "constructor" | "prototype") {
            Some("is reserved")
        } else {
            free_text(text, 128)
        }
    }
}

name! {
    /// A topic of a tenant: 1 to 256 bytes, segments of `A-Z a-z 0-9 - _ . ~ : @` with `/` between them. No segment is
    /// empty, `.` or `..`, and the first is not `__ds`, where the Durable Streams protocol has its control interface.
    TopicName, "topic name", |text| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~:@".contains(&b);
        let segment = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(plain);
        if text.is_empty() || text.len() > 256 {
            Some("must have 1 to 256 bytes")
        } else if !text.split('/').all(segment) {
            Some("may hold only segments of letters, digits and - _ . ~ : @, with / between them")
        } else if text.split('/').next() == Some("__ds") {
            Some("is reserved")
        } else {
            None
        }
    }
}

name! {
    /// A room of a tenant, where people are present together: 1 to 128 bytes, in the form of a [`TopicName`].
    RoomName, "room name", |text| {
        if text.len() > 128 { Some("must have 1 to 128 bytes") } else { TopicName::problem(text) }
    }
}

name! {
    /// A kind of critical transaction: 1 to 64 bytes of `a-z`, `0-9`, `-`, `_` and `.`, of which the first is a letter or a
    /// digit, so that none is a step of a path.
    TransactionName, "transaction name", |text| {
        if text.starts_with(['-', '_', '.']) {
            Some("must begin with a letter or a digit")
        } else {
            CollectionName::problem(text)
        }
    }
}

name! {
    /// What a caller names one call of a transaction by, so that a repetition of it is known as one: 1 to 128 printable characters
    /// of ASCII, as random as a UUID.
    IdempotencyKey, "idempotency key", |text| {
        if text.is_empty() || text.len() > 128 {
            Some("must have 1 to 128 characters")
        } else if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            Some("may hold only printable ASCII")
        } else {
            None
        }
    }
}

name! {
    /// One unbroken history of a collection; a new one begins when the history is not continuous
    /// with what readers saw before (a restored backup, a recreated store).
    Epoch, "epoch", |text| free_text(text, 64)
}

#[cfg(feature = "client")]
impl FieldName {
    /// Whether the text is one.
    pub(crate) fn is_valid(text: &str) -> bool {
        Self::problem(text).is_none()
    }
}

impl IdempotencyKey {
    /// The key as the header `Idempotency-Key` has it: a string of structured fields (RFC 9651). For printable ASCII that is
    /// what JSON has.
    pub fn to_field(&self) -> String {
        crate::wire::encode(self)
    }
}

/// How the names of inboxes begin.
const INBOX: &str = "inbox/";

impl TopicName {
    /// The topic of what was published for one person: `inbox/` and the subject, of which every byte but letters, digits and
    /// `-`, `_`, `:`, `@`, and a `.` that is not the first, stands as `~` and two hexadecimal digits.
    ///
    /// # Errors
    /// That has more bytes than a topic's name.
    pub fn inbox(subject: &str) -> Result<Self, InvalidId> {
        let mut name = String::from(INBOX);
        for byte in subject.bytes() {
            let plain = byte.is_ascii_alphanumeric() || b"-_:@".contains(&byte);
            if plain || (byte == b'.' && name.len() > INBOX.len()) {
                name.push(char::from(byte));
            } else {
                let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
                name.extend(['~', digit(byte >> 4), digit(byte & 15)]);
            }
        }
        Self::new(&name)
    }

    /// Whose inbox has this name; none if it is no inbox's.
    pub fn inbox_owner(name: &str) -> Option<String> {
        let mut rest = name.strip_prefix(INBOX)?.bytes();
        let mut subject = Vec::new();
        while let Some(byte) = rest.next() {
            subject.push(match byte {
                b'~' => {
                    let mut digit = || char::from(rest.next()?).to_digit(16);
                    let (high, low) = (digit()?, digit()?);
                    u8::try_from(high * 16 + low).ok()?
                }
                byte => byte,
            });
        }
        let subject = String::from_utf8(subject).ok()?;
        // One person has one inbox, however else its name might be written.
        let one = Self::inbox(&subject).is_ok_and(|inbox| inbox.as_str() == name);
        one.then_some(subject)
    }
}

impl DocumentId {
    /// The first id in the order of ids.
    pub fn smallest() -> Self {
        Self(" ".into())
    }
}

impl Epoch {
    /// Stands for the history of a collection that was never read; no server hands it out.
    pub fn unread() -> Self {
        Self("unread".into())
    }
}

fn free_text(text: &str, most: usize) -> Option<&'static str> {
    if text.is_empty() || text.len() > most {
        Some("is empty or too long")
    } else if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        // Nearly all names: no character has to be made of them.
        None
    } else if text.chars().any(char::is_control) {
        Some("may not hold control characters")
    } else {
        None
    }
}

/// One installation of a client: 128 random bits, made anew whenever its outbox is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(u128);

impl ClientId {
    /// Builds an id from 16 random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// Another id, as random as this one and the bytes are together.
    #[must_use]
    pub fn mixed_with(self, bytes: [u8; 16]) -> Self {
        Self(self.0 ^ u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ClientId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = InvalidId { kind: "client id", problem: "must be 32 lowercase hexadecimal digits" };
        if text.len() != 32 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(invalid);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| invalid)
    }
}

impl Encode for ClientId {
    fn write(&self, out: &mut String) {
        write_text(&self.to_string(), out);
    }
}

impl Decode for ClientId {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        read_id(reader)
    }
}

/// The largest whole number that JavaScript holds exactly; every number on the wire stays within it.
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// The place of an operation among all that its client ever made, from 1, without reuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(pub u64);

impl Seq {
    /// The next one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A writer as vector clocks know it: small, and assigned by the server once per tenant and client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorId(pub u32);

/// An operation, anywhere and for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId {
    /// Who made it.
    pub client: ClientId,
    /// Its place among that client's operations.
    pub seq: Seq,
}

/// On the wire an operation is `["client", seq]`.
impl Encode for OpId {
    fn write(&self, out: &mut String) {
        (&self.client, &self.seq).write(out);
    }
}

impl Decode for OpId {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        let (client, seq) = Decode::read(reader)?;
        Ok(Self { client, seq })
    }
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.client, self.seq.0)
    }
}

/// A document, anywhere within a tenant; also the lane in which its operations keep their order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocKey {
    /// The collection it is in.
    pub collection: CollectionName,
    /// Its id there.
    pub id: DocumentId,
}

impl DocKey {
    /// Checks both parts.
    pub fn new(collection: &str, id: &str) -> Result<Self, InvalidId> {
        Ok(Self { collection: CollectionName::new(collection)?, id: DocumentId::new(id)? })
    }
}

impl fmt::Display for DocKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.collection, self.id)
    }
}

/// On the wire a document is `["collection", "id"]`.
impl Encode for DocKey {
    fn write(&self, out: &mut String) {
        (&self.collection, &self.id).write(out);
    }
}

impl Decode for DocKey {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        let (collection, id) = Decode::read(reader)?;
        Ok(Self { collection, id })
    }
}

impl Key for FieldName {
    fn write_key(&self, out: &mut String) {
        self.write(out);
    }

    fn read_key(text: &str) -> Result<Self, &'static str> {
        Self::new(text).map_err(|invalid| invalid.problem)
    }
}

impl Key for ActorId {
    fn write_key(&self, out: &mut String) {
        out.push('"');
        self.write(out);
        out.push('"');
    }

    fn read_key(text: &str) -> Result<Self, &'static str> {
        text.parse().map(Self).map_err(|_| "not an actor")
    }
}

transparent!(Seq, ActorId);

fn read_id<T: FromStr<Err = InvalidId>>(reader: &mut Reader<'_>) -> Result<T, Bad> {
    let text = reader.string()?;
    text.parse().map_err(|invalid: InvalidId| reader.bad(invalid.problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_reach_elsewhere_is_no_topic() {
        for good in ["orders", "orders/eu/1", "A-z_0.9~x:y@z", "a/.hidden", &"x".repeat(256)] {
            assert!(TopicName::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            ".",
            "..",
            "a/../b",
            "a/.",
            "__ds",
            "__ds/jwks.json",
            "a b",
            "a%2fb",
            "ä",
            "a\0",
            "a\n",
            "a?b",
            "a#b",
            "a\\b",
            "a*",
            &"x".repeat(256 + 1),
        ] {
            assert!(TopicName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_room_is_named_like_a_topic_and_shorter() {
        for good in ["board-7", "boards/7", &"x".repeat(128)] {
            assert!(RoomName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a//b", "..", "a\0", "__ds/x", "a*", &"x".repeat(129)] {
            assert!(RoomName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_person_has_one_inbox_and_it_names_nobody_else() {
        for subject in ["ada", "ada@x.example", "..", "a/b", "ä~\u{1f600}", "~", " "] {
            let inbox = TopicName::inbox(subject).unwrap();
            assert_eq!(TopicName::inbox_owner(inbox.as_str()).as_deref(), Some(subject), "{inbox}");
        }
        assert_eq!(TopicName::inbox("a/b").unwrap().as_str(), "inbox/a~2fb");
        for other in
            ["inbox", "inbox/", "orders", "inbox/~61", "inbox/~2F", "inbox/a~", "inbox/~ff", "inbox/a/b"]
        {
            assert_eq!(TopicName::inbox_owner(other), None, "{other}");
        }
        assert!(TopicName::inbox(&"~".repeat(128)).is_err());
    }

    #[test]
    fn a_transaction_is_never_a_step_of_a_path() {
        for good in ["ledger.transfer", "ledger.", "2fa", &"x".repeat(64)] {
            assert!(TransactionName::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "-a", "_a", "a/b", "A", "a%2f", &"x".repeat(65)] {
            assert!(TransactionName::new(bad).is_err(), "{bad}");
        }
    }
}
