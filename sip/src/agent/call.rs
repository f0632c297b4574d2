//! One call: its dialog (RFC 3261 §12), where it stands, and its session timer (RFC 4028).

use std::time::Duration;

use bytes::Bytes;

use crate::message::{self, Headers, Method, NameAddr, Reply, Request, SipUri};
use crate::sdes::{Crypto, SrtpParams, SrtpPolicy, Terms};
use crate::sdp::{Direction, LocalMedia, MediaParams, Origin, Remote, SdpError};
use crate::stack::{ClientTx, Flow, ServerTx, Transport};

pub(super) struct Call {
    pub(super) dialog: Dialog,
    pub(super) phase: Phase,
    pub(super) local: Option<LocalMedia>,
    pub(super) origin: Origin,
    pub(super) media: Option<MediaParams>,
    pub(super) srtp: SrtpPolicy,
    /// The keys in our last offer, until it is answered.
    pub(super) offered: Vec<Crypto>,
    /// The direction that we want: `SendOnly` while we hold the peer.
    pub(super) wish: Direction,
    pub(super) timer: Option<SessionTimer>,
    /// The shortest interval that the peer takes, from a 422.
    pub(super) peer_min_se: Duration,
    /// Whether the peer's `Allow` has UPDATE.
    pub(super) peer_updates: bool,
    /// A 2xx of ours that waits for its ACK.
    pub(super) unacked: Option<Unacked>,
    /// A re-INVITE or UPDATE of ours in flight.
    pub(super) asking: Option<Asking>,
    /// An offer that could not be made yet.
    pub(super) ask_again: Option<Ask>,
    /// BYE is due as soon as the ACK comes (RFC 3261 §15).
    pub(super) bye_after_ack: Option<Goodbye>,
    /// The implicit subscriptions of REFERs that we received, by CSeq.
    pub(super) refers_in: Vec<u32>,
    /// Those of REFERs that we sent.
    pub(super) refers_out: Vec<u32>,
    /// The INVITE that opened the call, while it can be cancelled.
    pub(super) invite: Option<ServerTx>,
    /// The credentials that the INVITE showed, for its ACK.
    pub(super) shown: Vec<(String, String)>,
    /// The last event has been told.
    pub(super) told_last: bool,
    /// The call no longer counts.
    pub(super) released: bool,
}

impl Call {
    /// What the answer in a message makes of the session, after an offer of ours.
    pub(super) fn answered(&self, headers: &Headers, body: &Bytes) -> Result<MediaParams, SdpError> {
        let body = message::body_of(headers, body, "application/sdp").ok_or(SdpError::NoAudio)?;
        let local = self.local.as_ref().ok_or(SdpError::NoAudio)?;
        Remote::read(&body)?.as_answer(local, self.wish, &self.offered)
    }

    /// The keys in use.
    pub(super) fn agreed_srtp(&self) -> Option<SrtpParams> {
        self.media.as_ref()?.srtp.as_deref().copied()
    }

    /// What may be agreed on about SRTP; `over_plain`: also without TLS.
    pub(super) fn terms(&self, over_plain: bool) -> Terms {
        let permitted = over_plain || self.dialog.flow.transport == Transport::Tls;
        Terms { policy: self.srtp, permitted }
    }
}

pub(super) enum Phase {
    Incoming(Box<Ringing>),
    Outgoing(Box<Dialling>),
    /// Answered.
    Up,
    /// Ended; kept while late requests may come.
    Over,
}

/// An incoming call that is not answered yet.
pub(super) struct Ringing {
    pub(super) tx: ServerTx,
    pub(super) offer: Option<Remote>,
    /// The peer requires reliable provisional responses.
    pub(super) reliable: bool,
    /// The reliable 180 that waits for its PRACK: RSeq, and the time to the next copy.
    pub(super) unpracked: Option<(u32, Duration)>,
    pub(super) rseq: u32,
    pub(super) invite_cseq: u32,
    pub(super) told: bool,
    /// The call that ends when this one is answered.
    pub(super) replaces: Option<u64>,
    /// What the INVITE says about session timers.
    pub(super) session: TimerOffer,
}

