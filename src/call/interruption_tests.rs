//! Interruptions and what follows from them, on virtual time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::barge_in::Because;
use super::event::EventKind;
use super::rig::{Rig, settings, sung};
use super::{Input, Output, Phrases, Settings};
use crate::media::{FRAME, FRAME_TIME, Frame};
use crate::tts::Piece;

const ANSWER: &str = "关于空调坏了，这是一个回答。";

/// The bot is in the middle of its answer.
fn answering() -> Rig {
    let mut rig = Rig::new(&[]);
    rig.listen();
    rig.say("空调坏了", 900);
    rig.wait(1500);
    rig
}

/// Frames of a voice at this amplitude.
fn voice(rig: &mut Rig, words: &str, amplitude: i16, millis: u64) {
    rig.said += 1;
    rig.words.insert(rig.said, words.into());
    for _ in 0..millis / FRAME_TIME.as_millis() as u64 {
        rig.now = rig.now + FRAME_TIME;
        rig.input(Input::Tick { caller: sung(amplitude), seat: None });
    }
}

fn confirmed(rig: &Rig) -> Option<Because> {
    rig.events.iter().rev().find_map(|(_, kind)| match kind {
        EventKind::BargeInConfirmed { why, .. } => Some(why.because),
        _ => None,
    })
}

fn rejected(rig: &Rig) -> Option<Because> {
    rig.events.iter().rev().find_map(|(_, kind)| match kind {
        EventKind::BargeInRejected { why, .. } => Some(why.because),
        _ => None,
    })
}

#[test]
fn somebody_behind_the_caller_does_not_stop_the_bot_and_is_not_answered() {
    let mut rig = answering();
    // 17 dB below the caller, who was heard at 500.
    voice(&mut rig, "门关上没有", 70, 900);
    assert_eq!(rejected(&rig), Some(Because::Far), "{:#?}", rig.events);
    let sound = rig.to_caller.iter().rev().take(20).filter(|f| **f != Frame::SILENCE).count();
    assert_eq!(sound, 20, "the bot speaks on while they do");
    rig.listen();
    assert_eq!(rig.said_by_bot().last(), Some(&(ANSWER.to_owned(), false)), "{:#?}", rig.events);
    assert_eq!(confirmed(&rig), None);
}

#[test]
fn a_caller_who_speaks_while_somebody_behind_does_interrupts_at_once() {
    let mut rig = answering();
    voice(&mut rig, "门关上没有", 70, 500);
    assert_eq!(rejected(&rig), Some(Because::Far), "{:#?}", rig.events);
    let before = rig.to_caller.len();
    voice(&mut rig, "车窗也坏了", 500, 900);
    let stopped = rig.to_caller[before..].iter().position(|f| *f == Frame::SILENCE);
    assert!(stopped.is_some_and(|at| at <= 10), "it went on for {stopped:?} frames");
    assert_eq!(confirmed(&rig), Some(Because::Words), "{:#?}", rig.events);
}

#[test]
fn the_same_words_from_the_caller_stop_it() {
    let mut rig = answering();
    voice(&mut rig, "门关上没有", 400, 900);
    assert_eq!(confirmed(&rig), Some(Because::Words), "{:#?}", rig.events);
}

#[test]
fn a_word_that_always_interrupts_does_so_also_from_afar() {
    let mut rig = answering();
    voice(&mut rig, "等一下", 70, 900);
    assert_eq!(confirmed(&rig), Some(Because::Interrupt), "{:#?}", rig.events);
}

#[test]
fn an_answer_cut_by_what_was_not_meant_for_the_bot_goes_on_from_the_word() {
    let mut rig = answering();
    rig.say("旁人说话", 900);
    rig.wait(300);
    assert_eq!(confirmed(&rig), Some(Because::Words));
    rig.listen();
    let said = rig.said_by_bot();
    let (first, rest) = (&said[said.len() - 2], &said[said.len() - 1]);
    assert!(first.1 && !rest.1, "{said:?}");
    assert!(!first.0.is_empty() && !rest.0.is_empty(), "{said:?}");
    // A comma needs no voice.
    let length = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).count();
    let whole = length(ANSWER)..=length(ANSWER) + 1;
    assert!(ANSWER.starts_with(&first.0) && ANSWER.ends_with(&rest.0), "{said:?}");
    assert!(whole.contains(&(length(&first.0) + length(&rest.0))), "{said:?}");
}

#[test]
fn an_interrupted_answer_is_finished_when_the_caller_asks_for_it() {
    let mut rig = answering();
    rig.say("等一下", 600);
    rig.listen();
    let cut = rig.said_by_bot();
    assert!(cut.iter().any(|(text, cut)| *cut && ANSWER.starts_with(text.as_str())), "{cut:?}");
    rig.say("继续", 500);
    rig.listen();
    let last = rig.last_said();
    assert!(ANSWER.ends_with(&last), "{last}");
    assert!(last.starts_with("关于") || last.starts_with("这是"), "it begins with a whole clause: {last}");
    rig.say("继续", 500);
    rig.listen();
    assert_eq!(rig.last_said(), last, "nothing is left: the last words once more");
}

