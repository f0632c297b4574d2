//! `nightline confidence fit|eval`: the weights of a turn's confidence, and how far it can be believed.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;

use super::exit;
use crate::dialogue::confidence::Model;
use crate::dialogue::tenant::Tenant;
use crate::qa::confidence::{self, Calibration, Report, Turn};
use crate::qa::pad;

/// The tenant whose questions were labelled.
const TENANT: &str = "nev";

/// Fits and measures the confidence of a turn.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Fit the weights to labelled turns.
    Fit(Fit),
    /// Measure the confidence on labelled turns that are kept apart from fitting.
    Eval(Eval),
}

/// Options of `nightline confidence fit`.
#[derive(Debug, clap::Args)]
pub struct Fit {
    /// Labelled turns [default: those of this build].
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Where to put the weights; a build embeds them from here.
    #[arg(long, value_name = "FILE", default_value = "src/dialogue/confidence/weights.json")]
    out: PathBuf,
}

/// Options of `nightline confidence eval`.
#[derive(Debug, clap::Args)]
pub struct Eval {
    /// Labelled turns [default: those of this build].
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Weights [default: those of this build].
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Draw the confidence against what was right, beside the formula before, into this SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// The figures as JSON on standard output.
    #[arg(long)]
    json: bool,
}

impl Command {
    /// Exit 66 if the labelled turns or weights are not there, 1 if something in them is wrong.
    pub fn run(self) -> anyhow::Result<u8> {
        let data = match &self {
            Self::Fit(args) => args.data.clone(),
            Self::Eval(args) => args.data.clone(),
        };
        let (text, place) = match data {
            None => (confidence::TURNS.to_owned(), "turns.tsv".to_owned()),
            Some(path) => match fs::read_to_string(&path) {
                Ok(text) => (text, path.display().to_string()),
                Err(error) => {
                    writeln!(io::stderr(), "error: cannot read {}: {error}", path.display())?;
                    return Ok(exit::NO_INPUT);
                }
            },
        };
        let turns = match confidence::turns(&Tenant::load(TENANT, None)?, &text, &place) {
            Ok(turns) => turns,
            Err(error) => {
                writeln!(io::stderr(), "error: {error}")?;
                return Ok(exit::WRONG);
            }
        };
        match self {
            Self::Fit(args) => args.run(&turns),
            Self::Eval(args) => args.run(&turns),
        }
    }
}

impl Fit {
    fn run(self, turns: &[Turn]) -> anyhow::Result<u8> {
        let model = confidence::fit(turns, "nightline confidence fit".into());
        fs::write(&self.out, serde_json::to_string_pretty(&model)? + "\n")
            .with_context(|| format!("cannot write {}", self.out.display()))?;
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "fitted to {} turns, in {}; log-odds for a standard deviation:",
            model.turns,
            self.out.display()
        )?;
        for term in &model.weights.terms {
            writeln!(out, "  {} {:+.2}", pad(&term.feature, 12), term.weight)?;
        }
        write_line(&mut out, "on the turns that are kept apart", &Report::new(turns, &model).fitted)?;
        Ok(0)
    }
}

impl Eval {
    fn run(self, turns: &[Turn]) -> anyhow::Result<u8> {
        let read;
        let model = match &self.weights {
            None => Model::embedded(),
            Some(path) => {
                let Ok(text) = fs::read_to_string(path) else {
                    writeln!(
                        io::stderr(),
                        "error: cannot read {}; make it with `nightline confidence fit`",
                        path.display()
                    )?;
                    return Ok(exit::NO_INPUT);
                };
                read = Model::parse(&text, &path.display().to_string())?;
                &read
            }
        };
        let report = Report::new(turns, model);
        if let Some(path) = &self.plot {
            fs::write(path, svg(&report)).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        } else {
            write_table(&mut out, &report)?;
        }
        Ok(0)
    }
}

fn write_line(out: &mut dyn Write, name: &str, measured: &Calibration) -> io::Result<()> {
    let Calibration { ece, interval: (low, high), auc, brier, .. } = measured;
    writeln!(out, "{name}: ECE {ece:.3} ({low:.3} to {high:.3}), AUC {auc:.3}, Brier {brier:.3}")
}

fn write_table(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    writeln!(
        out,
        "{} turns of {} questions; the first entry is right in {:.1} %",
        report.turns,
        report.questions,
        report.right * 100.0
    )?;
    write_line(out, "fitted  ", &report.fitted)?;
    write_line(out, "by hand ", &report.by_hand)?;
    writeln!(out, "\n            fitted                             by hand")?;
    writeln!(out, "threshold   answered  wrongly  needlessly not   answered  wrongly  needlessly not")?;
    for (fitted, by_hand) in report.costs.iter().zip(&report.costs_by_hand) {
        write!(out, "{:>9.2}", fitted.threshold)?;
        for cost in [fitted, by_hand] {
            let [answered, wrongly, needlessly] =
                [cost.answered, cost.wrongly, cost.needlessly].map(|share| format!("{:.1} %", share * 100.0));
            write!(out, "  {answered:>9}{wrongly:>9}{needlessly:>16}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Confidence against the share that was right, as a picture.
fn svg(report: &Report) -> String {
    const SIDE: f64 = 360.0;
    const LEFT: f64 = 70.0;
    const BOTTOM: f64 = 390.0;
    let x = |p: f64| LEFT + p * SIDE;
    let y = |p: f64| BOTTOM - p * SIDE;
    let line = |measured: &Calibration, colour: &str| {
        let points: Vec<(f64, f64)> =
            measured.bins.iter().map(|(sure, right, _)| (x(*sure), y(*right))).collect();
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let dots =
            points.iter().map(|(x, y)| format!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#));
        format!(
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>{}"#,
            path.join(" "),
            dots.collect::<String>()
        )
    };
    let grid: Vec<String> = (0..=10_u8)
        .map(|n| {
            let p = f64::from(n) / 10.0;
            format!(
                r##"<line x1="{0:.0}" y1="30" x2="{0:.0}" y2="{BOTTOM}" stroke="#ddd"/><text x="{0:.0}" y="408" text-anchor="middle">{p:.1}</text><line x1="{LEFT}" y1="{1:.0}" x2="430" y2="{1:.0}" stroke="#ddd"/><text x="62" y="{2:.0}" text-anchor="end">{3} %</text>"##,
                x(p),
                y(p),
                y(p) + 4.0,
                n * 10
            )
        })
        .collect();
    let grid = grid.concat();
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 460 440" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>{grid}
<line x1="{LEFT}" y1="{BOTTOM}" x2="430" y2="30" stroke="#888" stroke-dasharray="4"/>
<text x="250" y="430" text-anchor="middle">confidence of the turn</text>
<text x="18" y="210" text-anchor="middle" transform="rotate(-90 18 210)">turns that were right</text>
{}
{}
<text x="84" y="52" fill="#1f618d">fitted, ECE {:.3}</text><text x="84" y="70" fill="#c0392b">formula before, ECE {:.3}</text>
</svg>
"##,
        line(&report.by_hand, "#c0392b"),
        line(&report.fitted, "#1f618d"),
        report.fitted.ece,
        report.by_hand.ece
    )
}
