//! What we ask within a dialog: hold and resume, session refresh, digits, transfer, BYE; and the end of a call.

use std::time::{Duration, Instant};

use rand::Rng;

use super::call::{Ask, Asking, Goodbye, Phase, Purpose};
use super::outgoing::adopted_timer;
use super::{Agent, CallEvent, EndReason, GIVE_UP, SUPPORTED, TimerKind};
use crate::message::{ALLOW, Method, Request, Response};
use crate::sdes::Crypto;
use crate::sdp::{self, Direction};
use crate::stack::{ClientTx, Stack, TxRef};

impl<S: Stack> Agent<S> {
    /// Puts the peer on hold, or takes it back.
    pub(super) fn hold(&mut self, now: Instant, id: u64, on: bool) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let wish = if on { Direction::SendOnly } else { Direction::SendRecv };
        if call.wish != wish && matches!(call.phase, Phase::Up) {
            call.wish = wish;
            self.ask(now, id, Ask::Offer);
        }
    }

    /// Sends a re-INVITE or an UPDATE, or remembers it if another exchange is running.
    pub(super) fn ask(&mut self, now: Instant, id: u64, what: Ask) {
        let (min_se, ours) = (self.min_se(), self.config.session_expires);
        let Some(call) = self.calls.get_mut(&id) else { return };
        if !matches!(call.phase, Phase::Up) || call.bye_after_ack.is_some() {
            return;
        }
        if call.asking.is_some() || call.unacked.is_some() {
            if call.ask_again != Some(Ask::Offer) {
                call.ask_again = Some(what);
            }
            return;
        }
        // A refresh needs no offer if the peer knows UPDATE (RFC 4028 §7.4).
        let update = what == Ask::Refresh && call.peer_updates;
        let method = if update { Method::Update } else { Method::Invite };
        let mut request = call.dialog.request(method);
        request.headers.push("Contact", call.dialog.contact());
        request.headers.push("Allow", ALLOW);
        request.headers.push("Supported", SUPPORTED);
        request.headers.push("User-Agent", self.config.user_agent.as_str());
        let interval = call.timer.map_or(ours, |timer| timer.interval).max(min_se).max(call.peer_min_se);
        // Who refreshed so far goes on to do it; seen from this request, we are the uac.
        let who = if call.timer.is_none_or(|timer| timer.we_refresh) { "uac" } else { "uas" };
        request.headers.push("Session-Expires", format!("{};refresher={who}", interval.as_secs()));
        if !call.peer_min_se.is_zero() {
            request.headers.push("Min-SE", call.peer_min_se.as_secs().to_string());
        }
        if !update {
            let Some(body) = self.our_offer(id, false) else { return };
            request.headers.push("Content-Type", "application/sdp");
            request.body = body.into_bytes().into();
        }
        let purpose = if update { Purpose::Update } else { Purpose::ReInvite };
        if let Some(call) = self.calls.get_mut(&id) {
            call.asking = Some(Asking { what, offered: !update });
        }
        self.send_in_dialog(now, id, &request, purpose);
    }

    /// What had to wait.
    pub(super) fn ask_pending(&mut self, now: Instant, id: u64) {
        if let Some(what) = self.calls.get_mut(&id).and_then(|call| call.ask_again.take()) {
            self.ask(now, id, what);
        }
    }

    /// A new description of our side. Our key stays as it is, unless somebody else may be there now (`fresh`): who has
    /// not heard our packets so far cannot know how often their sequence numbers have wrapped (RFC 3711 §3.3.1).
    pub(super) fn our_offer(&mut self, id: u64, fresh: bool) -> Option<String> {
        let over_plain = self.config.srtp_over_plain_sip;
        let call = self.calls.get_mut(&id)?;
        call.origin.version += 1;
        call.offered = match call.agreed_srtp() {
            Some(agreed) if !fresh => vec![Crypto { tag: 1, suite: agreed.suite, key: agreed.local }],
            None if !call.terms(over_plain).offers() => Vec::new(),
            _ => Crypto::all(&mut self.rng),
        };
        Some(sdp::offer(call.local.as_ref()?, call.origin, call.wish, call.media.as_ref(), &call.offered))
    }

    /// A digit in INFO.
    pub(super) fn send_dtmf(&mut self, now: Instant, id: u64, digit: char) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if !matches!(call.phase, Phase::Up) {
            return;
        }
        let mut request = call.dialog.request(Method::Info);
        request.headers.push("Content-Type", "application/dtmf-relay");
        request.body = format!("Signal={digit}\r\nDuration=160\r\n").into_bytes().into();
        self.send_in_dialog(now, id, &request, Purpose::Other);
    }

    pub(super) fn send_in_dialog(&mut self, now: Instant, id: u64, request: &Request, purpose: Purpose) {
        let Some(call) = self.calls.get(&id) else { return };
        let flow = call.dialog.flow(&self.listeners);
        match self.stack.request(now, request, flow) {
            Ok(tx) => {
                self.clients.insert(tx, (id, purpose));
                self.remember(tx, request, flow);
            }
            Err(error) => {
                tracing::warn!("{error}");
                match purpose {
                    Purpose::Bye => self.over(now, id),
                    Purpose::ReInvite | Purpose::Update => {
                        if let Some(call) = self.calls.get_mut(&id) {
                            call.asking = None;
                        }
                    }
                    Purpose::Refer(number) => {
                        self.refer_failed(id, number, 400, "the target is not legal SIP");
                    }
                    _ => {}
                }
            }
        }
    }

    /// A response to any request of ours.
    pub(super) fn response(&mut self, now: Instant, tx: ClientTx, response: &Response) {
        let Some(&(id, purpose)) = self.clients.get(&tx) else { return };
        if purpose == Purpose::Probe {
            if response.code >= 200 {
                self.clients.remove(&tx);
                self.probed(id, response);
            }
            return;
        }
        if response.code >= 200
            && let Some(sent) = self.sent.remove(&tx)
        {
            if purpose == Purpose::Register {
                self.clients.remove(&tx);
                return self.registered(now, id, sent, response);
            }
            let asked = matches!(response.code, 401 | 407);
            if asked && self.authorize(now, id, purpose, sent, response) {
                self.clients.remove(&tx);
                return;
            }
        }
        if purpose == Purpose::Invite {
            return self.invite_response(now, id, tx, response);
        }
        if response.code < 200 {
            return;
        }
        // RFC 3261 §12.2.1.2: the peer has no such dialog any more. (An INFO, NOTIFY or PRACK that is refused with 481
        // speaks of its own usage only, RFC 5057 §5.1; silence is another matter.)
        let gone = matches!(response.code, 408 | 481);
        if purpose != Purpose::ReInvite {
            // Copies of a 2xx to a re-INVITE need their ACK; nothing else is answered twice.
            self.clients.remove(&tx);
        }
        match purpose {
            Purpose::ReInvite | Purpose::Update => self.asked(now, id, purpose, response, gone),
            Purpose::Bye => self.over(now, id),
            Purpose::Refer(number) if response.code >= 300 => {
                self.refer_failed(id, number, response.code, &response.reason);
            }
            Purpose::Notify(number) if response.code >= 300 => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.refers_in.retain(|known| *known != number);
                }
            }
            _ => {}
        }
    }

    /// The final response to a re-INVITE or UPDATE.
    fn asked(&mut self, now: Instant, id: u64, purpose: Purpose, response: &Response, gone: bool) {
        let ok = (200..300).contains(&response.code);
        if ok && purpose == Purpose::ReInvite {
            self.ack(id, response, now);
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(asking) = call.asking.take() else { return };
        if !matches!(call.phase, Phase::Up) {
            return;
        }
        if ok {
            call.dialog.retarget(&response.headers);
            if let Some(timer) = adopted_timer(&response.headers) {
                call.timer = Some(timer);
            }
            let mut changed = None;
            if asking.offered {
                let media = call.answered(&response.headers, &response.body).ok();
                if media.is_some() && media != call.media {
                    call.media.clone_from(&media);
                    changed = media;
                }
            }
            self.arm_session_timer(now, id);
            if let Some(media) = changed {
                self.event(id, CallEvent::Media(media));
            }
            return self.ask_pending(now, id);
        }
        match response.code {
            491 => {
                // RFC 3261 §14.1: the owner of the Call-ID waits longer. Ours are those that we made: odd numbers.
                let (from, to) = if id % 2 == 1 { (2100, 4000) } else { (0, 2000) };
                if call.ask_again != Some(Ask::Offer) {
                    call.ask_again = Some(asking.what);
                }
                let wait = Duration::from_millis(self.rng.random_range(from..to));
                self.timers.set((id, TimerKind::Glare), now + wait);
            }
            422 => {
                let min = response.headers.get("Min-SE").and_then(super::call::seconds).unwrap_or_default();
                if min > call.peer_min_se && min < Duration::from_secs(86_400) {
                    call.peer_min_se = min;
                    self.ask(now, id, asking.what);
                }
            }
            code if gone => {
                let reason = response.reason.clone();
                self.event(id, CallEvent::Ended { by: EndReason::Transport, code, reason });
                self.bye(now, id, None);
            }
            code => {
                // The session stays as it was (RFC 3261 §14.1).
                tracing::info!(code, "the peer refused to change the session");
                if asking.what == Ask::Offer
                    && let Some(media) = &call.media
                {
                    call.wish =
                        if media.direction.receives() { Direction::SendRecv } else { Direction::SendOnly };
                    let media = media.clone();
                    self.event(id, CallEvent::Media(media));
                }
                self.ask_pending(now, id);
            }
        }
    }

    /// Starts the session timer anew (RFC 4028 §10): the refresher acts at half time, and a session that nobody
    /// refreshes ends before its interval is over.
    pub(super) fn arm_session_timer(&mut self, now: Instant, id: u64) {
        let Some(timer) = self.calls.get(&id).and_then(|call| call.timer) else { return };
        let margin = Duration::from_secs(32).min(timer.interval / 3);
        self.timers.set((id, TimerKind::SessionExpiry), now + timer.interval.saturating_sub(margin));
        if timer.we_refresh {
            self.timers.set((id, TimerKind::Refresh), now + timer.interval / 2);
        } else {
            self.timers.clear(&(id, TimerKind::Refresh));
        }
    }

    /// A timer of a call.
    pub(super) fn fired(&mut self, now: Instant, id: u64, kind: TimerKind) {
        match kind {
            TimerKind::OkAgain | TimerKind::NoAck => self.unacked_timer(now, id, kind),
            TimerKind::RingAgain | TimerKind::NoPrack | TimerKind::StillRinging => {
                self.ringing_timer(now, id, kind);
            }
            TimerKind::RingTimeout => self.ring_timeout(now, id),
            TimerKind::Refresh => self.ask(now, id, Ask::Refresh),
            TimerKind::SessionExpiry => {
                let reason = "the session was not refreshed".to_owned();
                self.event(id, CallEvent::Ended { by: EndReason::Timeout, code: 408, reason });
                self.bye(now, id, Some("SIP;cause=408;text=\"Session timer expired\"".to_owned()));
            }
            TimerKind::ReferTimeout => self.refer_timeout(id),
            TimerKind::RegisterAgain => self.send_register(now, id),
            TimerKind::KeepAlive => self.keep_alive(now, id),
            TimerKind::Glare => self.ask_pending(now, id),
            TimerKind::ReferExpiry => {
                let open = self.calls.get_mut(&id).map(|call| std::mem::take(&mut call.refers_in));
                for number in open.unwrap_or_default() {
                    self.notify(now, id, number, "terminated;reason=timeout", "SIP/2.0 408 Request Timeout");
                }
            }
            TimerKind::Forget => {
                if let Some(call) = self.calls.remove(&id) {
                    self.dialogs.remove(&(call.dialog.call_id, call.dialog.local_tag));
                }
                self.abandon(now, id);
            }
        }
    }

    /// An INVITE that was answered provisionally would wait for ever for its end (RFC 3261 §17.1.1.2).
    fn abandon(&mut self, now: Instant, id: u64) {
        let waits = |(call, purpose): &(u64, Purpose)| {
            *call == id && matches!(purpose, Purpose::Invite | Purpose::ReInvite)
        };
        let waiting: Vec<ClientTx> =
            self.clients.iter().filter(|(_, of)| waits(of)).map(|(tx, _)| *tx).collect();
        for tx in waiting {
            self.clients.remove(&tx);
            self.sent.remove(&tx);
            self.stack.unsendable(now, TxRef::Client(tx));
        }
    }

    /// The application is done with an answered call.
    pub(super) fn hangup(&mut self, now: Instant, id: u64, reason: Option<String>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        match call.phase {
            Phase::Up => {}
            Phase::Incoming(_) => return self.reject(now, id, 480, ""),
            Phase::Outgoing(_) => return self.cancel(now, id),
            Phase::Over => return,
        }
        let waiting = call.unacked.as_ref().is_some_and(|unacked| unacked.initial);
        if waiting {
            call.bye_after_ack = Some(Goodbye(reason.clone()));
        }
        self.event(id, CallEvent::Ended { by: EndReason::Local, code: 200, reason: "hung up".to_owned() });
        if !waiting {
            self.bye(now, id, reason);
        }
    }

    /// Sends the BYE. The subscriptions of REFERs end with it.
    pub(super) fn bye(&mut self, now: Instant, id: u64, reason: Option<String>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if !matches!(call.phase, Phase::Up) {
            return self.over(now, id);
        }
        for number in std::mem::take(&mut call.refers_in) {
            self.notify(now, id, number, "terminated;reason=noresource", "SIP/2.0 487 Request Terminated");
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        let mut request = call.dialog.request(Method::Bye);
        request.headers.push("User-Agent", self.config.user_agent.as_str());
        if let Some(reason) = reason {
            request.headers.push("Reason", reason);
        }
        self.send_in_dialog(now, id, &request, Purpose::Bye);
        self.over(now, id);
    }

    /// A call is over for the application. Its dialog is kept for late copies and crossing requests.
    pub(super) fn over(&mut self, now: Instant, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.released {
            return;
        }
        call.phase = Phase::Over;
        let unacked = call.unacked.take().map(|unacked| unacked.tx);
        for tx in call.invite.take().into_iter().chain(unacked) {
            self.invites.remove(&tx);
        }
        if !std::mem::replace(&mut call.released, true) {
            self.active -= 1;
        }
        for kind in TimerKind::ALL {
            self.timers.clear(&(id, kind));
        }
        self.timers.set((id, TimerKind::Forget), now + GIVE_UP);
    }
}
