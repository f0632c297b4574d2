//! What the fuzz targets of this workspace need of the private readers. No part of the interface: it changes as they do.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::agent::{Agent, CallEvent, Command, EndpointConfig, OutgoingRequest, Output, UpstreamRequest};
use crate::challenge::{Challenge, Credentials};
use crate::digest::{Params, Secret};
use crate::message::{self, Headers, Method, NameAddr, SipUri};
use crate::registrar::Account;
use crate::sdes::{Crypto, SrtpPolicy, Terms};
use crate::sdp::{self, Codec, Direction, LocalMedia, MediaParams, Origin, Remote, SdpError};
use crate::stack::{Flow, SipxStack, Transport, Wire};

const USER: &str = "2001";
const PASSWORD: &str = "secret";
const OURS: &str = "192.0.2.1:5060";
const THEIRS: &str = "192.0.2.77:5060";
/// Timers that may fire in one stretch of time.
const FIRINGS: usize = 20_000;

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap_or_else(|_| SocketAddr::from(([192, 0, 2, 9], 5060)))
}

fn local() -> LocalMedia {
    LocalMedia { ip: addr(OURS).ip(), port: 40_000, codecs: Codec::ALL.to_vec() }
}

fn credentials() -> Credentials {
    Credentials { realm: None, user: USER.to_owned(), secret: Secret::Password(PASSWORD.to_owned()) }
}

/// An endpoint without sockets, on virtual time, with an account `2001` whose password is `secret`.
pub struct Door {
    agent: Agent<SipxStack>,
    now: Instant,
    /// The calls that came in, and those that we made.
    calls: Vec<u64>,
    /// What it wanted sent and nobody has taken yet.
    sent: Vec<Bytes>,
    /// Connections that it wanted closed.
    closed: Vec<u64>,
}

impl Door {
    /// `srtp` 0 to 2: off, optional, required. `now`: any moment.
    pub fn new(now: Instant, srtp: u8) -> Option<Self> {
        let account =
            Account { user: USER.to_owned(), realm: None, secret: Secret::Password(PASSWORD.to_owned()) };
        let config = EndpointConfig {
            accounts: vec![account],
            credentials: vec![credentials()],
            srtp: policy(srtp),
            srtp_over_plain_sip: true,
            ..EndpointConfig::default()
        };
        let stack = SipxStack::new(StdRng::seed_from_u64(1));
        let listeners = vec![(Transport::Udp, addr(OURS)), (Transport::Tcp, addr(OURS))];
        let agent = Agent::new(stack, config, listeners, StdRng::seed_from_u64(2)).ok()?;
        Some(Self { agent, now, calls: Vec::new(), sent: Vec::new(), closed: Vec::new() })
    }

    /// A datagram from the peer.
    pub fn datagram(&mut self, bytes: &[u8]) {
        self.agent.datagram(self.now, Bytes::copy_from_slice(bytes), flow(None));
        self.collect();
    }

    /// Bytes on a connection of the peer's.
    pub fn stream(&mut self, connection: u64, bytes: &[u8]) {
        self.agent.stream(self.now, bytes, flow(Some(connection)));
        self.collect();
    }

    /// A connection of the peer's is gone.
    pub fn hang_up_stream(&mut self, connection: u64) {
        self.agent.closed(connection);
        self.collect();
    }

    /// Makes a call to the peer.
    pub fn dial(&mut self) {
        let call = 1_000_001 + self.calls.len() as u64 * 2;
        let dial = OutgoingRequest {
            target: format!("sip:400@{THEIRS}"),
            contact: None,
            from: format!("sip:nightline@{OURS}"),
            display: None,
            headers: Vec::new(),
            local: local(),
            srtp: self.agent.srtp_policy(),
            ring_timeout: Duration::from_secs(60),
            flow: flow(None),
            pinned: false,
        };
        self.calls.push(call);
        self.command(Command::Dial { call, dial: Box::new(dial) });
    }

