//! A seat that asks about the call before it takes it, and notes in the bridge.

use super::event::{EventKind, HandoffOutcome, LegId};
use super::io::{Input, Output};
use super::rig::{Rig, settings};
use super::{Settings, Stage};
use crate::media::Frame;

/// A caller with a seat that hears the summary.
fn consulting(settings: Settings) -> Rig {
    let mut rig = Rig::with(settings, &["sip:one"], Some("13800138000"), true);
    rig.listen();
    rig.say("空调坏了", 700);
    rig.listen();
    rig.press("0");
    rig.wait(500);
    rig.seat_frame = Frame::SILENCE;
    rig.seat_on = true;
    rig.seat_answers(1);
    rig.wait(500);
    rig
}

fn told_to_seat(rig: &Rig) -> Vec<String> {
    let told = rig.outputs.iter().filter_map(|output| match output {
        Output::Synthesize { text, .. } => Some(text.clone()),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_seat_is_answered_before_it_takes_the_call_by_voice() {
    let mut rig = consulting(settings());
    rig.beside(LegId::Seat, "号码呢", 700);
    assert!(told_to_seat(&rig).contains(&"13800138000".to_owned()), "{:?}", told_to_seat(&rig));
    assert!(
        rig.has(|k| matches!(k, EventKind::Overheard { leg: LegId::Seat, text, .. } if text == "号码呢"))
    );
    rig.wait(2000);
    rig.beside(LegId::Seat, "我接", 400);
    rig.wait(1000);
    assert!(matches!(rig.call.stage, Stage::Bridged { .. }), "{:#?}", rig.events);
}

#[test]
fn a_seat_declines_by_voice() {
    let mut rig = consulting(settings());
    rig.beside(LegId::Seat, "不接", 500);
    let declined =
        |k: &EventKind| matches!(k, EventKind::SeatFailed { outcome: HandoffOutcome::Declined, .. });
    assert!(rig.has(declined), "{:#?}", rig.events);
}

#[test]
fn what_a_seat_says_to_itself_changes_nothing() {
    let mut rig = consulting(settings());
    let before = told_to_seat(&rig).len();
    rig.beside(LegId::Seat, "知道了", 500);
    assert_eq!(told_to_seat(&rig).len(), before);
    assert!(!rig.has(|k| matches!(k, EventKind::SeatFailed { .. } | EventKind::Bridged)));
}

#[test]
fn a_bridge_is_not_listened_to_unless_notes_are_wanted() {
    for notes in [false, true] {
        let mut rig = consulting(Settings { notes, ..settings() });
        rig.input(Input::Dtmf { leg: LegId::Seat, digit: '1' });
        rig.wait(1000);
        assert!(matches!(rig.call.stage, Stage::Bridged { .. }));
        rig.beside(LegId::Seat, "我看一下", 700);
        rig.beside(LegId::Caller, "麻烦你了", 700);
        let heard: Vec<_> = rig
            .events
            .iter()
            .filter_map(|(_, kind)| match kind {
                EventKind::Overheard { leg, text, .. } => Some((*leg, text.as_str())),
                _ => None,
            })
            .collect();
        let wanted: &[_] =
            if notes { &[(LegId::Seat, "我看一下"), (LegId::Caller, "麻烦你了")] } else { &[] };
        assert_eq!(heard, wanted, "notes: {notes}");
    }
}
