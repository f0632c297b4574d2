//! `nightline kb`: what callers are told, for seats who look it up and for those who keep it.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::asr::Transcript;
use crate::config::Config;
use crate::dialogue::knowledge::{self, Entry, Sensitivity, Status};
use crate::dialogue::light::LightMind;
use crate::dialogue::source::Source;
use crate::dialogue::tenant::Tenant;
use crate::dialogue::text::Lang;
use crate::dialogue::vehicle::Vehicle;
use crate::dialogue::{Ask, Decision, Mind as _, Thought};
use crate::kb::check;
use crate::kb::find::{Finder, Near};
use crate::kb::ingest::{self, File, Item, Options, Report};
use crate::kb::shelf::{self, Shelf};

/// The knowledge of the tenant.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// What a caller who asks this is told, and the entries that come near.
    Ask(AskArgs),
    /// All entries, in use or not.
    List(ListArgs),
    /// One entry, as it is in its file.
    Show {
        /// Its id.
        id: String,
    },
    /// Everything that is wrong with the knowledge; exit 1 if something is.
    Check {
        /// As JSON on standard output.
        #[arg(long)]
        json: bool,
    },
    /// Make drafts of documents, web pages and the records of past calls, for review; exit 1 if a file cannot be read.
    Ingest(IngestArgs),
    /// Let callers be told these entries from the next start of the service on; earlier versions are retired.
    Approve {
        /// Their ids.
        #[arg(required = true)]
        ids: Vec<String>,
        /// Who has checked them.
        #[arg(long, value_name = "NAME", env = "USER")]
        by: String,
        /// The folder with the entries; the tenant's own without it.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Take an entry out of use.
    Retire {
        /// Its id.
        id: String,
        /// The folder with the entries; the tenant's own without it.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

/// Options of `nightline kb ask`.
#[derive(Debug, clap::Args)]
pub struct AskArgs {
    /// The question, in the caller's words.
    question: String,
    /// The caller's vehicle: a model, and its year if known (青屿 S7 2024).
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// As JSON on standard output.
    #[arg(long)]
    json: bool,
    /// Show at most so many entries.
    #[arg(long, default_value_t = 3, value_name = "N")]
    limit: usize,
}

/// Options of `nightline kb list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Only those of this status.
    #[arg(long)]
    status: Option<StatusArg>,
    /// As JSON on standard output.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum StatusArg {
    Draft,
    Approved,
    Retired,
}

/// Options of `nightline kb ingest`.
#[derive(Debug, clap::Args)]
pub struct IngestArgs {
    /// Files and folders: .md, .html, .pdf, .docx, .txt, and the .json of calls.
    #[arg(required = true, value_name = "FILE|FOLDER")]
    paths: Vec<PathBuf>,
    /// Where drafts go; the tenant's knowledge folder without it.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Group of topics for the new entries.
    #[arg(long, default_value = "documents")]
    category: String,
    /// As JSON on standard output.
    #[arg(long)]
    json: bool,
}

impl Command {
    /// Exit 1 if something is wrong, 66 if there is no such entry.
    pub fn run(self, config: Config) -> anyhow::Result<u8> {
        let mut out = io::stdout().lock();
        match self {
            Self::Ask(args) => ask(&config, &args, &mut out),
            Self::List(args) => list(&config, &args, &mut out),
            Self::Show { id } => show(&config, &id, &mut out),
            Self::Check { json } => check(&config, json, &mut out),
            Self::Ingest(args) => ingest(&config, &args, &mut out),
            Self::Approve { ids, by, out: folder } => approve(&config, &ids, &by, folder, &mut out),
            Self::Retire { id, out: folder } => {
                let mut shelf = Shelf::open(&kept(&config, folder)?)?;
                if let Err(error) = shelf.retire(&id) {
                    return refused(&error);
                }
                writeln!(out, "{id} is retired")?;
                Ok(0)
            }
        }
    }
}

fn ask(config: &Config, args: &AskArgs, out: &mut impl Write) -> anyhow::Result<u8> {
    let tenant = Tenant::load(&config.tenant.name, config.tenant.folder.as_deref())?;
    let vehicle = match &args.model {
        None => None,
        Some(text) => {
            Some(Vehicle::parse(text).with_context(|| format!("--model: \"{text}\" names no model"))?)
        }
    };
    let mut told = String::new();
    let mut asked = Ask {
        transcript: Transcript { text: args.question.clone(), confidence: 1.0, ..Transcript::default() },
        ..Ask::default()
    };
    if let Some(vehicle) = &vehicle {
        let fact = json!({"model": vehicle.model, "model_year": vehicle.year});
        asked.memory.facts.insert("vehicle".into(), fact);
    }
    let decision = think(&LightMind::new(tenant.clone()), asked, &mut told)?;
    let finder = Finder::new(tenant);
    let (hits, found_confidence) = finder.find(&args.question, vehicle.as_ref(), args.limit);
    let lang = Lang::of(&args.question).unwrap_or_default();
    if args.json {
        let hits: Vec<Value> = hits
            .iter()
            .map(|Near { entry, score, matched }| {
                let mut shown = summary(entry);
                shown["score"] = json!(score);
                shown["matched"] = json!(matched);
                shown["answer"] = json!(entry.answer(lang));
                shown
            })
            .collect();
        let whole = json!({
            "question": args.question,
            "told": told,
            "act": decision.act.name(),
            "sources": decision.sources,
            "confidence": decision.confidence,
            "found_confidence": found_confidence,
            "entries": hits,
        });
        writeln!(out, "{}", serde_json::to_string_pretty(&whole)?)?;
        return Ok(0);
    }
    let told = if told.is_empty() { "（无声）" } else { &told };
    writeln!(
        out,
        "{told}\n  [{} {:.2}{}]",
        decision.act.name(),
        decision.confidence,
        decision.sources.iter().map(|s| format!(" {s}")).collect::<Vec<_>>().concat()
    )?;
    for (at, Near { entry, score, matched: words }) in hits.iter().enumerate() {
        let sure = if at == 0 { format!(", confidence {found_confidence:.2}") } else { String::new() };
        let why = if words.is_empty() { "its sound".to_owned() } else { words.join(" ") };
        writeln!(
            out,
            "\n{} v{}  {}\n  score {score:.2}{sure}, {}, for {}, matched: {why}",
            entry.id,
            entry.version,
            entry.title(lang),
            shelf::care(entry.sensitivity),
            models(entry)
        )?;
        writeln!(out, "  {}", entry.answer(lang))?;
        if let Some(origin) = &entry.source {
            writeln!(out, "  from {}, {}", origin.document, origin.place)?;
        }
    }
    if hits.is_empty() {
        writeln!(out, "\nNo entry comes near.")?;
    }
    Ok(0)
}

/// What the light tier says and decides.
fn think(mind: &LightMind, ask: Ask, told: &mut String) -> anyhow::Result<Decision> {
    let (send, receive) = std::sync::mpsc::channel();
    // The light tier thinks on the spot; whoever does not listen any more is no fault of its.
    mind.think(ask, Box::new(move |thought| drop(send.send(thought))));
    let mut decided = None;
    for thought in receive {
        match thought {
            Thought::Clause(clause) => told.push_str(&clause),
            Thought::Decided(decision) => decided = Some(decision),
        }
    }
    decided.context("the light tier came to no decision")
}

fn list(config: &Config, args: &ListArgs, out: &mut impl Write) -> anyhow::Result<u8> {
    let source = source(config)?;
    let wanted = args.status.map(|status| match status {
        StatusArg::Draft => Status::Draft,
        StatusArg::Approved => Status::Approved,
        StatusArg::Retired => Status::Retired,
    });
    let mut entries = Vec::new();
    for (_, entry) in knowledge::read(&source)? {
        entries.push(entry?);
    }
    entries.retain(|entry| wanted.is_none_or(|wanted| entry.status == wanted));
    entries.sort_by(|a, b| (&a.id, a.version).cmp(&(&b.id, b.version)));
    if args.json {
        let all: Vec<Value> = entries.iter().map(summary).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(0);
    }
    let widest = entries.iter().map(|e| e.id.len()).max().unwrap_or(0);
    for entry in &entries {
        let care = match entry.sensitivity {
            Sensitivity::Normal => String::new(),
            other => format!("  ({})", shelf::care(other)),
        };
        writeln!(
            out,
            "{:widest$}  v{:<2} {:8}  {}{care}",
            entry.id,
            entry.version,
            shelf::name(entry.status),
            entry.title
        )?;
    }
    Ok(0)
}

fn show(config: &Config, id: &str, out: &mut impl Write) -> anyhow::Result<u8> {
    let source = source(config)?;
    let mut found = Vec::new();
    for file in source.list("knowledge", "md")? {
        let text = source.read(&file)?;
        // Whatever is wrong with other files is for `kb check` to tell.
        if knowledge::parse(&source.show(&file), &text).is_ok_and(|entry| entry.id == id) {
            found.push((source.show(&file), text));
        }
    }
    for (file, text) in &found {
        writeln!(out, "# {file}\n{text}")?;
    }
    if found.is_empty() {
        return refused(&shelf::Error::Unknown { id: id.into() });
    }
    Ok(0)
}

fn check(config: &Config, as_json: bool, out: &mut impl Write) -> anyhow::Result<u8> {
    let source = source(config)?;
    let house = Tenant::config(&source)?;
    let mut problems = Vec::new();
    let flows = match Tenant::deeds(&source) {
        Ok((_, flows)) => Some(flows),
        Err(error) => {
            let file = source.show("flows");
            problems.push(check::Problem { file, id: None, problem: error.to_string() });
            None
        }
    };
    problems.extend(check::check(knowledge::read(&source)?, &house, flows.as_ref(), today()));
    if as_json {
        writeln!(out, "{}", serde_json::to_string_pretty(&problems)?)?;
    } else {
        for problem in &problems {
            let id = problem.id.as_ref().map(|id| format!("`{id}` ")).unwrap_or_default();
            writeln!(out, "{}: {id}{}", problem.file, problem.problem)?;
        }
        let count = problems.len();
        writeln!(
            io::stderr(),
            "{}",
            if count == 0 { "no problem".to_owned() } else { format!("{count} problems") }
        )?;
    }
    Ok(u8::from(!problems.is_empty()))
}

fn ingest(config: &Config, args: &IngestArgs, out: &mut impl Write) -> anyhow::Result<u8> {
    let tenant = Tenant::load(&config.tenant.name, config.tenant.folder.as_deref())?;
    let mut shelf = Shelf::open(&kept(config, args.out.clone())?)?;
    let files = ingest::files(&args.paths)?;
    crate::kb::read::keep_panics_quiet();
    let bar = ProgressBar::new(files.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{pos}/{len} {bar:30} {msg}") {
        bar.set_style(style);
    }
    let options = Options { category: args.category.clone(), today: today() };
    let report = ingest::ingest(&mut shelf, &tenant, &files, &options, &mut |file: &File| {
        bar.set_message(file.name.clone());
        bar.inc(1);
    })?;
    bar.finish_and_clear();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        tell(&report, out)?;
    }
    Ok(u8::from(!report.failed.is_empty()))
}

