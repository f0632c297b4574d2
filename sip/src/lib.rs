//! The SIP and RTP edge of Nightline: signalling, sessions, media transport.
//!
//! An [`Endpoint`] listens, takes calls ([`IncomingCalls`]) and makes them ([`Endpoint::dial`]); an answered call is a
//! [`Session`]. Media is apart, in [`rtp`].
//!
//! # Seats
//!
//! With [`EndpointConfig::accounts`] the endpoint is a registrar. Phones log in by digest, MD5 or SHA-256; what comes
//! and goes is told by [`Endpoint::seats`]. `sip:USER@REALM` is then called where that user's REGISTER came from, and
//! [`Endpoint::bindings`] with [`Endpoint::dial_binding`] reaches every contact of a user. [`Endpoint::restore`] takes
//! the bindings of an earlier run back.
//!
//! # Exchanges
//!
//! [`Endpoint::register`] makes the endpoint a phone of an exchange and keeps it registered. Calls and registrations
//! that are challenged show the [`EndpointConfig::credentials`] of that realm.
//!
//! # Encryption
//!
//! [`Transport::Tls`] in `listen` with [`EndpointConfig::tls`] is SIP over TLS, with client certificates if wanted;
//! [`Endpoint::reload_tls`] changes the certificates while calls are up. [`EndpointConfig::srtp`] says whether media is
//! encrypted (SDES, RFC 4568; SRTP, RFC 3711): what was agreed is in [`MediaParams::srtp`], and
//! [`rtp::MediaSession::secure`] takes it.
//!
//! # Handing over
//!
//! [`Session::refer`] asks the far end to call somebody else, [`Session::refer_carrying`] with context for the new
//! call ([`uui`], `X-…`), [`Session::refer_replacing`] to take our place in another call. How it goes is told by
//! [`SessionEvent::ReferProgress`]. A call that wants to take the place of one of ours says so in
//! [`IncomingCall::replaces`].
//!
//! # Inside
//!
//! `stack` reads and writes messages and runs transactions; `agent` has the dialogs, `registrar` the seats, both
//! without sockets, tasks or clock; `shell` is the one task that joins them to the sockets in `net`; `endpoint` are
//! the handles that an application holds.

mod agent;
mod challenge;
mod clock;
mod custom;
mod digest;
mod endpoint;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod message;
mod net;
mod registrar;
pub mod rtp;
mod sdes;
pub mod sdp;
mod shell;
mod stack;
mod timers;
mod tls;
pub mod uui;

pub use agent::{EndReason, EndpointConfig, FailCause, Probed, RegistrationState};
pub use challenge::Credentials;
pub use digest::{DigestAlgorithm, Secret};
pub use endpoint::{
    CallKey, Dial, Endpoint, IncomingCall, IncomingCalls, OutgoingCall, OutgoingEvent, Party, Register,
    Registration, Replaces, Seats, Session, SessionEvent, TransferStage,
};
pub use error::Error;
pub use registrar::{Account, Binding, RegistrarConfig, RegistrarEvent};
pub use sdes::{MasterKey, SrtpParams, SrtpPolicy, SrtpSuite};
pub use sdp::{Codec, Direction, LocalMedia, MediaParams, UnknownCodec};
pub use stack::Transport;
pub use tls::{CertificateFiles, Roots, TlsConfig, TlsError};
