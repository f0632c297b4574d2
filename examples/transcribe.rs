//! Transcribes 16 kHz mono WAV files: `transcribe MODEL|embedded FILE...`. With `REFERENCES.tsv` (name, tab, text) in place of
//! files it transcribes `NAME<suffix>` beside it and prints the character error rate: `transcribe MODEL REFERENCES.tsv -20.wav`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use anyhow::Context;
use nightline::asr::whisper::{ModelSource, Options, Whisper};
use nightline::asr::{Job, Purpose, Recognizer, Transcript};
use nightline::clock::{Clock, Time};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, files @ ..] = arguments.as_slice() else { anyhow::bail!("usage: transcribe MODEL FILE...") };
    let source = if model == "embedded" { ModelSource::Embedded } else { ModelSource::File(model.into()) };
    let whisper = Whisper::open(&source, &Options { workers: 1, ..Options::default() })?;
    let clock = Clock::start();
    if let [references, suffix] = files
        && Path::new(references).extension().is_some_and(|extension| extension == "tsv")
    {
        let (mut errors, mut length, mut exact, mut count) = (0, 0, 0, 0);
        for line in std::fs::read_to_string(references)?.lines() {
            let (name, text) = line.split_once('\t').context("a line is a name, a tab and a text")?;
            let file = Path::new(references).with_file_name(format!("{name}{suffix}"));
            let transcript = transcribe(&whisper, &file)?;
            let heard: Vec<char> = transcript.text.chars().filter(|c| !c.is_whitespace()).collect();
            let said: Vec<char> = text.chars().collect();
            let wrong = distance(&heard, &said);
            let Transcript { confidence, no_speech, text: heard, tokens, .. } = &transcript;
            println!("{name}\t{wrong}\t{confidence:.3}\t{no_speech:.3}\t{}\t{text}\t{heard}", tokens.len());
            errors += wrong;
            length += said.len();
            count += 1;
            exact += usize::from(wrong == 0);
        }
        let rate = errors as f64 / length as f64;
        let each = clock.now().since_start() / count;
        println!(
            "CER {rate:.4} ({errors}/{length} characters), {exact}/{count} exact, {each:?} an utterance"
        );
    } else {
        for file in files {
            let Transcript { text, confidence, no_speech, .. } = transcribe(&whisper, Path::new(file))?;
            println!("{}\t{confidence:.3}\t{no_speech:.3}\t{text}", PathBuf::from(file).display());
        }
    }
    Ok(())
}

fn transcribe(whisper: &Whisper, file: &Path) -> anyhow::Result<Transcript> {
    let mut reader = hound::WavReader::open(file).with_context(|| file.display().to_string())?;
    let spec = reader.spec();
    anyhow::ensure!(
        (spec.sample_rate, spec.channels) == (16_000, 1),
        "{} is not 16 kHz mono",
        file.display()
    );
    let audio: Arc<[i16]> = reader.samples().collect::<Result<Vec<i16>, _>>()?.into();
    let (reply, answer) = mpsc::channel();
    whisper.submit(Job {
        audio,
        purpose: Purpose::Final,
        deadline: Time::NEVER,
        language: "zh",
        reply: Box::new(move |result| {
            // The receiver waits below.
            let _ = reply.send(result);
        }),
    });
    Ok(answer.recv()??)
}

/// Edit distance (Levenshtein).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