fn tell(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let groups: [(&str, &[Item]); 3] =
        [("new", &report.new), ("changed", &report.changed), ("gone", &report.gone)];
    for (name, items) in groups {
        for item in items {
            writeln!(
                out,
                "{name:8} {} v{}  {}  ({}: {})",
                item.id, item.version, item.title, item.document, item.place
            )?;
        }
    }
    for failure in &report.failed {
        writeln!(io::stderr(), "error: {}", failure.problem)?;
    }
    writeln!(
        out,
        "{} new, {} changed, {} unchanged, {} gone; {} questions of callers are answered by now, {} left out as private; {} files failed",
        report.new.len(),
        report.changed.len(),
        report.unchanged.len(),
        report.gone.len(),
        report.answered,
        report.private,
        report.failed.len()
    )?;
    if report.new.len() + report.changed.len() > 0 {
        writeln!(out, "Read and correct the drafts, then `nightline kb approve ID`.")?;
    }
    Ok(())
}

fn approve(
    config: &Config,
    ids: &[String],
    by: &str,
    folder: Option<PathBuf>,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    let source = source(config)?;
    let house = Tenant::config(&source)?;
    let (_, flows) = Tenant::deeds(&source)?;
    let mut shelf = Shelf::open(&kept(config, folder)?)?;
    let mut failed = 0;
    for id in ids {
        let problem = |entry: &Entry| {
            let problems = check::unfit(entry, &house, Some(&flows));
            (!problems.is_empty()).then(|| problems.join("; "))
        };
        match shelf.approve(id, by, today(), problem) {
            Ok(filed) => writeln!(out, "{id} v{} is approved", filed.entry.version)?,
            Err(error) => failed = refused(&error)?.max(failed),
        }
    }
    Ok(failed)
}

