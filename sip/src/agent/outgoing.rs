//! A call that we make, from the INVITE to the ACK (RFC 3261 §13.2, RFC 3262, RFC 4028 §7).

use std::time::{Duration, Instant};

use rand::Rng;

use super::call::{Call, Dialling, Dialog, Phase, Purpose, SessionTimer, TimerOffer, seconds};
use super::{
    Agent, CallEvent, EndReason, FailCause, GIVE_UP, OutgoingRequest, Output, Probed, SUPPORTED, TimerKind,
};
use crate::message::{self, ALLOW, Headers, Method, NameAddr, Request, Response, SipUri};
use crate::sdes::{Crypto, Terms};
use crate::sdp::{self, Direction, Origin};
use crate::stack::{ClientTx, Stack, TxRef};

impl<S: Stack> Agent<S> {
    /// Sends the INVITE.
    pub(super) fn dial(&mut self, now: Instant, id: u64, dial: OutgoingRequest) {
        let mut local = dial.local;
        if local.ip.is_unspecified() {
            local.ip = dial.flow.local.ip();
        }
        let origin = Origin { id: self.rng.random_range(1..u64::from(u32::MAX)), version: 1 };
        let from = match &dial.display {
            Some(display) => format!("\"{}\" <{}>", display.replace(['"', '\\'], "'"), dial.from),
            None => format!("<{}>", dial.from),
        };
        let mut dialog = Dialog {
            call_id: format!("{}{}", self.token(), self.token()),
            local_tag: self.token(),
            remote_tag: String::new(),
            local: from,
            remote: format!("<{}>", dial.target),
            target: dial.contact.unwrap_or(dial.target),
            routes: Vec::new(),
            local_cseq: self.rng.random_range(1..10_000),
            remote_cseq: None,
            flow: dial.flow,
            pinned: dial.pinned,
            sips: false,
        };
        dialog.sips = is_sips(&dialog.target);
        let mut invite = dialog.request(Method::Invite);
        let interval = self.config.session_expires.max(self.min_se());
        for (name, value) in [
            ("Contact", dialog.contact()),
            ("Allow", ALLOW.to_owned()),
            ("Accept", "application/sdp".to_owned()),
            ("Supported", SUPPORTED.to_owned()),
            ("User-Agent", self.config.user_agent.clone()),
            ("Content-Type", "application/sdp".to_owned()),
        ] {
            invite.headers.push(name, value);
        }
        for (name, value) in &dial.headers {
            invite.headers.push(name.as_str(), value.as_str());
        }
        if invite.headers.get("Replaces").is_some() {
            // One who does not know it would ring as if nobody had been there before.
            invite.headers.push("Require", "replaces");
        }
        let terms = Terms { policy: dial.srtp, permitted: self.permits_srtp(&dialog.flow) };
        let offered = if terms.offers() { Crypto::all(&mut self.rng) } else { Vec::new() };
        invite.body = sdp::offer(&local, origin, Direction::SendRecv, None, &offered).into_bytes().into();

        let call = Call {
            phase: Phase::Over,
            dialog,
            local: Some(local),
            origin,
            media: None,
            srtp: dial.srtp,
            offered,
            wish: Direction::SendRecv,
            timer: None,
            peer_min_se: Duration::ZERO,
            peer_updates: false,
            unacked: None,
            asking: None,
            ask_again: None,
            bye_after_ack: None,
            refers_in: Vec::new(),
            refers_out: Vec::new(),
            invite: None,
            shown: Vec::new(),
            told_last: false,
            released: false,
        };
        self.dialogs.insert((call.dialog.call_id.clone(), call.dialog.local_tag.clone()), id);
        self.calls.insert(id, call);
        self.active += 1;
        if self.draining || self.active > self.config.max_calls {
            return self.fail(now, id, 503, "Too many calls on this endpoint", FailCause::Other);
        }
        self.timers.set((id, TimerKind::RingTimeout), now + dial.ring_timeout);
        self.send_invite(now, id, invite, interval);
    }

