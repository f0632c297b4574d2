//! Calls between two agents: answered, held, lost packets, given up, refused, forked.

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::sdp::Direction;

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
        assert!(agent.stack.is_idle(), "no transaction is left");
    }
}

#[test]
fn a_call_survives_the_loss_of_every_second_message() {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let mut world = plain();
    world.lose = Some(|_| COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed).is_multiple_of(2));
    let ours = world.dial(Duration::from_secs(60));
    world.pass(Duration::from_secs(3));
    let theirs = world.incoming.last().expect("the call arrives").1;
    world.command(CALLEE, Command::Answer { call: theirs, local: local(CALLEE), srtp: None });
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
    world.command(CALLEE, Command::Answer { call: theirs, local: local(CALLEE), srtp: None });
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
fn a_fork_that_answers_second_is_hung_up() {
    let mut world = plain();
    let dial = OutgoingRequest {
        target: format!("sip:s@{}", script()),
        contact: None,
        from: "sip:c@192.0.2.1".to_owned(),
        display: None,
        headers: Vec::new(),
        local: local(CALLER),
        srtp: SrtpPolicy::Off,
        ring_timeout: Duration::from_secs(30),
        flow: flow(CALLER, script()),
        pinned: false,
    };
    world.command(CALLER, Command::Dial { call: 1, dial: Box::new(dial) });
    world.millis(20);
    let invite = world.script.pop().expect("an INVITE");
    let ok = |tag: &str| {
        let copied = invite.lines().take_while(|line| !line.is_empty()).filter_map(|line| {
            match line.split(':').next().unwrap_or_default() {
                "Via" | "From" | "Call-ID" | "CSeq" => Some(line.to_owned()),
                "To" => Some(format!("{line};tag={tag}")),
                _ => None,
            }
        });
        let mut lines = vec!["SIP/2.0 200 OK".to_owned()];
        lines.extend(copied);
        lines.push(format!("Contact: <sip:{tag}@{}>", script()));
        lines.push(format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}", SDP.len()));
        lines.join("\r\n")
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
    world.pass(Duration::from_secs(60));
    assert!(
        matches!(world.events_of(CALLER)[..], [CallEvent::Answered(_)]),
        "the silence of the second callee does not touch the call: {:?}",
        world.events
    );
}

/// A call to the script; the INVITE.
fn call_script(world: &mut World) -> String {
    let dial = OutgoingRequest {
        target: format!("sip:s@{}", script()),
        contact: None,
        from: "sip:c@192.0.2.1".to_owned(),
        display: None,
        headers: Vec::new(),
        local: local(CALLER),
        srtp: SrtpPolicy::Off,
        ring_timeout: Duration::from_secs(600),
        flow: flow(CALLER, script()),
        pinned: false,
    };
    world.command(CALLER, Command::Dial { call: 1, dial: Box::new(dial) });
    world.millis(20);
    world.script.pop().expect("an INVITE")
}

/// The script's answer to a request of the caller's.
fn reply(world: &mut World, request: &str, status: &str, extra: &str, body: &str) {
    let copied = request.lines().take_while(|line| !line.is_empty()).filter_map(|line| {
        match line.split(':').next().unwrap_or_default() {
            "Via" | "From" | "Call-ID" | "CSeq" => Some(line.to_owned()),
            "To" if line.contains("tag=") => Some(line.to_owned()),
            "To" => Some(format!("{line};tag=one")),
            _ => None,
        }
    });
    let head: Vec<String> = [format!("SIP/2.0 {status}")].into_iter().chain(copied).collect();
    let message = format!(
        "{}\r\nContact: <sip:one@{}>\r\n{extra}Content-Length: {}\r\n\r\n{body}",
        head.join("\r\n"),
        script(),
        body.len()
    );
    world.wire.push_back((world.now, script(), addr(CALLER), Bytes::from(message)));
    world.millis(50);
}

#[test]
fn a_callee_that_rings_and_takes_no_prack_is_given_up_and_forgotten() {
    let mut world = plain();
    let invite = call_script(&mut world);
    reply(&mut world, &invite, "180 Ringing", "Require: 100rel\r\nRSeq: 4294967295\r\n", "");
    // A number after the last one there is comes from no callee that counts.
    reply(&mut world, &invite, "180 Ringing", "Require: 100rel\r\nRSeq: 0\r\n", "");
    world.pass(Duration::from_secs(40));
    let sent = |method: &str| world.script.iter().filter(|message| message.starts_with(method)).count();
    assert!(sent("PRACK ") > 1 && sent("CANCEL ") > 1, "{:?}", world.script.last());
    assert_eq!(sent("BYE "), 0, "what is not answered is cancelled");
    let events = world.events_of(CALLER);
    assert!(matches!(events[..], [CallEvent::Ringing, CallEvent::Failed { code: 408, .. }]), "{events:?}");
    world.pass(Duration::from_secs(120));
    assert_eq!(world.agents[CALLER].leftovers(), None);
}

#[test]
fn a_callee_that_never_ends_a_new_offer_is_forgotten_after_the_call() {
    let mut world = plain();
    let invite = call_script(&mut world);
    reply(&mut world, &invite, "200 OK", "Content-Type: application/sdp\r\n", SDP);
    world.script.clear();
    world.command(CALLER, Command::Hold { call: 1, on: true });
    world.millis(20);
    let offer = world.script.iter().find(|m| m.starts_with("INVITE ")).expect("a new offer").clone();
    reply(&mut world, &offer, "100 Trying", "", "");
    world.command(CALLER, Command::Hangup { call: 1, reason: None });
    world.pass(Duration::from_secs(120));
    assert_eq!(world.agents[CALLER].leftovers(), None);
}
