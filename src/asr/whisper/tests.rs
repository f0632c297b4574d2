//! The real embedded model on recorded telephone speech.

use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::asr::eval::noise::Sound;
use crate::asr::{Error, Purpose, Times, Transcript};
use crate::clock::Time;
use crate::dialogue::sound;

/// 16 kHz samples of one of the WAVs in `testdata`.
fn speech(wav: &[u8]) -> Vec<i16> {
    let reader = hound::WavReader::new(wav).unwrap();
    assert_eq!(reader.spec().sample_rate, 8_000);
    double(&reader.into_samples::<i16>().map(Result::unwrap).collect::<Vec<_>>())
}

/// Twice the sample rate, by a 31-tap windowed sinc.
fn double(samples: &[i16]) -> Vec<i16> {
    let tap = |offset: i32| {
        let x = std::f32::consts::PI * offset as f32;
        let sinc = if offset == 0 { 1.0 } else { (0.48 * x).sin() / (0.48 * x) };
        0.96 * sinc * (0.54 + 0.46 * (x / 16.0).cos())
    };
    let taps: Vec<f32> = (-15..=15).map(tap).collect();
    (0..samples.len() * 2)
        .map(|at| {
            let sum: f32 = (-15..=15_i32)
                .filter_map(|offset| {
                    let source = at as i32 - offset;
                    let sample = (source % 2 == 0).then(|| samples.get(source as usize / 2)).flatten()?;
                    Some(taps[(offset + 15) as usize] * f32::from(*sample))
                })
                .sum();
            sum.clamp(-32_768.0, 32_767.0) as i16
        })
        .collect()
}

const SPEECH: [(&[u8], &str); 5] = [
    (include_bytes!("../testdata/human.wav"), "转人工"),
    (include_bytes!("../testdata/complaint.wav"), "我要投诉"),
    (include_bytes!("../testdata/aircon.wav"), "空调不制冷"),
    (include_bytes!("../testdata/range.wav"), "续航掉得很厉害"),
    (include_bytes!("../testdata/charging.wav"), "充满需要多长时间"),
];

/// White noise of a fixed seed.
fn noise(samples: usize, amplitude: f32) -> Vec<i16> {
    let mut state = 0x2545_f491_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (f64::from(state) / f64::from(u32::MAX) * 2.0 - 1.0) as f32
    };
    (0..samples).map(|_| (next() * amplitude) as i16).collect()
}

fn open(workers: usize) -> Whisper {
    Whisper::open(&ModelSource::Embedded, &Options { workers, ..Options::default() }).unwrap()
}

type Answer = mpsc::Receiver<Result<Transcript, Error>>;

fn submit(whisper: &Whisper, audio: Vec<i16>, language: &'static str) -> Answer {
    submit_as(Purpose::Final, whisper, audio, language)
}

fn submit_as(purpose: Purpose, whisper: &Whisper, audio: Vec<i16>, language: &'static str) -> Answer {
    let (reply, answer) = mpsc::channel();
    whisper.submit(Job {
        audio: audio.into(),
        purpose,
        deadline: Time::ZERO,
        language,
        also: None,
        earlier: None,
        reply: Box::new(move |result| reply.send(result).unwrap()),
    });
    answer
}

fn wait(answer: &Answer) -> Result<Transcript, Error> {
    answer.recv_timeout(Duration::from_secs(60)).expect("every job is answered")
}

/// Second thoughts may choose a homophone (空调不吱冷), which the mind takes for the same.
fn sounds_like(heard: &str, words: &str) -> bool {
    heard.chars().count() == words.chars().count() && sound::syllables(heard) == sound::syllables(words)
}

fn hear(whisper: &Whisper, audio: Vec<i16>) -> Transcript {
    wait(&submit(whisper, audio, "zh")).unwrap()
}

