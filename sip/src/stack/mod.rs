//! The narrow seam to messages, transactions and framing. Everything above it is ours; what is below can be replaced.
//!
//! Sans-IO like the rest: bytes and time go in, bytes to send and events come out. Sockets are in `net`.

mod convert;
mod framing;
mod repair;
mod sipx;

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Instant;

use bytes::Bytes;

pub(crate) use self::sipx::SipxStack;
use crate::message::{Headers, Reply, Request, Response};

/// How SIP messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// One message in one datagram.
    Udp,
    /// A stream of messages.
    Tcp,
    /// The same, encrypted (RFC 3261 §26.2.1).
    Tls,
}

impl Transport {
    /// Whether messages come over a connection.
    pub(crate) fn is_stream(self) -> bool {
        self != Self::Udp
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        })
    }
}

impl FromStr for Transport {
    type Err = ();

    /// Reads what `Display` writes, in capitals or not.
    fn from_str(name: &str) -> Result<Self, ()> {
        [Self::Udp, Self::Tcp, Self::Tls]
            .into_iter()
            .find(|transport| transport.to_string().eq_ignore_ascii_case(name))
            .ok_or(())
    }
}

/// One path to a peer: the far address, our own as the peer should see it, and the socket that carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) transport: Transport,
    pub(crate) remote: SocketAddr,
    /// Our address as it goes into `Via` and `Contact`.
    pub(crate) local: SocketAddr,
    /// Which listener this belongs to; the UDP socket to send from.
    pub(crate) listener: usize,
    /// The connection to send on while it lives; otherwise one to `remote` is used or opened.
    pub(crate) connection: Option<u64>,
    /// Whom the certificate at the other end has to name; without it, the address. For connections that we open.
    pub(crate) name: Option<PeerName>,
}

/// The name of a TLS server; `net` knows what it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PeerName(pub(crate) usize);

/// A transaction; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ClientTx(pub(crate) u64);

/// A transaction; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ServerTx(pub(crate) u64);

/// What came up from the network, already valid: the five required headers are there and can be read.
#[derive(Debug)]
pub(crate) enum StackEvent {
    /// A request that opened a transaction. It must be answered.
    Request { tx: ServerTx, request: Request, flow: Flow },
    /// A CANCEL; `invite` is the transaction that it names, if it still exists.
    Cancel { tx: ServerTx, invite: Option<ServerTx>, request: Request },
    /// An ACK for a 2xx.
    Ack { request: Request },
    /// A response to a request of ours, provisional or final.
    Response { tx: ClientTx, response: Response },
    /// No answer came in time, or the transport failed (`unreachable`).
    Failed { tx: ClientTx, unreachable: bool },
    /// The transaction is over; nothing more will come.
    Done { tx: ClientTx },
}

/// Work for the sockets.
#[derive(Debug)]
pub(crate) enum Wire {
    /// Send these bytes. If they cannot be sent, `tx` fails.
    Send { flow: Flow, bytes: Bytes, tx: Option<TxRef> },
    /// Close a connection whose framing is lost.
    Close { connection: u64 },
}

/// The transaction to blame when bytes cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TxRef {
    Client(ClientTx),
    Server(ServerTx),
}

/// A request that could not be built, because a value in it is not legal SIP.
#[derive(Debug, thiserror::Error)]
#[error("cannot build a {method} request: {reason}")]
pub(crate) struct BuildError {
    pub(crate) method: String,
    pub(crate) reason: String,
}

/// Messages, transactions and framing, as the dialog layer needs them.
pub(crate) trait Stack {
    /// A datagram arrived.
    fn datagram(&mut self, now: Instant, bytes: Bytes, flow: Flow);
    /// Bytes arrived on a connection.
    fn stream(&mut self, now: Instant, bytes: &[u8], flow: Flow);
    /// A connection is gone.
    fn closed(&mut self, connection: u64);
    /// Bytes of a transaction could not be sent.
    fn unsendable(&mut self, now: Instant, tx: TxRef);
    /// Opens a client transaction; a `Via` is added.
    fn request(&mut self, now: Instant, request: &Request, flow: Flow) -> Result<ClientTx, BuildError>;
    /// Sends the ACK for a 2xx, which has no transaction.
    fn ack(&mut self, request: &Request, flow: Flow) -> Result<(), BuildError>;
    /// Sends a CANCEL for an INVITE of ours that has had a provisional response.
    fn cancel(&mut self, now: Instant, invite: ClientTx, extra: &Headers);
    /// Answers a request.
    fn respond(&mut self, now: Instant, tx: ServerTx, reply: &Reply);
    /// Runs the timers that are due.
    fn tick(&mut self, now: Instant);
    /// When [`Stack::tick`] is next needed.
    fn deadline(&self) -> Option<Instant>;
    /// The next event, oldest first.
    fn poll_event(&mut self) -> Option<StackEvent>;
    /// The next piece of work for the sockets, oldest first.
    fn poll_wire(&mut self) -> Option<Wire>;
}
