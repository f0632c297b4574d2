//! Listening beside the conversation: to a seat that asks about the call before it takes it, and to both sides of a bridge for
//! notes. Whole utterances, ended by silence alone: nobody waits for an answer to the millisecond here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::Call;
use super::event::{EventKind, LegId};
use super::io::{HearingId, Output};
use super::listening::VoiceActivity;
use crate::asr::{self, Purpose, Transcript};
use crate::clock::Time;
use crate::media::{FRAME_TIME, Frame};

/// Utterances from this number on are none of the caller's turns.
pub(super) const FIRST: u32 = 1 << 31;
/// Silence that ends an utterance.
const SILENCE: Duration = Duration::from_millis(600);
/// What is shorter is a click.
const SHORTEST: Duration = Duration::from_millis(160);
/// A longer one is cut: nobody reads a minute in one piece.
const LONGEST: Duration = Duration::from_secs(15);
/// Audio before the first frame of speech, which may hold its first consonant.
const LEAD: Duration = Duration::from_millis(240);
/// A frame at or above this probability is speech.
const SPEECH: f32 = 0.6;
/// An answer is wanted this long after it was asked for.
const DEADLINE: Duration = Duration::from_secs(1);

/// One side that is listened to.
pub(super) struct Ear {
    vad: Box<dyn VoiceActivity>,
    audio: VecDeque<i16>,
    /// When the first speech of the present utterance was heard, and the last.
    spoken: Option<(Time, Time)>,
}

impl Ear {
    pub(super) fn new(vad: Box<dyn VoiceActivity>) -> Self {
        Self { vad, audio: VecDeque::new(), spoken: None }
    }

    /// Takes a frame; gives an utterance that is over, with its beginning and end.
    fn push(&mut self, now: Time, frame: &Frame) -> Option<(Arc<[i16]>, Time, Time)> {
        self.audio.extend(&frame.0);
        let speech = self.vad.probability(frame) >= SPEECH;
        let Some((began, last)) = &mut self.spoken else {
            let lead = (LEAD.as_millis() * 16) as usize;
            let surplus = self.audio.len().saturating_sub(lead);
            self.audio.drain(..surplus);
            self.spoken = speech.then_some((now, now));
            return None;
        };
        if speech {
            *last = now;
        }
        let (began, last) = (*began, *last);
        if now.saturating_since(last) < SILENCE && now.saturating_since(began) < LONGEST {
            return None;
        }
        self.spoken = None;
        let audio: Vec<i16> = self.audio.drain(..).collect();
        (last.saturating_since(began) + FRAME_TIME >= SHORTEST).then(|| (audio.into(), began, last))
    }
}

/// What is listened to beside the caller's turns, and what is still being recognised.
#[derive(Default)]
pub(super) struct Overheard {
    seat: Option<Ear>,
    caller: Option<Ear>,
    waiting: VecDeque<(u32, LegId, Time, Time)>,
    last: u32,
}

impl Call {
    /// The caller and the seat of a bridge are listened to for notes, a seat that consults for its questions.
    pub(super) fn overhear(&mut self, caller: &Frame, seat: Option<&Frame>) {
        let Some(seat) = seat else {
            self.overheard.seat = None;
            return;
        };
        let bridged = self.is_bridged();
        if self.is_consulting() || bridged && self.settings.notes {
            self.overhear_leg(LegId::Seat, seat);
        }
        if bridged && self.settings.notes {
            self.overhear_leg(LegId::Caller, caller);
        }
    }

    fn overhear_leg(&mut self, leg: LegId, frame: &Frame) {
        let vad = self.settings.vad;
        let ear = match leg {
            LegId::Seat => &mut self.overheard.seat,
            LegId::Caller => &mut self.overheard.caller,
        };
        let ear = ear.get_or_insert_with(|| Ear::new(vad()));
        let Some((audio, began, ended)) = ear.push(self.now, frame) else { return };
        let utterance = FIRST + self.overheard.last;
        self.overheard.last += 1;
        self.overheard.waiting.push_back((utterance, leg, began, ended));
        self.outputs.push_back(Output::Transcribe {
            id: HearingId { utterance, revision: 0 },
            purpose: Purpose::Final,
            audio,
            deadline: self.now + DEADLINE,
            earlier: None,
        });
    }

    /// The words of such an utterance.
    pub(super) fn overheard_words(&mut self, id: HearingId, result: Result<Transcript, asr::Error>) {
        let waiting = &mut self.overheard.waiting;
        let Some(at) = waiting.iter().position(|(utterance, ..)| *utterance == id.utterance) else { return };
        let Some((_, leg, began, ended)) = waiting.remove(at) else { return };
        let transcript = match result {
            Ok(transcript) if !transcript.text.is_empty() => transcript,
            Ok(_) | Err(asr::Error::Dropped) => return,
            Err(error) => return self.fault("asr", error),
        };
        let Transcript { text, confidence, .. } = transcript;
        self.event(EventKind::Overheard { leg, text: text.clone(), confidence, began, ended });
        if leg == LegId::Seat && self.is_consulting() {
            self.seat_said(&text);
        }
    }
}
