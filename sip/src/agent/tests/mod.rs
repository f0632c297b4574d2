//! Two agents, or one and a script, on a network of virtual time.

mod calls;
mod registration;
mod requests;
mod srtp;
mod transfer;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::transfer::Replaced;
use super::*;
use crate::registrar::RegistrarEvent;
use crate::sdes::SrtpPolicy;
use crate::sdp::{Codec, LocalMedia};
use crate::stack::{SipxStack, Wire};

const LATENCY: Duration = Duration::from_millis(10);
const CALLER: usize = 0;
const CALLEE: usize = 1;

/// A network of two agents. A third address, the script's, belongs to the test.
struct World {
    now: Instant,
    agents: Vec<Agent<SipxStack>>,
    wire: VecDeque<(Instant, SocketAddr, SocketAddr, Bytes)>,
    events: Vec<(usize, u64, CallEvent)>,
    incoming: Vec<(usize, u64)>,
    replaces: Vec<Option<Replaced>>,
    seats: Vec<(usize, RegistrarEvent)>,
    upstreams: Vec<(usize, u64, RegistrationState)>,
    probes: Vec<Probed>,
    /// What came to the script.
    script: Vec<String>,
    /// Packets that are lost if they fit.
    lose: Option<fn(&[u8]) -> bool>,
}

fn addr(index: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1 + index as u8], 5060))
}

fn script() -> SocketAddr {
    addr(8)
}

fn flow(from: usize, to: SocketAddr) -> Flow {
    Flow {
        transport: Transport::Udp,
        remote: to,
        local: addr(from),
        listener: 0,
        connection: None,
        name: None,
    }
}

fn local(index: usize) -> LocalMedia {
    LocalMedia { ip: addr(index).ip(), port: 40_000, codecs: Codec::ALL.to_vec() }
}

impl World {
    fn new(change: impl Fn(usize, &mut EndpointConfig)) -> Self {
        let agents = (0..2)
            .map(|i| {
                let mut config = EndpointConfig::default();
                change(i, &mut config);
                let seed = |n: u64| StdRng::seed_from_u64(n + i as u64 * 10);
                Agent::new(SipxStack::new(seed(1)), config, vec![(Transport::Udp, addr(i))], seed(2))
                    .expect("a good configuration")
            })
            .collect();
        Self {
            now: crate::clock::now(),
            agents,
            wire: VecDeque::new(),
            events: Vec::new(),
            incoming: Vec::new(),
            replaces: Vec::new(),
            seats: Vec::new(),
            upstreams: Vec::new(),
            probes: Vec::new(),
            script: Vec::new(),
            lose: None,
        }
    }

    fn command(&mut self, agent: usize, command: Command) {
        self.agents[agent].command(self.now, command);
        self.collect();
    }

    fn collect(&mut self) {
        for i in 0..self.agents.len() {
            while let Some(output) = self.agents[i].poll() {
                match output {
                    Output::Wire(Wire::Send { flow, bytes, .. }) => {
                        if self.lose.is_some_and(|lost| lost(&bytes)) {
                            continue;
                        }
                        self.wire.push_back((self.now + LATENCY, addr(i), flow.remote, bytes));
                    }
                    Output::Wire(Wire::Close { .. }) => {}
                    Output::Incoming { call, incoming } => {
                        self.incoming.push((i, call));
                        self.replaces.push(incoming.replaces);
                    }
                    Output::Event { call, event } => self.events.push((i, call, event)),
                    Output::Upstream { id, state } => self.upstreams.push((i, id, state)),
                    Output::Probed { probed, .. } => self.probes.push(probed),
                    Output::Seat(event) => self.seats.push((i, event)),
                }
            }
        }
    }

