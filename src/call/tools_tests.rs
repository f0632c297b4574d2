//! Tools in a call: when they are used, what is said meanwhile, and what happens when they or the caller do the unexpected.

use std::sync::Arc;
use std::time::Duration;

use super::event::EventKind;
use super::rig::{Rig, lookup, settings};
use super::{Output, Settings};
use crate::dialogue::{Ask, Facts, Mind, Thought};
use crate::seat::{Need, Wish};
use crate::tools::{Outcome, Use};

fn asked(rig: &mut Rig, words: &str) {
    rig.listen();
    rig.say(words, 900);
}

fn used(rig: &Rig) -> Vec<&'static str> {
    let used = rig.events.iter().filter_map(|(_, kind)| match kind {
        EventKind::ToolUsed { outcome, .. } => Some(outcome.name()),
        _ => None,
    });
    used.collect()
}

fn requested(rig: &Rig) -> usize {
    rig.outputs.iter().filter(|output| matches!(output, Output::UseTool { .. })).count()
}

#[test]
fn a_turn_is_thought_on_when_all_its_tools_have_answered() {
    let mut rig = Rig::new(&[]);
    asked(&mut rig, "查车");
    rig.listen();
    assert_eq!(rig.last_said(), "查到done和done。", "{:#?}", rig.events);
    assert_eq!((requested(&rig), used(&rig)), (2, vec!["done", "done"]));
    let took = rig.events.iter().any(|(_, kind)| {
        matches!(kind, EventKind::ToolUsed { took: Some(took), what, .. }
            if *took >= Duration::from_millis(200) && *what == lookup("沪A12345"))
    });
    assert!(took, "{:#?}", rig.events);
}

#[test]
fn no_tool_is_used_before_the_callers_turn_is_over() {
    let mut rig = Rig::new(&[]);
    asked(&mut rig, "查车");
    rig.wait(260);
    let speculated = rig.outputs.iter().any(|output| matches!(output, Output::Think { .. }));
    let ended = rig.has(|kind| matches!(kind, EventKind::SpeechEnded(_)));
    assert!(speculated && !ended, "the answer is speculated by now and the turn not over: {:#?}", rig.events);
    assert_eq!(requested(&rig), 0, "a tool was used for a turn that may go on");
    rig.ticks(true, Duration::from_millis(400));
    rig.wait(100);
    assert_eq!(requested(&rig), 0);
}

#[test]
fn a_slow_tool_is_announced_in_its_own_words_once() {
    let mut rig = Rig::new(&[]);
    rig.tool_delay = Some(Duration::from_millis(2500));
    asked(&mut rig, "查车");
    rig.wait(4000);
    let fillers: Vec<_> = rig
        .events
        .iter()
        .filter_map(|(_, kind)| match kind {
            EventKind::Filled { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(fillers, ["正在查车。"]);
    rig.listen();
    assert_eq!(rig.last_said(), "查到done和done。");
}

#[test]
fn a_tool_that_never_answers_is_given_up_and_the_turn_goes_on() {
    let mut rig = Rig::new(&[]);
    rig.tool_delay = None;
    asked(&mut rig, "查车");
    rig.wait(9000);
    assert_eq!(used(&rig), ["failed", "failed"], "{:#?}", rig.events);
    assert_eq!(rig.last_said(), "查到failed和failed。");
}

#[test]
fn what_a_tool_did_for_a_turn_that_was_cut_is_known_to_the_next() {
    let mut rig = Rig::new(&[]);
    rig.tool_delay = Some(Duration::from_millis(1500));
    asked(&mut rig, "查车");
    rig.wait(900);
    assert_eq!(requested(&rig), 2);
    // The caller speaks on before a word of the answer has left.
    rig.say("查车", 900);
    rig.wait(5000);
    let outcomes: Vec<_> = rig.call.used.iter().map(|used| used.outcome.clone()).collect();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Done(_))), "{outcomes:?}");
    assert!(outcomes.len() >= 2, "what was done is forgotten: {:#?}", rig.events);
}

#[test]
fn a_mind_that_asks_for_tools_without_end_is_stopped() {
    let mut rig = Rig::new(&[]);
    asked(&mut rig, "转圈");
    rig.wait(8000);
    assert!(requested(&rig) <= 8, "{} requests", requested(&rig));
    assert!(
        rig.has(|kind| matches!(kind, EventKind::Fault { part, .. } if part == "mind")),
        "{:#?}",
        rig.events
    );
    assert!(!rig.last_said().is_empty(), "the caller hears nothing");
}

#[test]
fn words_that_answer_what_the_mind_asked_are_waited_for_less() {
    let silence = |words: &str| {
        let mut rig = Rig::new(&[]);
        asked(&mut rig, words);
        rig.wait(2500);
        let ended = rig.events.iter().find_map(|(_, kind)| match kind {
            EventKind::SpeechEnded(why) => Some(why.silence_ms),
            _ => None,
        });
        ended.expect("the turn ends")
    };
    let (answer, other) = (silence("第一家嗯"), silence("第八样嗯"));
    assert!(answer <= 580 && other > answer, "{answer} ms after an answer, {other} ms after other words");
}

/// Looks up who calls, and values whom it has found.
struct Valued;

impl Mind for Valued {
    fn think(&self, _: Ask, _: Box<dyn FnMut(Thought) + Send>) {}
    fn summarize(&self, _: &Facts<'_>) -> String {
        String::new()
    }
    fn look_up(&self, facts: &Facts<'_>) -> Option<Use> {
        facts.used.is_empty().then(|| lookup("沪A12345"))
    }
    fn worth(&self, facts: &Facts<'_>) -> u8 {
        if facts.used.is_empty() { 0 } else { 3 }
    }
}

#[test]
fn a_waiting_caller_who_turns_out_to_be_a_better_customer_moves_up() {
    let settings = Settings { mind: Arc::new(Valued), ..settings() };
    let mut rig = Rig::with(settings, &["sip:1001@pbx"], Some("13800138000"), true);
    // The only seat has another caller.
    rig.queue.wish(rig.now, "other", Wish::Enter(Need::default()));
    while rig.queue.poll().is_some() {}
    asked(&mut rig, "转人工");
    rig.wait(2000);
    let values: Vec<u8> = rig
        .outputs
        .iter()
        .filter_map(|output| match output {
            Output::Queue(Wish::Enter(need) | Wish::Change(need)) => Some(need.value),
            _ => None,
        })
        .collect();
    assert_eq!(values, [0, 3], "{:#?}", rig.events);
    assert_eq!((requested(&rig), used(&rig)), (1, vec!["done"]));
}
