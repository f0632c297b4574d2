//! Each protocol by the messages that its documentation shows, and what every protocol owes to a far end that sends nonsense.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::audiosocket::{AudioSocket, Frames};
use super::*;
use crate::call::event::EventKind;
use crate::clock::Time;
use crate::leg::{Leg, LegEvent};
use crate::media::Frame;

fn query(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn text(text: &str) -> Message {
    Message::Text(text.to_owned())
}

fn hears(dialect: &mut dyn Dialect, message: Message) -> Vec<Told> {
    dialect.hear(message).unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn started(dialect: &mut dyn Dialect, message: Message) -> Started {
    match hears(dialect, message).into_iter().next() {
        Some(Told::Started(started)) => started,
        other => panic!("{other:?}"),
    }
}

fn event(kind: EventKind) -> Say {
    Say::Event(Box::new(Event { at: Time::ZERO, kind }))
}

fn interrupted() -> Say {
    event(EventKind::BargeInConfirmed {
        turn: crate::call::event::TurnId(1),
        why: crate::call::barge_in::Why::default(),
    })
}

fn said() -> Say {
    event(EventKind::BotSaid {
        turn: crate::call::event::TurnId(1),
        text: "您好".into(),
        interrupted: false,
        began: Time::ZERO,
    })
}

fn json_of(messages: Vec<Message>) -> Vec<Value> {
    messages
        .into_iter()
        .map(|message| match message {
            Message::Text(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
            Message::Binary(bytes) => json!(bytes.len()),
        })
        .collect()
}

#[test]
fn twilio_as_documented() {
    let mut twilio = Protocol::Twilio.dialect(&query(&[]));
    let connected = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;
    assert_eq!(hears(&mut *twilio, text(connected)), []);
    let start = r#"{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC1","streamSid":"MZ1","callSid":"CA1",
        "tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},
        "customParameters":{"from":"+8613800001234","to":"4008001234","vip":"yes"}},"streamSid":"MZ1"}"#;
    let begun = started(&mut *twilio, text(start));
    assert_eq!(
        (begun.id.as_str(), begun.from.as_str(), begun.to.as_str()),
        ("CA1", "+8613800001234", "4008001234")
    );
    assert_eq!((begun.rate, begun.variables["vip"].as_str()), (8000, "yes"));
    let media = r#"{"event":"media","sequenceNumber":"3","media":{"track":"inbound","chunk":"1","timestamp":"5",
        "payload":"/////w=="},"streamSid":"MZ1"}"#;
    assert_eq!(hears(&mut *twilio, text(media)), [Told::Audio(vec![0; 4])]);
    let outbound = media.replace("inbound", "outbound");
    assert_eq!(hears(&mut *twilio, text(&outbound)), []);
    let dtmf = r#"{"event":"dtmf","streamSid":"MZ1","sequenceNumber":"5","dtmf":{"track":"inbound_track","digit":"1"}}"#;
    assert_eq!(hears(&mut *twilio, text(dtmf)), [Told::Key('1')]);
    let mark = r#"{"event":"mark","sequenceNumber":"4","streamSid":"MZ1","mark":{"name":"turn-1"}}"#;
    assert_eq!(hears(&mut *twilio, text(mark)), [Told::Played("turn-1".into())]);
    let stop = r#"{"event":"stop","sequenceNumber":"5","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}"#;
    assert_eq!(hears(&mut *twilio, text(stop)), [Told::Ended]);

    let media = json!({ "event": "media", "streamSid": "MZ1", "media": { "payload": "////" } });
    assert_eq!(json_of(twilio.say(&Say::Audio(vec![0; 3]))), [media]);
    assert_eq!(json_of(twilio.say(&interrupted())), [json!({ "event": "clear", "streamSid": "MZ1" })]);
    let mark = json!({ "event": "mark", "streamSid": "MZ1", "mark": { "name": "turn-1" } });
    assert_eq!(json_of(twilio.say(&said())), [mark]);
}

