//! An answered call.

use super::{CallKey, Handle};
use crate::agent::{CallEvent, Command, EndReason};
use crate::custom;
use crate::error::Error;
use crate::sdp::MediaParams;

/// What happens in an answered call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEvent {
    /// The media changed: hold, resume, another address or codec.
    Media(MediaParams),
    /// A digit that came in SIP INFO: `0`–`9`, `*`, `#`, `A`–`D`.
    Dtmf(char),
    /// The peer wants us to call `to` instead of it. Report with [`Session::refer_progress`].
    Refer {
        /// The URI to call.
        to: String,
        /// The other headers of the REFER, such as `Referred-By`.
        headers: Vec<(String, String)>,
    },
    /// How a [`Session::refer`] goes: the status that the peer sees. `done` is the last one; with 408 when nothing was
    /// heard within [`crate::EndpointConfig::transfer_timeout`].
    ReferProgress {
        /// What the status means.
        stage: TransferStage,
        /// SIP status; 0 if the peer did not say.
        code: u16,
        /// The words with it.
        reason: String,
        /// No more will come.
        done: bool,
    },
    /// The call is over. Nothing comes after it but the same again.
    Ended {
        /// Who or what ended it.
        by: EndReason,
        /// SIP status.
        code: u16,
        /// The `Reason` header of a BYE, or our own words.
        reason: String,
    },
}

/// How far a transfer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransferStage {
    /// The peer is about to call.
    Trying,
    /// It rings there.
    Ringing,
    /// Somebody has answered: the peer no longer needs us.
    Answered,
    /// Refused, or nobody answered: the peer is still ours.
    Failed,
    /// The peer says no more, and not how it ended.
    Unknown,
}

impl TransferStage {
    fn of(code: u16) -> Self {
        match code {
            100 => Self::Trying,
            101..200 => Self::Ringing,
            200..300 => Self::Answered,
            300.. => Self::Failed,
            _ => Self::Unknown,
        }
    }
}

/// An answered call. Dropping it hangs up.
#[derive(Debug)]
pub struct Session {
    handle: Handle,
    media: MediaParams,
    ended: Option<SessionEvent>,
}

impl Session {
    pub(super) fn new(handle: Handle, media: MediaParams) -> Self {
        Self { handle, media, ended: None }
    }

    /// Which call this is.
    pub fn key(&self) -> CallKey {
        CallKey(self.handle.call)
    }

    /// The media as last told by [`Session::event`].
    pub fn media(&self) -> &MediaParams {
        &self.media
    }

    /// The next event. Safe to drop and call again (in `select!`).
    pub async fn event(&mut self) -> SessionEvent {
        loop {
            if let Some(ended) = &self.ended {
                return ended.clone();
            }
            match self.handle.event().await {
                Some(CallEvent::Media(media)) => {
                    self.media = media.clone();
                    return SessionEvent::Media(media);
                }
                Some(CallEvent::Dtmf(digit)) => return SessionEvent::Dtmf(digit),
                Some(CallEvent::Refer { to, headers }) => return SessionEvent::Refer { to, headers },
                Some(CallEvent::ReferProgress { code, reason, done }) => {
                    let stage = TransferStage::of(code);
                    return SessionEvent::ReferProgress { stage, code, reason, done };
                }
                Some(CallEvent::Ended { by, code, reason }) => {
                    self.ended = Some(SessionEvent::Ended { by, code, reason });
                }
                Some(_) => {}
                None => {
                    let reason = "the endpoint has stopped".to_owned();
                    self.ended = Some(SessionEvent::Ended { by: EndReason::Local, code: 503, reason });
                }
            }
        }
    }

    /// Ends the call; `reason_header` is the value of a `Reason` header, such as `Q.850;cause=16`.
    pub fn hangup(&self, reason_header: Option<&str>) {
        let reason = reason_header.map(str::to_owned);
        self.handle.command(Command::Hangup { call: self.handle.call, reason });
    }

    /// Puts the peer on hold: we may send (music), it must not. [`SessionEvent::Media`] tells when it is done.
    pub fn hold(&self) {
        self.handle.command(Command::Hold { call: self.handle.call, on: true });
    }

    /// Takes the peer off hold.
    pub fn resume(&self) {
        self.handle.command(Command::Hold { call: self.handle.call, on: false });
    }

    /// Sends a digit in SIP INFO, for peers without RFC 4733.
    pub fn send_info_dtmf(&self, digit: char) {
        if digit.is_ascii() && !digit.is_ascii_control() {
            self.handle.command(Command::Dtmf { call: self.handle.call, digit });
        }
    }

    /// Asks the peer to call `target` (blind transfer). [`SessionEvent::ReferProgress`] tells how it goes. The headers
    /// go into the REFER itself; [`Session::refer_carrying`] is for those that the new call shall have.
    pub fn refer(&self, target: &str, headers: &[(String, String)]) -> Result<(), Error> {
        self.refer_carrying(target, &[], headers)
    }

    /// The same, where the new call shall bring `carried` along: `User-to-User` (see [`crate::uui`]), `X-…`. They travel
    /// in the URI of `Refer-To`, escaped. Not every exchange passes them on.
    pub fn refer_carrying(
        &self,
        target: &str,
        carried: &[(String, String)],
        headers: &[(String, String)],
    ) -> Result<(), Error> {
        let bad = |reason: &str| Error::Target {
            uri: target.chars().take(80).collect(),
            reason: reason.to_owned(),
        };
        let scheme = target.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if !custom::is_plain_uri(target) || !matches!(scheme.as_str(), "sip" | "sips" | "tel") {
            return Err(bad("it is not a SIP or telephone URI"));
        }
        if scheme == "tel" && !carried.is_empty() {
            return Err(bad("a telephone URI carries no headers"));
        }
        custom::check(&[carried, headers].concat(), custom::MAX_DATAGRAM)?;
        let (target, headers) = (custom::with_headers(target, carried), headers.to_vec());
        self.handle.command(Command::Refer { call: self.handle.call, target, headers });
        Ok(())
    }

    /// Asks the peer to take our place in `other`, an answered call of the same endpoint (attended transfer, RFC 5589
    /// §7): it calls the far end of that one directly, with `carried` as its headers, and that one gives ours up. Both
    /// calls stay until [`SessionEvent::ReferProgress`] says `Answered`; the far end then hangs up on us by itself.
    ///
    /// The peer has to be able to reach that far end: through an exchange, mostly. A phone that is registered here sends
    /// its calls here, and this endpoint forwards none; such a seat is better bridged.
    pub fn refer_replacing(&self, other: &Self, carried: &[(String, String)]) -> Result<(), Error> {
        if !self.handle.shell.same_channel(&other.handle.shell) {
            let reason = "the other call belongs to another endpoint".to_owned();
            return Err(Error::Target { uri: String::new(), reason });
        }
        custom::check(carried, custom::MAX_DATAGRAM)?;
        let (call, other, carried) = (self.handle.call, other.handle.call, carried.to_vec());
        self.handle.command(Command::ReferReplacing { call, other, carried });
        Ok(())
    }

    /// Tells the peer how its REFER goes: 1xx while it is under way, then the final status, once.
    pub fn refer_progress(&self, code: u16, reason: &str) {
        let reason = reason.to_owned();
        self.handle.command(Command::ReferProgress { call: self.handle.call, code, reason });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.handle.over {
            self.hangup(None);
        }
    }
}
