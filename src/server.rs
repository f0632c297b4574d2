//! The server: an endpoint, the shared pools, and a task for each call.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use nightline_sip::{Endpoint, EndpointConfig, IncomingCall, IncomingCalls, Transport};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::{self, Health};
use crate::call::{Call, Input};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::driver::Session;
use crate::driver::live::{self, Surroundings};
use crate::leg::sip::Line;
use crate::record::wav::StereoWriter;
use crate::record::{CallInfo, Tap};
use crate::services::{self, Pools, Shared};

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
    watch: Option<MakeTap>,
}

/// A call rings so long before it is answered: time for a caller who thinks better of it, too short to be heard as a ring.
const RINGS: Duration = Duration::from_millis(120);
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
        let http = match config.http {
            Some(addr) => Some(TcpListener::bind(addr).await.map_err(|source| Error::Http { addr, source })?),
            None => None,
        };
        Ok(Self { config, shared, endpoint, incoming, http, watch })
    }

    /// Where it listens.
    pub fn local_addr(&self, transport: Transport) -> Option<SocketAddr> {
        self.endpoint.local_addr(transport)
    }

    /// The pools and the store.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Takes calls until `shutdown`; then lets each say no more, and waits a moment for them to end.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let calls = TaskTracker::new();
        self.serve_http(&calls, &shutdown);
        loop {
            let call = tokio::select! {
                call = self.incoming.next() => call,
                () = shutdown.cancelled() => None,
            };
            let Some(call) = call else { break };
            let (config, shared) = (self.config.clone(), self.shared.clone());
            let (endpoint, watch, shutdown) =
                (self.endpoint.clone(), self.watch.clone(), shutdown.child_token());
            calls.spawn(async move {
                if let Err(error) = take(call, &config, &shared, endpoint, watch, shutdown).await {
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
        let serving = api::serve(
            listener,
            self.shared.database.clone(),
            Arc::new(health),
            self.shared.metrics.clone(),
            self.shared.chat.clone(),
            shutdown.clone().cancelled_owned(),
        );
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "HTTP stopped; calls go on");
            }
        });
    }
}

/// One call from its INVITE to its record.
async fn take(
    mut incoming: IncomingCall,
    config: &Config,
    shared: &Shared,
    endpoint: Endpoint,
    watch: Option<MakeTap>,
    shutdown: CancellationToken,
) -> Result<(), crate::leg::sip::Error> {
    incoming.ring().await;
    tokio::select! {
        () = incoming.cancelled() => return Ok(()),
        () = tokio::time::sleep(RINGS) => {}
    }
    let clock = Clock::start();
    let (bind, advertised) = media_addresses(config, &endpoint);
    let line = Line {
        endpoint,
        bind,
        advertised,
        ports: config.rtp.ports.clone(),
        from: seat_from(config, advertised),
        ring_timeout: config.seats.ring_timeout,
        clock,
    };
    let info = shared.info("sip", &incoming.from().uri, &incoming.to().uri);
    let caller = services::telephone_number(&info.from);
    let leg = line.answer(incoming).await?;
    tracing::info!(call = %info.id, "call answered");

    let earlier = caller.as_deref().and_then(|caller| shared.chat.earlier(caller));
    let mut call = Call::new(shared.settings.clone(), services::voice_activity(), caller, clock.now());
    if let Some(earlier) = earlier {
        call.recall(earlier);
    }
    let mut taps = shared.begin(&info);
    taps.extend(watch.map(|make| make(&info)));
    let (mut session, inbox) = Session::new(call, shared.services.clone(), &info, taps);
    let news = session.inbox();
    let recorder = shared.recorder(&info, move |error| {
        // The call may be over; then its log line is all there is.
        let _ = news.send(Input::Fault { part: "recording".into(), error });
    });
    let recording = recorder.as_ref().map(|recorder| recorder.path().display().to_string());
    let surroundings =
        Surroundings { clock, line: Some(line), recorder, rtp_timeout: config.rtp.timeout, shutdown };
    let (media, recorder) = live::run(&mut session, inbox, leg, surroundings).await;
    finish(shared, session, media, recorder, recording).await;
    Ok(())
}

async fn finish(
    shared: &Shared,
    session: Session,
    media: Vec<crate::record::MediaRecord>,
    recorder: Option<StereoWriter>,
    recording: Option<String>,
) {
    let record = session.finish(media, recording);
    if let Some(recorder) = recorder {
        let finishing = recorder.finish();
        // The writer's thread may still be at it; nobody waits for a disk but this task.
        let _ = tokio::task::spawn_blocking(move || finishing.wait()).await;
    }
    tracing::info!(call = %record.info.id, disposition = ?record.disposition, ms = record.duration_ms, "call ended");
    shared.finish(record).await;
}

fn endpoint_config(config: &Config) -> EndpointConfig {
    EndpointConfig {
        listen: config
            .sip
            .listen
            .iter()
            .map(|listen| {
                let transport = match listen.transport {
                    config::Transport::Udp => Transport::Udp,
                    config::Transport::Tcp => Transport::Tcp,
                };
                (transport, listen.addr)
            })
            .collect(),
        external_ip: config.sip.external_ip,
        user_agent: config.sip.user_agent.clone(),
        session_expires: config.sip.session_expires,
        max_calls: config.sip.max_calls,
        ..EndpointConfig::default()
    }
}

/// The address that media is bound to, and the one that is told to far ends.
fn media_addresses(config: &Config, endpoint: &Endpoint) -> (IpAddr, IpAddr) {
    let bind = [Transport::Udp, Transport::Tcp]
        .into_iter()
        .find_map(|transport| endpoint.local_addr(transport))
        .map_or(IpAddr::from([0, 0, 0, 0]), |addr| addr.ip());
    (bind, config.sip.external_ip.unwrap_or(bind))
}

fn seat_from(config: &Config, advertised: IpAddr) -> Arc<str> {
    match &config.seats.from {
        Some(uri) => uri.to_string().into(),
        None => format!("sip:nightline@{advertised}").into(),
    }
}
