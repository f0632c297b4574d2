//! What single requests of a scripted peer are answered, good and bad ones.

use std::time::Duration;

use bytes::Bytes;

use super::*;

#[test]
fn an_unanswered_200_is_sent_again_and_then_ended_with_bye() {
    let mut world = plain();
    world.say(&raw("INVITE", 1, None, "", SDP));
    let call = world.incoming[0].1;
    world.script.clear();
    world.command(CALLEE, Command::Answer { call, local: local(CALLEE), srtp: None });
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
    world.command(CALLEE, Command::Answer { call, local: local(CALLEE), srtp: None });
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
    world.command(CALLEE, Command::Answer { call, local: local(CALLEE), srtp: None });
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
fn a_transport_that_is_there_twice_does_not_stop_a_call() {
    let mut world = plain();
    let twice = "sip:400@192.0.2.2;transport=tcp;transport=udp";
    let invite = raw("INVITE", 1, None, "", SDP)
        .replace("INVITE sip:400@192.0.2.2", &format!("INVITE {twice}"))
        .replace("To: <sip:400@192.0.2.2>", &format!("To: <{twice}>"));
    assert_eq!(codes(&world.say(&invite)), ["100"]);
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

#[test]
fn who_is_asked_and_silent_is_told_as_such() {
    let mut world = World::new(|_, _| ());
    let target = format!("sip:{}", addr(CALLEE));
    let probe = |id| Command::Probe { id, target: target.clone(), flow: flow(CALLER, addr(CALLEE)) };
    world.command(CALLER, probe(7));
    world.millis(100);
    let answered = world.probes.pop().expect("an answer");
    assert_eq!(answered.code, 200);
    assert!(answered.allow.iter().any(|method| method == "REFER"), "{answered:?}");
    world.lose = Some(|_| true);
    world.command(CALLER, probe(9));
    world.pass(Duration::from_secs(31));
    assert!(world.probes.is_empty(), "{:?}", world.probes);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.probes.pop().expect("the end of it").code, 408);
}
