//! One utterance through whisper.cpp, on one thread: cut to the context, decode greedily, think again, judge.

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use whisper_rs::whisper_rs_sys as sys;
use whisper_rs::{FullParams, SamplingStrategy, WhisperContext, WhisperState};

use super::confidence::{Calibration, Evidence, Step, agreement};
use super::ggml::Header;
use super::pool::{Decode, Heard};
use super::search::{Choice, Path, reconsider};
use super::text::{Piece, drones, merge, repetition};
use super::{Error, Purpose, Times, Transcript, times};
use crate::media::RATE;

/// Shortest audio that whisper.cpp can take: 100 ms. Below 200 samples it reads out of bounds.
const SHORTEST: usize = RATE as usize / 10;
/// Samples of one encoder position: 20 ms.
const POSITION: usize = 320;
/// Audio whose loudest sample is below this (−60 dBFS) is silence and not worth a decoding.
const SILENCE: u16 = 33;
/// Above this probability of no speech the utterance is empty.
const NO_SPEECH: f32 = 0.5;
/// Below this plain confidence the words are the decoder's invention: on 200 telephone utterances at 10 and 20 dB no right one came
/// below 0.3, and no wrong one below 0.12.
const INVENTED: f32 = 0.1;
/// A final that is believed less than this is listened to in the other language, too.
const SURE: f32 = 0.6;
/// By so much the other language must be believed more.
const CLEARLY: f32 = 0.15;

/// What is wrong with a model whose logits are no numbers.
const LOST: &str =
    "the model computes no numbers (NaN): its weights are damaged, fetch or export the file again";

/// Tokens a second that a person can speak; a character is one to three tokens.
const TOKENS_A_SECOND: f32 = 10.0;

/// What all workers share.
pub(super) struct Model {
    pub(super) context: WhisperContext,
    pub(super) header: Header,
    /// Tokens that precede every utterance, to steer style. Empty for models with a fitted context.
    pub(super) prompt: Vec<c_int>,
    /// Weighs the evidence; [`Evidence::plain`] without.
    pub(super) calibration: Option<Calibration>,
}

impl Model {
    /// Whether the model was trained with a variable audio context. The published models were not: all have 1500 positions.
    pub(super) fn fitted(&self) -> bool {
        self.header.n_audio_ctx != 1500
    }

    /// Encoder positions for `samples`. A model with variable context decodes best, and fastest, with as few as hold the
    /// audio and six more. The published ones begin to loop: they get 128 more, and at least 384.
    fn audio_context(&self, samples: usize) -> c_int {
        let positions = samples.div_ceil(POSITION) as c_int;
        let wanted = if self.fitted() { positions + 6 } else { ((positions + 7) / 8 * 8 + 128).max(384) };
        wanted.min(self.header.n_audio_ctx)
    }

    /// Samples that fit into the context at once.
    fn longest(&self) -> usize {
        (self.header.n_audio_ctx as usize - 6) * POSITION
    }
}

/// A worker's decoder.
pub(super) struct Decoder {
    model: Arc<Model>,
    state: WhisperState,
    /// Made once for each language: setting the language allocates a string that is never freed.
    parameters: HashMap<&'static str, FullParams<'static, 'static>>,
}

impl Decoder {
    pub(super) fn new(model: Arc<Model>) -> Result<Self, whisper_rs::WhisperError> {
        let state = model.context.create_state()?;
        Ok(Self { model, state, parameters: HashMap::new() })
    }

    /// Decodes half a second of a faint tone, as the first utterance of a call would be: finds weights that are no numbers, and
    /// has whisper.cpp allocate what it needs.
    pub(super) fn warm_up(&mut self) -> Result<(), Error> {
        let tone: Vec<f32> = (0..RATE / 2).map(|i| 0.01 * (i as f32 * 0.1).sin()).collect();
        let context = self.model.audio_context(tone.len());
        self.pass(&tone, context, "en", Purpose::Final, &AtomicBool::new(false)).map(drop)
    }

