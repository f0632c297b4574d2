//! The server: an endpoint, the shared pools, and a task for each call.

mod host;
mod outbound;
mod registrar;
mod reminders;
mod streams;
mod trunk;
mod work_orders;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nightline_sip::{
    Account, Credentials, Endpoint, EndpointConfig, IncomingCalls, RegistrarConfig, Secret, TlsConfig,
    Transport,
};
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::api::{self, Health};
use crate::config::{self, Config};
use crate::leg::pages::Pages;
use crate::record::{CallInfo, Tap};
use crate::services::{self, Pools, Shared};

use self::host::Host;
use self::streams::{Door, Listeners};

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A pool.
    #[error(transparent)]
    Services(#[from] services::Error),
    /// The HTTP port.
    #[error("cannot listen for HTTP on {addr}: {source}; choose another `http.listen`, or none")]
    Http {
        /// Where.
        addr: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A port for media streams.
    #[error(
        "cannot listen for media streams on {addr}: {source}; choose another `media.listen` or `media.audiosocket`, or none"
    )]
    Media {
        /// Where.
        addr: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The SIP edge.
    #[error(transparent)]
    Sip(#[from] nightline_sip::Error),
}

/// Makes a tap for a call that begins, for whoever watches.
pub type MakeTap = Arc<dyn Fn(&CallInfo) -> Box<dyn Tap> + Send + Sync>;

/// A server that is listening.
pub struct Server {
    config: Arc<Config>,
    shared: Arc<Shared>,
    endpoint: Endpoint,
    incoming: IncomingCalls,
    http: Option<TcpListener>,
    streams: Listeners,
    watch: Option<MakeTap>,
}

/// The certificates of a server that runs.
pub struct Certificates {
    endpoint: Endpoint,
    tls: TlsConfig,
}

impl Certificates {
    /// Reads the files anew. On an error what was in use stays so.
    pub async fn reload(&self) -> Result<(), nightline_sip::Error> {
        self.endpoint.reload_tls(&self.tls).await
    }
}

/// How long calls may take to end when the server stops.
const DRAIN: Duration = Duration::from_secs(5);

impl Server {
    /// Opens everything and starts to listen; no call is taken before [`Server::run`].
    pub async fn start(config: Arc<Config>, watch: Option<MakeTap>) -> Result<Self, Error> {
        let pools = Pools::open(&config)?;
        Self::with(config, pools, watch).await
    }

    /// Starts to listen with `pools` that are open; no call is taken before [`Server::run`].
    pub async fn with(config: Arc<Config>, pools: Pools, watch: Option<MakeTap>) -> Result<Self, Error> {
        let shared = Arc::new(Shared::with(pools, &config).await?);
        let (endpoint, incoming) = Endpoint::bind(endpoint_config(&config)).await?;
        let http = match config.http.listen {
            Some(addr) => Some(TcpListener::bind(addr).await.map_err(|source| Error::Http { addr, source })?),
            None => None,
        };
        let streams =
            Listeners::bind(&config.media).await.map_err(|(addr, source)| Error::Media { addr, source })?;
        Ok(Self { config, shared, endpoint, incoming, http, streams, watch })
    }

    /// Where it listens.
    pub fn local_addr(&self, transport: Transport) -> Option<SocketAddr> {
        self.endpoint.local_addr(transport)
    }

    /// Where it serves HTTP, if it does.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http.as_ref()?.local_addr().ok()
    }

    /// Where WebSockets with media come in, and AudioSockets.
    pub fn media_addrs(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        self.streams.addrs()
    }

    /// Reads certificates anew when it is called; calls and connections go on. [`None`] without any.
    pub fn certificates(&self) -> Option<Certificates> {
        Some(Certificates { endpoint: self.endpoint.clone(), tls: self.config.sip.tls.clone()? })
    }

    /// The pools and the store.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Takes calls until `shutdown`; then lets each say no more, and waits a moment for them to end.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let calls = TaskTracker::new();
        self.serve_http(&calls, &shutdown);
        let host = Host {
            config: self.config.clone(),
            shared: self.shared.clone(),
            endpoint: self.endpoint.clone(),
            pages: Pages::new(self.shared.floor.clone()),
            watch: self.watch.clone(),
            shutdown: shutdown.clone(),
        };
        self.streams.serve(&Door::new(host.clone(), calls.clone()));
        let _registrar = if self.config.seats.accounts.is_empty() {
            None
        } else {
            let (endpoint, store, floor) =
                (self.endpoint.clone(), self.shared.database.clone(), self.shared.floor.clone());
            registrar::restore(&endpoint, &store, &floor).await;
            Some(AbortOnDropHandle::new(tokio::spawn(registrar::run(endpoint, store, floor))))
        };
        let _shift = AbortOnDropHandle::new(tokio::spawn(self.shared.shift().run()));
        let _registered: Vec<AbortOnDropHandle<()>> = self
            .config
            .registrations
            .iter()
            .map(|at| {
                AbortOnDropHandle::new(tokio::spawn(trunk::register(self.endpoint.clone(), at.clone())))
            })
            .collect();
        let _reminders = AbortOnDropHandle::new(tokio::spawn(reminders::run(host.clone())));
        let orders = work_orders::run(self.shared.database.clone(), self.shared.services.tools.clone());
        let _orders = AbortOnDropHandle::new(tokio::spawn(orders));
        let _errands = AbortOnDropHandle::new(tokio::spawn(outbound::run(host.clone(), calls.clone())));
        loop {
            let call = tokio::select! {
                call = self.incoming.next() => call,
                () = shutdown.cancelled() => None,
            };
            let Some(call) = call else { break };
            let from = call.remote_addr();
            if !trunk::may_call(&self.config.sip, from.ip()) {
                tracing::warn!(%from, "a caller is refused: the address is not in `sip.allow`");
                calls.spawn(call.reject(403, "Forbidden"));
                continue;
            }
            let host = host.clone();
            calls.spawn(async move {
                if let Err(error) = host.take(call).await {
                    tracing::error!(%error, "a call could not be answered");
                }
            });
        }
        calls.close();
        if tokio::time::timeout(DRAIN, calls.wait()).await.is_err() {
            tracing::warn!(calls = calls.len(), "calls did not end in time and are dropped");
        }
        self.endpoint.shutdown().await;
        self.shared.close().await;
    }
}

