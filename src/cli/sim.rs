//! `nightline sim`: thousands of simulated callers on virtual time.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use super::{exit, fixtures_folder};
use crate::config::Config;
use crate::qa::turns::Set;
use crate::qa::{pad, width};
use crate::record::name_of;
use crate::services::Pools;
use crate::sim::talks::score::{Count, Spread, Tally, tally};
use crate::sim::talks::{Behaviour, Material, Network, Outcome, Stage, Talk, timeline};

/// Options of `nightline sim`.
///
/// Callers are made of labelled recordings, and their voices go over real RTP to the voice activity, endpointing, core and
/// mind of this build. The recogniser is a model: it knows what was said, and mishears a share of it. The bot's voice is recorded.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many conversations; callers and networks take turns.
    #[arg(long, short = 'n', value_name = "N", default_value = "450")]
    conversations: u64,
    /// The first conversation's seed; the others' follow it.
    #[arg(long, value_name = "SEED", default_value = "1")]
    seed: u64,
    /// Only the conversation of this seed, with everything that happens in it.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seed", "conversations"])]
    only: Option<u64>,
    /// Only these callers.
    #[arg(long, value_delimiter = ',')]
    behaviour: Vec<Behaviour>,
    /// Only these networks.
    #[arg(long, value_delimiter = ',')]
    network: Vec<Network>,
    /// Who recognises: a model that knows the script, or the embedded recogniser, and then the real voice speaks (slower, and no
    /// conversation repeats exactly, for that voice never speaks twice alike).
    #[arg(long, value_enum, default_value = "script")]
    ears: Hearing,
    /// Share of words that the model mishears.
    #[arg(long, value_name = "SHARE", default_value = "0.05")]
    errors: f64,
    /// Threads [default: one a core].
    #[arg(long, value_name = "N")]
    jobs: Option<std::num::NonZeroUsize>,
    /// Labelled recordings (NAME.jsonl beside NAME.al.zst) [default: both of fixtures/turns].
    #[arg(long, value_name = "FILE")]
    recordings: Vec<PathBuf>,
    /// Every caller over every network in a line of its own.
    #[arg(long)]
    grid: bool,
    /// The figures as JSON on standard output.
    #[arg(long)]
    json: bool,
}

/// Who recognises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Hearing {
    /// A model that knows the script.
    Script,
    /// The embedded recogniser.
    Embedded,
}

/// The figures, for `--json`.
#[derive(Serialize)]
struct Figures {
    all: Tally,
    cells: Vec<Cell>,
    failures: Vec<Failure>,
}

#[derive(Serialize)]
struct Cell {
    behaviour: Behaviour,
    network: Network,
    #[serde(flatten)]
    tally: Tally,
}

#[derive(Serialize)]
struct Failure {
    repeat: String,
    broken: Vec<crate::sim::promises::Broken>,
}

impl Args {
    /// Exit 1 if a promise was broken, 66 if there are no recordings.
    pub fn run(self, config: Config) -> anyhow::Result<u8> {
        // Conversations must not wait for a server, nor differ with its mood.
        let mut config = Config { llm: None, ..config };
        config.asr.remote = None;
        let lists = if self.recordings.is_empty() {
            let folder = fixtures_folder().join("turns");
            vec![folder.join("fit.jsonl"), folder.join("test.jsonl")]
        } else {
            self.recordings.clone()
        };
        let sets = match lists.iter().map(|list| Set::load(list)).collect::<Result<Vec<_>, _>>() {
            Ok(sets) => sets,
            Err(error) => {
                writeln!(io::stderr(), "error: {error}")?;
                return Ok(exit::NO_INPUT);
            }
        };
        let material = Material::new(sets, config.asr.language);
        if let Some(lack) = material.lacks() {
            writeln!(io::stderr(), "error: the recordings have no {lack} in `{}`", config.asr.language)?;
            return Ok(exit::NO_INPUT);
        }
        let runtime = tokio::runtime::Runtime::new()?;
        let _guard = runtime.enter();
        let pools = Pools::open(&config)?;
        let mut stage = Stage::new(&material, &pools.services, &pools.settings);
        stage.embedded = self.ears == Hearing::Embedded;
        stage.errors = self.errors;
        let talks = self.talks();
        let threads =
            self.jobs.or(std::thread::available_parallelism().ok()).map_or(1, std::num::NonZero::get);
        let progress = super::turns::progress(talks.len());
        let outcomes = stage.run(&talks, threads, &|| progress.inc(1));
        progress.finish_and_clear();
        let mut out = io::stdout().lock();
        let failures = self.failures(&outcomes);
        if self.json {
            let grid = tally(&outcomes, &pools.settings.phrases, |behaviour, network| (behaviour, network));
            let cells =
                grid.into_iter().map(|((behaviour, network), tally)| Cell { behaviour, network, tally });
            let all = tally(&outcomes, &pools.settings.phrases, |_, _| ()).remove(&()).unwrap_or_default();
            let cells = cells.collect();
            writeln!(
                out,
                "{}",
                serde_json::to_string_pretty(&Figures { all, cells, failures: self.failures(&outcomes) })?
            )?;
        } else {
            if self.only.is_some() {
                outcomes.iter().try_for_each(|outcome| write!(out, "{}", timeline(outcome)))?;
            } else {
                self.write_tables(&mut out, &outcomes, &pools.settings.phrases)?;
            }
            for failure in &failures {
                let first =
                    failure.broken.first().map(|broken| (broken.at.since_start(), broken.what.as_str()));
                let (at, what) = first.unwrap_or_default();
                writeln!(out, "\nbroken at {:.2} s: {what}\n  {}", at.as_secs_f64(), failure.repeat)?;
            }
        }
        Ok(if failures.is_empty() { 0 } else { exit::WRONG })
    }