    fn parameters(&mut self, language: &'static str) -> Result<FullParams<'static, 'static>, Error> {
        if let Some(known) = self.parameters.get(language) {
            return Ok(known.clone());
        }
        if !language.bytes().all(|b| b.is_ascii_lowercase()) || whisper_rs::get_lang_id(language).is_none() {
            return Err(Error::Engine(format!(
                "whisper knows no language `{language}`; use a code like `zh`"
            )));
        }
        if !self.model.header.multilingual() && language != "en" {
            return Err(Error::Engine(format!(
                "the model is for English only and was asked for `{language}`"
            )));
        }
        let mut parameters = FullParams::new(SamplingStrategy::Greedy { best_of: 1 });
        parameters.set_language(Some(language));
        parameters.set_n_threads(1);
        parameters.set_no_context(true);
        parameters.set_no_timestamps(true);
        parameters.set_single_segment(true);
        parameters.set_temperature_inc(0.0);
        // An utterance without words must be able to end at once.
        parameters.set_suppress_blank(false);
        // whisper.cpp drops a segment by a no-speech probability that it takes from the wrong row of the logits.
        parameters.set_no_speech_thold(2.0);
        parameters.set_print_progress(false);
        parameters.set_print_realtime(false);
        parameters.set_print_special(false);
        parameters.set_print_timestamps(false);
        self.parameters.insert(language, parameters.clone());
        Ok(parameters)
    }

    /// Decodes one stretch that fits the context, with `audio_context` encoder positions.
    fn pass(
        &mut self,
        audio: &[f32],
        audio_context: c_int,
        language: &'static str,
        purpose: Purpose,
        abort: &AtomicBool,
    ) -> Result<Pass, Error> {
        let mut parameters = self.parameters(language)?;
        let model = Arc::clone(&self.model);
        let mut listener = Listener::new(&model);
        parameters.set_audio_ctx(audio_context);
        let seconds = audio.len() as f32 / RATE as f32;
        let longest = (seconds * TOKENS_A_SECOND) as usize + 16;
        parameters.set_max_tokens(longest as c_int);
        if !model.prompt.is_empty() {
            parameters.set_tokens(&model.prompt);
        }
        // SAFETY: both callbacks run on this thread inside of `full`; `abort` and `listener` outlive it. whisper.cpp keeps the
        // parameters no longer than the call.
        unsafe {
            parameters.set_abort_callback(Some(aborted));
            parameters.set_abort_callback_user_data(std::ptr::from_ref(abort).cast_mut().cast());
            parameters.set_filter_logits_callback(Some(listen));
            parameters.set_filter_logits_callback_user_data((&raw mut listener).cast());
        }
        let outcome = self.state.full(parameters, audio);
        if abort.load(Ordering::Relaxed) {
            return Err(Error::Engine("aborted".into()));
        }
        outcome.map_err(|e| Error::Engine(format!("whisper.cpp: {e}")))?;
        if listener.lost {
            return Err(Error::Engine(LOST.into()));
        }

        let mut pieces = Vec::new();
        for segment in self.state.as_iter() {
            for token in (0..segment.n_tokens()).filter_map(|i| segment.get_token(i)) {
                if token.token_id() < listener.end {
                    let bytes = token.to_bytes().map_err(|e| Error::Engine(format!("whisper.cpp: {e}")))?;
                    pieces.push(Piece {
                        id: token.token_id(),
                        bytes: bytes.to_vec(),
                        probability: token.token_probability(),
                    });
                }
            }
        }
        let mut looped = false;
        if let Some(keep) = repetition(&pieces.iter().map(|piece| piece.id).collect::<Vec<_>>()) {
            pieces.truncate(keep);
            looped = true;
        }
        let steps = listener.choices.iter().map(|choice| choice.step).collect();
        let pass = Pass { pieces, steps, no_speech: listener.no_speech, looped };
        // Published models cost too much for each token more, and this was not measured with them.
        if purpose == Purpose::Final && model.fitted() && !looped && !listener.cut {
            return self.think_again(pass, listener, longest, abort);
        }
        Ok(pass)
    }

