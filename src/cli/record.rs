//! `nightline calls list|show`: what is stored of calls.
//!
//! The list masks numbers; `show` is asked for by name and shows them.

use std::fmt::Write as _;
use std::io::Write;

use super::exit;
use super::waterfall::{reasons, strongest, waterfall, wrap};
use crate::asr::Engine;
use crate::call::event::{EventKind, LegId};
use crate::dialogue::{Who, Why};
use crate::qa::{pad, width};
use crate::record::{CallRecord, ToolRecord, TurnRecord, name_of};
use crate::store::{Store, StoredCall};
use crate::tools::Outcome;

/// Subcommands of `nightline calls`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum CallsCommand {
    /// The newest calls, newest first.
    List {
        /// How many.
        #[arg(long, short = 'n', default_value_t = 20)]
        limit: u32,
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// One call: who said what, when, and where the time went.
    Show {
        /// Its id, or enough of its beginning.
        id: String,
        /// The whole record as JSON.
        #[arg(long)]
        json: bool,
        /// Every event as well.
        #[arg(long)]
        events: bool,
        /// How many columns may be used; the terminal's, or 80, if not given.
        #[arg(long)]
        width: Option<usize>,
    },
}

impl CallsCommand {
    /// Runs on `store` ([`Store::read`]). Gives the exit code.
    pub async fn run(&self, store: &Store, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<u8> {
        match self {
            Self::List { limit, json } => {
                let calls = store.calls(*limit).await?;
                if *json {
                    print_json(&calls, out)?;
                    return Ok(0);
                }
                let mut rows = vec![["ID", "STARTED", "DOOR", "TENANT", "LENGTH", "ENDED"].map(String::from)];
                rows.extend(calls.iter().map(|call| {
                    let ended = call.disposition.map_or_else(|| "running".into(), |d| name(&d));
                    [
                        call.id.clone(),
                        call.started.clone(),
                        call.door.clone(),
                        call.tenant.clone(),
                        clock(call.duration_ms),
                        ended,
                    ]
                }));
                write!(out, "{}", table(&rows))?;
                Ok(0)
            }
            Self::Show { id, json, events, width } => {
                let Some(call) = store.call(id).await? else {
                    writeln!(
                        err,
                        "error: there is no call {id}: `nightline calls list` shows what there is"
                    )?;
                    return Ok(exit::NO_INPUT);
                };
                match (json, events) {
                    (true, true) => print_json(&call, out)?,
                    (true, false) => print_json(&call.record, out)?,
                    (false, events) => {
                        let columns = width.unwrap_or_else(terminal_columns);
                        write!(out, "{}", transcript(&call, *events, columns))?;
                    }
                }
                Ok(0)
            }
        }
    }
}

/// A call as a person reads it, in `columns` columns if that is enough for anything.
fn transcript(call: &StoredCall, events: bool, columns: usize) -> String {
    let record = &call.record;
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = head(&mut out, record);
    let mut tools = record.tools.iter().peekable();
    for turn in &record.turns {
        // A tool that was used for a turn stands before the bot's words.
        while let Some(tool) = tools.next_if(|tool| tool.at_ms <= turn.began_ms) {
            let _ = tool_line(&mut out, tool, columns);
        }
        let _ = line(&mut out, turn, columns);
    }
    for tool in tools {
        let _ = tool_line(&mut out, tool, columns);
    }
    let _ = tail(&mut out, record);
    if events {
        let _ = writeln!(out, "\nevents");
        for event in &call.events {
            let at = seconds(event.at.since_start().as_millis() as u64);
            let _ = writeln!(out, "  {at:>8}  {}", told(&event.kind));
        }
    }
    out
}

fn head(out: &mut String, record: &CallRecord) -> std::fmt::Result {
    let info = &record.info;
    writeln!(out, "call {}", info.id)?;
    writeln!(out, "  {} → {}, by {}, tenant {}", info.from, info.to, info.door, info.tenant)?;
    let ended = record.disposition.map_or_else(|| "running".into(), |d| name(&d));
    writeln!(out, "  {}, {}, {ended}\n", info.started, clock(record.duration_ms))
}

/// What is said stands in this column, after the moment and who said it.
const SAID: usize = 20;
/// On a narrower terminal notes stand further left.
const NARROW: usize = 60;

fn line(out: &mut String, turn: &TurnRecord, columns: usize) -> std::fmt::Result {
    let who = match turn.who {
        Who::Caller => "caller",
        Who::Bot => "bot",
        Who::Seat => "seat",
    };
    let text = turn.written.as_ref().unwrap_or(&turn.text);
    let text = if text.is_empty() { "(nothing was heard)" } else { text };
    let cut = if turn.interrupted { " —" } else { "" };
    let head = format!("  {:>8}  {who:<6}  ", seconds(turn.began_ms));
    block(out, &head, SAID, &format!("{text}{cut}"), columns)?;
    let mut notes = Vec::new();
    if let Some(confidence) = turn.confidence {
        notes.push(format!("confidence {confidence:.2}"));
    }
    if let Some(engine) = turn.engine.filter(|engine| *engine != Engine::Whisper) {
        notes.push(format!("heard by {engine}"));
    }
    if let Some(topic) = &turn.topic {
        notes.push(topic.clone());
    }
    if !turn.sources.is_empty() {
        notes.push(turn.sources.join(", "));
    }
    let indent = if columns < NARROW { 4 } else { SAID };
    let bullet = format!("{:indent$}· ", "");
    block(out, &bullet, indent + 2, &notes.join(" · "), columns)?;
    for why in explained(&turn.why) {
        block(out, &bullet, indent + 2, &why, columns)?;
    }
    if let Some(why) = &turn.end_of_turn {
        block(out, &bullet, indent + 2, &reasons(why, &name(&why.because)), columns)?;
    }
    if let Some(timings) = &turn.timings {
        write!(out, "{}", waterfall(timings, indent, columns))?;
    }
    Ok(())
}

/// A use of a tool: what was asked for, what came of it, and how long it took.
fn tool_line(out: &mut String, tool: &ToolRecord, columns: usize) -> std::fmt::Result {
    let arguments = tool.what.arguments.iter().map(|(name, value)| match value {
        serde_json::Value::String(text) => format!("{name}: {text}"),
        other => format!("{name}: {other}"),
    });
    let arguments = arguments.collect::<Vec<_>>().join(", ");
    let came = match &tool.outcome {
        Outcome::Refused { code, .. } => format!("refused, {code}"),
        Outcome::Failed(why) | Outcome::Invalid(why) => format!("{}, {why}", tool.outcome.name()),
        Outcome::Done(_) => tool.outcome.name().to_owned(),
    };
    let took = tool.took_ms.map_or_else(|| "no answer in time".into(), |ms| format!("{ms} ms"));
    let head = format!("  {:>8}  {:<6}  ", seconds(tool.at_ms), "tool");
    block(out, &head, SAID, &format!("{}({arguments}) → {came}, {took}", tool.what.tool), columns)
}

/// How a turn came to its confidence, and what it made of the caller's mood: what weighed most for it (+) or against it (-), in
/// log-odds.
fn explained(why: &Why) -> Vec<String> {
    let mut lines = Vec::new();
    if !why.logits.is_empty() {
        lines.push(format!("confidence from {}", strongest(&why.logits)));
    }
    if let Some(mood) = &why.mood {
        lines.push(format!("mood {:.2}: {}", mood.level, strongest(&mood.logits)));
    }
    lines
}

/// `text` after `head`, its further lines `indent` from the left; nothing if it is empty.
fn block(out: &mut String, head: &str, indent: usize, text: &str, columns: usize) -> std::fmt::Result {
    /// A column narrower than this is not read but spelled.
    const LEAST: usize = 10;
    let mut head = head.to_owned();
    for line in wrap(text, columns.saturating_sub(indent).max(LEAST)) {
        writeln!(out, "{head}{line}")?;
        head = " ".repeat(indent);
    }
    Ok(())
}

/// The width of the terminal on standard output; 80 if it is none.
fn terminal_columns() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    size.ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(80)
}

