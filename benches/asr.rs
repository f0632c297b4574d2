//! What hearing costs: one decoding on one thread by length of speech, and voice activity a frame.
//!
//! `cargo bench --bench asr`. Times are from submission to reply on an idle pool with one worker, so with the thread's wake-up.

#![allow(missing_docs, reason = "criterion's macro makes a public function")]

use std::hint::black_box;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use nightline::asr::whisper::{ModelSource, Options, Whisper};
use nightline::asr::{Job, Purpose, Recognizer, Transcript};
use nightline::clock::Time;
use nightline::media::vad::Vad;
use nightline::media::{FRAME, Frame, RATE};

/// Speech of about two seconds, repeated or cut to `seconds`.
fn speech(seconds: usize) -> Arc<[i16]> {
    let wav = include_bytes!("../src/asr/testdata/range.wav").as_slice();
    let samples = hound::WavReader::new(wav)
        .and_then(|reader| reader.into_samples::<i16>().collect::<Result<Vec<_>, _>>());
    let samples = samples.expect("the test data are whole");
    samples.iter().flat_map(|&sample| [sample, sample]).cycle().take(seconds * RATE as usize).collect()
}

fn hear(whisper: &Whisper, audio: &Arc<[i16]>, purpose: Purpose) -> Transcript {
    let (reply, answer) = mpsc::channel();
    whisper.submit(Job {
        audio: Arc::clone(audio),
        purpose,
        deadline: Time::ZERO,
        language: "zh",
        also: None,
        earlier: None,
        reply: Box::new(move |result| reply.send(result).expect("the bench waits")),
    });
    answer.recv().expect("every job is answered").expect("the engine works")
}

fn decoding(c: &mut Criterion) {
    let options = Options { workers: 1, ..Options::default() };
    let whisper = Whisper::open(&ModelSource::Embedded, &options).expect("the embedded model opens");
    let mut group = c.benchmark_group("decode");
    group.sample_size(20).measurement_time(Duration::from_secs(4)).warm_up_time(Duration::from_secs(1));
    for seconds in [1, 2, 4] {
        let audio = speech(seconds);
        for (name, purpose) in [("partial", Purpose::Partial), ("final", Purpose::Final)] {
            group.bench_function(format!("{name} {seconds} s"), |b| {
                b.iter(|| hear(&whisper, &audio, purpose));
            });
        }
    }
    group.finish();
}

fn opening(c: &mut Criterion) {
    let options = Options { workers: 1, ..Options::default() };
    let mut group = c.benchmark_group("open");
    group.sample_size(10);
    group.bench_function("embedded model, one worker", |b| {
        b.iter(|| Whisper::open(&ModelSource::Embedded, &options).is_ok());
    });
    group.finish();
}

fn voice_activity(c: &mut Criterion) {
    let audio = speech(4);
    let frames: Vec<Frame> =
        audio.chunks_exact(FRAME).filter_map(|chunk| chunk.try_into().ok().map(Frame)).collect();
    let mut vad = Vad::new();
    let mut next = frames.iter().cycle();
    c.bench_function("voice activity, one frame of 20 ms", |b| {
        b.iter(|| next.next().map(|frame| vad.push(black_box(frame))));
    });
}

criterion_group!(benches, decoding, opening, voice_activity);
criterion_main!(benches);