    /// Looks for a likelier utterance than the one that was decoded last. The network still holds the audio and the tokens.
    fn think_again(
        &mut self,
        pass: Pass,
        listener: Listener,
        longest: usize,
        abort: &AtomicBool,
    ) -> Result<Pass, Error> {
        let (end, prompt_length) = (listener.end, listener.prompt_length);
        let tokens: Vec<_> = listener.choices.iter().map(|choice| choice.first).collect();
        let mut held: Vec<c_int> = pass.pieces.iter().map(|piece| piece.id).collect();
        // Not so if the text was broken off at its greatest length.
        if !tokens.iter().map(|token| token.id).eq(held.iter().copied().chain([end])) {
            return Ok(pass);
        }
        let taken = Path { tokens, choices: listener.choices };
        let state = &mut self.state;
        let mut failed = None;
        let best = reconsider(taken.clone(), end, longest, &mut |ids| {
            let shared = held.iter().zip(ids).take_while(|(a, b)| a == b).count().min(ids.len() - 1);
            held.truncate(shared);
            for (index, &id) in ids.iter().enumerate().skip(shared) {
                if abort.load(Ordering::Relaxed) {
                    return None;
                }
                // One at a time: whisper-rs shows the first row of logits only.
                if let Err(error) = state.decode(&[id], prompt_length + index, 1) {
                    failed = Some(error);
                    return None;
                }
                held.push(id);
            }
            Choice::of(state.get_logits().ok()?, end)
        });
        if abort.load(Ordering::Relaxed) {
            return Err(Error::Engine("aborted".into()));
        }
        if let Some(error) = failed {
            return Err(Error::Engine(format!("whisper.cpp: {error}")));
        }
        if best == taken {
            return Ok(pass);
        }
        let mut pieces = Vec::new();
        for token in best.tokens.iter().filter(|token| token.id != end) {
            let bytes = self.model.context.token_to_bytes(token.id);
            let bytes = bytes.map_err(|e| Error::Engine(format!("whisper.cpp: {e}")))?.to_vec();
            pieces.push(Piece { id: token.id, bytes, probability: token.log.exp() });
        }
        let steps = best.choices.iter().map(|choice| choice.step).collect();
        Ok(Pass { pieces, steps, ..pass })
    }
}

impl Decode for Decoder {
    fn decode(&mut self, heard: &Heard, abort: &AtomicBool) -> Result<Transcript, Error> {
        let first = self.decode_in(heard.language, heard, heard.earlier.as_deref(), abort)?;
        // Noise is no language: to listen to it once more would only find more words that nobody has said.
        let doubtful = !first.text.is_empty() && first.confidence < SURE && first.no_speech < NO_SPEECH;
        let Some(also) = heard.also.filter(|_| heard.purpose == Purpose::Final && doubtful) else {
            return Ok(first);
        };
        // Partials were heard in the first language: they say nothing of this one.
        match self.decode_in(also, heard, None, abort) {
            Ok(other) if other.confidence >= first.confidence + CLEARLY => Ok(other),
            // What went wrong with a second opinion is no reason to lose the first.
            _ => Ok(first),
        }
    }

    fn recover(&mut self) -> Result<(), Error> {
        let state = self.model.context.create_state();
        self.state = state.map_err(|e| Error::Engine(format!("no new state: {e}")))?;
        Ok(())
    }
}

