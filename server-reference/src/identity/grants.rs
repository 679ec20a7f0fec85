//! `/v1/admin/grants`: access grants of super admins; and requests that are made under one.

use std::{borrow::Cow, sync::Arc};

use axum::{
    Router,
    extract::{MatchedPath, RawQuery, Request, State},
    http::{HeaderMap, HeaderName, Method, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use sdk_core::protocol::{ErrorCode, ProtocolError, PullRequest, decode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{malformed, page::Page};
use crate::{
    access::Grant,
    attempts::Way,
    auth::is_name,
    clock::wall,
    codes::codes,
    limits::Metered,
    random,
    service::Service,
    storage::grants::{
        AccessGrant, Act, Asked, Decided, Decision, Extent, GrantError, GrantId, MAX_JUSTIFICATION, MAX_PAGE,
        MIN_SECONDS, Reach,
    },
    sync::{self, Caller, Path, Problem, admit, authenticate, document},
    tenant::TenantScope,
};

/// Names the grant that a request is made under.
pub(crate) const ACCESS_GRANT: HeaderName = HeaderName::from_static("access-grant");
/// Bytes of a request about grants.
const MAX_BODY: usize = 16 * 1024;
/// Grants of a page, where nothing else was said.
const PAGE: usize = 50;
/// Bytes of a request as it is put on record.
const MAX_TARGET: usize = 1_024;

/// The requests that may be made under a grant, by method and template, and what they do. No other may.
const OPEN: &[(Method, &str, Extent)] = &[
    (Method::GET, "/v1/streams/{*topic}", Extent::Read),
    (Method::HEAD, "/v1/streams/{*topic}", Extent::Read),
    (Method::POST, PULL, Extent::Read),
    (Method::GET, "/v1/snapshots/{collection}", Extent::Read),
    (Method::GET, "/v1/snapshots/{collection}/chunks/{hash}", Extent::Read),
    (Method::GET, "/v1/groups", Extent::Read),
    (Method::GET, "/v1/groups/{group}", Extent::Read),
    (Method::GET, "/v1/groups/{group}/dead", Extent::Read),
    (Method::GET, "/v1/groups/{group}/dead/{letter}", Extent::Read),
    (Method::PUT, "/v1/groups/{group}/dead/{letter}", Extent::Administer),
    (Method::POST, "/v1/groups/{group}/dead/retry", Extent::Administer),
    (Method::POST, "/v1/groups/{group}/dead/discard", Extent::Administer),
    (Method::GET, "/v1/dead", Extent::Read),
    (Method::GET, "/v1/dead/{letter}", Extent::Read),
    (Method::PUT, "/v1/dead/{letter}", Extent::Administer),
    (Method::POST, "/v1/dead/retry", Extent::Administer),
    (Method::POST, "/v1/dead/discard", Extent::Administer),
    (Method::GET, "/v1/admin/revocations", Extent::Read),
    (Method::POST, "/v1/admin/revocations", Extent::Administer),
];
/// The one of them whose body names what is read.
const PULL: &str = "/v1/pull";

codes! {
    /// What a request about access grants may be refused with, beside the codes of all requests.

    BadGrant = "bad_access_grant", 400, "What is asked for cannot be granted to anybody: its scope, its duration or its justification.";
    Own = "own_access_grant", 403, "Somebody else has to decide about it than who has asked for it.";
    NoSuchGrant = "no_such_access_grant", 404, "There is no such access grant, or none for this super admin.";
    Decided = "access_grant_decided", 409, "It was decided about otherwise, or its time is over.";
    TooMany = "too_many_access_grants", 429, "As many access grants as there may be wait or are in force.";
}

/// An answer that says no.
pub(crate) enum Refusal {
    Common(Problem),
    Grant(Code, String),
}

pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/v1/admin/grants", get(list).post(request))
        .route("/v1/admin/grants/{grant}", get(show))
        .route("/v1/admin/grants/{grant}/approve", post(approve))
        .route("/v1/admin/grants/{grant}/refuse", post(refuse))
        .route("/v1/admin/grants/{grant}/withdraw", post(withdraw))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    tenant: String,
    justification: String,
    scope: Vec<Grant>,
    #[serde(default = "looking")]
    may: Extent,
    seconds: Option<u64>,
}

fn looking() -> Extent {
    Extent::Read
}

async fn request(
    State(service): State<Arc<Service>>,
    Caller { scope, .. }: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    let text = sync::body(request.into_body(), MAX_BODY).await?;
    let body: Body = serde_json::from_str(&text).map_err(|error| malformed(&error.to_string()))?;
    let Body { tenant, justification, scope: entries, may, seconds } = body;
    if !is_name(&tenant) {
        return Err(malformed("tenant has 1 to 128 bytes of plain text").into());
    }
    let bad = |detail: String| Refusal::Grant(Code::BadGrant, detail);
    let justification = justification.trim().to_owned();
    if justification.is_empty()
        || justification.len() > MAX_JUSTIFICATION
        || justification.chars().any(char::is_control)
    {
        return Err(bad(format!("a justification has 1 to {MAX_JUSTIFICATION} bytes of plain text")));
    }
    let longest = service.grants_config.longest.as_secs();
    let seconds = seconds.unwrap_or(longest.min(60 * 60));
    if !(MIN_SECONDS..=longest).contains(&seconds) {
        return Err(bad(format!("a grant lasts {MIN_SECONDS} to {longest} seconds")));
    }
    let reach = Reach::new(entries).map_err(|error| bad(error.to_string()))?;
    let needs_approval = service.grants_config.needs_approval(&tenant);
    // Who has its name has no more than that: it is used with the token of who asked.
    let id = random::bytes().map(|bytes| GrantId::from_random(u128::from_be_bytes(bytes)));
    let id = id.ok_or_else(|| ProtocolError::new(ErrorCode::Internal, "the system gives nothing random"))?;
    let asked =
        Asked { id, tenant: tenant.into(), justification, scope: reach, may, seconds, needs_approval };
    let granted = service.grants.request(scope, asked, wall()).await?;
    service.metrics.grant("requested");
    tracing::info!(tenant = %granted.tenant, by = %granted.by, state = granted.state.as_str(), "access requested");
    let mut response = sync::json(shown(&granted).to_string());
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

async fn list(
    State(service): State<Arc<Service>>,
    Caller { scope, .. }: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let Page { after, most } = Page::read(query.as_deref(), GrantId::parse, PAGE, MAX_PAGE)?;
    let found = service.grants.grants(scope, after, most, wall()).await?;
    let next = found.last().filter(|_| found.len() >= most).map(|last| last.id.as_str());
    let grants: Vec<Value> = found.iter().map(shown).collect();
    Ok(sync::json(json!({ "grants": grants, "next": next }).to_string()))
}

async fn show(
    State(service): State<Arc<Service>>,
    Caller { scope, .. }: Caller,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let grant = service.grants.grant(scope, named(&id)?, wall()).await?;
    Ok(sync::json(shown(&grant).to_string()))
}

async fn approve(
    State(service): State<Arc<Service>>,
    Caller { scope, .. }: Caller,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    decide(&service, scope, &id, Decision::Approve).await
}

async fn refuse(
    State(service): State<Arc<Service>>,
    Caller { scope, .. }: Caller,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    decide(&service, scope, &id, Decision::Refuse).await
}

async fn withdraw(
    State(service): State<Arc<Service>>,
    Caller { scope, .. }: Caller,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    decide(&service, scope, &id, Decision::Withdraw).await
}

async fn decide(
    service: &Service,
    scope: TenantScope,
    id: &str,
    decision: Decision,
) -> Result<Response, Refusal> {
    let by = scope.holder();
    let Decided { grant, anew } = service.grants.decide(scope, named(id)?, decision, wall()).await?;
    if anew {
        service.metrics.grant(match decision {
            Decision::Approve => "approved",
            Decision::Refuse => "refused",
            Decision::Withdraw => "withdrawn",
        });
    }
    tracing::info!(tenant = %grant.tenant, %by, state = grant.state.as_str(), "access decided about");
    Ok(sync::json(shown(&grant).to_string()))
}

/// Lets a request that names an access grant reach the tenant of that grant, if it is one that may. What it is goes on record
/// there before anything is done. A request that names none passes as it is.
pub(crate) async fn reach(
    State(service): State<Arc<Service>>,
    Metered(meter): Metered,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    if !request.headers().contains_key(ACCESS_GRANT) {
        return Ok(next.run(request).await);
    }
    let scope = {
        let _place = admit(&service, &meter).map_err(Problem::from)?;
        let own = authenticate(&service, &meter, request.headers()).await?;
        let Some((id, extent)) = asked(&request) else {
            service.attempted(&own, None, Way::Grant, &address(&request)).await;
            service.metrics.under_grant("refused");
            return Err(closed().into());
        };
        let target;
        (request, target) = told(&service, request).await?;
        let act = Act { target: target.clone(), extent };
        match service.grants.act(own.clone(), id, act, wall()).await {
            Ok(scope) => {
                service.metrics.under_grant("allowed");
                scope
            }
            Err(GrantError::Storage(error)) => return Err(Problem::from(error).into()),
            // Which of all reasons it was, is told to nobody; in whose record it is, hangs on it.
            Err(error) => {
                let aimed = if let GrantError::Unusable(tenant) = &error { Some(tenant) } else { None };
                service.attempted(&own, aimed, Way::Grant, &target).await;
                service.metrics.under_grant("refused");
                return Err(closed().into());
            }
        }
    };
    request.extensions_mut().insert(scope);
    Ok(next.run(request).await)
}

/// The grant that a request names, and what it does, if it may be made under any.
fn asked(request: &Request) -> Option<(GrantId, Extent)> {
    let id = GrantId::parse(only(request.headers())?)?;
    let template = request.extensions().get::<MatchedPath>()?.as_str();
    let open = |(method, path, _): &&(Method, &str, Extent)| method == request.method() && *path == template;
    let (.., extent) = OPEN.iter().find(open)?;
    // What goes on being read is on record once and would outlive its grant.
    let mut query = request.uri().query().unwrap_or_default().split('&');
    (!query.any(|part| part.split('=').next() == Some("live"))).then_some((id, *extent))
}

fn only(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(ACCESS_GRANT).iter();
    let first = all.next()?.to_str().ok()?;
    all.next().is_none().then_some(first)
}

/// A request as it is put on record: what it names is in its address, or in the body of a pull.
async fn told(service: &Service, request: Request) -> Result<(Request, String), Problem> {
    let (mut request, mut target) = (request, String::new());
    target.push_str(&address(&request));
    if request.uri().path() == PULL {
        let (parts, body) = request.into_parts();
        let text = sync::body(body, service.limits.frame_bytes).await?;
        let PullRequest { collections, .. } = decode(&text)?;
        let names: Vec<Cow<'_, str>> =
            collections.iter().map(|resume| resume.collection.as_str().into()).collect();
        target = format!("{target} of {}", names.join(", "));
        request = Request::from_parts(parts, text.into());
    }
    Ok((request, short(target)))
}

fn address(request: &Request) -> String {
    let address = request.uri().path_and_query().map_or("/", |address| address.as_str());
    short(format!("{} {address}", request.method()))
}

fn short(mut target: String) -> String {
    if target.len() > MAX_TARGET {
        target.truncate(target.floor_char_boundary(MAX_TARGET));
        target.push('…');
    }
    target
}

/// Puts on record who is refused something about administration: what is not theirs, or is not there.
pub(crate) async fn watch(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let template = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    // What is refused under a grant is on record as such.
    let watched = template.filter(|path| administers(path) && !request.headers().contains_key(ACCESS_GRANT));
    let Some(template) = watched else { return next.run(request).await };
    let (target, headers) = (format!("{} {template}", request.method()), request.headers().clone());
    let response = next.run(request).await;
    if matches!(response.status(), StatusCode::FORBIDDEN | StatusCode::NOT_FOUND)
        && let Ok(claims) = sync::bearer(&headers).map(|token| service.verifier.verify(token, wall()))
        && let Ok(claims) = claims
    {
        service.attempted(&TenantScope::of(claims), None, Way::Administration, &target).await;
    }
    response
}

/// Whether the requests of a route are about administration.
fn administers(template: &str) -> bool {
    template.starts_with("/v1/admin/") || template.split('/').any(|part| part == "dead")
}

fn closed() -> ProtocolError {
    ProtocolError::new(ErrorCode::Forbidden, "no access grant covers this")
}

fn named(id: &str) -> Result<GrantId, Refusal> {
    GrantId::parse(id).ok_or_else(|| GrantError::NoSuchGrant.into())
}

fn shown(grant: &AccessGrant) -> Value {
    let AccessGrant {
        id,
        tenant,
        by,
        justification,
        scope,
        may,
        seconds,
        requested,
        state,
        decided_by,
        ends,
    } = grant;
    json!({
        "id": id.as_str(), "tenant": **tenant, "by": by.to_string(), "justification": justification, "scope": scope,
        "may": may, "seconds": seconds, "requested": requested.0, "state": state,
        "decidedBy": decided_by.as_ref().map(ToString::to_string), "ends": ends.0,
    })
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Common(problem)
    }
}

impl From<ProtocolError> for Refusal {
    fn from(error: ProtocolError) -> Self {
        Self::Common(error.into())
    }
}

impl From<GrantError> for Refusal {
    fn from(error: GrantError) -> Self {
        let code = match &error {
            GrantError::Forbidden | GrantError::Unusable(_) => {
                return ProtocolError::new(ErrorCode::Forbidden, error.to_string()).into();
            }
            GrantError::NoSuchGrant => Code::NoSuchGrant,
            GrantError::Own => Code::Own,
            GrantError::Decided(_) => Code::Decided,
            GrantError::TooMany => Code::TooMany,
            GrantError::Storage(error) => return Self::Common(Problem(ProtocolError::from(error))),
        };
        Self::Grant(code, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Common(problem) => problem.into_response(),
            Self::Grant(code, detail) => document(code.status(), code.as_str(), &detail, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes;

    #[test]
    fn the_page_of_the_protocol_lists_every_code_with_its_status() {
        let listed = codes::listed("Access grants");
        let expected: Vec<String> =
            Code::ALL.iter().map(|code| format!("{} {}", code.as_str(), code.status())).collect();
        assert_eq!(listed, expected);
    }
}
