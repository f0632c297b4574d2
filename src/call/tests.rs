//! Whole calls on virtual time, with scripted ears, mind and voice.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::endpointing::{Endpointing, Model};
use super::event::{Disposition, EventKind, HandoffOutcome, LegId};
use super::listening::Hearing;
use super::settings::BargeIn;
use super::{Call, Input, Lexicon, Output, Phrases, SeatNews, Settings, VoiceActivity};
use crate::asr::{self, Purpose, Transcript};
use crate::clock::Time;
use crate::dialogue::{Act, Ask, Decision, Expect, Mind, Reason, Said, Thought, Tier, Who};
use crate::media::{FRAME, FRAME_TIME, Frame};
use crate::tts::Piece;

/// Samples that a voice says per character.
pub(super) const PER_CHAR: usize = 10 * FRAME;

pub(super) struct Loudness;
impl VoiceActivity for Loudness {
    fn probability(&mut self, frame: &Frame) -> f32 {
        if frame.0[0] == 0 { 0.0 } else { 1.0 }
    }
}

struct Words;
impl Lexicon for Words {
    fn is_backchannel(&self, words: &str) -> bool {
        words.chars().all(|c| "嗯对好哦".contains(c))
    }
    fn is_interrupt(&self, words: &str) -> bool {
        words.contains("等一下")
    }
    fn likeness(&self, heard: &str, said: &str) -> f32 {
        f32::from(heard.chars().count() >= 3 && said.contains(heard))
    }
}

/// Answers by a table; what is not in it is repeated back.
struct Scripted;
impl Mind for Scripted {
    fn think(&self, ask: Ask, mut sink: Box<dyn FnMut(Thought) + Send>) {
        let text = ask.transcript.text.as_str();
        let act =
            match (ask.expect, text) {
                (_, "转人工") => Act::Handoff(Reason::Requested),
                (_, "再见") => Act::Goodbye,
                (_, "继续") => Act::Continue,
                (_, "旁人说话") => Act::Ignore,
                (_, "嗯") if ask.expect == Expect::Open => Act::Ignore,
                (Expect::YesNo, "好") => Act::Yes,
                (Expect::YesNo, "不用") => Act::No,
                (Expect::Time, "明天") => Act::When("明天".into()),
                (Expect::Phone, digits) if digits.chars().all(|c| c.is_ascii_digit()) => {
                    if digits.len() == 11 { Act::Phone(digits.into()) } else { Act::PhonePart(digits.into()) }
                }
                (_, "听不清") if ask.clarified => Act::Handoff(Reason::LowConfidence),
                (_, "听不清") => Act::Clarify,
                _ => Act::Answer,
            };
        match &act {
            Act::Answer => {
                sink(Thought::Clause(format!("关于{text}，")));
                sink(Thought::Clause("这是一个回答。".into()));
            }
            Act::Clarify => sink(Thought::Clause("您是想问什么？".into())),
            _ => {}
        }
        sink(Thought::Decided(Decision {
            act,
            confidence: 0.9,
            sources: vec![],
            tier: Tier::Light,
            topic: if text == "等一下" { "smalltalk" } else { "test" }.into(),
        }));
    }
    fn summarize(&self, history: &[Said], _: Reason, _: Option<&str>) -> String {
        history.iter().filter(|s| s.who == Who::Caller).map(|s| s.text.as_str()).collect()
    }
}

fn one(text: &str) -> Vec<String> {
    vec![text.into()]
}

