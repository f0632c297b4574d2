//! What an application holds: the endpoint, its calls, its sessions. Each is a pair of channels to the task in `shell`.

mod calls;
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
use crate::sdp::LocalMedia;
use crate::shell::{EVENTS, Shell, ToShell, Way};
use crate::stack::{SipxStack, Transport};

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
    /// is honoured. A host name is looked up (A, AAAA).
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
        let (net, from_net) = Net::bind(&config.listen, config.external_ip, config.max_connections).await?;
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
            incoming: calls,
            seats: to_seats,
            to_self: shell.downgrade(),
        };
        tokio::spawn(shell_handle.run(from_net, from_app));
        let last_call = Arc::new(AtomicU64::new(1));
        let endpoint = Self { shell, locals, last_call, seats: Arc::new(seats), local };
        Ok((endpoint, IncomingCalls { calls: incoming }))
    }

    /// Where the first listener of this transport is bound.
    pub fn local_addr(&self, transport: Transport) -> Option<SocketAddr> {
        self.locals.iter().find(|(t, _)| *t == transport).map(|(_, addr)| *addr)
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
        let transport = match uri.param("transport").map(str::to_ascii_lowercase).as_deref() {
            None | Some("udp") => Transport::Udp,
            Some("tcp") => Transport::Tcp,
            Some(_) => return Err(bad("only UDP and TCP are supported")),
        };
        let remote = if let Some(addr) = uri.addr() {
            addr
        } else {
            let found = tokio::net::lookup_host((uri.host, uri.port.unwrap_or(5060))).await;
            let mut found = found.map_err(|_| bad("its host cannot be found"))?;
            let ours: Vec<bool> = self.locals.iter().map(|(_, addr)| addr.is_ipv4()).collect();
            found
                .find(|addr| ours.contains(&addr.is_ipv4()))
                .ok_or_else(|| bad("its host has no address of a family that is listened on"))?
        };
        Ok(Way::Address { remote, transport })
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
        let call = self.last_call.fetch_add(2, Ordering::Relaxed);
        let (events_tx, events) = mpsc::channel(EVENTS);
        let (started, answer) = oneshot::channel();
        let message = ToShell::Dial { call, dial: Box::new(dial), way, events: events_tx, started };
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

impl IncomingCalls {
    /// The next call; `None` when the endpoint has stopped.
    pub async fn next(&mut self) -> Option<IncomingCall> {
        self.calls.recv().await
    }
}
