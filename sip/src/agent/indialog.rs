//! What the peer asks within a dialog: re-INVITE, UPDATE, INFO, REFER, NOTIFY, OPTIONS, PRACK, BYE.

use std::time::Instant;

use super::call::{Call, Phase, SessionTimer, TimerOffer};
use super::incoming::{accept_timer, not_acceptable, read_offer};
use super::{Agent, CallEvent, EndReason, SUPPORTED, sdp_body, unsupported};
use crate::message::{self, ALLOW, Headers, Method, Reply, Request};
use crate::stack::{Flow, ServerTx, Stack};

impl<S: Stack> Agent<S> {
    /// A request with both tags of a dialog that we have.
    pub(super) fn in_dialog(&mut self, now: Instant, tx: ServerTx, request: &Request, _flow: Flow, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let number = message::cseq(&request.headers).map_or(0, |(number, _)| number);
        if call.dialog.remote_cseq.is_some_and(|last| number <= last) {
            return self.answer_with(now, tx, Reply::new(500).because("Request Out Of Order"));
        }
        call.dialog.remote_cseq = Some(number);
        if matches!(call.phase, Phase::Over) {
            let code = if request.method == Method::Bye { 200 } else { 481 };
            return self.answer_with(now, tx, Reply::new(code));
        }
        if let Some(reply) = unsupported(&request.headers) {
            return self.answer_with(now, tx, reply);
        }
        match request.method {
            Method::Invite => self.reinvited(now, tx, request, id, number),
            Method::Update => self.updated(now, tx, request, id),
            Method::Bye => self.hung_up(now, tx, request, id),
            Method::Info => self.informed(now, tx, request, id),
            Method::Refer => self.referred(now, tx, request, id, number),
            Method::Notify => self.notified(now, tx, request, id),
            Method::Prack => self.pracked(now, tx, request, id),
            Method::Options => {
                let reply = self.capabilities();
                self.answer_with(now, tx, reply);
            }
            Method::Ack | Method::Cancel | Method::Register | Method::Other(_) => {
                self.answer_with(now, tx, Reply::new(405));
            }
        }
    }

    /// Whether another offer may come now (RFC 3261 §14.2, RFC 3311 §5.2).
    fn may_offer(call: &Call) -> Result<(), u16> {
        match &call.phase {
            // The offer of the first INVITE is not answered yet, or ours is.
            Phase::Incoming(_) => Err(500),
            Phase::Outgoing(_) | Phase::Over => Err(491),
            Phase::Up if call.unacked.is_some() || call.asking.is_some() => Err(491),
            Phase::Up => Ok(()),
        }
    }

    fn reinvited(&mut self, now: Instant, tx: ServerTx, request: &Request, id: u64, number: u32) {
        let Some(call) = self.calls.get(&id) else { return };
        if let Err(code) = Self::may_offer(call) {
            return self.answer_with(now, tx, Reply::new(code));
        }
        let timer = TimerOffer::read(&request.headers);
        if let Some(reply) = self.interval_too_small(&timer) {
            return self.answer_with(now, tx, reply);
        }
        let offer = match sdp_body(&request.headers, &request.body) {
            Ok(offer) => offer,
            Err(reply) => return self.answer_with(now, tx, reply),
        };
        // A refused offer leaves the call as it was.
        let Some(mut reply) = self.described(now, tx, id, offer.as_deref(), &request.headers) else { return };
        let offered = offer.is_none();
        if offered {
            let Some(body) = self.our_offer(id, true) else { return };
            reply = reply.body("application/sdp", body);
        }
        self.send_ok(now, id, tx, number, reply, offered, false);
    }

    fn updated(&mut self, now: Instant, tx: ServerTx, request: &Request, id: u64) {
        let Some(call) = self.calls.get(&id) else { return };
        let offer = match sdp_body(&request.headers, &request.body) {
            Ok(offer) => offer,
            Err(reply) => return self.answer_with(now, tx, reply),
        };
        // Before the ACK that answers our offer, or while another exchange runs, there is no room for an offer.
        let busy = match &call.phase {
            Phase::Up
                if call.unacked.as_ref().is_some_and(|unacked| !unacked.offered) && call.asking.is_none() =>
            {
                Ok(())
            }
            _ => Self::may_offer(call),
        };
        if offer.is_some()
            && let Err(code) = busy
        {
            return self.answer_with(now, tx, Reply::new(code));
        }
        if let Some(reply) = self.interval_too_small(&TimerOffer::read(&request.headers)) {
            return self.answer_with(now, tx, reply);
        }
        if let Some(reply) = self.described(now, tx, id, offer.as_deref(), &request.headers) {
            self.answer_with(now, tx, reply);
        }
    }

