//! What an application holds: the endpoint, its calls, its sessions. Each is a pair of channels to the task in `shell`.

mod calls;
mod probe;
mod registration;
mod seats;
mod session;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{broadcast, mpsc, oneshot};

pub(crate) use self::calls::Handle;
pub use self::calls::{IncomingCall, OutgoingCall, OutgoingEvent, Replaces};
pub use self::registration::{Register, Registration};
use self::seats::Local;
pub use self::seats::Seats;
pub use self::session::{Session, SessionEvent, TransferStage};
use crate::agent::{Agent, EndpointConfig};
use crate::custom;
use crate::error::Error;
use crate::message::{NameAddr, SipUri};
use crate::net::Net;
use crate::registrar::RegistrarEvent;
use crate::sdes::SrtpPolicy;
use crate::sdp::LocalMedia;
use crate::shell::{EVENTS, Shell, ToShell, Way};
use crate::stack::{SipxStack, Transport};
use crate::tls::{Tls, TlsConfig, TlsError};

/// Calls that wait to be taken by [`IncomingCalls::next`]; one more gets 503.
const BACKLOG: usize = 128;

/// A SIP endpoint: it takes calls and makes them. Cloning gives another handle to the same one; it stops with
/// [`Endpoint::shutdown`], or when all handles, calls and sessions are gone.
#[derive(Debug, Clone)]
pub struct Endpoint {
    shell: mpsc::UnboundedSender<ToShell>,
    locals: Arc<[(Transport, SocketAddr)]>,
    last_call: Arc<AtomicU64>,
    /// Never read itself: new readers are made from it.
    seats: Arc<broadcast::Receiver<RegistrarEvent>>,
    local: Arc<Local>,
    /// The policy of the calls that this handle makes, if it is not the endpoint's.
    srtp: Option<SrtpPolicy>,
}

/// The calls that come in.
#[derive(Debug)]
pub struct IncomingCalls {
    calls: mpsc::Receiver<IncomingCall>,
}

/// A call to be made.
#[derive(Debug, Clone)]
pub struct Dial {
    /// Whom to call: a `sip:` URI. What it carries behind `?` (as the one of a [`SessionEvent::Refer`] may) becomes
    /// headers: `Replaces`, `Referred-By`, `User-to-User` and `X-…`; anything else there is left out. `;transport=tcp`
    /// and `;transport=tls` are honoured; `sips:` is TLS. A host name is looked up (A, AAAA), and over TLS the certificate
    /// has to name it; with an address, the certificate has to name that.
    /// An account of [`EndpointConfig::accounts`] at our realm or address is called where it has registered.
    pub target: String,
    /// Who calls: a `sip:` URI.
    pub from: String,
    /// The name shown to the callee.
    pub display: Option<String>,
    /// More headers for the INVITE, such as `User-to-User` (see [`crate::uui`]) or `X-…`: no control characters, none
    /// that the endpoint sets itself, and all of them no longer than 1 KiB over UDP and 8 KiB over TCP.
    pub headers: Vec<(String, String)>,
    /// Our end of the media.
    pub local: LocalMedia,
    /// How long to wait for an answer.
    pub ring_timeout: Duration,
}

/// One call among all of its endpoint, for as long as that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallKey(pub(crate) u64);

/// One side of a call, from `From` or `To`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// The user part: mostly a number.
    pub user: String,
    /// The whole URI.
    pub uri: String,
    /// The name beside it; may be empty.
    pub display: String,
}

impl Party {
    fn parse(value: &str) -> Self {
        let addr = NameAddr::parse(value);
        let user = match SipUri::parse(addr.uri) {
            Some(uri) => uri.user.split([';', ':']).next().unwrap_or_default(),
            None => {
                addr.uri.split_once(':').map_or("", |(_, rest)| rest.split(';').next().unwrap_or_default())
            }
        };
        Self { user: user.to_owned(), uri: addr.uri.to_owned(), display: addr.display.to_owned() }
    }
}

impl Endpoint {
    /// Opens the listeners and starts to take calls.
    pub async fn bind(config: EndpointConfig) -> Result<(Self, IncomingCalls), Error> {
        if config.listen.is_empty() {
            return Err(Error::NoListener);
        }
        let tls = match &config.tls {
            Some(tls) => Some(load(tls).await?),
            None => None,
        };
        let (net, from_net) =
            Net::bind(&config.listen, config.external_ip, config.max_connections, tls).await?;
        let locals: Arc<[_]> = net.local_addrs().into();
        let (shell, from_app) = mpsc::unbounded_channel();
        let (calls, incoming) = mpsc::channel(BACKLOG);
        let mut seed = rand::rng();
        let stack = SipxStack::new(StdRng::from_rng(&mut seed));
        let local = Arc::new(Local::new(&config, &locals));
        let agent = Agent::new(stack, config, locals.to_vec(), StdRng::from_rng(&mut seed))?;
        let (to_seats, seats) = broadcast::channel(seats::BACKLOG);
        let shell_handle = Shell {
            agent,
            net,
            calls: HashMap::new(),
            upstreams: HashMap::new(),
            probes: HashMap::new(),
            incoming: calls,
            seats: to_seats,
            to_self: shell.downgrade(),
        };
        tokio::spawn(shell_handle.run(from_net, from_app));
        let last_call = Arc::new(AtomicU64::new(1));
        let endpoint = Self { shell, locals, last_call, seats: Arc::new(seats), local, srtp: None };
        Ok((endpoint, IncomingCalls { calls: incoming }))
    }