pub(super) fn settings(seats: &[&str]) -> Settings {
    Settings {
        hearing: Hearing::default(),
        endpointing: Endpointing { model: Model::plain(), ..Endpointing::default() },
        greeting_expects: Expect::Open,
        barge_in: BargeIn::default(),
        no_input: Duration::from_secs(7),
        in_flight: Duration::from_millis(60),
        seats: seats.iter().map(ToString::to_string).collect(),
        seat_ring: Duration::from_secs(20),
        seat_accept: Duration::from_secs(30),
        thinking: Duration::from_secs(5),
        phrases: Arc::new(Phrases {
            notice: one("录音。"),
            greeting: one("您好请讲。"),
            no_input: vec!["还在吗？".into(), "听得到吗？".into()],
            offer_person: one("要转人工吗？"),
            thinking: vec!["稍等。".into(), "我查查。".into()],
            handing_over: one("正在转接。"),
            callback_offer: one("要回电吗？"),
            callback_same_number: one("打{number}吗？"),
            ask_phone: one("号码是多少？"),
            ask_phone_rest: one("{number}，然后呢？"),
            ask_keys_rest: one("请继续按。"),
            ask_time: one("什么时间？"),
            callback_booked: one("{when}会打{number}。"),
            callback_failed: one("没记下。"),
            callback_declined: one("好的。"),
            seat_left: one("坐席已离开。"),
            goodbye: one("再见。"),
            apology: one("抱歉。"),
            seat_keys: one("按一接听。"),
        }),
        lexicon: Arc::new(Words),
        mind: Arc::new(Scripted),
        comfort: Arc::from(vec![7_i16; FRAME]),
    }
}

/// 20 ms of a voice: a square wave of 200 Hz.
pub(super) fn sung(amplitude: i16) -> Frame {
    const HALF: usize = 40;
    Frame(std::array::from_fn(|i| if (i / HALF).is_multiple_of(2) { amplitude } else { -amplitude }))
}

/// A call, its scripted surroundings and everything that came out of it.
pub(super) struct Rig {
    pub(super) call: Call,
    pub(super) now: Time,
    /// What the recogniser will hear in the coming utterances.
    pub(super) words: HashMap<u32, String>,
    pub(super) said: u32,
    pub(super) tts_works: bool,
    pub(super) store_works: bool,
    pub(super) late: VecDeque<(Time, Input)>,
    pub(super) asr_delay: Duration,
    pub(super) mind_delay: Duration,
    pub(super) seat_on: bool,
    pub(super) to_caller: Vec<Frame>,
    pub(super) to_seat: Vec<Frame>,
    pub(super) outputs: Vec<Output>,
    pub(super) events: Vec<(Time, EventKind)>,
}

impl Rig {
    pub(super) fn new(seats: &[&str]) -> Self {
        Self::with(settings(seats), Some("13800138000"), true)
    }

    pub(super) fn with(settings: Settings, number: Option<&str>, tts_works: bool) -> Self {
        let call = Call::new(settings, Box::new(Loudness), number.map(Into::into), Time::ZERO);
        let mut rig = Self {
            call,
            now: Time::ZERO,
            words: HashMap::new(),
            said: 0,
            tts_works,
            store_works: true,
            late: VecDeque::new(),
            asr_delay: Duration::from_millis(100),
            mind_delay: Duration::ZERO,
            seat_on: false,
            to_caller: vec![],
            to_seat: vec![],
            outputs: vec![],
            events: vec![],
        };
        rig.drain();
        rig
    }

    pub(super) fn input(&mut self, input: Input) {
        self.call.handle(self.now, input);
        self.drain();
    }

