//! The configuration as it is written: one struct a table, one field a key, with the embedded defaults.
//!
//! These structs are also the schema: their serialised [`Raw::example`] lists every key with its type.

mod people;
mod values;

use std::path::PathBuf;

use nightline_sip::Codec;
use serde::{Deserialize, Serialize};

pub use people::{Outbound, Registration, Seat, Seats, Webhook};
pub use values::{Millis, Secret, Secs};

/// The whole file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Raw {
    /// The SIP edge.
    pub sip: Sip,
    /// Exchanges that we register at.
    pub registration: Vec<Registration>,
    /// The media edge.
    pub rtp: Rtp,
    /// The recogniser.
    pub asr: Asr,
    /// The voice.
    pub tts: Tts,
    /// The large language model, if any.
    pub llm: Llm,
    /// The systems behind the hotline, if any.
    pub tools: Tools,
    /// The company that is answered for.
    pub tenant: Tenant,
    /// Human agents.
    pub seats: Seats,
    /// Calls that we place.
    pub outbound: Outbound,
    /// Turn-taking.
    pub turns: Turns,
    /// Recordings and records.
    pub record: Record,
    /// The database.
    pub store: Store,
    /// Health and calls over HTTP.
    pub http: Http,
    /// Media streams of platforms.
    pub media: Media,
    /// Other systems that are told what happens in calls.
    pub webhook: Vec<Webhook>,
    /// Logging.
    pub log: Log,
}

/// `[sip]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Sip {
    /// Sockets to listen on: `udp:ADDRESS:PORT`, `tcp:ADDRESS:PORT` or `tls:ADDRESS:PORT`.
    pub listen: Vec<String>,
    /// Address that peers outside see, if this machine is behind NAT.
    pub external_ip: Option<String>,
    /// Addresses and networks that callers may come from; all if empty.
    pub allow: Vec<String>,
    /// Those among them whose `P-Asserted-Identity` is believed.
    pub trusted: Vec<String>,
    /// What is offered and taken, best first: `PCMA`, `PCMU`, `G722`, `opus`.
    pub codecs: Vec<String>,
    /// `User-Agent` and `Server`.
    pub user_agent: String,
    /// Calls at one time; the next is refused with 486.
    pub max_calls: u32,
    /// Session timer (RFC 4028) that is asked for.
    pub session_expires_s: Secs,
    /// PEM file with our certificate and those between it and its CA; needed to listen by TLS. Read anew at SIGHUP.
    pub tls_certificate: Option<PathBuf>,
    /// PEM file with its private key.
    pub tls_key: Option<PathBuf>,
    /// PEM file with CAs: who connects by TLS has to show a certificate of one of them.
    pub tls_client_ca: Option<PathBuf>,
    /// PEM file with the CAs by which servers that we connect to are trusted; those of the system if absent.
    pub tls_roots: Option<PathBuf>,
    /// Encrypted media (SDES-SRTP): `off`, `optional` takes it where it is offered, `required` refuses calls without it.
    pub srtp: String,
    /// Exchange the keys of SRTP over UDP and TCP too, where everybody on the way can read them.
    pub srtp_over_plain_sip: bool,
}

/// `[rtp]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Rtp {
    /// First and last UDP port for media.
    pub ports: Vec<u16>,
    /// A leg without any RTP for so long is dead.
    pub timeout_s: Secs,
}

/// `[asr]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Asr {
    /// `embedded`, or the path of a ggml whisper model.
    pub model: String,
    /// Decoder threads; one for each processor core if absent.
    pub workers: Option<u32>,
    /// Language of the callers, `zh` or `en`.
    pub language: String,
    /// Time between partial transcripts while the caller speaks; widened by itself under load.
    pub partial_interval_ms: Millis,
    /// `whisper` in this process, or a server that speaks `openai` or `funasr`; then the model above answers when it fails.
    pub engine: String,
    /// The server.
    pub remote: Remote,
}

/// `[asr.remote]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Remote {
    /// `openai`: base URL up to and including `/v1`; `funasr`: `ws://HOST:PORT` or `wss://HOST:PORT`.
    pub url: Option<String>,
    /// Model name as the server knows it (`openai` only).
    pub model: Option<String>,
    /// `2pass`, `online` or `offline` (`funasr` only).
    pub mode: Option<String>,
    /// Key for the server, sent as bearer token.
    pub api_key: Option<Secret>,
    /// File that holds the key.
    pub api_key_file: Option<PathBuf>,
    /// Whether partials go to the server too; if absent, only where the server streams (`funasr`, not `offline`).
    pub partials: Option<bool>,
    /// Words to expect, beside the tenant's.
    pub hotwords: Vec<String>,
    /// No connection by then: the local model answers.
    pub connect_ms: Millis,
    /// No sign of an answer so long after the end of the audio: the local model answers.
    pub first_ms: Millis,
    /// No whole answer by then: the local model answers.
    pub total_ms: Millis,
    /// Utterances at the server at one time.
    pub in_flight: u32,
    /// Failures in a row after which the server is left alone.
    pub failures: u32,
    /// For how long it is left alone.
    pub cool_down_s: Secs,
}

