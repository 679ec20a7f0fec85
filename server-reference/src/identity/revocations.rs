//! `/v1/admin/revocations`: taking tokens back, for those whose token says so.

use std::sync::Arc;

use axum::{
    Router,
    extract::{RawQuery, Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use sdk_core::protocol::{ErrorCode, ProtocolError};
use serde_json::{Value, json};

use super::{malformed, page::Page};
use crate::{
    auth::{Asked, Revocation, Whose},
    clock::wall,
    codes::codes,
    service::Service,
    storage::revocations::{MAX_REVOCATIONS, RevocationError, Revoking},
    sync::{self, Caller, Problem, document},
};

/// Bytes of a request.
const MAX_BODY: usize = 4 * 1024;
/// Revocations of a page, where nothing else was said.
const PAGE: usize = 100;

pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/v1/admin/revocations", get(list).post(revoke))
}

codes! {
    /// What a request about revocations may be refused with, beside the codes of all requests.

    TooMany = "too_many_revocations", 429, "The tenant has as many revocations as are kept.";
}

/// Why a request about revocations was refused.
enum Refusal {
    Common(Problem),
    TooMany(String),
}

async fn revoke(
    State(service): State<Arc<Service>>,
    Caller { scope, .. }: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    let text = sync::body(request.into_body(), MAX_BODY).await?;
    let asked: Asked = serde_json::from_str(&text).map_err(|error| malformed(&error.to_string()))?;
    let now = wall();
    let revocation = Revocation::asked(asked, now).map_err(|error| malformed(&error.to_string()))?;
    // Whoever asks may go away meanwhile; what is durable takes effect all the same.
    let revoking = tokio::spawn(async move {
        let kept = service.revocations.revoke(scope.clone(), revocation, now).await?;
        let revoked = service.verifier.revoked();
        revoked.forget(now);
        revoked.add([(scope.tenant().clone(), kept.revocation.clone())]);
        service.metrics.tokens_revoked.inc();
        tracing::info!(tenant = %scope.tenant(), by = %scope.subject(), whose = kept.revocation.whose.as_str(), "tokens revoked");
        Ok::<_, RevocationError>(kept)
    });
    let failed = |error: tokio::task::JoinError| ProtocolError::new(ErrorCode::Internal, error.to_string());
    let kept = revoking.await.map_err(failed)??;
    Ok(sync::json(kept.shown().to_string()))
}

async fn list(
    State(service): State<Arc<Service>>,
    Caller { scope, .. }: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let Page { after, most } = Page::read(query.as_deref(), behind, PAGE, MAX_REVOCATIONS)?;
    let found = service.revocations.revocations(scope, after, most, wall()).await?;
    let next = found.last().filter(|_| found.len() >= most).map(|last| {
        let Revocation { whose, name, .. } = &last.revocation;
        format!("{}:{name}", whose.as_str())
    });
    let revocations: Vec<Value> = found.iter().map(Revoking::shown).collect();
    Ok(sync::json(json!({ "revocations": revocations, "next": next }).to_string()))
}

/// What a page begins behind.
fn behind(text: &str) -> Option<(Whose, String)> {
    let (kind, name) = text.split_once(':')?;
    let whose = Whose::ALL.into_iter().find(|whose| whose.as_str() == kind)?;
    Some((whose, name.to_owned()))
}

impl From<ProtocolError> for Refusal {
    fn from(error: ProtocolError) -> Self {
        Self::Common(error.into())
    }
}

impl From<RevocationError> for Refusal {
    fn from(error: RevocationError) -> Self {
        match error {
            RevocationError::Forbidden => ProtocolError::new(ErrorCode::Forbidden, error.to_string()).into(),
            RevocationError::TooMany => Self::TooMany(error.to_string()),
            RevocationError::Storage(error) => Self::Common(error.into()),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Common(problem) => problem.into_response(),
            Self::TooMany(detail) => document(Code::TooMany.status(), Code::TooMany.as_str(), &detail, None),
        }
    }
}
