//! One TLS configuration for both ways to the server.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_platform_verifier::BuilderVerifierExt;

use super::InvalidServer;

/// Trusts what the machine trusts. For a plain address nothing is trusted, since nothing is to be verified.
pub(super) fn config(secure: bool) -> Result<ClientConfig, InvalidServer> {
    let failed = |error: rustls::Error| InvalidServer::Tls(error.to_string());
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    let builder = if secure {
        builder.with_platform_verifier().map_err(failed)?
    } else {
        builder.with_root_certificates(RootCertStore::empty())
    };
    Ok(builder.with_no_client_auth())
}
