//! Two agents, or one and a script, on a network of virtual time.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::sdp::{Codec, Direction};
use crate::stack::SipxStack;

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
    Flow { transport: Transport::Udp, remote: to, local: addr(from), listener: 0, connection: None }
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
            })
            .collect();
        Self {
            now: crate::clock::now(),
            agents,
            wire: VecDeque::new(),
            events: Vec::new(),
            incoming: Vec::new(),
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
                    Output::Incoming { call, .. } => self.incoming.push((i, call)),
                    Output::Event { call, event } => self.events.push((i, call, event)),
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
            from: "sip:caller@192.0.2.1".to_owned(),
            display: Some("Caller".to_owned()),
            headers: vec![("X-Test".to_owned(), "1".to_owned())],
            local: local(CALLER),
            ring_timeout,
            flow: flow(CALLER, addr(CALLEE)),
        };
        self.command(CALLER, Command::Dial { call: 1, dial });
        self.millis(50);
        1
    }

    /// A call from the caller to the callee that is up; the numbers at both ends.
    fn connect(&mut self) -> (u64, u64) {
        let ours = self.dial(Duration::from_secs(60));
        let theirs = self.incoming.last().expect("the call arrives").1;
        self.command(CALLEE, Command::Ring { call: theirs });
        self.millis(50);
        self.command(CALLEE, Command::Answer { call: theirs, local: local(CALLEE) });
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
    world.command(CALLEE, Command::Answer { call, local: local(CALLEE) });
    world.millis(20);
    let tag = tag_of(&world.script);
    world.say(&raw("ACK", 1, Some(&tag), "", ""));
    world.events.clear();
    (tag, call)
}

#[test]
fn a_call_is_answered_held_resumed_and_hung_up() {
    let mut world = plain();
    let (ours, theirs) = world.connect();
    world.command(CALLER, Command::Hold { call: ours, on: true });
    world.millis(100);
    let held = |events: &[&CallEvent]| match events {
        [CallEvent::Media(media)] => Some(media.direction),
        _ => None,
    };
    assert_eq!(held(&world.events_of(CALLER)), Some(Direction::SendOnly), "{:?}", world.events);
    assert_eq!(held(&world.events_of(CALLEE)), Some(Direction::RecvOnly), "{:?}", world.events);
    world.events.clear();
    world.command(CALLER, Command::Hold { call: ours, on: false });
    world.millis(100);
    assert_eq!(held(&world.events_of(CALLEE)), Some(Direction::SendRecv), "{:?}", world.events);
    world.events.clear();
    world.command(CALLEE, Command::Hangup { call: theirs, reason: Some("Q.850;cause=16".to_owned()) });
    world.millis(100);
    let end = CallEvent::Ended { by: EndReason::Remote, code: 200, reason: "Q.850;cause=16".to_owned() };
    assert_eq!(world.events_of(CALLER), [&end]);
    world.pass(Duration::from_secs(120));
    for agent in &world.agents {
        assert!(
            agent.calls.is_empty() && agent.dialogs.is_empty() && agent.invites.is_empty(),
            "nothing is left"
        );
        assert!(agent.clients.is_empty() && agent.merges.is_empty() && agent.active == 0, "nothing is left");
    }
}

#[test]
fn a_call_survives_the_loss_of_every_first_message() {
    let mut world = plain();
    // Every message whose branch hash is even is lost: the retransmissions with another time get through by turns.
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    world.lose = Some(|_| COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 2 == 0);
    let ours = world.dial(Duration::from_secs(60));
    world.pass(Duration::from_secs(3));
    let theirs = world.incoming.last().expect("the call arrives").1;
    world.command(CALLEE, Command::Answer { call: theirs, local: local(CALLEE) });
    world.pass(Duration::from_secs(6));
    assert!(matches!(world.events_of(CALLER).last(), Some(CallEvent::Answered(_))), "{:?}", world.events);
    world.command(CALLER, Command::Hangup { call: ours, reason: None });
    world.pass(Duration::from_secs(40));
    assert!(matches!(world.events_of(CALLEE).last(), Some(CallEvent::Ended { by: EndReason::Remote, .. })));
}

