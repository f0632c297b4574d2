//! `nightline demo`: a server, a real SIP call over loopback with a recorded caller, a seat, and the conversation as it
//! happens. [`Rehearsal`] is also what `replay --realtime` runs.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use nightline_sip::{Endpoint, EndpointConfig, IncomingCalls, Transport};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::call::event::{Event, EventKind};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::leg::sip::Line;
use crate::qa::{Fixture, ScriptedCaller, Seat, Verdict, judge, report};
use crate::record::wav::StereoWriter;
use crate::record::{CallInfo, Tap};
use crate::seat::Profile;
use crate::server::Server;
use crate::store::Store;
use crate::ua;

/// Options of `nightline demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The recorded caller.
    #[arg(long, value_name = "FILE")]
    fixture: Option<PathBuf>,
    /// Recording and record are kept here.
    #[arg(long, value_name = "FOLDER", default_value = "var/demo")]
    folder: PathBuf,
}

impl Args {
    /// Exit 0 only if the conversation came out right.
    pub async fn run(self, config: Config) -> anyhow::Result<u8> {
        let path = self.fixture.unwrap_or_else(|| super::fixtures_folder().join("demo.toml"));
        let fixture = Fixture::load(&path)?;
        let mut out = io::stderr();
        writeln!(out, "Nightline demo: \"{}\" ({})", fixture.title, path.display())?;
        let caller_side = self.folder.join("caller.wav");
        let rehearsal = Rehearsal::new(&config, fixture, &self.folder, Some(caller_side.clone()));
        let verdict = rehearsal.run(|line| drop(writeln!(io::stderr(), "{line}"))).await?;
        writeln!(out)?;
        write!(io::stdout(), "{}", report::conversation(&verdict, 110))?;
        write!(io::stdout(), "{}", report::table(std::slice::from_ref(&verdict), 110))?;
        writeln!(out, "recordings and records: {}", self.folder.display())?;
        writeln!(out, "what the caller heard:  {}", caller_side.display())?;
        Ok(u8::from(!verdict.passed()))
    }
}

/// One recorded caller against a server of its own, over SIP and RTP on loopback, in real time.
pub struct Rehearsal {
    config: Config,
    fixture: Fixture,
    recording: Option<PathBuf>,
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LONGEST: Duration = Duration::from_secs(240);
/// The seat rings for so long before it answers, and stays in the bridge for so long.
const SEAT_RINGS: Duration = Duration::from_millis(1200);
const SEAT_STAYS: Duration = Duration::from_secs(5);

impl Rehearsal {
    /// Prepares; nothing is opened yet. Store and recordings go to `folder`; `recording` is the caller's side.
    pub fn new(config: &Config, fixture: Fixture, folder: &Path, recording: Option<PathBuf>) -> Self {
        let mut config = config.clone();
        config.record.folder = folder.into();
        config.store = folder.join("nightline.db");
        config.sip.listen =
            vec![config::Listen { transport: config::Transport::Udp, addr: (HERE, 0).into() }];
        config.http = config::Http::default();
        config.asr.language = fixture.language();
        Self { config, fixture, recording }
    }

