//! Offers and answers, as peers write them and as nobody should.

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

const ORIGIN: Origin = Origin { id: 1, version: 1 };
const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

fn terms(policy: SrtpPolicy) -> Terms {
    Terms { policy, permitted: true }
}

/// Our answer with SRTP off.
fn plainly(remote: &Remote, wish: Direction) -> Result<(String, MediaParams), SdpError> {
    securely(remote, wish, terms(SrtpPolicy::Off), None)
}

fn securely(
    remote: &Remote,
    wish: Direction,
    terms: Terms,
    agreed: Option<SrtpParams>,
) -> Result<(String, MediaParams), SdpError> {
    remote.answer(&local(), ORIGIN, wish, terms, agreed, &mut StdRng::seed_from_u64(1))
}

fn local() -> LocalMedia {
    LocalMedia { ip: "192.0.2.1".parse().expect("an address"), port: 40000, codecs: Codec::ALL.to_vec() }
}

fn sdp(media: &str) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n{media}")
}

fn answer(media: &str) -> (String, MediaParams) {
    let remote = Remote::read(sdp(media).as_bytes()).expect("usable SDP");
    plainly(&remote, Direction::SendRecv).expect("an answer")
}

#[test]
fn the_answer_takes_our_best_codec_and_the_offered_event_type() {
    let (text, params) = answer(
        "m=audio 5000 RTP/AVP 0 8 96\r\na=rtpmap:96 telephone-event/8000\r\na=ptime:30\r\na=rtcp:5009\r\n",
    );
    assert_eq!((params.codec, params.payload_type), (Codec::Pcma, 8));
    assert_eq!((params.dtmf_payload_type, params.ptime.as_millis()), (Some(96), 30));
    assert_eq!(params.remote_rtcp, "192.0.2.9:5009".parse().ok());
    assert!(text.contains("m=audio 40000 RTP/AVP 8 96\r\n"), "{text}");
}

#[test]
fn a_dynamic_payload_type_for_g711_is_used_as_offered() {
    let (text, params) = answer("m=audio 5000 RTP/AVP 97\r\na=rtpmap:97 pcmu/8000\r\n");
    assert_eq!((params.codec, params.payload_type), (Codec::Pcmu, 97));
    assert!(text.contains("a=rtpmap:97 PCMU/8000"), "{text}");
}

#[test]
fn the_direction_of_an_answer_mirrors_the_offer_and_keeps_our_own_hold() {
    for (offered, plain, holding) in [
        ("sendrecv", Direction::SendRecv, Direction::SendOnly),
        ("sendonly", Direction::RecvOnly, Direction::Inactive),
        ("recvonly", Direction::SendOnly, Direction::SendOnly),
        ("inactive", Direction::Inactive, Direction::Inactive),
    ] {
        let remote = Remote::read(sdp(&format!("m=audio 5000 RTP/AVP 0\r\na={offered}\r\n")).as_bytes())
            .expect("usable SDP");
        for (wish, wanted) in [(Direction::SendRecv, plain), (Direction::SendOnly, holding)] {
            let (_, params) = plainly(&remote, wish).expect("an answer");
            assert_eq!(params.direction, wanted, "{offered} with our wish {wish:?}");
        }
    }
}

#[test]
fn an_address_of_zeros_means_hold() {
    let (_, params) = answer("m=audio 5000 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n");
    assert_eq!(params.direction, Direction::RecvOnly);
}

#[test]
fn streams_we_do_not_take_stay_in_their_place_with_port_zero() {
    let (text, _) = answer("m=video 6000 RTP/AVP 31\r\nm=audio 5000 RTP/AVP 0\r\nm=audio 5002 RTP/AVP 0\r\n");
    let lines: Vec<_> = text.lines().filter(|l| l.starts_with("m=")).collect();
    assert_eq!(lines, ["m=video 0 RTP/AVP 31", "m=audio 40000 RTP/AVP 0", "m=audio 0 RTP/AVP 0"]);
}

