//! A call that comes in, from the INVITE to the ACK (RFC 3261 §13.3, RFC 3262, RFC 4028 §9).

use std::time::{Duration, Instant};

use rand::Rng;

use super::call::{Call, Dialog, Goodbye, Phase, Ringing, SessionTimer, TimerOffer, Unacked};
use super::outgoing::is_sips;
use super::{Agent, CallEvent, EndReason, GIVE_UP, Incoming, Output, SUPPORTED, T1, T2, TimerKind, sdp_body};
use crate::message::{self, ALLOW, NameAddr, Reply, Request};
use crate::sdes::{Crypto, SrtpPolicy, Terms};
use crate::sdp::{Codec, Direction, LocalMedia, Origin, Remote, SdpError};
use crate::stack::{Flow, ServerTx, Stack, Transport};

/// A provisional response every minute.
const STILL_RINGING: Duration = Duration::from_secs(60);

impl<S: Stack> Agent<S> {
    /// An INVITE outside of any dialog that has passed the general checks.
    pub(super) fn invited(&mut self, now: Instant, tx: ServerTx, request: &Request, flow: Flow) {
        let headers = &request.headers;
        let replaces = match self.replaced(headers) {
            Ok(replaces) => replaces,
            Err(reply) => return self.answer_with(now, tx, reply),
        };
        // One that replaces another takes no place of its own.
        if self.draining || (self.active >= self.config.max_calls && replaces.is_none()) {
            return self.answer_with(now, tx, Reply::new(503));
        }
        let accepts = |value: &str| {
            matches!(message::bare(value).as_str(), "application/sdp" | "application/*" | "*/*")
        };
        if headers.get("Accept").is_some() && !headers.list("Accept").any(accepts) {
            return self.answer_with(now, tx, Reply::new(406).header("Accept", "application/sdp"));
        }
        let terms = Terms { policy: self.config.srtp, permitted: self.permits_srtp(&flow) };
        let offer = match sdp_body(headers, &request.body) {
            Ok(Some(body)) => match read_offer(&body, terms) {
                Ok(offer) => Some(offer),
                Err(error) => return self.answer_with(now, tx, not_acceptable(&error, &flow)),
            },
            Ok(None) => None,
            Err(reply) => return self.answer_with(now, tx, reply),
        };
        let timer = TimerOffer::read(headers);
        if let Some(reply) = self.interval_too_small(&timer) {
            return self.answer_with(now, tx, reply);
        }

        self.last_incoming += 2;
        let id = self.last_incoming;
        let from = headers.get("From").unwrap_or_default();
        let to = headers.get("To").unwrap_or_default();
        let mut dialog = Dialog {
            call_id: headers.get("Call-ID").unwrap_or_default().to_owned(),
            local_tag: self.token(),
            remote_tag: message::tag(headers, "From").unwrap_or_default(),
            local: message::without_params(to),
            remote: message::without_params(from),
            // A caller of RFC 2543 may have no Contact.
            target: NameAddr::parse(from).uri.to_owned(),
            routes: headers.list("Record-Route").map(str::to_owned).collect(),
            local_cseq: self.rng.random_range(1..10_000),
            remote_cseq: message::cseq(headers).map(|(number, _)| number),
            flow,
            pinned: self.registrar.as_ref().is_some_and(|registrar| registrar.is_seat(&flow)),
            sips: is_sips(&request.uri) && flow.transport == Transport::Tls,
        };
        dialog.retarget(headers);
        let incoming = Box::new(Incoming {
            call_id: dialog.call_id.clone(),
            from: from.to_owned(),
            to: to.to_owned(),
            uri: request.uri.clone(),
            headers: headers.clone(),
            offered: offer.is_some(),
            remote: flow.remote,
            replaces,
        });
        self.stack.respond(now, tx, &Reply::new(100));
        self.dialogs.insert((dialog.call_id.clone(), dialog.local_tag.clone()), id);
        self.invites.insert(tx, id);
        let ringing = Ringing {
            tx,
            offer,
            reliable: headers.lists("Require", "100rel"),
            unpracked: None,
            rseq: self.rng.random_range(1..100_000),
            invite_cseq: dialog.remote_cseq.unwrap_or(0),
            told: false,
            session: timer,
            replaces: replaces.map(|replaced| replaced.call),
        };
        let call = Call {
            dialog,
            phase: Phase::Incoming(Box::new(ringing)),
            local: None,
            origin: Origin { id: self.rng.random_range(1..u64::from(u32::MAX)), version: 1 },
            media: None,
            srtp: self.config.srtp,
            offered: Vec::new(),
            wish: Direction::SendRecv,
            timer: None,
            peer_min_se: Duration::ZERO,
            peer_updates: headers.lists("Allow", "UPDATE"),
            unacked: None,
            asking: None,
            ask_again: None,
            bye_after_ack: None,
            refers_in: Vec::new(),
            refers_out: Vec::new(),
            invite: Some(tx),
            shown: Vec::new(),
            told_last: false,
            released: false,
        };
        self.calls.insert(id, call);
        self.active += 1;
        self.out.push_back(Output::Incoming { call: id, incoming });
    }

