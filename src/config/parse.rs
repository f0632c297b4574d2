//! From the configuration as written to the configuration as meant: every value is parsed once, here, or refused.

mod seats;
mod servers;

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use nightline_sip::{CertificateFiles, Roots, SrtpPolicy, TlsConfig};
use secrecy::{ExposeSecret as _, SecretString};

use super::raw::{Millis, Raw, Secret, Secs};
use super::source::{Problem, Sources, What};
use super::{Config, Listen, Log, LogFormat, Record, Rtp, Sip, Tenant, Transport, Tts, Turns};

/// Media ports that a call needs: RTP and RTCP for the caller and for the seat.
pub const PORTS_PER_CALL: usize = 4;

/// A `sip:` URI: optional user, host, optional port and parameters. Only what a dial string needs is checked here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipUri(String);

impl SipUri {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The user; empty if it names none.
    pub fn user(&self) -> &str {
        let rest = self.0.strip_prefix("sip:").unwrap_or(&self.0);
        rest.split([';', '?'])
            .next()
            .and_then(|rest| rest.rsplit_once('@'))
            .map_or("", |(user, _)| user.split(':').next().unwrap_or(user))
    }

    /// Host and port; the port is 5060 unless written.
    pub fn host_port(&self) -> (&str, u16) {
        let (host, port) = split_host(&self.0).unwrap_or((&self.0, None));
        (host, port.unwrap_or(5060))
    }
}

impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SipUri {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("sips:") {
            return Err("`sips:` needs TLS, which is not there yet: use `sip:`".into());
        }
        split_host(text)?;
        Ok(Self(text.into()))
    }
}

/// The host and port of `sip:[user@]host[:port][;…]`, or what is wrong.
fn split_host(uri: &str) -> Result<(&str, Option<u16>), String> {
    let bad = |why: &str| format!("\"{uri}\" is not a SIP URI ({why}): write `sip:name@host:port`");
    let rest = uri.strip_prefix("sip:").ok_or_else(|| bad("it does not begin with `sip:`"))?;
    if uri.chars().any(|c| c.is_whitespace() || c.is_control() || "<>\"".contains(c)) {
        return Err(bad("it has spaces, quotes or angle brackets"));
    }
    let rest = rest.split([';', '?']).next().unwrap_or_default();
    let host_port = match rest.rsplit_once('@') {
        Some(("", _)) => return Err(bad("there is nothing before the `@`")),
        Some((_, host_port)) => host_port,
        None => rest,
    };
    let (host, port) = match host_port.strip_prefix('[') {
        Some(v6) => {
            let (host, after) = v6.split_once(']').ok_or_else(|| bad("the `]` is missing"))?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| bad("what is in brackets is not IPv6"))?;
            (host, after.strip_prefix(':'))
        }
        None => match host_port.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (host_port, None),
        },
    };
    if host.is_empty() {
        return Err(bad("the host is missing"));
    }
    let port = port
        .map(|p| p.parse::<u16>().ok().filter(|p| *p > 0).ok_or_else(|| bad("the port is not 1 to 65535")))
        .transpose()?;
    Ok((host, port))
}

/// Parses the whole. Fills `raw` where a default depends on the machine. All problems are found, not only the first.
pub(super) fn config(raw: &mut Raw, sources: &Sources) -> Result<Config, Vec<Problem>> {
    if raw.asr.workers.is_none() {
        raw.asr.workers = Some(std::thread::available_parallelism().map_or(1, NonZeroUsize::get) as u32);
    }
    let mut check = Check { sources, problems: Vec::new() };
    let config = check.config(raw);
    if check.problems.is_empty() { Ok(config) } else { Err(check.problems) }
}

/// The problem behind a value that has the right type but does not fit it.
pub(super) fn out_of_range(error: &figment::Error, sources: &Sources) -> Problem {
    use figment::error::{Actual, Kind};
    let key = error.path.join(".");
    let why = match &error.kind {
        Kind::InvalidType(found, wanted) | Kind::InvalidValue(found, wanted) => {
            let found = match found {
                Actual::Signed(n) => n.to_string(),
                Actual::Unsigned(n) => n.to_string(),
                other => other.to_string(),
            };
            format!("{found} is out of range, expected {}", range_of(wanted))
        }
        other => other.to_string(),
    };
    Problem { place: sources.place(&key), key, what: What::Value(why) }
}