    /// Logs in at the peer.
    pub fn register(&mut self) {
        let register = UpstreamRequest {
            registrar: format!("sip:{THEIRS}"),
            aor: format!("sip:{USER}@{THEIRS}"),
            expires: Duration::from_secs(600),
            flow: flow(None),
        };
        self.command(Command::Register { id: 7, register: Box::new(register) });
    }

    /// The application does something with one of the last calls.
    pub fn act(&mut self, what: u8) {
        let Some(&call) = self.calls.iter().rev().nth(usize::from(what >> 6)) else { return };
        let other = self.calls.first().copied().unwrap_or(call);
        self.command(match what & 15 {
            0 => Command::Ring { call },
            1 | 2 => Command::Answer { call, local: local(), srtp: None },
            3 => Command::Reject { call, code: 486, reason: String::new() },
            4 => Command::Hangup { call, reason: Some("over".to_owned()) },
            5 => Command::Hold { call, on: what & 16 == 0 },
            6 => Command::Dtmf { call, digit: '5' },
            7 => Command::Refer { call, target: format!("sip:500@{THEIRS}"), headers: Vec::new() },
            8 => Command::ReferReplacing { call, other, carried: Vec::new() },
            9 => Command::ReferProgress { call, code: 200, reason: "OK".to_owned() },
            10 => Command::ReferProgress { call, code: 180, reason: String::new() },
            11 => Command::Cancel { call },
            12 => Command::Probe { id: 3, target: format!("sip:{THEIRS}"), flow: flow(None) },
            _ => Command::Unregister { id: 7 },
        });
    }

    /// Time passes, with all that is due in it.
    ///
    /// # Panics
    /// When timers fire without end.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..FIRINGS {
            let Some(next) = self.agent.deadline().filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            self.agent.tick(self.now);
            self.collect();
        }
        panic!("{FIRINGS} timers fired in {time:?}");
    }

    /// Ends everything; what is left afterwards, in words, if anything is.
    pub fn end(&mut self) -> Option<String> {
        self.command(Command::Drain);
        self.pass(Duration::from_secs(600));
        self.agent.leftovers()
    }

    /// What it wanted sent since this was asked last.
    pub fn sent(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.sent)
    }

    /// The connections that it wanted closed since this was asked last.
    pub fn closed(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.closed)
    }

    fn command(&mut self, command: Command) {
        self.agent.command(self.now, command);
        self.collect();
    }

    fn collect(&mut self) {
        while let Some(output) = self.agent.poll() {
            match output {
                Output::Wire(Wire::Send { bytes, .. }) => self.sent.push(bytes),
                Output::Wire(Wire::Close { connection }) => self.closed.push(connection),
                Output::Incoming { call, .. } => self.calls.push(call),
                Output::Event { event: CallEvent::Answered(media) | CallEvent::Media(media), .. } => {
                    check(&media);
                }
                _ => {}
            }
        }
    }
}

fn flow(connection: Option<u64>) -> Flow {
    let transport = if connection.is_some() { Transport::Tcp } else { Transport::Udp };
    let listener = usize::from(connection.is_some());
    Flow { transport, remote: addr(THEIRS), local: addr(OURS), listener, connection, name: None }
}

fn policy(srtp: u8) -> SrtpPolicy {
    match srtp % 3 {
        0 => SrtpPolicy::Off,
        1 => SrtpPolicy::Optional,
        _ => SrtpPolicy::Required,
    }
}

/// The value of `Authorization` with which `2001` answers a challenge.
pub fn authorization(challenge: &str, method: &str, uri: &str) -> Option<String> {
    let mut headers = Headers::default();
    headers.push("WWW-Authenticate", challenge);
    Some(Challenge::pick(401, &headers, &[credentials()])?.answer(method, uri, "c"))
}

