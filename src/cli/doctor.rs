//! `nightline doctor`: whether this machine and this configuration can take calls, and what to do if not.
//!
//! What this file checks needs nothing but the configuration. Checks of what is loaded (model, voice, tenant) are handed
//! in as [`Check`]s by the command line, which knows how to load it.

mod sip;

use std::ffi::{CStr, c_char, c_int};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs as _, UdpSocket};
use std::path::Path;
use std::str::FromStr as _;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::exit;
use crate::asr::remote;
use crate::clock;
use crate::config::{Config, Listen, SipUri, Transport};
use crate::seat::Way;
use crate::store::Store;

/// Arguments of `nightline doctor`.
#[derive(Clone, Debug, clap::Args)]
pub struct Doctor {
    /// As a JSON array.
    #[arg(long)]
    pub json: bool,
    /// What to look at instead of this machine.
    #[command(subcommand)]
    pub what: Option<What>,
}

/// What else can be looked at.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum What {
    /// Exchanges and seats: do they answer, what can they do, how do they see us, may we register.
    Sip(sip::Args),
}

/// One thing to look at.
pub struct Check {
    /// What is looked at, in a word or two.
    pub name: &'static str,
    /// Looks. May block.
    pub run: Box<dyn FnOnce() -> Verdict + Send>,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is well; what was found.
    Good(String),
    /// Calls can be taken, but the operator should know; what was found and what could be done.
    Note(String, String),
    /// It is wrong; what was found and what to do.
    Wrong(String, String),
}

/// A verdict with the name of its check, as it is printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// `good`, `note` or `wrong`.
    pub state: &'static str,
    /// What was found.
    pub found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict) -> Self {
        let (state, found, advice) = match verdict {
            Verdict::Good(found) => ("good", found, None),
            Verdict::Note(found, advice) => ("note", found, Some(advice)),
            Verdict::Wrong(found, advice) => ("wrong", found, Some(advice)),
        };
        Self { check, state, found, advice }
    }
}

impl Doctor {
    /// Looks at everything and prints it. Gives the exit code: 1 if something is wrong.
    pub async fn run(
        &self,
        config: &Config,
        extra: impl FnOnce(&Config) -> Vec<Check>,
        out: &mut dyn Write,
    ) -> io::Result<u8> {
        match &self.what {
            Some(What::Sip(args)) => args.clone().or_json(self.json).run(config, out).await,
            None => print(&examine(config, extra(config)).await, self.json, out),
        }
    }
}

/// Prints what was found. Gives the exit code: 1 if something is wrong.
fn print(findings: &[Finding], json: bool, out: &mut dyn Write) -> io::Result<u8> {
    if json {
        serde_json::to_writer_pretty(&mut *out, findings)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", report(findings))?;
    }
    Ok(if findings.iter().any(|f| f.state == "wrong") { exit::WRONG } else { 0 })
}

/// Looks at everything, in the order in which a call needs it.
pub async fn examine(config: &Config, extra: Vec<Check>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |check, verdict| findings.push(Finding::new(check, verdict));
    add("processor", processor());
    add("clock", wall_clock());
    add("open files", open_files(config.sip.max_calls));
    for listen in &config.sip.listen {
        add("sip port", sip_port(*listen));
    }
    add("rtp ports", rtp_ports(config));
    add("espeak-ng", espeak());
    for check in extra {
        add(check.name, (check.run)());
    }
    add("recordings", folder(&config.record.folder, "record.folder"));
    add("database", database(&config.store).await);
    if let Some(remote) = &config.asr.remote {
        add("recognition", recognition(remote).await);
    }
    if let Some(llm) = &config.llm {
        add("language model", server(&llm.url, &llm.model, llm.api_key.as_ref(), "url").await);
        for spare in &llm.fallbacks {
            add("spare model", server(spare, &llm.model, llm.api_key.as_ref(), "fallbacks").await);
        }
    }
    add("seats", seats(config));
    findings
}

/// A line for each finding, another for what to do, and a last one with the sum.
fn report(findings: &[Finding]) -> String {
    let wide = findings.iter().map(|f| f.check.len()).max().unwrap_or(0);
    let mut out = String::new();
    // Writing to a String cannot fail.
    for finding in findings {
        let mark = match finding.state {
            "good" => '✔',
            "note" => '!',
            _ => '✘',
        };
        let _ = writeln!(out, "{mark} {:wide$}  {}", finding.check, finding.found);
        if let Some(advice) = &finding.advice {
            let _ = writeln!(out, "  {:wide$}  → {advice}", "");
        }
    }
    let count = |state| findings.iter().filter(|f| f.state == state).count();
    let _ = writeln!(out, "{} good, {} to note, {} wrong", count("good"), count("note"), count("wrong"));
    out
}