/// `[tts]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tts {
    /// A voice by the name of its folder; without it the tenant's voice for the language.
    pub voice: Option<String>,
    /// Folder with voices beside the embedded ones.
    pub folder: Option<PathBuf>,
}

/// `[llm]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Llm {
    /// Base URL of an OpenAI-compatible server, up to and including `/v1`; without it the light tier answers alone.
    pub url: Option<String>,
    /// Base URLs of other servers of the same model, asked in order when one before fails without a word.
    pub fallbacks: Vec<String>,
    /// Model name.
    pub model: Option<String>,
    /// Key for the server.
    pub api_key: Option<Secret>,
    /// File that holds the key.
    pub api_key_file: Option<PathBuf>,
    /// No token by then: the light tier answers.
    pub first_token_ms: Millis,
    /// An answer that takes longer is cut.
    pub total_ms: Millis,
    /// Ask the server how sure it is of each token (`logprobs`): it counts in the confidence. Not every server can tell.
    pub logprobs: bool,
}

/// `[tools]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tools {
    /// Base URL of the back office that the tenant's `tools.toml` describes; without it nothing is looked up or booked.
    pub url: Option<String>,
    /// The same as an MCP server: URL of its streamable HTTP endpoint.
    pub mcp: Option<String>,
    /// The same as an MCP server that is started here and speaks over its standard input and output: program and arguments.
    pub mcp_command: Vec<String>,
    /// Token for it, sent as bearer token.
    pub token: Option<Secret>,
    /// File that holds the token.
    pub token_file: Option<PathBuf>,
}

/// `[tenant]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Tenant {
    /// Name of the tenant.
    pub name: String,
    /// Folder with its data; the embedded tenant of that name if absent.
    pub folder: Option<PathBuf>,
}

/// `[turns]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Turns {
    /// Silence that ends a turn whose words are complete.
    pub min_silence_ms: Millis,
    /// Silence that ends any turn.
    pub max_silence_ms: Millis,
    /// Whether the caller may speak over the bot.
    pub barge_in: bool,
    /// Speech over the bot of this length is a barge-in whatever the words.
    pub barge_in_length_ms: Millis,
    /// Silence after which speech over the bot that gave no words is taken for noise.
    pub barge_in_verdict_ms: Millis,
    /// Silence of the caller after which the bot asks again.
    pub no_input_s: Secs,
}

/// `[record]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Where recordings and records go.
    pub folder: PathBuf,
    /// Whether calls are recorded as stereo WAV.
    pub wav: bool,
}

/// `[store]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Store {
    /// The SQLite file.
    pub path: PathBuf,
}

/// `[http]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Http {
    /// `ADDRESS:PORT`; nothing listens if absent.
    pub listen: Option<String>,
    /// Base URL by which the browsers of seats reach us: the pages of calls are told below it; none are told without it.
    pub public_url: Option<String>,
    /// What the keys of the pages of calls are made with; drawn at each start if absent.
    pub secret: Option<Secret>,
    /// File that holds the secret.
    pub secret_file: Option<PathBuf>,
}

/// `[media]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Media {
    /// `ADDRESS:PORT` for WebSockets of platforms (`/media/twilio` …); none if absent.
    pub listen: Option<String>,
    /// What every WebSocket has to bring.
    pub token: Option<Secret>,
    /// File that holds the token.
    pub token_file: Option<PathBuf>,
    /// `ADDRESS:PORT` for Asterisk's AudioSocket; none if absent.
    pub audiosocket: Option<String>,
    /// Addresses and networks that AudioSockets may come from: they bring no token.
    pub audiosocket_from: Vec<String>,
    /// Calls of both, and of web pages, at one time.
    pub max_streams: u32,
    /// Beginnings of the WebSocket URLs that we may be asked to connect to (`POST /media/connect`).
    pub connect: Vec<String>,
}

/// `[log]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Log {
    /// A level (`error`, `warn`, `info`, `debug`, `trace`) or a `tracing` filter (`info,nightline::call=debug`).
    pub level: String,
    /// `text` or `json`.
    pub format: String,
}

impl Default for Sip {
    fn default() -> Self {
        Self {
            listen: vec!["udp:0.0.0.0:5060".into(), "tcp:0.0.0.0:5060".into()],
            external_ip: None,
            allow: Vec::new(),
            trusted: Vec::new(),
            codecs: Codec::ALL.map(|codec| codec.name().to_owned()).into(),
            user_agent: "Nightline".into(),
            max_calls: 200,
            session_expires_s: Secs(1800),
            tls_certificate: None,
            tls_key: None,
            tls_client_ca: None,
            tls_roots: None,
            srtp: "off".into(),
            srtp_over_plain_sip: false,
        }
    }
}

impl Default for Rtp {
    fn default() -> Self {
        Self { ports: vec![20_000, 29_999], timeout_s: Secs(30) }
    }
}