#[test]
fn a_new_answer_takes_the_place_of_the_interrupted_one() {
    let mut rig = answering();
    rig.say("我问车窗", 900);
    rig.listen();
    assert_eq!(rig.last_said(), "关于我问车窗，这是一个回答。");
    rig.say("继续", 500);
    rig.listen();
    assert_eq!(rig.last_said(), "关于我问车窗，这是一个回答。", "the old answer is settled");
}

#[test]
fn a_rejected_interruption_resumes_at_the_word_and_loses_none() {
    let mut rig = answering();
    let before = rig.to_caller.len();
    rig.say("嗯", 200);
    rig.wait(900);
    assert_eq!(rejected(&rig), Some(Because::Backchannel), "{:#?}", rig.events);
    let heard: Vec<i16> =
        rig.to_caller[before..].iter().map(|f| f.0[FRAME - 1]).filter(|s| *s != 0).collect();
    // Every character has a sample value of its own, one higher than the one before.
    for pair in heard.windows(2) {
        let step = pair[1] - pair[0];
        assert!((-2..=1).contains(&step) || pair[1] == 1000, "{} follows {}", pair[1], pair[0]);
    }
}

#[test]
fn the_same_filler_is_never_said_twice_in_a_row() {
    let phrases = Phrases { thinking: vec!["稍等。".into()], ..(*settings().phrases).clone() };
    let only_one = Settings { phrases: Arc::new(phrases), thinking: Duration::from_secs(30), ..settings() };
    let mut rig = Rig::with(only_one, &[], None, true);
    rig.listen();
    rig.mind_delay = Duration::from_secs(15);
    let fillers =
        |rig: &Rig| rig.events.iter().filter(|(_, k)| matches!(k, EventKind::Filled { .. })).count();
    rig.say("空调坏了", 900);
    rig.wait(12_000);
    assert_eq!(fillers(&rig), 1);
    rig.wait(8000);
    rig.listen();
    rig.say("车窗坏了", 900);
    rig.wait(12_000);
    assert_eq!(fillers(&rig), 2, "an answer was said in between");
}

#[test]
fn a_stray_key_after_a_whole_number_asks_for_nobody() {
    let mut rig = Rig::with(settings(), &[], None, true);
    rig.listen();
    rig.press("0");
    rig.listen();
    rig.press("1");
    rig.wait(300);
    rig.press("13800138000");
    rig.wait(300);
    let asked = |rig: &Rig| {
        rig.events.iter().filter(|(_, k)| matches!(k, EventKind::HandoffRequested { .. })).count()
    };
    assert_eq!(asked(&rig), 1);
    rig.press("0");
    assert_eq!(asked(&rig), 1, "it belongs to the number");
    rig.listen();
    assert_eq!(rig.last_said(), "什么时间？");
}

/// Noise that is like nothing but itself, in steps of its own.
struct Babble(u32);

impl Babble {
    fn frame(&mut self, at: usize) -> Frame {
        let loud = [0, 9000, 3000, 12_000, 0, 6000, 1500][(at / 4) % 7];
        Frame(std::array::from_fn(|_| {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (loud * ((self.0 >> 16) as i32 - 32_768) / 32_768) as i16
        }))
    }
}

#[test]
fn a_speakerphone_does_not_interrupt_itself_once_it_is_known() {
    let mut rig = Rig::with(settings(), &[], None, false);
    let mut babble = Babble(1);
    let voice: Vec<Frame> = (0..400).map(|at| babble.frame(at)).collect();
    let mut flying = VecDeque::from(vec![Frame::SILENCE; 6]);
    // The notice, which is protected, then the greeting.
    for (frames, chars) in [(&voice[..150], 3), (&voice[150..], 5)] {
        let asked = rig.outputs.iter().rev().find_map(|output| match output {
            Output::Synthesize { id, .. } => Some(*id),
            _ => None,
        });
        let id = asked.expect("the next clause is asked for");
        let samples = frames.iter().flat_map(|frame| frame.0).collect();
        rig.input(Input::Speech { id, piece: Piece::Audio { samples, span: 0..chars } });
        rig.input(Input::Speech { id, piece: Piece::Done });
    }
    for _ in 0..450 {
        rig.now = rig.now + FRAME_TIME;
        let back = flying.pop_front().unwrap_or_default();
        rig.input(Input::Tick { caller: Frame(back.0.map(|s| s / 8)), seat: None });
        flying.push_back(rig.to_caller.last().copied().unwrap_or_default());
    }
    assert!(rig.call.echo.path().is_some(), "the notice alone gives the echo away");
    assert!(!rig.has(|k| matches!(k, EventKind::BargeInStarted { .. })), "{:#?}", rig.events);
}
