//! `nightline replay`: recorded callers against this build.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};

use crate::call::Call;
use crate::clock::Time;
use crate::config::Config;
use crate::driver::Session;
use crate::media::{Frame, RATE};
use crate::qa::{Fixture, ScriptedCaller, Verdict, judge, report};
use crate::services::{Pools, telephone_number, voice_activity};
use crate::sim::{self, Delays};

use super::demo::Rehearsal;

/// Options of `nightline replay`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Recorded callers: `NAME.toml` files, or folders of them [default: fixtures].
    fixtures: Vec<PathBuf>,
    /// Over real SIP and RTP on loopback, in real time, instead of on a virtual clock.
    #[arg(long)]
    realtime: bool,
    /// Keep what was said and heard as stereo WAV here.
    #[arg(long, value_name = "FOLDER")]
    record: Option<PathBuf>,
    /// Every conversation, not only the table.
    #[arg(long, short)]
    verbose: bool,
    /// Verdicts as JSON on standard output.
    #[arg(long)]
    json: bool,
    /// Verdicts as JUnit XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

impl Args {
    /// Exit 1 if a conversation did not come out right.
    pub fn run(self, config: Config) -> anyhow::Result<u8> {
        let fixtures = load(&self.fixtures)?;
        let runtime = tokio::runtime::Runtime::new()?;
        let _guard = runtime.enter();
        let progress = progress(fixtures.len());
        let mut verdicts = Vec::new();
        if self.realtime {
            let scratch = Scratch::new();
            for fixture in fixtures {
                progress.set_message(fixture.name.clone());
                let recording = self.recording(&fixture);
                let rehearsal = Rehearsal::new(&config, fixture, &scratch.0, recording);
                verdicts.push(runtime.block_on(rehearsal.run(|_| {}))?);
                progress.inc(1);
            }
        } else {
            let mut pools = Pools::open(&config)?;
            for fixture in fixtures {
                progress.set_message(fixture.name.clone());
                let recording = self.recording(&fixture);
                pools = pools.in_language(fixture.language());
                verdicts.push(replay(&pools, fixture, recording.as_deref()));
                progress.inc(1);
            }
        }
        progress.finish_and_clear();
        self.print(&verdicts)?;
        Ok(u8::from(verdicts.iter().any(|verdict| !verdict.passed())))
    }

    fn recording(&self, fixture: &Fixture) -> Option<PathBuf> {
        self.record.as_ref().map(|folder| folder.join(format!("{}.wav", fixture.name)))
    }

    fn print(&self, verdicts: &[Verdict]) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        let columns = 110;
        if self.json {
            writeln!(out, "{}", report::json(verdicts)?)?;
        } else {
            if self.verbose {
                for verdict in verdicts {
                    writeln!(out, "{}", report::conversation(verdict, columns))?;
                }
            }
            write!(out, "{}", report::table(verdicts, columns))?;
        }
        if let Some(path) = &self.junit {
            let xml = report::junit("nightline replay", verdicts)?;
            std::fs::write(path, xml).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

/// Runs one recorded caller on the virtual clock and judges the call.
pub fn replay(pools: &Pools, fixture: Fixture, recording: Option<&Path>) -> Verdict {
    let info = pools.info("fixture", "sip:anonymous@fixture", "sip:hotline@fixture");
    let mut settings = pools.settings.clone();
    settings.seats = vec!["sip:seat@fixture".into()];
    let call = Call::new(settings, voice_activity(), telephone_number(&info.from), Time::ZERO);
    let (mut session, mut inbox) = Session::new(call, pools.services.clone(), &info, Vec::new());
    let outcome = sim::run(&mut session, &mut inbox, ScriptedCaller::new(fixture.clone()), Delays::default());
    if let Some(path) = recording
        && let Err(error) = write_stereo(path, &outcome.audio)
    {
        tracing::error!(%error, path = %path.display(), "the replay is not recorded");
    }
    let record = session.finish(vec![outcome.media], None);
    judge(&fixture, &record, &outcome.report)
}

/// What was said (left) and heard (right).
fn write_stereo(path: &Path, audio: &[(Frame, Frame)]) -> Result<(), hound::Error> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec)?;
    for (said, heard) in audio {
        for (left, right) in said.0.iter().zip(&heard.0) {
            writer.write_sample(*left)?;
            writer.write_sample(*right)?;
        }
    }
    writer.finalize()
}

/// A folder that is gone when the replay is over.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("nightline-replay-{}", uuid::Uuid::now_v7())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn load(paths: &[PathBuf]) -> anyhow::Result<Vec<Fixture>> {
    let default = [super::fixtures_folder()];
    let mut fixtures = Vec::new();
    for path in if paths.is_empty() { &default } else { paths } {
        if path.is_dir() {
            fixtures.extend(Fixture::load_all(path)?);
        } else {
            fixtures.push(Fixture::load(path)?);
        }
    }
    anyhow::ensure!(!fixtures.is_empty(), "no recorded caller found; a fixture is NAME.toml beside NAME.wav");
    Ok(fixtures)
}

fn progress(count: usize) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}").unwrap_or(ProgressStyle::default_bar());
    ProgressBar::new(count as u64).with_style(style)
}
