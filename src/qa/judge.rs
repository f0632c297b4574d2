//! Compares a call with what its fixture expects.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::dialogue::{Act, Who};
use crate::record::{CallRecord, TurnRecord, name_of};

use super::caller::CallerReport;
use super::fixture::{Expect, ExpectedTurn, Fixture};
use super::text::character_error_rate;

/// What came of one fixture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The fixture's name.
    pub fixture: String,
    /// Its title.
    pub title: String,
    /// Mission rows that it shows.
    pub shows: Vec<String>,
    /// What was not as expected, one sentence each; empty: passed.
    pub failures: Vec<String>,
    /// The conversation.
    pub lines: Vec<Line>,
    /// Turn latency on the caller's side.
    pub turn_latency: Summary,
    /// Barge-in stop on the caller's side.
    pub barge_in_stop: Summary,
    /// Length of the call.
    pub duration_ms: u64,
}

/// One turn of the conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Whose.
    pub who: Who,
    /// Milliseconds since the answer.
    pub at_ms: u64,
    /// The words as recorded.
    pub text: String,
    /// Caller: what was really said, where the script tells.
    pub said: Option<String>,
    /// Caller: character error rate against it.
    pub cer: Option<f64>,
    /// Bot: cut short by the caller.
    pub interrupted: bool,
    /// Bot: the server's own turn latency.
    pub turn_latency_ms: Option<u64>,
    /// Bot: what it came to and why, in a few words.
    pub note: Option<String>,
}

/// Times in whole milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// How many.
    pub count: usize,
    /// Median.
    pub p50_ms: Option<u64>,
    /// 95th percentile (nearest rank).
    pub p95_ms: Option<u64>,
    /// Largest.
    pub max_ms: Option<u64>,
}