fn tail(out: &mut String, record: &CallRecord) -> std::fmt::Result {
    writeln!(out)?;
    writeln!(out, "  interruptions: {} real, {} not", record.barge_ins, record.false_barge_ins)?;
    if !record.dtmf.is_empty() {
        writeln!(out, "  keys: {}", record.dtmf)?;
    }
    if let Some(handoff) = &record.handoff {
        let outcome = handoff.outcome.map_or_else(|| "not ended".into(), |o| name(&o));
        let bridged = handoff.bridged_ms.map_or(String::new(), |ms| format!(", joined at {}", seconds(ms)));
        writeln!(
            out,
            "  handoff: {} → {outcome}{bridged}, seats tried: {}",
            name(&handoff.reason),
            if handoff.seats.is_empty() { "none".into() } else { handoff.seats.join(", ") }
        )?;
        for failed in &handoff.failed {
            let code = failed.code.map_or_else(String::new, |code| format!(" (SIP {code})"));
            let at = seconds(failed.at_ms);
            writeln!(out, "    {} did not come at {at}: {}{code}", failed.seat, name(&failed.outcome))?;
        }
        if let Some(summary) = &handoff.summary {
            writeln!(out, "  told to the seat: {summary}")?;
        }
    }
    if let Some(callback) = &record.callback {
        writeln!(out, "  call-back: {} at {}", callback.number, callback.when)?;
    }
    for note in &record.notes {
        let who = name(&note.leg);
        writeln!(out, "  {who} at {}: {}", seconds(note.began_ms), note.text)?;
    }
    for message in &record.messages {
        writeln!(out, "  message at {}: {}", seconds(message.began_ms), message.text)?;
    }
    if let Some(wrap_up) = &record.wrap_up {
        let topic = wrap_up.topic.as_deref().unwrap_or("no matter");
        writeln!(out, "  about: {topic}. {}", wrap_up.summary)?;
        if let Some(order) = &wrap_up.order {
            writeln!(out, "  to do: {} {}", order.tool, serde_json::Value::Object(order.arguments.clone()))?;
        }
    }
    if let Some(rating) = &record.rating {
        writeln!(
            out,
            "  rated {} of 5{}",
            rating.score,
            if rating.words.is_empty() { " by key" } else { "" }
        )?;
    }
    for media in &record.media {
        writeln!(
            out,
            "  {} leg: {}, {} received, {} lost, {} late, {} concealed, jitter {:.1} ms, {} sent",
            media.leg,
            media.codec,
            media.received,
            media.lost,
            media.late,
            media.concealed,
            media.jitter_ms,
            media.sent
        )?;
    }
    for fault in &record.faults {
        writeln!(out, "  survived: {fault}")?;
    }
    if let Some(path) = &record.recording {
        writeln!(out, "  recording: {path}")?;
    }
    Ok(())
}

