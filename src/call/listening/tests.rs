use super::*;
use crate::asr::Token;

struct Loudness;
impl VoiceActivity for Loudness {
    fn probability(&mut self, frame: &Frame) -> f32 {
        if frame.0[0] == 0 { 0.0 } else { 1.0 }
    }
}

struct Rig {
    ears: Listening,
    now: Time,
}

impl Rig {
    fn new() -> Self {
        Self { ears: Listening::new(Box::new(Loudness), Hearing::default()), now: Time::ZERO }
    }

    fn hear(&mut self, voiced: bool, frames: u32) -> Vec<Change> {
        let frame = if voiced { Frame([500; FRAME]) } else { Frame::SILENCE };
        (0..frames)
            .filter_map(|_| {
                self.now = self.now + FRAME_TIME;
                self.ears.push(self.now, &frame, false)
            })
            .collect()
    }
}

#[test]
fn an_utterance_begins_with_its_pre_roll() {
    let mut rig = Rig::new();
    rig.hear(false, 50);
    assert_eq!(rig.hear(true, 3), [Change::Started]);
    let utterance = rig.ears.utterance().expect("speech has begun");
    assert_eq!(utterance.audio(rig.now).len(), 15 * FRAME);
    assert_eq!(utterance.began, rig.now - FRAME_TIME * 2);
}

#[test]
fn a_click_is_no_utterance() {
    let mut rig = Rig::new();
    rig.hear(false, 20);
    assert_eq!(rig.hear(true, 2), []);
    rig.hear(false, 20);
    assert!(rig.ears.utterance().is_none());
    rig.hear(true, 4);
    assert_eq!(rig.hear(false, 20), [Change::Dropped]);
}

#[test]
fn a_caller_who_speaks_on_raises_the_revision() {
    let mut rig = Rig::new();
    rig.hear(true, 30);
    rig.hear(false, 9);
    assert!(rig.ears.wants_final(rig.now, Duration::from_millis(160)));
    assert!(!rig.ears.wants_final(rig.now, Duration::from_millis(160)), "asked twice");
    assert_eq!(rig.hear(true, 2), [Change::Resumed]);
    let utterance = rig.ears.utterance().expect("still speaking");
    assert_eq!(utterance.id, HearingId { utterance: 1, revision: 1 });
    assert!(!utterance.final_asked);
}

#[test]
fn what_was_said_before_a_pause_is_recognised_once() {
    let mut rig = Rig::new();
    rig.hear(true, 30);
    rig.hear(false, 20);
    rig.ears.wants_final(rig.now, Duration::from_millis(160));
    let words =
        |text: &str, confidence| Transcript { text: text.into(), confidence, ..Transcript::default() };
    let now = rig.now;
    rig.ears.utterance_mut().expect("it is there").transcribed(now, words("幺三八", 0.9));
    rig.hear(true, 20);
    let utterance = rig.ears.utterance_mut().expect("it goes on");
    assert!(utterance.length() < Duration::from_millis(750), "the first stretch is recognised again");
    utterance.transcribed(now, words("零零幺三", 0.7));
    let joined = utterance.transcript.clone().expect("both stretches");
    assert_eq!((joined.text.as_str(), joined.confidence), ("幺三八零零幺三", 0.7));
}

fn id(revision: u32) -> HearingId {
    HearingId { utterance: 1, revision }
}

#[test]
fn one_partial_is_under_way_at_a_time() {
    let mut rig = Rig::new();
    rig.hear(true, 30);
    assert!(rig.ears.wants_partial());
    rig.hear(true, 30);
    assert!(!rig.ears.wants_partial());
    assert!(rig.ears.partial_done(id(0), PartialWords::Heard("空调")));
    assert!(rig.ears.wants_partial());
    let utterance = rig.ears.utterance().expect("it goes on");
    assert_eq!((utterance.words().as_str(), utterance.sure_words().as_str()), ("空调", ""));
    assert!(rig.ears.partial_done(id(0), PartialWords::Heard("空调坏")));
    let utterance = rig.ears.utterance().expect("it goes on");
    assert_eq!((utterance.words().as_str(), utterance.sure_words().as_str()), ("空调坏", "空调"));
}

