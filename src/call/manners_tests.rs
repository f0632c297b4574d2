//! The manners of a conversation: what is said into a silence, while thinking, and what keys do.

use std::time::Duration;

use super::event::{Disposition, EventKind, LegId};
use super::rig::Rig;
use super::{Command, Input, Output};
use crate::clock::Time;
use crate::dialogue::{Act, Decision, Reason, Thought};
use crate::media::{FRAME, Frame};

/// A caller who has said nothing until a person was offered.
fn offered_a_person(seats: &[&str]) -> Rig {
    let mut rig = Rig::new(seats);
    for _ in 0..3 {
        rig.listen();
        rig.wait(6600);
    }
    rig.listen();
    assert_eq!(rig.last_said(), "要转人工吗？", "{:#?}", rig.events);
    rig
}

#[test]
fn a_silent_caller_who_wants_the_offered_person_gets_one() {
    let mut rig = offered_a_person(&["sip:seat"]);
    rig.say("好", 400);
    rig.wait(2500);
    assert!(rig.has(|k| matches!(k, EventKind::HandoffRequested { reason: Reason::Requested })));
    assert!(rig.outputs.iter().any(|o| matches!(o, Output::Legs(Command::DialSeat { .. }))));
}

#[test]
fn a_silent_caller_who_wants_no_person_is_let_go() {
    let mut rig = offered_a_person(&["sip:seat"]);
    rig.say("不用", 400);
    rig.listen();
    assert_eq!(rig.last_said(), "再见。");
    assert_eq!(rig.disposition(), Some(Disposition::Abandoned));
}

#[test]
fn a_caller_who_asks_instead_of_taking_the_offer_is_answered_and_the_offer_is_over() {
    let mut rig = offered_a_person(&["sip:seat"]);
    rig.say("空调坏了", 700);
    rig.listen();
    assert_eq!(rig.last_said(), "关于空调坏了，这是一个回答。");
    rig.say("不用", 400);
    rig.listen();
    assert_eq!(rig.last_said(), "关于不用，这是一个回答。", "no question is open any more");
}

#[test]
fn a_silence_after_a_question_of_the_bot_asks_it_again_and_books_what_was_promised() {
    let mut rig = Rig::new(&[]);
    rig.listen();
    rig.input(Input::Dtmf { leg: LegId::Caller, digit: '0' });
    for yes in ["好", "好"] {
        rig.listen();
        rig.say(yes, 400);
    }
    rig.listen();
    assert_eq!(rig.last_said(), "什么时间？");
    rig.wait(6600);
    rig.listen();
    assert_eq!(rig.last_said(), "还在吗？什么时间？");
    rig.wait(18_000);
    assert!(rig.has(|k| matches!(k, EventKind::CallbackBooked { number, .. } if number == "13800138000")));
    rig.wait(60_000);
    assert_eq!(rig.disposition(), Some(Disposition::Callback));
}

/// The bot has been paused by a voice in its answer when the mind decides on `act`.
fn decided_while_paused(seats: &[&str], act: Act) -> Rig {
    let mut rig = Rig::new(seats);
    rig.listen();
    rig.say("空调坏了", 900);
    rig.wait(900);
    let started = rig.events.iter().rev().find_map(|(_, kind)| match kind {
        EventKind::BotStarted { turn, .. } => Some(*turn),
        _ => None,
    });
    let turn = started.expect("the bot answers");
    rig.say("", 200);
    assert!(rig.has(|k| matches!(k, EventKind::BargeInStarted { .. })), "{:#?}", rig.events);
    let decision = Decision::new(act, 0.9, "test");
    rig.input(Input::Thought { turn, thought: Thought::Decided(decision) });
    rig
}

#[test]
fn side_talk_that_paused_the_bot_leaves_its_answer_whole() {
    let mut rig = decided_while_paused(&[], Act::Ignore);
    rig.wait(400);
    rig.listen();
    let said = rig.said_by_bot();
    assert_eq!(said.last(), Some(&("关于空调坏了，这是一个回答。".to_owned(), false)), "{:#?}", rig.events);
}

#[test]
fn a_handoff_decided_while_the_bot_is_paused_is_still_announced_and_bridged() {
    let mut rig = decided_while_paused(&["sip:seat"], Act::Handoff(Reason::Upset));
    rig.wait(6000);
    assert!(rig.last_said().ends_with("正在转接。"), "{:#?}", rig.events);
    rig.seat_on = true;
    rig.seat_answers(1);
    rig.input(Input::Dtmf { leg: LegId::Seat, digit: '1' });
    rig.wait(200);
    assert!(rig.has(|k| matches!(k, EventKind::Bridged)), "the caller would wait for ever");
}

/// A caller whose number the network did not give, while it is being asked for.
fn asked_for_a_number() -> Rig {
    let mut rig = Rig::with(super::rig::settings(), &[], None, true);
    rig.listen();
    rig.press("0");
    rig.listen();
    rig.press("1");
    rig.wait(300);
    rig
}

#[test]
fn digits_typed_into_the_question_cut_it_short_and_are_kept() {
    let mut rig = asked_for_a_number();
    rig.press("13800138000#");
    rig.listen();
    let said = rig.said_by_bot();
    let (question, cut) = &said[said.len() - 2];
    assert!(*cut && "号码是多少？".starts_with(question.as_str()), "{said:?}");
    assert_eq!(rig.last_said(), "什么时间？");
    rig.say("明天", 400);
    rig.listen();
    assert_eq!(rig.last_said(), "明天会打138 0013 8000。");
}