/// An event in a line: its name, then its values.
fn told(kind: &EventKind) -> String {
    if let EventKind::Dtmf { leg, digit } = kind {
        let leg = if *leg == LegId::Caller { "caller" } else { "seat" };
        return format!("dtmf {digit} by the {leg}");
    }
    match serde_json::to_value(kind) {
        Ok(serde_json::Value::Object(mut map)) => {
            let event = map.remove("event").and_then(|e| e.as_str().map(String::from)).unwrap_or_default();
            map.iter().fold(event, |line, (key, value)| format!("{line} {key}={value}"))
        }
        _ => format!("{kind:?}"),
    }
}

/// The name of a value without data, in words.
fn name(value: &impl serde::Serialize) -> String {
    name_of(value).replace('_', " ")
}

/// `1:02:03` or `2:03`.
pub(super) fn clock(ms: u64) -> String {
    let s = ms / 1000;
    if s >= 3600 {
        format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
    } else {
        format!("{}:{:02}", s / 60, s % 60)
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{:02} s", ms / 1000, ms % 1000 / 10)
}

/// Columns as wide as their widest cell.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] =
        std::array::from_fn(|i| rows.iter().map(|row| width(&row[i])).max().unwrap_or(0));
    let mut out = String::new();
    for row in rows {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, wide)| pad(cell, wide)).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