impl Decoder {
    /// Decodes an utterance as one of this language.
    fn decode_in(
        &mut self,
        language: &'static str,
        heard: &Heard,
        earlier: Option<&str>,
        abort: &AtomicBool,
    ) -> Result<Transcript, Error> {
        let Heard { audio, purpose, .. } = heard;
        if audio.len() < SHORTEST {
            return Err(Error::TooShort(audio.len()));
        }
        let (mut tokens, mut steps) = (Vec::new(), Vec::new());
        let (mut no_speech, mut looped) = (1.0_f32, false);
        for range in chunks(audio, self.model.longest()) {
            let chunk = &audio[range];
            if chunk.iter().all(|sample| sample.unsigned_abs() < SILENCE) {
                continue;
            }
            let samples: Vec<f32> = chunk.iter().map(|&sample| f32::from(sample) / 32_768.0).collect();
            let context = self.model.audio_context(samples.len());
            let mut pass = self.pass(&samples, context, language, *purpose, abort)?;
            if !self.model.fitted() && pass.doubtful() && context < self.model.header.n_audio_ctx {
                let whole = self.model.header.n_audio_ctx;
                pass = self.pass(&samples, whole, language, *purpose, abort)?;
            }
            if drones(&pass.pieces.iter().map(|piece| piece.id).collect::<Vec<_>>()) {
                continue;
            }
            no_speech = no_speech.min(pass.no_speech);
            looped |= pass.looped;
            tokens.extend(merge(&pass.pieces));
            steps.extend(pass.steps);
        }
        let text: String = tokens.iter().map(|token| token.text.as_str()).collect();
        let text = text.trim().to_owned();
        let voiced = times::voiced(audio);
        let mut evidence = Evidence::new(&tokens, &steps, no_speech, times::seconds(&voiced), looped);
        evidence.agreement = earlier.map(|partial| agreement(partial, &text));
        let (confidence, floor) = match &self.model.calibration {
            Some(calibration) => (calibration.judge(&evidence), calibration.floor),
            None => (evidence.plain(), INVENTED),
        };
        if text.is_empty() || confidence < floor {
            return Ok(Transcript { no_speech, ..Transcript::default() });
        }
        times::estimate(&mut tokens, &voiced);
        let times = Times::Estimated;
        Ok(Transcript {
            text,
            confidence,
            tokens,
            no_speech,
            times,
            evidence: Some(evidence),
            ..Transcript::default()
        })
    }
}

struct Pass {
    pieces: Vec<Piece>,
    steps: Vec<Step>,
    no_speech: f32,
    looped: bool,
}

impl Pass {
    /// Worth a second pass with the whole context: a loop, or a mean log probability below −1.
    fn doubtful(&self) -> bool {
        let sum: f32 = self.pieces.iter().map(|piece| piece.probability.max(1e-6).ln()).sum();
        self.looped || sum < -(self.pieces.len() as f32)
    }
}

/// Looks over the decoder's shoulder before each token.
struct Listener {
    vocabulary: usize,
    end: c_int,
    nothing: usize,
    prompt_length: usize,
    no_speech: f32,
    /// The logits were no numbers.
    lost: bool,
    /// The text was ended from here.
    cut: bool,
    choices: Vec<Choice>,
}

impl Listener {
    fn new(model: &Model) -> Self {
        let prompt = if model.prompt.is_empty() {
            0
        } else {
            // The marker of previous text, then at most half of the text context; as in whisper_full_with_state.
            1 + model.prompt.len().min(model.header.n_text_ctx as usize / 2 - 1)
        };
        Self {
            vocabulary: model.header.n_vocab as usize,
            end: model.context.token_eot(),
            nothing: model.context.token_nosp() as usize,
            prompt_length: prompt + if model.header.multilingual() { 4 } else { 2 },
            no_speech: 0.0,
            lost: false,
            cut: false,
            choices: Vec::new(),
        }
    }

    /// `first` are the logits of the first token before any filter.
    fn judge(&mut self, first: &[f32]) {
        let highest = first.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = first.iter().map(|logit| (logit - highest).exp()).sum();
        let probability = |id: usize| first.get(id).map_or(0.0, |logit| (logit - highest).exp() / sum);
        self.lost = !sum.is_finite();
        let silent = probability(self.nothing) + probability(self.end as usize);
        self.no_speech = if self.lost { 1.0 } else { silent.clamp(0.0, 1.0) };
    }
}

