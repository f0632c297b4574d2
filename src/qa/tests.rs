use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::call::event::{Disposition, HandoffOutcome};
use crate::clock::Time;
use crate::dialogue::{Act, Reason, Who};
use crate::media::{FRAME, FRAME_TIME, Frame};
use crate::record::{CallInfo, CallRecord, HandoffRecord, TurnRecord};

const HEAD: &str = "title = \"t\"\nlanguage = \"zh\"\n";

/// Two utterances of one second each, at 300 ms and 1600 ms, loud throughout.
fn voice() -> Arc<[i16]> {
    let mut voice = vec![0; 16 * 2900];
    voice[16 * 300..16 * 1300].fill(5000);
    voice[16 * 1600..16 * 2600].fill(5000);
    voice.into()
}

fn fixture(body: &str) -> Fixture {
    Fixture::parse("t", "t.toml", &format!("{HEAD}{body}"), voice()).unwrap()
}

fn mistake(body: &str) -> String {
    Fixture::parse("t", "t.toml", &format!("{HEAD}{body}"), voice()).unwrap_err().to_string()
}

const FIRST: &str = "[[step]]\nsay = \"一\"\nfrom_ms = 300\nto_ms = 1300\n";
const SECOND: &str = "[[step]]\nsay = \"二\"\nfrom_ms = 1600\nto_ms = 2600\n";

/// Runs `caller` against a bot that speaks in these spans of milliseconds; gives what was done when.
fn run(caller: &mut ScriptedCaller, bot: &[(u64, u64)], millis: u64) -> Vec<(u64, String)> {
    let mut done = Vec::new();
    for n in 0..millis / 20 {
        let heard = frame(|sample| {
            let at = (n * FRAME as u64 + sample) * 1000 / 16_000;
            bot.iter().any(|(from, to)| (*from..*to).contains(&at))
        });
        let step = caller.step(Time::ZERO + FRAME_TIME * n as u32, &heard);
        done.extend(step.note.map(|note| (n * 20, note.text)));
        if step.hang_up {
            break;
        }
    }
    done
}

fn frame(loud: impl Fn(u64) -> bool) -> Frame {
    let mut frame = Frame::SILENCE;
    for (n, sample) in frame.0.iter_mut().enumerate() {
        *sample = if loud(n as u64) { 4000 } else { 0 };
    }
    frame
}

#[test]
fn a_step_waits_until_the_bot_is_done() {
    let mut caller = ScriptedCaller::new(fixture(&format!("{FIRST}when = \"bot_done\"\n")));
    let done = run(&mut caller, &[(500, 1500), (2000, 3000)], 5000);
    assert_eq!(
        done,
        [(3700, "says 一".to_owned())],
        "the pause of 500 ms is not the end; 700 ms of silence are"
    );
}

#[test]
fn an_interruption_comes_so_many_milliseconds_into_the_bots_turn() {
    let mut caller =
        ScriptedCaller::new(fixture(&format!("{FIRST}when = \"bot_speaking\"\nafter_ms = 800\n")));
    let done = run(&mut caller, &[(1000, 4000)], 5000);
    assert_eq!(done, [(1800, "says 一".to_owned())]);
}

#[test]
fn a_turn_is_measured_from_the_last_own_sound_to_the_bots_first() {
    let mut caller = ScriptedCaller::new(fixture(FIRST));
    run(&mut caller, &[(1413, 2000)], 3000);
    let report = caller.report();
    assert_eq!((report.turns[0].began_ms, report.turns[0].ended_ms), (0, 1000));
    assert_eq!(report.turns[0].answered_after, Some(Duration::from_millis(413)));
    assert_eq!(report.turns[0].overlap, None, "the bot was silent when the caller began");
}