    fn talks(&self) -> Vec<Talk> {
        let or =
            |given: &[Behaviour]| if given.is_empty() { Behaviour::ALL.to_vec() } else { given.to_vec() };
        let behaviours = or(&self.behaviour);
        let networks = if self.network.is_empty() { Network::ALL.to_vec() } else { self.network.clone() };
        let seeds = match self.only {
            Some(seed) => seed..seed.saturating_add(1),
            None => self.seed..self.seed.saturating_add(self.conversations),
        };
        seeds.map(|seed| Talk::new(seed, &behaviours, &networks)).collect()
    }

    fn failures(&self, outcomes: &[Outcome]) -> Vec<Failure> {
        let broken = outcomes.iter().filter(|outcome| !outcome.broken.is_empty());
        broken
            .map(|outcome| Failure { repeat: self.repeat(outcome.talk), broken: outcome.broken.clone() })
            .collect()
    }

    /// The command that repeats a conversation.
    fn repeat(&self, talk: Talk) -> String {
        let mut command = format!(
            "nightline sim --only {} --behaviour {} --network {} --errors {}",
            talk.seed,
            name_of(&talk.behaviour),
            name_of(&talk.network),
            self.errors
        );
        if self.ears == Hearing::Embedded {
            command.push_str(" --ears embedded");
        }
        for list in &self.recordings {
            command.extend([" --recordings ", &list.display().to_string()]);
        }
        command
    }

    fn write_tables(
        &self,
        out: &mut dyn Write,
        outcomes: &[Outcome],
        phrases: &crate::call::Phrases,
    ) -> io::Result<()> {
        let all = tally(outcomes, phrases, |_, _| "all".to_owned());
        let behaviours = named(tally(outcomes, phrases, |behaviour, _| behaviour), name_of);
        let networks = named(tally(outcomes, phrases, |_, network| network), name_of);
        let mut rows = behaviours;
        rows.extend(networks);
        if self.grid {
            let cell = |(b, n): &(Behaviour, Network)| format!("{} {}", name_of(b), name_of(n));
            rows.extend(named(tally(outcomes, phrases, |behaviour, network| (behaviour, network)), cell));
        }
        rows.extend(all);
        write_table(out, &rows)
    }
}

fn named<K>(tallies: BTreeMap<K, Tally>, name: impl Fn(&K) -> String) -> Vec<(String, Tally)> {
    tallies.into_iter().map(|(key, tally)| (name(&key), tally)).collect()
}

const COLUMNS: [&str; 16] = [
    "talks",
    "turns",
    "cut off",
    "talked over",
    "missed",
    "decided",
    "answered",
    "yield",
    "stopped",
    "murmurs",
    "coughs",
    "beside",
    "echo",
    "phantoms",
    "ladder",
    "broken",
];

fn write_table(out: &mut dyn Write, rows: &[(String, Tally)]) -> io::Result<()> {
    let name = rows.iter().map(|(name, _)| width(name)).max().unwrap_or(0) + 1;
    let line = |out: &mut dyn Write, first: &str, cells: &[String]| {
        write!(out, "{}", pad(first, name))?;
        cells
            .iter()
            .zip(COLUMNS)
            .try_for_each(|(cell, head)| write!(out, " {cell:>0$}", head.len().max(COLUMN)))?;
        writeln!(out)
    };
    line(out, "", &COLUMNS.map(String::from))?;
    rows.iter().try_for_each(|(name, tally)| line(out, name, &cells(tally)))?;
    writeln!(
        out,
        "\ncut off: turns taken for over too early; talked over: those where the bot's voice left before the caller had finished; missed: turns not\n\
         taken for over within three seconds. decided, answered, stopped: median/95th percentile in ms of the decision that a turn is over, of the bot's first sound after it,\n\
         and of its last after an interruption. yield: interruptions that stopped the bot. murmurs, coughs, beside, echo: share of 嗯, coughs,\n\
         others' words and its own voice at which it spoke on. phantoms: turns that nobody said. ladder: silent callers led down it."
    )
}

const COLUMN: usize = 8;

fn cells(tally: &Tally) -> Vec<String> {
    let share = |count: Count| count.share().map_or("-".into(), |share| format!("{share:.3}"));
    let spread =
        |spread: &Spread| spread.percentiles().map_or("-".into(), |(p50, p95)| format!("{p50}/{p95}"));
    let percent = |n: usize| {
        if tally.turns == 0 { "-".into() } else { format!("{:.1} %", 100.0 * n as f64 / tally.turns as f64) }
    };
    vec![
        tally.talks.to_string(),
        tally.turns.to_string(),
        percent(tally.cut_off),
        percent(tally.spoken_over),
        percent(tally.missed),
        spread(&tally.delay_ms),
        spread(&tally.latency_ms),
        share(tally.interruptions),
        spread(&tally.stop_ms),
        share(tally.backchannels),
        share(tally.coughs),
        share(tally.side_talk),
        share(tally.echoes),
        tally.phantoms.to_string(),
        share(tally.ladders),
        tally.broken.to_string(),
    ]
}
