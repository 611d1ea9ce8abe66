//! The gRPC server: all services on one port, with health and reflection, until it is told to stop.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::admin::{AdminService, ServerFacts, Targets};
use super::admission::Admission;
use super::auth::Auth;
use super::bounds::Bounds;
use super::delivery::Courier;
use super::errand::learning;
use super::govern::{Door, Thinkers};
use super::keys::{KeyParts, KeyService};
use super::pb;
use super::references::{ReferenceParts, ReferenceService};
use super::router::{RouterParts, RouterService};
use super::tls::{self, Tls, TlsError};
use crate::app::App;
use crate::config::Config;
use crate::publish::Operations;
use crate::reference::NameError;
use crate::routing::{RoutingTable, TokenCounter};

/// Names under which the services report their health.
const SERVICES: [&str; 5] = [
    "",
    "semroute.v1.RouterService",
    "semroute.v1.ReferenceService",
    "semroute.v1.AdminService",
    "semroute.v1.KeyService",
];

/// Streams of one connection at once.
const MAX_STREAMS: u32 = 1_024;

/// Bytes that a caller may send ahead of our reading. HTTP/2's own 64 KiB, for a whole connection, would make many
/// prompts wait for the way back and forth.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Prompts whose tokens are counted at once: the encoder needs the cores too.
const MAX_COUNTS: usize = 2;

/// An idle connection is asked for a sign of life so often.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// For the last statuses to go out once requests are cut off.
const LAST_WORDS: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("{address} cannot be listened on")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("the server failed")]
    Transport(#[source] tonic::transport::Error),
    #[error("the reflection service could not be made")]
    Reflection(#[source] tonic_reflection::server::Error),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A bound server, not yet running.
pub struct BoundServer {
    listener: TcpListener,
    address: SocketAddr,
}

impl BoundServer {
    /// Port 0 takes a free one: see [`BoundServer::address`].
    pub async fn bind(address: SocketAddr) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is ready; then no request is taken any more, and those under way get the drain time. What
    /// is not answered by then ends with UNAVAILABLE.
    pub async fn run(self, app: &App, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), ServeError> {
        let cut_off = CancellationToken::new();
        let parts = Services::new(app, &cut_off)?;
        let (health, health_service) = tonic_health::server::health_reporter();
        report_all(&health, ServingStatus::Serving).await;
        // Old clients, and those of Python to this day, know the draft of reflection only.
        let reflection = reflection_builder().build_v1().map_err(ServeError::Reflection)?;
        let draft_reflection = reflection_builder().build_v1alpha().map_err(ServeError::Reflection)?;
        let limit = app.config.server.max_message_bytes;
        let router = pb::router_service_server::RouterServiceServer::new(parts.router)
            .max_decoding_message_size(limit)
            .max_encoding_message_size(limit);
        // Its answers bound themselves, and one that repeats a message of the greatest size is a little longer.
        let references = pb::reference_service_server::ReferenceServiceServer::new(parts.references)
            .max_decoding_message_size(limit);
        let admin = pb::admin_service_server::AdminServiceServer::new(parts.admin);
        let keys = pb::key_service_server::KeyServiceServer::new(KeyService::new(KeyParts {
            keys: app.keys.clone(),
            routing: app.config.routing(),
            store: Arc::clone(&app.store),
        }));

        let tls = match &app.config.server.tls {
            Some(config) => Some(Tls::load(config.clone()).await?),
            None => None,
        };
        let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
        let drain = app.config.server.drain_timeout;
        let signal = async move {
            stop.await;
            report_all(&health, ServingStatus::NotServing).await;
            end_watches(health).await;
            drop(stopping);
        };
        let services = Server::builder()
            .max_concurrent_streams(Some(MAX_STREAMS))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE))
            .layer(Bounds { cut_off: cut_off.clone(), calls: app.metrics.calls().clone() })
            .layer(Auth(app.keys.clone()))
            .add_service(health_service)
            .add_service(reflection)
            .add_service(draft_reflection)
            .add_service(router)
            .add_service(references)
            .add_service(admin)
            .add_service(keys);
        let serving = async move {
            match tls {
                Some(tls) => {
                    app.tasks.spawn(tls.clone().follow(app.stop.clone()));
                    let incoming = tls::incoming(self.listener, tls, &app.tasks);
                    services.serve_with_incoming_shutdown(incoming, signal).await
                }
                None => {
                    // Without TCP_NODELAY small answers wait for the kernel: a peer lost 86 % of its throughput to
                    // that.
                    let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true));
                    services.serve_with_incoming_shutdown(incoming, signal).await
                }
            }
        };
        let overdue = async move {
            let _ = stopped.await;
            tokio::time::sleep(drain).await;
        };
        let mut serving = pin!(serving);
        tokio::select! {
            served = &mut serving => return served.map_err(ServeError::Transport),
            () = overdue => {}
        }
        tracing::warn!(?drain, "requests under way are cut off: the drain time is over");
        cut_off.cancel();
        // A caller who does not take his status in is not waited for.
        match tokio::time::timeout(LAST_WORDS, serving).await {
            Ok(served) => served.map_err(ServeError::Transport),
            Err(_) => Ok(()),
        }
    }
}

