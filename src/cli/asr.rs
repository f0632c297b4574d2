//! `nightline asr eval|calibrate`: how well a recogniser hears, and how far its confidence can be believed.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use rustix::time::{ClockId, clock_gettime};

use super::exit;
use crate::asr::eval::calibrate::fit;
use crate::asr::eval::manifest;
use crate::asr::eval::score::{Confidence, Row};
use crate::asr::eval::{self, Outcome, Report};
use crate::asr::whisper::{ModelSource, Options, Whisper};
use crate::config::Config;
use crate::qa::text::pad;

/// Measures recognisers.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Measure a recogniser on recordings with known words.
    Eval(Eval),
    /// Fit the weights of the confidence to what `eval --details` wrote.
    Calibrate(Calibrate),
}

/// Options of `nightline asr eval`.
#[derive(Debug, clap::Args)]
pub struct Eval {
    /// Folder with manifest.jsonl and 8 kHz WAVs.
    dir: PathBuf,
    /// A ggml whisper file, or `embedded` [default: what the configuration says].
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Decodings at a time, one thread each. With more than the machine has cores, or beside other work, latency and
    /// real-time factor are too high.
    #[arg(long, default_value = "1")]
    workers: NonZeroUsize,
    /// Do not decode a partial before each final: nearly twice as fast, but the confidence knows less.
    #[arg(long)]
    no_partials: bool,
    /// Minutes of made noise, music, tones and silence that are heard too.
    #[arg(long, value_name = "MINUTES", default_value = "10")]
    noise: u32,
    /// What is said to a public model before each utterance; the server says the tenant's words.
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// Recognise recordings whole, with the silence at their ends that a call would cut off.
    #[arg(long)]
    untrimmed: bool,
    /// Only every Nth recording.
    #[arg(long, value_name = "N", default_value = "1")]
    every: NonZeroUsize,
    /// Write one JSON object a recording: words, errors, confidence and its evidence.
    #[arg(long, value_name = "FILE")]
    details: Option<PathBuf>,
    /// The figures as JSON on standard output.
    #[arg(long)]
    json: bool,
}

/// Options of `nightline asr calibrate`.
#[derive(Debug, clap::Args)]
pub struct Calibrate {
    /// What `nightline asr eval --details` wrote for this model.
    #[arg(required = true)]
    details: Vec<PathBuf>,
    /// Where to put the weights: MODEL.confidence.json beside MODEL.bin.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Command {
    /// Data to standard output, everything else to standard error. Exit 66 if the recordings or details are not there, 69 if
    /// the model cannot be opened, 1 if something in them is wrong.
    pub fn run(self, config: &Config) -> anyhow::Result<u8> {
        match self {
            Self::Eval(args) => args.run(config),
            Self::Calibrate(args) => args.run(),
        }
    }
}

impl Eval {
    fn run(self, config: &Config) -> anyhow::Result<u8> {
        let mut items = match manifest::read(&self.dir) {
            Ok(items) => items,
            Err(error) => return refuse(&error),
        };
        items = items.into_iter().step_by(self.every.get()).collect();
        let source = match &self.model {
            Some(path) if path.as_os_str() == "embedded" => ModelSource::Embedded,
            Some(path) => ModelSource::File(path.clone()),
            None => crate::services::model_source(&config.asr),
        };
        let workers = self.workers.get();
        let whisper =
            Whisper::open(&source, &Options { workers, prompt: self.prompt, ..Options::default() })?;
        let options = eval::Options {
            workers,
            partials: !self.no_partials,
            trim: !self.untrimmed,
            noise_minutes: self.noise,
        };
        let progress = progress(eval::count(&items, &options));
        let before = processor_seconds();
        let outcomes = eval::run(&whisper, &self.dir, &items, &options, &|| progress.inc(1));
        progress.finish_and_clear();
        let outcomes = match outcomes {
            Ok(outcomes) => outcomes,
            Err(error) => return refuse(&error),
        };
        if let Some(path) = &self.details {
            write_details(path, &outcomes)?;
        }
        let report = Report::new(&outcomes, workers, Some(processor_seconds() - before));
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        } else {
            writeln!(out, "{source}")?;
            write_table(&mut out, &report)?;
        }
        Ok(0)
    }
}