    /// Lets this much time pass.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let packet = self.wire.front().map(|(at, ..)| *at);
            let timer = self.agents.iter().filter_map(Agent::deadline).min();
            let Some(next) = [packet, timer].into_iter().flatten().min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(next);
            if packet.is_some_and(|at| at <= self.now) {
                if let Some((_, from, to, bytes)) = self.wire.pop_front() {
                    match (0..self.agents.len()).find(|i| addr(*i) == to) {
                        Some(i) => self.agents[i].datagram(self.now, bytes, flow(i, from)),
                        None => self.script.push(String::from_utf8_lossy(&bytes).into_owned()),
                    }
                }
            } else {
                for agent in &mut self.agents {
                    agent.tick(self.now);
                }
            }
            self.collect();
        }
        self.now = end;
    }

    fn millis(&mut self, millis: u64) {
        self.pass(Duration::from_millis(millis));
    }

    /// The script sends to the callee and hears what comes back at once.
    fn say(&mut self, message: &str) -> Vec<String> {
        self.script.clear();
        self.wire.push_back((self.now, script(), addr(CALLEE), Bytes::copy_from_slice(message.as_bytes())));
        self.millis(50);
        self.script.clone()
    }

    fn events_of(&self, agent: usize) -> Vec<&CallEvent> {
        self.events.iter().filter(|(a, ..)| *a == agent).map(|(_, _, event)| event).collect()
    }

    fn dial(&mut self, ring_timeout: Duration) -> u64 {
        let dial = OutgoingRequest {
            target: format!("sip:400@{}", addr(CALLEE)),
            contact: None,
            from: "sip:caller@192.0.2.1".to_owned(),
            display: Some("Caller".to_owned()),
            headers: vec![("X-Test".to_owned(), "1".to_owned())],
            local: local(CALLER),
            srtp: self.agents[CALLER].srtp_policy(),
            ring_timeout,
            flow: flow(CALLER, addr(CALLEE)),
            pinned: false,
        };
        self.command(CALLER, Command::Dial { call: 1, dial: Box::new(dial) });
        self.millis(50);
        1
    }

    /// A call from the caller to the callee that is up; the numbers at both ends.
    fn connect(&mut self) -> (u64, u64) {
        let ours = self.dial(Duration::from_secs(60));
        let theirs = self.incoming.last().expect("the call arrives").1;
        self.command(CALLEE, Command::Ring { call: theirs });
        self.millis(50);
        self.command(CALLEE, Command::Answer { call: theirs, local: local(CALLEE), srtp: None });
        self.millis(50);
        assert!(
            matches!(self.events_of(CALLER)[..], [CallEvent::Ringing, CallEvent::Answered(_)]),
            "the caller sees ringing and the answer: {:?}",
            self.events
        );
        self.events.clear();
        (ours, theirs)
    }
}

fn plain() -> World {
    World::new(|_, _| {})
}

/// A request of the script to the callee.
fn raw(method: &str, cseq: u32, to_tag: Option<&str>, extra: &str, body: &str) -> String {
    let tag = to_tag.map(|tag| format!(";tag={tag}")).unwrap_or_default();
    let kind = if body.is_empty() || extra.contains("Content-Type") {
        ""
    } else {
        "Content-Type: application/sdp\r\n"
    };
    format!(
        "{method} sip:400@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP {host};branch=z9hG4bK{method}{cseq};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:s@{host}>;tag=script\r\nTo: <sip:400@192.0.2.2>{tag}\r\n\
         Call-ID: scripted\r\nCSeq: {cseq} {method}\r\nContact: <sip:s@{host}>\r\n{extra}{kind}\
         Content-Length: {length}\r\n\r\n{body}",
        host = script(),
        length = body.len(),
    )
}

const SDP: &str = "v=0\r\no=s 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
                   m=audio 5000 RTP/AVP 8 96\r\na=rtpmap:96 telephone-event/8000\r\n";

fn codes(messages: &[String]) -> Vec<&str> {
    messages.iter().filter(|m| m.starts_with("SIP/2.0")).filter_map(|m| m.get(8..11)).collect()
}

fn tag_of(messages: &[String]) -> String {
    let to =
        messages.iter().rev().flat_map(|m| m.lines()).find(|l| l.starts_with("To:") && l.contains("tag="));
    to.and_then(|l| l.split("tag=").nth(1)).expect("a To tag").trim().to_owned()
}

/// A call of the script that the callee has answered and the script has acknowledged; our tag, and the call.
fn scripted_call(world: &mut World, extra: &str) -> (String, u64) {
    world.say(&raw("INVITE", 1, None, extra, SDP));
    let call = world.incoming.last().expect("the call arrives").1;
    world.command(CALLEE, Command::Answer { call, local: local(CALLEE), srtp: None });
    world.millis(20);
    let tag = tag_of(&world.script);
    world.say(&raw("ACK", 1, Some(&tag), "", ""));
    world.events.clear();
    (tag, call)
}
