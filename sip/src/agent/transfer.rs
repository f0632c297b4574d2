//! Transfers: REFER and its progress (RFC 3515, RFC 5589), and calls that take the place of another (RFC 3891).

use std::time::{Duration, Instant};

use super::call::{Phase, Purpose};
use super::{Agent, CallEvent, EndReason, FailCause, SUPPORTED, TimerKind};
use crate::custom;
use crate::message::{self, Headers, Method, NameAddr, Reply, Request, SipUri};
use crate::stack::{ServerTx, Stack};

/// How long the application may think about a REFER.
const REFER_LIFE: Duration = Duration::from_secs(180);

/// The call of ours that an INVITE wants to replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Replaced {
    pub(crate) call: u64,
    /// It is one of our own that nobody has answered yet.
    pub(crate) early: bool,
}

impl<S: Stack> Agent<S> {
    /// Asks the peer to call somebody else.
    pub(super) fn send_refer(&mut self, now: Instant, id: u64, target: &str, headers: &[(String, String)]) {
        let limit = self.config.transfer_timeout;
        let Some(call) = self.calls.get_mut(&id) else { return };
        if !matches!(call.phase, Phase::Up) {
            return;
        }
        let mut request = call.dialog.request(Method::Refer);
        request.headers.push("Contact", call.dialog.contact());
        request.headers.push("Refer-To", format!("<{target}>"));
        request.headers.push("Referred-By", call.dialog.local.as_str());
        request.headers.push("Supported", SUPPORTED);
        for (name, value) in headers {
            request.headers.push(name.as_str(), value.as_str());
        }
        let number = call.dialog.local_cseq;
        // The first NOTIFY may overtake the 202.
        call.refers_out.push(number);
        self.timers.set((id, TimerKind::ReferTimeout), now + limit);
        self.send_in_dialog(now, id, &request, Purpose::Refer(number));
    }

    /// Asks the peer to take our place in another call of ours: it calls that one's far end with `Replaces`.
    pub(super) fn send_refer_replacing(
        &mut self,
        now: Instant,
        id: u64,
        other: u64,
        carried: &[(String, String)],
    ) {
        let dialog = self.calls.get(&other).filter(|call| matches!(call.phase, Phase::Up));
        let Some(dialog) = dialog.map(|call| &call.dialog) else {
            let reason = "the call to be taken over has ended".to_owned();
            return self.event(id, CallEvent::ReferProgress { code: 481, reason, done: true });
        };
        // RFC 3891 §6.1: the tags as the far end sees them.
        let (theirs, ours) = (&dialog.remote_tag, &dialog.local_tag);
        let replaces = format!("{};to-tag={theirs};from-tag={ours}", dialog.call_id);
        let mut all = vec![("Replaces".to_owned(), replaces)];
        all.extend_from_slice(carried);
        let target = custom::with_headers(&dialog.target, &all);
        self.send_refer(now, id, &target, &[]);
    }

    /// Nothing more has been heard of a REFER of ours.
    pub(super) fn refer_timeout(&mut self, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        for _ in std::mem::take(&mut call.refers_out) {
            let reason = "nothing was heard of the transfer in time".to_owned();
            self.event(id, CallEvent::ReferProgress { code: 408, reason, done: true });
        }
    }

