//! Transfers: REFER and Replaces.

use super::*;

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
fn a_transfer_that_nothing_is_heard_of_fails_in_time() {
    let mut world = World::new(|_, config| config.transfer_timeout = Duration::from_secs(20));
    let (ours, _) = world.connect();
    let target = "sip:x@192.0.2.7".to_owned();
    world.command(CALLER, Command::Refer { call: ours, target, headers: Vec::new() });
    world.pass(Duration::from_secs(21));
    let last = world.events_of(CALLER).last().map(|event| (*event).clone());
    assert!(matches!(last, Some(CallEvent::ReferProgress { code: 408, done: true, .. })), "{last:?}");
    world.events.clear();
    let theirs = world.incoming[0].1;
    world.command(CALLEE, Command::ReferProgress { call: theirs, code: 200, reason: String::new() });
    world.millis(100);
    assert!(world.events_of(CALLER).is_empty(), "too late is too late");
}

/// The INVITE of the script that wants to replace this call of the callee's.
fn replacing(call_id: &str, to: &str, from: &str, extra: &str) -> String {
    let replaces = format!("Replaces: {call_id};to-tag={to};from-tag={from}{extra}\r\nRequire: replaces\r\n");
    raw("INVITE", 1, None, &replaces, SDP).replace("scripted", "second").replace("z9hG4bK", "z9hG4bKr")
}

/// The dialog of a call of the callee's: Call-ID, our tag, the peer's.
fn dialog(world: &World, call: u64) -> (String, String, String) {
    let dialog = &world.agents[CALLEE].calls[&call].dialog;
    (dialog.call_id.clone(), dialog.local_tag.clone(), dialog.remote_tag.clone())
}

#[test]
fn a_call_takes_the_place_of_another_when_it_is_answered() {
    let mut world = plain();
    let (_, theirs) = world.connect();
    let (call_id, ours, peer) = dialog(&world, theirs);
    assert_eq!(codes(&world.say(&replacing(&call_id, &ours, &peer, ""))), ["100"]);
    let (_, new) = *world.incoming.last().expect("the second call arrives");
    assert_eq!(world.replaces.last(), Some(&Some(Replaced { call: theirs, early: false })));
    assert!(world.events.is_empty(), "the first call is not touched before the answer: {:?}", world.events);
    world.command(CALLEE, Command::Answer { call: new, local: local(CALLEE), srtp: None });
    world.millis(100);
    let replaced = CallEvent::Ended {
        by: EndReason::Replaced,
        code: 200,
        reason: "replaced by another call".to_owned(),
    };
    assert!(world.events_of(CALLEE).contains(&&replaced), "{:?}", world.events);
    assert!(
        matches!(world.events_of(CALLER)[..], [CallEvent::Ended { by: EndReason::Remote, .. }]),
        "the first caller is hung up: {:?}",
        world.events
    );
}

#[test]
fn a_call_that_would_replace_what_is_not_there_is_refused_by_its_reason() {
    let mut world = plain();
    let (_, theirs) = world.connect();
    let (call_id, ours, peer) = dialog(&world, theirs);
    let unique = |message: String, n: u32| {
        message.replace("z9hG4bKr", &format!("z9hG4bKr{n}")).replace("second", &format!("second{n}"))
    };
    for (n, (invite, code)) in [
        (replacing("nobody", &ours, &peer, ""), "481"),
        (replacing(&call_id, &ours, "wrong", ""), "481"),
        (replacing(&call_id, &ours, "0", ""), "481"),
        (replacing(&call_id, &ours, &peer, ";early-only"), "486"),
        (replacing(&call_id, &ours, &peer, "\r\nReplaces: x;to-tag=1;from-tag=2"), "400"),
        (raw("INVITE", 1, None, "Replaces: x;to-tag=1\r\n", SDP).replace("scripted", "second"), "400"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(codes(&world.say(&unique(invite, n as u32))), [code], "number {n}");
    }
    world.command(CALLEE, Command::Hangup { call: theirs, reason: None });
    world.millis(100);
    let late = unique(replacing(&call_id, &ours, &peer, ""), 9);
    assert_eq!(codes(&world.say(&late)), ["603"], "a call that has just ended");
    assert_eq!(world.incoming.len(), 1, "none of them was told");
}

#[test]
fn only_an_early_call_of_our_own_can_be_replaced() {
    let mut world = plain();
    // A call to us that we have not answered belongs to its caller.
    world.dial(Duration::from_secs(60));
    let ringing = world.incoming[0].1;
    let (call_id, ours, peer) = dialog(&world, ringing);
    assert_eq!(codes(&world.say(&replacing(&call_id, &ours, &peer, ""))), ["481"]);

    let mut world = plain();
    let dial = OutgoingRequest {
        target: format!("sip:s@{}", addr(CALLER)),
        contact: None,
        from: "sip:c@192.0.2.2".to_owned(),
        display: None,
        headers: Vec::new(),
        local: local(CALLEE),
        srtp: SrtpPolicy::Off,
        ring_timeout: Duration::from_secs(30),
        flow: flow(CALLEE, addr(CALLER)),
        pinned: false,
    };
    world.command(CALLEE, Command::Dial { call: 9, dial: Box::new(dial) });
    world.millis(50);
    let (_, ringing) = *world.incoming.last().expect("the call arrives");
    world.command(CALLER, Command::Ring { call: ringing });
    world.millis(50);
    let (call_id, ours, peer) = dialog(&world, 9);
    world.say(&replacing(&call_id, &ours, &peer, ";early-only"));
    let (_, new) = *world.incoming.last().expect("the second call arrives");
    assert_eq!(world.replaces.last(), Some(&Some(Replaced { call: 9, early: true })));
    world.command(CALLEE, Command::Answer { call: new, local: local(CALLEE), srtp: None });
    world.millis(100);
    assert!(world.events_of(CALLER).contains(&&CallEvent::Cancelled), "{:?}", world.events);
    let told = world
        .events
        .iter()
        .any(|(_, id, event)| *id == 9 && matches!(event, CallEvent::Failed { code: 487, .. }));
    assert!(told, "{:?}", world.events);
}

#[test]
fn taking_over_a_call_that_is_gone_is_told_as_a_failure() {
    let mut world = plain();
    let (ours, _) = world.connect();
    world.command(CALLER, Command::ReferReplacing { call: ours, other: 77, carried: Vec::new() });
    assert!(matches!(world.events_of(CALLER)[..], [CallEvent::ReferProgress { code: 481, done: true, .. }]));
}
