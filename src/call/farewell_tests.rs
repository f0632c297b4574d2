//! Grades and messages at the end of a talk.

use super::event::EventKind;
use super::event::LegId;
use super::event::{Disposition, HandoffOutcome};
use super::io::Input;
use super::rig::{Rig, settings};

/// A caller who was given `answers` answers by a tenant that asks for grades after two.
fn served(answers: usize) -> Rig {
    let mut rig = Rig::with(super::Settings { rating_after: Some(2), ..settings() }, &[], None, true);
    rig.listen();
    for _ in 0..answers {
        rig.say("首保多久", 700);
        rig.listen();
    }
    rig
}

fn rating(rig: &Rig) -> Option<(u8, String)> {
    rig.events.iter().find_map(|(_, kind)| match kind {
        EventKind::Rated { score, words } => Some((*score, words.clone())),
        _ => None,
    })
}

fn message(rig: &Rig) -> Option<String> {
    rig.events.iter().find_map(|(_, kind)| match kind {
        EventKind::MessageLeft { text, .. } => Some(text.clone()),
        _ => None,
    })
}

/// A caller for whom nobody is there, and who has been offered to leave a message.
fn without_call_back() -> Rig {
    let mut rig = Rig::new(&[]);
    rig.listen();
    rig.press("0");
    rig.listen();
    rig.say("不用", 500);
    rig.listen();
    assert_eq!(rig.last_said(), "要留言吗？");
    rig
}

#[test]
fn a_grade_is_asked_for_once_and_taken_by_voice() {
    let mut rig = served(2);
    rig.say("再见", 500);
    rig.listen();
    assert_eq!(rig.last_said(), "请打分。");
    rig.say("四分", 500);
    rig.listen();
    assert_eq!(rating(&rig), Some((4, "四分".into())));
    assert_eq!(rig.last_said(), "谢谢评价。再见。");
    assert_eq!(rig.disposition(), Some(Disposition::Contained));
}

#[test]
fn a_grade_is_taken_by_key_over_the_question() {
    let mut rig = served(2);
    rig.say("再见", 500);
    rig.wait(900);
    rig.press("1");
    rig.listen();
    assert_eq!(rating(&rig), Some((1, String::new())));
    assert_eq!(rig.disposition(), Some(Disposition::Contained));
}

#[test]
fn who_was_hardly_served_is_not_asked() {
    let mut rig = served(1);
    rig.say("再见", 500);
    rig.listen();
    assert_eq!(rig.last_said(), "再见。");
    assert!(rig.call.is_over());
}

#[test]
fn who_gives_no_grade_is_let_go() {
    for reply in ["", "听不懂", "再见", "不用"] {
        let mut rig = served(2);
        rig.say("再见", 500);
        rig.listen();
        if reply.is_empty() {
            rig.wait(12_000);
        } else {
            rig.say(reply, 500);
            rig.listen();
            rig.wait(12_000);
        }
        assert!(rig.call.is_over(), "after {reply:?}: {:#?}", rig.said_by_bot());
        let asked = rig.said_by_bot().iter().filter(|(text, _)| text == "请打分。").count();
        assert_eq!((asked, rating(&rig)), (1, None), "after {reply:?}");
    }
}

#[test]
fn who_asks_on_instead_of_giving_a_grade_is_answered() {
    let mut rig = served(2);
    rig.say("再见", 500);
    rig.listen();
    rig.say("胎压多少", 700);
    rig.listen();
    assert_eq!(rig.last_said(), "关于胎压多少，这是一个回答。");
    assert!(!rig.call.is_over());
}

#[test]
fn a_message_is_taken_in_pieces_and_ended_by_silence() {
    let mut rig = without_call_back();
    rig.say("好", 500);
    rig.listen();
    assert_eq!(rig.last_said(), "请说。");
    rig.say("我是王先生", 800);
    rig.wait(2500);
    rig.say("车明天来取", 800);
    rig.wait(2500);
    assert_eq!(message(&rig), None, "it is not over yet");
    rig.listen();
    rig.wait(4000);
    assert_eq!(message(&rig).as_deref(), Some("我是王先生，车明天来取"));
    assert_eq!(rig.last_said(), "已留言。");
}

#[test]
fn a_message_is_ended_by_words_or_by_the_hash_key() {
    let mut rig = without_call_back();
    rig.press("1");
    rig.listen();
    rig.say("车坏了", 600);
    rig.wait(1500);
    rig.say("说完了", 600);
    rig.listen();
    assert_eq!(message(&rig).as_deref(), Some("车坏了"));

    let mut rig = without_call_back();
    rig.press("1");
    rig.listen();
    rig.say("车坏了", 600);
    rig.wait(60);
    rig.press("#");
    rig.listen();
    assert_eq!(message(&rig).as_deref(), Some("车坏了"), "the words that were just spoken are in it");
    assert_eq!(rig.last_said(), "已留言。");
}

#[test]
fn a_message_is_kept_when_its_caller_hangs_up_or_asks_for_a_person() {
    let mut rig = without_call_back();
    rig.press("1");
    rig.listen();
    rig.say("车坏了", 600);
    rig.wait(2000);
    rig.input(Input::CallerGone { dead_line: false });
    assert_eq!(message(&rig).as_deref(), Some("车坏了"));

    let mut rig = without_call_back();
    rig.press("1");
    rig.listen();
    rig.say("车坏了", 600);
    rig.wait(2000);
    rig.input(Input::Dtmf { leg: LegId::Caller, digit: '0' });
    rig.wait(500);
    assert_eq!(message(&rig).as_deref(), Some("车坏了"));
    assert!(rig.has(|k| matches!(k, EventKind::HandoffEnded { outcome: HandoffOutcome::NoSeat })));
}

#[test]
fn an_empty_message_is_none() {
    let mut rig = without_call_back();
    rig.press("1");
    rig.listen();
    rig.press("#");
    rig.listen();
    assert_eq!(message(&rig), None);
    assert_eq!(rig.last_said(), "好的。");
}