#[test]
fn telephone_speech_becomes_words_with_confidence() {
    let whisper = open(1);
    for (wav, words) in SPEECH {
        let partial = wait(&submit_as(Purpose::Partial, &whisper, speech(wav), "zh")).unwrap();
        assert_eq!(partial.text, words);
        let heard = hear(&whisper, speech(wav));
        assert!(sounds_like(&heard.text, words), "{words}: {}", heard.text);
        let sure = if heard.text == words { 0.5 } else { 0.35 };
        assert!(heard.confidence > sure, "{words}: {}", heard.confidence);
        assert!(heard.no_speech < 0.1, "{words}: {}", heard.no_speech);
        let joined: String = heard.tokens.iter().map(|token| token.text.as_str()).collect();
        assert_eq!(joined.trim(), heard.text, "the tokens are whole characters");
        assert!(heard.tokens.iter().all(|token| (0.0..=1.0).contains(&token.probability)));
    }
}

#[test]
fn noise_and_silence_give_no_words() {
    let whisper = open(1);
    for amplitude in [0.0, 10.0, 100.0, 1_000.0, 10_000.0] {
        for seconds in [1, 3] {
            let heard = hear(&whisper, double(&noise(8_000 * seconds, amplitude)));
            assert_eq!(heard.text, "", "{seconds} s of noise at {amplitude}: {heard:?}");
            assert!(heard.confidence < 0.1 && heard.no_speech > 0.5, "{heard:?}");
        }
    }
}

#[test]
fn noise_of_a_kind_the_model_never_heard_gives_no_words_either() {
    let whisper = open(1);
    for amplitude in [100.0, 1_000.0, 10_000.0] {
        let heard = hear(&whisper, noise(24_000, amplitude));
        assert!(heard.text.is_empty() || heard.confidence < 0.3, "wideband noise at {amplitude}: {heard:?}");
    }
}

#[test]
fn no_sound_of_an_empty_line_gives_words_that_are_believed() {
    let whisper = open(1);
    // The present model takes some pure tones for a hum of assent; `asr eval` counts those.
    let tones = [Sound::RingBack, Sound::Busy, Sound::Keys];
    for sound in Sound::ALL.into_iter().filter(|sound| !tones.contains(sound)) {
        for seed in 0..2 {
            let heard = hear(&whisper, double(&sound.make(2, seed)));
            let believed = !heard.text.is_empty() && heard.confidence >= 0.35;
            assert!(!believed, "{sound:?} of seed {seed}: {heard:?}");
        }
    }
}

#[test]
fn words_have_times_in_order_within_the_voice() {
    let whisper = open(1);
    let mut audio = noise(4_800, 10.0);
    audio.extend(speech(SPEECH[3].0));
    let heard = hear(&whisper, audio);
    assert_eq!((heard.text.as_str(), heard.times), (SPEECH[3].1, Times::Estimated));
    let times: Vec<_> = heard.tokens.iter().map(|t| (t.start_ms, t.end_ms)).collect();
    assert!(times.iter().all(|(start, end)| start < end), "{times:?}");
    assert!(times.windows(2).all(|w| w[0].1 <= w[1].0), "{times:?}");
    assert!(times[0].0 >= 280, "nothing is said in the first 300 ms: {times:?}");
}

#[test]
fn a_partial_that_the_final_contradicts_counts_against_it() {
    let whisper = open(1);
    let hear = |earlier: &str| {
        let (reply, answer) = mpsc::channel();
        whisper.submit(Job {
            audio: speech(SPEECH[1].0).into(),
            purpose: Purpose::Final,
            deadline: Time::ZERO,
            language: "zh",
            also: None,
            earlier: Some(earlier.into()),
            reply: Box::new(move |result| reply.send(result).unwrap()),
        });
        wait(&answer).unwrap().evidence.and_then(|evidence| evidence.agreement)
    };
    assert_eq!(hear("我要投"), Some(1.0));
    assert_eq!(hear("空调坏"), Some(0.0));
}

#[test]
fn two_workers_decode_two_utterances_at_a_time() {
    let alone = open(1);
    let words: Vec<_> = SPEECH.iter().map(|(wav, _)| hear(&alone, speech(wav)).text).collect();
    let whisper = open(2);
    let answers: Vec<_> = SPEECH
        .iter()
        .zip(&words)
        .cycle()
        .take(10)
        .map(|((wav, _), words)| (submit(&whisper, speech(wav), "zh"), words))
        .collect();
    for (answer, words) in answers {
        assert_eq!(wait(&answer).unwrap().text, *words, "the workers must not disturb each other");
    }
}