fn range_of(integer: &str) -> String {
    match integer.split_whitespace().last() {
        Some("u16") => format!("0 to {}", u16::MAX),
        Some("u32") => format!("0 to {}", u32::MAX),
        _ => integer.into(),
    }
}

/// Collects problems; each method gives some value even when it has noted a problem, and the value is then thrown away.
struct Check<'a> {
    sources: &'a Sources,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn config(&mut self, raw: &Raw) -> Config {
        let max_calls = self.number("sip.max_calls", raw.sip.max_calls, 1..=10_000) as usize;
        Config {
            sip: Sip {
                listen: self.listen(&raw.sip.listen),
                external_ip: self.optional("sip.external_ip", raw.sip.external_ip.as_deref(), |text| {
                    text.parse().map_err(|_| {
                        format!("\"{text}\" is not an IP address: write for example \"203.0.113.7\"")
                    })
                }),
                allow: self.networks("sip.allow", &raw.sip.allow),
                trusted: self.networks("sip.trusted", &raw.sip.trusted),
                codecs: self.codecs(&raw.sip.codecs),
                user_agent: self.line("sip.user_agent", &raw.sip.user_agent),
                max_calls,
                session_expires: self.seconds(
                    "sip.session_expires_s",
                    raw.sip.session_expires_s,
                    90..=86_400,
                ),
                tls: self.tls(raw),
                srtp: self.choice(
                    "sip.srtp",
                    &raw.sip.srtp,
                    &[
                        ("off", SrtpPolicy::Off),
                        ("optional", SrtpPolicy::Optional),
                        ("required", SrtpPolicy::Required),
                    ],
                ),
                srtp_over_plain_sip: raw.sip.srtp_over_plain_sip,
            },
            rtp: self.rtp(raw, max_calls),
            asr: self.asr(raw),
            tts: self.tts(raw),
            llm: self.llm(raw),
            tools: self.tools(raw),
            tenant: Tenant {
                name: self.name("tenant.name", &raw.tenant.name),
                folder: raw.tenant.folder.clone(),
            },
            seats: self.seats(raw),
            outbound: self.outbound(raw),
            turns: self.turns(raw),
            record: Record { folder: self.path("record.folder", &raw.record.folder), wav: raw.record.wav },
            store: self.path("store.path", &raw.store.path),
            http: self.http(raw),
            registrations: self.registrations(raw),
            media: self.media(raw),
            webhooks: self.webhooks(raw),
            log: self.log(raw),
        }
    }

    fn listen(&mut self, texts: &[String]) -> Vec<Listen> {
        if texts.is_empty() {
            self.note(
                "sip.listen",
                "it is empty: name at least one, for example \"udp:0.0.0.0:5060\"".into(),
            );
        }
        let mut seen = HashSet::new();
        let mut out = Vec::new();
        for (i, text) in texts.iter().enumerate() {
            let key = format!("sip.listen.{i}");
            match listen(text) {
                Ok(listen) if listen.addr.port() != 0 && !seen.insert(listen.to_string()) => {
                    self.note(&key, format!("\"{text}\" is listed twice: remove one"));
                }
                Ok(listen) => out.push(listen),
                Err(why) => self.note(&key, why),
            }
        }
        out
    }

    fn tls(&mut self, raw: &Raw) -> Option<TlsConfig> {
        let sip = &raw.sip;
        let identity = match (&sip.tls_certificate, &sip.tls_key) {
            (Some(certificate), Some(key)) => {
                Some(CertificateFiles { certificate: certificate.clone(), key: key.clone() })
            }
            (Some(_), None) => {
                self.note("sip.tls_key", "it is missing, and `sip.tls_certificate` needs it".into());
                None
            }
            (None, Some(_)) => {
                self.note("sip.tls_certificate", "it is missing, and `sip.tls_key` needs it".into());
                None
            }
            (None, None) => None,
        };
        let listens = sip.listen.iter().any(|listen| listen.starts_with("tls:"));
        if listens && identity.is_none() && sip.tls_certificate.is_none() && sip.tls_key.is_none() {
            self.note("sip.tls_certificate", "it is missing, and a listener by TLS needs it".into());
        }
        let files = [&sip.tls_certificate, &sip.tls_key, &sip.tls_client_ca, &sip.tls_roots];
        if !listens && files.iter().all(|file| file.is_none()) {
            return None;
        }
        let tls = TlsConfig {
            identity,
            client_ca: sip.tls_client_ca.clone(),
            roots: sip.tls_roots.clone().map_or(Roots::System, Roots::File),
            ..TlsConfig::default()
        };
        if let Err(error) = tls.check() {
            self.note("sip.tls_certificate", error.to_string());
        }
        Some(tls)
    }

    fn rtp(&mut self, raw: &Raw, max_calls: usize) -> Rtp {
        let ports = match raw.rtp.ports[..] {
            [first, last] if first >= 1024 && first < last => {
                let usable = (usize::from(last) + 1 - usize::from(first)) & !1;
                if usable < max_calls * PORTS_PER_CALL {
                    self.note(
                        "rtp.ports",
                        format!(
                            "{usable} ports are too few for `sip.max_calls` = {max_calls}, which needs {} \
                             ({PORTS_PER_CALL} a call): widen the range or allow fewer calls",
                            max_calls * PORTS_PER_CALL
                        ),
                    );
                }
                first..=last
            }
            _ => {
                self.note(
                    "rtp.ports",
                    format!(
                        "{:?} is not a range of ports: write the first and the last, both 1024 to 65535, for \
                         example [20000, 29999]",
                        raw.rtp.ports
                    ),
                );
                0..=0
            }
        };
        Rtp { ports, timeout: self.seconds("rtp.timeout_s", raw.rtp.timeout_s, 1..=3600) }
    }

    fn tts(&mut self, raw: &Raw) -> Tts {
        let voice = raw.tts.voice.as_deref().map(|name| self.name("tts.voice", name));
        Tts { voice, folder: raw.tts.folder.clone() }
    }

    fn turns(&mut self, raw: &Raw) -> Turns {
        let turns = &raw.turns;
        let min_silence = self.millis("turns.min_silence_ms", turns.min_silence_ms, 100..=5000);
        let max_silence = self.millis("turns.max_silence_ms", turns.max_silence_ms, 100..=10_000);
        if min_silence > max_silence {
            self.note(
                "turns.min_silence_ms",
                format!("it is longer than `turns.max_silence_ms` ({} ms)", max_silence.as_millis()),
            );
        }
        Turns {
            min_silence,
            max_silence,
            barge_in: turns.barge_in,
            barge_in_length: self.millis("turns.barge_in_length_ms", turns.barge_in_length_ms, 300..=10_000),
            barge_in_verdict: self.millis("turns.barge_in_verdict_ms", turns.barge_in_verdict_ms, 100..=5000),
            no_input: self.seconds("turns.no_input_s", turns.no_input_s, 2..=120),
        }
    }

    fn log(&mut self, raw: &Raw) -> Log {
        if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&raw.log.level) {
            self.note(
                "log.level",
                format!(
                    "\"{}\" is not a log filter ({error}): write error, warn, info, debug or trace",
                    raw.log.level
                ),
            );
        }
        Log {
            filter: raw.log.level.clone(),
            format: self.choice(
                "log.format",
                &raw.log.format,
                &[("text", LogFormat::Text), ("json", LogFormat::Json)],
            ),
        }
    }

    fn note(&mut self, key: &str, why: String) {
        self.problems.push(Problem {
            key: key.into(),
            place: self.sources.place(key),
            what: What::Value(why),
        });
    }

    fn optional<T>(
        &mut self,
        key: &str,
        text: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match parse(text?) {
            Ok(value) => Some(value),
            Err(why) => {
                self.note(key, why);
                None
            }
        }
    }

    /// A value that must be there because `because` is.
    fn needed(
        &mut self,
        key: &str,
        text: Option<&str>,
        because: &str,
        parse: impl FnOnce(&str) -> Result<String, String>,
    ) -> String {
        if text.is_none() {
            self.note(key, format!("it is missing, and `{because}` needs it"));
        }
        self.optional(key, text, parse).unwrap_or_default()
    }

    /// A list of URLs.
    fn urls(&mut self, key: &str, texts: &[String]) -> Vec<String> {
        let parsed = texts.iter().enumerate();
        parsed
            .filter_map(|(at, text)| self.optional(&format!("{key}.{at}"), Some(text.as_str()), url))
            .collect()
    }

    fn secret(&mut self, key_name: &str, key: Option<&Secret>, file: Option<&Path>) -> Option<SecretString> {
        let file_name = format!("{key_name}_file");
        match (key, file) {
            (Some(_), Some(_)) => {
                self.note(key_name, format!("both it and `{file_name}` are set: keep one"));
                None
            }
            (Some(key), None) if key.is_hidden() => {
                self.note(
                    key_name,
                    "this was copied from a dump, which hides the key: write the real one".into(),
                );
                None
            }
            (Some(key), None) => Some(key.0.clone()).filter(|key| self.header(key_name, key.expose_secret())),
            (None, Some(path)) => match std::fs::read_to_string(path) {
                Ok(text) => Some(text.trim().into())
                    .filter(|key: &SecretString| self.header(&file_name, key.expose_secret())),
                Err(error) => {
                    self.note(&file_name, format!("cannot read {}: {error}", path.display()));
                    None
                }
            },
            (None, None) => None,
        }
    }

    /// Whether `secret` can stand in an HTTP header; the note does not show it.
    fn header(&mut self, key: &str, secret: &str) -> bool {
        let good = !secret.is_empty() && secret.bytes().all(|b| b.is_ascii_graphic());
        if !good {
            self.note(key, "the key is empty or has characters that no HTTP header takes".into());
        }
        good
    }

    fn number(&mut self, key: &str, value: u32, range: RangeInclusive<u32>) -> u32 {
        if !range.contains(&value) {
            self.note(key, format!("{value} is out of range, expected {} to {}", range.start(), range.end()));
        }
        value
    }

    fn millis(&mut self, key: &str, value: Millis, range: RangeInclusive<u32>) -> Duration {
        self.number(key, value.0, range);
        value.into()
    }

    fn seconds(&mut self, key: &str, value: Secs, range: RangeInclusive<u32>) -> Duration {
        self.number(key, value.0, range);
        value.into()
    }

    fn choice<T: Copy>(&mut self, key: &str, text: &str, choices: &[(&str, T)]) -> T {
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
            return *value;
        }
        let names = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ");
        self.note(key, format!("\"{}\" is not one of {names}", text.escape_debug()));
        choices[0].1
    }

    /// A text that goes into a SIP header: one line, not empty.
    fn line(&mut self, key: &str, text: &str) -> String {
        if text.trim().is_empty() || text.chars().any(char::is_control) {
            self.note(key, "it must be one line of text that is not empty".into());
        }
        text.into()
    }

    /// A name that is also a folder's: letters, digits, `-` and `_`, so that it cannot lead out of its parent.
    fn name(&mut self, key: &str, text: &str) -> String {
        if text.is_empty() || !text.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_') {
            self.note(
                key,
                format!("\"{}\" is not a name: use letters, digits, - and _", text.escape_debug()),
            );
        }
        text.into()
    }

    fn path(&mut self, key: &str, path: &Path) -> PathBuf {
        if path.as_os_str().is_empty() {
            self.note(key, "the path is empty".into());
        }
        path.into()
    }
}

