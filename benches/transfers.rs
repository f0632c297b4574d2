//! How long transfers take on the wire: from the wish for a person to the INVITE at the seat, and from the end of the seat's key to its voice at
//! the caller's telephone. Real SIP and RTP between three endpoints on loopback.
//!
//!     cargo bench --workspace --bench transfers -- --calls 24 --at-once 4

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Parser;
use nightline::call::event::{Event, EventKind, LegId};
use nightline::clock::{Clock, Time};
use nightline::config::Config;
use nightline::leg::sip::{Line, SipLeg};
use nightline::leg::{Leg as _, LegEvent};
use nightline::media::{FRAME, FRAME_TIME, Frame, RATE};
use nightline::record::{CallInfo, Tap};
use nightline::server::{MakeTap, Server};
use nightline_sip::{Endpoint, EndpointConfig, IncomingCalls, Transport};
use tokio_util::sync::CancellationToken;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The voice of a seat: nothing else on the line is a tone of this frequency.
const TONE_HZ: f32 = 1000.0;
/// Share of a frame's energy at that frequency, from which it is the seat's.
const PURE: f32 = 0.6;
/// The frame at which a seat presses its key, when the caller has been told that it is being connected: what is being said to it is said
/// to its end first. And how many frames the key sounds.
const TAKES_AT: u64 = 300;
const KEY_FRAMES: u64 = 6;
const LONGEST: Duration = Duration::from_secs(60);

#[derive(Parser)]
struct Args {
    /// Calls in all.
    #[arg(long, default_value_t = 24)]
    calls: usize,
    /// Calls at one time.
    #[arg(long, default_value_t = 4)]
    at_once: usize,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// When something happened in calls, by the caller's number.
#[derive(Clone)]
struct Times {
    clock: Clock,
    at: Arc<Mutex<HashMap<String, Time>>>,
}

impl Times {
    fn new(clock: Clock) -> Self {
        Self { clock, at: Arc::default() }
    }

    fn note(&self, number: &str) {
        let now = self.clock.now();
        self.at.lock().unwrap_or_else(PoisonError::into_inner).insert(number.to_owned(), now);
    }

    fn get(&self, number: &str) -> Option<Time> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).get(number).copied()
    }
}

struct Watch {
    number: String,
    wanted: Times,
    accepted: Times,
    bridged: Times,
}

impl Tap for Watch {
    fn event(&mut self, event: &Event) {
        match event.kind {
            EventKind::HandoffRequested { .. } => self.wanted.note(&self.number),
            EventKind::Dtmf { leg: LegId::Seat, .. } => self.accepted.note(&self.number),
            EventKind::Bridged => self.bridged.note(&self.number),
            _ => {}
        }
    }
}

fn endpoint_config() -> EndpointConfig {
    EndpointConfig { listen: vec![(Transport::Udp, SocketAddr::new(HERE, 0))], ..EndpointConfig::default() }
}

fn line(endpoint: &Endpoint, from: &str, ports: (u16, u16)) -> Line {
    Line {
        endpoint: endpoint.clone(),
        bind: HERE,
        advertised: HERE,
        ports: ports.0..=ports.1,
        codecs: nightline_sip::Codec::ALL.into(),
        from: from.into(),
        ring_timeout: Duration::from_secs(20),
        clock: Clock::start(),
        screens: None,
        pages: None,
    }
}

/// 20 ms of the tone, in phase with the frame before.
fn tone(n: u64) -> Frame {
    Frame(std::array::from_fn(|i| {
        let t = (n * FRAME as u64 + i as u64) as f32 / RATE as f32;
        (8000.0 * (std::f32::consts::TAU * TONE_HZ * t).sin()) as i16
    }))
}

/// Goertzel's share of the frame's energy at the tone.
fn is_tone(frame: &Frame) -> bool {
    let w = std::f32::consts::TAU * TONE_HZ / RATE as f32;
    let (mut a, mut b, mut energy) = (0.0_f32, 0.0_f32, 1.0_f32);
    for sample in frame.0 {
        let x = f32::from(sample);
        energy += x * x;
        (a, b) = (x + 2.0 * w.cos() * a - b, a);
    }
    let power = a * a + b * b - 2.0 * w.cos() * a * b;
    2.0 * power / FRAME as f32 / energy > PURE && energy > 1e6
}

/// A seat that answers at once, takes the call six seconds later, and sounds its tone from then on: before that it would be
/// taken for the tone of a machine. While its key sounds nothing else leaves it.
async fn sit(mut leg: SipLeg, number: String, pressed: Times) {
    let clock = leg.clock();
    let mut ticks = tokio::time::interval(FRAME_TIME);
    for n in 0_u64.. {
        tokio::select! {
            _ = ticks.tick() => {}
            event = leg.event() => if event == LegEvent::Gone { return },
        }
        let now = clock.now();
        leg.pull(now);
        leg.push(now, &if n > TAKES_AT { tone(n) } else { Frame::SILENCE });
        if n == TAKES_AT {
            leg.press('1');
        }
        if n == TAKES_AT + KEY_FRAMES {
            pressed.note(&number);
        }
    }
}