    /// RFC 4028 §9: 422 when the peer knows session timers and wants a shorter one than we take.
    pub(super) fn interval_too_small(&self, timer: &TimerOffer) -> Option<Reply> {
        let min = self.min_se();
        let too_small = timer.supported && timer.expires.is_some_and(|expires| expires < min);
        too_small.then(|| Reply::new(422).header("Min-SE", min.as_secs().to_string()))
    }

    /// Never below the RFC's 90 s.
    pub(super) fn min_se(&self) -> Duration {
        self.config.min_session_expires.max(Duration::from_secs(90))
    }

    /// 180, reliably if the caller requires it.
    pub(super) fn ring(&mut self, now: Instant, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Phase::Incoming(ringing) = &mut call.phase else { return };
        if ringing.unpracked.is_some() {
            return;
        }
        if ringing.reliable && !ringing.told {
            ringing.rseq += 1;
            ringing.unpracked = Some((ringing.rseq, T1));
            self.timers.set((id, TimerKind::RingAgain), now + T1);
            self.timers.set((id, TimerKind::NoPrack), now + GIVE_UP);
        }
        ringing.told = true;
        self.timers.set((id, TimerKind::StillRinging), now + STILL_RINGING);
        self.send_ringing(now, id);
    }

    fn send_ringing(&mut self, now: Instant, id: u64) {
        let Some(call) = self.calls.get(&id) else { return };
        let Phase::Incoming(ringing) = &call.phase else { return };
        let mut reply = Reply::new(180)
            .tag(&call.dialog.local_tag)
            .header("Contact", call.dialog.contact())
            .header("Allow", ALLOW);
        if let Some((rseq, _)) = ringing.unpracked {
            reply = reply.header("Require", "100rel").header("RSeq", rseq.to_string());
        }
        self.stack.respond(now, ringing.tx, &reply);
    }