fn processor() -> Verdict {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    #[cfg(target_arch = "x86_64")]
    let missing: Vec<&str> = [
        ("AVX2", std::is_x86_feature_detected!("avx2")),
        ("FMA", std::is_x86_feature_detected!("fma")),
        ("F16C", std::is_x86_feature_detected!("f16c")),
    ]
    .into_iter()
    .filter_map(|(name, there)| (!there).then_some(name))
    .collect();
    #[cfg(not(target_arch = "x86_64"))]
    let missing: Vec<&str> = Vec::new();
    if missing.is_empty() {
        Verdict::Good(format!("{cores} cores with the vector instructions that recognition needs"))
    } else {
        Verdict::Wrong(
            format!("the processor has no {}, which the recogniser is built for", missing.join(", ")),
            "use a machine from 2014 or later, or build with GGML_AVX2=OFF GGML_FMA=OFF GGML_F16C=OFF".into(),
        )
    }
}

fn wall_clock() -> Verdict {
    judge_clock(jiff::Timestamp::try_from(clock::wall()).unwrap_or_default())
}

fn judge_clock(now: jiff::Timestamp) -> Verdict {
    let year = now.strftime("%Y").to_string().parse().unwrap_or(0);
    if (2026..2100).contains(&year) {
        Verdict::Good(format!("{now:.0}"))
    } else {
        Verdict::Wrong(
            format!("the clock says {now:.0}"),
            "set it: `timedatectl set-ntp true`; records would carry wrong dates".into(),
        )
    }
}

/// Files for one call: RTP and RTCP of two legs, and the recording.
const FILES_PER_CALL: u64 = 5;
/// Files for the rest: listeners, database, model, connections.
const FILES_FOR_ALL: u64 = 128;

fn open_files(max_calls: usize) -> Verdict {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    judge_files(limit.current.unwrap_or(u64::MAX), max_calls)
}

fn judge_files(limit: u64, max_calls: usize) -> Verdict {
    let needed = max_calls as u64 * FILES_PER_CALL + FILES_FOR_ALL;
    if limit >= needed {
        return Verdict::Good(format!("{limit} allowed, {needed} needed for {max_calls} calls"));
    }
    Verdict::Wrong(
        format!("{limit} allowed, {needed} needed for {max_calls} calls"),
        format!("`ulimit -n {needed}`, or LimitNOFILE={needed} in the service, or a smaller `sip.max_calls`"),
    )
}

fn sip_port(listen: Listen) -> Verdict {
    let bound = match listen.transport {
        Transport::Udp => UdpSocket::bind(listen.addr).map(drop),
        Transport::Tcp | Transport::Tls => TcpListener::bind(listen.addr).map(drop),
    };
    match bound {
        Ok(()) => Verdict::Good(format!("{listen} is free")),
        Err(error) => {
            let (why, advice) = match error.kind() {
                io::ErrorKind::AddrInUse => (
                    "is in use".to_string(),
                    format!(
                        "`ss -lnp 'sport = :{}'` shows by whom (a running `nightline serve`?); stop it, or change `sip.listen`",
                        listen.addr.port()
                    ),
                ),
                io::ErrorKind::PermissionDenied => {
                    ("may not be used by this user".into(), "use a port from 1024 in `sip.listen`".into())
                }
                io::ErrorKind::AddrNotAvailable => (
                    "is not an address of this machine".into(),
                    "`ip addr` shows what is; 0.0.0.0 listens on all: change `sip.listen`".into(),
                ),
                _ => (format!("cannot be used: {error}"), "change `sip.listen`".into()),
            };
            Verdict::Wrong(format!("{listen} {why}"), advice)
        }
    }
}

fn rtp_ports(config: &Config) -> Verdict {
    let ip = config.sip.listen.first().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |l| l.addr.ip());
    let (first, last) = (*config.rtp.ports.start(), *config.rtp.ports.end());
    let free = |port: u16| UdpSocket::bind(SocketAddr::new(ip, port)).is_ok();
    // RTP takes an even port and RTCP the next.
    let pairs = (first..last).filter(|p| p % 2 == 0);
    let (mut all, mut usable) = (0, 0);
    for port in pairs {
        all += 1;
        usable += usize::from(free(port) && free(port + 1));
    }
    let needed = config.sip.max_calls * 2;
    let found = format!("{usable} of {all} pairs in {first}–{last} are free, {needed} needed");
    if usable >= needed {
        Verdict::Good(found)
    } else {
        Verdict::Wrong(found, "choose another range in `rtp.ports`, or a smaller `sip.max_calls`".into())
    }
}