/// An outgoing call that is not answered yet.
pub(super) struct Dialling {
    pub(super) tx: ClientTx,
    pub(super) invite: Request,
    pub(super) provisional: bool,
    pub(super) cancel: bool,
    pub(super) rung: bool,
    /// The answer that came in a provisional response.
    pub(super) early: Option<MediaParams>,
    pub(super) last_rseq: Option<u32>,
    pub(super) interval: Duration,
}

pub(super) struct Unacked {
    pub(super) tx: ServerTx,
    pub(super) cseq: u32,
    pub(super) reply: Reply,
    pub(super) again: Duration,
    /// Our 2xx had the offer: the ACK brings the answer.
    pub(super) offered: bool,
    /// It answers the first INVITE.
    pub(super) initial: bool,
}

/// What we want of the peer in a re-INVITE or UPDATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// A new description: hold or resume.
    Offer,
    /// Nothing but a session refresh.
    Refresh,
}

/// A BYE to come, with the value of its `Reason`.
pub(super) struct Goodbye(pub(super) Option<String>);

#[derive(Debug, Clone, Copy)]
pub(super) struct Asking {
    pub(super) what: Ask,
    /// Whether an offer of ours is out.
    pub(super) offered: bool,
}

/// What a client transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Invite,
    ReInvite,
    Update,
    Bye,
    Refer(u32),
    /// Our own registration with an exchange.
    Register,
    /// OPTIONS outside of a call.
    Probe,
    /// INFO and PRACK: only 481 and silence matter.
    Other,
    /// The BYE for a second callee: whatever comes of it, the call goes on.
    Stray,
    /// NOTIFY: a refusal ends the subscription.
    Notify(u32),
}

/// A running session timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SessionTimer {
    pub(super) interval: Duration,
    pub(super) we_refresh: bool,
}

/// What a request says about session timers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TimerOffer {
    pub(super) supported: bool,
    pub(super) expires: Option<Duration>,
    pub(super) min_se: Option<Duration>,
    /// `refresher=uas`: the receiver of the request is to refresh.
    pub(super) uas_refreshes: Option<bool>,
}

impl TimerOffer {
    pub(super) fn read(headers: &Headers) -> Self {
        let value = headers.get("Session-Expires");
        Self {
            supported: headers.lists("Supported", "timer") || headers.lists("Require", "timer"),
            expires: value.and_then(seconds),
            min_se: headers.get("Min-SE").and_then(seconds),
            uas_refreshes: value
                .and_then(|v| crate::message::param(v, "refresher"))
                .map(|who| who.eq_ignore_ascii_case("uas")),
        }
    }
}

/// The delta-seconds that a header value begins with.
pub(super) fn seconds(value: &str) -> Option<Duration> {
    value.split(';').next()?.trim().parse::<u32>().ok().map(|s| Duration::from_secs(s.into()))
}

pub(super) struct Dialog {
    pub(super) call_id: String,
    pub(super) local_tag: String,
    pub(super) remote_tag: String,
    /// `From` or `To` without the tag.
    pub(super) local: String,
    pub(super) remote: String,
    /// The peer's `Contact`.
    pub(super) target: String,
    pub(super) routes: Vec<String>,
    pub(super) local_cseq: u32,
    pub(super) remote_cseq: Option<u32>,
    /// The flow that the dialog was made on.
    pub(super) flow: Flow,
    /// Everything goes there, whatever the target says: the peer is a seat that may be behind NAT.
    pub(super) pinned: bool,
    /// It was made with a `sips:` URI, and so is our `Contact` (RFC 5630 §5.1.1).
    pub(super) sips: bool,
}

