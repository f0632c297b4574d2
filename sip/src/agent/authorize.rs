//! A request of ours that is refused with 401 or 407 is sent once more with credentials (RFC 3261 §22).

use std::time::Instant;

use super::call::{Phase, Purpose};
use super::{Agent, Call};
use crate::challenge::Challenge;
use crate::message::{Method, Request, Response};
use crate::stack::{ClientTx, Flow, Stack};

/// One for a proxy, one for the callee, one for a nonce that was too old meanwhile.
const MAX_TRIES: u8 = 3;

/// A request that may be asked for credentials, as it was sent.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) request: Request,
    pub(super) flow: Flow,
    pub(super) tries: u8,
    /// It showed credentials without being asked, by an earlier challenge.
    pub(super) early: bool,
}

impl Sent {
    pub(super) fn new(request: Request, flow: Flow) -> Self {
        Self { request, flow, tries: 0, early: false }
    }
}

impl<S: Stack> Agent<S> {
    /// Keeps a request for as long as it may be challenged. Nothing is kept where there are no credentials.
    pub(super) fn remember(&mut self, tx: ClientTx, request: &Request, flow: Flow) {
        if !self.config.credentials.is_empty() {
            self.sent.insert(tx, Sent::new(request.clone(), flow));
        }
    }

    /// Answers a challenge to a request of a call; `false` if that cannot be done, and the refusal stands.
    pub(super) fn authorize(
        &mut self,
        now: Instant,
        id: u64,
        purpose: Purpose,
        sent: Sent,
        response: &Response,
    ) -> bool {
        let Some((mut challenge, tries)) = self.challenge(&sent, response) else { return false };
        let cnonce = self.token();
        let Some(call) = self.calls.get_mut(&id) else { return false };
        let initial = purpose == Purpose::Invite;
        if matches!(&call.phase, Phase::Outgoing(dialling) if initial && dialling.cancel) {
            return false;
        }
        let mut request = sent.request;
        call.dialog.local_cseq += 1;
        let number = call.dialog.local_cseq;
        let value = challenge.answer(request.method.as_str(), &request.uri, &cnonce);
        request.headers.set("CSeq", format!("{number} {}", request.method));
        request.headers.set(challenge.header(), value.as_str());
        let Ok(tx) = self.stack.request(now, &request, sent.flow) else { return false };
        let purpose = self.follow(id, purpose, tx, number);
        self.clients.insert(tx, (id, purpose));
        if initial && let Some(call) = self.calls.get_mut(&id) {
            // RFC 3261 §13.2.2.4: the ACK shows what the INVITE has shown.
            call.shown = credentials_of(&request);
        }
        self.sent.insert(tx, Sent { request, tries, ..sent });
        true
    }

    /// What refers to the first copy of a request refers to the second from now on.
    fn follow(&mut self, id: u64, purpose: Purpose, tx: ClientTx, number: u32) -> Purpose {
        let Some(call) = self.calls.get_mut(&id) else { return purpose };
        match (purpose, call) {
            (Purpose::Invite, Call { phase: Phase::Outgoing(dialling), .. }) => {
                dialling.tx = tx;
                dialling.provisional = false;
                dialling.last_rseq = None;
                Purpose::Invite
            }
            // The CSeq of a REFER names its subscription (RFC 3515 §2.4.6).
            (Purpose::Refer(old), call) => {
                for known in call.refers_out.iter_mut().filter(|known| **known == old) {
                    *known = number;
                }
                Purpose::Refer(number)
            }
            (purpose, _) => purpose,
        }
    }

    /// A challenge that is worth an answer: we have credentials, and they have not been refused already.
    pub(super) fn challenge(&self, sent: &Sent, response: &Response) -> Option<(Challenge, u8)> {
        let challenge = Challenge::pick(response.code, &response.headers, &self.config.credentials)?;
        let shown = !sent.early && sent.request.headers.get(challenge.header()).is_some();
        let hopeless = sent.tries >= MAX_TRIES || (shown && !challenge.stale);
        (!hopeless && sent.request.method != Method::Ack).then_some((challenge, sent.tries + 1))
    }
}

/// The credentials in a request, name and value.
fn credentials_of(request: &Request) -> Vec<(String, String)> {
    let shown = request.headers.iter().filter(|(name, _)| name.ends_with("Authorization"));
    shown.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
