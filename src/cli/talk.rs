//! `nightline talk`: microphone and speaker.

use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::demo::Printer;
use crate::call::Call;
use crate::clock::Clock;
use crate::config::Config;
use crate::driver::Session;
use crate::driver::live::{self, Surroundings};
use crate::leg::desk::{self, Desk, Levels};
use crate::services::{Pools, voice_activity};

/// Options of `nightline talk`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show the microphones and speakers that there are.
    #[arg(long)]
    list: bool,
    /// Microphone by its name in --list.
    #[arg(long, value_name = "NAME")]
    microphone: Option<String>,
    /// Speaker by its name in --list.
    #[arg(long, value_name = "NAME")]
    speaker: Option<String>,
    /// Do not listen while the bot speaks: for a loud speaker beside the microphone. The bot cannot be interrupted then. Otherwise it
    /// knows its own voice by its echo.
    #[arg(long)]
    half_duplex: bool,
}

/// The meter is drawn so often.
const METER: Duration = Duration::from_millis(100);
/// Columns of a meter, and the level at its left end, dBFS.
const COLUMNS: usize = 20;
const FLOOR_DB: f32 = -60.0;

impl Args {
    /// Talks until the bot hangs up or Ctrl-C.
    pub async fn run(self, config: Config) -> anyhow::Result<u8> {
        if self.list {
            let (microphones, speakers) = desk::devices()?;
            let mut out = io::stdout().lock();
            for (what, names) in [("microphone", microphones), ("speaker", speakers)] {
                for name in names {
                    writeln!(out, "{what}\t{name}")?;
                }
            }
            return Ok(0);
        }
        let pools = Pools::open(&config)?;
        let desk = Desk::open(self.microphone, self.speaker, self.half_duplex)?;
        let meter = meter(desk.levels());
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                stop.cancel();
            }
        });
        let clock = Clock::start();
        let info = pools.info("desk", "desk", "nightline");
        let call = Call::new(pools.settings.clone(), voice_activity(), None, clock.now());
        let above = meter.clone();
        let taps = vec![Printer::boxed(move |line| above.suspend(|| drop(writeln!(io::stderr(), "{line}"))))];
        let (mut session, inbox) = Session::new(call, pools.services.clone(), &info, taps);
        let surroundings =
            Surroundings { clock, line: None, recorder: None, rtp_timeout: config.rtp.timeout, shutdown };
        live::run(&mut session, inbox, desk, surroundings).await;
        meter.finish_and_clear();
        Ok(0)
    }
}

/// How loud microphone and speaker are, as a line below the conversation; nothing where nobody looks.
fn meter(levels: Arc<Levels>) -> ProgressBar {
    let target =
        if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let line = ProgressBar::with_draw_target(None, target)
        .with_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
    let drawn = line.clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(METER);
        while !drawn.is_finished() {
            ticks.tick().await;
            drawn.set_message(format!(
                "microphone {}  speaker {}",
                columns(levels.microphone()),
                columns(levels.speaker())
            ));
        }
    });
    line
}

/// A level as a bar with its decibels.
fn columns(level: f32) -> String {
    let db = (20.0 * level.max(1e-6).log10()).max(FLOOR_DB);
    let filled = ((1.0 - db / FLOOR_DB) * COLUMNS as f32).round() as usize;
    format!("[{}{}] {db:>4.0} dB", "█".repeat(filled), " ".repeat(COLUMNS - filled.min(COLUMNS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_shown_between_silence_and_full_scale() {
        assert_eq!(columns(0.0), format!("[{}]  -60 dB", " ".repeat(COLUMNS)));
        assert_eq!(columns(1.0), format!("[{}]    0 dB", "█".repeat(COLUMNS)));
        assert!(columns(0.01).starts_with(&format!("[{} ", "█".repeat(7))), "{}", columns(0.01));
    }
}
