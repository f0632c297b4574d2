//! What can go wrong for the user of an endpoint.

use std::net::SocketAddr;

use crate::sdp::SdpError;
use crate::stack::Transport;
use crate::tls::TlsError;

/// An error of the SIP edge.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A listener could not be opened.
    #[error(
        "cannot listen for SIP on {transport} {addr}: {source}; is another program using the port? choose another with `listen`"
    )]
    Bind {
        /// Which transport.
        transport: Transport,
        /// Where.
        addr: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// No listener was asked for.
    #[error("the SIP endpoint has no listener; give at least one address in `listen`")]
    NoListener,
    /// A URI cannot be called.
    #[error("cannot call {uri:?}: {reason}; give a URI like sip:name@host:5060;transport=tcp")]
    Target {
        /// The URI as given.
        uri: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A header of the application cannot be sent.
    #[error("the header {name:?} cannot be sent: {reason}; nothing was sent")]
    Header {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An account cannot be used.
    #[error("the SIP account {user:?} cannot be used: {reason}; correct it in `accounts`")]
    Account {
        /// Its name.
        user: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A seat is called that has not registered.
    #[error("{user:?} has not registered here; start its phone, or look at its account and password")]
    NotRegistered {
        /// The account.
        user: String,
    },
    /// Certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// SRTP is required, and its keys would travel in the clear.
    #[error(
        "cannot call {uri:?} with SRTP: its keys would travel over plain SIP; call it with ;transport=tls or sips:, or set `srtp_over_plain_sip`"
    )]
    SrtpNeedsTls {
        /// The URI as given.
        uri: String,
    },
    /// What the caller offers cannot be agreed to.
    #[error("the call cannot be answered: {0}")]
    Offer(SdpError),
    /// The endpoint has been shut down.
    #[error("the SIP endpoint has stopped; no more calls can be made or answered on it")]
    Stopped,
    /// The caller gave up before the call was answered.
    #[error("the caller hung up before the call was answered")]
    Cancelled,
    /// No codec is common to both sides.
    #[error("no codec is common to the caller and `codecs`; offered codecs are in the SIP trace")]
    NoCommonCodec,
    /// The call ended while it was being answered.
    #[error("the call ended while it was being answered: {0}")]
    Ended(String),
}