pub(super) fn print_json(value: &impl serde::Serialize, out: &mut dyn Write) -> anyhow::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::endpointing::{Because, EndOfTurn};
    use crate::call::event::{Disposition, Event, Timings, TurnId};
    use crate::clock::Time;
    use crate::record::{CallInfo, fold};
    use std::time::Duration;

    async fn store(folder: &tempfile::TempDir) -> Store {
        let store = Store::open(&folder.path().join("n.db")).await.unwrap();
        let at = |ms| Time::from_start(Duration::from_millis(ms));
        let timings = Timings {
            eou_delay: Some(Duration::from_millis(240)),
            turn_latency: Some(Duration::from_millis(390)),
            ..Timings::default()
        };
        let end_of_turn = EndOfTurn {
            silence_ms: 240,
            probability: 0.75,
            because: Because::Complete,
            logits: [("log_silence".to_owned(), 1.5)].into(),
        };
        let events = [
            EventKind::SpeechEnded(end_of_turn),
            EventKind::CallerSaid {
                turn: TurnId(1),
                text: "续航下降".into(),
                confidence: 0.91,
                engine: Engine::OpenAi,
                began: at(500),
                ended: at(1500),
            },
            EventKind::BotStarted { turn: TurnId(1), timings: Some(timings) },
            EventKind::BotSaid {
                turn: TurnId(1), text: "低温会".into(), interrupted: true, began: at(1890)
            },
            EventKind::Dtmf { leg: LegId::Caller, digit: '0' },
            EventKind::CallbackBooked { number: "13812345678".into(), when: "明天".into() },
            EventKind::Ended { disposition: Disposition::Callback },
        ]
        .into_iter()
        .enumerate()
        .map(|(i, kind)| Event { at: at(1500 + i as u64 * 500), kind })
        .collect::<Vec<_>>();
        let info = CallInfo {
            id: "0191-aa".into(),
            tenant: "nev".into(),
            from: "13812345678".into(),
            to: "4001".into(),
            door: "sip".into(),
            started: "2026-01-02T03:04:05Z".into(),
            ..CallInfo::default()
        };
        store.begin_call(&info).await.unwrap();
        store.append_events(&info.id, &events).await.unwrap();
        store.finish_call(&fold(&info, &events)).await.unwrap();
        store.book_callback(&info.id, "13812345678", "明天").await.unwrap();
        store
    }

    async fn run(command: CallsCommand) -> (u8, String, String) {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = command.run(&store, &mut out, &mut err).await.unwrap();
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[tokio::test]
    async fn the_list_shows_calls_without_numbers() {
        let (code, out, _) = run(CallsCommand::List { limit: 5, json: false }).await;
        assert_eq!(code, 0);
        assert_eq!(
            out,
            "ID       STARTED               DOOR  TENANT  LENGTH  ENDED\n\
             0191-aa  2026-01-02T03:04:05Z  sip   nev     0:04    callback\n"
        );
    }

    #[tokio::test]
    async fn a_call_is_shown_as_a_conversation_with_its_timings() {
        let (code, out, _) =
            run(CallsCommand::Show { id: "0191".into(), json: false, events: true, width: Some(80) }).await;
        assert_eq!(code, 0);
        assert_eq!(
            out,
            "call 0191-aa\n  \
               13812345678 → 4001, by sip, tenant nev\n  \
               2026-01-02T03:04:05Z, 0:04, callback\n\
             \n    \
               0.50 s  caller  续航下降\n                    \
                 · confidence 0.91 · heard by openai\n                    \
                 · over after 240 ms, 75 % sure, complete: silence=+1.50\n    \
               1.89 s  bot     低温会 —\n                    \
                 end of turn    240 ms  =======================\n                    \
                 on the line    390 ms                        ===============\n\
             \n  \
               interruptions: 0 real, 0 not\n  \
               keys: 0\n  \
               call-back: 13812345678 at 明天\n\
             \nevents\n    \
               1.50 s  speech_ended because=\"complete\" logits={\"log_silence\":1.5} probability=0.75 silence_ms=240\n    \
               2.00 s  caller_said began_ms=500 confidence=0.9100000262260437 ended_ms=1500 engine=\"openai\" text=\"续航下降\" turn=1\n    \
               2.50 s  bot_started timings={\"eou_delay_ms\":240,\"llm_ttft_ms\":null,\"transcription_delay_ms\":null,\
               \"tts_ttfb_ms\":null,\"turn_latency_ms\":390} turn=1\n    \
               3.00 s  bot_said began_ms=1890 interrupted=true text=\"低温会\" turn=1\n    \
               3.50 s  dtmf 0 by the caller\n    \
               4.00 s  callback_booked number=\"13812345678\" when=\"明天\"\n    \
               4.50 s  ended disposition=\"callback\"\n"
        );
    }

    #[tokio::test]
    async fn tools_and_reasons_stand_beside_what_was_said() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let mut call = store.call("0191").await.unwrap().unwrap();
        let arguments = serde_json::json!({"plate": "沪AD12345"}).as_object().cloned().unwrap();
        let what = crate::tools::Use { tool: "find_vehicle".into(), arguments, occasion: 1 };
        let tool = |at_ms, outcome, took_ms| ToolRecord { at_ms, what: what.clone(), outcome, took_ms };
        let refused = Outcome::Refused { code: "not_found".into(), answer: serde_json::Value::Null };
        call.record.tools =
            vec![tool(1700, Outcome::Done(serde_json::json!({})), Some(38)), tool(9000, refused, None)];
        let logits =
            |logits: &[(&str, f32)]| logits.iter().map(|(name, x)| ((*name).to_owned(), *x)).collect();
        call.record.turns[1].why = Why {
            logits: logits(&[("margin", 1.5), ("heard", -0.25)]),
            mood: Some(crate::dialogue::Mood { level: 0.62, logits: logits(&[("louder", 1.8)]) }),
        };
        let out = transcript(&call, false, 120);
        let lines: Vec<&str> = out.lines().map(str::trim).collect();
        let at =
            |line: &str| lines.iter().position(|l| *l == line).unwrap_or_else(|| panic!("{line}: {out}"));
        let used = at("1.70 s  tool    find_vehicle(plate: 沪AD12345) → done, 38 ms");
        let why = at("· confidence from margin=+1.50, heard=-0.25");
        assert!(used < why, "{out}");
        at("· mood 0.62: louder=+1.80");
        at("9.00 s  tool    find_vehicle(plate: 沪AD12345) → refused, not_found, no answer in time");
    }

    #[tokio::test]
    async fn on_a_narrow_terminal_notes_and_bars_stand_further_left() {
        let (_, out, _) =
            run(CallsCommand::Show { id: "0191".into(), json: false, events: false, width: Some(41) }).await;
        let turns = out.split("\n\n").nth(1).unwrap();
        assert_eq!(
            turns,
            "    0.50 s  caller  续航下降\n    \
                 · confidence 0.91 · heard by openai\n    \
                 · over after 240 ms, 75 % sure,\n      \
                   complete: silence=+1.50\n    \
               1.89 s  bot     低温会 —\n    \
                 end of turn    240 ms  =========\n    \
                 on the line    390 ms          ======"
        );
    }

    #[tokio::test]
    async fn a_call_in_json_is_its_record() {
        let (_, out, _) =
            run(CallsCommand::Show { id: "0191-aa".into(), json: true, events: false, width: None }).await;
        let record: CallRecord = serde_json::from_str(&out).unwrap();
        assert_eq!(record.turns.len(), 2);
        assert!(!out.contains("\"events\""));
        let (_, out, _) =
            run(CallsCommand::Show { id: "0191-aa".into(), json: true, events: true, width: None }).await;
        let call: StoredCall = serde_json::from_str(&out).unwrap();
        assert_eq!(call.events.len(), 7);
    }

    #[tokio::test]
    async fn an_unknown_call_exits_66_and_says_where_to_look() {
        let (code, out, err) =
            run(CallsCommand::Show { id: "zz".into(), json: true, events: false, width: None }).await;
        assert_eq!((code, out.as_str()), (exit::NO_INPUT, ""));
        assert_eq!(err, "error: there is no call zz: `nightline calls list` shows what there is\n");
    }
}