    /// The timers of a ringing call.
    pub(super) fn ringing_timer(&mut self, now: Instant, id: u64, kind: TimerKind) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Phase::Incoming(ringing) = &mut call.phase else { return };
        match kind {
            TimerKind::RingAgain => {
                let Some((_, again)) = &mut ringing.unpracked else { return };
                *again *= 2;
                self.timers.set((id, TimerKind::RingAgain), now + *again);
                self.send_ringing(now, id);
            }
            // RFC 3262 §3: a caller that requires 100rel and does not PRACK gets a 5xx.
            TimerKind::NoPrack => self.reject(now, id, 504, "No PRACK"),
            TimerKind::StillRinging => {
                self.timers.set((id, TimerKind::StillRinging), now + STILL_RINGING);
                self.send_ringing(now, id);
            }
            _ => {}
        }
    }

    /// RFC 3262 §3: the PRACK for our 180.
    pub(super) fn pracked(&mut self, now: Instant, tx: ServerTx, request: &Request, id: u64) {
        let mut words = request.headers.get("RAck").unwrap_or_default().split_ascii_whitespace();
        let rack: (Option<u32>, Option<u32>, Option<&str>) = (
            words.next().and_then(|w| w.parse().ok()),
            words.next().and_then(|w| w.parse().ok()),
            words.next(),
        );
        let Some(Call { phase: Phase::Incoming(ringing), dialog, .. }) = self.calls.get_mut(&id) else {
            return self.answer_with(now, tx, Reply::new(481));
        };
        let tag = dialog.local_tag.clone();
        let wanted = ringing.unpracked.map(|(rseq, _)| rseq);
        if wanted.is_none() || rack != (wanted, Some(ringing.invite_cseq), Some("INVITE")) {
            return self.answer_with(now, tx, Reply::new(481).tag(&tag));
        }
        ringing.unpracked = None;
        self.timers.clear(&(id, TimerKind::RingAgain));
        self.timers.clear(&(id, TimerKind::NoPrack));
        // The offer of the INVITE is still unanswered, so PRACK cannot bring another one (RFC 3262 §5).
        let code = if request.body.is_empty() { 200 } else { 488 };
        self.answer_with(now, tx, Reply::new(code).tag(&tag));
    }

    /// 200, with our answer or our offer.
    pub(super) fn answer(&mut self, now: Instant, id: u64, mut local: LocalMedia, srtp: Option<SrtpPolicy>) {
        let (min_se, session_expires) = (self.min_se(), self.config.session_expires);
        let over_plain = self.config.srtp_over_plain_sip;
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.srtp = srtp.unwrap_or(call.srtp);
        let terms = call.terms(over_plain);
        let Phase::Incoming(ringing) = &call.phase else { return };
        let (tx, cseq, timer, replaces) =
            (ringing.tx, ringing.invite_cseq, ringing.session, ringing.replaces);
        if local.ip.is_unspecified() {
            local.ip = call.dialog.flow.local.ip();
        }
        let answered = match &ringing.offer {
            // Ours would be plain.
            None if terms.policy == SrtpPolicy::Required && !terms.offers() => {
                Err(SdpError::SrtpOverPlainSip)
            }
            None => {
                call.offered = if terms.offers() { Crypto::all(&mut self.rng) } else { Vec::new() };
                Ok((crate::sdp::offer(&local, call.origin, call.wish, None, &call.offered), None))
            }
            Some(offer) => offer
                .answer(&local, call.origin, call.wish, terms, None, &mut self.rng)
                .map(|(body, media)| (body, Some(media))),
        };
        let (body, media) = match answered {
            Ok(answered) => answered,
            Err(error) => {
                let reply = not_acceptable(&error, &call.dialog.flow).tag(&call.dialog.local_tag);
                self.stack.respond(now, tx, &reply);
                self.event(id, CallEvent::Unanswerable(error));
                return self.over(now, id);
            }
        };
        let (running, value) = accept_timer(&timer, min_se, session_expires);
        call.timer = Some(running);
        let mut reply = Reply::new(200)
            .tag(&call.dialog.local_tag)
            .header("Contact", call.dialog.contact())
            .header("Allow", ALLOW)
            .header("Supported", SUPPORTED)
            .header("Server", self.config.user_agent.as_str())
            .header("Session-Expires", value)
            .body("application/sdp", body);
        if timer.supported {
            reply = reply.header("Require", "timer");
        }
        call.local = Some(local);
        call.media.clone_from(&media);
        call.phase = Phase::Up;
        for kind in [TimerKind::RingAgain, TimerKind::NoPrack, TimerKind::StillRinging] {
            self.timers.clear(&(id, kind));
        }
        self.send_ok(now, id, tx, cseq, reply, media.is_none(), true);
        self.arm_session_timer(now, id);
        if let Some(media) = media {
            self.event(id, CallEvent::Answered(media));
        }
        if let Some(old) = replaces {
            self.retire(now, old);
        }
    }

    /// A 2xx to an INVITE: sent now, and again until its ACK comes.
    #[expect(clippy::too_many_arguments, reason = "each is one fact about the 2xx")]
    pub(super) fn send_ok(
        &mut self,
        now: Instant,
        id: u64,
        tx: ServerTx,
        cseq: u32,
        reply: Reply,
        offered: bool,
        initial: bool,
    ) {
        self.stack.respond(now, tx, &reply);
        if let Some(call) = self.calls.get_mut(&id) {
            call.unacked = Some(Unacked { tx, cseq, reply, again: T1, offered, initial });
            self.timers.set((id, TimerKind::OkAgain), now + T1);
            self.timers.set((id, TimerKind::NoAck), now + GIVE_UP);
        }
    }

    /// The timers of a 2xx without its ACK.
    pub(super) fn unacked_timer(&mut self, now: Instant, id: u64, kind: TimerKind) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(unacked) = &mut call.unacked else { return };
        if kind == TimerKind::OkAgain {
            unacked.again = (unacked.again * 2).min(T2);
            self.timers.set((id, TimerKind::OkAgain), now + unacked.again);
            self.stack.respond(now, unacked.tx, &unacked.reply);
        } else {
            // RFC 3261 §13.3.1.4: the dialog is confirmed but the session should be ended.
            call.unacked = None;
            self.timers.clear(&(id, TimerKind::OkAgain));
            let reason = call.bye_after_ack.take().and_then(|goodbye| goodbye.0);
            self.event(
                id,
                CallEvent::Ended { by: EndReason::Timeout, code: 408, reason: "No ACK".to_owned() },
            );
            self.bye(now, id, reason);
        }
    }

    /// The ACK of a 2xx.
    pub(super) fn acked(&mut self, now: Instant, request: &Request) {
        let Some(tag) = message::tag(&request.headers, "To") else { return };
        let Some(id) = self.dialog_of(request, &tag) else { return };
        let Some((number, _)) = message::cseq(&request.headers) else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.unacked.as_ref().is_none_or(|unacked| unacked.cseq != number) {
            return;
        }
        let Some(unacked) = call.unacked.take() else { return };
        self.invites.remove(&unacked.tx);
        self.timers.clear(&(id, TimerKind::OkAgain));
        self.timers.clear(&(id, TimerKind::NoAck));
        if let Some(Goodbye(reason)) = call.bye_after_ack.take() {
            return self.bye(now, id, reason);
        }
        if unacked.offered {
            match (call.answered(&request.headers, &request.body), unacked.initial) {
                (Ok(media), initial) => {
                    let changed = call.media.as_ref() != Some(&media);
                    call.media = Some(media.clone());
                    if initial {
                        self.event(id, CallEvent::Answered(media));
                    } else if changed {
                        self.event(id, CallEvent::Media(media));
                    }
                }
                (Err(error), true) => {
                    let reason = format!("No usable answer in the ACK: {error}");
                    self.event(id, CallEvent::Ended { by: EndReason::Remote, code: 488, reason });
                    return self.bye(now, id, Some("SIP;cause=488;text=\"No usable answer\"".to_owned()));
                }
                // A re-INVITE changes nothing then.
                (Err(_), false) => {}
            }
        }
        self.ask_pending(now, id);
    }

    /// A final refusal.
    pub(super) fn reject(&mut self, now: Instant, id: u64, code: u16, reason: &str) {
        let Some(call) = self.calls.get(&id) else { return };
        let Phase::Incoming(ringing) = &call.phase else { return };
        let code = if (300..700).contains(&code) { code } else { 480 };
        let (tx, tag) = (ringing.tx, call.dialog.local_tag.clone());
        self.answer_with(now, tx, Reply::new(code).because(reason).tag(&tag));
        let reason = message::reason_phrase(code).to_owned();
        self.event(id, CallEvent::Ended { by: EndReason::Local, code, reason });
        self.over(now, id);
    }

    /// RFC 3261 §9.2.
    pub(super) fn cancelled(&mut self, now: Instant, tx: ServerTx, invite: Option<ServerTx>, _: &Request) {
        let Some(invite) = invite else { return self.answer_with(now, tx, Reply::new(481)) };
        let Some(&id) = self.invites.get(&invite) else {
            // The INVITE was answered already: nothing to cancel, and that is fine.
            return self.answer_with(now, tx, Reply::new(200));
        };
        let tag = self.calls.get(&id).map(|call| call.dialog.local_tag.clone()).unwrap_or_default();
        self.answer_with(now, tx, Reply::new(200).tag(&tag));
        if self.calls.get(&id).is_some_and(|call| matches!(call.phase, Phase::Incoming(_))) {
            self.answer_with(now, invite, Reply::new(487).tag(&tag));
            self.event(id, CallEvent::Cancelled);
            self.over(now, id);
        }
    }
}