/// Frames until the next partial is wanted.
fn frames_to_partial(rig: &mut Rig) -> u32 {
    (1..200)
        .find(|_| {
            rig.hear(true, 1);
            rig.ears.wants_partial()
        })
        .expect("a partial is wanted some time")
}

#[test]
fn an_overloaded_recogniser_is_asked_less_often_until_it_answers_again() {
    let mut rig = Rig::new();
    rig.hear(true, 20);
    assert!(rig.ears.wants_partial());
    let mut answer = |words| {
        rig.ears.partial_done(id(0), words);
        frames_to_partial(&mut rig)
    };
    assert_eq!(answer(PartialWords::Nothing), 12, "240 ms");
    assert_eq!(answer(PartialWords::Busy), 24);
    assert_eq!(answer(PartialWords::Busy), 48);
    assert_eq!(answer(PartialWords::Busy), 48, "not for ever");
    assert_eq!(answer(PartialWords::Heard("空调")), 24);
    assert_eq!(answer(PartialWords::Heard("空调坏")), 12);
}

#[test]
fn a_partial_of_a_settled_stretch_tells_nothing_new() {
    let mut rig = Rig::new();
    rig.hear(true, 30);
    assert!(rig.ears.wants_partial());
    rig.hear(false, 20);
    rig.ears.wants_final(rig.now, Duration::from_millis(160));
    let words = Transcript { text: "空调坏了".into(), ..Transcript::default() };
    rig.ears.utterance_mut().expect("it is there").transcribed(rig.now, words);
    rig.hear(true, 5);
    assert!(!rig.ears.partial_done(id(0), PartialWords::Heard("空调坏")), "its stretch is settled");
    assert_eq!(rig.ears.utterance().map(Utterance::words).as_deref(), Some("空调坏了"));
    rig.hear(true, 10);
    assert!(rig.ears.wants_partial());
    assert!(rig.ears.partial_done(id(1), PartialWords::Heard("昨天")));
    let hypothesis = rig.ears.utterance().expect("it goes on").hypothesis();
    assert_eq!((hypothesis.committed.as_str(), hypothesis.tentative.as_str()), ("空调坏了", "昨天"));
}

#[test]
fn a_long_silence_at_the_end_is_not_recognised() {
    let mut rig = Rig::new();
    rig.hear(true, 30);
    let spoken = rig.ears.utterance().expect("it is there").audio(rig.now).len();
    rig.hear(false, 10);
    let utterance = rig.ears.utterance().expect("it is there");
    assert_eq!(utterance.audio(rig.now).len(), spoken + 10 * FRAME, "200 ms are kept");
    rig.hear(false, 40);
    let utterance = rig.ears.utterance().expect("it is there");
    assert_eq!(utterance.audio(rig.now).len(), spoken + 15 * FRAME, "300 ms are kept of a second");
}

#[test]
fn times_of_a_later_stretch_count_from_the_beginning_of_the_utterance() {
    let mut rig = Rig::new();
    let said = |start_ms| Transcript {
        text: "好".into(),
        tokens: vec![Token { text: "好".into(), probability: 0.9, start_ms, end_ms: start_ms + 100 }],
        times: Times::Estimated,
        ..Transcript::default()
    };
    rig.hear(true, 30);
    rig.hear(false, 20);
    rig.ears.wants_final(rig.now, Duration::from_millis(160));
    let now = rig.now;
    rig.ears.utterance_mut().expect("it is there").transcribed(now, said(40));
    rig.hear(true, 20);
    let utterance = rig.ears.utterance_mut().expect("it goes on");
    utterance.transcribed(now, said(300));
    let transcript = utterance.transcript.clone().expect("both stretches");
    let starts: Vec<_> = transcript.tokens.iter().map(|t| t.start_ms).collect();
    // 52 frames had been heard at the resumption; 15 of them stay as pre-roll.
    assert_eq!((transcript.times, starts), (Times::Estimated, vec![40, 37 * 20 + 300]));
}
