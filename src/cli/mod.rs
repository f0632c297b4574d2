//! The commands, one file each.

mod asr;
mod backoffice;
mod calendar;
mod call;
pub mod completions;
mod confidence;
pub mod config;
mod demo;
pub mod doctor;
mod hooks;
mod kb;
pub mod models;
mod people;
mod promises;
pub mod record;
mod replay;
mod scenarios;
mod serve;
mod sim;
#[cfg(feature = "desk")]
mod talk;
mod turns;
mod waterfall;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, LogFormat};
use crate::store::Store;

/// Exit codes that scripts may rely on (sysexits.h).
pub mod exit {
    use std::process::ExitCode;

    /// All is well.
    pub const OK: ExitCode = ExitCode::SUCCESS;
    /// Something that was checked is wrong.
    pub const WRONG: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 64;
    /// What was asked for is not there.
    pub const NO_INPUT: u8 = 66;
    /// The service cannot be opened (port in use, model broken, no voice …).
    pub const UNAVAILABLE: u8 = 69;
    /// The configuration is wrong.
    pub const CONFIG: u8 = 78;
}

/// A voice bridge between a telephone hotline and a machine that can listen, think, speak and act.
#[derive(Debug, Parser)]
#[command(name = "nightline", version, about)]
pub struct Cli {
    /// Configuration file; nightline.toml is read if it is there.
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer calls until stopped.
    Serve(serve::Args),
    /// Place one call: a recorded caller of our own.
    Call(call::Args),
    /// Talk to the bot at this desk, with microphone and speaker.
    #[cfg(feature = "desk")]
    Talk(talk::Args),
    /// Play recorded callers against this build and judge what comes of it.
    Replay(replay::Args),
    /// Have conversations by text against this build, its tools and a back office, and judge what comes of them.
    Scenarios(scenarios::Args),
    /// A server, a real SIP call with a recorded caller, a seat, and the conversation on the screen.
    Demo(demo::Args),
    /// Check ports, model, voice, disk, and say what to do.
    Doctor(doctor::Doctor),
    /// Check or print the configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// The recogniser's models.
    Models(models::Args),
    /// Measure the recogniser.
    #[command(subcommand)]
    Asr(asr::Command),
    /// Measure turn-taking.
    #[command(subcommand)]
    Turns(turns::Command),
    /// Fit and measure the confidence of a turn.
    #[command(subcommand)]
    Confidence(confidence::Command),
    /// Have thousands of simulated callers talk to this build, and hold it to its promises.
    Sim(sim::Args),
    /// The reference back office: customers, cars, bookings, rescue and more over HTTP, until stopped.
    Backoffice(backoffice::Args),
    /// The knowledge: search it, check it, take documents and past calls in, approve.
    #[command(subcommand)]
    Kb(kb::Command),
    /// When people answer, and why: hours, public holidays, make-up workdays.
    #[command(subcommand)]
    Calendar(calendar::Command),
    /// Stored calls.
    #[command(subcommand)]
    Calls(record::CallsCommand),
    /// Promised call-backs.
    #[command(subcommand)]
    Callbacks(promises::CallbacksCommand),
    /// Messages that callers left.
    #[command(subcommand)]
    Messages(promises::MessagesCommand),
    /// What people have to do after calls, until the tenant's systems have taken it.
    #[command(subcommand)]
    WorkOrders(promises::WorkOrdersCommand),
    /// People who take calls.
    #[command(subcommand)]
    Seats(people::SeatsCommand),
    /// Calls that we place: call-backs, reminders, events.
    #[command(subcommand)]
    Outbound(people::OutboundCommand),
    /// Webhooks: what waits to be told, and a test of those who are told.
    #[command(subcommand)]
    Hooks(hooks::Command),
    /// Completions for a shell, on standard output.
    Completions(completions::Completions),
}