#[test]
fn a_barge_in_is_measured_from_the_first_own_sound_to_the_bots_last() {
    let script = format!("{FIRST}when = \"bot_speaking\"\nafter_ms = 600\n");
    let mut caller = ScriptedCaller::new(fixture(&script));
    run(&mut caller, &[(0, 817), (2100, 3000)], 4000);
    let turn = &caller.report().turns[0];
    assert_eq!(turn.overlap.unwrap().stopped_after, Some(Duration::from_millis(217)));
    assert_eq!(turn.answered_after, Some(Duration::from_millis(500)));
}

#[test]
fn a_bot_that_speaks_on_has_neither_stopped_nor_answered() {
    let script = format!("{FIRST}when = \"bot_speaking\"\nafter_ms = 600\n");
    let mut caller = ScriptedCaller::new(fixture(&script));
    run(&mut caller, &[(0, 6000)], 5000);
    let turn = &caller.report().turns[0];
    assert_eq!((turn.overlap, turn.answered_after), (Some(Overlap::default()), None));
}

#[test]
fn pieces_said_one_after_another_keep_their_pauses() {
    let mut caller = ScriptedCaller::new(fixture(&format!("{FIRST}{SECOND}after_ms = 600\n")));
    let done = run(&mut caller, &[], 4000);
    assert_eq!(done, [(0, "says 一".to_owned()), (1600, "says 二".to_owned())]);
    assert_eq!(caller.report().turns[0].answered_after, None, "nobody answered between the pieces");
}

#[test]
fn a_cut_utterance_ends_there_and_the_caller_hangs_up() {
    let script = format!("{FIRST}cut_ms = 400\n[[step]]\nhang_up = true\n");
    let mut caller = ScriptedCaller::new(fixture(&script));
    let done = run(&mut caller, &[], 2000);
    assert_eq!(done, [(0, "says 一".to_owned()), (400, "hangs up".to_owned())]);
    assert!(caller.report().hung_up && caller.finished());
    assert!(caller.step(Time::ZERO, &Frame::SILENCE).hang_up, "it stays hung up");
}

#[test]
fn keys_are_pressed_one_at_a_time() {
    let mut caller = ScriptedCaller::new(fixture("[[step]]\npress = \"138\"\n"));
    let mut pressed = Vec::new();
    for n in 0..100u32 {
        let step = caller.step(Time::ZERO + FRAME_TIME * n, &Frame::SILENCE);
        pressed.extend(step.press.map(|key| (n * 20, key)));
    }
    assert_eq!(pressed, [(0, '1'), (260, '3'), (520, '8')]);
    assert_eq!(caller.report().keys, "138");
}

#[test]
fn a_cue_that_never_comes_ends_the_call_with_an_explanation() {
    let script = format!("{FIRST}when = \"bot_done\"\ntimeout_ms = 1000\n");
    let mut caller = ScriptedCaller::new(fixture(&script));
    let done = run(&mut caller, &[], 5000);
    assert_eq!(done.last().unwrap().0, 1000);
    assert_eq!(caller.report().trouble, ["step 1 (say 一): its cue did not come in 1000 ms"]);
}

#[test]
fn a_call_that_ends_early_is_reported() {
    let mut caller = ScriptedCaller::new(fixture(&format!("{FIRST}when = \"bot_done\"\n")));
    run(&mut caller, &[], 1000);
    assert_eq!(caller.report().trouble, ["the call ended while step 1 (say 一) waited (1000 ms)"]);
}

#[test]
fn the_lines_noise_is_heard_whenever_the_caller_is_silent() {
    let mut voice = voice().to_vec();
    voice[16 * 2700..].fill(77);
    let script = format!("{HEAD}[room]\nfrom_ms = 2700\nto_ms = 2900\n{FIRST}after_ms = 100\n");
    let fixture = Fixture::parse("t", "t.toml", &script, voice.into()).unwrap();
    let mut caller = ScriptedCaller::new(fixture);
    let frames: Vec<_> = (0..100).map(|_| caller.step(Time::ZERO, &Frame::SILENCE).frame).collect();
    let levels: Vec<_> = frames.iter().map(|frame| (frame.0[0], frame.0[FRAME - 1])).collect();
    assert_eq!((levels[0], levels[10], levels[60]), ((77, 77), (5000, 5000), (77, 77)));
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
    assert_eq!(
        mistake(&format!("{FIRST}timeout = 3\n")),
        "t.toml:7: [[step]] 1 has an unknown key `timeout`; did you mean `timeout_ms`?"
    );
    assert_eq!(
        mistake(&format!("{FIRST}[expect]\n[[expect.turn]]\nbanana = 1\n")),
        "t.toml:9: [[turn]] 1 has an unknown key `banana`; \
         known are said, topic, source, act, contains, contains_any, interrupted"
    );
}