/// Reads a description as an offer and answers it, reads the answer, and makes offers of ours of both.
///
/// # Panics
/// When an answer cannot be read, or what was agreed on makes no sense.
pub fn description(body: &[u8], srtp: u8) -> Result<usize, SdpError> {
    let origin = Origin { id: 1, version: 1 };
    let terms = Terms { policy: policy(srtp), permitted: srtp & 4 == 0 };
    let wish = [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive]
        [usize::from(srtp >> 3 & 3)];
    let mut rng = StdRng::seed_from_u64(1);
    assert!(sdp::offered_codecs(body).len() <= 64, "no more names than formats are looked at");
    let remote = Remote::read(body)?;
    let keys = if terms.offers() { Crypto::all(&mut rng) } else { Vec::new() };
    if let Ok(media) = remote.as_answer(&local(), wish, &keys) {
        check(&media);
    }
    let (answer, media) = remote.answer(&local(), origin, wish, terms, None, &mut rng)?;
    check(&media);
    let offered = media.srtp.as_deref().map(|srtp| Crypto { tag: 1, suite: srtp.suite, key: srtp.remote });
    let ours = Remote::read(answer.as_bytes()).unwrap_or_else(|error| panic!("{error}: {answer}"));
    let offered: Vec<Crypto> = offered.into_iter().collect();
    match ours.as_answer(&local(), Direction::SendRecv, &offered) {
        Ok(heard) => assert_eq!(
            (heard.codec, heard.payload_type, heard.dtmf_payload_type),
            (media.codec, media.payload_type, media.dtmf_payload_type),
            "both sides agree: {answer}"
        ),
        // The tag of their key is theirs to choose, and ours is made up here.
        Err(error) => assert!(media.srtp.is_some(), "{error}: {answer}"),
    }
    let again = sdp::offer(&local(), origin, wish, Some(&media), &keys);
    let read = Remote::read(again.as_bytes()).unwrap_or_else(|error| panic!("{error}: {again}"));
    let any = Terms { policy: SrtpPolicy::Optional, permitted: true };
    assert_eq!(read.suits(&[media.codec], any), Ok(()), "a new offer still has the codec: {again}");
    Ok(answer.len())
}

fn check(media: &MediaParams) {
    assert!(media.payload_type < 128, "{media:?}");
    for other in [media.dtmf_payload_type, media.comfort_noise_payload_type].into_iter().flatten() {
        assert!(other < 128, "{media:?}");
    }
    assert!((10..=60).contains(&media.ptime.as_millis()), "{media:?}");
}

/// Reads a header value in every way that there is. What is written again has to be read alike.
///
/// # Panics
/// When it is not.
pub fn header(value: &str) {
    let address = NameAddr::parse(value);
    let _ = (address.param("tag"), message::bare(value), message::param(value, "q"));
    let plain = message::without_params(value);
    if !address.uri.contains(['<', '>', '"']) && !address.display.contains(['"', '\\']) {
        assert_eq!(NameAddr::parse(&plain).uri, address.uri, "{plain}");
    }
    if let Some(uri) = SipUri::parse(address.uri) {
        let _ = (uri.addr(), uri.transport(), uri.port_or_usual());
    }
    let mut headers = Headers::default();
    for name in ["CSeq", "From", "Content-Type"] {
        headers.push(name, value);
    }
    let listed: usize = headers.list("From").map(str::len).sum();
    assert!(listed <= value.len(), "a list has no more in it than its value");
    if let Some((number, method)) = message::cseq(&headers) {
        assert_eq!(Method::parse(method.as_str()), method, "{number}");
    }
    let _ = message::tag(&headers, "From");
    let body = Bytes::copy_from_slice(value.as_bytes());
    let found = message::body_of(&headers, &body, "application/sdp");
    assert!(found.is_none_or(|found| found.len() <= value.len()));
    if let Some(params) = Params::parse(value) {
        let _ = (params.algorithm(), params.get("nonce"));
    }
    if let Some(answer) = authorization(value, "INVITE", "sip:400@example.com") {
        let read = Params::parse(&answer).unwrap_or_else(|| panic!("our own answer: {answer}"));
        assert!(read.get("response").is_some_and(|response| !response.is_empty()), "{answer}");
    }
    let (bare, carried) = crate::custom::split_headers(value);
    let written = crate::custom::with_headers(&bare, &carried);
    assert_eq!(crate::custom::split_headers(&written), (bare, carried), "{written}");
    if let Some(crypto) = Crypto::parse(value) {
        assert_eq!(Crypto::parse(&crypto.to_value()), Some(crypto));
    }
}
