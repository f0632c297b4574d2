//! `nightline scenarios`: conversations as YAML against this build, its tools and a back office of their own.

use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::config::Config;
use crate::dialogue::tenant::Tenant;
use crate::qa::pad;
use crate::qa::scenario::{self, Callers, Verdict};
use crate::services::{Pools, llm_config};

/// Options of `nightline scenarios`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A scenario (NAME.yaml), or a folder of them.
    #[arg(default_value = "fixtures/scenarios")]
    path: PathBuf,
    /// Only those whose name or mission rows contain this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// By voice: callers are synthesised, heard by the configured recogniser, and answered over RTP, on virtual time.
    #[arg(long)]
    voice: bool,
    /// Every conversation, not only the table.
    #[arg(long, short)]
    verbose: bool,
    /// Verdicts as JSON on standard output.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Exit 1 if a conversation did not come out right.
    pub async fn run(self, config: Config) -> anyhow::Result<u8> {
        let tenant = Tenant::load(&config.tenant.name, config.tenant.folder.as_deref())?;
        let mut scenarios = scenario::load(&self.path)?;
        if let Some(only) = &self.only {
            scenarios.retain(|s| s.name.contains(only.as_str()) || s.shows.iter().any(|row| row == only));
        }
        let mut verdicts = Vec::new();
        let progress = progress(scenarios.len());
        if self.voice {
            let folder = if self.path.is_dir() {
                self.path.as_path()
            } else {
                self.path.parent().unwrap_or(&self.path)
            };
            let callers = Callers::open(&folder.join("voices"))?;
            let mut pools = Pools::open(&config)?;
            for (number, one) in scenarios.iter().enumerate() {
                progress.set_message(one.name.clone());
                pools = pools.in_language(if one.is_english() { "en" } else { "zh" });
                verdicts.push(scenario::telephone(one, number, tenant.clone(), &pools, &callers).await?);
                progress.inc(1);
            }
        } else {
            for one in &scenarios {
                progress.set_message(one.name.clone());
                verdicts.push(scenario::converse(one, tenant.clone(), llm_config(&config)).await?);
                progress.inc(1);
            }
        }
        progress.finish_and_clear();
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&verdicts)?)?;
        } else {
            self.print(&verdicts, &mut out)?;
        }
        Ok(u8::from(verdicts.iter().any(|verdict| !verdict.passed())))
    }

    fn print(&self, verdicts: &[Verdict], out: &mut impl Write) -> io::Result<()> {
        for verdict in verdicts {
            let mark = if verdict.passed() { "ok  " } else { "FAIL" };
            writeln!(out, "{mark} {} {}", pad(&verdict.name, 28), verdict.title)?;
            if self.verbose || !verdict.passed() {
                for turn in &verdict.turns {
                    writeln!(out, "       客户  {}", turn.said)?;
                    let tools = turn.tools.join(" ");
                    writeln!(
                        out,
                        "       {}  {}  [{} {:.2}{}{tools}]",
                        if turn.answer.is_empty() { "（无声）" } else { "机器人" },
                        turn.answer,
                        turn.act,
                        turn.confidence,
                        if tools.is_empty() { "" } else { " " },
                    )?;
                }
            }
            for failure in &verdict.failures {
                writeln!(out, "       ✗ {failure}")?;
            }
        }
        let passed = verdicts.iter().filter(|verdict| verdict.passed()).count();
        let mut clauses: Vec<Duration> = verdicts
            .iter()
            .flat_map(|v| &v.turns)
            .filter(|t| t.tools.is_empty())
            .filter_map(|t| t.first_clause)
            .collect();
        clauses.sort();
        let at =
            |share: f64| clauses.get((clauses.len() as f64 * share) as usize).copied().unwrap_or_default();
        writeln!(
            out,
            "{passed} of {} scenarios; first clause without a tool p50 {:.1?}, p95 {:.1?}",
            verdicts.len(),
            at(0.5),
            at(0.95)
        )
    }
}

fn progress(length: usize) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length as u64).with_style(style)
}