    pub(super) fn drain(&mut self) {
        while let Some(output) = self.call.poll() {
            match &output {
                Output::Play { leg: LegId::Caller, frame } => self.to_caller.push(*frame),
                Output::Play { leg: LegId::Seat, frame } => self.to_seat.push(*frame),
                Output::Event(event) => self.events.push((event.at, event.kind.clone())),
                Output::Transcribe { id, purpose, .. } => {
                    let text = self.words.get(&id.utterance).cloned().unwrap_or_default();
                    let result = if text == "故障" {
                        Err(asr::Error::Engine("it broke".into()))
                    } else {
                        Ok(Transcript { text, confidence: 0.9, ..Transcript::default() })
                    };
                    let input = Input::Transcript { id: *id, purpose: *purpose, result };
                    self.late.push_back((self.now + self.asr_delay, input));
                }
                Output::Think { turn, ask } => {
                    let (tx, rx) = std::sync::mpsc::channel();
                    Scripted.think((**ask).clone(), Box::new(move |t| tx.send(t).expect("the rig listens")));
                    for thought in rx {
                        self.late
                            .push_back((self.now + self.mind_delay, Input::Thought { turn: *turn, thought }));
                    }
                }
                Output::Synthesize { id, text, .. } if self.tts_works => {
                    for i in 0..text.chars().count() {
                        let samples = vec![1000 + i as i16; PER_CHAR];
                        let piece = Piece::Audio { samples, span: i..i + 1 };
                        self.late.push_back((self.now, Input::Speech { id: *id, piece }));
                    }
                    self.late.push_back((self.now, Input::Speech { id: *id, piece: Piece::Done }));
                }
                Output::BookCallback { .. } => {
                    let result = if self.store_works { Ok(()) } else { Err("disk full".into()) };
                    self.late.push_back((self.now, Input::CallbackStored { result }));
                }
                Output::HangUpSeat => self.seat_on = false,
                _ => {}
            }
            if !matches!(output, Output::Play { .. }) {
                self.outputs.push(output);
            }
        }
        while let Some(i) = self.late.iter().position(|(at, _)| *at <= self.now) {
            let (_, input) = self.late.remove(i).expect("it is there");
            self.call.handle(self.now, input);
            self.drain();
        }
    }

    pub(super) fn ticks(&mut self, voiced: bool, time: Duration) {
        let frame = if voiced { sung(500) } else { Frame::SILENCE };
        for _ in 0..time.as_millis() / FRAME_TIME.as_millis() {
            self.now = self.now + FRAME_TIME;
            let seat = self.seat_on.then_some(Frame([300; FRAME]));
            self.input(Input::Tick { caller: frame, seat });
        }
    }

    pub(super) fn press(&mut self, keys: &str) {
        for digit in keys.chars() {
            self.input(Input::Dtmf { leg: LegId::Caller, digit });
        }
    }

    pub(super) fn wait(&mut self, millis: u64) {
        self.ticks(false, Duration::from_millis(millis));
    }

    pub(super) fn say(&mut self, words: &str, millis: u64) {
        self.said += 1;
        self.words.insert(self.said, words.into());
        self.ticks(true, Duration::from_millis(millis));
    }

    /// Waits until the bot has said what it has to say: something within two seconds, then nothing for 600 ms.
    pub(super) fn listen(&mut self) {
        let mut silent = 0;
        let mut spoke = false;
        for i in 0..3000 {
            self.wait(20);
            let sound = self.to_caller.last().is_some_and(|f| *f != Frame::SILENCE);
            spoke |= sound;
            silent = if sound { 0 } else { silent + 1 };
            if self.call.is_over() || spoke && silent > 30 || !spoke && i > 100 {
                return;
            }
        }
        panic!("the bot never stopped speaking; events: {:#?}", self.events);
    }

    pub(super) fn has(&self, wanted: impl Fn(&EventKind) -> bool) -> bool {
        self.events.iter().any(|(_, kind)| wanted(kind))
    }

    /// Answers that were prepared for nothing.
    fn dropped(&self) -> usize {
        self.events.iter().filter(|(_, kind)| matches!(kind, EventKind::AnswerDropped { .. })).count()
    }

    pub(super) fn said_by_bot(&self) -> Vec<(String, bool)> {
        let said = self.events.iter().filter_map(|(_, kind)| match kind {
            EventKind::BotSaid { text, interrupted, .. } => Some((text.clone(), *interrupted)),
            _ => None,
        });
        said.collect()
    }

    pub(super) fn last_said(&self) -> String {
        self.said_by_bot().pop().unwrap_or_default().0
    }

