//! A recorded caller: what it says and does when (`NAME.toml`), its voice (`NAME.wav`), and what must come of the call.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::call::event::{Disposition, HandoffOutcome};
use crate::dialogue::Reason;
use crate::media::RATE;

use super::reader::{Mistake, Reader};
use super::voice;

/// A recorded caller.
#[derive(Clone, Debug, PartialEq)]
pub struct Fixture {
    /// The file's name without its ending.
    pub name: String,
    /// What happens, in a few words.
    pub title: String,
    /// ISO 639-1 code of the caller's language (`zh`, `en`).
    pub language: String,
    /// Ids of the mission's rows that it shows (`V7`, `H2`).
    pub shows: Vec<String>,
    /// What the human seat does when it is dialled.
    pub seat: Seat,
    /// The network between caller and server; a perfect one if none is given.
    pub network: Network,
    /// How long the caller stays on the line after its last step, waiting for the bot to hang up.
    pub stay: Duration,
    /// What it does, in order.
    pub steps: Vec<Step>,
    /// What must come of it.
    pub expect: Expect,
    /// 16 kHz mono: all utterances, as in the WAV.
    pub voice: Arc<[i16]>,
    /// Part of `voice` (in samples) that holds the line's noise without speech; it is played in a loop whenever the caller is
    /// silent. Empty: digital silence.
    pub room: std::ops::Range<usize>,
}

/// What the human seat does when it is dialled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seat {
    /// Answers, listens to the summary, presses 1, and hangs up some seconds after the bridge.
    #[default]
    Accepts,
    /// Answers and presses 2.
    Declines,
    /// 486 Busy Here.
    Busy,
    /// Rings on.
    NoAnswer,
    /// Answers and hangs up during the summary.
    HangsUp,
}

/// The network between caller and server, both ways. The same seed gives the same losses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Network {
    /// Fraction of packets lost, in 0..=1.
    pub loss: f64,
    /// Mean of the extra delay of a packet.
    pub jitter: Duration,
    /// Least delay of a packet.
    pub delay: Duration,
    /// Seed of the losses and delays.
    pub seed: u64,
}

/// One thing that the caller does.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// When.
    pub cue: Cue,
    /// What.
    pub action: Action,
    /// How long it waits for the cue before it gives up and hangs up.
    pub timeout: Duration,
}

/// What a step waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cue {
    /// The bot was heard (since the step before was done) and then was silent for `silence`; then `after` more.
    BotDone {
        /// How much silence ends the bot's turn.
        silence: Duration,
        /// Extra wait.
        after: Duration,
    },
    /// The bot has been speaking for `after` in its present turn.
    BotSpeaking {
        /// From the first sound of its turn.
        after: Duration,
    },
    /// `after` has passed since the step before was done (since the call's start for the first step).
    AfterPrevious {
        /// The wait.
        after: Duration,
    },
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Says an utterance.
    Say(Utterance),
    /// Presses keys, one every 250 ms.
    Press(String),
    /// Does nothing for a while.
    Wait(Duration),
    /// Hangs up.
    HangUp,
}

/// One stretch of the caller's speech.
#[derive(Clone, Debug, PartialEq)]
pub struct Utterance {
    /// The words, as they are spoken.
    pub text: String,
    /// Samples of [`Fixture::voice`], from its first sound to its last (to within 5 ms).
    pub span: std::ops::Range<usize>,
    /// False for a backchannel or a part of a longer turn: nothing is measured from its end.
    pub expects_answer: bool,
}