#[test]
fn wrong_values_say_what_is_wanted() {
    for (body, want) in [
        ("[[step]]\nsay = 3\n", "t.toml:4: `say` in [[step]] 1 must be a string in quotes"),
        ("[[step]]\nwait_ms = -1\n", "t.toml:4: `wait_ms` in [[step]] 1 must be whole milliseconds"),
        (
            "[[step]]\nwait_ms = 1\npress = \"1\"\n",
            "t.toml:3: a step has exactly one of `say`, `press`, `wait_ms`, `hang_up`; this has 2",
        ),
        (
            "[[step]]\nsay = \"x\"\nfrom_ms = 1\nto_ms = 9000\n",
            "t.toml:3: from_ms < to_ms <= 2900 (the recording's length) must hold",
        ),
        (
            "[[step]]\nwait_ms = 1\nwhen = \"bot_finished\"\n",
            "t.toml:5: `when` in [[step]] 1 must be one of \"bot_done\", \"bot_speaking\", \"after_previous\"",
        ),
        ("", "t.toml:1: the script has no [[step]]: the caller would do nothing"),
        (
            "[network]\nloss = 5\n[[step]]\nwait_ms = 1\n",
            "t.toml:4: `loss` in [network] must be a number from 0 to 1",
        ),
    ] {
        assert_eq!(mistake(body), want);
    }
    let unknown = mistake("[[step]]\nwait_ms = 1\n[expect]\ndisposition = \"lost\"\n");
    assert!(unknown.contains("unknown variant `lost`, expected one of `contained`"), "{unknown}");
    let broken = mistake("[[step]\n");
    assert!(broken.starts_with("t.toml:3: "), "{broken}");
}

#[test]
fn a_recording_that_is_not_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("x.toml");
    assert!(Fixture::load(&script).unwrap_err().to_string().contains("cannot be read"));
    std::fs::write(&script, format!("{HEAD}[[step]]\nwait_ms = 1\n")).unwrap();
    std::fs::write(folder.path().join("x.wav"), b"not audio").unwrap();
    let error = Fixture::load(&script).unwrap_err().to_string();
    assert!(error.contains("x.wav: is not a readable WAV"), "{error}");
    let spec = hound::WavSpec {
        sample_rate: 16_000,
        channels: 2,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    hound::WavWriter::create(folder.path().join("x.wav"), spec).unwrap().finalize().unwrap();
    let error = Fixture::load(&script).unwrap_err().to_string();
    assert!(error.contains("is 16000 Hz, 2 channels, 16 bits; a fixture is 8000 Hz"), "{error}");
}

#[test]
fn every_fixture_in_the_tree_loads_and_says_what_must_happen() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let fixtures = Fixture::load_all(&folder).unwrap();
    assert!(fixtures.len() >= 14, "only {} fixtures in {}", fixtures.len(), folder.display());
    for fixture in &fixtures {
        let name = &fixture.name;
        assert_ne!(fixture.expect, Expect::default(), "{name} expects nothing");
        assert!(!fixture.shows.is_empty(), "{name} does not say which mission rows it shows");
        let says = |step: &Step| match &step.action {
            Action::Say(utterance) => Some(utterance.clone()),
            _ => None,
        };
        for utterance in fixture.steps.iter().filter_map(says) {
            let loudest = fixture.voice[utterance.span.clone()].iter().map(|s| s.unsigned_abs()).max();
            assert!(loudest > Some(3000), "{name}: “{}” is silent in the recording", utterance.text);
        }
    }
}

