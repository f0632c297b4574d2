//! A question to somebody whether they are there and what they can do: OPTIONS outside of a call (RFC 3261 §11).

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;
use rand::Rng;

use super::call::Purpose;
use super::{Agent, Output};
use crate::message::{Headers, Method, Request, Response};
use crate::sdp::offered_codecs;
use crate::stack::{Flow, Stack};

/// What came of asking somebody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probed {
    /// SIP status; 408 for silence, 503 for an address that cannot be reached.
    pub code: u16,
    /// The words with it.
    pub reason: String,
    /// What they call themselves: `Server` or `User-Agent`.
    pub server: Option<String>,
    /// The methods that they take; empty if they do not say.
    pub allow: Vec<String>,
    /// The codecs in their session description, if they sent one.
    pub codecs: Vec<String>,
    /// The address from which our request came, as they see it (RFC 3581); none if they do not say.
    pub seen_as: Option<SocketAddr>,
    /// The address that we said to be at.
    pub said: Option<SocketAddr>,
}

impl<S: Stack> Agent<S> {
    /// Asks at `target`; [`Output::Probed`] tells what came of it.
    pub(super) fn probe(&mut self, now: Instant, id: u64, target: String, flow: Flow) {
        let mut headers = Headers::default();
        for (name, value) in [
            ("Max-Forwards", "70".to_owned()),
            ("From", format!("<sip:{}>;tag={}", flow.local, self.token())),
            ("To", format!("<{target}>")),
            ("Call-ID", format!("{}{}", self.token(), self.token())),
            ("CSeq", format!("{} OPTIONS", self.rng.random_range(1..10_000))),
            ("Contact", format!("<sip:{}>", flow.local)),
            ("Accept", "application/sdp".to_owned()),
            ("User-Agent", self.config.user_agent.clone()),
        ] {
            headers.push(name, value);
        }
        let request = Request { method: Method::Options, uri: target, headers, body: Bytes::new() };
        match self.stack.request(now, &request, flow) {
            Ok(tx) => {
                self.clients.insert(tx, (id, Purpose::Probe));
            }
            Err(error) => {
                let probed = Probed { code: 400, reason: error.to_string(), ..Probed::default() };
                self.out.push_back(Output::Probed { id, probed });
            }
        }
    }

    /// The final response to it.
    pub(super) fn probed(&mut self, id: u64, response: &Response) {
        let named = |name: &str| response.headers.get(name).map(str::to_owned);
        let via = response.headers.list("Via").next().unwrap_or_default();
        let probed = Probed {
            code: response.code,
            reason: response.reason.clone(),
            server: named("Server").or_else(|| named("User-Agent")),
            allow: response.headers.list("Allow").map(str::to_owned).collect(),
            codecs: offered_codecs(&response.body),
            seen_as: seen_as(via),
            said: sent_by(via),
        };
        self.out.push_back(Output::Probed { id, probed });
    }
}

/// The address in `received` and `rport` of our own `Via`.
fn seen_as(via: &str) -> Option<SocketAddr> {
    let param = |name: &str| {
        via.split(';').skip(1).find_map(|param| {
            let (key, value) = param.split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let said = sent_by(via)?;
    let ip = param("received").and_then(|ip| ip.trim_matches(['[', ']']).parse().ok());
    let port = param("rport").and_then(|port| port.parse().ok());
    (ip.is_some() || port.is_some())
        .then(|| SocketAddr::new(ip.unwrap_or(said.ip()), port.unwrap_or(said.port())))
}

/// The address in it that we have written.
fn sent_by(via: &str) -> Option<SocketAddr> {
    let said = via.split(';').next()?.split_ascii_whitespace().nth(1)?;
    said.parse().ok().or_else(|| Some(SocketAddr::new(said.parse::<IpAddr>().ok()?, 5060)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_behind_nat_is_told_so_by_the_via() {
        let addr = |text: &str| text.parse::<SocketAddr>().ok();
        let natted = "SIP/2.0/UDP 10.0.0.2:5060;branch=z9;rport=31000;received=203.0.113.7";
        assert_eq!((sent_by(natted), seen_as(natted)), (addr("10.0.0.2:5060"), addr("203.0.113.7:31000")));
        let plain = "SIP/2.0/TCP 10.0.0.2:5060;branch=z9;rport=5060";
        assert_eq!(seen_as(plain), addr("10.0.0.2:5060"));
        assert_eq!(seen_as("SIP/2.0/TCP 10.0.0.2;branch=z9;rport"), None);
        assert_eq!(
            seen_as("SIP/2.0/UDP [2001:db8::1]:5060;received=2001:db8::2"),
            addr("[2001:db8::2]:5060")
        );
        assert_eq!(sent_by("SIP/2.0/TCP 10.0.0.2;branch=z9"), addr("10.0.0.2:5060"));
    }
}