#[test]
fn a_caller_who_gives_up_is_told_to_the_callee() {
    let mut world = plain();
    let ours = world.dial(Duration::from_secs(60));
    let theirs = world.incoming[0].1;
    world.command(CALLEE, Command::Ring { call: theirs });
    world.millis(50);
    world.command(CALLER, Command::Cancel { call: ours });
    world.millis(100);
    assert_eq!(world.events_of(CALLEE), [&CallEvent::Cancelled]);
    assert!(matches!(world.events_of(CALLER)[..], [CallEvent::Ringing, CallEvent::Failed { code: 487, .. }]));
}

#[test]
fn a_cancel_that_loses_the_race_hangs_up() {
    let mut world = plain();
    let ours = world.dial(Duration::from_secs(60));
    let theirs = world.incoming[0].1;
    world.command(CALLEE, Command::Answer { call: theirs, local: local(CALLEE) });
    world.command(CALLER, Command::Cancel { call: ours });
    world.millis(200);
    assert!(
        matches!(world.events_of(CALLER)[..], [CallEvent::Failed { code: 487, .. }]),
        "{:?}",
        world.events
    );
    assert!(matches!(world.events_of(CALLEE).last(), Some(CallEvent::Ended { by: EndReason::Remote, .. })));
}

#[test]
fn nobody_answering_has_its_own_cause() {
    let mut world = plain();
    world.dial(Duration::from_secs(5));
    let theirs = world.incoming[0].1;
    world.command(CALLEE, Command::Ring { call: theirs });
    world.pass(Duration::from_secs(6));
    assert!(
        matches!(world.events_of(CALLER).last(), Some(CallEvent::Failed { cause: FailCause::NoAnswer, .. })),
        "{:?}",
        world.events
    );
    assert_eq!(world.events_of(CALLEE), [&CallEvent::Cancelled]);
}

#[test]
fn refusals_are_told_by_their_cause() {
    for (code, cause) in [
        (486, FailCause::Busy),
        (603, FailCause::Declined),
        (480, FailCause::NoAnswer),
        (404, FailCause::Unreachable),
        (500, FailCause::Other),
    ] {
        let mut world = plain();
        world.dial(Duration::from_secs(5));
        let theirs = world.incoming[0].1;
        world.command(CALLEE, Command::Reject { call: theirs, code, reason: String::new() });
        world.millis(100);
        match world.events_of(CALLER)[..] {
            [CallEvent::Failed { code: told, cause: why, .. }] => assert_eq!((*told, *why), (code, cause)),
            ref other => panic!("{code} was told as {other:?}"),
        }
    }
}

#[test]
fn a_session_is_refreshed_half_way_and_ends_when_the_peer_is_silent() {
    let mut world = World::new(|_, config| config.session_expires = Duration::from_secs(90));
    world.connect();
    world.pass(Duration::from_secs(3600));
    assert_eq!(world.events, [], "refreshes keep the session up and are not told");
    // From now on the caller, who refreshes, is cut off.
    world.lose = Some(|bytes| bytes.windows(9).any(|w| w == b"192.0.2.1"));
    world.pass(Duration::from_secs(120));
    let timeout = |events: &[&CallEvent]| matches!(events, [CallEvent::Ended { by: EndReason::Timeout, .. }]);
    assert!(timeout(&world.events_of(CALLEE)), "the callee ends by its timer: {:?}", world.events);
    assert!(timeout(&world.events_of(CALLER)), "the caller ends by silence: {:?}", world.events);
}

#[test]
fn an_interval_that_is_too_small_is_refused_and_then_agreed_on() {
    let mut world = World::new(|i, config| {
        config.session_expires = Duration::from_secs(100);
        if i == CALLEE {
            config.min_session_expires = Duration::from_secs(300);
        }
    });
    world.connect();
    let timer = world.agents[CALLER].calls.get(&1).and_then(|call| call.timer).expect("a session timer");
    assert_eq!(timer.interval, Duration::from_secs(300));
}

