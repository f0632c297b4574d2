//! Configuration: embedded defaults, then an optional TOML file, then `NIGHTLINE_…` environment variables, checked as a
//! whole and parsed into a [`Config`] that cannot be wrong.
//!
//! Relative paths are relative to the folder that the program runs in. Every mistake is reported with its key, its place
//! and what to write instead; see [`Error::Wrong`].

mod parse;
pub mod raw;
mod source;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use figment::Figment;
use figment::providers::Serialized;
use ipnet::IpNet;
use nightline_sip::{Codec, DigestAlgorithm, SrtpPolicy, TlsConfig};
use secrecy::SecretString;

use crate::asr::remote;
use crate::hook::Webhook;
use crate::seat::Profile;
use crate::seat::queue::Rules;

pub use parse::SipUri;
pub use raw::Raw;
pub use source::{ENV_PREFIX, Place, Problem, What};

/// The file that is read when none is named, if it is there.
pub const DEFAULT_FILE: &str = "nightline.toml";

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The SIP edge.
    pub sip: Sip,
    /// The media edge.
    pub rtp: Rtp,
    /// The recogniser.
    pub asr: Asr,
    /// The voice.
    pub tts: Tts,
    /// The large language model; the light tier answers alone if [`None`].
    pub llm: Option<Llm>,
    /// The systems behind the hotline; nothing is looked up or booked if [`None`].
    pub tools: Option<Tools>,
    /// The company that is answered for.
    pub tenant: Tenant,
    /// Human agents.
    pub seats: Seats,
    /// Calls that we place; none without it.
    pub outbound: Option<Outbound>,
    /// Turn-taking.
    pub turns: Turns,
    /// Recordings and records.
    pub record: Record,
    /// The SQLite file.
    pub store: PathBuf,
    /// Health, calls and the pages of seats over HTTP.
    pub http: Http,
    /// Exchanges that we register at.
    pub registrations: Vec<Registration>,
    /// Media streams of platforms.
    pub media: Media,
    /// Other systems that are told what happens in calls.
    pub webhooks: Vec<Webhook>,
    /// Logging.
    pub log: Log,
}

/// An exchange that we register at.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The exchange, as a SIP URI.
    pub registrar: String,
    /// Our address there, as a SIP URI with a user.
    pub aor: String,
    /// The account.
    pub user: String,
    /// The realm that its password is for; any if [`None`].
    pub realm: Option<String>,
    /// The password; none if the exchange asks for none.
    pub password: Option<SecretString>,
    /// For how long we ask to be known.
    pub expires: Duration,
}

/// Media streams of platforms: WebSockets and AudioSockets.
#[derive(Clone, Debug, Default)]
pub struct Media {
    /// Where WebSockets come in, and what each has to bring.
    pub websocket: Option<(SocketAddr, SecretString)>,
    /// Where AudioSockets come in, and from where.
    pub audiosocket: Option<(SocketAddr, Vec<IpNet>)>,
    /// Calls of both, and of web pages, at one time.
    pub max_streams: usize,
    /// Beginnings of URLs that we may connect to.
    pub connect: Vec<String>,
}

/// The systems behind the hotline.
#[derive(Clone, Debug)]
pub struct Tools {
    /// Where they are.
    pub place: ToolsPlace,
    /// Bearer token.
    pub token: Option<SecretString>,
}

/// Where tools are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolsPlace {
    /// Base URL of an HTTP service, `http` or `https`, without a slash at its end.
    Http(String),
    /// URL of an MCP server.
    Mcp(String),
    /// Program and arguments of an MCP server that is started here.
    McpCommand(Vec<String>),
}

/// The SIP edge.
#[derive(Clone, Debug)]
pub struct Sip {
    /// Sockets to listen on; at least one.
    pub listen: Vec<Listen>,
    /// Address that peers outside see, if this machine is behind NAT.
    pub external_ip: Option<IpAddr>,
    /// Where callers may come from; from everywhere if empty.
    pub allow: Vec<IpNet>,
    /// Whose `P-Asserted-Identity` is believed.
    pub trusted: Vec<IpNet>,
    /// What is offered and taken, best first; at least one.
    pub codecs: Arc<[Codec]>,
    /// `User-Agent` and `Server`.
    pub user_agent: String,
    /// Calls at one time, 1..=10000.
    pub max_calls: usize,
    /// Session timer that is asked for, at least 90 s (RFC 4028 §4).
    pub session_expires: Duration,
    /// Certificates, if there are any.
    pub tls: Option<TlsConfig>,
    /// Whether media is encrypted.
    pub srtp: SrtpPolicy,
    /// Whether the keys of SRTP are exchanged over UDP and TCP too.
    pub srtp_over_plain_sip: bool,
}

