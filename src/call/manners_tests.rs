//! The manners of a conversation: what is said into a silence, while thinking, and what keys do.

use super::event::{Disposition, EventKind, LegId};
use super::tests::Rig;
use super::{Input, Output};
use crate::dialogue::Reason;

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
