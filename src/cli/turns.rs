//! `nightline turns eval|moments`: how well turns are taken, and what the trees that find their ends are fitted to.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};

use super::exit;
use crate::config::Config;
use crate::qa::pad;
use crate::qa::turns::score::{self, Point, Report, Track};
use crate::qa::turns::{Error, Group, Item, Set, Truth, bench};
use crate::services::Pools;

/// Measures turn-taking.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Measure turn-taking on labelled recordings.
    Eval(Eval),
    /// Write down every moment of silence in labelled turns, to fit the trees that find their ends.
    Moments(Moments),
}

/// Options of `nightline turns eval`.
#[derive(Debug, clap::Args)]
pub struct Eval {
    /// The list of a set (NAME.jsonl beside NAME.al.zst).
    #[arg(default_value = "fixtures/turns/test.jsonl")]
    list: PathBuf,
    /// Only every Nth recording.
    #[arg(long, value_name = "N", default_value = "1")]
    every: std::num::NonZeroUsize,
    /// Only recordings whose name or kind contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Draw false cut-offs against delay, beside silence alone, into this SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Write what came of each recording, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    details: Option<PathBuf>,
    /// The figures as JSON on standard output.
    #[arg(long)]
    json: bool,
}

/// Options of `nightline turns moments`.
#[derive(Debug, clap::Args)]
pub struct Moments {
    /// The list of the set to fit to; not the one that judges.
    #[arg(default_value = "fixtures/turns/fit.jsonl")]
    list: PathBuf,
    /// Where to write them.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Command {
    /// Exit 66 if the recordings are not there, 1 if something in them is wrong.
    pub fn run(self, config: &Config) -> anyhow::Result<u8> {
        let list = match &self {
            Self::Eval(args) => &args.list,
            Self::Moments(args) => &args.list,
        };
        let set = match Set::load(list) {
            Ok(set) => set,
            Err(error) => {
                writeln!(io::stderr(), "error: {error}")?;
                return Ok(if matches!(error, Error::File { .. }) { exit::NO_INPUT } else { exit::WRONG });
            }
        };
        let pools = Pools::open(config)?;
        match self {
            Self::Eval(args) => args.run(&set, &pools),
            Self::Moments(args) => args.run(&set, &pools),
        }
    }
}

