//! A call for tests, on virtual time, with scripted ears, mind and voice.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::endpointing::{Endpointing, Model};
use super::event::HandoffOutcome;
use super::event::{Disposition, EventKind, LegId};
use super::listening::Hearing;
use super::settings::BargeIn;
use super::{Call, Command, Input, Lexicon, Output, Phrases, SeatNews, Settings, VoiceActivity};
use crate::asr::{self, Transcript};
use crate::clock::Time;
use crate::dialogue::{Act, Ask, Brief, Decision, Expect, Facts, Mind, Reason, Thought, Who};
use crate::media::{FRAME, FRAME_TIME, Frame};
use crate::seat::Profile;
use crate::seat::queue::{Queue, Rules};
use crate::tools::{Outcome, Use};
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
                (_, "查车") if ask.round == 0 => Act::Use {
                    tools: vec![lookup("沪A12345"), lookup("沪B12345")],
                    waiting: Some("正在查车。".into()),
                },
                (_, "转圈") => Act::Use { tools: vec![lookup("沪A12345")], waiting: None },
                (_, "嗯") if ask.expect == Expect::Open => Act::Ignore,
                (Expect::YesNo, "好") => Act::Yes,
                (Expect::YesNo | Expect::Rating, "不用") | (Expect::Message, "说完了") => Act::No,
                (Expect::Rating, "四分") => Act::Rated(4),
                (Expect::Message, words) => Act::Message(words.into()),
                (Expect::Time, "明天") => Act::When("明天".into()),
                (Expect::Phone, digits) if digits.chars().all(|c| c.is_ascii_digit()) => {
                    if digits.len() == 11 { Act::Phone(digits.into()) } else { Act::PhonePart(digits.into()) }
                }
                (_, "听不清") if ask.clarified => Act::Handoff(Reason::LowConfidence),
                (_, "听不清") | (Expect::Rating, "听不懂") => Act::Clarify,
                _ => Act::Answer,
            };
        match &act {
            Act::Answer if ask.round > 0 => {
                let came = ask.used.iter().map(|used| used.outcome.name());
                sink(Thought::Clause(format!("查到{}。", came.collect::<Vec<_>>().join("和"))));
            }
            Act::Answer => {
                sink(Thought::Clause(format!("关于{text}，")));
                sink(Thought::Clause("这是一个回答。".into()));
            }
            Act::Clarify => sink(Thought::Clause("您是想问什么？".into())),
            _ => {}
        }
        let topic = if text == "等一下" { "smalltalk" } else { "test" };
        let answered = text.starts_with("第一家");
        sink(Thought::Decided(Decision { answered, ..Decision::new(act, 0.9, topic) }));
    }
    fn brief(&self, facts: &Facts<'_>, asked: &str) -> Brief {
        match asked {
            "我接" => Brief::Accept,
            "不接" => Brief::Decline,
            "再说一遍" => Brief::Repeat,
            "号码呢" => Brief::Say(vec![facts.caller.unwrap_or("没有号码").to_owned()]),
            _ => Brief::Nothing,
        }
    }
    fn summarize(&self, facts: &Facts<'_>) -> String {
        facts.history.iter().filter(|s| s.who == Who::Caller).map(|s| s.text.as_str()).collect()
    }
}

/// The only call of the queue.
const CALL: &str = "call";

/// A use of the only tool there is.
pub(super) fn lookup(plate: &str) -> Use {
    let arguments = [("plate".to_owned(), plate.into())].into_iter().collect();
    Use { tool: "find_vehicle".into(), arguments, occasion: 0 }
}

fn one(text: &str) -> Vec<String> {
    vec![text.into()]
}