impl Server {
    /// Health, figures and stored calls over HTTP, if configured.
    fn serve_http(&mut self, calls: &TaskTracker, shutdown: &CancellationToken) {
        let Some(listener) = self.http.take() else { return };
        let (shared, running, stopping) = (self.shared.clone(), calls.clone(), shutdown.clone());
        let max_calls = self.config.sip.max_calls;
        let health = move || Health {
            calls: running.len(),
            max_calls,
            lost: shared.lost(),
            open: !stopping.is_cancelled(),
        };
        let told = api::Shared {
            store: self.shared.database.clone(),
            health: Arc::new(health),
            metrics: self.shared.metrics.clone(),
            chat: self.shared.chat.clone(),
            floor: self.shared.floor.clone(),
            screens: self.shared.screens.clone(),
        };
        let serving = api::serve(listener, told, shutdown.clone().cancelled_owned());
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "HTTP stopped; calls go on");
            }
        });
    }
}

/// The SIP edge as configured.
pub(crate) fn endpoint_config(config: &Config) -> EndpointConfig {
    EndpointConfig {
        listen: config
            .sip
            .listen
            .iter()
            .map(|listen| {
                let transport = match listen.transport {
                    config::Transport::Udp => Transport::Udp,
                    config::Transport::Tcp => Transport::Tcp,
                    config::Transport::Tls => Transport::Tls,
                };
                (transport, listen.addr)
            })
            .collect(),
        external_ip: config.sip.external_ip,
        user_agent: config.sip.user_agent.clone(),
        session_expires: config.sip.session_expires,
        max_calls: config.sip.max_calls,
        tls: config.sip.tls.clone(),
        srtp: config.sip.srtp,
        srtp_over_plain_sip: config.sip.srtp_over_plain_sip,
        credentials: config
            .registrations
            .iter()
            .filter_map(|at| {
                let secret = Secret::Password(at.password.as_ref()?.expose_secret().to_owned());
                Some(Credentials { realm: at.realm.clone(), user: at.user.clone(), secret })
            })
            .collect(),
        accounts: config
            .seats
            .accounts
            .iter()
            .map(|(user, password)| Account {
                user: user.clone(),
                realm: None,
                secret: Secret::Password(password.expose_secret().to_owned()),
            })
            .collect(),
        registrar: RegistrarConfig {
            realm: config.seats.realm.clone(),
            algorithms: config.seats.digest.clone(),
            ..RegistrarConfig::default()
        },
        ..EndpointConfig::default()
    }
}
