//! What goes into the agent from the application, and what comes out.

use std::net::SocketAddr;
use std::time::Duration;

use super::config::{EndReason, FailCause};
use super::probe::Probed;
use super::transfer::Replaced;
use super::upstream::{RegistrationState, UpstreamRequest};
use crate::message::Headers;
use crate::registrar::RegistrarEvent;
use crate::sdes::SrtpPolicy;
use crate::sdp::{LocalMedia, MediaParams, SdpError};
use crate::stack::{Flow, Wire};

/// What is known of a call that came in.
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    pub(crate) call_id: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) uri: String,
    pub(crate) headers: Headers,
    pub(crate) offered: bool,
    pub(crate) remote: SocketAddr,
    /// The call of ours that it wants to replace.
    pub(crate) replaces: Option<Replaced>,
}

/// What the application wants. The number is the call's.
#[derive(Debug)]
pub(crate) enum Command {
    Dial { call: u64, dial: Box<OutgoingRequest> },
    Ring { call: u64 },
    Answer { call: u64, local: LocalMedia, srtp: Option<SrtpPolicy> },
    Reject { call: u64, code: u16, reason: String },
    Cancel { call: u64 },
    Hangup { call: u64, reason: Option<String> },
    Hold { call: u64, on: bool },
    Dtmf { call: u64, digit: char },
    Refer { call: u64, target: String, headers: Vec<(String, String)> },
    ReferReplacing { call: u64, other: u64, carried: Vec<(String, String)> },
    ReferProgress { call: u64, code: u16, reason: String },
    Register { id: u64, register: Box<UpstreamRequest> },
    Unregister { id: u64 },
    Probe { id: u64, target: String, flow: Flow },
    Drain,
}

/// An outgoing call, resolved to an address.
#[derive(Debug, Clone)]
pub(crate) struct OutgoingRequest {
    /// Whom to call, for `To`.
    pub(crate) target: String,
    /// The Request-URI, if it is another: where a registered user is.
    pub(crate) contact: Option<String>,
    pub(crate) from: String,
    pub(crate) display: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) local: LocalMedia,
    pub(crate) srtp: SrtpPolicy,
    pub(crate) ring_timeout: Duration,
    pub(crate) flow: Flow,
    /// Everything of the call goes to `flow`, whatever the peer says in `Contact`: it may be behind NAT.
    pub(crate) pinned: bool,
}

/// What happened to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallEvent {
    Ringing,
    Early(MediaParams),
    Answered(MediaParams),
    /// An answer of ours could not be made.
    Unanswerable(SdpError),
    /// An incoming call that was cancelled by its caller.
    Cancelled,
    Failed {
        code: u16,
        reason: String,
        cause: FailCause,
    },
    Media(MediaParams),
    Dtmf(char),
    Refer {
        to: String,
        headers: Vec<(String, String)>,
    },
    ReferProgress {
        code: u16,
        reason: String,
        done: bool,
    },
    Ended {
        by: EndReason,
        code: u16,
        reason: String,
    },
}

impl CallEvent {
    /// Nothing comes after it.
    pub(crate) fn is_last(&self) -> bool {
        matches!(self, Self::Unanswerable(_) | Self::Cancelled | Self::Failed { .. } | Self::Ended { .. })
    }
}

/// What the shell has to do.
#[derive(Debug)]
pub(crate) enum Output {
    Wire(Wire),
    Incoming { call: u64, incoming: Box<Incoming> },
    Event { call: u64, event: CallEvent },
    Seat(RegistrarEvent),
    Upstream { id: u64, state: RegistrationState },
    Probed { id: u64, probed: Probed },
}
