//! How long words take while many callers speak: partials every 240 ms and a final for each utterance, in real time.
//!
//! `cargo bench --bench asr_load -- CALLS SECONDS WORKERS` (20, 30 and 2 if not given). Each call is a thread that speaks for
//! 2.4 s and pauses for 1.6 s, as the core would have it recognised: one partial under way, fewer after one was dropped.
//! Latency is from request to reply. With one call it is the latency alone.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use nightline::asr::whisper::{ModelSource, Options, Whisper};
use nightline::asr::{Error, Job, Purpose, Recognizer};
use nightline::clock::Clock;
use nightline::media::RATE;

const INTERVAL: Duration = Duration::from_millis(240);
const PARTIALS: usize = 10;
/// Silence before the final is speculated, and after it.
const SILENCE: Duration = Duration::from_millis(120);
const PAUSE: Duration = Duration::from_millis(1_480);

fn main() {
    // cargo itself passes `--bench`.
    let given: Vec<u32> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let at = |index: usize, default| given.get(index).copied().unwrap_or(default);
    let (calls, seconds, workers) = (at(0, 20), at(1, 30), at(2, 2));
    let before = resident();
    let options = Options { workers: workers as usize, ..Options::default() };
    let whisper: Arc<dyn Recognizer> =
        Arc::new(Whisper::open(&ModelSource::Embedded, &options).expect("the embedded model opens"));
    let opened = resident();
    let audio: Arc<[i16]> = speech().into();
    let (measured, figures) = mpsc::channel();
    let clock = Clock::start();
    std::thread::scope(|scope| {
        for call in 0..calls {
            let (whisper, audio, measured) = (Arc::clone(&whisper), Arc::clone(&audio), measured.clone());
            scope.spawn(move || {
                // Callers do not speak in step.
                wait(Duration::from_millis(u64::from(call) * 4_000 / u64::from(calls)));
                while clock.now().since_start() < Duration::from_secs(seconds.into()) {
                    utterance(&*whisper, &audio, clock, &measured);
                    wait(PAUSE);
                }
            });
        }
    });
    drop(measured);
    let figures: Vec<Figure> = figures.into_iter().collect();
    println!("{calls} calls, {workers} workers, {seconds} s, speaking 60 % of the time");
    for purpose in [Purpose::Partial, Purpose::Final] {
        let of = || figures.iter().filter(|figure| figure.purpose == purpose);
        let mut times: Vec<f64> =
            of().filter(|f| !f.dropped).map(|f| f.time.as_secs_f64() * 1000.0).collect();
        times.sort_by(f64::total_cmp);
        let share =
            |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
        println!(
            "{purpose:?}: p50 {:.0} ms, p95 {:.0} ms, {} answered, {} dropped",
            share(0.5),
            share(0.95),
            times.len(),
            of().filter(|figure| figure.dropped).count()
        );
    }
    let after = resident();
    println!(
        "memory: {:.0} MiB for the model and {workers} workers, {:.2} MiB more a call (with its thread and audio)",
        opened - before,
        (after - opened) / f64::from(calls)
    );
}

/// Real time passes: callers speak in it.
#[expect(clippy::disallowed_methods, reason = "a bench of latency in real time has no event to wait for")]
fn wait(time: Duration) {
    std::thread::sleep(time);
}

struct Figure {
    purpose: Purpose,
    time: Duration,
    dropped: bool,
}

/// Speaks once.
fn utterance(whisper: &dyn Recognizer, audio: &Arc<[i16]>, clock: Clock, measured: &mpsc::Sender<Figure>) {
    let (reply, answers) = mpsc::channel();
    let ask = |length: usize, purpose| {
        let (begun, reply) = (clock.now(), reply.clone());
        whisper.submit(Job {
            audio: audio[..length].into(),
            purpose,
            deadline: begun + Duration::from_millis(if purpose == Purpose::Final { 150 } else { 300 }),
            language: "zh",
            also: None,
            earlier: None,
            reply: Box::new(move |result| {
                let dropped = result == Err(Error::Dropped);
                // The utterance waits for all of its answers.
                let _ = reply.send(Figure { purpose, time: clock.now().saturating_since(begun), dropped });
            }),
        });
    };
    let (mut under_way, mut widened, mut turns) = (false, 1, 1);
    for part in 1..=PARTIALS {
        wait(INTERVAL);
        for figure in answers.try_iter() {
            under_way = false;
            widened = if figure.dropped { (widened * 2).min(4) } else { (widened / 2).max(1) };
            let _ = measured.send(figure);
        }
        turns -= 1;
        if !under_way && turns <= 0 {
            ask(audio.len() * part / PARTIALS, Purpose::Partial);
            (under_way, turns) = (true, widened);
        }
    }
    wait(SILENCE);
    ask(audio.len(), Purpose::Final);
    let expected = 1 + usize::from(under_way);
    for figure in answers.iter().take(expected) {
        let _ = measured.send(figure);
    }
}

/// 2.4 s of speech.
fn speech() -> Vec<i16> {
    let wav = include_bytes!("../src/asr/testdata/range.wav").as_slice();
    let samples = hound::WavReader::new(wav)
        .and_then(|reader| reader.into_samples::<i16>().collect::<Result<Vec<_>, _>>());
    let samples = samples.expect("the test data are whole");
    samples.iter().flat_map(|&s| [s, s]).cycle().take(RATE as usize * 24 / 10).collect()
}

/// Resident memory of this process in MiB.
fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0.0);
    pages * 4.0 / 1024.0
}
