//! The keys that tokens are verified with, as an operator configures them.

use std::{fs, path::Path};

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

/// Bytes of a shared secret (RFC 7518, section 3.2: at least the size of the hash).
const MIN_SECRET: usize = 32;

/// One key with the one algorithm it is for.
pub struct Key {
    pub(super) id: String,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

/// Why a key or the file of keys cannot be used. Never holds key material.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file of keys does not have the form that docs/operations.md describes.
    #[error("{path} is not a file of keys: {problem}")]
    Malformed {
        /// Which file.
        path: String,
        /// What is wrong; without the file's text, which may hold secrets.
        problem: String,
    },
    /// The environment lacks a secret.
    #[error("key {id}: environment variable {name} is not set")]
    MissingSecret {
        /// The key.
        id: String,
        /// The variable.
        name: String,
    },
    /// Too short to be a secret.
    #[error("key {id}: a secret needs at least {MIN_SECRET} bytes")]
    ShortSecret {
        /// The key.
        id: String,
    },
    /// Not a public key of the kind its algorithm needs.
    #[error("key {id}: not a public key in PEM for its algorithm")]
    BadPublicKey {
        /// The key.
        id: String,
    },
}

impl Key {
    /// A shared secret for HS256.
    ///
    /// # Errors
    /// [`KeyError::ShortSecret`].
    pub fn hs256(id: &str, secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < MIN_SECRET {
            return Err(KeyError::ShortSecret { id: id.into() });
        }
        Ok(Self { id: id.into(), algorithm: Algorithm::HS256, decoding: DecodingKey::from_secret(secret) })
    }

    /// A public RSA key in PEM for RS256.
    ///
    /// # Errors
    /// [`KeyError::BadPublicKey`].
    pub fn rs256(id: &str, pem: &[u8]) -> Result<Self, KeyError> {
        let decoding =
            DecodingKey::from_rsa_pem(pem).map_err(|_| KeyError::BadPublicKey { id: id.into() })?;
        Ok(Self { id: id.into(), algorithm: Algorithm::RS256, decoding })
    }

    /// A public P-256 key in PEM for ES256.
    ///
    /// # Errors
    /// [`KeyError::BadPublicKey`].
    pub fn es256(id: &str, pem: &[u8]) -> Result<Self, KeyError> {
        let decoding = DecodingKey::from_ec_pem(pem).map_err(|_| KeyError::BadPublicKey { id: id.into() })?;
        Ok(Self { id: id.into(), algorithm: Algorithm::ES256, decoding })
    }
}

/// The file of keys: whose tokens are taken, for whom they must be, and how they are verified.
pub struct KeyFile {
    /// The `iss` that every token must have.
    pub issuer: String,
    /// An `aud` that every token must have.
    pub audience: String,
    /// The keys; at least one.
    pub keys: Vec<Key>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    issuer: String,
    audience: String,
    keys: Vec<KeyText>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyText {
    id: String,
    algorithm: AlgorithmText,
    secret_env: Option<String>,
    secret_file: Option<String>,
    public_key_file: Option<String>,
}

#[derive(Deserialize, Clone, Copy)]
enum AlgorithmText {
    #[serde(rename = "HS256")]
    Hs256,
    #[serde(rename = "RS256")]
    Rs256,
    #[serde(rename = "ES256")]
    Es256,
}

impl KeyFile {
    /// Reads the file and the secrets and public keys it points to, whose paths count from the file's own folder.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let malformed = |problem: String| KeyError::Malformed { path: path.display().to_string(), problem };
        let text = read(path)?;
        let FileText { issuer, audience, keys } =
            serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))?;
        if issuer.is_empty() || audience.is_empty() {
            return Err(malformed("issuer and audience may not be empty".into()));
        }
        if keys.is_empty() {
            return Err(malformed("there are no keys".into()));
        }
        let mut ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(malformed("two keys have the same id".into()));
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        let keys = keys
            .into_iter()
            .map(|key| {
                let id = key.id.clone();
                key.load(folder)?.ok_or_else(|| {
                    malformed(format!(
                        "key {id} needs secretEnv or secretFile for HS256, publicKeyFile otherwise"
                    ))
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { issuer, audience, keys })
    }
}

impl KeyText {
    /// The key; none if the algorithm and the place of the key do not go together.
    fn load(self, folder: &Path) -> Result<Option<Key>, KeyError> {
        let Self { id, algorithm, secret_env, secret_file, public_key_file } = self;
        let key = match (algorithm, secret_env, secret_file, public_key_file) {
            (AlgorithmText::Hs256, Some(name), None, None) => match std::env::var(&name) {
                Ok(secret) => Key::hs256(&id, secret.as_bytes()),
                Err(_) => Err(KeyError::MissingSecret { id, name }),
            },
            (AlgorithmText::Hs256, None, Some(file), None) => {
                Key::hs256(&id, read(&folder.join(file))?.trim_ascii_end())
            }
            (AlgorithmText::Rs256, None, None, Some(file)) => Key::rs256(&id, &read(&folder.join(file))?),
            (AlgorithmText::Es256, None, None, Some(file)) => Key::es256(&id, &read(&folder.join(file))?),
            _ => return Ok(None),
        };
        key.map(Some)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    fs::read(path).map_err(|source| KeyError::Unreadable { path: path.display().to_string(), source })
}
