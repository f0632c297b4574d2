//! Voices behind `POST /v1/audio/speech` with `response_format: "pcm"`, streamed (the interface of OpenAI, spoken by many
//! local servers).
//!
//! Audio is handed on as it comes: rate changed, leading silence dropped, silence held back until sound follows it. The
//! server does not say what it speaks when, so spans are estimated from the usual pace of speech until the audio ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use secrecy::ExposeSecret;
use serde_json::json;

use super::Piece;
use super::normalize::{Language, Spoken, is_han, normalize};
use super::pinyin::Pause;
use super::rate::RateChange;
use super::shape::{self, PIECE, Trimmer, ms};
use super::voices::HttpVoice;

/// How often a cancelled request is noticed while nothing comes.
const LOOK: Duration = Duration::from_millis(20);
/// Longest error text of a server that is repeated.
const ERROR_TEXT: usize = 200;

/// A client for one voice.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: reqwest::Client,
    voice: HttpVoice,
    language: Language,
}

impl Http {
    pub fn new(voice: HttpVoice, language: Language) -> Result<Self, String> {
        // The process may have chosen a provider already; then that one is used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .connect_timeout(voice.first_audio())
            .build()
            .map_err(|e| format!("the HTTP client cannot be made: {e}"))?;
        Ok(Self { client, voice, language })
    }

    /// Speaks `text`; every piece goes to `sink`, without [`Piece::Done`]. The error says which server failed and how.
    pub async fn speak(
        &self,
        text: &str,
        cancelled: &Arc<AtomicBool>,
        sink: &mut (dyn FnMut(Piece) + Send),
    ) -> Result<(), String> {
        let spoken = normalize(text, self.language);
        if !spoken.text.chars().any(char::is_alphanumeric) {
            return Ok(());
        }
        let url = format!("{}/v1/audio/speech", self.voice.url.trim_end_matches('/'));
        let mut request = self.client.post(&url).json(&json!({
            "model": self.voice.model,
            "voice": self.voice.voice,
            "input": if self.voice.spoken_form { &spoken.text } else { text },
            "response_format": "pcm",
        }));
        if let Some(key) = self.voice.key() {
            request = request.bearer_auth(key.expose_secret());
        }
        let first = self.voice.first_audio();
        let Some(answer) =
            unless(cancelled, first, request.send()).await.map_err(|Late| late(&url, first))?
        else {
            return Ok(());
        };
        let answer = answer.map_err(|e| format!("{url}: {}", root(&e)))?;
        let status = answer.status();
        if !status.is_success() {
            let body = unless(cancelled, LOOK * 25, answer.text()).await;
            let body = body.ok().flatten().and_then(Result::ok).unwrap_or_default();
            let body: String = body.chars().take(ERROR_TEXT).collect();
            return Err(format!("{url} answered {status}: {body}"));
        }
        let mut speech = Speech::new(&spoken, text.chars().count(), self.voice.rate, sink)?;
        let mut stream = answer.bytes_stream();
        let mut limit = first;
        loop {
            let Some(next) =
                unless(cancelled, limit, stream.next()).await.map_err(|Late| late(&url, limit))?
            else {
                return Ok(());
            };
            match next {
                None => break,
                Some(Ok(bytes)) => speech.push(&bytes, cancelled)?,
                Some(Err(e)) => return Err(format!("{url} broke off: {}", root(&e))),
            }
            limit = self.voice.stall();
        }
        if !speech.finish(cancelled)? && !cancelled.load(Ordering::Relaxed) {
            return Err(format!("{url} answered without audio"));
        }
        Ok(())
    }
}

struct Late;

fn late(url: &str, limit: Duration) -> String {
    format!(
        "{url} gave nothing for {} ms; is the server overloaded or the limit too short?",
        limit.as_millis()
    )
}

