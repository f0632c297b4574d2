//! Calls that are not answered yet: those that come in and those that we make.

use std::net::SocketAddr;

use tokio::sync::mpsc;

use super::{CallKey, Party, Session};
use crate::agent::{CallEvent, Command, FailCause, Incoming};
use crate::error::Error;
use crate::sdes::SrtpPolicy;
use crate::sdp::{LocalMedia, MediaParams, SdpError};
use crate::shell::ToShell;
use crate::uui::{self, Uui};

/// The application's end of one call.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) call: u64,
    pub(crate) shell: mpsc::UnboundedSender<ToShell>,
    pub(crate) events: mpsc::Receiver<CallEvent>,
    /// Nothing more is to be told or asked.
    pub(crate) over: bool,
}

impl Handle {
    pub(super) fn command(&self, command: Command) {
        // A stopped endpoint has ended its calls already.
        let _ = self.shell.send(ToShell::Command(command));
    }

    pub(super) async fn event(&mut self) -> Option<CallEvent> {
        let event = self.events.recv().await;
        self.over |= event.as_ref().is_none_or(CallEvent::is_last);
        event
    }
}

/// The call that another one wants to take the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaces {
    /// The [`Session::key`] of it, or the [`OutgoingCall::key`] while it is early.
    pub call: CallKey,
    /// It is one that we make and that nobody has answered yet.
    pub early: bool,
}

/// A call that waits for our answer. Dropping it refuses the call with 480.
#[derive(Debug)]
pub struct IncomingCall {
    pub(crate) key: CallKey,
    pub(crate) handle: Option<Handle>,
    pub(crate) incoming: Box<Incoming>,
    pub(crate) srtp: Option<SrtpPolicy>,
}

impl IncomingCall {
    /// The `Call-ID`.
    pub fn call_id(&self) -> &str {
        &self.incoming.call_id
    }

    /// Which call this is; the [`Session`] that it becomes has the same.
    pub fn key(&self) -> CallKey {
        self.key
    }

    /// The call of ours whose place this one wants to take (RFC 3891): the end of an attended transfer. When this one
    /// is answered, that one ends with [`crate::EndReason::Replaced`], or with 487 if nobody has answered it yet.
    pub fn replaces(&self) -> Option<Replaces> {
        let replaced = self.incoming.replaces?;
        Some(Replaces { call: CallKey(replaced.call), early: replaced.early })
    }

    /// Who calls.
    pub fn from(&self) -> Party {
        Party::parse(&self.incoming.from)
    }

    /// Who is called, as the caller dialled.
    pub fn to(&self) -> Party {
        Party::parse(&self.incoming.to)
    }

    /// The Request-URI: whom the call was routed to.
    pub fn request_uri(&self) -> &str {
        &self.incoming.uri
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.incoming.headers.get(name)
    }

    /// All headers of the INVITE, in order, by the names that they came with.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.incoming.headers.iter()
    }

    /// What the caller's side tells us in `User-to-User`; what of it cannot be read is left out.
    pub fn user_to_user(&self) -> Vec<Uui> {
        self.incoming.headers.list(uui::HEADER).filter_map(|value| Uui::parse(value).ok()).collect()
    }

    /// Whether the INVITE has a session description; without one, ours goes first.
    pub fn offered(&self) -> bool {
        self.incoming.offered
    }

    /// Whether its media is to be encrypted, in place of [`crate::EndpointConfig::srtp`]. It can be stricter than that,
    /// not laxer: what the endpoint does not take has been refused already.
    pub fn set_srtp(&mut self, policy: SrtpPolicy) {
        self.srtp = Some(policy);
    }

    /// Where the INVITE came from.
    pub fn remote_addr(&self) -> SocketAddr {
        self.incoming.remote
    }

    /// Tells the caller that it rings (180).
    #[expect(clippy::unused_async, reason = "room for waiting until it is on the wire")]
    pub async fn ring(&mut self) {
        if let Some(handle) = &self.handle {
            handle.command(Command::Ring { call: handle.call });
        }
    }

    /// Returns when the caller has given up; never otherwise. For use beside the work that prepares the answer.
    pub async fn cancelled(&mut self) {
        if let Some(handle) = &mut self.handle
            && !handle.over
        {
            while handle.event().await.is_some_and(|event| !event.is_last()) {}
        }
    }

    /// Answers (200). Without an offer from the caller this waits for the ACK, which has the caller's answer.
    pub async fn answer(mut self, local: LocalMedia) -> Result<Session, Error> {
        let handle = self.handle.take().ok_or(Error::Cancelled)?;
        if handle.over {
            return Err(Error::Cancelled);
        }
        handle.command(Command::Answer { call: handle.call, local, srtp: self.srtp });
        let mut guard = Guard(Some(handle));
        loop {
            let Some(handle) = &mut guard.0 else { return Err(Error::Stopped) };
            let event = handle.event().await;
            let failure = match event {
                Some(CallEvent::Answered(media)) => {
                    let handle = guard.0.take().ok_or(Error::Stopped)?;
                    return Ok(Session::new(handle, media));
                }
                Some(CallEvent::Cancelled) => Error::Cancelled,
                Some(CallEvent::Unanswerable(SdpError::NoCommonCodec)) => Error::NoCommonCodec,
                Some(CallEvent::Unanswerable(error)) => Error::Offer(error),
                Some(CallEvent::Ended { reason, .. }) => Error::Ended(reason),
                Some(_) => continue,
                None => Error::Stopped,
            };
            return Err(failure);
        }
    }

    /// Refuses with this status code (300–699) and these words; with no words, the usual ones.
    #[expect(clippy::unused_async, reason = "room for waiting until it is on the wire")]
    pub async fn reject(mut self, code: u16, reason: &str) {
        if let Some(handle) = self.handle.take() {
            handle.command(Command::Reject { call: handle.call, code, reason: reason.to_owned() });
        }
    }
}

