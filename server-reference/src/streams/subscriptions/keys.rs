//! What webhooks are signed with, and the tokens that workers hold.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use std::{io, path::Path, sync::Arc};

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use sdk_core::clock::Millis;
use serde::{Deserialize, Serialize};

use crate::data::secret_file;

/// Says of a token that it is for one generation of one subscription, and for nothing else.
const AUDIENCE: &str = "webwaka-subscription";

/// Keys of this server, which stay the same.
pub struct Keys {
    pair: Ed25519KeyPair,
    kid: String,
    secret: Vec<u8>,
}

/// What a worker may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    aud: String,
    tenant: String,
    pub(super) id: String,
    pub(super) generation: u64,
    exp: u64,
}

impl Claim {
    pub(super) fn tenant(&self) -> Arc<str> {
        self.tenant.as_str().into()
    }
}

impl Keys {
    /// The keys in a file; made there if there are none, readable by its owner alone.
    ///
    /// # Errors
    /// The file can neither be read nor made, or is damaged.
    pub fn load_or_create(path: &Path) -> io::Result<Self> {
        let broken = |_| io::Error::other(format!("{} is damaged", path.display()));
        let pkcs8 = secret_file(path, || {
            let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(io::Error::other)?;
            Ok(document.as_ref().to_vec())
        })?;
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(broken)?;
        let public = digest(&SHA256, pair.public_key().as_ref());
        let kid = format!("ds_{}", URL_SAFE_NO_PAD.encode(&public.as_ref()[..12]));
        let secret = digest(&SHA256, &[b"tokens of subscriptions", &pkcs8[..]].concat()).as_ref().to_vec();
        Ok(Self { pair, kid, secret })
    }

    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    /// The public key, in base64url.
    pub(super) fn public(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref())
    }

    /// The header that vouches for a body.
    pub(super) fn sign(&self, body: &str, now: Millis) -> String {
        let time = now.0 / 1000;
        let signature = self.pair.sign(format!("{time}.{body}").as_bytes());
        format!("t={time},kid={},ed25519={}", self.kid, URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// A token for one generation, for as long as it may take.
    pub(super) fn token(&self, tenant: &str, id: &str, generation: u64, until: Millis) -> Option<String> {
        let exp = until.0 / 1000;
        let claim = Claim { aud: AUDIENCE.into(), tenant: tenant.into(), id: id.into(), generation, exp };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claim, &EncodingKey::from_secret(&self.secret))
            .ok()
    }

    /// What a token is for, if it is one of ours and not over.
    pub(super) fn claim(&self, token: &str, now: Millis) -> Option<Claim> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[AUDIENCE]);
        // Against the time that is passed in.
        validation.validate_exp = false;
        let key = DecodingKey::from_secret(&self.secret);
        let claim = jsonwebtoken::decode::<Claim>(token, &key, &validation).ok()?.claims;
        (claim.exp > now.0 / 1000).then_some(claim)
    }
}