/// What must come of the call. Empty parts are not checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expect {
    /// How it may end.
    pub dispositions: Vec<Disposition>,
    /// Why it is given to a seat; `Some(None)`: it must not be.
    pub handoff_reason: Option<Option<Reason>>,
    /// How the handoff ends.
    pub handoff_outcome: Option<HandoffOutcome>,
    /// The number of the booked call-back, digits only.
    pub callback: Option<String>,
    /// Real barge-ins, inclusive.
    pub barge_ins: Option<(u64, u64)>,
    /// Barge-ins that were none, inclusive.
    pub false_barge_ins: Option<(u64, u64)>,
    /// Keys that must have arrived.
    pub dtmf: Option<String>,
    /// Turns that must be there, in this order; others may lie between.
    pub turns: Vec<ExpectedTurn>,
    /// Words that the bot must not say.
    pub absent: Vec<String>,
    /// Longest time from the end of an utterance to the bot's first sound, on the caller's side.
    pub turn_latency_max: Option<Duration>,
    /// Longest time from the beginning of an utterance over the bot to the bot's last sound, on the caller's side.
    pub barge_in_stop_max: Option<Duration>,
}

/// A turn that must be there.
#[derive(Clone, Debug, PartialEq)]
pub enum ExpectedTurn {
    /// The caller is understood.
    Caller {
        /// What it says.
        said: String,
        /// Highest character error rate of what was understood.
        cer_max: f64,
    },
    /// The bot says something. Empty parts are not checked.
    Bot {
        /// Topic of the turn.
        topic: Option<String>,
        /// Id of a knowledge entry that the answer rests on; any one of these.
        sources: Vec<String>,
        /// Name of the act (`answer`, `clarify`, `handoff` …).
        act: Option<String>,
        /// Words that must all be in what was heard.
        contains: Vec<String>,
        /// Words of which at least one must be in what was heard.
        contains_any: Vec<String>,
        /// Whether the caller cut it short.
        interrupted: Option<bool>,
    },
}

/// Why a fixture cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The script cannot be read.
    #[error("{file}: cannot be read: {error}; a fixture is NAME.toml beside NAME.wav")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// The script is wrong.
    #[error(transparent)]
    Script(#[from] Mistake),
    /// The recording is wrong.
    #[error("{file}: {message}")]
    Recording {
        /// The file.
        file: String,
        /// What is wrong and what to do.
        message: String,
    },
}

impl Fixture {
    /// Reads `path` (NAME.toml, or NAME.wav, or without an ending) and the WAV beside it.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let (script, wav) = (path.with_extension("toml"), path.with_extension("wav"));
        let file = script.display().to_string();
        let source = std::fs::read_to_string(&script)
            .map_err(|error| Error::Unreadable { file: file.clone(), error })?;
        let voice = voice::load(&wav)
            .map_err(|message| Error::Recording { file: wav.display().to_string(), message })?;
        let name = script.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self::parse(&name, &file, &source, voice)?)
    }

    /// A caller who speaks a whole WAV (8 kHz mono 16-bit) from the answer on, without listening, and then hangs up.
    pub fn flat(wav: &Path) -> Result<Self, Error> {
        let voice = voice::load(wav)
            .map_err(|message| Error::Recording { file: wav.display().to_string(), message })?;
        let name = wav.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let step = |action| Step {
            cue: Cue::AfterPrevious { after: Duration::ZERO },
            action,
            timeout: Duration::from_secs(20),
        };
        let whole = Utterance { text: name.clone(), span: 0..voice.len(), expects_answer: false };
        Ok(Self {
            title: name.clone(),
            name,
            language: "zh".into(),
            shows: Vec::new(),
            seat: Seat::default(),
            network: Network::default(),
            stay: Duration::ZERO,
            steps: vec![step(Action::Say(whole)), step(Action::HangUp)],
            expect: Expect::default(),
            voice,
            room: 0..0,
        })
    }

    /// ISO 639-1 code of the caller's language.
    pub fn language(&self) -> &'static str {
        if self.language == "en" { "en" } else { "zh" }
    }

    /// All fixtures of a folder, by name.
    pub fn load_all(folder: &Path) -> Result<Vec<Self>, Error> {
        let unreadable = |error| Error::Unreadable { file: folder.display().to_string(), error };
        let mut scripts = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let manifest = path.file_stem().is_some_and(|stem| stem == "MANIFEST");
            if path.extension().is_some_and(|ending| ending == "toml") && !manifest {
                scripts.push(path);
            }
        }
        scripts.sort();
        scripts.iter().map(|script| Self::load(script)).collect()
    }

    /// Parses a script for a recording of 16 kHz samples. `file` is how complaints name the script.
    pub fn parse(name: &str, file: &str, source: &str, voice: Arc<[i16]>) -> Result<Self, Mistake> {
        let mut script = Reader::parse(file, source)?;
        let title = script.needed_text("title")?;
        let language = script
            .word("language", &[("zh", "zh"), ("en", "en")])?
            .ok_or_else(|| script.complain("the script has no `language`"))?;
        let shows = script.texts("shows")?;
        let seat = script
            .word(
                "seat",
                &[
                    ("accepts", Seat::Accepts),
                    ("declines", Seat::Declines),
                    ("busy", Seat::Busy),
                    ("no_answer", Seat::NoAnswer),
                    ("hangs_up", Seat::HangsUp),
                ],
            )?
            .unwrap_or_default();
        let network = script.table("network")?.map_or(Ok(Network::default()), network)?;
        let stay = script.millis("stay_ms")?.unwrap_or(Duration::from_secs(20));
        let room = match script.table("room")? {
            Some(mut room) => {
                let range = span(&mut room, voice.len())?;
                room.finish()?;
                range
            }
            None => 0..0,
        };
        let mut steps = Vec::new();
        for mut table in script.tables("step")? {
            steps.push(step(&mut table, voice.len())?);
            table.finish()?;
        }
        if steps.is_empty() {
            return Err(script.complain("the script has no [[step]]: the caller would do nothing"));
        }
        let expect = script.table("expect")?.map_or(Ok(Expect::default()), expect)?;
        script.finish()?;
        let (name, language) = (name.to_owned(), language.to_owned());
        Ok(Self { name, title, language, shows, seat, network, stay, steps, expect, voice, room })
    }
}

