//! Cost of the mouth: first audio of a clause, whole clauses, and what comes before the engine.
//!
//! `cargo bench --bench tts`. The distribution of the first audio (median and 95th percentile of 300 clauses that are not in
//! the cache) is printed before criterion's own figures.

use std::hint::black_box;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use criterion::Criterion;
use nightline::clock::Clock;
use nightline::tts::clause::Clauses;
use nightline::tts::normalize::{Language, normalize};
use nightline::tts::{Mouth, Options, Piece, Request, Synthesizer};

const CLAUSE: &str = "您的车还剩百分之三十的电，大约还能开120公里，";

/// Until the first audio and until the end of one clause, through the queue as in a call; and how much audio it was.
fn speak(mouth: &Mouth, clock: &Clock, text: &str) -> (Duration, Duration, Duration) {
    let (sender, pieces) = mpsc::channel();
    let start = clock.now();
    let request = Request {
        text: text.to_owned(),
        voice: "nightline-zh".to_owned(),
        cancelled: Arc::new(AtomicBool::new(false)),
        sink: Box::new(move |piece| drop(sender.send(piece))),
    };
    mouth.speak(request);
    let (mut first, mut samples) = (None, 0);
    for piece in pieces {
        if let Piece::Audio { samples: audio, .. } = piece {
            first.get_or_insert_with(|| clock.now().saturating_since(start));
            samples += audio.len();
        }
    }
    let audio = Duration::from_secs_f64(samples as f64 / f64::from(nightline::media::RATE));
    (first.unwrap_or_default(), clock.now().saturating_since(start), audio)
}

fn main() {
    let clock = Clock::start();
    let mouth = match Mouth::open(&["nightline-zh"], &Options::default()) {
        Ok(mouth) => mouth,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    };
    speak(&mouth, &clock, "您好。");
    let runs: Vec<_> = (0..300).map(|i| speak(&mouth, &clock, &format!("第{i}次，{CLAUSE}"))).collect();
    let sorted = |pick: fn(&(Duration, Duration, Duration)) -> Duration| {
        let mut all: Vec<Duration> = runs.iter().map(pick).collect();
        all.sort();
        all
    };
    let (first, whole, audio) = (sorted(|r| r.0), sorted(|r| r.1), sorted(|r| r.2));
    println!("first audio of a clause: p50 {:?}, p95 {:?}, worst {:?}", first[150], first[285], first[299]);
    println!("whole clause of {:?} of audio: p50 {:?}, p95 {:?}", audio[150], whole[150], whole[285]);

    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    let mut count = 0_u32;
    criterion.bench_function("speak a clause", |b| {
        b.iter(|| {
            count += 1;
            speak(&mouth, &clock, &format!("{count}，{CLAUSE}"))
        });
    });
    criterion.bench_function("speak a clause from the cache", |b| b.iter(|| speak(&mouth, &clock, CLAUSE)));
    criterion.bench_function("normalize a clause", |b| b.iter(|| normalize(black_box(CLAUSE), Language::Zh)));
    criterion.bench_function("cut an answer into clauses", |b| {
        b.iter(|| {
            let mut clauses = Clauses::new();
            clauses.push(black_box(CLAUSE)).len() + clauses.finish().len()
        });
    });
    criterion.final_summary();
}
