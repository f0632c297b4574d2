//! `nightline call`: a small telephone of our own.

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use nightline_sip::{Codec, Endpoint, EndpointConfig, Transport};

use crate::clock::Clock;
use crate::config::Config;
use crate::leg::sip::Line;
use crate::qa::{Fixture, ScriptedCaller};
use crate::record::wav::StereoWriter;
use crate::ua;

/// Options of `nightline call`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whom to call, as `sip:name@host:port`, perhaps with `;transport=tcp`.
    target: String,
    /// What the caller says: 8 kHz mono 16-bit WAV, spoken from the beginning to the end.
    #[arg(long, value_name = "FILE", required_unless_present = "script")]
    wav: Option<PathBuf>,
    /// A recorded caller with cues instead (`fixtures/NAME.toml`).
    #[arg(long, value_name = "FILE", conflicts_with = "wav")]
    script: Option<PathBuf>,
    /// Record the call here: stereo, caller left, far end right.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Address to call from.
    #[arg(long, default_value = "127.0.0.1")]
    bind: IpAddr,
    /// Offer only this: PCMA, PCMU, G722 or opus; may be given several times, best first. Those of `sip.codecs` if left out.
    #[arg(long, value_name = "CODEC")]
    codec: Vec<Codec>,
    /// What the far end sees as the calling party.
    #[arg(long, default_value = "sip:13800138000@127.0.0.1")]
    from: String,
    /// Hang up after so many seconds.
    #[arg(long, default_value_t = 180)]
    longest_s: u64,
    /// The caller's measurements as JSON on standard output.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Places the call; exit 1 if a cue of the script did not come.
    pub async fn run(self, config: Config) -> anyhow::Result<u8> {
        let fixture = match (&self.script, &self.wav) {
            (Some(script), _) => Fixture::load(script)?,
            (None, Some(wav)) => Fixture::flat(wav)?,
            (None, None) => anyhow::bail!("give --wav or --script"),
        };
        let endpoint_config = EndpointConfig { listen: listen(self.bind), ..EndpointConfig::default() };
        let (endpoint, _incoming) = Endpoint::bind(endpoint_config).await?;
        let line = Line {
            endpoint,
            bind: self.bind,
            advertised: self.bind,
            ports: config.rtp.ports.clone(),
            codecs: if self.codec.is_empty() { config.sip.codecs.clone() } else { self.codec.into() },
            from: self.from.as_str().into(),
            ring_timeout: Duration::from_secs(60),
            clock: Clock::start(),
            screens: None,
            pages: None,
        };
        let leg = line.call(&self.target).await.with_context(|| format!("cannot call {}", self.target))?;
        let recorder = self.record.as_ref().map(|path| {
            StereoWriter::start(path, |error| {
                let _ = writeln!(io::stderr(), "error: the recording stopped: {error}");
            })
        });
        let longest = Duration::from_secs(self.longest_s);
        let conversation = ua::converse(leg, ScriptedCaller::new(fixture), recorder, longest, |note| {
            let _ = writeln!(
                io::stderr(),
                "{:>7.2} s  caller {}",
                note.at.since_start().as_secs_f32(),
                note.text
            );
        })
        .await;
        line.endpoint.shutdown().await;
        let report = &conversation.report;
        if self.json {
            serde_json::to_writer_pretty(io::stdout().lock(), report)?;
            writeln!(io::stdout())?;
        } else {
            for turn in &report.turns {
                let after = turn.answered_after.map_or("-".into(), |d| format!("{} ms", d.as_millis()));
                writeln!(io::stdout(), "{:>7} ms  answered after {after}  {}", turn.began_ms, turn.text)?;
            }
        }
        for trouble in &report.trouble {
            let _ = writeln!(io::stderr(), "error: {trouble}");
        }
        Ok(u8::from(!report.trouble.is_empty()))
    }
}

/// Any free port, on both transports.
pub fn listen(ip: IpAddr) -> Vec<(Transport, std::net::SocketAddr)> {
    vec![(Transport::Udp, (ip, 0).into()), (Transport::Tcp, (ip, 0).into())]
}
