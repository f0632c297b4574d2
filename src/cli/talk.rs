//! `nightline talk`: microphone and speaker.

use std::io::{self, Write};

use tokio_util::sync::CancellationToken;

use super::demo::Printer;
use crate::call::Call;
use crate::clock::Clock;
use crate::config::Config;
use crate::driver::Session;
use crate::driver::live::{self, Surroundings};
use crate::leg::desk::{self, Desk};
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
}

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
        let desk = Desk::open(self.microphone, self.speaker)?;
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
        let taps = vec![Printer::boxed(|line| drop(writeln!(io::stderr(), "{line}")))];
        let (mut session, inbox) = Session::new(call, pools.services.clone(), &info, taps);
        let surroundings =
            Surroundings { clock, line: None, recorder: None, rtp_timeout: config.rtp.timeout, shutdown };
        live::run(&mut session, inbox, desk, surroundings).await;
        Ok(0)
    }
}
