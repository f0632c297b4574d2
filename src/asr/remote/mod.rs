//! Recognisers on another machine, behind the same [`Recognizer`] as whisper.cpp in this process.
//!
//! [`Remote`] sends a job to a server and keeps a spare recogniser, normally the embedded model, for whatever goes wrong: a
//! final that the server refuses, garbles or has not answered within `total` is decoded by the spare, so that the caller waits
//! `total` and one local decoding at most. After some failures in a row the server is left alone for a while (`breaker`);
//! meanwhile every job goes to the spare at once, and when the time is over one final is sent to both: nobody waits for a
//! server that is probably still down. Where the words came from is in [`Transcript::engine`].
//!
//! Partials go to the spare unless `partials` is set: a server that takes whole utterances would be paid for each of them.

mod breaker;
mod failure;
mod funasr;
mod openai;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::Semaphore;

use self::breaker::{Admission, Breaker, Change};
pub use self::failure::Failure;
use super::{Engine, Error, Job, Purpose, Recognizer, Transcript};
use crate::clock::Clock;

/// How to reach a server and how long to wait for it.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it speaks.
    pub protocol: Protocol,
    /// `http(s)://…/v1` for OpenAI's interface, `ws(s)://…` for FunASR; without a final slash.
    pub url: String,
    /// Model name, for servers that have several.
    pub model: Option<String>,
    /// Sent as bearer token.
    pub api_key: Option<SecretString>,
    /// Words that callers use and that a recogniser may not expect: names of products, parts, places.
    pub hotwords: Vec<String>,
    /// Whether partials go to the server too.
    pub partials: bool,
    /// Longest time until the connection stands.
    pub connect: Duration,
    /// Longest time from the last audio sent to the first sign of an answer.
    pub first: Duration,
    /// Longest time for a whole job, the wait for its turn included.
    pub total: Duration,
    /// Jobs at the server at one time, at least 1.
    pub in_flight: usize,
    /// Failures in a row after which the server is left alone, at least 1.
    pub failures: u32,
    /// For how long it is left alone.
    pub cool_down: Duration,
}

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `POST {url}/audio/transcriptions`, as OpenAI has it and many local servers speak it.
    OpenAi,
    /// The WebSocket protocol of FunASR's runtime.
    FunAsr(Mode),
}

impl Protocol {
    /// As it stands in a transcript.
    pub fn engine(self) -> Engine {
        match self {
            Self::OpenAi => Engine::OpenAi,
            Self::FunAsr(_) => Engine::FunAsr,
        }
    }
}

/// How a FunASR server decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A streaming model while the caller speaks, a better one over the whole at the end.
    TwoPass,
    /// The streaming model alone.
    Online,
    /// The better model alone, at the end.
    Offline,
}

/// Why there is no client for a server.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is not usable.
    #[error("`{url}` is not an address of {engine}: {why}; correct `asr.remote.url`")]
    Url {
        /// The address.
        url: String,
        /// For which protocol.
        engine: Engine,
        /// What is wrong with it.
        why: String,
    },
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be made: {0}; look at the certificates of this machine")]
    Client(String),
}

/// What became of the jobs since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answered by the server.
    pub answered: u64,
    /// Given to the spare because the server failed or was late.
    pub failed: u64,
    /// Given to the spare (or, if a partial, dropped) because too many jobs were at the server already.
    pub busy: u64,
    /// Given to the spare because the server is left alone.
    pub spared: u64,
    /// Times that the server was given up.
    pub opened: u64,
}

/// A server with a spare. Its jobs run on a tokio runtime; replies come from there or from the spare's workers.
pub struct Remote {
    shared: Arc<Shared>,
    runtime: tokio::runtime::Handle,
}

impl Remote {
    /// Prepares the client; connects only when there is a job.
    pub fn new(
        options: Options,
        spare: Arc<dyn Recognizer>,
        runtime: tokio::runtime::Handle,
    ) -> Result<Self, OpenError> {
        let breaker = Breaker::new(options.failures.max(1), options.cool_down, 2 * options.total);
        Ok(Self {
            shared: Arc::new(Shared {
                backend: Backend::new(&options)?,
                spare,
                clock: Clock::start(),
                breaker: Mutex::new(breaker),
                places: Semaphore::new(options.in_flight.max(1)),
                counters: Counters::default(),
                options,
            }),
            runtime,
        })
    }

    /// What became of the jobs so far.
    pub fn counts(&self) -> Counts {
        self.shared.counters.read()
    }

    /// False while the server is left alone.
    pub fn is_used(&self) -> bool {
        self.shared.breaker().is_closed()
    }
}

impl Recognizer for Remote {
    fn submit(&self, job: Job) {
        let shared = &self.shared;
        if job.audio.len() < SHORTEST || (job.purpose == Purpose::Partial && !shared.options.partials) {
            return shared.spare.submit(job);
        }
        let admission = shared.breaker().admit(shared.clock.now(), job.purpose == Purpose::Final);
        match admission {
            Admission::Granted => {
                self.runtime.spawn(Arc::clone(shared).serve(Pending::new(job)));
            }
            Admission::Probe => {
                self.runtime.spawn(Arc::clone(shared).probe(Arc::clone(&job.audio), job.language));
                shared.spare(job);
            }
            Admission::Refused => shared.spare(job),
        }
    }
}

/// Asks whether the server is there and takes the key: with a second of silence, or by a WebSocket handshake.
pub async fn check(options: &Options) -> Result<(), Failure> {
    match options.protocol {
        Protocol::OpenAi => {
            let silence = vec![0; crate::media::RATE as usize];
            let client = openai::OpenAi::new(options).map_err(|e| Failure::Unreachable(e.to_string()))?;
            let asked = client.ask(&silence, "zh");
            tokio::time::timeout(options.total, asked)
                .await
                .map_err(|_| Failure::Late { what: "an answer", limit: options.total })?
                .map(drop)
        }
        Protocol::FunAsr(_) => funasr::greet(options).await,
    }
}

