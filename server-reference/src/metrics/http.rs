//! Requests as they are counted, and `GET /metrics`.

use std::{convert::Infallible, future::pending, sync::Arc, time::Instant};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

use super::{Kept, Metrics};
use crate::{backend::Upkeep, clock::wall, service::Service};

/// A path that no route has: a file of `--web`, or nothing at all.
const OTHER: &str = "other";

/// Counts a request and its answer.
pub(crate) async fn observe(
    State(metrics): State<Arc<Metrics>>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let method = match request.method().as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS") => known.to_owned(),
        _ => OTHER.to_owned(),
    };
    let began = Instant::now();
    let response = next.run(request).await;
    let route = path.as_ref().map_or(OTHER, MatchedPath::as_str);
    metrics.request(&method, route).observe(began.elapsed().as_secs_f64());
    metrics.requests.with_label_values(&[&*method, route, response.status().as_str()]).inc();
    response
}

/// All that the numbers are read from.
pub(crate) struct Scraped {
    pub(crate) service: Arc<Service>,
    pub(crate) stores: Arc<dyn Upkeep>,
}

impl Scraped {
    /// Serves them on an address of their own, for as long as it is polled.
    pub(crate) async fn serve(self, listener: Option<TcpListener>) -> Infallible {
        let Some(listener) = listener else { return pending().await };
        let router = Router::new().route("/metrics", get(scrape)).with_state(Arc::new(self));
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "metrics are not served any more");
        }
        pending().await
    }
}

async fn scrape(State(scraped): State<Arc<Scraped>>) -> Response {
    let (Scraped { service, stores }, now) = (&*scraped, wall());
    // Whoever looks because a store has failed is to see everything else, and what was last known of it.
    let kept = Kept {
        held: stores.held().await.ok(),
        letters: stores.client_letter_count().await.ok(),
        grants: stores.grant_count(service.metrics.grants_until(), now).await.ok(),
    };
    match service.metrics.text(service, kept, now.0) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the numbers could not be read");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