const NO_ESPEAK: &str = "`apt-get install libespeak-ng1 espeak-ng-data`";

/// `AUDIO_OUTPUT_RETRIEVAL` of speak_lib.h: no sound card.
const RETRIEVAL: c_int = 1;
/// `espeakINITIALIZE_DONT_EXIT` of speak_lib.h: missing data is an error, not the end of the process.
const DONT_EXIT: c_int = 0x8000;

fn espeak() -> Verdict {
    // SAFETY: loading runs the library's initialisers; the system's espeak-ng has none with effects on us.
    let library = match unsafe { libloading::Library::new("libespeak-ng.so.1") } {
        Ok(library) => library,
        Err(error) => {
            return Verdict::Wrong(format!("the voice library is missing: {error}"), NO_ESPEAK.into());
        }
    };
    // SAFETY: the signatures are those of speak_lib.h, which has kept them since 1.49; no other thread of this command uses
    // the library, and what it returns is copied before `espeak_Terminate`.
    unsafe {
        type Initialize = unsafe extern "C" fn(c_int, c_int, *const c_char, c_int) -> c_int;
        type Info = unsafe extern "C" fn(*mut *const c_char) -> *const c_char;
        type SetVoice = unsafe extern "C" fn(*const c_char) -> c_int;
        type Terminate = unsafe extern "C" fn() -> c_int;
        let symbols = || -> Result<_, libloading::Error> {
            Ok((
                library.get::<Initialize>(b"espeak_Initialize\0")?,
                library.get::<Info>(b"espeak_Info\0")?,
                library.get::<SetVoice>(b"espeak_SetVoiceByName\0")?,
                library.get::<Terminate>(b"espeak_Terminate\0")?,
            ))
        };
        let (initialize, info, set_voice, terminate) = match symbols() {
            Ok(symbols) => symbols,
            Err(error) => {
                return Verdict::Wrong(
                    format!("the voice library is not espeak-ng: {error}"),
                    NO_ESPEAK.into(),
                );
            }
        };
        if initialize(RETRIEVAL, 0, std::ptr::null(), DONT_EXIT) <= 0 {
            return Verdict::Wrong("espeak-ng does not find its data".into(), NO_ESPEAK.into());
        }
        let text = |p: *const c_char| {
            if p.is_null() { String::from("?") } else { CStr::from_ptr(p).to_string_lossy().into_owned() }
        };
        let mut data = std::ptr::null();
        let version = text(info(&raw mut data));
        let data = text(data);
        let missing: Vec<_> =
            [c"cmn-latn-pinyin", c"en-us"].into_iter().filter(|v| set_voice(v.as_ptr()) != 0).collect();
        terminate();
        if missing.is_empty() {
            Verdict::Good(format!("{version}, data in {data}"))
        } else {
            Verdict::Wrong(format!("{version} in {data} lacks the voices {missing:?}"), NO_ESPEAK.into())
        }
    }
}

/// Below this, recording is about to end.
const LITTLE: u64 = 200 << 20;
/// Below this, it will end within a night of calls.
const SCARCE: u64 = 2 << 30;
/// A recorded hour: 16 kHz, stereo, 16 bit.
const HOUR: u64 = 64_000 * 3600;

