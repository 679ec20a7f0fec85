//! `GET /v1/snapshots/{collection}` and `GET /v1/snapshots/{collection}/chunks/{hash}`.

use std::sync::Arc;

use axum::{
    Router,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use sdk_core::protocol::{CollectionName, ContentHash, ErrorCode, ProtocolError};

use crate::{
    gzip,
    service::Service,
    sync::{Caller, Path, Problem, reply},
};

/// A chunk never changes: what is in it is its name. Any cache may keep it, also one that others share, because who
/// knows its hash was once told it by somebody who may read it.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

pub(crate) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/v1/snapshots/{collection}", get(manifest))
        .route("/v1/snapshots/{collection}/chunks/{hash}", get(chunk))
}

async fn manifest(
    State(service): State<Arc<Service>>,
    Path(collection): Path<String>,
    RawQuery(query): RawQuery,
    Caller { scope, .. }: Caller,
) -> Result<Response, Problem> {
    let collection = CollectionName::new(&collection).map_err(unknown)?;
    let root = match query.as_deref().and_then(|query| query.strip_prefix("root=")) {
        Some(root) => Some(root.parse::<ContentHash>().map_err(unknown)?),
        None => None,
    };
    Ok(reply(&service.snapshots.manifest(&scope, &collection, root).await?))
}

async fn chunk(
    State(service): State<Arc<Service>>,
    Path((collection, hash)): Path<(String, String)>,
    Caller { scope, .. }: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let collection = CollectionName::new(&collection).map_err(unknown)?;
    let hash: ContentHash = hash.parse().map_err(unknown)?;
    let packed = service.snapshots.chunk(&scope, &collection, &hash)?;
    let is_gzip = gzip::is_taken(&headers);
    // What is sent in two ways has two names, so that nobody takes the one for the other.
    let tag = if is_gzip { format!("\"{hash}.gzip\"") } else { format!("\"{hash}\"") };
    let tag = HeaderValue::try_from(tag).map_err(unknown)?;
    let mut response = match headers.get(header::IF_NONE_MATCH) {
        Some(known) if *known == tag => StatusCode::NOT_MODIFIED.into_response(),
        _ if is_gzip => ([(header::CONTENT_ENCODING, "gzip")], packed.0).into_response(),
        _ => packed.text()?.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(FOR_EVER));
    headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::ETAG, tag);
    Ok(response)
}

/// What cannot be there is told as what is not there, and that as what is another's.
fn unknown<E>(_: E) -> ProtocolError {
    ProtocolError::new(ErrorCode::Forbidden, "no such collection")
}