/// Reads an offer and checks that there is something in it for us.
pub(super) fn read_offer(body: &[u8], terms: Terms) -> Result<Remote, SdpError> {
    let offer = Remote::read(body)?;
    offer.suits(&Codec::ALL, terms)?;
    Ok(offer)
}

/// RFC 3261 §21.4.26: 488 says why in a `Warning`.
pub(super) fn not_acceptable(error: &SdpError, flow: &Flow) -> Reply {
    let (code, text) = error.warning();
    let status = if matches!(error, SdpError::Unreadable(_)) { 400 } else { 488 };
    Reply::new(status).header("Warning", format!("{code} {} \"{text}\"", flow.local))
}

/// Our side of RFC 4028 §9, as the one who answers: the timer, and the value of `Session-Expires`.
pub(super) fn accept_timer(offer: &TimerOffer, min_se: Duration, ours: Duration) -> (SessionTimer, String) {
    let floor = min_se.max(offer.min_se.unwrap_or_default());
    let interval = offer.expires.unwrap_or(ours).max(floor);
    // A peer without timers never refreshes; with them, the caller does it unless it asks us to.
    let we_refresh = !offer.supported || offer.uas_refreshes.unwrap_or(false);
    let who = if we_refresh { "uas" } else { "uac" };
    (SessionTimer { interval, we_refresh }, format!("{};refresher={who}", interval.as_secs()))
}
