//! Keys in offers and answers: who agrees to what, and what a new description changes.

use super::*;
use crate::sdes::SrtpParams;

const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

/// Caller and callee with these policies, over SIP that may carry keys.
fn world(caller: SrtpPolicy, callee: SrtpPolicy) -> World {
    World::new(|i, config| {
        config.srtp = if i == CALLER { caller } else { callee };
        config.srtp_over_plain_sip = true;
    })
}

/// The keys in the last of these events.
fn keys(events: &[&CallEvent]) -> Option<SrtpParams> {
    events.iter().rev().find_map(|event| match event {
        CallEvent::Answered(media) | CallEvent::Media(media) => Some(media.srtp.as_deref().copied()),
        _ => None,
    })?
}

fn failed(world: &World) -> Option<u16> {
    world.events_of(CALLER).into_iter().find_map(|event| match event {
        CallEvent::Failed { code, .. } => Some(*code),
        _ => None,
    })
}

fn savp(key: &str, direction: &str) -> String {
    let crypto = format!("a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\na={direction}\r\n");
    SDP.replace("RTP/AVP", "RTP/SAVP") + &crypto
}

#[test]
fn what_caller_and_callee_want_decides_whether_there_are_keys() {
    let (off, optional, required) = (SrtpPolicy::Off, SrtpPolicy::Optional, SrtpPolicy::Required);
    for (caller, callee, wanted) in [
        (off, off, Some(false)),
        (off, optional, Some(false)),
        (off, required, None),
        (optional, optional, Some(false)),
        (optional, required, None),
        (required, off, None),
        (required, optional, Some(true)),
        (required, required, Some(true)),
    ] {
        let mut world = world(caller, callee);
        let case = format!("{caller:?} calls {callee:?}");
        world.dial(Duration::from_secs(60));
        let Some(wanted) = wanted else {
            assert_eq!((failed(&world), world.incoming.len()), (Some(488), 0), "{case}");
            continue;
        };
        let call = world.incoming.last().expect("the call arrives").1;
        world.command(CALLEE, Command::Answer { call, local: local(CALLEE), srtp: None });
        world.millis(50);
        let (ours, theirs) = (keys(&world.events_of(CALLER)), keys(&world.events_of(CALLEE)));
        assert_eq!((ours.is_some(), theirs.is_some()), (wanted, wanted), "{case}");
        if let (Some(ours), Some(theirs)) = (ours, theirs) {
            assert_eq!((ours.suite, ours.local, ours.remote), (theirs.suite, theirs.remote, theirs.local));
            assert_ne!(ours.local, ours.remote, "a key of its own for each direction");
        }
    }
}

#[test]
fn keys_are_kept_to_tls_unless_the_configuration_says_otherwise() {
    let mut world = World::new(|_, config| config.srtp = SrtpPolicy::Optional);
    world.say(&raw("INVITE", 1, None, "", &savp(KEY, "sendrecv")));
    assert_eq!(codes(&world.script), ["488"]);
    assert!(world.script[0].contains("TLS only"), "{}", world.script[0]);

    let mut world = World::new(|_, config| config.srtp = SrtpPolicy::Required);
    world.say(&raw("INVITE", 1, None, "", SDP));
    assert_eq!(codes(&world.script), ["488"]);
    world.dial(Duration::from_secs(60));
    assert!(world.incoming.is_empty(), "a plain call although SRTP is required");
}

#[test]
fn a_call_may_be_stricter_than_its_endpoint() {
    let mut world = world(SrtpPolicy::Off, SrtpPolicy::Optional);
    world.dial(Duration::from_secs(60));
    let call = world.incoming.last().expect("the call arrives").1;
    let srtp = Some(SrtpPolicy::Required);
    world.command(CALLEE, Command::Answer { call, local: local(CALLEE), srtp });
    world.millis(50);
    assert_eq!(failed(&world), Some(488));
}