    fn send_invite(&mut self, now: Instant, id: u64, invite: Request, interval: Duration) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let mut request = invite.clone();
        request.headers.push("Session-Expires", interval.as_secs().to_string());
        if !call.peer_min_se.is_zero() {
            request.headers.push("Min-SE", call.peer_min_se.as_secs().to_string());
        }
        let flow = call.dialog.flow;
        match self.stack.request(now, &request, flow) {
            Ok(tx) => {
                call.phase = Phase::Outgoing(Box::new(Dialling {
                    tx,
                    invite,
                    provisional: false,
                    cancel: false,
                    rung: false,
                    early: None,
                    last_rseq: None,
                    interval,
                }));
                self.clients.insert(tx, (id, Purpose::Invite));
                self.remember(tx, &request, flow);
            }
            Err(error) => {
                tracing::warn!("{error}");
                self.fail(now, id, 400, "the request is not legal SIP", FailCause::Other);
            }
        }
    }

    /// A response to the INVITE that opens a call.
    pub(super) fn invite_response(&mut self, now: Instant, id: u64, tx: ClientTx, response: &Response) {
        let tag = message::tag(&response.headers, "To").unwrap_or_default();
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Phase::Outgoing(dialling) = &mut call.phase else {
            // Answered or given up already.
            if (200..300).contains(&response.code) {
                self.late_ok(now, id, response, &tag);
            }
            return;
        };
        if dialling.tx != tx {
            return;
        }
        match response.code {
            100..200 => {
                if !dialling.provisional {
                    dialling.provisional = true;
                    if dialling.cancel {
                        return self.stack.cancel(now, tx, &Headers::default());
                    }
                }
                if response.code > 100 && !dialling.cancel {
                    self.progress(now, id, response, tag);
                }
            }
            200..300 => {
                let cancelled = dialling.cancel;
                let early = dialling.early.take();
                adopt(call, response, tag);
                self.timers.clear(&(id, TimerKind::RingTimeout));
                self.ack(id, response, now);
                let Some(call) = self.calls.get_mut(&id) else { return };
                call.phase = Phase::Up;
                if cancelled {
                    // Our CANCEL lost the race.
                    return self.bye(now, id, None);
                }
                let fresh = call.answered(&response.headers, &response.body);
                let Some(media) = fresh.as_ref().ok().cloned().or(early) else {
                    let why = fresh.err().map_or_else(String::new, |error| format!(": {error}"));
                    let reason = format!("the callee's answer has no usable audio{why}");
                    self.fail_event(id, 488, &reason, FailCause::Other);
                    return self.bye(now, id, Some("SIP;cause=488;text=\"No usable answer\"".to_owned()));
                };
                call.media = Some(media.clone());
                call.timer = adopted_timer(&response.headers);
                self.arm_session_timer(now, id);
                self.event(id, CallEvent::Answered(media));
            }
            422 if !dialling.cancel => {
                let min = response.headers.get("Min-SE").and_then(seconds).unwrap_or_default();
                if min <= dialling.interval || min > Duration::from_secs(86_400) {
                    return self.fail(now, id, 422, &response.reason, FailCause::Other);
                }
                let mut invite = dialling.invite.clone();
                call.peer_min_se = min;
                call.dialog.local_cseq += 1;
                invite.headers.set("CSeq", format!("{} INVITE", call.dialog.local_cseq));
                self.send_invite(now, id, invite, min);
            }
            code => self.fail(now, id, code, &response.reason, FailCause::of(code)),
        }
    }

    /// 180, 183 and the like.
    fn progress(&mut self, now: Instant, id: u64, response: &Response, tag: String) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let rseq: Option<u32> = response.headers.get("RSeq").and_then(|v| v.trim().parse().ok());
        let reliable = response.headers.lists("Require", "100rel");
        let fork = !tag.is_empty() && tag != call.dialog.remote_tag;
        if !tag.is_empty() {
            adopt(call, response, tag);
        }
        let Phase::Outgoing(dialling) = &mut call.phase else { return };
        if let (true, Some(rseq)) = (reliable, rseq) {
            if fork {
                dialling.last_rseq = None;
            }
            let invite_cseq = message::cseq(&response.headers).map_or(0, |(number, _)| number);
            match dialling.last_rseq {
                // A copy, or one out of order: its PRACK is on the way, or the missing one comes first.
                Some(last) if Some(rseq) != last.checked_add(1) => {}
                _ => {
                    dialling.last_rseq = Some(rseq);
                    let mut prack = call.dialog.request(Method::Prack);
                    prack.headers.push("RAck", format!("{rseq} {invite_cseq} INVITE"));
                    self.send_in_dialog(now, id, &prack, Purpose::Other);
                }
            }
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        let media = call.answered(&response.headers, &response.body);
        let Phase::Outgoing(dialling) = &mut call.phase else { return };
        if let Ok(media) = media {
            if dialling.early.as_ref() != Some(&media) {
                dialling.early = Some(media.clone());
                self.event(id, CallEvent::Early(media));
            }
        } else if !dialling.rung && response.code != 183 {
            dialling.rung = true;
            self.event(id, CallEvent::Ringing);
        }
    }

    /// Another 2xx to an INVITE that is settled: a copy gets the ACK again, a second callee (a fork) is hung up, and
    /// so is the one who answered a call that we had given up.
    fn late_ok(&mut self, now: Instant, id: u64, response: &Response, tag: &str) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.dialog.remote_tag == tag && matches!(call.phase, Phase::Up) {
            return self.ack(id, response, now);
        }
        let known = call.dialog.remote_tag == tag && !tag.is_empty();
        let kept = (
            call.dialog.remote_tag.clone(),
            call.dialog.target.clone(),
            call.dialog.routes.clone(),
            call.dialog.local_cseq,
        );
        adopt(call, response, tag.to_owned());
        self.ack(id, response, now);
        let up = self.calls.get(&id).is_some_and(|call| matches!(call.phase, Phase::Up));
        if (up || !known)
            && let Some(call) = self.calls.get_mut(&id)
        {
            let bye = call.dialog.request(Method::Bye);
            self.send_in_dialog(now, id, &bye, Purpose::Stray);
        }
        if up && let Some(call) = self.calls.get_mut(&id) {
            (call.dialog.remote_tag, call.dialog.target, call.dialog.routes, call.dialog.local_cseq) = kept;
        }
    }

    /// The ACK of a 2xx; it takes the CSeq of its INVITE (RFC 3261 §13.2.2.4).
    pub(super) fn ack(&mut self, id: u64, response: &Response, _now: Instant) {
        let Some(call) = self.calls.get(&id) else { return };
        let Some((number, _)) = message::cseq(&response.headers) else { return };
        let mut ack = call.dialog.request_at(Method::Ack, number);
        for (name, value) in &call.shown {
            ack.headers.push(name.as_str(), value.as_str());
        }
        let flow = call.dialog.flow(&self.listeners);
        if let Err(error) = self.stack.ack(&ack, flow) {
            tracing::warn!("{error}");
        }
    }

    /// The application no longer wants the call.
    pub(super) fn cancel(&mut self, now: Instant, id: u64) {
        self.give_up(now, id, 487, "Cancelled", FailCause::Other);
    }

    /// Nobody answers.
    pub(super) fn ring_timeout(&mut self, now: Instant, id: u64) {
        if let Some(Call { phase: Phase::Outgoing(dialling), .. }) = self.calls.get(&id)
            && dialling.cancel
        {
            self.stack.unsendable(now, TxRef::Client(dialling.tx));
            return self.over(now, id);
        }
        let rung = self
            .calls
            .get(&id)
            .is_some_and(|call| matches!(&call.phase, Phase::Outgoing(d) if d.provisional));
        let cause = if rung { FailCause::NoAnswer } else { FailCause::Unreachable };
        self.give_up(now, id, 408, "No answer in time", cause);
    }

    fn give_up(&mut self, now: Instant, id: u64, code: u16, reason: &str, cause: FailCause) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Phase::Outgoing(dialling) = &mut call.phase else {
            // It was answered in the meantime.
            return self.hangup(now, id, None);
        };
        if !std::mem::replace(&mut dialling.cancel, true) && dialling.provisional {
            // RFC 3261 §9.1: not before a provisional response; without one it goes out when that comes.
            let tx = dialling.tx;
            self.stack.cancel(now, tx, &Headers::default());
        }
        // A callee that ignores the CANCEL too is left alone then (RFC 3261 §9.1).
        self.timers.set((id, TimerKind::RingTimeout), now + GIVE_UP);
        self.fail_event(id, code, reason, cause);
    }

    pub(super) fn fail(&mut self, now: Instant, id: u64, code: u16, reason: &str, cause: FailCause) {
        self.fail_event(id, code, reason, cause);
        self.over(now, id);
    }

    fn fail_event(&mut self, id: u64, code: u16, reason: &str, cause: FailCause) {
        self.event(id, CallEvent::Failed { code, reason: reason.to_owned(), cause });
    }

    /// The status of a request without a response, and the words for it.
    fn no_way(&self, whom: &str, unreachable: bool) -> (u16, String) {
        match &self.why {
            _ if !unreachable => (408, format!("{whom} is silent")),
            Some(why) => (503, format!("{whom} cannot be reached: {why}")),
            None => (503, format!("{whom} cannot be reached")),
        }
    }

    /// A request of ours got no final response.
    pub(super) fn no_response(&mut self, now: Instant, tx: ClientTx, unreachable: bool) {
        let Some((id, purpose)) = self.clients.remove(&tx) else { return };
        self.sent.remove(&tx);
        match purpose {
            Purpose::Invite => {
                let current = self.calls.get(&id).is_some_and(
                    |call| matches!(&call.phase, Phase::Outgoing(dialling) if dialling.tx == tx),
                );
                if current {
                    let (code, reason) = self.no_way("the callee", unreachable);
                    self.fail(now, id, code, &reason, FailCause::Unreachable);
                }
            }
            Purpose::Bye => self.over(now, id),
            Purpose::Stray => {}
            Purpose::Register => {
                let (code, reason) = self.no_way("the exchange", unreachable);
                self.register_failed(now, id, code, &reason, None);
            }
            Purpose::Probe => {
                let (code, reason) = self.no_way("the far end", unreachable);
                self.out
                    .push_back(Output::Probed { id, probed: Probed { code, reason, ..Probed::default() } });
            }
            // RFC 3261 §12.2.1.2: no response at all ends the dialog.
            _ => {
                let by = if unreachable { EndReason::Transport } else { EndReason::Timeout };
                let reason = format!("no answer to a request in the call ({purpose:?})");
                if self.calls.get(&id).is_some_and(|call| matches!(call.phase, Phase::Outgoing(_))) {
                    // A PRACK is lost: what is there to be ended is still the INVITE.
                    return self.give_up(now, id, 408, &reason, FailCause::Unreachable);
                }
                self.event(id, CallEvent::Ended { by, code: 408, reason });
                self.bye(now, id, None);
            }
        }
    }
}

