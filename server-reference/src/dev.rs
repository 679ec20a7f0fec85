//! Development without an identity provider: a secret of this machine, and tokens made with it.

use std::{fs, io, path::Path, sync::Arc};

use axum::{Router, extract::State, http::HeaderMap, response::Response, routing::post};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use sdk_core::wire::record;
use sdk_core::{
    clock::Millis,
    protocol::{ErrorCode, ProtocolError},
};
use serde::Serialize;

use crate::{
    access::Grant,
    auth::{Key, Verifier},
    clock::wall,
    data::secret_file,
    office::Charge,
    origin::is_loopback_host,
    service::Service,
    sync::{Problem, body, reply},
};

/// The tenant of tokens from `POST /dev/token`.
pub const TENANT: &str = "dev";
/// Seconds that a token from `POST /dev/token` is valid.
pub const TOKEN_SECONDS: u64 = 3_600;
const ISSUER: &str = "webwaka-dev";
const AUDIENCE: &str = "webwaka-realtime";
const KEY: &str = "dev";
const FILE: &str = "dev-secret";
/// Bytes of the body of `POST /dev/token`.
const MAX_BODY: usize = 4 * 1024;

/// Makes and verifies tokens with one shared secret. For development and tests only.
#[derive(Clone)]
pub struct DevIssuer {
    secret: [u8; 32],
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    tenant: &'a str,
    nbf: u64,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<&'a [Grant]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    superadmin: Option<&'a [Charge]>,
}

impl DevIssuer {
    /// An issuer with a given secret.
    pub fn from_secret(secret: [u8; 32]) -> Self {
        Self { secret }
    }

    /// The issuer whose secret is in the data folder; made there if there is none, readable by its owner alone.
    ///
    /// # Errors
    /// The file can neither be read nor made, or is damaged.
    pub fn load_or_create(data: &Path) -> io::Result<Self> {
        fs::create_dir_all(data)?;
        let path = data.join(FILE);
        let secret = secret_file(&path, || {
            let mut secret = vec![0; 32];
            getrandom::fill(&mut secret).map_err(io::Error::other)?;
            Ok(secret)
        })?;
        let damaged = |_| io::Error::other(format!("{} is damaged; remove it", path.display()));
        Ok(Self { secret: secret.try_into().map_err(damaged)? })
    }

    /// What verifies this issuer's tokens.
    pub fn verifier(&self) -> Verifier {
        // 32 bytes are enough for a key, which is all that can be wrong with one.
        Verifier::new(ISSUER, AUDIENCE, Key::hs256(KEY, &self.secret))
    }

    /// Makes a token that is valid from now on, for everything of the tenant.
    ///
    /// # Errors
    /// The token could not be signed.
    pub fn mint(
        &self,
        tenant: &str,
        subject: &str,
        seconds: u64,
        now: Millis,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        self.mint_for(tenant, subject, None, seconds, now)
    }

    /// Makes a token that is valid from now on, for what the grants cover; without any, for everything of the tenant.
    ///
    /// # Errors
    /// The token could not be signed.
    pub fn mint_for(
        &self,
        tenant: &str,
        subject: &str,
        access: Option<&[Grant]>,
        seconds: u64,
        now: Millis,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        self.sign(tenant, subject, (access, None), seconds, now)
    }

    /// Makes a token of a super admin that is valid from now on, with nothing of their own tenant's.
    ///
    /// # Errors
    /// The token could not be signed.
    pub fn mint_super_admin(
        &self,
        tenant: &str,
        subject: &str,
        charges: &[Charge],
        seconds: u64,
        now: Millis,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        self.sign(tenant, subject, (Some(&[]), Some(charges)), seconds, now)
    }

    fn sign(
        &self,
        tenant: &str,
        subject: &str,
        (access, superadmin): (Option<&[Grant]>, Option<&[Charge]>),
        seconds: u64,
        now: Millis,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let nbf = now.0 / 1000;
        let exp = nbf.saturating_add(seconds);
        let claims = Claims {
            iss: ISSUER,
            aud: AUDIENCE,
            sub: subject,
            tenant,
            nbf,
            iat: nbf,
            exp,
            access,
            superadmin,
        };
        let header = Header { kid: Some(KEY.into()), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&self.secret))
    }
}

struct TokenRequest {
    subject: String,
}

struct TokenReply {
    token: String,
}

record!(TokenRequest { subject: "subject"; });
record!(out TokenReply { token: "token"; });

/// `POST /dev/token`.
pub(crate) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/dev/token", post(token))
}

async fn token(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    request: axum::body::Body,
) -> Result<Response, Problem> {
    // Without this a page of any site could reach us under its own name (DNS rebinding).
    let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    let issuer = service.dev.as_ref().filter(|_| is_loopback_host(host)).ok_or_else(|| {
        ProtocolError::new(ErrorCode::Forbidden, "development tokens are for loopback only")
    })?;
    let text = body(request, MAX_BODY).await?;
    let TokenRequest { subject } = sdk_core::protocol::decode(&text)?;
    let token = issuer
        .mint(TENANT, &subject, TOKEN_SECONDS, wall())
        .map_err(|error| ProtocolError::new(ErrorCode::Internal, error.to_string()))?;
    Ok(reply(&TokenReply { token }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_made_once_and_kept_private() {
        let data = tempfile::tempdir().unwrap();
        let first = DevIssuer::load_or_create(data.path()).unwrap();
        let second = DevIssuer::load_or_create(data.path()).unwrap();
        let token = first.mint("dev", "ada", 60, Millis(1_000)).unwrap();
        assert_eq!(second.verifier().verify(&token, Millis(2_000)).unwrap().subject(), "ada");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(data.path().join(FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_secret_is_an_error_and_is_not_replaced() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join(FILE), "short").unwrap();
        assert!(DevIssuer::load_or_create(data.path()).is_err());
        assert_eq!(fs::read_to_string(data.path().join(FILE)).unwrap(), "short");
    }
}
