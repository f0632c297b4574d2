//! `nightline models list|verify|fetch`: the recogniser's models.

use std::path::PathBuf;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};

use crate::asr::models::{CATALOGUE, Progress, Sums, fetch, find, verify};
use crate::asr::whisper::inspect;

/// Lists, verifies and fetches whisper models.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show the published models: size, languages, memory, speed.
    List {
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Check that a file is a whole whisper model, and the one that was published under its name.
    Verify {
        /// A file, or the name of a published model in --dir.
        model: String,
        /// Where models are kept.
        #[arg(long, default_value = "models")]
        dir: PathBuf,
    },
    /// Fetch a published model; continues a fetch that was cut.
    Fetch {
        /// Its name in `nightline models list`.
        name: String,
        /// Where to put it.
        #[arg(long, default_value = "models")]
        dir: PathBuf,
        /// Fetch from here instead of the published address (a mirror); the sum is checked all the same.
        #[arg(long)]
        url: Option<String>,
    },
}

/// Runs the command: data to standard output, everything else to standard error.
pub async fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::List { json: true } => println!("{}", serde_json::to_string_pretty(&entries())?),
        Command::List { json: false } => list(),
        Command::Verify { model, dir } => {
            let named = find(&model).ok();
            let path = match named {
                Some(published) if !PathBuf::from(&model).exists() => dir.join(published.file()),
                _ => PathBuf::from(&model),
            };
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let published = find(&name).ok();
            let expected = published.and_then(|published| published.sha1);
            let bar = bar("checking");
            let shown = bar.clone();
            let file = path.clone();
            let sums = tokio::task::spawn_blocking(move || {
                bar.set_length(std::fs::metadata(&file).map_or(0, |meta| meta.len()));
                verify(&file, expected, |bytes| bar.inc(bytes))
            })
            .await?;
            shown.finish_and_clear();
            print(&path, &sums?)?;
            match published {
                Some(published) if expected.is_some() => {
                    eprintln!("this is the published `{}`", published.name);
                }
                _ => eprintln!("a whole whisper model; no published sum is known for this name"),
            }
        }
        Command::Fetch { name, dir, url } => {
            let published = find(&name)?;
            let path = dir.join(published.file());
            if path.exists() {
                anyhow::bail!(
                    "{} is already there; check it with `nightline models verify {}` or delete it",
                    path.display(),
                    path.display()
                );
            }
            std::fs::create_dir_all(&dir)
                .with_context(|| format!("cannot make the folder {}", dir.display()))?;
            let url = url.unwrap_or_else(|| published.url());
            eprintln!("fetching {url}");
            let bar = bar(published.name);
            let fetched = fetch(&url, &path, published.sha1, |step| match step {
                Progress::Start(have, whole) => {
                    bar.set_length(whole.unwrap_or(u64::from(published.size_mib) << 20));
                    bar.set_position(have);
                    bar.reset_eta();
                }
                Progress::Got(bytes) => bar.inc(bytes),
            })
            .await;
            bar.finish_and_clear();
            print(&path, &fetched?)?;
            eprintln!("use it with `asr.model = \"{}\"`", path.display());
        }
    }
    Ok(())
}

fn entries() -> Vec<serde_json::Value> {
    let entry = |model: &crate::asr::models::Published| {
        serde_json::json!({
            "name": model.name, "file": model.file(), "url": model.url(), "size_mib": model.size_mib, "sha1": model.sha1,
            "languages": model.languages, "memory_mib": model.memory_mib, "real_time_factor": model.real_time_factor,
        })
    };
    CATALOGUE.iter().map(entry).collect()
}

fn list() {
    println!("{:<20} {:>9} {:>10} {:>6}  languages", "name", "file MiB", "memory MiB", "RTF");
    for model in CATALOGUE {
        println!(
            "{:<20} {:>9} {:>10} {:>6}  {}",
            model.name, model.size_mib, model.memory_mib, model.real_time_factor, model.languages
        );
    }
    eprintln!("RTF: seconds of one core for a second of speech. For Mandarin callers begin with small-q8_0.");
}

fn print(path: &std::path::Path, sums: &Sums) -> anyhow::Result<()> {
    let header = inspect(path)?;
    println!("{}", path.display());
    println!(
        "  {} bytes, width {}, {}+{} layers",
        sums.length, header.n_state, header.n_audio_layer, header.n_text_layer
    );
    println!("  sha1   {}", sums.sha1);
    println!("  sha256 {}", sums.sha256);
    Ok(())
}

fn bar(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:12} {bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    let bar = ProgressBar::new(0).with_message(name.to_owned());
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