#[test]
fn asterisk_as_documented_in_plain_text_and_in_json() {
    let mut plain = Protocol::Asterisk.dialect(&query(&[("from", "13800001234"), ("to", "400")]));
    let start = "MEDIA_START connection_id:media1 channel:WebSocket/media1/0x5140001a0040 channel_id:1761245643.1 \
                 format:ulaw optimal_frame_size:160 ptime:20";
    let begun = started(&mut *plain, text(start));
    assert_eq!(
        (begun.id.as_str(), begun.from.as_str(), begun.to.as_str(), begun.rate),
        ("1761245643.1", "13800001234", "400", 8000)
    );
    assert_eq!(
        hears(&mut *plain, Message::Binary(Bytes::from_static(&[0xFF, 0xFF]))),
        [Told::Audio(vec![0, 0])]
    );
    assert_eq!(hears(&mut *plain, text("DTMF_END digit:5 duration_ms:120")), [Told::Key('5')]);
    assert_eq!(hears(&mut *plain, text("MEDIA_XOFF")), [Told::Takes(false)]);
    assert_eq!(hears(&mut *plain, text("MEDIA_XON")), [Told::Takes(true)]);
    assert_eq!(plain.say(&interrupted()), [text("FLUSH_MEDIA")]);
    assert_eq!(plain.say(&said()), [text("MARK_MEDIA turn-1")]);
    assert_eq!(plain.say(&Say::HangUp), [text("HANGUP")]);
    assert_eq!(plain.say(&Say::Audio(vec![0; 160])), [Message::Binary(Bytes::from(vec![0xFF; 160]))]);

    let mut json = Protocol::Asterisk.dialect(&query(&[]));
    let start = r#"{"event":"MEDIA_START","connection_id":"media1","channel":"WebSocket/media1/0x1","channel_id":"1761245643.1",
        "format":"slin16","optimal_frame_size":640,"ptime":20,"channel_variables":{"from":"13800001234","DIALEDPEERNUMBER":"media1/c(slin16)"}}"#;
    let begun = started(&mut *json, text(start));
    assert_eq!((begun.from.as_str(), begun.rate), ("13800001234", 16_000));
    assert_eq!(begun.variables["DIALEDPEERNUMBER"], "media1/c(slin16)");
    let dtmf = r##"{"event":"DTMF_END","channel_id":"1761245643.1","digit":"#","duration_ms":120}"##;
    assert_eq!(hears(&mut *json, text(dtmf)), [Told::Key('#')]);
    assert_eq!(json_of(json.say(&interrupted())), [json!({ "command": "FLUSH_MEDIA" })]);
    assert_eq!(json_of(json.say(&said())), [json!({ "command": "MARK_MEDIA", "correlation_id": "turn-1" })]);
    assert_eq!(json_of(json.say(&Say::HangUp)), [json!({ "command": "HANGUP" })]);
    assert_eq!(json_of(json.say(&Say::Audio(vec![0; 320]))), [json!(640)]);
}