#[test]
fn an_offer_without_audio_or_codec_is_refused_by_name() {
    let read = |media: &str| Remote::read(sdp(media).as_bytes());
    assert_eq!(read("m=video 6000 RTP/AVP 31\r\n").map(|_| ()), Err(SdpError::NoAudio));
    assert_eq!(read("m=audio 0 RTP/AVP 0\r\n").map(|_| ()), Err(SdpError::NoAudio));
    let g729 = read("m=audio 6000 RTP/AVP 18\r\n").expect("usable SDP");
    assert_eq!(g729.suits(&Codec::ALL, terms(SrtpPolicy::Off)), Err(SdpError::NoCommonCodec));
    assert!(matches!(Remote::read(b"hello"), Err(SdpError::Unreadable(_))));
}

#[test]
fn a_new_offer_keeps_the_agreed_payload_types() {
    let (_, params) =
        answer("m=audio 5000 RTP/AVP 97 98\r\na=rtpmap:97 PCMU/8000\r\na=rtpmap:98 telephone-event/8000\r\n");
    let text = offer(&local(), ORIGIN, Direction::SendOnly, Some(&params), &[]);
    assert!(text.contains("m=audio 40000 RTP/AVP 97 8 9 107 13 98 110\r\n"), "{text}");
    assert!(text.contains("a=sendonly"), "{text}");
}

/// An audio stream with one `a=crypto`.
fn secured(protocol: &str, crypto: &str) -> String {
    format!("m=audio 5000 {protocol} 8\r\na=crypto:{crypto}\r\n")
}

#[test]
fn an_offer_of_srtp_is_answered_with_its_tag_and_a_key_of_our_own() {
    let offered = secured("RTP/SAVP", &format!("7 AES_CM_128_HMAC_SHA1_32 inline:{KEY}|2^31"));
    let remote = Remote::read(sdp(&offered).as_bytes()).expect("usable SDP");
    for policy in [SrtpPolicy::Optional, SrtpPolicy::Required] {
        let (text, params) = securely(&remote, Direction::SendRecv, terms(policy), None).expect("an answer");
        let srtp = params.srtp.as_deref().copied();
        let (agreed, srtp) = (srtp, srtp.expect("keys"));
        assert_ne!(srtp.local, srtp.remote);
        assert!(text.contains("m=audio 40000 RTP/SAVP 8\r\n"), "{text}");
        assert!(text.contains("a=crypto:7 AES_CM_128_HMAC_SHA1_32 inline:"), "{text}");
        assert!(!text.contains(KEY), "{text}");
        let (same, kept) = securely(&remote, Direction::SendRecv, terms(policy), agreed).expect("an answer");
        assert_eq!((same, kept.srtp), (text, params.srtp), "their key has not changed, nor has ours");
    }
}

#[test]
fn a_new_key_of_theirs_brings_a_new_one_of_ours() {
    let read = |key: &str| {
        let offered = secured("RTP/SAVP", &format!("1 AES_CM_128_HMAC_SHA1_80 inline:{key}"));
        Remote::read(sdp(&offered).as_bytes()).expect("usable SDP")
    };
    let (wish, terms) = (Direction::SendRecv, terms(SrtpPolicy::Required));
    let mut rng = StdRng::seed_from_u64(7);
    let mut answer = |remote: &Remote, agreed| {
        let answer = remote.answer(&local(), ORIGIN, wish, terms, agreed, &mut rng);
        *answer.expect("an answer").1.srtp.expect("keys")
    };
    let before = answer(&read(KEY), None);
    let after = answer(&read(&KEY.replace('d', "e")), Some(before));
    assert!(after.remote != before.remote && after.local != before.local);
}