fn listen(text: &str) -> Result<Listen, String> {
    let bad = |why: String| format!("\"{text}\": {why}; write for example \"udp:0.0.0.0:5060\"");
    let (transport, addr) = text.split_once(':').ok_or_else(|| bad("the transport is missing".into()))?;
    let transport = match transport {
        "udp" => Transport::Udp,
        "tcp" => Transport::Tcp,
        "tls" => Transport::Tls,
        other => return Err(bad(format!("the transport `{other}` is not udp, tcp or tls"))),
    };
    let addr = addr
        .parse()
        .map_err(|_| bad(format!("\"{addr}\" is not an IP address with a port from 0 to 65535")))?;
    Ok(Listen { transport, addr })
}

fn socket_addr(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("\"{text}\" is not an IP address with a port: write for example \"127.0.0.1:8080\"")
    })
}

fn url(text: &str) -> Result<String, String> {
    let good = reqwest::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty()
    });
    if good {
        Ok(text.trim_end_matches('/').into())
    } else {
        Err("it is not an http:// or https:// URL (keys go into `api_key`): write for example \
             \"http://127.0.0.1:8080/v1\""
            .into())
    }
}

fn websocket_url(text: &str) -> Result<String, String> {
    let good = reqwest::Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "ws" | "wss") && url.has_host() && url.username().is_empty());
    if good {
        Ok(text.trim_end_matches('/').into())
    } else {
        Err("it is not a ws:// or wss:// URL (keys go into `api_key`): write for example \
             \"ws://127.0.0.1:10095\""
            .into())
    }
}

fn some_text(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("it is empty".into()) } else { Ok(text.into()) }
}
