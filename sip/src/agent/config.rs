//! What an endpoint is told at its start, and the words for how calls end.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::challenge::Credentials;
use crate::registrar::{Account, RegistrarConfig};
use crate::sdes::SrtpPolicy;
use crate::stack::Transport;
use crate::tls::TlsConfig;

/// How an endpoint is set up.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// Where to listen. Port 0 takes a free one.
    pub listen: Vec<(Transport, SocketAddr)>,
    /// The address that peers reach us at, if it differs from the listeners' (NAT).
    pub external_ip: Option<IpAddr>,
    /// `User-Agent` and `Server`.
    pub user_agent: String,
    /// The shortest session interval that is accepted; at least 90 s (RFC 4028 §4).
    pub min_session_expires: Duration,
    /// The session interval that is asked for.
    pub session_expires: Duration,
    /// Most calls at a time, both ways; an INVITE over it gets 503 with `Retry-After`.
    pub max_calls: usize,
    /// Most TCP and TLS connections at a time; one over it is closed at once.
    pub max_connections: usize,
    /// Whether a peer may ask us to call somebody else (REFER); the application still decides each time.
    pub refer_allowed: bool,
    /// How long the news of a transfer that we have asked for may take.
    pub transfer_timeout: Duration,
    /// Who may register here. With none, REGISTER is refused with 405.
    pub accounts: Vec<Account>,
    /// How they register.
    pub registrar: RegistrarConfig,
    /// Who we are where a peer asks (401, 407): for calls that we make, and for `Endpoint::register`.
    pub credentials: Vec<Credentials>,
    /// SIP over TLS: needed to listen on [`Transport::Tls`].
    pub tls: Option<TlsConfig>,
    /// Whether media is encrypted, for calls that do not say it themselves ([`crate::Endpoint::with_srtp`],
    /// [`crate::IncomingCall::set_srtp`]).
    pub srtp: SrtpPolicy,
    /// Takes and offers the keys of SRTP over UDP and TCP too, where everybody on the way can read them. RFC 4568 §7.1
    /// forbids it; some exchanges know no other way.
    pub srtp_over_plain_sip: bool,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            external_ip: None,
            user_agent: concat!("Nightline/", env!("CARGO_PKG_VERSION")).to_owned(),
            min_session_expires: Duration::from_secs(90),
            session_expires: Duration::from_secs(1800),
            max_calls: 1000,
            max_connections: 1024,
            refer_allowed: true,
            transfer_timeout: Duration::from_secs(60),
            accounts: Vec::new(),
            registrar: RegistrarConfig::default(),
            credentials: Vec::new(),
            tls: None,
            srtp: SrtpPolicy::Off,
            srtp_over_plain_sip: false,
        }
    }
}

/// Who or what ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The peer said BYE.
    Remote,
    /// We did.
    Local,
    /// The peer went silent: no ACK, no session refresh, no answer to a request.
    Timeout,
    /// Another call has taken its place (RFC 3891): see [`crate::IncomingCall::replaces`].
    Replaced,
    /// The peer no longer knows the dialog, or cannot be reached.
    Transport,
}

/// Why an outgoing call was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailCause {
    /// Busy (486, 600).
    Busy,
    /// The callee does not want it (603, 607, 403).
    Declined,
    /// It rang, and nobody came (408, 480, the ring timeout).
    NoAnswer,
    /// No such number or no way to it (404, 410, 484, 502–504, no reply, connection refused).
    Unreachable,
    /// Cancelled by us, or any other reason: see the code.
    Other,
}

impl FailCause {
    /// What a SIP status from 300 on means.
    pub fn of(code: u16) -> Self {
        match code {
            486 | 600 => Self::Busy,
            403 | 603 | 607 => Self::Declined,
            408 | 480 => Self::NoAnswer,
            404 | 410 | 484 | 502 | 503 | 504 | 604 => Self::Unreachable,
            _ => Self::Other,
        }
    }
}