#[test]
fn two_holds_at_once_are_settled_by_491() {
    let mut world = plain();
    let (ours, theirs) = world.connect();
    world.command(CALLER, Command::Hold { call: ours, on: true });
    world.command(CALLEE, Command::Hold { call: theirs, on: true });
    world.pass(Duration::from_secs(10));
    for (agent, id) in [(CALLER, ours), (CALLEE, theirs)] {
        let call = &world.agents[agent].calls[&id];
        assert_eq!(call.media.as_ref().map(|m| m.direction), Some(Direction::Inactive), "agent {agent}");
    }
}

#[test]
fn a_transfer_is_told_and_its_progress_reported_until_it_is_done() {
    let mut world = plain();
    let (ours, theirs) = world.connect();
    let target = "sip:seat@192.0.2.7".to_owned();
    let headers = vec![("X-Why".to_owned(), "asked".to_owned())];
    world.command(CALLER, Command::Refer { call: ours, target: target.clone(), headers });
    world.millis(100);
    match world.events_of(CALLEE)[..] {
        [CallEvent::Refer { to, headers }] => {
            assert_eq!(*to, target);
            assert!(headers.contains(&("X-Why".to_owned(), "asked".to_owned())), "{headers:?}");
        }
        ref other => panic!("the callee was told {other:?}"),
    }
    world.command(CALLEE, Command::ReferProgress { call: theirs, code: 180, reason: String::new() });
    world.millis(100);
    world.command(CALLEE, Command::ReferProgress { call: theirs, code: 200, reason: String::new() });
    world.millis(100);
    let progress: Vec<_> = world
        .events_of(CALLER)
        .into_iter()
        .map(|event| match event {
            CallEvent::ReferProgress { code, done, .. } => (*code, *done),
            other => panic!("the caller was told {other:?}"),
        })
        .collect();
    assert_eq!(progress, [(100, false), (180, false), (200, true)]);
}

#[test]
fn a_refer_may_be_forbidden() {
    let mut world = World::new(|_, config| config.refer_allowed = false);
    let (ours, _) = world.connect();
    world.command(
        CALLER,
        Command::Refer { call: ours, target: "sip:x@192.0.2.7".to_owned(), headers: Vec::new() },
    );
    world.millis(100);
    assert!(matches!(world.events_of(CALLER)[..], [CallEvent::ReferProgress { code: 603, done: true, .. }]));
    assert!(world.events_of(CALLEE).is_empty());
}

#[test]
fn an_unanswered_200_is_sent_again_and_then_ended_with_bye() {
    let mut world = plain();
    world.say(&raw("INVITE", 1, None, "", SDP));
    let call = world.incoming[0].1;
    world.script.clear();
    world.command(CALLEE, Command::Answer { call, local: local(CALLEE) });
    world.pass(Duration::from_secs(40));
    let oks = codes(&world.script).len();
    assert_eq!(oks, 11, "one, and again after 0.5, 1, 2, 4, 4 … s until 32 s");
    assert!(world.script.iter().any(|m| m.starts_with("BYE ")), "{:?}", world.script.last());
    assert!(matches!(world.events_of(CALLEE).last(), Some(CallEvent::Ended { by: EndReason::Timeout, .. })));
}

#[test]
fn an_invite_without_offer_gets_ours_and_the_ack_answers() {
    let mut world = plain();
    world.say(&raw("INVITE", 1, None, "", ""));
    let call = world.incoming[0].1;
    world.command(CALLEE, Command::Answer { call, local: local(CALLEE) });
    world.millis(20);
    assert!(world.script.last().is_some_and(|m| m.contains("m=audio")), "the 200 has an offer");
    assert!(world.events.is_empty(), "not answered before the ACK");
    let tag = tag_of(&world.script);
    world.say(&raw("ACK", 1, Some(&tag), "", SDP));
    match world.events_of(CALLEE)[..] {
        [CallEvent::Answered(media)] => {
            assert_eq!((media.codec, media.dtmf_payload_type), (Codec::Pcma, Some(96)));
        }
        ref other => panic!("told {other:?}"),
    }
}