impl Default for Asr {
    fn default() -> Self {
        Self {
            model: "embedded".into(),
            workers: None,
            language: "zh".into(),
            partial_interval_ms: Millis(240),
            engine: "whisper".into(),
            remote: Remote::default(),
        }
    }
}

impl Default for Remote {
    fn default() -> Self {
        Self {
            url: None,
            model: None,
            mode: None,
            api_key: None,
            api_key_file: None,
            partials: None,
            hotwords: Vec::new(),
            connect_ms: Millis(300),
            first_ms: Millis(800),
            total_ms: Millis(1200),
            in_flight: 32,
            failures: 3,
            cool_down_s: Secs(30),
        }
    }
}

impl Default for Llm {
    fn default() -> Self {
        Self {
            url: None,
            fallbacks: Vec::new(),
            model: None,
            api_key: None,
            api_key_file: None,
            first_token_ms: Millis(1500),
            total_ms: Millis(15_000),
            logprobs: false,
        }
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Self { name: "nev".into(), folder: None }
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            min_silence_ms: Millis(200),
            max_silence_ms: Millis(1600),
            barge_in: true,
            barge_in_length_ms: Millis(2500),
            barge_in_verdict_ms: Millis(900),
            no_input_s: Secs(8),
        }
    }
}

impl Default for Record {
    fn default() -> Self {
        Self { folder: "var/records".into(), wav: true }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { path: "var/nightline.db".into() }
    }
}

impl Default for Media {
    fn default() -> Self {
        Self {
            listen: None,
            token: None,
            token_file: None,
            audiosocket: None,
            audiosocket_from: vec!["127.0.0.1".into(), "::1".into()],
            max_streams: 100,
            connect: Vec::new(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), format: "text".into() }
    }
}

impl Raw {
    /// Every key with a value, also those without a default: the schema that files and environment are checked against.
    pub(super) fn example() -> Self {
        let mut raw = Self::default();
        let text = || Some(String::from("text"));
        let secret = || Some(Secret("key".into()));
        raw.sip.external_ip = text();
        raw.sip.allow = vec!["text".into()];
        raw.sip.trusted = vec!["text".into()];
        raw.registration = vec![Registration {
            registrar: text(),
            aor: text(),
            user: text(),
            realm: text(),
            password: secret(),
            password_file: Some("file".into()),
            ..Registration::default()
        }];
        for file in [
            &mut raw.sip.tls_certificate,
            &mut raw.sip.tls_key,
            &mut raw.sip.tls_client_ca,
            &mut raw.sip.tls_roots,
        ] {
            *file = Some("file".into());
        }
        raw.asr.workers = Some(1);
        raw.asr.remote.url = text();
        raw.asr.remote.model = text();
        raw.asr.remote.mode = text();
        raw.asr.remote.api_key = secret();
        raw.asr.remote.api_key_file = Some("file".into());
        raw.asr.remote.partials = Some(true);
        raw.asr.remote.hotwords = vec!["word".into()];
        raw.tts.voice = text();
        raw.tts.folder = Some("folder".into());
        raw.llm.url = text();
        raw.llm.fallbacks = vec!["http://host/v1".into()];
        raw.llm.model = text();
        raw.llm.api_key = secret();
        raw.llm.api_key_file = Some("file".into());
        raw.tools.url = text();
        raw.tools.mcp = text();
        raw.tools.mcp_command = vec!["program".into()];
        raw.tools.token = secret();
        raw.tools.token_file = Some("file".into());
        raw.tenant.folder = Some("folder".into());
        raw.seats.targets = vec!["sip:seat@host".into()];
        raw.seats.seat = vec![Seat {
            id: "1001".into(),
            uri: text(),
            password: secret(),
            password_file: Some("file".into()),
            browser: true,
            refer: true,
            skills: vec!["rescue".into()],
            languages: vec!["zh".into()],
            schedule: text(),
        }];
        raw.seats.from = text();
        raw.outbound.route = text();
        raw.media.listen = text();
        raw.media.token = secret();
        raw.media.token_file = Some("file".into());
        raw.media.audiosocket = text();
        raw.media.connect = vec!["text".into()];
        raw.http.listen = text();
        raw.http.public_url = text();
        raw.http.secret = secret();
        raw.http.secret_file = Some("file".into());
        raw.webhook = vec![Webhook {
            url: text(),
            events: vec!["call_ended".into()],
            secret: secret(),
            secret_file: Some("file".into()),
            ..Webhook::default()
        }];
        raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_gives_every_key_a_value() {
        fn walk(path: &str, value: &serde_json::Value) {
            match value {
                serde_json::Value::Object(map) => {
                    for (k, v) in map {
                        walk(&format!("{path}.{k}"), v);
                    }
                }
                serde_json::Value::Null => panic!("give `{path}` a value in Raw::example"),
                serde_json::Value::Array(list) => {
                    assert!(!list.is_empty(), "give `{path}` an element in Raw::example");
                }
                _ => {}
            }
        }
        walk("", &serde_json::to_value(Raw::example()).unwrap());
    }
}
