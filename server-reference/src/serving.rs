//! Connections, from when they are accepted to when the last request of theirs was answered.
//!
//! Whoever connects is nobody yet. Of such connections there are few, of one address and of all, and each has a deadline by
//! which the head of a request is there: sending it slowly, or never, holds a place that nobody else needs, and not for long.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::{
    line::{Line, Lines},
    service::Service,
};

/// How long the head of a request of a proxy may take, which keeps connections for whoever comes next.
const PROXY_DEADLINE: Duration = Duration::from_secs(90);
/// Bytes of a head, and of what is read ahead of a body.
const READ_BUFFER: usize = 64 * 1024;

/// Serves until it is told to stop; then takes no more connections, and returns when all have ended that were not
/// upgraded.
pub(crate) async fn serve(mut lines: Lines, router: Router, service: Arc<Service>) {
    let stopping = service.stopping.clone();
    let under_way = TaskTracker::new();
    loop {
        let (connection, peer) = tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            accepted = lines.accept() => accepted,
        };
        // It ends here if there is no place for it.
        if let Ok(place) = service.limiter.line(peer.ip(), service.now()) {
            let (router, service) = (router.clone(), service.clone());
            under_way.spawn(async move {
                let _place = place;
                one(connection, peer, router, service).await;
            });
        }
    }
    drop(lines);
    under_way.close();
    under_way.wait().await;
}

/// All requests of one connection.
async fn one(connection: TcpStream, peer: SocketAddr, router: Router, service: Arc<Service>) {
    let Ok(stranger) = service.limiter.stranger(peer.ip(), service.now()).await else { return };
    let is_proxy = service.limiter.is_proxy(peer.ip());
    let line = Line::new(connection, peer, stranger, service.write_deadline);
    let wire = line.wire();
    let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(wire.clone()));
        let router = router.clone();
        async move { router.oneshot(request).await.map_err(|never: Infallible| never) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(if is_proxy { PROXY_DEADLINE } else { service.head_deadline })
        .max_buf_size(READ_BUFFER);
    let mut served = pin!(http.serve_connection(TokioIo::new(line), answer).with_upgrades());
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = service.stopping.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}