    /// Runs to the end; `watch` gets a line for everything worth seeing.
    pub async fn run(mut self, watch: impl Fn(String) + Clone + Send + 'static) -> anyhow::Result<Verdict> {
        let shutdown = CancellationToken::new();
        let _stop = shutdown.clone().drop_guard();
        let (seat_endpoint, seat_calls) = endpoint().await?;
        let seat_address = seat_endpoint.local_addr(Transport::Udp).context("the seat has no address")?;
        self.config.seats.profiles = vec![Profile::plain(&format!("sip:seat@{seat_address}"))];
        let seat_line = line(&seat_endpoint, &self.config, "sip:seat@127.0.0.1");
        tokio::spawn(sit(seat_calls, seat_line, self.fixture.seat));

        let (events, mut seen) = mpsc::unbounded_channel();
        let make_tap = move |info: &CallInfo| {
            Box::new(Watch { id: info.id.clone(), events: events.clone() }) as Box<dyn Tap>
        };
        let config = Arc::new(self.config);
        let server = Server::start(config.clone(), Some(Arc::new(make_tap))).await?;
        let address = server.local_addr(Transport::Udp).context("the server has no address")?;
        watch(format!("server listening on {address}; seat on {seat_address}"));
        let serving = tokio::spawn(server.run(shutdown.clone()));

        let show = watch.clone();
        let watching = tokio::spawn(async move {
            let mut id = None;
            while let Some((call, event)) = seen.recv().await {
                id.get_or_insert(call);
                if let Some(line) = describe(&event) {
                    show(line);
                }
                if matches!(event.kind, EventKind::Ended { .. }) {
                    break;
                }
            }
            id
        });
        let (caller_endpoint, _calls) = endpoint().await?;
        let caller_line = line(&caller_endpoint, &config, "sip:anonymous@127.0.0.1");
        let leg = caller_line.call(&format!("sip:400@{address}")).await?;
        let recorder = self.recording.as_ref().map(|path| {
            StereoWriter::start(path, |error| tracing::error!(%error, "the caller's side is not recorded"))
        });
        let caller = ScriptedCaller::new(self.fixture.clone());
        let conversation = ua::converse(leg, caller, recorder, LONGEST, |_| {}).await;
        let id = watching.await?.context("the server saw no call")?;
        shutdown.cancel();
        serving.await?;
        caller_endpoint.shutdown().await;
        seat_endpoint.shutdown().await;
        let store = Store::read(&config.store).await?;
        let stored = store.call(&id).await?.context("the call is not in the store")?;
        Ok(judge(&self.fixture, &stored.record, &conversation.report))
    }
}

async fn endpoint() -> anyhow::Result<(Endpoint, IncomingCalls)> {
    let listen = super::call::listen(HERE);
    Ok(Endpoint::bind(EndpointConfig { listen, ..EndpointConfig::default() }).await?)
}

fn line(endpoint: &Endpoint, config: &Config, from: &str) -> Line {
    Line {
        endpoint: endpoint.clone(),
        bind: HERE,
        advertised: HERE,
        ports: config.rtp.ports.clone(),
        codecs: config.sip.codecs.clone(),
        from: from.into(),
        ring_timeout: Duration::from_secs(30),
        clock: Clock::start(),
        screens: None,
        pages: None,
    }
}

/// A seat that does what the fixture says.
async fn sit(mut calls: IncomingCalls, line: Line, script: Seat) {
    while let Some(mut call) = calls.next().await {
        if script == Seat::Busy {
            call.reject(486, "Busy Here").await;
            continue;
        }
        call.ring().await;
        if script == Seat::NoAnswer {
            // Kept until the server gives up.
            tokio::time::sleep(LONGEST).await;
            continue;
        }
        tokio::time::sleep(SEAT_RINGS).await;
        let Ok(leg) = line.answer(call).await else { continue };
        match script {
            Seat::HangsUp => tokio::time::sleep(SEAT_RINGS).await,
            Seat::Declines => ua::sit(leg, '2', SEAT_STAYS, None).await,
            _ => ua::sit(leg, '1', SEAT_STAYS, None).await,
        }
    }
}

struct Watch {
    id: String,
    events: mpsc::UnboundedSender<(String, Event)>,
}

impl Tap for Watch {
    fn event(&mut self, event: &Event) {
        // Nobody may be watching any more.
        let _ = self.events.send((self.id.clone(), event.clone()));
    }
}

/// A tap that prints a line for every event worth seeing.
#[cfg(feature = "desk")]
pub struct Printer<F>(F);

#[cfg(feature = "desk")]
impl<F: Fn(String) + Send + 'static> Printer<F> {
    /// As a tap.
    pub fn boxed(print: F) -> Box<dyn Tap> {
        Box::new(Self(print))
    }
}