/// Tells an error that is the user's to mend.
fn refused(error: &shelf::Error) -> anyhow::Result<u8> {
    writeln!(io::stderr(), "error: {error}")?;
    Ok(if matches!(error, shelf::Error::Unknown { .. }) { super::exit::NO_INPUT } else { super::exit::WRONG })
}

fn source(config: &Config) -> anyhow::Result<Source> {
    Ok(Tenant::source(&config.tenant.name, config.tenant.folder.as_deref())?)
}

/// The folder with the entries that may be changed.
fn kept(config: &Config, out: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    match (out, source(config)?) {
        (Some(folder), _) => Ok(folder),
        (None, Source::Folder(root)) => Ok(root.join("knowledge")),
        (None, Source::Embedded(name)) => anyhow::bail!(
            "the tenant `{name}` is inside the program and cannot be changed; set tenant.folder in the configuration, or give --out DIR"
        ),
    }
}

fn summary(entry: &Entry) -> Value {
    json!({
        "id": entry.id,
        "version": entry.version,
        "title": entry.title,
        "category": entry.category,
        "status": entry.status,
        "sensitivity": entry.sensitivity,
        "models": entry.models.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "valid_from": entry.valid_from,
        "valid_until": entry.valid_until,
        "source": entry.source,
        "approved_by": entry.approved_by,
        "approved_at": entry.approved_at,
    })
}

fn models(entry: &Entry) -> String {
    match entry.models.as_slice() {
        [] => "all vehicles".to_owned(),
        models => models.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn today() -> jiff::civil::Date {
    jiff::Timestamp::try_from(crate::clock::wall())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_zoned(jiff::tz::TimeZone::system())
        .date()
}