/// Whether everything on the way has to be TLS.
pub(super) fn is_sips(uri: &str) -> bool {
    SipUri::parse(uri).is_some_and(|uri| uri.sips)
}

/// What a response tells about the dialog: the peer's tag, target and routes.
fn adopt(call: &mut Call, response: &Response, tag: String) {
    call.dialog.remote_tag = tag;
    let mut routes: Vec<String> = response.headers.list("Record-Route").map(str::to_owned).collect();
    routes.reverse();
    call.dialog.routes = routes;
    if let Some(contact) = response.headers.list("Contact").next() {
        let uri = NameAddr::parse(contact).uri;
        if SipUri::parse(uri).is_some() {
            uri.clone_into(&mut call.dialog.target);
        }
    }
    if response.headers.get("Allow").is_some() {
        call.peer_updates = response.headers.lists("Allow", "UPDATE");
    }
}

/// The session timer of a 2xx, as the one who asked (RFC 4028 §7.2).
pub(super) fn adopted_timer(headers: &Headers) -> Option<SessionTimer> {
    let offer = TimerOffer::read(headers);
    offer.expires.map(|interval| SessionTimer {
        interval: interval.max(Duration::from_secs(90)),
        we_refresh: !offer.uas_refreshes.unwrap_or(false),
    })
}