fn network(mut table: Reader<'_>) -> Result<Network, Mistake> {
    let network = Network {
        loss: table.number("loss", 0.0, 1.0)?.unwrap_or(0.0),
        jitter: table.millis("jitter_ms")?.unwrap_or_default(),
        delay: table.millis("delay_ms")?.unwrap_or_default(),
        seed: table.count("seed")?.unwrap_or(1),
    };
    table.finish()?;
    Ok(network)
}

fn span(table: &mut Reader<'_>, length: usize) -> Result<std::ops::Range<usize>, Mistake> {
    let mut edge = |key| -> Result<usize, Mistake> {
        let at = table.millis(key)?.ok_or_else(|| table.complain(format!("`{key}` is missing")))?;
        Ok(at.as_millis() as usize * (RATE as usize / 1000))
    };
    let (from, to) = (edge("from_ms")?, edge("to_ms")?);
    if from >= to || to > length {
        let has = length / (RATE as usize / 1000);
        return Err(table.complain(format!("from_ms < to_ms <= {has} (the recording's length) must hold")));
    }
    Ok(from..to)
}

fn step(table: &mut Reader<'_>, length: usize) -> Result<Step, Mistake> {
    let given: Vec<_> =
        ["say", "press", "wait_ms", "hang_up"].into_iter().filter(|key| table.has(key)).collect();
    if given.len() != 1 {
        let message = "a step has exactly one of `say`, `press`, `wait_ms`, `hang_up`";
        return Err(table.complain(format!("{message}; this has {}", given.len())));
    }
    let say = table.text("say")?;
    let press = table.text("press")?;
    let wait = table.millis("wait_ms")?;
    let hang_up = table.flag("hang_up")?;
    let action = match (say, press, wait, hang_up) {
        (Some(text), ..) => {
            let mut span = span(table, length)?;
            if let Some(cut) = table.millis("cut_ms")? {
                let cut = cut.as_millis() as usize * (RATE as usize / 1000);
                span.end = span.end.min(span.start + cut);
            }
            let expects_answer = table.flag("expects_answer")?.unwrap_or(true);
            Action::Say(Utterance { text, span, expects_answer })
        }
        (_, Some(keys), ..) => {
            if keys.is_empty() || !keys.chars().all(|key| "0123456789*#ABCD".contains(key)) {
                return Err(table.complain("`press` takes keys out of 0-9, *, #, A-D"));
            }
            Action::Press(keys)
        }
        (_, _, Some(wait), _) => Action::Wait(wait),
        (.., Some(true)) => Action::HangUp,
        _ => return Err(table.complain("`hang_up` can only be true; leave the step out otherwise")),
    };
    let after = table.millis("after_ms")?.unwrap_or_default();
    let silence = table.millis("silence_ms")?.unwrap_or(Duration::from_millis(700));
    let cues = [
        ("bot_done", Cue::BotDone { silence, after }),
        ("bot_speaking", Cue::BotSpeaking { after }),
        ("after_previous", Cue::AfterPrevious { after }),
    ];
    let cue = table.word("when", &cues)?.unwrap_or(Cue::AfterPrevious { after });
    let timeout = table.millis("timeout_ms")?.unwrap_or(Duration::from_secs(20));
    Ok(Step { cue, action, timeout })
}