#[test]
fn a_hangup_before_the_ack_waits_for_it() {
    let mut world = plain();
    world.say(&raw("INVITE", 1, None, "", SDP));
    let call = world.incoming[0].1;
    world.command(CALLEE, Command::Answer { call, local: local(CALLEE) });
    world.command(CALLEE, Command::Hangup { call, reason: None });
    world.millis(20);
    assert!(!world.script.iter().any(|m| m.starts_with("BYE")), "no BYE before the ACK");
    let tag = tag_of(&world.script);
    let heard = world.say(&raw("ACK", 1, Some(&tag), "", ""));
    assert!(heard.iter().any(|m| m.starts_with("BYE")), "{heard:?}");
}

#[test]
fn a_required_100rel_makes_ringing_reliable() {
    let mut world = plain();
    world.say(&raw("INVITE", 1, None, "Require: 100rel\r\n", SDP));
    let call = world.incoming[0].1;
    world.script.clear();
    world.command(CALLEE, Command::Ring { call });
    world.millis(1600);
    let ringing: Vec<_> = world.script.iter().filter(|m| m.starts_with("SIP/2.0 180")).collect();
    assert_eq!(ringing.len(), 3, "sent again after 0.5 and 1 s more");
    let rseq = ringing[0].lines().find_map(|l| l.strip_prefix("RSeq: ")).expect("an RSeq").to_owned();
    let tag = tag_of(&world.script);
    let wrong = world.say(&raw("PRACK", 2, Some(&tag), "RAck: 7 1 INVITE\r\n", ""));
    assert_eq!(codes(&wrong), ["481"]);
    let right = world.say(&raw("PRACK", 3, Some(&tag), &format!("RAck: {rseq} 1 INVITE\r\n"), ""));
    assert_eq!(codes(&right), ["200"]);
    world.script.clear();
    world.pass(Duration::from_secs(10));
    assert!(world.script.is_empty(), "no more copies after the PRACK");
}

#[test]
fn a_caller_that_never_pracks_gets_a_5xx() {
    let mut world = plain();
    world.say(&raw("INVITE", 1, None, "Require: 100rel\r\n", SDP));
    let call = world.incoming[0].1;
    world.command(CALLEE, Command::Ring { call });
    world.script.clear();
    world.pass(Duration::from_secs(33));
    assert!(codes(&world.script).contains(&"504"), "{:?}", codes(&world.script));
}

#[test]
fn requests_that_cannot_be_served_get_the_code_that_says_why() {
    let video = SDP.replace("m=audio", "m=video");
    let g729 = SDP.replace("RTP/AVP 8 96", "RTP/AVP 18");
    for (method, tag, extra, body, code) in [
        ("FOOBAR", None, "", "", "501"),
        ("REGISTER", None, "", "", "405"),
        ("INVITE", None, "Require: nothing\r\n", SDP, "420"),
        ("INVITE", None, "Content-Type: text/x-foo\r\n", "hello", "415"),
        ("INVITE", None, "Content-Encoding: gzip\r\n", SDP, "415"),
        ("INVITE", None, "Accept: text/plain\r\n", SDP, "406"),
        ("INVITE", None, "Supported: timer\r\nSession-Expires: 20\r\n", SDP, "422"),
        ("INVITE", None, "", video.as_str(), "488"),
        ("INVITE", None, "", g729.as_str(), "488"),
        ("INVITE", None, "", "this is not SDP", "400"),
        ("INVITE", Some("nobody"), "", SDP, "481"),
        ("BYE", Some("nobody"), "", "", "481"),
        ("BYE", None, "", "", "481"),
        ("REFER", None, "Refer-To: <sip:a@b>\r\n", "", "403"),
        ("OPTIONS", None, "", "", "200"),
    ] {
        let mut world = plain();
        let heard = world.say(&raw(method, 1, tag, extra, body));
        assert_eq!(codes(&heard), [code], "{method} {extra}{body}");
        if code == "488" {
            assert!(heard[0].contains("Warning: 30"), "{}", heard[0]);
        }
    }
}