    /// Tells the one who sent a REFER how it goes (RFC 3515 §2.4.5).
    pub(super) fn refer_progress(&mut self, now: Instant, id: u64, code: u16, reason: &str) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(&number) = call.refers_in.first() else { return };
        let reason = if reason.is_empty() { message::reason_phrase(code) } else { reason };
        let fragment = format!("SIP/2.0 {code} {reason}");
        let state = if code >= 200 {
            call.refers_in.clear();
            self.timers.clear(&(id, TimerKind::ReferExpiry));
            "terminated;reason=noresource"
        } else {
            "active;expires=180"
        };
        self.notify(now, id, number, state, &fragment);
    }

    pub(super) fn notify(&mut self, now: Instant, id: u64, number: u32, state: &str, fragment: &str) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let mut request = call.dialog.request(Method::Notify);
        request.headers.push("Contact", call.dialog.contact());
        request.headers.push("Event", format!("refer;id={number}"));
        request.headers.push("Subscription-State", state);
        request.headers.push("Content-Type", "message/sipfrag;version=2.0");
        request.body = format!("{}\r\n", fragment.replace(char::is_control, " ")).into_bytes().into();
        self.send_in_dialog(now, id, &request, Purpose::Notify(number));
    }

    pub(super) fn refer_failed(&mut self, id: u64, number: u32, code: u16, reason: &str) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.refers_out.retain(|known| *known != number);
        if call.refers_out.is_empty() {
            self.timers.clear(&(id, TimerKind::ReferTimeout));
        }
        self.event(id, CallEvent::ReferProgress { code, reason: reason.to_owned(), done: true });
    }

    /// RFC 3515, RFC 4488.
    pub(super) fn referred(&mut self, now: Instant, tx: ServerTx, request: &Request, id: u64, number: u32) {
        if !self.config.refer_allowed {
            return self.answer_with(now, tx, Reply::new(603).because("Transfer Not Allowed"));
        }
        let targets: Vec<&str> = request.headers.all("Refer-To").collect();
        let [target] = targets[..] else {
            return self.answer_with(now, tx, Reply::new(400).because("One Refer-To Is Needed"));
        };
        let to = NameAddr::parse(target).uri.to_owned();
        if SipUri::parse(&to).is_none() && !to.to_ascii_lowercase().starts_with("tel:") {
            return self.answer_with(now, tx, Reply::new(400).because("Bad Refer-To"));
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        if !matches!(call.phase, Phase::Up) {
            return self.answer_with(now, tx, Reply::new(481));
        }
        if !call.refers_in.is_empty() {
            return self.answer_with(now, tx, Reply::new(491));
        }
        let mut reply = Reply::new(202).header("Contact", call.dialog.contact());
        let quiet = request.headers.get("Refer-Sub").is_some_and(|v| message::bare(v) == "false");
        if quiet {
            reply = reply.header("Refer-Sub", "false");
        } else {
            call.refers_in.push(number);
            self.timers.set((id, TimerKind::ReferExpiry), now + REFER_LIFE);
        }
        self.answer_with(now, tx, reply);
        if !quiet {
            self.notify(now, id, number, "active;expires=180", "SIP/2.0 100 Trying");
        }
        let headers = request
            .headers
            .iter()
            .filter(|(name, _)| !ROUTING.iter().any(|r| r.eq_ignore_ascii_case(name)))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        self.event(id, CallEvent::Refer { to, headers });
    }

    /// RFC 6665 §4.1.3, for the subscription that a REFER of ours made.
    pub(super) fn notified(&mut self, now: Instant, tx: ServerTx, request: &Request, id: u64) {
        let event = request.headers.get("Event").unwrap_or_default();
        if message::bare(event) != "refer" {
            let code = if event.is_empty() { 400 } else { 489 };
            return self.answer_with(now, tx, Reply::new(code).header("Allow-Events", "refer"));
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        let wanted: Option<u32> = message::param(event, "id").and_then(|v| v.parse().ok());
        let found = call.refers_out.iter().position(|known| wanted.is_none_or(|w| w == *known));
        let Some(at) = found else { return self.answer_with(now, tx, Reply::new(481)) };
        let state = request.headers.get("Subscription-State").map(message::bare).unwrap_or_default();
        let text = String::from_utf8_lossy(&request.body);
        let mut words = text.lines().next().unwrap_or_default().splitn(3, ' ');
        let version = words.next().unwrap_or_default();
        let code =
            words.next().and_then(|w| w.parse::<u16>().ok()).filter(|_| version.starts_with("SIP/2.0"));
        let reason = words.next().unwrap_or_default().trim().to_owned();
        let done = state == "terminated" || code.is_some_and(|code| code >= 200);
        if done {
            call.refers_out.remove(at);
            if call.refers_out.is_empty() {
                self.timers.clear(&(id, TimerKind::ReferTimeout));
            }
        }
        self.answer_with(now, tx, Reply::new(200));
        if code.is_some() || done {
            self.event(id, CallEvent::ReferProgress { code: code.unwrap_or(0), reason, done });
        }
    }

    /// The call that an INVITE wants to replace (RFC 3891 §3), or why not.
    pub(super) fn replaced(&self, headers: &Headers) -> Result<Option<Replaced>, Reply> {
        let values: Vec<&str> = headers.all("Replaces").collect();
        let value = match values[..] {
            [] => return Ok(None),
            [value] => value,
            _ => return Err(Reply::new(400).because("One Replaces At Most")),
        };
        let call_id = value.split(';').next().unwrap_or_default().trim();
        let (to, from) = (message::param(value, "to-tag"), message::param(value, "from-tag"));
        let (Some(to), Some(from)) = (to, from) else {
            return Err(Reply::new(400).because("Replaces Needs Both Tags"));
        };
        // RFC 3891 §6.1: a tag of 0 also stands for none at all.
        let same = |tag: &str, wanted: &str| tag == wanted || (tag.is_empty() && wanted == "0");
        let known = self.dialogs.get(&(call_id.to_owned(), to.to_owned()));
        let found = known.and_then(|id| self.calls.get(id).map(|call| (*id, call)));
        let Some((id, call)) = found.filter(|(_, call)| same(&call.dialog.remote_tag, from)) else {
            return Err(Reply::new(481));
        };
        let early_only = value.split(';').any(|part| part.trim().eq_ignore_ascii_case("early-only"));
        match call.phase {
            Phase::Up if early_only => Err(Reply::new(486)),
            Phase::Up => Ok(Some(Replaced { call: id, early: false })),
            Phase::Outgoing(_) => Ok(Some(Replaced { call: id, early: true })),
            // An early call that the other side has made cannot be replaced.
            Phase::Incoming(_) => Err(Reply::new(481)),
            Phase::Over => Err(Reply::new(603)),
        }
    }

    /// The new call is answered: the one that it replaces ends (RFC 3891 §3).
    pub(super) fn retire(&mut self, now: Instant, id: u64) {
        let reason = "replaced by another call".to_owned();
        match self.calls.get(&id).map(|call| &call.phase) {
            Some(Phase::Up) => {
                self.event(id, CallEvent::Ended { by: EndReason::Replaced, code: 200, reason });
                self.hangup(now, id, Some("SIP;cause=200;text=\"Replaced\"".to_owned()));
            }
            Some(Phase::Outgoing(_)) => {
                let cause = FailCause::Other;
                self.event(id, CallEvent::Failed { code: 487, reason, cause });
                self.cancel(now, id);
            }
            _ => {}
        }
    }
}

/// Headers of a REFER that are about the message and not about the transfer.
const ROUTING: [&str; 10] = [
    "Via",
    "Max-Forwards",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Content-Length",
    "Contact",
    "Refer-To",
    "Record-Route",
];