#[test]
fn what_is_no_srtp_for_us_is_refused_by_name() {
    let good = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}");
    let read = |media: &str| Remote::read(sdp(media).as_bytes()).expect("usable SDP");
    let refused = |media: &str, policy, permitted| {
        read(media).suits(&Codec::ALL, Terms { policy, permitted }).expect_err("refused")
    };
    let (off, optional, required) = (SrtpPolicy::Off, SrtpPolicy::Optional, SrtpPolicy::Required);
    let savp = secured("RTP/SAVP", &good);
    assert_eq!(refused(&savp, off, true), SdpError::SrtpOff);
    assert_eq!(refused(&savp, optional, false), SdpError::SrtpOverPlainSip);
    assert_eq!(refused(&savp, required, false), SdpError::SrtpOverPlainSip);
    assert_eq!(refused("m=audio 5000 RTP/AVP 8\r\n", required, true), SdpError::SrtpRequired);
    let unknown = secured("RTP/SAVP", &format!("1 F8_128_HMAC_SHA1_80 inline:{KEY}"));
    assert_eq!(refused(&unknown, optional, true), SdpError::NoCommonSuite);
    let g729 = savp.replace("SAVP 8", "SAVP 18");
    assert_eq!(refused(&g729, optional, true), SdpError::NoCommonCodec);
}

#[test]
fn of_a_plain_and_a_secured_stream_the_policy_decides() {
    let good = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}");
    let both = format!("m=audio 6000 RTP/AVP 8\r\n{}", secured("RTP/SAVP", &good));
    let remote = Remote::read(sdp(&both).as_bytes()).expect("usable SDP");
    for (policy, lines) in [
        (SrtpPolicy::Off, ["m=audio 40000 RTP/AVP 8", "m=audio 0 RTP/SAVP 8"]),
        (SrtpPolicy::Optional, ["m=audio 0 RTP/AVP 8", "m=audio 40000 RTP/SAVP 8"]),
    ] {
        let (text, params) = securely(&remote, Direction::SendRecv, terms(policy), None).expect("an answer");
        let found: Vec<_> = text.lines().filter(|line| line.starts_with("m=")).collect();
        assert_eq!(found, lines, "{policy:?}");
        assert_eq!(params.srtp.is_some(), policy != SrtpPolicy::Off);
    }
}