impl Drop for IncomingCall {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take()
            && !handle.over
        {
            handle.command(Command::Reject { call: handle.call, code: 480, reason: String::new() });
        }
    }
}

/// Hangs up when an `answer` is dropped half-way.
struct Guard(Option<Handle>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(handle) = self.0.take()
            && !handle.over
        {
            handle.command(Command::Hangup { call: handle.call, reason: None });
        }
    }
}

/// What happens to a call that we make.
#[derive(Debug)]
pub enum OutgoingEvent {
    /// It rings.
    Ringing,
    /// The callee's side speaks before it answers.
    EarlyMedia(MediaParams),
    /// Answered. Nothing comes after it.
    Answered(Session),
    /// Not answered. Nothing comes after it.
    Failed {
        /// The status code; 408 if nobody answered in time.
        code: u16,
        /// The words with it.
        reason: String,
        /// What it means.
        cause: FailCause,
    },
}

/// A call that we make. Dropping it cancels it.
#[derive(Debug)]
pub struct OutgoingCall {
    pub(super) key: CallKey,
    pub(super) handle: Option<Handle>,
}

impl OutgoingCall {
    /// Which call this is; the [`Session`] that it becomes has the same.
    pub fn key(&self) -> CallKey {
        self.key
    }

    /// The next event. After the last one this waits for ever.
    pub async fn event(&mut self) -> OutgoingEvent {
        loop {
            let event = match &mut self.handle {
                Some(handle) if !handle.over => handle.event().await,
                _ => std::future::pending().await,
            };
            return match event {
                Some(CallEvent::Ringing) => OutgoingEvent::Ringing,
                Some(CallEvent::Early(media)) => OutgoingEvent::EarlyMedia(media),
                Some(CallEvent::Answered(media)) => match self.handle.take() {
                    Some(handle) => OutgoingEvent::Answered(Session::new(handle, media)),
                    None => continue,
                },
                Some(CallEvent::Failed { code, reason, cause }) => {
                    OutgoingEvent::Failed { code, reason, cause }
                }
                Some(CallEvent::Ended { code, reason, .. }) => {
                    OutgoingEvent::Failed { code, reason, cause: FailCause::Other }
                }
                Some(_) => continue,
                None => OutgoingEvent::Failed {
                    code: 503,
                    reason: "the endpoint has stopped".to_owned(),
                    cause: FailCause::Other,
                },
            };
        }
    }

    /// Gives up. [`OutgoingCall::event`] then tells `Failed` with 487, unless an answer came first.
    pub fn cancel(&self) {
        if let Some(handle) = &self.handle {
            handle.command(Command::Cancel { call: handle.call });
        }
    }
}

impl Drop for OutgoingCall {
    fn drop(&mut self) {
        if let Some(handle) = &self.handle
            && !handle.over
        {
            handle.command(Command::Cancel { call: handle.call });
        }
    }
}