    /// Takes a new description and a session refresh: the 200, or `None` if it has been refused already.
    fn described(
        &mut self,
        now: Instant,
        tx: ServerTx,
        id: u64,
        offer: Option<&[u8]>,
        headers: &Headers,
    ) -> Option<Reply> {
        let (min_se, session_expires) = (self.min_se(), self.config.session_expires);
        let over_plain = self.config.srtp_over_plain_sip;
        let call = self.calls.get_mut(&id)?;
        let (terms, agreed) = (call.terms(over_plain), call.agreed_srtp());
        let mut body = None;
        let mut changed = None;
        if let (Some(offer), Some(local)) = (offer, &call.local) {
            let origin = crate::sdp::Origin { version: call.origin.version + 1, ..call.origin };
            let rng = &mut self.rng;
            let answer = read_offer(offer, terms)
                .and_then(|offer| offer.answer(local, origin, call.wish, terms, agreed, rng));
            match answer {
                Ok((text, media)) => {
                    call.origin = origin;
                    body = Some(text);
                    if call.media.as_ref() != Some(&media) {
                        call.media = Some(media.clone());
                        changed = Some(media);
                    }
                }
                Err(error) => {
                    let reply = not_acceptable(&error, &call.dialog.flow);
                    self.answer_with(now, tx, reply);
                    return None;
                }
            }
        }
        call.dialog.retarget(headers);
        if headers.get("Allow").is_some() {
            call.peer_updates = headers.lists("Allow", "UPDATE");
        }
        let contact = call.dialog.contact();
        let mut reply =
            Reply::new(200).header("Contact", contact).header("Allow", ALLOW).header("Supported", SUPPORTED);
        let offered = TimerOffer::read(headers);
        if matches!(call.phase, Phase::Up) && (offered.supported || offered.expires.is_some()) {
            let (timer, value): (SessionTimer, String) = accept_timer(&offered, min_se, session_expires);
            call.timer = Some(timer);
            reply = reply.header("Session-Expires", value);
            if offered.supported {
                reply = reply.header("Require", "timer");
            }
        }
        if let Some(body) = body {
            reply = reply.body("application/sdp", body);
        }
        self.arm_session_timer(now, id);
        if let Some(media) = changed {
            self.event(id, CallEvent::Media(media));
        }
        Some(reply)
    }

    fn hung_up(&mut self, now: Instant, tx: ServerTx, request: &Request, id: u64) {
        self.answer_with(now, tx, Reply::new(200));
        let Some(call) = self.calls.get(&id) else { return };
        if let Phase::Incoming(ringing) = &call.phase {
            // RFC 3261 §15.1.2: a BYE before the answer; the INVITE still needs its final response.
            let (invite, tag) = (ringing.tx, call.dialog.local_tag.clone());
            self.answer_with(now, invite, Reply::new(487).tag(&tag));
            self.event(id, CallEvent::Cancelled);
        } else {
            let reason = request.headers.get("Reason").unwrap_or("BYE").to_owned();
            self.event(id, CallEvent::Ended { by: EndReason::Remote, code: 200, reason });
        }
        self.over(now, id);
    }

    /// Digits in INFO, the two ways that exist.
    fn informed(&mut self, now: Instant, tx: ServerTx, request: &Request, id: u64) {
        let text = String::from_utf8_lossy(&request.body);
        let kind = message::bare(request.headers.get("Content-Type").unwrap_or_default());
        let digit = match kind.as_str() {
            _ if request.body.is_empty() => return self.answer_with(now, tx, Reply::new(200)),
            "application/dtmf-relay" => text.lines().find_map(|line| {
                let (name, value) = line.split_once('=')?;
                name.trim().eq_ignore_ascii_case("signal").then(|| value.trim())
            }),
            "application/dtmf" => Some(text.trim()),
            _ => {
                let reply = Reply::new(415).header("Accept", "application/dtmf-relay, application/dtmf");
                return self.answer_with(now, tx, reply);
            }
        };
        let Some(digit) = digit.and_then(read_digit) else {
            return self.answer_with(now, tx, Reply::new(400).because("Not A Digit"));
        };
        self.answer_with(now, tx, Reply::new(200));
        self.event(id, CallEvent::Dtmf(digit));
    }
}

/// `5`, `#`, `*`, `A`, also as the number that some phones send (`10` is `*`, `11` is `#`).
fn read_digit(text: &str) -> Option<char> {
    match text {
        "10" => Some('*'),
        "11" => Some('#'),
        "12" => Some('A'),
        "13" => Some('B'),
        "14" => Some('C'),
        "15" => Some('D'),
        _ => {
            let mut chars = text.chars();
            let digit = chars.next()?.to_ascii_uppercase();
            (chars.next().is_none() && matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D')).then_some(digit)
        }
    }
}