/// Shortest audio that can hold a word: 100 ms.
const SHORTEST: usize = crate::media::RATE as usize / 10;
/// Largest answer of a server that is read, in bytes: an hour of speech is a tenth of it.
const LARGEST: usize = 1 << 20;
/// Longest part of a server's own words that is repeated, in characters.
const SERVERS_WORDS: usize = 200;
/// Confidence of words that come without any measure of it: the value at which the mind neither doubts nor trusts the
/// hearing more than the match with its knowledge.
const UNMEASURED: f32 = 0.75;

struct Shared {
    options: Options,
    backend: Backend,
    spare: Arc<dyn Recognizer>,
    clock: Clock,
    breaker: Mutex<Breaker>,
    places: Semaphore,
    counters: Counters,
}

impl Shared {
    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a job: by the server, or else by the spare.
    async fn serve(self: Arc<Self>, mut pending: Pending) {
        let Some(job) = &pending.0 else { return };
        let purpose = job.purpose;
        match self.ask(&job.audio, purpose, job.language).await {
            Ok(transcript) => {
                if purpose == Purpose::Final {
                    self.succeeded(Admission::Granted);
                }
                add(&self.counters.answered);
                pending.reply(Ok(transcript));
            }
            Err(Failure::NoWordsYet) => pending.reply(Err(Error::Dropped)),
            Err(Failure::Busy) => {
                add(&self.counters.busy);
                match purpose {
                    Purpose::Partial => pending.reply(Err(Error::Dropped)),
                    Purpose::Final => self.spare_pending(pending),
                }
            }
            Err(failure) => {
                add(&self.counters.failed);
                self.failed(Admission::Granted, &failure);
                self.spare_pending(pending);
            }
        }
    }

    /// Sends a copy of a job that the spare answers, to see whether the server is well again.
    async fn probe(self: Arc<Self>, audio: Arc<[i16]>, language: &'static str) {
        match self.ask(&audio, Purpose::Final, language).await {
            Ok(_) => self.succeeded(Admission::Probe),
            Err(failure) => self.failed(Admission::Probe, &failure),
        }
    }

    async fn ask(
        &self,
        audio: &Arc<[i16]>,
        purpose: Purpose,
        language: &'static str,
    ) -> Result<Transcript, Failure> {
        let mut placed = false;
        let limit = self.options.total;
        let asked = tokio::time::timeout(limit, async {
            let place = match purpose {
                Purpose::Final => self.places.acquire().await.ok(),
                Purpose::Partial => self.places.try_acquire().ok(),
            };
            let _place = place.ok_or(Failure::Busy)?;
            placed = true;
            match &self.backend {
                Backend::OpenAi(client) => client.ask(audio, language).await,
                Backend::FunAsr(client) => client.ask(audio, purpose, language).await,
            }
        });
        match asked.await {
            Ok(outcome) => outcome,
            Err(_) if placed => Err(Failure::Late { what: "the whole answer", limit }),
            Err(_) => Err(Failure::Busy),
        }
    }

    fn spare(&self, job: Job) {
        add(&self.counters.spared);
        self.spare.submit(job);
    }

    fn spare_pending(&self, mut pending: Pending) {
        if let Some(job) = pending.0.take() {
            self.spare.submit(job);
        }
    }

    fn succeeded(&self, admission: Admission) {
        let change = self.breaker().succeeded(admission);
        if change == Some(Change::Closed) {
            tracing::info!(
                server = %self.options.url,
                counts = ?self.counters.read(),
                "the recognition server answers again and is used again"
            );
        }
    }

    fn failed(&self, admission: Admission, failure: &Failure) {
        tracing::debug!(%failure, "the recognition server failed");
        let change = self.breaker().failed(admission, self.clock.now());
        if change == Some(Change::Opened) {
            add(&self.counters.opened);
            tracing::warn!(
                server = %self.options.url,
                failures = self.options.failures,
                last = %failure,
                cool_down = ?self.options.cool_down,
                counts = ?self.counters.read(),
                "the recognition server failed too often and is left alone; the local model answers"
            );
        }
    }
}

enum Backend {
    OpenAi(openai::OpenAi),
    FunAsr(funasr::FunAsr),
}

impl Backend {
    fn new(options: &Options) -> Result<Self, OpenError> {
        match options.protocol {
            Protocol::OpenAi => openai::OpenAi::new(options).map(Self::OpenAi),
            Protocol::FunAsr(mode) => funasr::FunAsr::new(options, mode).map(Self::FunAsr),
        }
    }
}

#[derive(Default)]
struct Counters {
    answered: AtomicU64,
    failed: AtomicU64,
    busy: AtomicU64,
    spared: AtomicU64,
    opened: AtomicU64,
}

impl Counters {
    fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            answered: read(&self.answered),
            failed: read(&self.failed),
            busy: read(&self.busy),
            spared: read(&self.spared),
            opened: read(&self.opened),
        }
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A job that is answered at the latest when it is dropped: a runtime that shuts down drops its tasks.
struct Pending(Option<Job>);

impl Pending {
    fn new(job: Job) -> Self {
        Self(Some(job))
    }

    fn reply(&mut self, result: Result<Transcript, Error>) {
        if let Some(job) = self.0.take() {
            (job.reply)(result);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.reply(Err(Error::Engine("it was shut down".into())));
    }
}

#[cfg(test)]
mod tests;