#[test]
fn hold_and_resume_keep_the_keys() {
    let mut world = world(SrtpPolicy::Required, SrtpPolicy::Optional);
    world.dial(Duration::from_secs(60));
    let call = world.incoming.last().expect("the call arrives").1;
    world.command(CALLEE, Command::Answer { call, local: local(CALLEE), srtp: None });
    world.millis(50);
    let before = (keys(&world.events_of(CALLER)), keys(&world.events_of(CALLEE)));
    assert!(before.0.is_some());
    for (agent, id) in [(CALLER, 1), (CALLEE, call)] {
        for on in [true, false] {
            world.events.clear();
            world.command(agent, Command::Hold { call: id, on });
            world.millis(100);
            let after = (keys(&world.events_of(CALLER)), keys(&world.events_of(CALLEE)));
            assert_eq!(after, before, "hold {on} by {agent}");
        }
    }
}

#[test]
fn a_reinvite_with_a_new_key_changes_both_and_one_without_srtp_is_refused() {
    let mut world = world(SrtpPolicy::Off, SrtpPolicy::Required);
    world.say(&raw("INVITE", 1, None, "", &savp(KEY, "sendrecv")));
    let call = world.incoming.last().expect("the call arrives").1;
    world.command(CALLEE, Command::Answer { call, local: local(CALLEE), srtp: None });
    world.millis(20);
    let tag = tag_of(&world.script);
    world.say(&raw("ACK", 1, Some(&tag), "", ""));
    let first = keys(&world.events_of(CALLEE)).expect("keys");

    world.say(&raw("INVITE", 2, Some(&tag), "", &savp(KEY, "sendonly")));
    world.say(&raw("ACK", 2, Some(&tag), "", ""));
    assert_eq!(keys(&world.events_of(CALLEE)), Some(first), "the same key, on hold");

    let new = KEY.replace('d', "e");
    world.say(&raw("INVITE", 3, Some(&tag), "", &savp(&new, "sendrecv")));
    world.say(&raw("ACK", 3, Some(&tag), "", ""));
    let second = keys(&world.events_of(CALLEE)).expect("keys");
    assert!(second.remote != first.remote && second.local != first.local);

    world.script.clear();
    world.say(&raw("INVITE", 4, Some(&tag), "", SDP));
    assert!(codes(&world.script).contains(&"488"), "{:?}", codes(&world.script));
    assert_eq!(keys(&world.events_of(CALLEE)), Some(second), "the call goes on as it was");
}

#[test]
fn an_invite_without_an_offer_gets_a_fresh_key_each_time() {
    let mut world = world(SrtpPolicy::Off, SrtpPolicy::Required);
    let key = |world: &World| {
        let mut lines = world.script.iter().rev().flat_map(|message| message.lines());
        let line = lines.find(|line| line.contains("AES_CM_128_HMAC_SHA1_80"));
        line.expect("a key").to_owned()
    };
    world.say(&raw("INVITE", 1, None, "", ""));
    let call = world.incoming.last().expect("the call arrives").1;
    world.command(CALLEE, Command::Answer { call, local: local(CALLEE), srtp: None });
    world.millis(20);
    let tag = tag_of(&world.script);
    let first = key(&world);
    let answer = savp(KEY, "sendrecv").replace("crypto:3", "crypto:4");
    world.say(&raw("ACK", 1, Some(&tag), "", &answer));
    let before = keys(&world.events_of(CALLEE)).expect("keys");

    // Somebody else may answer that one: a transfer by a controller (RFC 3725).
    world.say(&raw("INVITE", 2, Some(&tag), "", ""));
    let second = key(&world);
    assert_ne!(first, second);
    world.say(&raw("ACK", 2, Some(&tag), "", &answer));
    let after = keys(&world.events_of(CALLEE)).expect("keys");
    assert!(after.local != before.local && after.remote == before.remote);
}