#[cfg(feature = "desk")]
impl<F: Fn(String) + Send> Tap for Printer<F> {
    fn event(&mut self, event: &Event) {
        if let Some(line) = describe(event) {
            (self.0)(line);
        }
    }
}

/// One line for a person who watches, with the time and where it went.
fn describe(event: &Event) -> Option<String> {
    let what = match &event.kind {
        EventKind::Answered => "call answered".into(),
        EventKind::CallerSaid { text, confidence, .. } => {
            format!("caller  {text}  (confidence {confidence:.2})")
        }
        EventKind::BotStarted { timings: Some(t), .. } => {
            let ms = |d: Option<Duration>| d.map_or_else(|| "-".into(), |d| d.as_millis().to_string());
            format!(
                "  · first sound after {} ms: end of turn {}, words {}, first clause {}, first audio {}",
                ms(t.turn_latency),
                ms(t.eou_delay),
                ms(t.transcription_delay),
                ms(t.llm_ttft),
                ms(t.tts_ttfb)
            )
        }
        EventKind::Decided { act, confidence, sources, .. } => {
            format!("  · decided {act:?}, confidence {confidence:.2}, sources {sources:?}")
        }
        EventKind::ToolUsed { what, outcome, took, .. } => {
            let took = took.map_or_else(|| "-".into(), |took| took.as_millis().to_string());
            format!("  · used {}: {} after {took} ms", what.tool, outcome.name())
        }
        EventKind::BotSaid { text, interrupted, .. } => {
            format!("bot     {text}{}", if *interrupted { " ✂ interrupted" } else { "" })
        }
        EventKind::Filled { text, .. } => format!("bot     ({text})"),
        EventKind::BargeInStarted { .. } => "  · caller speaks: playout paused".into(),
        EventKind::BargeInConfirmed { .. } => "  · interruption confirmed".into(),
        EventKind::BargeInRejected { text, .. } => format!("  · no interruption ({text:?}): playout goes on"),
        EventKind::Dtmf { leg, digit } => format!("{leg:?} pressed {digit}").to_lowercase(),
        EventKind::HandoffRequested { reason } => format!("handoff requested: {reason:?}"),
        EventKind::MachineAnswered => "a machine has answered".into(),
        EventKind::Queued { ahead, .. } => format!("waiting for a seat, {ahead} before"),
        EventKind::SeatFailed { seat, outcome, code } => {
            let code = code.map_or_else(String::new, |code| format!(" ({code})"));
            format!("{seat} did not come: {outcome:?}{code}")
        }
        EventKind::SeatDialled { seat } => format!("dialling {seat}"),
        EventKind::Consulting { summary } => format!("seat answered and hears: {summary}"),
        EventKind::Overheard { leg, text, .. } => format!("{leg:?} says: {text}").to_lowercase(),
        EventKind::Bridged => "caller and seat are joined".into(),
        EventKind::Referred => "the caller's exchange has taken over".into(),
        EventKind::HandoffEnded { outcome } => format!("handoff ended: {outcome:?}"),
        EventKind::CallbackBooked { .. } => "call-back booked".into(),
        EventKind::MessageLeft { text, .. } => format!("message left: {text}"),
        EventKind::Rated { score, .. } => format!("rated: {score} of 5"),
        EventKind::Fault { part, error } => format!("fault in {part}: {error}"),
        EventKind::Ended { disposition } => format!("call ended: {disposition:?}"),
        EventKind::SpeechStarted
        | EventKind::SpeechEnded(_)
        | EventKind::Partial(_)
        | EventKind::BotStarted { timings: None, .. }
        | EventKind::AnswerDropped { .. }
        | EventKind::Learned { .. }
        | EventKind::Hold { .. } => return None,
    };
    Some(format!("{:>7.2} s  {what}", event.at.since_start().as_secs_f32()))
}
