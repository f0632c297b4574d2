//! Whole calls on virtual time.

use std::time::Duration;

use super::event::{Disposition, EventKind, HandoffOutcome, LegId};
use super::rig::{PER_CHAR, Rig, settings, sung};
use super::{Call, Command, Input, Output, SeatNews};
use crate::asr::Purpose;
use crate::dialogue::Reason;
use crate::media::{FRAME, FRAME_TIME, Frame};

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
    assert!(
        rig.outputs.iter().any(|o| matches!(o, Output::Legs(Command::DialSeat { attempt: 1, .. }))),
        "{:?}",
        rig.events
    );
    assert_eq!(rig.to_caller.last(), Some(&Frame([7; FRAME])), "the caller hears comfort audio");
    rig.seat_on = true;
    rig.seat_answers(1);
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
    assert!(
        rig.outputs.iter().any(|o| matches!(o, Output::Legs(Command::HangUpSeat))),
        "the seat must be released"
    );
}

#[test]
fn a_busy_seat_leads_to_the_next_and_then_to_a_stored_call_back() {
    let mut rig = Rig::with(settings(), &["sip:one", "sip:two"], None, true);
    rig.listen();
    rig.input(Input::Dtmf { leg: LegId::Caller, digit: '0' });
    rig.wait(500);
    rig.seat_fails(1, HandoffOutcome::Busy);
    rig.wait(500);
    assert!(rig.outputs.iter().any(|o| matches!(o, Output::Legs(Command::DialSeat { attempt: 2, .. }))));
    rig.seat_answers(1);
    assert!(!rig.has(|k| matches!(k, EventKind::Consulting { .. })), "late news of an old attempt");
    rig.seat_fails(2, HandoffOutcome::NoAnswer);
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
    assert!(rig.outputs.iter().any(|o| matches!(o, Output::Legs(Command::HangUpSeat))));
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
    rig.seat_answers(1);
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
    rig.seat_answers(1);
    rig.wait(31_000);
    assert!(rig.has(|k| matches!(k, EventKind::HandoffEnded { outcome: HandoffOutcome::NoAnswer })));
    assert!(rig.outputs.iter().any(|o| matches!(o, Output::Legs(Command::HangUpSeat))));
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
    let mut rig = Rig::with(settings(), &["sip:seat"], None, false);
    rig.wait(12_000);
    assert!(
        rig.has(|k| matches!(k, EventKind::HandoffRequested { reason: Reason::Broken })),
        "{:?}",
        rig.events
    );
    let mut rig = Rig::with(settings(), &[], None, false);
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
    assert!(matches!(rig.outputs.last(), Some(Output::Legs(Command::HangUp))));
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
