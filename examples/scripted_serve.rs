//! A server for load tests: SIP, RTP, voice activity, call core, recording and store are the real ones; ears, mouth and mind
//! are scripted doubles that cost next to nothing. It shows what a call costs beside its engines and is of no other use.
//!
//! `scripted_serve CONFIG` reads a configuration as `nightline serve` does and runs until it is interrupted.
//! `record.wav` in it decides whether calls are recorded.

use std::f32::consts::TAU;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Context;
use nightline::asr::{Error, Job, Recognizer, Token, Transcript};
use nightline::config::Config;
use nightline::dialogue::{Act, Ask, Decision, Facts, Mind, Thought};
use nightline::media::RATE;
use nightline::server::Server;
use nightline::services::Pools;
use nightline::tts::{Piece, Request, Synthesizer};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let file: PathBuf = std::env::args_os().nth(1).context("usage: scripted_serve CONFIG")?.into();
    let config = Config::load(Some(&file))?;
    let filter = tracing_subscriber::EnvFilter::try_new(&config.log.filter)?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();

    let mut pools = Pools::open(&config)?;
    pools.services.asr = Arc::new(Ears);
    pools.services.tts = Arc::new(Mouth);
    pools.services.mind = Arc::new(Brain);
    pools.settings.mind = Arc::new(Brain);
    let server = Server::with(Arc::new(config), pools, None).await?;

    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        stop.cancel();
    });
    server.run(shutdown).await;
    Ok(())
}

/// Hears the same sentence in everything that is longer than 0.3 s.
struct Ears;

const HEARD: &str = "充满需要多长时间";
const SHORTEST: usize = RATE as usize * 3 / 10;

impl Recognizer for Ears {
    fn submit(&self, job: Job) {
        let result = if job.audio.len() < SHORTEST {
            Err(Error::TooShort(job.audio.len()))
        } else {
            let tokens = HEARD
                .chars()
                .map(|c| Token { text: c.into(), probability: 0.95, ..Token::default() })
                .collect();
            Ok(Transcript {
                text: HEARD.into(),
                confidence: 0.95,
                tokens,
                no_speech: 0.01,
                ..Transcript::default()
            })
        };
        (job.reply)(result);
    }
}

/// Hums a tone of a fifth of a second for each character.
struct Mouth;

const SYLLABLE: usize = RATE as usize / 5;

impl Synthesizer for Mouth {
    fn speak(&self, mut request: Request) {
        let tone = |at: usize| ((at as f32 * 440.0 * TAU / RATE as f32).sin() * 6000.0) as i16;
        for (index, _) in request.text.chars().enumerate() {
            if request.cancelled.load(Ordering::Relaxed) {
                break;
            }
            let samples = (index * SYLLABLE..(index + 1) * SYLLABLE).map(tone).collect();
            (request.sink)(Piece::Audio { samples, span: index..index + 1 });
        }
        (request.sink)(Piece::Done);
    }
}

/// Answers everything with the same two clauses.
struct Brain;

impl Mind for Brain {
    fn think(&self, _: Ask, mut sink: Box<dyn FnMut(Thought) + Send>) {
        sink(Thought::Clause("家用充电桩大约八个小时，".into()));
        sink(Thought::Clause("快充半个小时到百分之八十。".into()));
        sink(Thought::Decided(Decision::new(Act::Answer, 0.9, "charging")));
    }

    fn summarize(&self, _: &Facts<'_>) -> String {
        "负载测试。".into()
    }
}