impl Calibrate {
    fn run(self) -> anyhow::Result<u8> {
        let mut outcomes: Vec<Outcome> = Vec::new();
        for path in &self.details {
            let text = match fs::read_to_string(path) {
                Ok(text) => text,
                Err(error) => {
                    writeln!(
                        io::stderr(),
                        "error: cannot read {}: {error}; make it with `nightline asr eval DIR --details {}`",
                        path.display(),
                        path.display()
                    )?;
                    return Ok(exit::NO_INPUT);
                }
            };
            for (index, line) in text.lines().enumerate() {
                let outcome = serde_json::from_str(line).with_context(|| {
                    format!("{}:{} is no line of `nightline asr eval --details`", path.display(), index + 1)
                });
                match outcome {
                    Ok(outcome) => outcomes.push(outcome),
                    Err(error) => {
                        writeln!(io::stderr(), "error: {error:#}")?;
                        return Ok(exit::WRONG);
                    }
                }
            }
        }
        let made_by =
            self.details.iter().filter_map(|path| path.file_name()).map(|name| name.to_string_lossy());
        let made_by = format!("nightline asr calibrate {}", made_by.collect::<Vec<_>>().join(" "));
        let fit = match fit(&outcomes, made_by) {
            Ok(fit) => fit,
            Err(error) => {
                writeln!(io::stderr(), "error: {error}")?;
                return Ok(exit::WRONG);
            }
        };
        let json = serde_json::to_string_pretty(&fit.calibration)? + "\n";
        fs::write(&self.out, json).with_context(|| format!("cannot write {}", self.out.display()))?;
        let mut out = io::stdout().lock();
        writeln!(out, "fitted to {} of {} recordings", fit.calibration.utterances, outcomes.len())?;
        write!(out, "unfitted          ")?;
        write_confidence(&mut out, &fit.before)?;
        write!(out, "fitted, unseen    ")?;
        write_confidence(&mut out, &fit.after)?;
        writeln!(out, "{} is read whenever {}", self.out.display(), beside(&self.out))?;
        Ok(0)
    }
}

fn beside(calibration: &Path) -> String {
    let name = calibration.to_string_lossy();
    match name.strip_suffix(".confidence.json") {
        Some(model) => format!("{model}.bin is opened"),
        None => "it lies beside MODEL.bin as MODEL.confidence.json".into(),
    }
}

fn refuse(error: &eval::Error) -> anyhow::Result<u8> {
    writeln!(io::stderr(), "error: {error}")?;
    Ok(match error {
        eval::Error::Manifest { .. } | eval::Error::Missing { .. } => exit::NO_INPUT,
        eval::Error::Line { .. } | eval::Error::Empty(_) | eval::Error::Wav { .. } => exit::WRONG,
        eval::Error::Recognizer { .. } => exit::UNAVAILABLE,
    })
}

fn write_details(path: &Path, outcomes: &[Outcome]) -> anyhow::Result<()> {
    let context = || format!("cannot write {}", path.display());
    let mut file = io::BufWriter::new(fs::File::create(path).with_context(context)?);
    for outcome in outcomes {
        serde_json::to_writer(&mut file, outcome).with_context(context)?;
        writeln!(file).with_context(context)?;
    }
    file.flush().with_context(context)
}

fn write_table(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let perhaps = |share: Option<f64>| share.map_or("-".into(), percent);
    let row = |out: &mut dyn Write, set: &str, condition: &str, cells: [String; 6]| {
        write!(out, "{} {}", pad(set, 26), pad(condition, 12))?;
        cells.iter().try_for_each(|cell| write!(out, "{cell:>9}"))?;
        writeln!(out)
    };
    let titles = ["n", "chars", "CER", "exact", "digits", "WER"].map(String::from);
    row(out, "set", "condition", titles)?;
    for Row { set, condition, utterances, characters, cer, wer, exact, digits, .. } in
        report.rows.iter().chain([&report.all])
    {
        let cells = [
            utterances.to_string(),
            characters.to_string(),
            percent(*cer),
            percent(*exact),
            perhaps(*digits),
            perhaps(*wer),
        ];
        row(out, set, condition, cells)?;
    }
    let silent = &report.no_speech;
    writeln!(
        out,
        "no speech    words in {} of {} recordings, {:.1} minutes",
        silent.with_words,
        silent.recordings,
        silent.seconds / 60.0
    )?;
    silent.words.iter().try_for_each(|words| writeln!(out, "             {words}"))?;
    write!(out, "confidence   ")?;
    write_confidence(out, &report.confidence)?;
    let cost = &report.cost;
    let pair =
        |pair: Option<(f64, f64)>| pair.map_or("-".into(), |(p50, p95)| format!("{p50:.0} / {p95:.0} ms"));
    writeln!(
        out,
        "decoding     partial {}, final {} (p50 / p95, without waiting)",
        pair(cost.partial_ms),
        pair(cost.final_ms)
    )?;
    writeln!(
        out,
        "real time    {:.3} of a core by the clock for finals; {:.3} of a core in all; {} workers",
        cost.real_time_factor,
        cost.processor_factor.unwrap_or_default(),
        cost.workers
    )
}

fn write_confidence(out: &mut impl Write, confidence: &Confidence) -> io::Result<()> {
    match (confidence.auc, confidence.threshold, confidence.badly_wrong_rejected) {
        (Some(auc), Some(threshold), Some(rejected)) => writeln!(
            out,
            "AUC {auc:.3}; below {threshold:.3} are 5 % of {} right and {:.1} % of {} badly wrong ones",
            confidence.right,
            rejected * 100.0,
            confidence.badly_wrong
        ),
        _ => writeln!(
            out,
            "{} right, {} badly wrong: nothing to compare",
            confidence.right, confidence.badly_wrong
        ),
    }
}

/// Processor time of this process so far.
fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn progress(count: usize) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {per_sec} {eta}")
        .unwrap_or(ProgressStyle::default_bar());
    ProgressBar::new(count as u64).with_style(style)
}