async fn seats(mut calls: IncomingCalls, line: Line, rang: Times, pressed: Times) {
    while let Some(call) = calls.next().await {
        let number = call.header("X-Nightline-Caller").unwrap_or_default().to_owned();
        rang.note(&number);
        match line.answer(call).await {
            Ok(leg) => drop(tokio::spawn(sit(leg, number, pressed.clone()))),
            Err(error) => eprintln!("a seat could not answer: {error}"),
        }
    }
}

/// Calls, asks for a person by key, and notes when the tone is heard.
async fn call(line: Line, target: String, number: String, heard: Times) {
    let mut leg = match line.call(&target).await {
        Ok(leg) => leg,
        Err(error) => return eprintln!("{number}: {error}"),
    };
    let clock = leg.clock();
    let began = clock.now();
    let mut ticks = tokio::time::interval(FRAME_TIME);
    for n in 0.. {
        tokio::select! {
            _ = ticks.tick() => {}
            event = leg.event() => if event == LegEvent::Gone { return },
        }
        let now = clock.now();
        let frame = leg.pull(now);
        leg.push(now, &Frame::SILENCE);
        if n == 50 {
            leg.press('0');
        }
        if is_tone(&frame) {
            heard.note(&number);
            return leg.hang_up();
        }
        if now.saturating_since(began) > LONGEST {
            return eprintln!("{number} was not joined");
        }
    }
}

fn percentile(sorted: &[Duration], share: f64) -> u128 {
    let at = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len()) - 1;
    sorted[at].as_millis()
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    if times.is_empty() {
        return println!("{what}: none");
    }
    let [p50, p95] = [0.5, 0.95].map(|share| percentile(&times, share));
    println!("{what}: p50 {p50} ms, p95 {p95} ms, {} calls", times.len());
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir()?;
    let (desk, calls) = Endpoint::bind(endpoint_config()).await?;
    let address = desk.local_addr(Transport::Udp).ok_or("the seats have no address")?;
    let mut text = format!(
        "[sip]\nlisten = [\"udp:127.0.0.1:0\"]\nmax_calls = 100\n[rtp]\nports = [40000, 41999]\n[record]\nfolder = \"{0}\"\n\
         [store]\npath = \"{0}/n.db\"\n[seats]\nwrap_up_s = 0\n",
        folder.path().display()
    );
    for n in 0..args.at_once {
        writeln!(text, "[[seats.seat]]\nid = \"s{n}\"\nuri = \"sip:s{n}@{address}\"")?;
    }
    let file = folder.path().join("n.toml");
    std::fs::write(&file, text)?;
    let config = Arc::new(Config::load(Some(&file))?);

    let clock = Clock::start();
    let [wanted, rang, pressed, accepted, bridged, heard] = std::array::from_fn(|_| Times::new(clock));
    let watched = [&wanted, &accepted, &bridged].map(Times::clone);
    let watch: MakeTap = Arc::new(move |info: &CallInfo| {
        let number = info.from.split(['@', ':']).nth(1).unwrap_or(&info.from).to_owned();
        let [wanted, accepted, bridged] = watched.clone();
        Box::new(Watch { number, wanted, accepted, bridged }) as Box<dyn Tap>
    });
    let server = Server::start(config, Some(watch)).await?;
    let hotline = server.local_addr(Transport::Udp).ok_or("the server has no address")?;
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.run(stop.clone()));
    let seat_line = line(&desk, "sip:desk@127.0.0.1", (42_000, 43_999));
    tokio::spawn(seats(calls, seat_line, rang.clone(), pressed.clone()));

    let (phones, _calls) = Endpoint::bind(endpoint_config()).await?;
    let room = Arc::new(tokio::sync::Semaphore::new(args.at_once));
    let mut talks = tokio::task::JoinSet::new();
    let numbers: Vec<String> = (0..args.calls).map(|n| format!("139{n:08}")).collect();
    for number in numbers.clone() {
        let line = line(&phones, &format!("sip:{number}@127.0.0.1"), (44_000, 45_999));
        let (room, target, heard) = (room.clone(), format!("sip:400@{hotline}"), heard.clone());
        talks.spawn(async move {
            let _permit = room.acquire_owned().await;
            call(line, target, number, heard).await;
        });
    }
    talks.join_all().await;
    stop.cancel();
    serving.await?;
    let between = |from: &Times, to: &Times| {
        let times = numbers.iter().filter_map(|n| Some(to.get(n)?.saturating_since(from.get(n)?)));
        times.collect::<Vec<Duration>>()
    };
    report("from the wish for a person to the INVITE at the seat", between(&wanted, &rang));
    report("from the end of the seat's key to the server's knowing it", between(&pressed, &accepted));
    report("from that to caller and seat being joined", between(&accepted, &bridged));
    report("from that to the seat's voice at the caller", between(&bridged, &heard));
    report("from the end of the seat's key to its voice at the caller", between(&pressed, &heard));
    Ok(())
}
