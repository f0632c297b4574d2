//! The manners of a conversation: what is said into a silence, while thinking, and what keys do.

use super::event::{Disposition, EventKind, LegId};
use super::tests::Rig;
use super::{Input, Output, SeatNews};
use crate::dialogue::{Act, Decision, Reason, Thought, Tier};

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
    assert!(rig.outputs.iter().any(|o| matches!(o, Output::DialSeat { .. })));
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
    let (sources, topic) = (vec![], "test".into());
    let decision = Decision { act, confidence: 0.9, sources, tier: Tier::Light, topic };
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
    rig.input(Input::Seat { attempt: 1, news: SeatNews::Answered });
    rig.input(Input::Dtmf { leg: LegId::Seat, digit: '1' });
    rig.wait(200);
    assert!(rig.has(|k| matches!(k, EventKind::Bridged)), "the caller would wait for ever");
}