#[test]
fn requests_in_a_call_get_their_answers() {
    let mut world = plain();
    let (tag, call) = scripted_call(&mut world, "");
    let tag = Some(tag.as_str());
    let relay = "Content-Type: application/dtmf-relay\r\n";
    assert_eq!(codes(&world.say(&raw("INFO", 2, tag, relay, "Signal=5\r\nDuration=160\r\n"))), ["200"]);
    assert_eq!(codes(&world.say(&raw("INFO", 3, tag, "Content-Type: application/dtmf\r\n", "#"))), ["200"]);
    assert_eq!(world.events_of(CALLEE), [&CallEvent::Dtmf('5'), &CallEvent::Dtmf('#')]);
    assert_eq!(codes(&world.say(&raw("INFO", 4, tag, "Content-Type: text/plain\r\n", "x"))), ["415"]);
    world.events.clear();
    let copy = raw("INFO", 2, tag, relay, "Signal=5\r\nDuration=160\r\n");
    assert_eq!(codes(&world.say(&copy)), ["200"], "a copy is answered");
    assert!(world.events.is_empty(), "and is no second digit");
    assert_eq!(codes(&world.say(&raw("OPTIONS", 5, tag, "", ""))), ["200"]);
    assert_eq!(codes(&world.say(&raw("MESSAGE", 6, tag, "", ""))), ["405"]);
    assert_eq!(codes(&world.say(&raw("REFER", 7, tag, "", ""))), ["400"]);
    assert_eq!(codes(&world.say(&raw("NOTIFY", 8, tag, "Event: refer\r\n", ""))), ["481"]);
    assert_eq!(codes(&world.say(&raw("NOTIFY", 9, tag, "Event: presence\r\n", ""))), ["489"]);
    assert_eq!(codes(&world.say(&raw("UPDATE", 10, tag, "", SDP))), ["200"]);
    assert_eq!(codes(&world.say(&raw("UPDATE", 11, tag, "", &SDP.replace("8 96", "18")))), ["488"]);
    assert_eq!(codes(&world.say(&raw("PRACK", 12, tag, "RAck: 1 1 INVITE\r\n", ""))), ["481"]);
    // A second re-INVITE before the ACK of the first.
    assert_eq!(
        codes(&world.say(&raw("INVITE", 13, tag, "", &SDP.replace("8 96", "8 96\r\na=sendonly")))),
        ["200"]
    );
    assert!(world.script[0].contains("a=recvonly"), "{}", world.script[0]);
    let second = world.say(&raw("INVITE", 14, tag, "", SDP));
    assert!(codes(&second).contains(&"491"), "{:?}", codes(&second));
    world.say(&raw("ACK", 13, tag, "", ""));
    assert!(world.agents[CALLEE].calls[&call].unacked.is_none());
    assert_eq!(codes(&world.say(&raw("BYE", 5, tag, "", ""))), ["500"], "an old CSeq");
    assert_eq!(codes(&world.say(&raw("BYE", 20, tag, "", ""))), ["200"]);
    assert_eq!(codes(&world.say(&raw("OPTIONS", 21, tag, "", ""))), ["481"]);
}

#[test]
fn one_call_too_many_is_refused_politely() {
    let mut world = World::new(|_, config| config.max_calls = 1);
    let (tag, _) = scripted_call(&mut world, "");
    let other = raw("INVITE", 1, None, "", SDP).replace("scripted", "other").replace("z9hG4bK", "z9hG4bKo");
    let heard = world.say(&other);
    assert_eq!(codes(&heard), ["503"]);
    assert!(heard[0].contains("Retry-After: "), "{}", heard[0]);
    world.say(&raw("BYE", 2, Some(&tag), "", ""));
    let again = other.replace("z9hG4bKo", "z9hG4bKp").replace("Call-ID: other", "Call-ID: third");
    assert_eq!(codes(&world.say(&again)), ["100"]);
}