struct Services {
    router: RouterService,
    references: ReferenceService,
    admin: AdminService,
}

impl Services {
    fn new(app: &App, cut_off: &CancellationToken) -> Result<Self, ServeError> {
        let config = &app.config;
        let operations = Operations::new(app.builder.clone(), app.live.clone(), app.tasks.clone(), app.stop.clone());
        let manifest = app.embedding.files.manifest();
        let facts = ServerFacts {
            started: Instant::now(),
            model: pb::ModelStatus {
                name: manifest.name.clone(),
                fingerprint: app.embedding.files.fingerprint().to_string(),
                dimension: manifest.dimension as u32,
                max_tokens: manifest.max_tokens as u32,
            },
            llm_configured: config.llm.is_some(),
        };
        let routing = routing_table(config)?;
        let targets = routing.reachable();
        app.dispatcher.expect(&targets);
        app.metrics.expect_targets(&targets);
        let courier = Courier { tasks: app.tasks.clone(), cut_off: cut_off.clone() };
        let router = router_service_with(app, Arc::clone(&routing), courier.clone())?;
        let references = ReferenceService::new(ReferenceParts {
            store: Arc::clone(&app.store),
            live: app.live.clone(),
            operations: operations.clone(),
            learning: app.learning.clone(),
            courier,
        });
        let targets = Targets { routing, health: app.dispatcher.health().clone() };
        let admin = AdminService::new(facts, app.embedding.queue.clone(), app.live.clone(), operations, targets);
        Ok(Self { router, references, admin })
    }
}

async fn report_all(health: &HealthReporter, status: ServingStatus) {
    for service in SERVICES {
        health.set_service_status(service, status).await;
    }
}

/// What both versions of reflection tell.
fn reflection_builder() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// Whoever watches the health has heard the last of it. A watch never ends by itself, and would hold up the end for
/// the whole drain time.
async fn end_watches(mut health: HealthReporter) {
    for service in SERVICES {
        health.clear_service_status(service).await;
    }
}

/// The routing service by itself.
pub(super) fn router_service(app: &App) -> Result<RouterService, ServeError> {
    let courier = Courier { tasks: app.tasks.clone(), cut_off: CancellationToken::new() };
    router_service_with(app, routing_table(&app.config)?, courier)
}

fn routing_table(config: &Config) -> Result<Arc<RoutingTable>, ServeError> {
    Ok(Arc::new(RoutingTable::new(&config.routing())?))
}

fn router_service_with(app: &App, routing: Arc<RoutingTable>, courier: Courier) -> Result<RouterService, ServeError> {
    let config = &app.config;
    Ok(RouterService::new(RouterParts {
        live: app.live.clone(),
        cascade: app.cascade.clone(),
        learning: app.learning.clone(),
        routing: Arc::clone(&routing),
        tokens: TokenCounter::new(MAX_COUNTS, app.tasks.clone()),
        dispatcher: app.dispatcher.observed_by(learning(&routing)),
        default_set: config.default_set()?,
        default_timeout: config.server.default_timeout,
        max_prompt_bytes: config.server.max_prompt_bytes,
        door: Door {
            admission: Admission::new(config.server.max_concurrent_requests),
            keys: app.keys.clone(),
            metrics: app.metrics.clone(),
            thinkers: Thinkers::default(),
        },
        metrics: app.metrics.clone(),
        audit: app.audit.clone(),
        courier,
    }))
}