#[test]
fn a_hash_ends_a_shorter_number_and_a_star_clears_it() {
    let mut rig = asked_for_a_number();
    rig.press("139*6245001#");
    rig.listen();
    rig.say("明天", 400);
    rig.listen();
    assert!(rig.has(|k| matches!(k, EventKind::CallbackBooked { number, .. } if number == "6245001")));
}

#[test]
fn a_number_left_unfinished_is_asked_for_after_five_seconds() {
    let mut rig = asked_for_a_number();
    rig.press("1380013");
    rig.wait(4900);
    assert!("号码是多少？".starts_with(&rig.last_said()), "it waits for more keys");
    rig.wait(200);
    rig.listen();
    assert_eq!(rig.last_said(), "请继续按。");
    rig.press("8000");
    rig.listen();
    assert_eq!(rig.last_said(), "什么时间？");
}

#[test]
fn digits_spoken_and_digits_typed_do_not_make_one_number() {
    let mut rig = asked_for_a_number();
    rig.listen();
    rig.say("138", 700);
    rig.listen();
    rig.press("00138000");
    rig.wait(6000);
    rig.listen();
    assert_eq!(rig.last_said(), "请继续按。", "eight digits were typed, not eleven");
    rig.say("13900139000", 900);
    rig.listen();
    rig.say("明天", 400);
    rig.listen();
    assert!(rig.has(|k| matches!(k, EventKind::CallbackBooked { number, .. } if number == "13900139000")));
}

#[test]
fn a_key_during_the_notice_acts_when_it_has_been_said() {
    let mut rig = Rig::new(&["sip:seat"]);
    rig.wait(100);
    rig.press("0");
    let asked = |rig: &Rig| rig.has(|k| matches!(k, EventKind::HandoffRequested { .. }));
    let notice = 3 * super::rig::PER_CHAR / FRAME;
    while !asked(&rig) {
        assert!(rig.to_caller.len() < 2 * notice, "the key was lost");
        rig.wait(20);
    }
    let sound = rig.to_caller.iter().filter(|frame| **frame != Frame::SILENCE).count();
    assert!((notice..notice + 3).contains(&sound), "{sound} frames of {notice}");
    assert!(rig.has(|k| matches!(k, EventKind::HandoffRequested { reason: Reason::KeyZero })));
}

#[test]
fn a_key_confirms_that_the_caller_meant_to_interrupt() {
    let mut rig = Rig::new(&["sip:seat"]);
    rig.listen();
    rig.say("空调坏了", 900);
    rig.wait(900);
    rig.say("", 200);
    assert!(rig.has(|k| matches!(k, EventKind::BargeInStarted { .. })));
    rig.press("0");
    assert!(rig.has(|k| matches!(k, EventKind::BargeInConfirmed { .. })));
}

/// What was said while thinking, and when.
fn fillers(rig: &Rig) -> Vec<(Time, String)> {
    let filled = rig.events.iter().filter_map(|(at, kind)| match kind {
        EventKind::Filled { text, .. } => Some((*at, text.clone())),
        _ => None,
    });
    filled.collect()
}

#[test]
fn a_long_thought_is_filled_after_700_ms_and_the_answer_follows_the_filler_at_once() {
    let mut rig = Rig::new(&[]);
    rig.listen();
    rig.mind_delay = Duration::from_millis(1150);
    for (question, filler) in [("空调坏了", "稍等。"), ("车窗坏了", "我查查。")] {
        rig.say(question, 900);
        let began = rig.to_caller.len();
        rig.wait(3600);
        let (at, text) = fillers(&rig).pop().expect("the silence must be filled");
        assert_eq!(text, filler);
        let decided = rig.events.iter().rev().find(|(_, k)| matches!(k, EventKind::SpeechEnded(_)));
        let waited = at.saturating_since(decided.expect("the turn ended").0).as_millis();
        assert!((700..=760).contains(&waited), "it came after {waited} ms");
        let frames = &rig.to_caller[began..];
        let first = frames.iter().position(|f| *f != Frame::SILENCE).expect("sound");
        let sound = &frames[first..];
        let length = filler.chars().count() * super::rig::PER_CHAR / FRAME;
        assert!(sound[..length + 10].iter().all(|f| *f != Frame::SILENCE), "a gap after the filler");
        assert_eq!(sound[length].0[0], 1000, "the answer begins with its first character");
        rig.listen();
        assert_eq!(rig.last_said(), format!("关于{question}，这是一个回答。"), "a filler is no content");
    }
}

#[test]
fn a_quick_answer_is_not_filled() {
    let mut rig = Rig::new(&[]);
    rig.listen();
    rig.mind_delay = Duration::from_millis(500);
    rig.say("空调坏了", 900);
    rig.listen();
    assert_eq!(fillers(&rig), []);
    assert_eq!(rig.last_said(), "关于空调坏了，这是一个回答。");
}

#[test]
fn a_caller_who_speaks_on_during_a_filler_ends_it_and_is_answered_as_a_whole() {
    let mut rig = Rig::new(&[]);
    rig.listen();
    rig.mind_delay = Duration::from_secs(3);
    rig.say("空调坏了", 900);
    while fillers(&rig).is_empty() {
        rig.wait(20);
    }
    rig.mind_delay = Duration::ZERO;
    rig.say("昨天开始的", 900);
    let silent = rig.to_caller.iter().rev().take_while(|f| **f == Frame::SILENCE).count();
    assert!(silent > 38, "the filler went on over the caller");
    rig.listen();
    assert_eq!(rig.last_said(), "关于空调坏了昨天开始的，这是一个回答。");
}
