//! A request from its head to its answer: its id, its span and its place in a trace.

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method},
    middleware::Next,
    response::Response,
};
use tracing::{Instrument, Span, field::Empty};

use super::{
    Work,
    context::{TRACEPARENT, TRACESTATE, TraceContext},
    named,
};
use crate::random;

/// The header by which a request and its answer name their id.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Bytes of an id that a caller may choose.
const MAX_ID: usize = 128;

/// The headers of this kind that a page may send.
pub(crate) const SENT: [HeaderName; 3] =
    [REQUEST_ID, HeaderName::from_static(TRACEPARENT), HeaderName::from_static(TRACESTATE)];

/// Gives a request its id and its span, within which all is logged that is done for it.
pub(crate) async fn traced(path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let id = chosen(headers).map_or_else(random::name, str::to_owned);
    let context = received(headers);
    let span = span(request.method(), path.as_ref(), &id, context.as_ref());
    let name = HeaderValue::try_from(&id);
    let work = Work::new(id, context, &span);
    let answer = async {
        let response = next.run(request).await;
        let status = response.status();
        Span::current().record("status", status.as_u16());
        if status.is_server_error() {
            tracing::warn!(status = status.as_u16(), "answered");
        } else {
            tracing::debug!(status = status.as_u16(), "answered");
        }
        response
    };
    let mut response = work.scope(answer.instrument(span)).await;
    if let Ok(name) = name {
        response.headers_mut().insert(REQUEST_ID, name);
    }
    response
}

fn span(method: &Method, path: Option<&MatchedPath>, id: &str, context: Option<&TraceContext>) -> Span {
    // Not the path as it came: names of things are in it, and a query may hold a ticket.
    let route = path.map_or("other", MatchedPath::as_str);
    let span = tracing::info_span!(
        "request",
        otel.kind = Empty,
        otel.name = Empty,
        request = id,
        %method,
        route,
        trace = context.map(|context| tracing::field::display(context.trace())),
        tenant = Empty,
        subject = Empty,
        status = Empty,
    );
    named(&span, "server", format_args!("{method} {route}"));
    span
}

/// The id that the caller has chosen, if it is one that may stand in a log.
fn chosen(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(REQUEST_ID).iter();
    let id = all.next().filter(|_| all.next().is_none())?.to_str().ok()?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:=+/~".contains(&byte);
    ((1..=MAX_ID).contains(&id.len()) && id.bytes().all(fits)).then_some(id)
}

/// The place in a trace that the caller has named.
pub(crate) fn received(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let parent = parents.next().filter(|_| parents.next().is_none())?.to_str().ok()?;
    // A list may be split over several headers.
    let states: Option<Vec<&str>> =
        headers.get_all(TRACESTATE).iter().map(|state| state.to_str().ok()).collect();
    let state = states.filter(|states| !states.is_empty()).map(|states| states.join(","));
    TraceContext::parse(parent.trim(), state.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn an_id_is_taken_over_only_if_it_can_do_no_harm_in_a_log() {
        for good in ["7", "a-b_c.d:e=f+g/h~i", &"x".repeat(MAX_ID)] {
            assert_eq!(chosen(&headers(&[("x-request-id", good)])), Some(good));
        }
        for bad in ["", "two words", "\"quoted\"", "{}", "a\tb", "%0a", &"x".repeat(MAX_ID + 1)] {
            assert_eq!(chosen(&headers(&[("x-request-id", bad)])), None, "{bad}");
        }
        assert_eq!(chosen(&headers(&[("x-request-id", "a"), ("x-request-id", "b")])), None);
        assert_eq!(chosen(&HeaderMap::new()), None);
    }

    #[test]
    fn a_trace_is_taken_over_from_one_header_with_a_state_in_one_or_several() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context =
            received(&headers(&[("traceparent", parent), ("tracestate", "a=1"), ("tracestate", "b=2")]));
        let context = context.unwrap();
        assert_eq!((context.parent().as_str(), context.state()), (parent, Some("a=1,b=2")));
        assert_eq!(received(&headers(&[("traceparent", parent), ("traceparent", parent)])), None);
        assert_eq!(received(&headers(&[("tracestate", "a=1")])), None);
    }
}
