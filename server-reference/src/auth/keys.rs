//! The keys that tokens are verified with, as an operator configures them.

use std::{fs, path::Path, time::Duration};

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

use super::{
    jwks::{self, BadKeys, is_safe_point},
    source::{KEEP, PAUSE, Pace, REFRESH, Source, SourceError},
};

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
    /// The document of keys cannot be had from where it is said to be.
    #[error("the jwks cannot be used")]
    Jwks(#[from] SourceError),
}

impl Key {
    /// The keys of a JWK Set (RFC 7517). Those that cannot be used here are left out.
    ///
    /// # Errors
    /// [`BadKeys`]: none of it counts.
    pub fn of_set(document: &[u8]) -> Result<Vec<Self>, BadKeys> {
        jwks::keys(document)
    }

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

    /// A public Ed25519 key in PEM for EdDSA.
    ///
    /// # Errors
    /// [`KeyError::BadPublicKey`].
    pub fn eddsa(id: &str, pem: &[u8]) -> Result<Self, KeyError> {
        let bad = || KeyError::BadPublicKey { id: id.into() };
        let decoding = DecodingKey::from_ed_pem(pem).map_err(|_| bad())?;
        if !decoding.try_get_as_bytes().is_ok_and(is_safe_point) {
            return Err(bad());
        }
        Ok(Self { id: id.into(), algorithm: Algorithm::EdDSA, decoding })
    }
}

/// The file of keys: whose tokens are taken, for whom they must be, and how they are verified.
pub struct KeyFile {
    /// The `iss` that every token must have.
    pub issuer: String,
    /// An `aud` that every token must have.
    pub audience: String,
    /// The keys; at least one, if there is no document.
    pub keys: Vec<Key>,
    /// A document of more keys, which changes.
    pub source: Option<Source>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    issuer: String,
    audience: String,
    #[serde(default)]
    keys: Vec<KeyText>,
    jwks: Option<JwksText>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct JwksText {
    url: Option<String>,
    file: Option<String>,
    refresh_seconds: Option<u64>,
    keep_seconds: Option<u64>,
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
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl KeyFile {
    /// Reads the file and the secrets and public keys it points to, whose paths count from the file's own folder.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let malformed = |problem: String| KeyError::Malformed { path: path.display().to_string(), problem };
        let text = read(path)?;
        let FileText { issuer, audience, keys, jwks } =
            serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))?;
        if issuer.is_empty() || audience.is_empty() {
            return Err(malformed("issuer and audience may not be empty".into()));
        }
        if keys.is_empty() && jwks.is_none() {
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
        let source = jwks.map(|jwks| jwks.source(folder, malformed)).transpose()?;
        Ok(Self { issuer, audience, keys, source })
    }
}

impl JwksText {
    fn source(self, folder: &Path, malformed: impl Fn(String) -> KeyError) -> Result<Source, KeyError> {
        let Self { url, file, refresh_seconds, keep_seconds } = self;
        let seconds = |said: Option<u64>, usual| said.map_or(usual, Duration::from_secs);
        let (refresh, keep) = (seconds(refresh_seconds, REFRESH), seconds(keep_seconds, KEEP));
        if refresh < PAUSE || keep < refresh {
            let least = PAUSE.as_secs();
            let problem = format!("refreshSeconds is at least {least}, and keepSeconds no less than that");
            return Err(malformed(problem));
        }
        let pace = Pace { pause: PAUSE, refresh, keep };
        match (url, file) {
            (Some(url), None) => Ok(Source::url(&url, pace)?),
            (None, Some(file)) => Ok(Source::file(folder.join(file), pace)),
            _ => Err(malformed("jwks needs a url or a file".into())),
        }
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
            (AlgorithmText::EdDsa, None, None, Some(file)) => Key::eddsa(&id, &read(&folder.join(file))?),
            _ => return Ok(None),
        };
        key.map(Some)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    fs::read(path).map_err(|source| KeyError::Unreadable { path: path.display().to_string(), source })
}
