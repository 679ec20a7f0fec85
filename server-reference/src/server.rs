//! A server from start to stop.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    http::{HeaderName, HeaderValue, Method, header},
    middleware::{from_fn, from_fn_with_state},
};
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tower_http::{
    cors::{AllowOrigin, CorsLayer},
    services::ServeDir,
    set_header::SetResponseHeaderLayer,
};

use crate::{
    auth::Verifier,
    backend::{Backend, Listeners, Upkeep, embedded},
    clock::wall,
    config::{Identity, ServerConfig, StartError},
    courier::Courier,
    data::DataFolder,
    description, dev, gateway, health,
    hub::Hub,
    identity,
    limits::{guard, weighed},
    line::Lines,
    metrics::{Measured, Metrics, Scraped, observe},
    random,
    rooms::Rooms,
    service::{MAX_SESSIONS, Service, Stores},
    serving,
    snapshot::{self, Snapshots, store::SnapshotStore},
    storage::StorageError,
    streams::{
        self,
        subscriptions::{Keys, Moved, Subscriptions},
    },
    sync, trace,
    transactions::{self, Figures, courier::Courier as TransactionCourier},
    upkeep,
};

/// How long sessions and requests may take to finish once the server was told to stop.
const DRAIN: Duration = Duration::from_secs(10);
/// How long a browser may remember the answer to a preflight.
const PREFLIGHT_AGE: Duration = Duration::from_secs(600);
/// What a page served with `--web` may load: its own files, and WebAssembly. WebSockets of other ports are for pages
/// that are served by one server and talk to another.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; \
    connect-src 'self' ws: wss:; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
    form-action 'self'; frame-ancestors 'none'";

/// A server that has its port and its data, and is not serving yet.
pub struct Server {
    listener: TcpListener,
    metrics_listener: Option<TcpListener>,
    scraped: Scraped,
    router: Router,
    sessions: Arc<Semaphore>,
    stop: CancellationToken,
    stores: Arc<dyn Upkeep>,
    subscriptions: Arc<Subscriptions>,
    verifier: Arc<Verifier>,
    transaction_courier: TransactionCourier,
    rooms: Arc<Rooms>,
    tombstone_age: Duration,
    keys_kept: Duration,
    audit_kept: Duration,
    write_deadline: Duration,
    /// Held for as long as the server lives.
    _data: DataFolder,
}