/// Our `Contact` on a flow.
pub(super) fn contact(flow: &Flow, sips: bool) -> String {
    let transport = match flow.transport {
        Transport::Udp => "",
        Transport::Tcp => ";transport=tcp",
        Transport::Tls if sips => "",
        Transport::Tls => ";transport=tls",
    };
    let scheme = if sips { "sips" } else { "sip" };
    format!("<{scheme}:nightline@{}{transport}>", flow.local)
}

impl Dialog {
    /// Our `Contact` in it.
    pub(super) fn contact(&self) -> String {
        contact(&self.flow, self.sips)
    }

    /// A request in this dialog, with the next CSeq.
    pub(super) fn request(&mut self, method: Method) -> Request {
        self.local_cseq += 1;
        self.request_at(method, self.local_cseq)
    }

    /// A request in this dialog with this CSeq (for ACK).
    pub(super) fn request_at(&self, method: Method, cseq: u32) -> Request {
        let mut headers = Headers::default();
        for route in &self.routes {
            headers.push("Route", route.as_str());
        }
        headers.push("Max-Forwards", "70");
        headers.push("From", format!("{};tag={}", self.local, self.local_tag));
        let tag =
            if self.remote_tag.is_empty() { String::new() } else { format!(";tag={}", self.remote_tag) };
        headers.push("To", format!("{}{tag}", self.remote));
        headers.push("Call-ID", self.call_id.as_str());
        headers.push("CSeq", format!("{cseq} {method}"));
        Request { method, uri: self.target.clone(), headers, body: bytes::Bytes::new() }
    }

    /// The peer's `Contact` of this message becomes the target (RFC 3261 §12.2).
    pub(super) fn retarget(&mut self, headers: &Headers) {
        if let Some(contact) = headers.list("Contact").next() {
            let uri = NameAddr::parse(contact).uri;
            if SipUri::parse(uri).is_some() {
                uri.clone_into(&mut self.target);
            }
        }
    }

    /// Where requests of this dialog go: the first route or the target if that is an address, else back on the flow
    /// that the dialog was made on.
    pub(super) fn flow(&self, listeners: &[(Transport, std::net::SocketAddr)]) -> Flow {
        let target = SipUri::parse(&self.target).and_then(|uri| uri.addr());
        // A seat on a stream that is not behind NAT can be reached anew where it says, once its connection is gone.
        let here = self.flow.transport.is_stream()
            && target.is_some_and(|target| target.ip() == self.flow.remote.ip());
        if self.pinned && self.routes.is_empty() && !here {
            return self.flow;
        }
        let hop = self.routes.first().map_or(self.target.as_str(), |route| NameAddr::parse(route).uri);
        let Some(uri) = SipUri::parse(hop) else { return self.flow };
        let Some(mut addr) = uri.addr() else { return self.flow };
        if addr.is_ipv4() != self.flow.remote.is_ipv4() || addr.ip().is_unspecified() {
            return self.flow;
        }
        // Many peers leave it out of a Contact sent over a stream.
        let transport = uri.transport().unwrap_or(self.flow.transport);
        if self.flow.transport == Transport::Tls && transport != Transport::Tls {
            // What began over TLS stays there: keys may be in it.
            return self.flow;
        }
        if transport == Transport::Tls && uri.port.is_none() {
            addr.set_port(5061);
        }
        if transport == self.flow.transport {
            return Flow { remote: addr, ..self.flow };
        }
        let listener =
            listeners.iter().position(|(t, local)| *t == transport && local.is_ipv4() == addr.is_ipv4());
        match listener.and_then(|i| listeners.get(i).map(|(_, local)| (i, local))) {
            Some((listener, local)) => {
                let mut ours = self.flow.local;
                ours.set_port(local.port());
                Flow { transport, remote: addr, local: ours, listener, connection: None, name: None }
            }
            None => self.flow,
        }
    }
}