pub(super) fn settings() -> Settings {
    Settings {
        hearing: Hearing::default(),
        endpointing: Endpointing { model: Model::plain(), ..Endpointing::default() },
        greeting_expects: Expect::Open,
        barge_in: BargeIn::default(),
        no_input: Duration::from_secs(7),
        in_flight: Duration::from_millis(60),
        skills: Arc::default(),
        join_directly: false,
        seat_ring: Duration::from_secs(20),
        seat_accept: Duration::from_secs(30),
        thinking: Duration::from_secs(5),
        vad: || Box::new(Loudness),
        notes: false,
        rating_after: None,
        phrases: Arc::new(Phrases {
            notice: one("录音。"),
            greeting: one("您好请讲。"),
            no_input: vec!["还在吗？".into(), "听得到吗？".into()],
            offer_person: one("要转人工吗？"),
            thinking: vec!["稍等。".into(), "我查查。".into()],
            handing_over: one("正在转接。"),
            queue_next: one("您是下一位。"),
            queue_ahead: one("前面{ahead}位。"),
            queue_wait: one("前面{ahead}位，{minutes}分钟。"),
            queue_choice: one("可以接着问。"),
            seat_rings: one("正在接通。"),
            out_of_hours: one("{opens}上班，要回电吗？"),
            callback_offer: one("要回电吗？"),
            callback_same_number: one("打{number}吗？"),
            ask_phone: one("号码是多少？"),
            ask_phone_rest: one("{number}，然后呢？"),
            ask_keys_rest: one("请继续按。"),
            ask_time: one("什么时间？"),
            callback_booked: one("{when}会打{number}。"),
            callback_failed: one("没记下。"),
            callback_declined: one("好的。"),
            message_offer: one("要留言吗？"),
            message_begin: one("请说。"),
            message_kept: one("已留言。"),
            rating_ask: one("请打分。"),
            rating_thanks: one("谢谢评价。"),
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
    pub(super) queue: Queue,
    /// The seats of each offer, by its number.
    pub(super) dialled: Vec<(u32, String)>,
    pub(super) now: Time,
    /// What the recogniser will hear in the coming utterances.
    pub(super) words: HashMap<u32, String>,
    pub(super) said: u32,
    pub(super) tts_works: bool,
    pub(super) store_works: bool,
    pub(super) late: VecDeque<(Time, Input)>,
    pub(super) asr_delay: Duration,
    pub(super) mind_delay: Duration,
    /// How long a tool takes; it never answers if none.
    pub(super) tool_delay: Option<Duration>,
    pub(super) seat_on: bool,
    /// What the seat's leg sends.
    pub(super) seat_frame: Frame,
    pub(super) overheard: u32,
    pub(super) to_caller: Vec<Frame>,
    pub(super) to_seat: Vec<Frame>,
    pub(super) outputs: Vec<Output>,
    pub(super) events: Vec<(Time, EventKind)>,
}

impl Rig {
    pub(super) fn new(seats: &[&str]) -> Self {
        Self::with(settings(), seats, Some("13800138000"), true)
    }

    pub(super) fn with(settings: Settings, seats: &[&str], number: Option<&str>, tts_works: bool) -> Self {
        let call = Call::new(settings, Box::new(Loudness), number.map(Into::into), Time::ZERO);
        let mut rig = Self {
            call,
            queue: Queue::new(seats.iter().map(|uri| Profile::plain(uri)).collect(), Rules::default()),
            dialled: Vec::new(),
            now: Time::ZERO,
            words: HashMap::new(),
            said: 0,
            tts_works,
            store_works: true,
            late: VecDeque::new(),
            asr_delay: Duration::from_millis(100),
            mind_delay: Duration::ZERO,
            tool_delay: Some(Duration::from_millis(200)),
            seat_on: false,
            seat_frame: Frame([300; FRAME]),
            overheard: 0,
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
                Output::UseTool { turn, what } => {
                    if let Some(delay) = self.tool_delay {
                        let outcome = Outcome::Done(serde_json::Value::Null);
                        let input = Input::ToolDone { turn: *turn, what: what.clone(), outcome };
                        self.late.push_back((self.now + delay, input));
                    }
                }
                Output::BookCallback { .. } => {
                    let result = if self.store_works { Ok(()) } else { Err("disk full".into()) };
                    self.late.push_back((self.now, Input::CallbackStored { result }));
                }
                Output::Queue(wish) => {
                    self.queue.wish(self.now, CALL, wish.clone());
                    self.hear_queue();
                }
                Output::Legs(Command::DialSeat { attempt, targets, .. }) => {
                    let seats = targets.iter().map(|target| (*attempt, target.seat.clone()));
                    self.dialled.extend(seats);
                }
                Output::Legs(Command::HangUpSeat) => self.seat_on = false,
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

    /// The queue's news reach the call.
    fn hear_queue(&mut self) {
        while let Some((_, news)) = self.queue.poll() {
            self.late.push_back((self.now, Input::Queue(news)));
        }
    }

    fn seat_of(&self, attempt: u32) -> String {
        let seat = self.dialled.iter().find(|(offer, _)| *offer == attempt);
        seat.map(|(_, seat)| seat.clone()).unwrap_or_default()
    }

    pub(super) fn seat_answers(&mut self, attempt: u32) {
        let seat = self.seat_of(attempt);
        self.input(Input::Seat { attempt, news: SeatNews::Answered { seat } });
    }

    pub(super) fn seat_fails(&mut self, attempt: u32, outcome: HandoffOutcome) {
        let seat = self.seat_of(attempt);
        self.input(Input::Seat { attempt, news: SeatNews::Failed { seat, outcome, code: None } });
    }

    pub(super) fn ticks(&mut self, voiced: bool, time: Duration) {
        let frame = if voiced { sung(500) } else { Frame::SILENCE };
        for _ in 0..time.as_millis() / FRAME_TIME.as_millis() {
            self.now = self.now + FRAME_TIME;
            self.queue.tick(self.now);
            self.hear_queue();
            let seat = self.seat_on.then_some(self.seat_frame);
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

    /// The seat, or in a bridge whose notes are taken the caller, says `words` and falls silent.
    pub(super) fn beside(&mut self, leg: LegId, words: &str, millis: u64) {
        self.words.insert(super::overhear::FIRST + self.overheard, words.into());
        self.overheard += 1;
        if leg == LegId::Seat {
            self.seat_frame = sung(500);
        }
        self.ticks(leg == LegId::Caller, Duration::from_millis(millis));
        self.seat_frame = Frame::SILENCE;
        self.ticks(false, Duration::from_secs(1));
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
    pub(super) fn dropped(&self) -> usize {
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