    pub(super) fn disposition(&self) -> Option<Disposition> {
        self.events.iter().find_map(|(_, kind)| match kind {
            EventKind::Ended { disposition } => Some(*disposition),
            _ => None,
        })
    }
}

#[test]
fn a_call_begins_with_the_notice_and_the_greeting() {
    let mut rig = Rig::new(&[]);
    rig.listen();
    assert_eq!(rig.said_by_bot(), [("录音。您好请讲。".to_owned(), false)]);
}

#[test]
fn a_question_is_answered_within_the_budget() {
    let mut rig = Rig::new(&[]);
    rig.listen();
    rig.say("空调不制冷怎么办", 1500);
    let end = rig.now;
    rig.listen();
    let (at, timings) = rig
        .events
        .iter()
        .find_map(|(at, kind)| match kind {
            EventKind::BotStarted { timings: Some(timings), .. } => Some((*at, *timings)),
            _ => None,
        })
        .expect("the bot answers");
    assert!(at.saturating_since(end) <= Duration::from_millis(320), "{timings:?}");
    assert_eq!(timings.turn_latency, Some(at.saturating_since(end)));
    assert!(timings.transcription_delay <= timings.turn_latency);
    assert_eq!(rig.said_by_bot()[1].0, "关于空调不制冷怎么办，这是一个回答。");
}

#[test]
fn a_caller_who_goes_on_leaves_no_trace_of_the_speculation() {
    let mut rig = Rig::new(&[]);
    rig.listen();
    rig.say("我的车然后", 800);
    rig.wait(400);
    rig.words.insert(1, "空调坏了".into());
    rig.ticks(true, Duration::from_millis(600));
    rig.listen();
    let thoughts = rig.outputs.iter().filter(|o| matches!(o, Output::Think { .. })).count();
    assert_eq!(thoughts, 2, "the first end was a likely one and was speculated on");
    assert_eq!(rig.dropped(), 1, "an answer prepared for nothing is told of");
    let said: Vec<_> = rig
        .events
        .iter()
        .filter_map(
            |(_, k)| if let EventKind::CallerSaid { text, .. } = k { Some(text.as_str()) } else { None },
        )
        .collect();
    assert_eq!(said, ["我的车然后空调坏了"]);
    assert_eq!(rig.said_by_bot().len(), 2);
}

#[test]
fn a_barge_in_stops_the_bot_at_once_and_only_what_was_heard_is_remembered() {
    let mut rig = Rig::new(&[]);
    rig.listen();
    rig.say("空调不制冷怎么办", 1000);
    rig.wait(1000);
    let began = rig.to_caller.len();
    rig.say("等一下我问别的", 900);
    let frames = &rig.to_caller[began..];
    let stopped = frames.iter().position(|f| *f == Frame::SILENCE).expect("it must stop");
    assert!(stopped <= 4, "it went on for {stopped} frames");
    rig.listen();
    assert!(rig.has(|k| matches!(k, EventKind::BargeInConfirmed { .. })));
    let (text, interrupted) = &rig.said_by_bot()[1];
    assert!(*interrupted);
    assert!(
        "关于空调不制冷怎么办，这是一个回答。".starts_with(text.as_str()) && text.chars().count() < 8,
        "{text}"
    );
}

#[test]
fn a_backchannel_does_not_stop_the_bot() {
    let mut rig = Rig::new(&[]);
    rig.listen();
    rig.say("空调不制冷怎么办", 1000);
    rig.wait(900);
    rig.say("嗯", 300);
    rig.listen();
    assert!(rig.has(|k| matches!(k, EventKind::BargeInRejected { .. })));
    assert!(!rig.has(|k| matches!(k, EventKind::BargeInConfirmed { .. })));
    assert_eq!(rig.said_by_bot().last(), Some(&("关于空调不制冷怎么办，这是一个回答。".to_owned(), false)));
}