#[test]
fn the_manifest_tells_of_every_recording() {
    use sha2::Digest;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let manifest: toml::Table =
        std::fs::read_to_string(folder.join("MANIFEST.toml")).unwrap().parse().unwrap();
    for fixture in Fixture::load_all(&folder).unwrap() {
        let wav = std::fs::read(folder.join(format!("{}.wav", fixture.name))).unwrap();
        let entry = manifest.get(&fixture.name).unwrap_or_else(|| panic!("no entry for {}", fixture.name));
        let sum = format!("{:x}", sha2::Sha256::digest(&wav));
        assert_eq!(entry["sha256"].as_str(), Some(sum.as_str()), "{}.wav is not as recorded", fixture.name);
        for key in ["voice", "rate", "pitch", "seed", "licence"] {
            assert!(entry.get(key).is_some(), "{} has no `{key}`", fixture.name);
        }
    }
}

#[test]
fn character_errors_are_counted_without_punctuation_and_digit_forms() {
    let rate = |said, heard| (character_error_rate(said, heard) * 100.0).round() as i32;
    assert_eq!(rate("幺三八，零零", "138 00"), 0);
    assert_eq!(rate("I want a manager", "i want a manager."), 0);
    assert_eq!(rate("转人工", "转人"), 33);
    assert_eq!(rate("", "嗯"), 100);
}

#[test]
fn columns_count_a_chinese_character_twice() {
    assert_eq!(
        (width("转人工a"), pad("转人工", 8), cut("转人工客服", 7)),
        (7, "转人工  ".into(), "转人工…".into())
    );
    assert_eq!(width(&pad("转人工客服", 6)), 6);
}

fn turn(who: Who, text: &str) -> TurnRecord {
    TurnRecord {
        who,
        text: text.into(),
        written: None,
        began_ms: 0,
        ended_ms: 1000,
        interrupted: false,
        confidence: None,
        engine: None,
        end_of_turn: None,
        why: crate::dialogue::Why::default(),
        act: None,
        tier: None,
        topic: None,
        sources: Vec::new(),
        timings: None,
    }
}

fn record(turns: Vec<TurnRecord>) -> CallRecord {
    CallRecord {
        info: CallInfo::default(),
        duration_ms: 30_000,
        disposition: Some(Disposition::Transferred),
        turns,
        barge_ins: 1,
        false_barge_ins: 0,
        notes: Vec::new(),
        messages: Vec::new(),
        rating: None,
        wrap_up: None,
        handoff: Some(HandoffRecord {
            reason: Reason::Requested,
            seats: vec!["sip:seat".into()],
            failed: Vec::new(),
            summary: None,
            outcome: Some(HandoffOutcome::Accepted),
            referred: false,
            bridged_ms: Some(20_000),
        }),
        callback: None,
        tools: Vec::new(),
        dtmf: String::new(),
        held_ms: 0,
        faults: Vec::new(),
        media: Vec::new(),
        recording: None,
    }
}

fn good() -> CallRecord {
    let mut answer = turn(Who::Bot, "冬天续航会下降，");
    answer.act = Some(Act::Answer);
    answer.topic = Some("range".into());
    answer.sources = vec!["battery-winter".into()];
    answer.interrupted = true;
    let mut handoff = turn(Who::Bot, "好的，马上为您转接人工。");
    handoff.act = Some(Act::Handoff(Reason::Requested));
    record(vec![
        turn(Who::Bot, "您好"),
        turn(Who::Caller, "冬天续航不到两百公里"),
        answer,
        turn(Who::Caller, "转人工"),
        handoff,
    ])
}