#[test]
fn the_same_request_by_another_path_is_a_loop() {
    let mut world = plain();
    world.say(&raw("INVITE", 1, None, "", SDP));
    let merged = world.say(&raw("INVITE", 1, None, "", SDP).replace("z9hG4bK", "z9hG4bKx"));
    assert_eq!(codes(&merged), ["482"]);
    assert_eq!(world.incoming.len(), 1);
}

#[test]
fn a_fork_that_answers_second_is_hung_up() {
    let mut world = plain();
    let dial = OutgoingRequest {
        target: format!("sip:s@{}", script()),
        from: "sip:c@192.0.2.1".to_owned(),
        display: None,
        headers: Vec::new(),
        local: local(CALLER),
        ring_timeout: Duration::from_secs(30),
        flow: flow(CALLER, script()),
    };
    world.command(CALLER, Command::Dial { call: 1, dial });
    world.millis(20);
    let invite = world.script.pop().expect("an INVITE");
    let ok = |tag: &str| {
        let mut out = "SIP/2.0 200 OK\r\n".to_owned();
        for line in invite.lines().take_while(|l| !l.is_empty()) {
            match line.split(':').next().unwrap_or_default() {
                "Via" | "From" | "Call-ID" | "CSeq" => out += &format!("{line}\r\n"),
                "To" => out += &format!("{line};tag={tag}\r\n"),
                _ => {}
            }
        }
        out + &format!(
            "Contact: <sip:{tag}@{}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
            script(),
            SDP.len()
        )
    };
    for tag in ["one", "two", "one"] {
        let bytes = Bytes::from(ok(tag));
        world.wire.push_back((world.now, script(), addr(CALLER), bytes));
        world.millis(50);
    }
    let sent: Vec<_> = world.script.iter().filter_map(|m| m.lines().next()).collect();
    let wanted = [
        format!("ACK sip:one@{} SIP/2.0", script()),
        format!("ACK sip:two@{} SIP/2.0", script()),
        format!("BYE sip:two@{} SIP/2.0", script()),
        format!("ACK sip:one@{} SIP/2.0", script()),
    ];
    assert_eq!(sent, wanted, "every 200 gets its ACK, the second callee a BYE");
    assert!(matches!(world.events_of(CALLER)[..], [CallEvent::Answered(_)]));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    #[test]
    fn a_mangled_request_never_panics_and_the_next_one_is_answered(
        cuts in proptest::collection::vec((0usize..700, proptest::prelude::any::<u8>()), 1..12),
        method in "INVITE|BYE|UPDATE|REFER|NOTIFY|PRACK|INFO|CANCEL|ACK",
    ) {
        let mut world = plain();
        let (tag, _) = scripted_call(&mut world, "");
        let extra = "Refer-To: <sip:a@b>\r\nEvent: refer\r\nRAck: 1 1 INVITE\r\nSession-Expires: 90\r\n";
        let mut bytes = raw(&method, 2, Some(&tag), extra, SDP).into_bytes();
        for (at, byte) in cuts {
            let len = bytes.len();
            if let Some(slot) = bytes.get_mut(at % len) {
                *slot = byte;
            }
        }
        world.agents[CALLEE].datagram(world.now, Bytes::from(bytes), flow(CALLEE, script()));
        world.collect();
        world.millis(50);
        let heard = world.say(&raw("OPTIONS", 3, None, "", ""));
        proptest::prop_assert!(codes(&heard).contains(&"200"), "{heard:?}");
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
        let mut world = plain();
        let bytes = Bytes::from(bytes);
        world.agents[CALLEE].datagram(world.now, bytes.clone(), flow(CALLEE, script()));
        let stream = Flow { transport: Transport::Tcp, connection: Some(1), ..flow(CALLEE, script()) };
        world.agents[CALLEE].stream(world.now, &bytes, stream);
        world.millis(50);
    }
}