impl Verdict {
    /// True if nothing failed.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

impl Summary {
    /// Of these times.
    pub fn of(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut millis: Vec<u64> = times.into_iter().map(|time| time.as_millis() as u64).collect();
        millis.sort_unstable();
        let rank = |part: usize| millis.get((millis.len() * part).div_ceil(100).saturating_sub(1)).copied();
        Self { count: millis.len(), p50_ms: rank(50), p95_ms: rank(95), max_ms: millis.last().copied() }
    }
}

/// Compares the server's record and the caller's own measurements with what `fixture` expects.
pub fn judge(fixture: &Fixture, record: &CallRecord, caller: &CallerReport) -> Verdict {
    let expect = &fixture.expect;
    let mut failures = caller.trouble.clone();
    failures.extend(ending(expect, record));
    failures.extend(turns(expect, record));
    failures.extend(words(expect, record));
    failures.extend(times(expect, caller));
    let answered = caller.turns.iter().filter_map(|turn| turn.answered_after);
    let stopped = caller.turns.iter().filter_map(|turn| turn.overlap?.stopped_after);
    Verdict {
        fixture: fixture.name.clone(),
        title: fixture.title.clone(),
        shows: fixture.shows.clone(),
        failures,
        lines: lines(record, caller),
        turn_latency: Summary::of(answered),
        barge_in_stop: Summary::of(stopped),
        duration_ms: record.duration_ms,
    }
}

/// How the call ended and what was counted.
fn ending(expect: &Expect, record: &CallRecord) -> Vec<String> {
    let mut failures = Vec::new();
    if !expect.dispositions.is_empty()
        && !record.disposition.is_some_and(|disposition| expect.dispositions.contains(&disposition))
    {
        let wanted: Vec<_> = expect.dispositions.iter().map(name_of).collect();
        let got = record.disposition.as_ref().map_or("still running".into(), name_of);
        failures.push(format!("the call should end as {}, but is {got}", wanted.join(" or ")));
    }
    let reason = record.handoff.as_ref().map(|handoff| handoff.reason);
    if let Some(wanted) = expect.handoff_reason
        && wanted != reason
    {
        let say = |reason: Option<_>| reason.as_ref().map_or("none".into(), name_of);
        failures.push(format!(
            "the reason for the handoff should be {}, but is {}",
            say(wanted),
            say(reason)
        ));
    }
    let outcome = record.handoff.as_ref().and_then(|handoff| handoff.outcome);
    if let Some(wanted) = expect.handoff_outcome
        && outcome != Some(wanted)
    {
        let got = outcome.as_ref().map_or("not known".into(), name_of);
        failures.push(format!("the handoff should end as {}, but is {got}", name_of(&wanted)));
    }
    let number = record.callback.as_ref().map(|callback| callback.number.as_str());
    if let Some(wanted) = expect.callback.as_deref()
        && number != Some(wanted)
    {
        let got = number.map_or("none is booked".into(), |number| format!("it is {number}"));
        failures.push(format!("a call-back to {wanted} should be booked, but {got}"));
    }
    failures.extend(counted("barge-ins", expect.barge_ins, record.barge_ins));
    failures.extend(counted("false barge-ins", expect.false_barge_ins, record.false_barge_ins));
    if let Some(keys) = &expect.dtmf
        && *keys != record.dtmf
    {
        failures.push(format!("the keys {keys} should arrive, but these did: {:?}", record.dtmf));
    }
    failures
}

fn counted(what: &str, range: Option<(u64, u64)>, got: u32) -> Option<String> {
    let (min, max) = range?;
    let wanted = match (min, max) {
        _ if (min..=max).contains(&u64::from(got)) => return None,
        (min, u64::MAX) => format!("at least {min}"),
        (min, max) if min == max => min.to_string(),
        (min, max) => format!("{min} to {max}"),
    };
    Some(format!("there should be {wanted} {what}, but there are {got}"))
}

/// The expected turns, in order; others may lie between.
fn turns(expect: &Expect, record: &CallRecord) -> Vec<String> {
    let mut failures = Vec::new();
    let mut from = 0;
    for (n, expected) in expect.turns.iter().enumerate() {
        let rest = || record.turns.iter().enumerate().skip(from);
        let misfit = |turn| misfit(expected, turn);
        if let Some((at, _)) = rest().find(|(_, turn)| misfit(turn).is_none()) {
            from = at + 1;
            continue;
        }
        let who = match expected {
            ExpectedTurn::Caller { .. } => Who::Caller,
            ExpectedTurn::Bot { .. } => Who::Bot,
        };
        let of = rest().filter(|(_, turn)| turn.who == who);
        let closest = match expected {
            ExpectedTurn::Caller { said, .. } => of.min_by(|(_, a), (_, b)| {
                let cer = |turn: &TurnRecord| character_error_rate(said, &turn.text);
                cer(a).total_cmp(&cer(b))
            }),
            ExpectedTurn::Bot { .. } => of.into_iter().next(),
        };
        let why = closest.and_then(|(at, turn)| {
            let clock = turn.began_ms as f64 / 1000.0;
            Some(format!("turn {} at {clock:.1} s, “{}”: {}", at + 1, turn.text, misfit(turn)?))
        });
        let why = why.unwrap_or_else(|| "there is no such turn after the ones before it".into());
        failures.push(format!("expected turn {} ({}) is missing: {why}", n + 1, wanted(expected)));
        // The closest turn stands in for the missing one, so that one mistake is reported once.
        if let (Some((at, _)), ExpectedTurn::Caller { .. }) = (closest, expected) {
            from = at + 1;
        }
    }
    failures
}

fn wanted(expected: &ExpectedTurn) -> String {
    match expected {
        ExpectedTurn::Caller { said, .. } => format!("caller: {said}"),
        ExpectedTurn::Bot { topic, sources, act, contains, contains_any, interrupted } => {
            let mut parts = Vec::new();
            parts.extend(act.clone());
            parts.extend(topic.as_ref().map(|topic| format!("topic {topic}")));
            parts.extend((!sources.is_empty()).then(|| format!("source {}", sources.join(" or "))));
            parts.extend((!contains.is_empty()).then(|| contains.join(" and ")));
            parts.extend((!contains_any.is_empty()).then(|| contains_any.join(" or ")));
            parts.extend(interrupted.map(|yes| if yes { "interrupted" } else { "not interrupted" }.into()));
            format!("bot: {}", parts.join(", "))
        }
    }
}

/// Why `turn` is not the expected one; none if it is.
fn misfit(expected: &ExpectedTurn, turn: &TurnRecord) -> Option<String> {
    match expected {
        ExpectedTurn::Caller { said, cer_max } => {
            if turn.who != Who::Caller {
                return Some("not the caller's".into());
            }
            let cer = character_error_rate(said, &turn.text);
            (cer > *cer_max).then(|| format!("character error rate {cer:.2}, at most {cer_max:.2}"))
        }
        ExpectedTurn::Bot { topic, sources, act, contains, contains_any, interrupted } => {
            if turn.who != Who::Bot {
                return Some("not the bot's".into());
            }
            if let Some(act) = act
                && turn.act.as_ref().map(Act::name) != Some(act.as_str())
            {
                return Some(format!("its act is {}", turn.act.as_ref().map_or("none", Act::name)));
            }
            if let Some(topic) = topic
                && turn.topic.as_ref() != Some(topic)
            {
                return Some(format!("its topic is {}", turn.topic.as_deref().unwrap_or("none")));
            }
            if !sources.is_empty() && !sources.iter().any(|source| turn.sources.contains(source)) {
                return Some(format!("its sources are [{}]", turn.sources.join(", ")));
            }
            if let Some(missing) = contains.iter().find(|words| !turn.text.contains(words.as_str())) {
                return Some(format!("it lacks “{missing}”"));
            }
            if !contains_any.is_empty() && !contains_any.iter().any(|words| turn.text.contains(words)) {
                return Some(format!("it has none of “{}”", contains_any.join("”, “")));
            }
            let cut = turn.interrupted;
            (interrupted.is_some_and(|wanted| wanted != cut))
                .then(|| if cut { "it was interrupted" } else { "it was not interrupted" }.into())
        }
    }
}

fn words(expect: &Expect, record: &CallRecord) -> Vec<String> {
    let said = |word: &&String| {
        record.turns.iter().any(|turn| turn.who == Who::Bot && turn.text.contains(word.as_str()))
    };
    expect
        .absent
        .iter()
        .filter(said)
        .map(|word| format!("the bot said “{word}”, which it must not"))
        .collect()
}

fn times(expect: &Expect, caller: &CallerReport) -> Vec<String> {
    let mut failures = Vec::new();
    for turn in &caller.turns {
        if let (Some(max), Some(took)) = (expect.turn_latency_max, turn.answered_after)
            && took > max
        {
            let (took, max) = (took.as_millis(), max.as_millis());
            failures.push(format!("“{}” was answered after {took} ms, at most {max} ms", turn.text));
        }
        let stopped = turn.overlap.and_then(|overlap| overlap.stopped_after);
        if let (Some(max), Some(took), true) =
            (expect.barge_in_stop_max, stopped, turn.answered_after.is_some())
            && took > max
        {
            let (took, max) = (took.as_millis(), max.as_millis());
            failures.push(format!("the bot spoke on for {took} ms into “{}”, at most {max} ms", turn.text));
        }
    }
    failures
}

/// The conversation, with what the script knows about each turn.
fn lines(record: &CallRecord, caller: &CallerReport) -> Vec<Line> {
    record
        .turns
        .iter()
        .map(|turn| {
            let spoken = (turn.who == Who::Caller).then(|| said_at(turn, caller)).flatten();
            let latency = turn.timings.and_then(|timings| timings.turn_latency);
            Line {
                who: turn.who,
                at_ms: turn.began_ms,
                text: turn.text.clone(),
                cer: spoken.as_ref().map(|said| character_error_rate(said, &turn.text)),
                said: spoken,
                interrupted: turn.interrupted,
                turn_latency_ms: latency.map(|latency| latency.as_millis() as u64),
                note: turn.act.as_ref().map(|act| {
                    let sources = turn.sources.join(" ");
                    format!("{} {sources}", act.name()).trim().to_owned()
                }),
            }
        })
        .collect()
}

/// What the caller really said in a recorded turn: its utterances that overlap it in time. The two clocks differ by the
/// answer's way through the network, so a little tolerance is given.
fn said_at(turn: &TurnRecord, caller: &CallerReport) -> Option<String> {
    const SKEW_MS: u64 = 250;
    let overlaps =
        |began: u64, ended: u64| began <= turn.ended_ms + SKEW_MS && turn.began_ms <= ended + SKEW_MS;
    let said: Vec<_> = caller
        .turns
        .iter()
        .filter(|said| overlaps(said.began_ms, said.ended_ms))
        .map(|said| said.text.as_str())
        .collect();
    (!said.is_empty()).then(|| said.join(" "))
}