#[test]
fn the_bots_own_words_on_the_line_do_not_stop_it() {
    let mut rig = Rig::new(&[]);
    rig.listen();
    rig.say("空调不制冷怎么办", 1000);
    rig.wait(900);
    rig.say("空调不制冷", 700);
    rig.listen();
    assert!(!rig.has(|k| matches!(k, EventKind::BargeInConfirmed { .. })));
    let heard = rig.said_by_bot();
    assert_eq!(heard.last(), Some(&("关于空调不制冷怎么办，这是一个回答。".to_owned(), false)));
    assert!(rig.call.echoes, "a line that has echoed once is known to echo");
}

#[test]
fn the_notice_cannot_be_interrupted() {
    let mut rig = Rig::new(&[]);
    rig.wait(100);
    rig.say("等一下", 300);
    let notice = 3 * PER_CHAR / FRAME;
    rig.wait(600);
    assert!(rig.to_caller[1..notice].iter().all(|f| *f != Frame::SILENCE), "the notice was paused");
    assert!(!rig.has(|k| matches!(k, EventKind::BargeInStarted { .. })));
}

#[test]
fn a_request_for_a_person_is_bridged_after_the_seat_accepts() {
    let mut rig = Rig::new(&["sip:seat"]);
    rig.listen();
    rig.say("空调坏了", 900);
    rig.listen();
    rig.say("转人工", 700);
    rig.wait(3000);
    assert!(rig.outputs.iter().any(|o| matches!(o, Output::DialSeat { attempt: 1, .. })), "{:?}", rig.events);
    assert_eq!(rig.to_caller.last(), Some(&Frame([7; FRAME])), "the caller hears comfort audio");
    rig.seat_on = true;
    rig.input(Input::Seat { attempt: 1, news: SeatNews::Answered });
    rig.wait(3000);
    assert!(rig.to_seat.iter().any(|f| f.0[0] >= 1000), "the seat hears the summary");
    assert!(rig.has(|k| matches!(k, EventKind::Consulting { summary } if summary.contains("空调坏了"))));
    rig.input(Input::Dtmf { leg: LegId::Seat, digit: '1' });
    rig.wait(100);
    assert!(rig.has(|k| matches!(k, EventKind::Bridged)));
    assert_eq!(rig.to_caller.last(), Some(&Frame([300; FRAME])), "the caller hears the seat");
    rig.ticks(true, FRAME_TIME);
    assert_eq!(rig.to_seat.last(), Some(&sung(500)), "the seat hears the caller");
    rig.input(Input::CallerGone { dead_line: false });
    assert_eq!(rig.disposition(), Some(Disposition::Transferred));
    assert!(rig.outputs.iter().any(|o| matches!(o, Output::HangUpSeat)), "the seat must be released");
}

#[test]
fn a_busy_seat_leads_to_the_next_and_then_to_a_stored_call_back() {
    let mut rig = Rig::with(settings(&["sip:one", "sip:two"]), None, true);
    rig.listen();
    rig.input(Input::Dtmf { leg: LegId::Caller, digit: '0' });
    rig.wait(500);
    rig.input(Input::Seat { attempt: 1, news: SeatNews::Failed(HandoffOutcome::Busy) });
    rig.wait(500);
    assert!(rig.outputs.iter().any(|o| matches!(o, Output::DialSeat { attempt: 2, .. })));
    rig.input(Input::Seat { attempt: 1, news: SeatNews::Answered });
    assert!(!rig.has(|k| matches!(k, EventKind::Consulting { .. })), "late news of an old attempt");
    rig.input(Input::Seat { attempt: 2, news: SeatNews::Failed(HandoffOutcome::NoAnswer) });
    rig.listen();
    rig.say("好", 400);
    rig.listen();
    rig.say("138", 900);
    rig.listen();
    rig.say("1380013", 900);
    rig.listen();
    rig.say("13800138000", 900);
    rig.listen();
    rig.say("明天", 400);
    rig.listen();
    assert!(
        rig.has(|k| matches!(k, EventKind::CallbackBooked { number, .. } if number == "13800138000")),
        "{:#?}",
        rig.events
    );
    assert_eq!(rig.said_by_bot().last().map(|s| s.0.as_str()), Some("明天会打138 0013 8000。"));
    rig.input(Input::CallerGone { dead_line: false });
    assert_eq!(rig.disposition(), Some(Disposition::Callback));
}