#[test]
fn plain_rtp_that_offers_keys_is_encrypted_where_we_may() {
    let offered = secured("RTP/AVP", &format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"));
    let remote = Remote::read(sdp(&offered).as_bytes()).expect("usable SDP");
    let answer = |terms| securely(&remote, Direction::SendRecv, terms, None).expect("an answer");
    let (text, params) = answer(terms(SrtpPolicy::Optional));
    assert!(text.contains("RTP/AVP 8\r\n") && text.contains("a=crypto:1 "), "{text}");
    assert!(params.srtp.is_some());
    let (text, params) = answer(Terms { policy: SrtpPolicy::Optional, permitted: false });
    assert!(!text.contains("crypto") && params.srtp.is_none(), "{text}");
}

#[test]
fn an_answer_has_to_take_one_of_the_keys_that_we_offered() {
    let keys = Crypto::all(&mut StdRng::seed_from_u64(3));
    let text = offer(&local(), ORIGIN, Direction::SendRecv, None, &keys);
    assert_eq!(text.matches("a=crypto:").count(), keys.len(), "{text}");
    let answered = |media: &str| {
        let answer = Remote::read(sdp(media).as_bytes()).expect("usable SDP");
        answer.as_answer(&local(), Direction::SendRecv, &keys)
    };
    let good = format!("4 AES_CM_128_HMAC_SHA1_80 inline:{KEY}");
    let srtp = answered(&secured("RTP/SAVP", &good)).expect("an answer").srtp.expect("keys");
    assert_eq!((srtp.suite, srtp.local), (keys[3].suite, keys[3].key));
    let renamed = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}");
    for (why, media, error) in [
        ("the tag of another suite", secured("RTP/SAVP", &renamed), SdpError::NoCommonSuite),
        ("no key", "m=audio 5000 RTP/SAVP 8\r\n".to_owned(), SdpError::NoCommonSuite),
        ("plain RTP", secured("RTP/AVP", &good), SdpError::SrtpRequired),
    ] {
        assert_eq!(answered(&media), Err(error), "{why}");
    }
    let plain = Remote::read(sdp(&secured("RTP/SAVP", &good)).as_bytes()).expect("usable SDP");
    assert_eq!(
        plain.as_answer(&local(), Direction::SendRecv, &[]),
        Err(SdpError::SrtpOff),
        "SRTP for a plain offer"
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_the_reader(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Remote::read(&body);
    }

    #[test]
    fn arbitrary_lines_never_panic_the_reader_or_the_answer(
        lines in prop::collection::vec("[votcma]=[ -~]{0,40}|m=audio [0-9]{1,6} RTP/S?AVPF?( [0-9]{1,4}){0,4}|a=rtpmap:[0-9]{1,3} [a-zA-Z]{1,5}/[0-9]{1,6}|a=crypto:[0-9]{1,3} AES_CM_128_HMAC_SHA1_(80|32) inline:([A-Za-z0-9+/]{40}|[ -~]{0,44})([|][0-9^:]{0,5})?", 0..12),
    ) {
        let text = sdp(&lines.join("\r\n"));
        let keys = Crypto::all(&mut StdRng::seed_from_u64(1));
        if let Ok(remote) = Remote::read(text.as_bytes()) {
            for policy in [SrtpPolicy::Off, SrtpPolicy::Optional, SrtpPolicy::Required] {
                let _ = remote.as_answer(&local(), Direction::SendRecv, &keys);
                let _ = remote.as_answer(&local(), Direction::SendRecv, &[]);
                if let Ok((answer, params)) = securely(&remote, Direction::SendRecv, terms(policy), None) {
                    prop_assert!(Remote::read(answer.as_bytes()).is_ok(), "our own answer is readable");
                    prop_assert_eq!(params.srtp.is_some(), answer.contains("a=crypto:"));
                    prop_assert!(params.srtp.is_some() || policy != SrtpPolicy::Required);
                }
            }
        }
    }
}

#[test]
fn a_browserish_offer_is_taken_with_the_events_that_go_with_its_clock() {
    let media = "m=audio 5000 RTP/AVP 111 9 110 126\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
                 a=rtpmap:110 telephone-event/48000\r\na=rtpmap:126 telephone-event/8000\r\n";
    let (text, params) = answer(media);
    assert_eq!((params.codec, params.payload_type, params.dtmf_payload_type), (Codec::G722, 9, Some(126)));
    assert!(text.contains("m=audio 40000 RTP/AVP 9 126\r\n"), "{text}");
    let opus = LocalMedia { codecs: vec![Codec::Opus, Codec::G722], ..local() };
    let remote = Remote::read(sdp(media).as_bytes()).expect("usable SDP");
    let plain = terms(SrtpPolicy::Off);
    let (text, params) = remote
        .answer(&opus, ORIGIN, Direction::SendRecv, plain, None, &mut StdRng::seed_from_u64(1))
        .expect("an answer");
    assert_eq!((params.codec, params.payload_type, params.dtmf_payload_type), (Codec::Opus, 111, Some(110)));
    assert!(text.contains("a=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1"), "{text}");
    assert!(text.contains("a=rtpmap:110 telephone-event/48000"), "{text}");
}

#[test]
fn opus_without_events_of_its_clock_has_none() {
    let (_, params) = answer(
        "m=audio 5000 RTP/AVP 96 101\r\na=rtpmap:96 OPUS/48000/2\r\na=rtpmap:101 telephone-event/8000\r\n",
    );
    assert_eq!((params.codec, params.dtmf_payload_type), (Codec::Opus, None));
}

#[test]
fn our_offer_gives_every_payload_type_to_one_thing() {
    let (_, agreed) = answer(
        "m=audio 5000 RTP/AVP 101 107\r\na=rtpmap:101 opus/48000/2\r\na=rtpmap:107 telephone-event/48000\r\n",
    );
    for agreed in [None, Some(&agreed)] {
        let text = offer(&local(), ORIGIN, Direction::SendRecv, agreed, &[]);
        let line = text.lines().find(|line| line.starts_with("m=audio")).expect("audio");
        let formats: Vec<&str> = line.split(' ').skip(3).collect();
        let distinct: std::collections::BTreeSet<&&str> = formats.iter().collect();
        assert_eq!(
            (formats.len(), distinct.len()),
            (7, 7),
            "four codecs, noise, two kinds of events: {text}"
        );
        assert!(agreed.is_none() || formats[0] == "101", "{text}");
    }
}