/// A socket to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// UDP or TCP.
    pub transport: Transport,
    /// Its address; port 0 takes any free one.
    pub addr: SocketAddr,
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        };
        write!(f, "{transport}:{}", self.addr)
    }
}

/// Transport of SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
}

/// The media edge.
#[derive(Clone, Debug)]
pub struct Rtp {
    /// UDP ports for RTP (even) and RTCP (the next odd one); at least four for each of `max_calls`.
    pub ports: RangeInclusive<u16>,
    /// A leg without any RTP for so long is dead, 1..=3600 s.
    pub timeout: Duration,
}

/// The recogniser.
#[derive(Clone, Debug)]
pub struct Asr {
    /// Which model.
    pub model: Model,
    /// Decoder threads, 1..=256.
    pub workers: NonZeroUsize,
    /// ISO 639-1 code of the callers' language, `zh` or `en`.
    pub language: &'static str,
    /// Time between partials while the caller speaks, 100..=5000 ms.
    pub partial_interval: Duration,
    /// A server that recognises instead, with the model as its spare.
    pub remote: Option<remote::Options>,
}

/// A recogniser model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Model {
    /// The one inside the binary.
    Embedded,
    /// A ggml whisper file.
    File(PathBuf),
}

/// The voice.
#[derive(Clone, Debug)]
pub struct Tts {
    /// A voice by the name of its folder; the tenant's voice for the language if [`None`].
    pub voice: Option<String>,
    /// Folder with voices beside the embedded ones.
    pub folder: Option<PathBuf>,
}

/// An OpenAI-compatible large language model.
#[derive(Clone, Debug)]
pub struct Llm {
    /// Base URL up to and including `/v1`, without a final slash.
    pub url: String,
    /// The same of other servers of the model, in order.
    pub fallbacks: Vec<String>,
    /// Model name.
    pub model: String,
    /// Bearer token.
    pub api_key: Option<SecretString>,
    /// No token by then: the light tier answers.
    pub first_token: Duration,
    /// An answer that takes longer is cut.
    pub total: Duration,
    /// The server is asked how sure it is of each token.
    pub logprobs: bool,
}

/// The company that is answered for.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Its name.
    pub name: String,
    /// Folder with its data; the embedded tenant of that name if [`None`].
    pub folder: Option<PathBuf>,
}

/// Calls that we place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// SIP URI of a customer, with `{number}` for the digits.
    pub route: String,
    /// Calls of that kind at one time, 1..=1000.
    pub at_once: usize,
    /// How long a customer's telephone may ring, 5..=180 s.
    pub ring_timeout: Duration,
    /// Whether the reminders of the back office are placed.
    pub reminders: bool,
}

/// How caller and seat are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Both stay connected here.
    Bridge,
    /// The caller's exchange is asked to join them without us; until it has, both stay connected here.
    Refer,
}

/// Human agents.
#[derive(Clone, Debug)]
pub struct Seats {
    /// Who they are; may be empty.
    pub profiles: Vec<Profile>,
    /// How long a seat may ring, 1..=300 s.
    pub ring_timeout: Duration,
    /// What the seat sees as the calling party.
    pub from: Option<SipUri>,
    /// How caller and seat are joined.
    pub join: Join,
    /// Seats that register here, by their ids, with their passwords.
    pub accounts: Vec<(String, SecretString)>,
    /// Host of their addresses, and the realm of their passwords.
    pub realm: String,
    /// Digests that they are offered, in this order; not empty.
    pub digest: Vec<DigestAlgorithm>,
    /// How callers are queued.
    pub rules: Rules,
}