impl Server {
    /// Opens the data and takes the port.
    ///
    /// # Errors
    /// See [`StartError`]; nothing was served.
    pub async fn bind(config: ServerConfig) -> Result<Self, StartError> {
        let data = DataFolder::open(&config.data)?;
        let (hub, news) = (Arc::new(Hub::default()), Arc::new(Hub::default()));
        let courier =
            Courier::start(news.clone()).map_err(|error| StorageError::Unavailable(Box::new(error)))?;
        let metrics = Metrics::new().map_err(|error| StartError::Metrics(Box::new(error)))?;
        let metrics = Arc::new(metrics);
        let (moved, woken) = (Arc::new(Moved::default()), Arc::new(Notify::new()));
        let (told, noted, counted, wakes) = (hub.clone(), moved.clone(), metrics.clone(), woken.clone());
        let listeners = Listeners {
            advance: Arc::new(move |advance| told.publish(advance)),
            news: Arc::new(move |news| {
                noted.note(&news);
                counted.events_appended.inc_by(news.appended);
                courier.take(news);
            }),
            transaction: Arc::new(move || wakes.notify_one()),
        };
        let Backend {
            documents,
            client_letters,
            revocations,
            grants,
            attempts,
            events,
            subscriptions,
            groups,
            letters,
            transactions,
            outgoing,
            upkeep: stores,
        } = embedded(&data, &config, listeners)?;
        let stop = CancellationToken::new();
        let (listen, web, tombstone_age) = (config.listen, config.web.clone(), config.tombstone_age);
        let write_deadline = config.write_deadline;
        let snapshots = SnapshotStore::open(&data.snapshots(), Box::new(random::name))?;
        let snapshots = Snapshots::new(documents.clone(), snapshots);
        let taken = |source| StartError::Listen { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(taken)?;
        let address = listener.local_addr().map_err(taken)?;
        let metrics_listener = match config.metrics {
            Some(listen) => {
                let taken = |source| StartError::Listen { listen, source };
                Some(TcpListener::bind(listen).await.map_err(taken)?)
            }
            None => None,
        };
        let keys = Keys::load_or_create(&data.webhook_key()).map_err(StartError::WebhookKey)?;
        let local = matches!(config.identity, Identity::Dev(..));
        let public = config.streams.url(address);
        let verifier = config.identity.verifier().clone();
        let revoked = verifier.revoked().clone();
        let subscriptions =
            Subscriptions::new(subscriptions, events.clone(), keys, local, public, moved, revoked.clone());
        let subscriptions = Arc::new(subscriptions.map_err(|error| StartError::Webhooks(Box::new(error)))?);
        revoked.add(revocations.standing(wall()).await?);
        let figures = Arc::new(Figures::default());
        let (keys_kept, audit_kept) = (config.transactions.keys_kept, config.audit_kept);
        let transaction_courier =
            TransactionCourier { outgoing, log: events.clone(), woken, figures: figures.clone() };
        let kept = Stores {
            documents: Arc::new(Measured::new(documents, "documents", metrics.clone())),
            snapshots,
            hub,
            events: Arc::new(Measured::new(events, "topics", metrics.clone())),
            news,
            groups,
            letters,
            client_letters,
            revocations,
            grants,
            attempts,
            subscriptions: subscriptions.clone(),
            transactions,
            figures,
            metrics,
        };
        let service = Arc::new(Service::new(kept, config, address, stop.clone()));
        let scraped = Scraped { service: service.clone(), stores: stores.clone() };
        let (sessions, rooms) = (service.sessions.clone(), service.rooms.clone());
        let router = router(service, web.as_deref());
        Ok(Self {
            listener,
            metrics_listener,
            scraped,
            router,
            sessions,
            stop,
            stores,
            subscriptions,
            verifier,
            transaction_courier,
            rooms,
            tombstone_age,
            keys_kept,
            audit_kept,
            write_deadline,
            _data: data,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The operating system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where its metrics are, if they are served.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_listener.as_ref()?.local_addr().ok()
    }

    /// Serves until `signal` resolves; then takes no more connections, tells its sessions to go away, answers for what
    /// is being committed, and returns.
    ///
    /// # Errors
    /// The port cannot be listened on any more.
    pub async fn serve(self, signal: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let Self {
            listener,
            metrics_listener,
            scraped,
            router,
            sessions,
            stop,
            stores,
            subscriptions,
            verifier,
            transaction_courier,
            rooms,
            tombstone_age,
            keys_kept,
            audit_kept,
            write_deadline,
            _data,
        } = self;
        let lines = Lines::new(listener, write_deadline);
        let serving = serving::serve(lines, router, scraped.service.clone());
        let sessions_ended = async {
            stop.cancelled().await;
            // A closed semaphore would be as good a sign.
            let _ = sessions.acquire_many(MAX_SESSIONS).await;
        };
        let deadline = async {
            signal.await;
            tracing::info!("stopping");
            stop.cancel();
            sleep(DRAIN).await;
        };
        let (service_of, finishing) = (scraped.service.clone(), scraped.service.clone());
        let served = tokio::select! {
            // Upgraded connections are no longer waited for with the others.
            ((), ()) = async { tokio::join!(serving, sessions_ended) } => Ok(()),
            never = upkeep::forget_deletions(&*stores, tombstone_age) => match never {},
            never = upkeep::tidy_topics(&*stores) => match never {},
            never = upkeep::forget_keys(&*stores, keys_kept) => match never {},
            never = subscriptions.run() => match never {},
            never = verifier.keep_fresh() => match never {},
            never = transaction_courier.run() => match never {},
            never = rooms.run() => match never {},
            never = service_of.count_attempts() => match never {},
            never = upkeep::prune_audit(&*stores, audit_kept) => match never {},
            never = scraped.serve(metrics_listener) => match never {},
            () = deadline => {
                tracing::warn!("some connections did not end in time and are cut off");
                Ok(())
            }
        };
        finishing.finish_attempts().await;
        served
    }
}

/// Every route of a service, for whoever brings storage or a listener of their own.
pub fn router(service: impl Into<Arc<Service>>, web: Option<&Path>) -> Router {
    let service: Arc<Service> = service.into();
    let metrics = service.metrics.clone();
    let (origins, guarded) = (service.origins.clone(), service.clone());
    let allowed = move |origin: &HeaderValue, _: &_| origin.to_str().is_ok_and(|text| origins.allow(text));
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allowed))
        .allow_methods([Method::GET, Method::POST, Method::HEAD, Method::PUT, Method::DELETE])
        .allow_headers(
            [header::AUTHORIZATION, header::CONTENT_TYPE, identity::grants::ACCESS_GRANT]
                .into_iter()
                .chain(streams::header::SENT)
                .chain(transactions::SENT)
                .chain(trace::SENT)
                .collect::<Vec<_>>(),
        )
        .expose_headers(
            [header::RETRY_AFTER, trace::REQUEST_ID]
                .into_iter()
                .chain(streams::header::TOLD)
                .chain(transactions::TOLD)
                .collect::<Vec<_>>(),
        )
        .max_age(PREFLIGHT_AGE);
    let mut routes = gateway::upgrade::routes()
        .merge(sync::routes())
        .merge(snapshot::routes())
        .merge(streams::routes())
        .merge(identity::routes())
        .merge(transactions::routes());
    if service.dev.is_some() {
        routes = routes.merge(dev::routes());
    }
    // Where it is known which route a request is for, and before any handler sees it.
    let routes = routes
        .route_layer(from_fn_with_state(service.clone(), identity::grants::reach))
        .route_layer(from_fn_with_state(service.clone(), identity::grants::watch));
    let routes = routes.merge(description::routes());
    let guard = from_fn_with_state(guarded, guard);
    // Whoever looks whether this process is well gets to know it, however many others are refused.
    let routes = routes.layer(from_fn(weighed)).layer(guard.clone()).merge(health::routes());
    let mut router = routes.with_state(service).layer(cors);
    if let Some(folder) = web {
        router = router.fallback_service(pages(folder).layer(guard));
    }
    let router = router.layer(from_fn_with_state(metrics, observe)).layer(from_fn(trace::traced));
    router.layer(fixed_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
}

/// A folder of static files, such as a built demo.
fn pages(folder: &Path) -> Router {
    Router::new()
        .fallback_service(ServeDir::new(PathBuf::from(folder)))
        .layer(fixed_header(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .layer(fixed_header(header::REFERRER_POLICY, "no-referrer"))
        .layer(fixed_header(header::CACHE_CONTROL, "no-cache"))
}

fn fixed_header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}