fn expect(mut table: Reader<'_>) -> Result<Expect, Mistake> {
    let mut dispositions = Vec::new();
    for name in table.texts("disposition")? {
        dispositions.push(named(&table, "disposition", &name)?);
    }
    let (mut handoff_reason, mut handoff_outcome) = (None, None);
    if let Some(mut handoff) = table.table("handoff")? {
        handoff_reason = match handoff.text("reason")?.as_deref() {
            None => None,
            Some("none") => Some(None),
            Some(reason) => Some(Some(named(&handoff, "reason", reason)?)),
        };
        if let Some(outcome) = handoff.text("outcome")? {
            handoff_outcome = Some(named(&handoff, "outcome", &outcome)?);
        }
        handoff.finish()?;
    }
    let callback = table.text("callback")?;
    let barge_ins = table.range("barge_ins")?;
    let false_barge_ins = table.range("false_barge_ins")?;
    let dtmf = table.text("dtmf")?;
    let absent = table.texts("absent")?;
    let turn_latency_max = table.millis("turn_latency_ms_max")?;
    let barge_in_stop_max = table.millis("barge_in_stop_ms_max")?;
    let mut turns = Vec::new();
    for mut turn in table.tables("turn")? {
        turns.push(expected_turn(&mut turn)?);
        turn.finish()?;
    }
    table.finish()?;
    Ok(Expect {
        dispositions,
        handoff_reason,
        handoff_outcome,
        callback,
        barge_ins,
        false_barge_ins,
        dtmf,
        turns,
        absent,
        turn_latency_max,
        barge_in_stop_max,
    })
}

fn expected_turn(turn: &mut Reader<'_>) -> Result<ExpectedTurn, Mistake> {
    if let Some(said) = turn.text("said")? {
        let cer_max = turn.number("cer_max", 0.0, 10.0)?.unwrap_or(0.2);
        return Ok(ExpectedTurn::Caller { said, cer_max });
    }
    let expected = ExpectedTurn::Bot {
        topic: turn.text("topic")?,
        sources: turn.texts("source")?,
        act: turn.text("act")?,
        contains: turn.texts("contains")?,
        contains_any: turn.texts("contains_any")?,
        interrupted: turn.flag("interrupted")?,
    };
    if let ExpectedTurn::Bot { act: Some(act), .. } = &expected {
        let acts =
            ["answer", "clarify", "handoff", "yes", "no", "phone", "phone_part", "when", "goodbye", "ignore"];
        if !acts.contains(&act.as_str()) {
            return Err(turn.complain(format!("`act` must be one of {}", acts.join(", "))));
        }
    }
    Ok(expected)
}

/// A value of an enum by the name that records give it.
fn named<T: serde::de::DeserializeOwned>(table: &Reader<'_>, key: &str, name: &str) -> Result<T, Mistake> {
    serde_json::from_value(serde_json::Value::String(name.into()))
        .map_err(|error| table.complain(format!("`{key}`: {error}")))
}
