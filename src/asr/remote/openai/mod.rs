//! `POST {url}/audio/transcriptions`: OpenAI's interface, which many local servers speak (faster-whisper, whisper.cpp, vLLM,
//! SenseVoice).
//!
//! One request an utterance, over connections that are kept. `verbose_json` is asked for first, since its segments carry
//! probabilities; a server that refuses it is asked for `json` with the log probabilities of tokens, then for plain `json`,
//! and what it took is remembered.

mod answer;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::multipart::{Form, Part};
use secrecy::{ExposeSecret as _, SecretString};

use super::failure::root;
use super::{Failure, LARGEST, OpenError, Options};
use crate::asr::{Engine, Transcript};
use crate::media::RATE;

/// Longest prompt that is sent, in characters: whisper takes some 220 tokens, a Chinese character is one or two.
const PROMPT: usize = 120;

/// What to ask for, the best first.
const FORMATS: [Format; 3] = [
    Format { name: "verbose_json", log_probabilities: false },
    Format { name: "json", log_probabilities: true },
    Format { name: "json", log_probabilities: false },
];

#[derive(Clone, Copy)]
struct Format {
    name: &'static str,
    log_probabilities: bool,
}

/// A client for one server.
pub(super) struct OpenAi {
    client: reqwest::Client,
    endpoint: reqwest::Url,
    model: Option<String>,
    api_key: Option<SecretString>,
    prompt: Option<String>,
    first: Duration,
    /// Index into [`FORMATS`] of what the server is known to take.
    format: AtomicUsize,
}

impl OpenAi {
    pub fn new(options: &Options) -> Result<Self, OpenError> {
        // The process may have chosen a provider already; then that one is used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let wrong = |why: String| OpenError::Url { url: options.url.clone(), engine: Engine::OpenAi, why };
        let endpoint = format!("{}/audio/transcriptions", options.url.trim_end_matches('/'));
        let endpoint = reqwest::Url::parse(&endpoint).map_err(|e| wrong(e.to_string()))?;
        if !matches!(endpoint.scheme(), "http" | "https") {
            return Err(wrong("it does not begin with http:// or https://".into()));
        }
        let client = reqwest::Client::builder()
            .connect_timeout(options.connect)
            .build()
            .map_err(|e| OpenError::Client(root(&e)))?;
        Ok(Self {
            client,
            endpoint,
            model: options.model.clone(),
            api_key: options.api_key.clone(),
            prompt: prompt(&options.hotwords),
            first: options.first,
            format: AtomicUsize::new(0),
        })
    }

    /// Recognises one utterance of 16 kHz mono.
    pub async fn ask(&self, audio: &[i16], language: &str) -> Result<Transcript, Failure> {
        let wav = wav(audio);
        let known = self.format.load(Ordering::Relaxed);
        let mut index = known;
        loop {
            let outcome = self.request(wav.clone(), language, FORMATS[index]).await;
            match outcome {
                // It may be the format that it refuses.
                Err(Failure::Refused { code: 400 | 415 | 422, .. }) if index + 1 < FORMATS.len() => {
                    index += 1;
                }
                Ok(transcript) => {
                    if index != known {
                        self.format.store(index, Ordering::Relaxed);
                    }
                    return Ok(transcript);
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn request(&self, wav: Vec<u8>, language: &str, format: Format) -> Result<Transcript, Failure> {
        let request = self.client.post(self.endpoint.clone()).multipart(self.form(wav, language, format)?);
        let request = match &self.api_key {
            Some(key) => request.bearer_auth(key.expose_secret()),
            None => request,
        };
        let mut response = tokio::time::timeout(self.first, request.send())
            .await
            .map_err(|_| Failure::Late { what: "an answer", limit: self.first })?
            .map_err(|e| match () {
                () if e.is_connect() || e.is_timeout() => Failure::Unreachable(root(&e)),
                () => Failure::Broken(root(&e)),
            })?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(bytes) = response.chunk().await.map_err(|e| Failure::Broken(root(&e)))? {
            if body.len() + bytes.len() > LARGEST {
                return Err(Failure::TooLarge(LARGEST));
            }
            body.extend_from_slice(&bytes);
        }
        if !status.is_success() {
            return Err(Failure::Refused { code: status.as_u16(), words: answer::complaint(&body) });
        }
        answer::transcript(&body)
    }

    fn form(&self, wav: Vec<u8>, language: &str, format: Format) -> Result<Form, Failure> {
        let file = Part::bytes(wav)
            .file_name("utterance.wav")
            .mime_str("audio/wav")
            .map_err(|e| Failure::Broken(root(&e)))?;
        let mut form = Form::new()
            .part("file", file)
            .text("language", language.to_owned())
            .text("response_format", format.name)
            .text("temperature", "0");
        if let Some(model) = &self.model {
            form = form.text("model", model.clone());
        }
        if let Some(prompt) = &self.prompt {
            form = form.text("prompt", prompt.clone());
        }
        if format.log_probabilities {
            form = form.text("include[]", "logprobs");
        }
        Ok(form)
    }
}

/// The tenant's words as a list: a recogniser that reads it as earlier speech expects them again.
fn prompt(hotwords: &[String]) -> Option<String> {
    let mut prompt = String::new();
    for word in hotwords {
        if prompt.chars().count() + word.chars().count() > PROMPT {
            break;
        }
        if !prompt.is_empty() {
            prompt.push('、');
        }
        prompt.push_str(word);
    }
    (!prompt.is_empty()).then_some(prompt)
}

/// A RIFF WAVE file of 16 kHz mono, 16 bit.
fn wav(audio: &[i16]) -> Vec<u8> {
    let size = audio.len() as u32 * 2;
    let mut wav = Vec::with_capacity(44 + size as usize);
    wav.extend(b"RIFF");
    wav.extend((36 + size).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16_u32.to_le_bytes());
    // PCM, one channel.
    wav.extend([1, 0, 1, 0]);
    wav.extend(RATE.to_le_bytes());
    wav.extend((RATE * 2).to_le_bytes());
    // Bytes of a sample, bits of a sample.
    wav.extend([2, 0, 16, 0]);
    wav.extend(b"data");
    wav.extend(size.to_le_bytes());
    wav.extend(audio.iter().flat_map(|sample| sample.to_le_bytes()));
    wav
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wav_is_read_back_as_it_was() {
        let audio: Vec<i16> = (0..1600).map(|i| (i * 37 % 4001 - 2000) as i16).collect();
        let mut reader = hound::WavReader::new(std::io::Cursor::new(wav(&audio))).unwrap();
        let spec = reader.spec();
        assert_eq!((spec.channels, spec.sample_rate, spec.bits_per_sample), (1, 16_000, 16));
        assert_eq!(reader.samples::<i16>().map(Result::unwrap).collect::<Vec<_>>(), audio);
    }

    #[test]
    fn a_prompt_holds_whole_words_and_not_more_than_the_model_takes() {
        assert_eq!(prompt(&[]), None);
        assert_eq!(prompt(&["青屿".into(), "快充桩".into()]).as_deref(), Some("青屿、快充桩"));
        let many: Vec<String> = (0..100).map(|i| format!("词语{i:02}")).collect();
        let long = prompt(&many).unwrap();
        assert!(long.chars().count() <= PROMPT + 4 && long.starts_with("词语00、词语01"), "{long}");
        assert!(long.ends_with(|c: char| c.is_ascii_digit()), "the last word is whole: {long}");
    }
}