#[test]
fn an_utterance_longer_than_the_context_keeps_its_tail() {
    let whisper = open(1);
    let mut audio = Vec::new();
    let mut words = String::new();
    for (wav, text) in SPEECH {
        audio.extend(speech(wav));
        audio.extend(noise(16_000, 20.0));
        words.push_str(text);
    }
    assert!(audio.len() > 16_000 * 11, "the test needs more than one context of audio");
    let heard = hear(&whisper, audio);
    let last = SPEECH[4].1;
    assert!(heard.text.ends_with(last), "the tail {last} is lost: {}", heard.text);
    let length = heard.text.chars().count() as f32 / words.chars().count() as f32;
    // Several sentences with a second between them are more than this model was trained to hear at once; a call cuts them apart.
    assert!((0.25..1.3).contains(&length), "about as many characters as were said: {}", heard.text);
}

#[test]
fn audio_under_a_tenth_of_a_second_is_too_short() {
    let whisper = open(1);
    for samples in [0, 1, 199, 1_599] {
        assert_eq!(wait(&submit(&whisper, vec![500; samples], "zh")), Err(Error::TooShort(samples)));
    }
    assert!(wait(&submit(&whisper, vec![500; 1_600], "zh")).is_ok(), "100 ms is enough");
}

#[test]
fn an_unknown_language_is_an_error_and_not_a_guess() {
    let whisper = open(1);
    let answer = wait(&submit(&whisper, noise(16_000, 3_000.0), "xx"));
    assert!(matches!(&answer, Err(Error::Engine(text)) if text.contains("`xx`")), "{answer:?}");
}

#[test]
fn a_model_file_is_opened_by_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.bin");
    std::fs::write(&path, embedded().unwrap()).unwrap();
    let options =
        Options { workers: 1, prompt: Some("以下是普通话的句子。".into()), ..Options::default() };
    let whisper = Whisper::open(&ModelSource::File(path), &options).unwrap();
    assert_eq!(hear(&whisper, speech(SPEECH[1].0)).text, SPEECH[1].1);
}

#[test]
fn a_file_that_is_no_whole_model_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.bin");
    let open = |path: &Path| match Whisper::open(&ModelSource::File(path.into()), &Options::default()) {
        Ok(_) => panic!("{} must not open", path.display()),
        Err(error) => error.to_string(),
    };
    assert!(open(&path).contains("models list"), "{}", open(&path));
    let model = embedded().unwrap();
    std::fs::write(&path, &model[..model.len() / 3]).unwrap();
    assert!(open(&path).contains("cut short at byte 7205315"), "{}", open(&path));
    std::fs::write(&path, SPEECH[0].0).unwrap();
    assert!(open(&path).contains("not a ggml whisper file"), "{}", open(&path));
    assert!(open(dir.path()).contains("cannot read"), "{}", open(dir.path()));
}

#[test]
fn weights_that_are_no_numbers_are_found_before_the_first_call() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.bin");
    let mut model = embedded().unwrap();
    // The file ends with the biases of the decoder's last layer.
    let last = model.len() - 256 * 4;
    for weight in model[last..].chunks_exact_mut(4) {
        weight.copy_from_slice(&f32::NAN.to_le_bytes());
    }
    std::fs::write(&path, &model).unwrap();
    let error = Whisper::open(&ModelSource::File(path), &Options::default()).err().map(|e| e.to_string());
    assert!(error.as_ref().is_some_and(|e| e.contains("model.bin") && e.contains("damaged")), "{error:?}");
}

#[test]
fn dropping_the_engine_answers_what_still_waits() {
    let whisper = open(1);
    let answers: Vec<_> = (0..6).map(|_| submit(&whisper, speech(SPEECH[4].0), "zh")).collect();
    drop(whisper);
    let answers: Vec<_> = answers.iter().map(wait).collect();
    let stopped = answers.iter().filter(|answer| matches!(answer, Err(Error::Engine(_)))).count();
    assert!(stopped >= 4, "what waited is told that the engine stops: {answers:?}");
}
