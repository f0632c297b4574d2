//! Verdicts for people (a table), for programs (JSON) and for CI (JUnit).

use std::fmt::Write;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::dialogue::Who;

use super::judge::{Line, Verdict};
use super::text::{cut, pad, width};

/// One line a fixture, its failures below, and the sum at the end; at most `columns` wide (at least 60).
pub fn table(verdicts: &[Verdict], columns: usize) -> String {
    let columns = columns.max(60);
    let name = verdicts.iter().map(|verdict| width(&verdict.fixture)).max().unwrap_or(0).clamp(7, 24);
    let title = columns.saturating_sub(name + 45).clamp(8, 40);
    let mut out = String::new();
    let head =
        [pad("fixture", name), pad("what", title), format!("{:>7}", "call"), "answers p50/p95 ms".into()];
    let _ = writeln!(out, "       {}  {}  stop p50/max ms", head[..3].join("  "), head[3]);
    for verdict in verdicts {
        let mark = if verdict.passed() { "ok    " } else { "FAILED" };
        let length = format!("{:>6.1}s", verdict.duration_ms as f64 / 1000.0);
        let answers = pair(verdict.turn_latency.p50_ms, verdict.turn_latency.p95_ms);
        let stops = pair(verdict.barge_in_stop.p50_ms, verdict.barge_in_stop.max_ms);
        let row = [pad(&verdict.fixture, name), pad(&verdict.title, title), length];
        let _ = writeln!(out, "{mark} {}  {answers:>18}  {stops:>15}", row.join("  "));
        for failure in &verdict.failures {
            let _ = writeln!(out, "         - {failure}");
        }
    }
    let failed = verdicts.iter().filter(|verdict| !verdict.passed()).count();
    let _ = writeln!(out, "{} passed, {failed} failed", verdicts.len() - failed);
    out
}

/// The conversation of one fixture, one line a turn, at most `columns` wide (at least 60).
pub fn conversation(verdict: &Verdict, columns: usize) -> String {
    let columns = columns.max(60);
    let mut out = String::new();
    for line in &verdict.lines {
        let head = format!("{:>6.1}s  {}  ", line.at_ms as f64 / 1000.0, pad(who(line.who), 6));
        let tail = details(line);
        let room = columns.saturating_sub(width(&head) + width(&tail) + 2).max(20);
        let _ = writeln!(out, "{head}{}  {tail}", pad(&line.text, room));
        if let Some(said) = line.said.as_deref().filter(|_| line.cer.is_some_and(|cer| cer > 0.0)) {
            let room = columns.saturating_sub(24);
            let _ = writeln!(out, "         really  {}", cut(said, room));
        }
    }
    out
}

/// All of it, as a JSON array.
pub fn json(verdicts: &[Verdict]) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(verdicts)
}

/// A JUnit report with one test case a fixture; `suite` names the suite.
pub fn junit(suite: &str, verdicts: &[Verdict]) -> Result<String, quick_junit::SerializeError> {
    let mut cases = TestSuite::new(suite);
    for verdict in verdicts {
        let status = if verdict.passed() {
            TestCaseStatus::success()
        } else {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(verdict.failures.first().cloned().unwrap_or_default());
            status.set_description(verdict.failures.join("\n"));
            status
        };
        let mut case = TestCase::new(verdict.fixture.clone(), status);
        case.set_classname(suite);
        case.set_time(Duration::from_millis(verdict.duration_ms));
        case.set_system_out(conversation(verdict, 100));
        cases.add_test_case(case);
    }
    let mut report = Report::new(suite);
    report.add_test_suite(cases);
    report.to_string()
}

fn pair(one: Option<u64>, other: Option<u64>) -> String {
    let say = |time: Option<u64>| time.map_or("–".into(), |time| time.to_string());
    format!("{}/{}", say(one), say(other))
}

fn who(who: Who) -> &'static str {
    match who {
        Who::Caller => "caller",
        Who::Bot => "bot",
        Who::Seat => "seat",
    }
}

fn details(line: &Line) -> String {
    let mut parts = Vec::new();
    parts.extend(line.cer.map(|cer| format!("CER {:.0} %", cer * 100.0)));
    parts.extend(line.turn_latency_ms.map(|latency| format!("after {latency} ms")));
    parts.extend(line.note.as_deref().map(|note| cut(note, 34)));
    parts.extend(line.interrupted.then(|| "interrupted".into()));
    parts.join(", ")
}