/// Innermost cause: the outer ones repeat the address.
fn root(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// Waits for `work` at most `limit`; none once `cancelled` is set.
async fn unless<F: Future>(
    cancelled: &AtomicBool,
    limit: Duration,
    work: F,
) -> Result<Option<F::Output>, Late> {
    let mut work = std::pin::pin!(work);
    let mut waited = Duration::ZERO;
    loop {
        if cancelled.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if let Ok(done) = tokio::time::timeout(LOOK, &mut work).await {
            return Ok(Some(done));
        }
        waited += LOOK;
        if waited >= limit {
            return Err(Late);
        }
    }
}

/// The audio of one clause on its way from the server to the sink.
struct Speech<'a> {
    sink: &'a mut (dyn FnMut(Piece) + Send),
    change: RateChange,
    trimmer: Trimmer,
    odd: Option<u8>,
    ready: Vec<f32>,
    /// Samples handed on.
    given: usize,
    /// For each spoken character: about when it is over, in samples, and what is written by then.
    pace: Vec<(usize, usize)>,
    written: usize,
    chars: usize,
    pause: usize,
}

impl<'a> Speech<'a> {
    fn new(
        spoken: &Spoken,
        chars: usize,
        rate: u32,
        sink: &'a mut (dyn FnMut(Piece) + Send),
    ) -> Result<Self, String> {
        let mut at = 0;
        let pace = spoken.text.chars().zip(&spoken.ends).map(|(c, &end)| {
            at += match c {
                c if is_han(c) => ms(220),
                c if c.is_alphanumeric() => ms(70),
                c if Pause::of(c).is_some() => ms(200),
                _ => 0,
            };
            (at, end)
        });
        let pause = match spoken.text.chars().last().and_then(Pause::of) {
            Some(Pause::Stop) => ms(250),
            Some(Pause::Middle) => ms(180),
            Some(_) => ms(120),
            None => 0,
        };
        Ok(Self {
            pace: pace.collect(),
            change: RateChange::new(rate)?,
            trimmer: Trimmer::default(),
            odd: None,
            ready: Vec::new(),
            given: 0,
            written: 0,
            chars,
            pause,
            sink,
        })
    }

    fn push(&mut self, bytes: &[u8], cancelled: &AtomicBool) -> Result<(), String> {
        let all: Vec<u8> = self.odd.take().into_iter().chain(bytes.iter().copied()).collect();
        let pairs = all.chunks_exact(2);
        self.odd = pairs.remainder().first().copied();
        let samples: Vec<f32> =
            pairs.map(|b| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32_768.0).collect();
        let mut changed = Vec::new();
        self.change.push(&samples, &mut changed)?;
        let speech = self.trimmer.push(&changed);
        self.ready.extend(speech);
        // One piece stays here: the last one says that the text is over.
        while self.ready.len() > PIECE && !cancelled.load(Ordering::Relaxed) {
            let piece: Vec<f32> = self.ready.drain(..PIECE).collect();
            self.give(&piece, false);
        }
        Ok(())
    }

    /// Hands on the rest and the pause; false if there was no audio at all.
    fn finish(mut self, cancelled: &AtomicBool) -> Result<bool, String> {
        let mut changed = Vec::new();
        self.change.finish(&mut changed)?;
        let speech = self.trimmer.push(&changed);
        self.ready.extend(speech);
        if self.given == 0 && self.ready.is_empty() {
            return Ok(false);
        }
        let mut rest = std::mem::take(&mut self.ready);
        rest.extend(std::iter::repeat_n(0.0, self.pause));
        let count = rest.len().div_ceil(PIECE);
        for (i, piece) in rest.chunks(PIECE).enumerate() {
            if cancelled.load(Ordering::Relaxed) {
                break;
            }
            self.give(piece, i + 1 == count);
        }
        Ok(true)
    }

    fn give(&mut self, piece: &[f32], last: bool) {
        self.given += piece.len();
        let end = if last {
            self.chars
        } else {
            // Never all of it before the audio ends: heard text must not run ahead.
            let paced =
                self.pace.iter().take_while(|(at, _)| *at <= self.given).last().map_or(0, |&(_, end)| end);
            paced.min(self.chars.saturating_sub(1)).max(self.written)
        };
        let span = self.written..end;
        self.written = end;
        (self.sink)(Piece::Audio { samples: shape::to_i16(piece), span });
    }
}