/// Turn-taking.
#[derive(Clone, Debug)]
pub struct Turns {
    /// Silence that ends a turn whose words are complete, 100..=5000 ms.
    pub min_silence: Duration,
    /// Silence that ends any turn, `min_silence`..=10 s.
    pub max_silence: Duration,
    /// Whether the caller may speak over the bot.
    pub barge_in: bool,
    /// Speech over the bot of this length is a barge-in whatever the words, 300..=10000 ms.
    pub barge_in_length: Duration,
    /// Silence after which speech over the bot that gave no words is taken for noise, 100..=5000 ms.
    pub barge_in_verdict: Duration,
    /// Silence of the caller after which the bot asks again, 2..=120 s.
    pub no_input: Duration,
}

/// Recordings and records.
#[derive(Clone, Debug)]
pub struct Record {
    /// Where they go.
    pub folder: PathBuf,
    /// Whether calls are recorded as stereo WAV.
    pub wav: bool,
}

/// Health, calls and the pages of seats over HTTP.
#[derive(Clone, Debug, Default)]
pub struct Http {
    /// Where it is served; nowhere if [`None`].
    pub listen: Option<SocketAddr>,
    /// Base URL by which the browsers of seats reach us, without a slash at its end.
    pub public_url: Option<String>,
    /// What the keys of the pages are made with; drawn at the start if [`None`].
    pub secret: Option<SecretString>,
}

/// Logging.
#[derive(Clone, Debug)]
pub struct Log {
    /// A `tracing` filter.
    pub filter: String,
    /// Text or JSON lines.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// Why there is no configuration. The program exits with 78 (`EX_CONFIG`).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The named file cannot be read.
    #[error("cannot read the configuration {}: {source}; name an existing file, or none for the defaults", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something in it is wrong; everything that is wrong is listed, one line each.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Wrong(Vec<Problem>),
}

impl Config {
    /// Reads `file` (or [`DEFAULT_FILE`] if it exists) and the process's environment.
    pub fn load(file: Option<&Path>) -> Result<Self, Error> {
        Loaded::read(file, std::env::vars()).map(|loaded| loaded.config)
    }
}

impl Default for Config {
    /// The embedded defaults, untouched by file and environment.
    fn default() -> Self {
        let sources = source::Sources::default();
        parse::config(&mut Raw::default(), &sources).unwrap_or_else(|problems| {
            unreachable!("the embedded defaults are valid: {problems:?}");
        })
    }
}

/// A configuration with what it was made from.
#[derive(Debug)]
pub struct Loaded {
    /// Checked.
    pub config: Config,
    /// As it would be written, all values filled in: for `config dump`.
    pub raw: Raw,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
}

impl Loaded {
    /// Reads `file` (or [`DEFAULT_FILE`] if it exists), then the environment variables `vars`.
    pub fn read(
        file: Option<&Path>,
        vars: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Error> {
        let default = Path::new(DEFAULT_FILE);
        let file = file.or_else(|| default.is_file().then_some(default));
        let mut sources = source::Sources::default();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .map_err(|source| Error::Unreadable { path: path.into(), source })?;
            sources.read_file(path, &text);
        }
        sources.read_env(vars);
        if sources.problems.iter().any(|p| matches!(p.what, What::Syntax(_))) {
            return Err(Error::Wrong(sources.problems));
        }
        let merged: Result<Raw, figment::Error> = Figment::from(Serialized::defaults(Raw::default()))
            .merge(Serialized::globals(&sources.file))
            .merge(Serialized::globals(&sources.env))
            .extract();
        let mut problems = std::mem::take(&mut sources.problems);
        let outcome = match merged {
            Ok(mut raw) => parse::config(&mut raw, &sources).map(|config| (config, raw)),
            Err(errors) => Err(errors.into_iter().map(|e| parse::out_of_range(&e, &sources)).collect()),
        };
        match outcome {
            Ok((config, raw)) if problems.is_empty() => {
                Ok(Self { config, raw, file: file.map(Path::to_path_buf) })
            }
            Ok(_) => Err(Error::Wrong(problems)),
            Err(more) => {
                problems.extend(more);
                Err(Error::Wrong(problems))
            }
        }
    }
}

#[cfg(test)]
mod tests;