#[test]
fn jambonz_as_documented() {
    let mut jambonz = Protocol::Jambonz.dialect(&query(&[]));
    let start = r#"{"callSid":"8e2d","direction":"inbound","from":"13800001234","to":"400","callId":"c","sampleRate":16000,
        "mixType":"mono","sipStatus":200,"tenant":"nev"}"#;
    let begun = started(&mut *jambonz, text(start));
    assert_eq!((begun.id.as_str(), begun.from.as_str(), begun.rate), ("8e2d", "13800001234", 16_000));
    assert_eq!(begun.variables["tenant"], "nev");
    assert_eq!(
        hears(&mut *jambonz, Message::Binary(Bytes::from_static(&[1, 0, 2, 0]))),
        [Told::Audio(vec![1, 2])]
    );
    assert_eq!(
        hears(&mut *jambonz, text(r#"{"event":"dtmf","dtmf":"2","duration":"1600"}"#)),
        [Told::Key('2')]
    );
    let mark = r#"{"type":"mark","data":{"name":"turn-1","event":"playout"}}"#;
    assert_eq!(hears(&mut *jambonz, text(mark)), [Told::Played("turn-1".into())]);
    assert_eq!(json_of(jambonz.say(&interrupted())), [json!({ "type": "killAudio" })]);
    assert_eq!(json_of(jambonz.say(&said())), [json!({ "type": "mark", "data": { "name": "turn-1" } })]);
    assert_eq!(json_of(jambonz.say(&Say::HangUp)), [json!({ "type": "disconnect" })]);
    let stereo = Protocol::Jambonz.dialect(&query(&[])).hear(text(r#"{"callSid":"x","mixType":"stereo"}"#));
    assert!(stereo.is_err_and(|wrong| wrong.to_string().contains("mono")));
}

#[test]
fn freeswitch_begins_with_its_first_message_whatever_that_is() {
    let mut freeswitch = Protocol::Freeswitch.dialect(&query(&[("from", "13800001234"), ("rate", "16000")]));
    let told = hears(&mut *freeswitch, Message::Binary(Bytes::from_static(&[1, 0])));
    assert!(
        matches!(&told[..], [Told::Started(started), Told::Audio(_)] if started.from == "13800001234" && started.rate == 16_000),
        "{told:?}"
    );
    let mut told_more = Protocol::Freeswitch.dialect(&query(&[]));
    let begun = started(&mut *told_more, text(r#"{"uuid":"f1","from":"139","city":"上海"}"#));
    assert_eq!(
        (begun.id.as_str(), begun.from.as_str(), begun.variables["city"].as_str()),
        ("f1", "139", "上海")
    );
    assert_eq!(hears(&mut *told_more, text("free words of the dialplan")), []);
    let odd = Protocol::Freeswitch.dialect(&query(&[("rate", "11025")])).hear(text("x"));
    assert!(odd.is_err_and(|wrong| wrong.to_string().contains("11025")));
}

#[test]
fn audiosocket_frames_are_cut_out_of_the_stream_wherever_it_breaks() {
    use tokio_util::codec::{Decoder as _, Encoder as _};
    let id = uuid::Uuid::from_u128(7);
    let frames = [
        [&[0x01][..], id.as_bytes()].concat(),
        [&[0x10][..], &[5, 0].repeat(160)].concat(),
        b"\x034".to_vec(),
        vec![0x00],
    ];
    let mut wire = bytes::BytesMut::new();
    for frame in &frames {
        Frames.encode(Message::Binary(frame.clone().into()), &mut wire).unwrap();
    }
    let mut socket = AudioSocket::default();
    let (mut told, mut got) = (Vec::new(), bytes::BytesMut::new());
    for byte in wire {
        got.extend_from_slice(&[byte]);
        while let Some(message) = Frames.decode(&mut got).unwrap() {
            told.extend(hears(&mut socket, message));
        }
    }
    let begun = Started { id: id.to_string(), rate: 8000, ..Started::default() };
    assert_eq!(told, [Told::Started(begun), Told::Audio(vec![5; 160]), Told::Key('4'), Told::Ended]);
    assert_eq!(json_of(socket.say(&Say::Audio(vec![0; 160]))), [json!(321)]);
    assert!(
        AudioSocket::default().hear(Message::Binary(Bytes::from_static(&[0x10, 0, 0]))).is_err(),
        "no UUID yet"
    );
}

const START: &str = r#"{"type":"start","version":1,"id":"a","from":"13800001234","to":"400",
    "format":{"encoding":"pcm_s16le","rate":16000},"variables":{"plate":"沪AD12345"}}"#;

/// Every message of either side fits the schema that is published.
fn schema() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(own::SCHEMA).expect("the schema is JSON");
    jsonschema::validator_for(&schema).expect("the schema is one")
}

#[test]
fn our_own_protocol_is_as_its_schema_says() {
    let schema = schema();
    let mut own = Protocol::Nightline.dialect(&query(&[]));
    let begun = started(&mut *own, text(START));
    assert_eq!(
        (begun.from.as_str(), begun.rate, begun.variables["plate"].as_str()),
        ("13800001234", 16_000, "沪AD12345")
    );
    for (message, told) in [
        (r#"{"type":"dtmf","digit":"*"}"#, Told::Key('*')),
        (r#"{"type":"played","mark":"turn-1"}"#, Told::Played("turn-1".into())),
        (r#"{"type":"stop"}"#, Told::Ended),
    ] {
        assert!(schema.is_valid(&serde_json::from_str(message).unwrap()), "{message}");
        assert_eq!(hears(&mut *own, text(message)), [told]);
    }
    assert!(schema.is_valid(&serde_json::from_str(START).unwrap()));
    let says = [
        Say::Named("0191-aa".into()),
        Say::Key('5'),
        interrupted(),
        said(),
        event(EventKind::Bridged),
        event(EventKind::HandoffRequested { reason: crate::dialogue::Reason::KeyZero }),
        event(EventKind::Ended { disposition: crate::call::event::Disposition::Contained }),
    ];
    for said in says {
        let messages = json_of(own.say(&said));
        assert_eq!(messages.len(), 1, "{said:?}");
        let errors: Vec<String> = schema.iter_errors(&messages[0]).map(|error| error.to_string()).collect();
        assert_eq!(errors, [] as [String; 0], "{}", messages[0]);
    }
    let complaint = json_of(own.complain(&Wrong::new("x")));
    assert!(schema.is_valid(&complaint[0]), "{complaint:?}");
    for wrong in
        ["{}", r#"{"type":"start"}"#, r#"{"type":"begin"}"#, r#"{"type":"dtmf","digit":"55"}"#, "[]", "3"]
    {
        assert!(!schema.is_valid(&serde_json::from_str(wrong).unwrap()), "{wrong}");
        assert!(own::Own::default().hear(text(wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn what_is_wrong_is_said_with_what_would_be_right() {
    let own = |message: &str| own::Own::default().hear(text(message)).expect_err("it is wrong").to_string();
    for (message, says) in [
        ("{", "no JSON"),
        (r#"{"type":"dtmf","digit":"1"}"#, "must be `start`"),
        (r#"{"type":"start","version":2}"#, "version 1"),
        (r#"{"type":"start","version":1}"#, "without `format`"),
        (r#"{"type":"start","version":1,"format":{"encoding":"opus","rate":48000}}"#, "pcm_s16le"),
        (r#"{"type":"start","version":1,"format":{"encoding":"pcma","rate":16000}}"#, "8000 Hz"),
        (r#"{"type":"start","version":1,"format":{"encoding":"pcm_s16le","rate":11025}}"#, "8000, 16000"),
    ] {
        let error = own(message);
        assert!(error.contains(says), "{message}: {error}");
    }
    let early =
        own::Own::default().hear(Message::Binary(Bytes::from_static(&[0; 4]))).expect_err("too early");
    assert!(early.to_string().contains("before `start`"), "{early}");
}

#[test]
fn a_complaint_is_short_however_long_its_cause() {
    let long = "九".repeat(50_000);
    let own = |message: String| {
        let mut dialect = Protocol::Nightline.dialect(&query(&[]));
        dialect.hear(text(START)).expect("a start");
        dialect.hear(Message::Text(message))
    };
    let begun = |message: String| Protocol::Nightline.dialect(&query(&[])).hear(Message::Text(message));
    let rate = Protocol::Freeswitch.dialect(&query(&[("rate", &long)])).hear(text("x"));
    for told in [
        rate,
        own(json!({ "type": long }).to_string()),
        own(json!({ "type": "dtmf", "digit": long }).to_string()),
        begun(json!({ "type": "start", "version": long }).to_string()),
        begun(json!({ "type": "start", "version": 1, "format": { "encoding": long } }).to_string()),
    ] {
        let complaint = told.expect_err("none of it is right").to_string();
        assert!(complaint.len() < 300 && complaint.contains("九九…"), "{} bytes", complaint.len());
    }
    let lines = Protocol::Freeswitch.dialect(&query(&[("rate", "8\n9")])).hear(text("x"));
    assert_eq!(lines, Err(Wrong("`rate=8 9` is no number".into())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_message_breaks_a_translator(
        messages in proptest::collection::vec(
            prop_oneof![
                ".{0,80}".prop_map(Message::Text),
                proptest::collection::vec(any::<u8>(), 0..400).prop_map(|bytes| Message::Binary(bytes.into())),
                Just(text(START)),
                Just(text(r#"{"event":"start","start":{"streamSid":"x"}}"#)),
                Just(text(r#"{"event":"media","media":{"payload":"////"}}"#)),
                Just(text("MEDIA_START format:slin16")),
                Just(text(r#"{"event":"MEDIA_START","format":"ulaw"}"#)),
                Just(text(r#"{"sampleRate":8000}"#)),
                Just(Message::Binary(Bytes::from_static(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]))),
            ],
            0..12,
        )
    ) {
        let mut dialects: Vec<Box<dyn Dialect>> = Protocol::ALL.iter().map(|p| p.dialect(&query(&[("rate", "8000")]))).collect();
        dialects.push(Box::new(AudioSocket::default()));
        for dialect in &mut dialects {
            let mut begun = 0;
            for message in &messages {
                let Ok(told) = dialect.hear(message.clone()) else { break };
                begun += told.iter().filter(|told| matches!(told, Told::Started(_))).count();
                dialect.say(&Say::Audio(vec![1; 160]));
                dialect.say(&said());
            }
            prop_assert!(begun <= 1, "{} began {begun} times", dialect.name());
        }
    }
}

/// A far end in memory.
struct Pipe {
    incoming: mpsc::Receiver<Message>,
    outgoing: mpsc::Sender<Message>,
    /// Messages that were taken from the far end.
    taken: Arc<AtomicUsize>,
}

impl Socket for Pipe {
    async fn recv(&mut self) -> Option<Result<Message, String>> {
        let message = self.incoming.recv().await?;
        self.taken.fetch_add(1, Ordering::Relaxed);
        Some(Ok(message))
    }

    async fn send(&mut self, message: Message) -> Result<(), String> {
        self.outgoing.send(message).await.map_err(|_| "closed".to_owned())
    }

    async fn close(&mut self, _: &Ended) {}
}

struct Far {
    send: mpsc::Sender<Message>,
    receive: mpsc::Receiver<Message>,
    taken: Arc<AtomicUsize>,
}

fn pipe(room: usize) -> (Pipe, Far) {
    let (send, incoming) = mpsc::channel(1000);
    let (outgoing, receive) = mpsc::channel(room);
    let taken = Arc::<AtomicUsize>::default();
    (Pipe { incoming, outgoing, taken: taken.clone() }, Far { send, receive, taken })
}

/// Waits that a test can afford.
const SOON: Limits = Limits { patience: Duration::from_millis(200), stuck: Duration::from_millis(100) };

/// Until the task beside has done what it can.
async fn settled() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

async fn opened(room: usize) -> (StreamLeg, tokio::task::JoinHandle<Ended>, Far) {
    let (pipe, far) = pipe(room);
    far.send.send(text(START)).await.unwrap();
    let opened = serve(pipe, Protocol::Nightline.dialect(&query(&[])), SOON).await.unwrap();
    let (leg, beside) = opened.split().unwrap();
    (leg, tokio::spawn(beside), far)
}

fn loud(n: i16) -> Message {
    Message::Binary(Encoding::L16.encode(&[n; 320]))
}

#[tokio::test]
async fn a_far_end_that_sends_too_fast_is_read_at_the_pace_of_the_call() {
    let (mut leg, _beside, far) = opened(64).await;
    for n in 0..500 {
        far.send.send(loud(1000 + n)).await.unwrap();
    }
    settled().await;
    let taken = far.taken.load(Ordering::Relaxed);
    assert!(taken <= 54, "{taken} messages were taken although nobody has heard one");
    for n in 0..500 {
        settled().await;
        let frame = leg.pull(Time::ZERO);
        assert_eq!(frame.0[0], 1000 + n, "nothing is lost");
    }
}

#[tokio::test]
async fn what_comes_late_is_caught_up_in_the_pauses_between_words() {
    let (mut leg, _beside, far) = opened(64).await;
    // The network held back 1.2 s: 0.4 s of words, a pause, 0.4 s of words.
    for n in 0..60 {
        far.send.send(if (20..40).contains(&n) { loud(0) } else { loud(1000 + n) }).await.unwrap();
    }
    let mut heard = Vec::new();
    for _ in 0..60 {
        settled().await;
        heard.push(leg.pull(Time::ZERO).0[0]);
    }
    let words: Vec<i16> = heard.iter().copied().filter(|n| *n != 0).collect();
    let all: Vec<i16> = (0..20).chain(40..60).map(|n| 1000 + n).collect();
    assert_eq!(words, all, "no word is lost");
    let end = heard.iter().rposition(|n| *n != 0).unwrap();
    assert!(end < 50, "caught up after {end} frames");
}

#[tokio::test]
async fn a_far_end_that_reads_nothing_loses_audio_and_then_the_call() {
    let (mut leg, beside, mut far) = opened(8).await;
    for _ in 0..500 {
        leg.push(Time::ZERO, &Frame([1000; 320]));
        tokio::time::sleep(Duration::from_millis(1)).await;
        if beside.is_finished() {
            break;
        }
    }
    assert_eq!(beside.await.unwrap(), Ended::Stuck);
    assert_eq!(leg.event().await, LegEvent::Gone);
    let mut waited = 0;
    while far.receive.try_recv().is_ok() {
        waited += 1;
    }
    assert!(waited <= 8, "{waited} messages waited");
}

#[tokio::test]
async fn a_far_end_that_does_not_say_who_it_is_is_left() {
    let (pipe, _far) = pipe(8);
    let ended = serve(pipe, Protocol::Twilio.dialect(&query(&[])), SOON).await;
    assert!(matches!(ended, Err(Ended::Silent)));
}

#[tokio::test]
async fn a_mistake_in_the_middle_of_a_call_is_told_and_ends_that_call() {
    let (mut leg, beside, mut far) = opened(64).await;
    far.send.send(text(r#"{"type":"dtmf","digit":"5"}"#)).await.unwrap();
    assert_eq!(leg.event().await, LegEvent::Dtmf('5'));
    far.send.send(text("nonsense")).await.unwrap();
    assert_eq!(leg.event().await, LegEvent::Gone);
    assert!(matches!(beside.await.unwrap(), Ended::Wrong(_)));
    let Some(Message::Text(complaint)) = far.receive.recv().await else { panic!("it is told") };
    assert!(complaint.contains("no JSON"), "{complaint}");
}

#[tokio::test]
async fn hanging_up_says_what_is_left_and_ends_the_stream() {
    let (mut leg, beside, mut far) = opened(64).await;
    leg.push(Time::ZERO, &Frame([1000; 320]));
    leg.hang_up();
    assert_eq!(beside.await.unwrap(), Ended::Here);
    assert_eq!(far.receive.recv().await, Some(loud(1000)));
    assert_eq!(far.receive.recv().await, None);
}