const EXPECT: &str = "[[step]]
wait_ms = 1
[expect]
disposition = [\"transferred\", \"callback\"]
handoff = { reason = \"requested\", outcome = \"accepted\" }
barge_ins = { min = 1 }
false_barge_ins = 0
absent = [\"保证\"]
turn_latency_ms_max = 900
[[expect.turn]]
said = \"冬天续航不到两百公里\"
[[expect.turn]]
act = \"answer\"
topic = \"range\"
source = \"battery-winter\"
contains = \"续航\"
interrupted = true
[[expect.turn]]
said = \"转人工\"
[[expect.turn]]
act = \"handoff\"
contains_any = [\"人工\", \"坐席\"]
";

#[test]
fn a_call_that_is_as_expected_passes() {
    let verdict = judge(&fixture(EXPECT), &good(), &CallerReport::default());
    assert_eq!(verdict.failures, Vec::<String>::new());
    assert!(verdict.passed());
}

#[test]
fn every_failure_is_explained() {
    let mut bad = good();
    bad.disposition = Some(Disposition::Abandoned);
    bad.handoff.as_mut().unwrap().reason = Reason::LowConfidence;
    bad.handoff.as_mut().unwrap().outcome = None;
    bad.barge_ins = 0;
    bad.false_barge_ins = 2;
    bad.turns[1].text = "东天喜欢不到".into();
    bad.turns[2].text = "我们保证续航。".into();
    bad.turns[2].interrupted = false;
    let late = CallerTurn {
        text: "转人工".into(),
        began_ms: 0,
        ended_ms: 1,
        answered_after: Some(Duration::from_millis(1200)),
        overlap: None,
    };
    let caller = CallerReport { turns: vec![late], trouble: vec!["it broke".into()], ..Default::default() };
    let verdict = judge(&fixture(EXPECT), &bad, &caller);
    assert_eq!(
        verdict.failures,
        [
            "it broke",
            "the call should end as transferred or callback, but is abandoned",
            "the reason for the handoff should be requested, but is low_confidence",
            "the handoff should end as accepted, but is not known",
            "there should be at least 1 barge-ins, but there are 0",
            "there should be 0 false barge-ins, but there are 2",
            "expected turn 1 (caller: 冬天续航不到两百公里) is missing: \
             turn 2 at 0.0 s, “东天喜欢不到”: character error rate 0.70, at most 0.20",
            "expected turn 2 (bot: answer, topic range, source battery-winter, 续航, interrupted) is missing: \
             turn 3 at 0.0 s, “我们保证续航。”: it was not interrupted",
            "the bot said “保证”, which it must not",
            "“转人工” was answered after 1200 ms, at most 900 ms",
        ]
    );
}

#[test]
fn reports_show_what_happened() {
    let mut bad = good();
    bad.barge_ins = 0;
    let report = CallerReport {
        turns: vec![CallerTurn {
            text: "转人工客服".into(),
            began_ms: 0,
            ended_ms: 900,
            answered_after: Some(Duration::from_millis(412)),
            overlap: None,
        }],
        ..Default::default()
    };
    let verdicts =
        [judge(&fixture(EXPECT), &good(), &report), judge(&fixture(EXPECT), &bad, &CallerReport::default())];
    let table = report::table(&verdicts, 100);
    assert!(table.contains("412/412") && table.contains("1 passed, 1 failed"), "{table}");
    assert!(table.contains("- there should be at least 1 barge-ins"), "{table}");
    let conversation = report::conversation(&verdicts[0], 80);
    assert!(conversation.contains("answer battery-winter, interrupted"), "{conversation}");
    let junit = report::junit("fixtures", &verdicts).unwrap();
    assert!(junit.contains("failures=\"1\"") && junit.contains("barge-ins"), "{junit}");
    let back: Vec<Verdict> = serde_json::from_str(&report::json(&verdicts).unwrap()).unwrap();
    assert_eq!(back, verdicts);
}

#[test]
fn percentiles_are_by_nearest_rank() {
    let summary = Summary::of((1..=20).map(Duration::from_millis));
    assert_eq!((summary.p50_ms, summary.p95_ms, summary.max_ms), (Some(10), Some(19), Some(20)));
    assert_eq!(Summary::of([]), Summary::default());
}