impl Cli {
    /// Runs the command. Data goes to standard output, everything else to standard error.
    pub fn run(self) -> ExitCode {
        let file = self.config.as_deref();
        match self.command {
            Command::Config(command) => {
                code(command.run(file, std::env::vars(), &mut io::stdout().lock(), &mut io::stderr().lock()))
            }
            Command::Completions(args) => code(args.run::<Self>(&mut io::stdout().lock()).map(|()| 0)),
            Command::Models(args) => {
                simple_log("warn");
                code(block_on(models::run(args)).map(|()| 0))
            }
            Command::Backoffice(args) => {
                simple_log("info,sqlx=warn");
                code(block_on(args.run()))
            }
            Command::Serve(args) => with_config(file, |config| block_on(args.run(config))),
            Command::Call(args) => with_config(file, |config| block_on(args.run(config))),
            #[cfg(feature = "desk")]
            Command::Talk(args) => with_config(file, |config| block_on(args.run(config))),
            Command::Asr(command) => with_config(file, |config| command.run(&config)),
            Command::Turns(command) => with_config(file, |config| command.run(&config)),
            Command::Confidence(command) => code(command.run()),
            Command::Calendar(command) => with_config(file, |config| command.run(&config)),
            Command::Seats(command) => with_config(file, |config| block_on(command.run(config))),
            Command::Outbound(command) => with_config(file, |config| block_on(command.run(config))),
            Command::Hooks(command) => with_config(file, |config| block_on(command.run(config))),
            Command::Kb(command) => with_config(file, |config| command.run(config)),
            Command::Sim(args) => with_config(file, |config| args.run(config)),
            Command::Replay(args) => with_config(file, |config| args.run(config)),
            Command::Scenarios(args) => with_config(file, |config| block_on(args.run(config))),
            Command::Demo(args) => with_config(file, |config| block_on(args.run(config))),
            Command::Doctor(args) => with_config(file, |config| {
                block_on(async { Ok(args.run(&config, doctor_checks, &mut io::stdout().lock()).await?) })
            }),
            Command::Calls(command) => with_store(file, async |store: &Store| {
                command.run(store, &mut io::stdout().lock(), &mut io::stderr().lock()).await
            }),
            Command::Messages(command) => amend_store(file, async |store: &Store| {
                command.run(store, &mut io::stdout().lock(), &mut io::stderr().lock()).await
            }),
            Command::WorkOrders(command) => amend_store(file, async |store: &Store| {
                command.run(store, &mut io::stdout().lock(), &mut io::stderr().lock()).await
            }),
            Command::Callbacks(command) => {
                with_store(file, async |store: &Store| command.run(store, &mut io::stdout().lock()).await)
            }
        }
    }
}

fn with_config(file: Option<&Path>, run: impl FnOnce(Config) -> anyhow::Result<u8>) -> ExitCode {
    match Config::load(file) {
        Ok(config) => {
            log(&config);
            code(run(config))
        }
        Err(error) => {
            // Standard error may be closed; the exit code tells all the same.
            let _ = config::report(&error, &mut io::stderr().lock());
            ExitCode::from(exit::CONFIG)
        }
    }
}

fn with_store(file: Option<&Path>, run: impl AsyncFnOnce(&Store) -> anyhow::Result<u8>) -> ExitCode {
    with_config(file, |config| {
        block_on(async {
            let store = Store::read(&config.store).await?;
            run(&store).await
        })
    })
}

/// The same with a store that can be written to beside a running server.
fn amend_store(file: Option<&Path>, run: impl AsyncFnOnce(&Store) -> anyhow::Result<u8>) -> ExitCode {
    with_config(file, |config| {
        block_on(async {
            let store = Store::amend(&config.store).await?;
            run(&store).await
        })
    })
}

fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Runtime::new()?.block_on(future)
}

/// Ends at SIGINT or SIGTERM.
async fn stopped() {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminate => {}
    }
}

fn code<E: Into<anyhow::Error>>(result: Result<u8, E>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {:#}", error.into());
            ExitCode::from(exit::UNAVAILABLE)
        }
    }
}

fn log(config: &Config) {
    let filter = tracing_subscriber::EnvFilter::try_new(&config.log.filter).unwrap_or_default();
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // A second initialisation (in tests) changes nothing.
    let _ = match config.log.format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().try_init(),
    };
}

/// What the doctor looks at beside the machine: the model, the voice and the tools.
fn doctor_checks(config: &Config) -> Vec<doctor::Check> {
    let (asr, all, tools, hours) = (config.asr.clone(), config.clone(), config.clone(), config.clone());
    vec![
        doctor::Check { name: "recogniser", run: Box::new(move || crate::services::check_recognizer(&asr)) },
        doctor::Check { name: "voices", run: Box::new(move || crate::services::check_voices(&all)) },
        doctor::Check { name: "tools", run: Box::new(move || crate::services::check_tools(&tools)) },
        doctor::Check { name: "calendar", run: Box::new(move || calendar::verdict(&hours)) },
    ]
}

fn simple_log(filter: &str) {
    let filter = tracing_subscriber::EnvFilter::new(filter);
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).try_init();
}

/// The folder with recorded callers: beside the working directory, or beside the program's sources.
fn fixtures_folder() -> PathBuf {
    let here = PathBuf::from("fixtures");
    if here.is_dir() { here } else { Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures") }
}