#[test]
fn a_call_back_that_cannot_be_stored_is_not_promised() {
    let mut rig = Rig::new(&[]);
    rig.store_works = false;
    rig.listen();
    rig.input(Input::Dtmf { leg: LegId::Caller, digit: '0' });
    rig.listen();
    rig.say("好", 400);
    rig.listen();
    rig.say("好", 400);
    rig.listen();
    rig.say("明天", 400);
    rig.listen();
    assert!(!rig.has(|k| matches!(k, EventKind::CallbackBooked { .. })));
    assert_eq!(rig.said_by_bot().last().map(|s| s.0.as_str()), Some("没记下。"));
}

#[test]
fn a_caller_who_leaves_at_the_last_question_is_called_back_all_the_same() {
    let mut rig = Rig::new(&[]);
    rig.listen();
    rig.input(Input::Dtmf { leg: LegId::Caller, digit: '0' });
    rig.listen();
    rig.say("好", 400);
    rig.listen();
    rig.say("好", 400);
    rig.wait(1000);
    rig.input(Input::CallerGone { dead_line: false });
    assert!(rig.outputs.iter().any(|o| matches!(o, Output::BookCallback { .. })), "{:#?}", rig.events);
    assert_eq!(rig.disposition(), Some(Disposition::Callback));
}

#[test]
fn a_caller_who_hangs_up_while_the_seat_rings_releases_it() {
    let mut rig = Rig::new(&["sip:seat"]);
    rig.listen();
    rig.say("转人工", 700);
    rig.wait(1000);
    rig.input(Input::CallerGone { dead_line: false });
    assert!(rig.outputs.iter().any(|o| matches!(o, Output::HangUpSeat)));
    assert!(rig.has(|k| matches!(k, EventKind::HandoffEnded { outcome: HandoffOutcome::CallerGone })));
    assert_eq!(rig.disposition(), Some(Disposition::Abandoned));
}

#[test]
fn a_seat_that_leaves_the_bridge_gives_the_caller_back_to_the_bot() {
    let mut rig = Rig::new(&["sip:seat"]);
    rig.listen();
    rig.say("转人工", 700);
    rig.wait(2500);
    rig.seat_on = true;
    rig.input(Input::Seat { attempt: 1, news: SeatNews::Answered });
    rig.input(Input::Dtmf { leg: LegId::Seat, digit: '1' });
    rig.wait(500);
    rig.seat_on = false;
    rig.input(Input::Seat { attempt: 1, news: SeatNews::Gone });
    rig.listen();
    assert_eq!(rig.said_by_bot().last().map(|s| s.0.as_str()), Some("坐席已离开。"));
    rig.say("再见", 500);
    rig.listen();
    assert_eq!(rig.disposition(), Some(Disposition::Transferred));
}

#[test]
fn a_seat_that_presses_no_key_is_given_up() {
    let mut rig = Rig::new(&["sip:seat"]);
    rig.listen();
    rig.say("转人工", 700);
    rig.wait(1000);
    rig.seat_on = true;
    rig.input(Input::Seat { attempt: 1, news: SeatNews::Answered });
    rig.wait(31_000);
    assert!(rig.has(|k| matches!(k, EventKind::HandoffEnded { outcome: HandoffOutcome::NoAnswer })));
    assert!(rig.outputs.iter().any(|o| matches!(o, Output::HangUpSeat)));
}

#[test]
fn a_second_low_confidence_in_a_row_is_a_handoff() {
    let mut rig = Rig::new(&["sip:seat"]);
    rig.listen();
    rig.say("听不清", 700);
    rig.listen();
    rig.say("听不清", 700);
    rig.wait(1000);
    assert!(rig.has(|k| matches!(k, EventKind::HandoffRequested { reason: Reason::LowConfidence })));
}