impl Eval {
    fn run(self, set: &Set, pools: &Pools) -> anyhow::Result<u8> {
        let wanted =
            |item: &&Item| self.only.as_ref().is_none_or(|t| item.id.contains(t) || item.kind.contains(t));
        let items: Vec<&Item> = set.items().iter().filter(wanted).step_by(self.every.get()).collect();
        let progress = progress(items.len());
        let recognizer = pools.services.asr.as_ref();
        let outcomes: Vec<_> = items
            .iter()
            .map(|item| {
                progress.inc(1);
                bench::run(set, item, recognizer, &pools.settings)
            })
            .collect();
        progress.finish_and_clear();
        if let Some(path) = &self.details {
            let lines: Result<Vec<String>, _> = outcomes.iter().map(serde_json::to_string).collect();
            fs::write(path, lines?.join("\n") + "\n")
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        if let Some(path) = &self.plot {
            let tracks = tracks(set, &items, pools);
            let fitted = score::curve(&tracks, &pools.settings.endpointing);
            fs::write(path, svg(&fitted, &score::silence_only(&tracks)))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        let report = Report::new(&outcomes);
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        } else {
            write_table(&mut out, &report)?;
        }
        Ok(0)
    }
}

impl Moments {
    fn run(self, set: &Set, pools: &Pools) -> anyhow::Result<u8> {
        let items: Vec<&Item> = set.items().iter().collect();
        let tracks = tracks(set, &items, pools);
        write_moments(&self.out, &tracks).with_context(|| format!("cannot write {}", self.out.display()))?;
        let count: usize = tracks.iter().map(|track| track.moments.len()).sum();
        writeln!(io::stdout(), "{count} moments of {} turns in {}", tracks.len(), self.out.display())?;
        Ok(0)
    }
}

fn tracks(set: &Set, items: &[&Item], pools: &Pools) -> Vec<Track> {
    let turns: Vec<&Item> = items.iter().filter(|item| item.group == Group::Turn).copied().collect();
    let progress = progress(turns.len());
    let recognizer = pools.services.asr.as_ref();
    let track = |item: &&Item| {
        progress.inc(1);
        let moments = bench::watch(set, item, recognizer, &pools.settings);
        Track { item: Item::clone(item), moments }
    };
    let tracks = turns.iter().map(track).collect();
    progress.finish_and_clear();
    tracks
}

fn write_moments(path: &Path, tracks: &[Track]) -> io::Result<()> {
    let mut file = io::BufWriter::new(fs::File::create(path)?);
    for (track, moment) in tracks.iter().flat_map(|t| t.moments.iter().map(move |m| (t, m))) {
        let line = serde_json::json!({
            "id": track.item.id,
            "kind": track.item.kind,
            "end_ms": track.item.end_ms(),
            "at_ms": moment.at_ms,
            "silence_ms": moment.signs.silence.as_millis() as u64,
            "features": moment.signs.features().into_iter().collect::<BTreeMap<_, _>>(),
        });
        writeln!(file, "{line}")?;
    }
    file.flush()
}

fn cells(turns: &score::Turns) -> [String; 5] {
    let (p50, p95) = turns.delay_ms.unwrap_or_default();
    [
        turns.count.to_string(),
        format!("{:.1} %", turns.cut_off_share() * 100.0),
        turns.missed.to_string(),
        format!("{p50} ms"),
        format!("{p95} ms"),
    ]
}

fn row(out: &mut dyn Write, name: &str, cells: [String; 5]) -> io::Result<()> {
    write!(out, "{}", pad(name, 24))?;
    cells.iter().try_for_each(|cell| write!(out, "{cell:>10}"))?;
    writeln!(out)
}

fn write_table(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    row(out, "ends of turns", ["n", "cut off", "missed", "p50", "p95"].map(String::from))?;
    for (kind, turns) in &report.kinds {
        row(out, kind, cells(turns))?;
    }
    row(out, "all", cells(&report.turns))?;
    writeln!(out)?;
    row(out, "over the bot", ["n", "paused", "cut", "p50", "p95"].map(String::from))?;
    for (truth, overlap) in &report.over_the_bot {
        let (p50, p95) = overlap.pause_ms.unwrap_or_default();
        let cells = [
            overlap.count.to_string(),
            overlap.paused.to_string(),
            overlap.cut.to_string(),
            format!("{p50} ms"),
            format!("{p95} ms"),
        ];
        let name = serde_json::to_string(truth).unwrap_or_default();
        row(out, name.trim_matches('"'), cells)?;
    }
    let share = |share: Option<f64>| share.map_or("-".into(), |share| format!("{share:.3}"));
    writeln!(
        out,
        "\nyield {}, selectivity of backchannels {}",
        share(report.yields()),
        share(report.selectivity(Truth::Backchannel))
    )
}

/// False cut-offs against the median delay, as a picture.
fn svg(fitted: &[Point], silence: &[Point]) -> String {
    const WIDTH: f64 = 720.0;
    const HEIGHT: f64 = 440.0;
    const LEFT: f64 = 70.0;
    const BOTTOM: f64 = 390.0;
    const MOST_MS: f64 = 1600.0;
    const MOST_SHARE: f64 = 0.5;
    let x = |ms: f64| LEFT + ms / MOST_MS * (WIDTH - LEFT - 20.0);
    let y = |share: f64| BOTTOM - share / MOST_SHARE * (BOTTOM - 30.0);
    let line = |points: &[Point], colour: &str| {
        let points: Vec<String> = points
            .iter()
            .filter_map(|p| Some((p.turns.delay_ms?.0, p.turns.cut_off_share())))
            .filter(|(ms, share)| (*ms as f64) <= MOST_MS && *share <= MOST_SHARE)
            .map(|(ms, share)| format!("{:.1},{:.1}", x(ms as f64), y(share)))
            .collect();
        let dots = points.iter().filter_map(|p| p.split_once(','));
        let dots = dots.map(|(x, y)| format!(r#"<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>"#));
        let dots = dots.collect::<Vec<_>>().concat();
        format!(
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}"#,
            points.join(" ")
        )
    };
    let grid: String = (0..=8_u8)
        .map(|n| {
            let (ms, at) = (f64::from(n) * 200.0, x(f64::from(n) * 200.0));
            format!(
                r##"<line x1="{at:.1}" y1="30" x2="{at:.1}" y2="{BOTTOM}" stroke="#ddd"/><text x="{at:.1}" y="408" text-anchor="middle">{ms}</text>"##
            )
        })
        .chain((0..=5_u8).map(|n| {
            let at = y(f64::from(n) / 10.0);
            format!(
                r##"<line x1="{LEFT}" y1="{at:.1}" x2="700" y2="{at:.1}" stroke="#ddd"/><text x="62" y="{:.1}" text-anchor="end">{} %</text>"##,
                at + 4.0,
                n * 10
            )
        }))
        .collect();
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>{grid}
<text x="385" y="430" text-anchor="middle">median delay of the decision, ms</text>
<text x="18" y="210" text-anchor="middle" transform="rotate(-90 18 210)">turns cut off</text>
{}
{}
<text x="480" y="60" fill="#c0392b">silence alone</text><text x="480" y="80" fill="#1f618d">Nightline</text>
</svg>
"##,
        line(silence, "#c0392b"),
        line(fitted, "#1f618d")
    )
}

pub(super) fn progress(count: usize) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {per_sec} {eta}")
        .unwrap_or(ProgressStyle::default_bar());
    ProgressBar::new(count as u64).with_style(style)
}
