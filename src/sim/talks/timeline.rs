//! A conversation as lines of text, in the order of the call's clock.

use std::fmt::Write;

use super::{Outcome, What};
use crate::call::event::EventKind;
use crate::clock::Time;

/// What sounded, what the call made of it, and which promises it broke, one line each.
pub fn timeline(outcome: &Outcome) -> String {
    let mut lines: Vec<(Time, String)> = Vec::new();
    for (laid, arrival) in &outcome.laid {
        let what = match laid.what {
            What::Turn => "says",
            What::Interruption => "interrupts",
            What::Backchannel => "murmurs",
            What::Cough => "coughs",
            What::SideTalk => "beside",
        };
        let over = laid.over.map(|turn| format!(" over turn {}", turn.0)).unwrap_or_default();
        let protected = if laid.protected { " (protected)" } else { "" };
        lines.push((arrival.from, format!("    caller {what} {}{over}{protected}", laid.text)));
        if laid.what != What::Backchannel {
            lines.push((arrival.to, "    caller … ends".into()));
        }
    }
    lines.extend(outcome.events.iter().map(|event| (event.at, words(&event.kind))));
    lines.extend(outcome.broken.iter().map(|broken| (broken.at, format!("BROKEN {}", broken.what))));
    lines.sort_by_key(|(at, _)| *at);
    if outcome.hung_up {
        lines.push((Time::from_start(outcome.length), "    caller hangs up".into()));
    }
    let mut text = String::new();
    for (at, line) in lines {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:>9.2} s  {line}", at.since_start().as_secs_f64());
    }
    text
}

fn words(kind: &EventKind) -> String {
    match kind {
        EventKind::Answered => "answered".into(),
        EventKind::SpeechStarted => "hears speech".into(),
        EventKind::SpeechEnded(why) => format!(
            "takes the turn for over after {} ms ({:?}, {:.2})",
            why.silence_ms, why.because, why.probability
        ),
        EventKind::Partial(words) => format!("partial: {}|{}", words.committed, words.tentative),
        EventKind::CallerSaid { turn, text, confidence, .. } => {
            format!("turn {} answers: {text} ({confidence:.2})", turn.0)
        }
        EventKind::Decided { turn, act, .. } => format!("turn {} comes to {act:?}", turn.0),
        EventKind::Learned { known } => format!("knows {}", serde_json::Value::Object(known.clone())),
        EventKind::AnswerDropped { turn } => format!("turn {} is dropped unheard", turn.0),
        EventKind::BotStarted { turn, .. } => format!("BOT begins turn {}", turn.0),
        EventKind::Filled { text, .. } => format!("BOT fills: {text}"),
        EventKind::BotSaid { turn, text, interrupted, .. } => {
            let how = if *interrupted { "is cut in" } else { "ends" };
            format!("BOT {how} turn {}: {text}", turn.0)
        }
        EventKind::BargeInStarted { turn } => format!("BOT pauses turn {}", turn.0),
        EventKind::BargeInRejected { turn, text, why } => {
            format!("BOT resumes turn {} ({:?}): {text}", turn.0, why.because)
        }
        EventKind::BargeInConfirmed { turn, why } => {
            format!("BOT yields turn {} ({:?})", turn.0, why.because)
        }
        EventKind::Ended { disposition } => format!("ended: {disposition:?}"),
        other => format!("{other:?}"),
    }
}