#[test]
fn a_silent_caller_is_prompted_offered_a_person_and_then_let_go() {
    let mut rig = Rig::new(&[]);
    rig.wait(60_000);
    let said: Vec<_> = rig.said_by_bot().into_iter().map(|s| s.0).collect();
    assert_eq!(said[1..], ["还在吗？", "听得到吗？", "要转人工吗？", "再见。"]);
    assert_eq!(rig.disposition(), Some(Disposition::Silent));
}

#[test]
fn a_dead_voice_never_leaves_an_open_silent_line() {
    let mut rig = Rig::with(settings(&["sip:seat"]), None, false);
    rig.wait(12_000);
    assert!(
        rig.has(|k| matches!(k, EventKind::HandoffRequested { reason: Reason::Broken })),
        "{:?}",
        rig.events
    );
    let mut rig = Rig::with(settings(&[]), None, false);
    rig.wait(30_000);
    assert_eq!(rig.disposition(), Some(Disposition::Failed));
}

#[test]
fn a_failed_recogniser_is_noted_and_the_call_goes_on() {
    let mut rig = Rig::new(&[]);
    rig.listen();
    rig.say("故障", 700);
    rig.wait(1000);
    assert!(rig.has(|k| matches!(k, EventKind::Fault { part, .. } if part == "asr")));
    rig.say("空调坏了", 700);
    rig.listen();
    assert_eq!(rig.said_by_bot().len(), 2);
}

#[test]
fn words_that_continue_before_a_sound_of_the_answer_are_joined() {
    let mut rig = Rig::new(&[]);
    rig.listen();
    rig.tts_works = false;
    rig.say("空调坏了", 700);
    rig.wait(500);
    rig.say("昨天开始的", 700);
    rig.tts_works = true;
    rig.listen();
    assert!(
        rig.has(|k| matches!(k, EventKind::CallerSaid { text, .. } if text == "空调坏了昨天开始的")),
        "{:#?}",
        rig.events
    );
    assert_ne!(rig.dropped(), 0, "the answer to the first half was for nothing: {:#?}", rig.events);
}

#[test]
fn a_held_caller_is_not_talked_to() {
    let mut rig = Rig::new(&[]);
    rig.wait(500);
    rig.input(Input::Hold { leg: LegId::Caller, held: true });
    let before = rig.to_caller.len();
    rig.wait(20_000);
    assert!(rig.to_caller[before..].iter().all(|f| *f == Frame::SILENCE));
    rig.input(Input::Hold { leg: LegId::Caller, held: false });
    rig.listen();
    assert_eq!(rig.said_by_bot()[0].0, "录音。您好请讲。");
}

#[test]
fn state_and_events_stay_small() {
    assert!(size_of::<Call>() < 4096, "a call's own state is {} bytes", size_of::<Call>());
    assert!(size_of::<Input>() < 1400, "an input is {} bytes", size_of::<Input>());
}

#[test]
fn nothing_follows_the_end() {
    let mut rig = Rig::new(&[]);
    rig.input(Input::Shutdown);
    assert_eq!(rig.disposition(), Some(Disposition::Failed));
    let outputs = rig.outputs.len();
    rig.wait(1000);
    assert_eq!(rig.outputs.len(), outputs);
    assert!(matches!(rig.outputs.last(), Some(Output::HangUp)));
}

#[test]
fn partials_are_asked_for_while_the_caller_speaks() {
    let mut rig = Rig::new(&[]);
    rig.listen();
    rig.say("空调不制冷", 2000);
    let partials =
        rig.outputs.iter().filter(|o| matches!(o, Output::Transcribe { purpose: Purpose::Partial, .. }));
    let count = partials.count();
    assert!((6..=9).contains(&count), "one each 240 ms or so, not {count} in two seconds");
}