fn folder(path: &Path, key: &str) -> Verdict {
    // A folder that is missing is made when it is needed: its nearest parent has to allow that.
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let there = absolute.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    let shown = path.display();
    if !there.is_dir() {
        return Verdict::Wrong(
            format!("{} is a file, not a folder", there.display()),
            format!("move it away, or change `{key}`"),
        );
    }
    if let Err(error) = rustix::fs::access(there, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
    {
        return Verdict::Wrong(
            format!("{shown} cannot be written: {}", io::Error::from(error)),
            format!("`sudo chown $USER {}`, or change `{key}`", there.display()),
        );
    }
    match rustix::fs::statvfs(there) {
        Ok(stat) => judge_space(&shown.to_string(), stat.f_bavail.saturating_mul(stat.f_frsize)),
        Err(error) => Verdict::Note(
            format!("{shown} can be written; its free space is unknown: {}", io::Error::from(error)),
            "watch the disk".into(),
        ),
    }
}

fn judge_space(shown: &str, free: u64) -> Verdict {
    let found = format!(
        "{shown} can be written, {:.1} GiB free ({} h of calls)",
        free as f64 / f64::from(1 << 30),
        free / HOUR
    );
    let advice = "free some space: a recorded hour takes 230 MB".to_string();
    match free {
        0..LITTLE => Verdict::Wrong(found, advice),
        LITTLE..SCARCE => Verdict::Note(found, advice),
        _ => Verdict::Good(found),
    }
}

async fn database(path: &Path) -> Verdict {
    if !std::fs::metadata(path).is_ok_and(|m| m.len() > 0) {
        let parent = path.parent().unwrap_or(Path::new("."));
        return match folder(parent, "store.path") {
            Verdict::Good(_) => Verdict::Good(format!("{} will be made by `serve`", path.display())),
            other => other,
        };
    }
    let outcome = async {
        let store = Store::read(path).await?;
        let calls = store.calls(1).await?;
        store.callbacks(None).await.map(|_| calls.len())
    };
    match outcome.await {
        Ok(calls) => {
            let held = if calls == 0 { "no calls yet" } else { "opens, its calls can be read" };
            Verdict::Good(format!("{}: {held}", path.display()))
        }
        Err(error) => Verdict::Wrong(error.to_string(), "see what it says above".into()),
    }
}

/// Asks an OpenAI-compatible server for its list of models.
async fn server(url: &str, model: &str, key: Option<&SecretString>, place: &str) -> Verdict {
    // Only fails if one is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let asked = async {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?;
        let mut request = client.get(format!("{url}/models"));
        if let Some(key) = key {
            request = request.bearer_auth(key.expose_secret());
        }
        let answer = request.send().await?;
        let status = answer.status();
        let body = answer.json::<serde_json::Value>().await.unwrap_or_default();
        Ok::<_, reqwest::Error>((status, body))
    };
    match asked.await {
        Err(error) => Verdict::Wrong(
            format!("{url} does not answer: {}", root_cause(&error)),
            format!("start that server, or correct `llm.{place}`; until then its part is not used"),
        ),
        Ok((status, _)) if status == 401 || status == 403 => Verdict::Wrong(
            format!("{url} refuses the key ({status})"),
            "correct `llm.api_key` or `llm.api_key_file`".into(),
        ),
        Ok((status, _)) if status.is_server_error() => {
            Verdict::Wrong(format!("{url} answers {status}"), "look into that server's log".into())
        }
        Ok((status, _)) if !status.is_success() => Verdict::Note(
            format!("{url} answers {status} to a request for its models"),
            format!("not every server has that list; check `llm.{place}` if it is not one of those"),
        ),
        Ok((_, body)) => {
            let ids: Vec<_> =
                body["data"].as_array().into_iter().flatten().filter_map(|m| m["id"].as_str()).collect();
            if ids.is_empty() || ids.contains(&model) {
                Verdict::Good(format!("{url} answers, model {model}"))
            } else {
                let near = ids.iter().take(5).copied().collect::<Vec<_>>().join(", ");
                Verdict::Wrong(
                    format!("{url} answers, but does not list the model {model}"),
                    format!("set `llm.model` to one that it has: {near}"),
                )
            }
        }
    }
}

/// Asks a recognition server as a call would, with silence.
async fn recognition(options: &remote::Options) -> Verdict {
    let url = &options.url;
    match remote::check(options).await {
        Ok(()) => Verdict::Good(format!("{url} answers as {} should", options.protocol.engine())),
        Err(failure) => {
            // What it is and what to do stand in one sentence each.
            let text = failure.to_string();
            let (found, advice) = text.split_once("; ").unwrap_or((&text, "see what it says above"));
            Verdict::Wrong(format!("{url}: {found}"), format!("{advice}; until then the local model answers"))
        }
    }
}

fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn seats(config: &Config) -> Verdict {
    let seats = &config.seats.profiles;
    if seats.is_empty() {
        return Verdict::Note(
            "no seat is configured: who asks for a person is offered a call-back".into(),
            "name at least one in `seats.targets`, for example \"sip:1001@pbx.example\"".into(),
        );
    }
    let has_address =
        |uri: &str| SipUri::from_str(uri).is_ok_and(|uri| uri.host_port().to_socket_addrs().is_ok());
    let called = seats.iter().filter(|seat| seat.way != Way::Browser).map(|seat| seat.uri.as_str());
    let lost: Vec<_> = called.filter(|uri| !has_address(uri)).collect();
    if lost.is_empty() {
        return Verdict::Good(format!("{} configured, their hosts have addresses", seats.len()));
    }
    let lost = lost.join(", ");
    Verdict::Wrong(
        format!("no address is found for {lost}"),
        "correct `seats.targets`, or the name service".into(),
    )
}

#[cfg(test)]
mod tests;
