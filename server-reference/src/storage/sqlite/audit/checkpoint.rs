//! What vouches for the head of a chain: a checkpoint as <https://c2sp.org/tlog-checkpoint> has it, signed with the server's
//! key as <https://c2sp.org/signed-note> says.

use std::{fmt, io, path::Path};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ED25519, ED25519_PUBLIC_KEY_LEN, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::tree::{Sha256, sha256};
use crate::data::{hex, read_secret, secret_file};

/// The file of the key, beside the databases.
const FILE: &str = "audit-key";
/// Ed25519, as signed notes number the kinds of signatures.
const KIND: u8 = 1;

/// The key that a server signs the heads of its chains with.
pub struct Key {
    pair: Ed25519KeyPair,
}

/// What verifies the signatures of a server's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; ED25519_PUBLIC_KEY_LEN]);

impl Key {
    /// The key beside a database; made there if there is none, readable by its owner alone.
    ///
    /// # Errors
    /// The file can neither be read nor made, or is damaged.
    pub fn beside(database: &Path) -> io::Result<Self> {
        let path = database.with_file_name(FILE);
        let pkcs8 = secret_file(&path, || {
            let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(io::Error::other)?;
            Ok(document.as_ref().to_vec())
        })?;
        Self::stored(&path, &pkcs8)
    }

    /// The key in a data folder; none is made where there is none.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn within(data: &Path) -> io::Result<Self> {
        let path = data.join(FILE);
        Self::stored(&path, &read_secret(&path)?)
    }

    fn stored(path: &Path, pkcs8: &[u8]) -> io::Result<Self> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8);
        Ok(Self { pair: pair.map_err(|_| io::Error::other(format!("{} is damaged", path.display())))? })
    }

    /// A key that ends with this value, for a database that does.
    pub(in crate::storage) fn fleeting() -> io::Result<Self> {
        Ok(Self { pair: Ed25519KeyPair::generate().map_err(io::Error::other)? })
    }

    /// What verifies its signatures.
    pub fn public(&self) -> PublicKey {
        let mut key = [0; ED25519_PUBLIC_KEY_LEN];
        key.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(key)
    }

    pub(in crate::storage) fn sign(&self, origin: &str, size: u64, root: &Sha256) -> Vec<u8> {
        self.pair.sign(text(origin, size, root).as_bytes()).as_ref().to_vec()
    }
}

impl PublicKey {
    /// The key in texts as [`PublicKey::verifier`] makes them, one a line; none if one is something else, or of another key.
    pub fn parse_all(verifiers: &str) -> Option<Self> {
        let mut lines = verifiers.lines().filter(|line| !line.trim().is_empty());
        let key = Self::parse(lines.next()?)?;
        lines.all(|line| Self::parse(line) == Some(key)).then_some(key)
    }

    /// The key in a `vkey` of signed notes. No `+` may be in its name.
    fn parse(verifier: &str) -> Option<Self> {
        let mut parts = verifier.trim().splitn(3, '+');
        let (origin, id, key) = (parts.next()?, parts.next()?, parts.next()?);
        let bytes = STANDARD.decode(key).ok()?;
        let key = Self(bytes.strip_prefix(&[KIND])?.try_into().ok()?);
        (hex(&key.id(origin)) == id).then_some(key)
    }

    /// What a chain is called: unlike any other of this server, and of servers with another key. It is the name of the key, too.
    pub(in crate::storage) fn origin(&self, chain: &str, tenant: &str) -> String {
        let server = hex(&sha256(&[&self.0])[..8]);
        // No space or plus may be in it.
        let tenant: String = form_urlencoded::byte_serialize(tenant.as_bytes()).collect();
        format!("webwaka-audit/{server}/{chain}/{}", tenant.replace('+', "%20"))
    }

    /// What those verify signatures with who have not the key (a `vkey` of signed notes).
    pub fn verifier(&self, origin: &str) -> String {
        let key = STANDARD.encode([&[KIND], &self.0[..]].concat());
        format!("{origin}+{}+{key}", hex(&self.id(origin)))
    }

    pub(in crate::storage) fn has_signed(
        &self,
        origin: &str,
        size: u64,
        root: &Sha256,
        signature: &[u8],
    ) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.0);
        key.verify(text(origin, size, root).as_bytes(), signature).is_ok()
    }

    fn id(&self, origin: &str) -> [u8; 4] {
        let [a, b, c, d, ..] = sha256(&[origin.as_bytes(), b"\n", &[KIND], &self.0]);
        [a, b, c, d]
    }
}

fn text(origin: &str, size: u64, root: &Sha256) -> String {
    format!("{origin}\n{size}\n{}\n", STANDARD.encode(root))
}

/// The head of a chain when it had so many records, with who vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub(super) origin: String,
    pub(super) size: u64,
    pub(super) root: Sha256,
    /// The line of the signature by the origin's key, after the name: its id, and the signature.
    line: Vec<u8>,
}

impl Checkpoint {
    pub(super) fn new(key: &PublicKey, origin: String, size: u64, root: Sha256, signature: &[u8]) -> Self {
        let line = [&key.id(&origin), signature].concat();
        Self { origin, size, root, line }
    }

    /// Reads several, as they are with an empty line between two; none if something else is among them.
    pub fn parse_all(notes: &str) -> Option<Vec<Self>> {
        let blocks: Vec<&str> = notes.trim_end().split("\n\n").collect();
        blocks.chunks(2).map(|note| Self::parse(&note.join("\n\n"))).collect()
    }

    /// Which chain it is of.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Reads one from its text; signatures of others than its origin are passed over.
    pub fn parse(note: &str) -> Option<Self> {
        let (body, signatures) = note.split_once("\n\n")?;
        let mut lines = body.lines();
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        // Extensions would be under the signature, and ours have none.
        if lines.next().is_some() || origin.is_empty() {
            return None;
        }
        let parsed: u64 = size.parse().ok().filter(|parsed: &u64| parsed.to_string() == size)?;
        let root = STANDARD.decode(root).ok()?.try_into().ok()?;
        let own = |line: &str| {
            let (name, signature) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
            let line = (name == origin).then(|| STANDARD.decode(signature).ok())??;
            // The key's id comes first, and something behind it.
            (line.len() > 4).then_some(line)
        };
        let line = signatures.lines().find_map(own)?;
        Some(Self { origin: origin.into(), size: parsed, root, line })
    }

    pub(super) fn is_by(&self, key: &PublicKey) -> bool {
        let Self { origin, size, root, line } = self;
        let signature = line.strip_prefix(&key.id(origin));
        signature.is_some_and(|signature| key.has_signed(origin, *size, root, signature))
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, size, root, line } = self;
        writeln!(f, "{}\n\u{2014} {origin} {}", text(origin, *size, root), STANDARD.encode(line))
    }
}