/// Called by whisper.cpp before each token is chosen. Ends the text when there is no speech or when the decoder loops, by
/// leaving only the end token possible.
unsafe extern "C" fn listen(
    _: *mut sys::whisper_context,
    state: *mut sys::whisper_state,
    tokens: *const sys::whisper_token_data,
    count: c_int,
    logits: *mut f32,
    listener: *mut c_void,
) {
    // SAFETY: `listener` is the one that `pass` gave; whisper.cpp passes `count` tokens and a row of `vocabulary` logits.
    let (listener, logits, tokens) = unsafe {
        let listener = &mut *listener.cast::<Listener>();
        let logits = std::slice::from_raw_parts_mut(logits, listener.vocabulary);
        let tokens = if count > 0 { std::slice::from_raw_parts(tokens, count as usize) } else { &[] };
        (listener, logits, tokens)
    };
    let end = if tokens.is_empty() {
        // SAFETY: after the prompt was decoded the state holds one row of logits for each of its tokens; only the last is
        // filled in.
        let first = unsafe {
            let all = sys::whisper_get_logits_from_state(state);
            std::slice::from_raw_parts(
                all.add((listener.prompt_length - 1) * listener.vocabulary),
                listener.vocabulary,
            )
        };
        listener.judge(first);
        listener.no_speech > NO_SPEECH
    } else {
        repetition(&tokens.iter().map(|token| token.id).collect::<Vec<_>>()).is_some()
    };
    if end {
        logits.fill(f32::NEG_INFINITY);
        logits[listener.end as usize] = 0.0;
        listener.cut = true;
    } else {
        listener.choices.extend(Choice::of(logits, listener.end));
    }
}

unsafe extern "C" fn aborted(flag: *mut c_void) -> bool {
    // SAFETY: `flag` is the AtomicBool that `pass` gave.
    unsafe { (*flag.cast::<AtomicBool>()).load(Ordering::Relaxed) }
}

/// Cuts `audio` into pieces of at most `longest` samples, each at the quietest place of the second half of what fits. No
/// piece is shorter than [`SHORTEST`] unless `audio` is.
fn chunks(audio: &[i16], longest: usize) -> Vec<Range<usize>> {
    let mut chunks = Vec::new();
    let mut start = 0;
    while audio.len() - start > longest {
        let latest = (start + longest).min(audio.len() - SHORTEST);
        let cut = quietest(audio, start + longest / 2..latest);
        chunks.push(start..cut);
        start = cut;
    }
    chunks.push(start..audio.len());
    chunks
}

/// The middle of the 160 ms with the least energy within `range`.
fn quietest(audio: &[i16], range: Range<usize>) -> usize {
    const STEP: usize = 320;
    const STEPS: usize = 8;
    let energy: Vec<f64> = audio[range.clone()]
        .chunks(STEP)
        .map(|chunk| chunk.iter().map(|&sample| f64::from(sample).powi(2)).sum())
        .collect();
    let window = |w: &[f64]| w.iter().sum::<f64>();
    let best = energy.windows(STEPS).enumerate().min_by(|a, b| window(a.1).total_cmp(&window(b.1)));
    best.map_or(range.end, |(index, _)| (range.start + (index + STEPS / 2) * STEP).min(range.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_audio_is_cut_at_its_quietest_place() {
        let mut audio = vec![3_000_i16; 16_000 * 14];
        audio[16_000 * 8..16_000 * 8 + 4_000].fill(5);
        let ranges = chunks(&audio, 506 * POSITION);
        assert_eq!(ranges.len(), 2);
        let cut = ranges[0].end;
        assert!((128_000..132_000).contains(&cut), "the cut at {cut} should be inside of the pause");
        assert_eq!(ranges[1], cut..audio.len());
    }

    #[test]
    fn pieces_cover_the_audio_and_fit_the_context() {
        for length in [SHORTEST, 161_919, 161_920, 161_921, 162_000, 480_000, 1_000_003] {
            let audio = vec![100_i16; length];
            let ranges = chunks(&audio, 161_920);
            assert_eq!((ranges[0].start, ranges.last().map(|r| r.end)), (0, Some(length)));
            assert!(ranges.windows(2).all(|w| w[0].end == w[1].start), "no gap: {ranges:?}");
            assert!(ranges.iter().all(|r| (SHORTEST..=161_920).contains(&r.len())), "{ranges:?}");
        }
    }
}