    /// Where the first listener of this transport is bound.
    pub fn local_addr(&self, transport: Transport) -> Option<SocketAddr> {
        self.locals.iter().find(|(t, _)| *t == transport).map(|(_, addr)| *addr)
    }

    /// Another handle to the same endpoint, whose calls have this policy for SRTP in place of
    /// [`EndpointConfig::srtp`].
    #[must_use]
    pub fn with_srtp(&self, policy: SrtpPolicy) -> Self {
        Self { srtp: Some(policy), ..self.clone() }
    }

    /// Takes other certificates, or the same files anew, for TLS handshakes from now on. Connections and calls go on
    /// as they are.
    ///
    /// # Errors
    /// [`Error::Tls`] if a file is not good; then nothing is changed.
    pub async fn reload_tls(&self, tls: &TlsConfig) -> Result<(), Error> {
        let tls = Box::new(load(tls).await?);
        let (done, wait) = oneshot::channel();
        self.shell.send(ToShell::Tls { tls, done }).map_err(|_| Error::Stopped)?;
        wait.await.map_err(|_| Error::Stopped)
    }

    /// Starts a call. What becomes of it is told by [`OutgoingCall::event`].
    pub async fn dial(&self, dial: Dial) -> Result<OutgoingCall, Error> {
        let bad = |reason: &str| Error::Target { uri: dial.target.clone(), reason: reason.to_owned() };
        let uri = SipUri::parse(&dial.target).ok_or_else(|| bad("it is not a SIP URI"))?;
        let way = match self.local.seat(&uri) {
            Some(user) => Way::Seat { user, contact: None },
            None => self.resolve(&dial.target).await?,
        };
        self.start(dial, way).await
    }

    /// The address that a URI points to.
    async fn resolve(&self, target: &str) -> Result<Way, Error> {
        let bad = |reason: &str| Error::Target { uri: target.to_owned(), reason: reason.to_owned() };
        let uri = SipUri::parse(target).ok_or_else(|| bad("it is not a SIP URI"))?;
        let transport = match uri.transport() {
            Some(Transport::Tls) if uri.param("transport").is_some_and(|t| t.eq_ignore_ascii_case("udp")) => {
                return Err(bad("sips: is TLS, which is not over UDP"));
            }
            Some(transport) => transport,
            None if uri.param("transport").is_none() => Transport::Udp,
            None => return Err(bad("only UDP, TCP and TLS are supported")),
        };
        if transport == Transport::Tls && self.local_addr(Transport::Tls).is_none() {
            return Err(bad("there is no TLS listener; add one to `listen`, and `tls`"));
        }
        let remote = if let Some(addr) = uri.addr() {
            addr
        } else {
            let found = tokio::net::lookup_host((uri.host, uri.port_or_usual())).await;
            let mut found = found.map_err(|_| bad("its host cannot be found"))?;
            let ours: Vec<bool> = self.locals.iter().map(|(_, addr)| addr.is_ipv4()).collect();
            found
                .find(|addr| ours.contains(&addr.is_ipv4()))
                .ok_or_else(|| bad("its host has no address of a family that is listened on"))?
        };
        let named = transport == Transport::Tls && uri.addr().is_none();
        Ok(Way::Address { remote, transport, name: named.then(|| uri.host.to_owned()) })
    }

    async fn start(&self, mut dial: Dial, way: Way) -> Result<OutgoingCall, Error> {
        let (target, carried) = custom::split_headers(&dial.target);
        for uri in [&target, &dial.from] {
            if !custom::is_plain_uri(uri) {
                let reason = "it has characters that no URI can have".to_owned();
                return Err(Error::Target { uri: uri.chars().take(80).collect(), reason });
            }
        }
        dial.target = target;
        dial.headers.extend(carried);
        if dial.local.codecs.is_empty() {
            let reason = "no codec was given to offer".to_owned();
            return Err(Error::Target { uri: dial.target, reason });
        }
        let srtp = self.srtp;
        let call = self.last_call.fetch_add(2, Ordering::Relaxed);
        let (events_tx, events) = mpsc::channel(EVENTS);
        let (started, answer) = oneshot::channel();
        let message = ToShell::Dial { call, dial: Box::new(dial), way, srtp, events: events_tx, started };
        self.shell.send(message).map_err(|_| Error::Stopped)?;
        answer.await.map_err(|_| Error::Stopped)??;
        let handle = Handle { call, shell: self.shell.clone(), events, over: false };
        Ok(OutgoingCall { key: CallKey(call), handle: Some(handle) })
    }

    /// Ends all calls, tells their peers, and closes the sockets.
    pub async fn shutdown(&self) {
        let (done, wait) = oneshot::channel();
        if self.shell.send(ToShell::Shutdown(done)).is_ok() {
            let _ = wait.await;
        }
    }
}

/// Reads certificates, which may be on a slow disk.
async fn load(config: &TlsConfig) -> Result<Tls, TlsError> {
    let config = config.clone();
    let loaded = tokio::task::spawn_blocking(move || config.load()).await;
    loaded.unwrap_or_else(|error| Err(TlsError::Setup(error.to_string())))
}

impl IncomingCalls {
    /// The next call; `None` when the endpoint has stopped.
    pub async fn next(&mut self) -> Option<IncomingCall> {
        self.calls.recv().await
    }
}
