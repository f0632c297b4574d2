//! Whose voice is it that leaves, and which words of it?
//!
//! Every clause's audio is kept, and each frame looked up in it: so a frame of an old turn, of two turns at once, or of nobody is
//! found, and what the call says was heard can be compared with what was played.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::call::ClauseId;
use crate::call::event::TurnId;
use crate::media::{FRAME, Frame, RATE};

/// The beginning of a frame that a fade may touch.
const FADE: usize = FRAME / 4;
/// A turn that goes on after a pause goes back at most this far: half a second, and what was silent there.
const BACK: usize = 3 * RATE as usize / 2;
/// A turn that is cut counts as heard at least up to so much before its last sample: where a pause would go back to.
const UNHEARD: usize = RATE as usize / 2 + 2 * FRAME;

/// Whose voice a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Silence, or the end of a fade.
    Nobody,
    Turn(TurnId),
    /// Of what is said while the turn is thought of.
    Filler,
    /// It sounds, and no clause sounds so.
    Unknown,
}

/// All that the bot has to say in a call.
#[derive(Debug, Default)]
pub(super) struct Voices {
    turns: BTreeMap<TurnId, Voice>,
    fillers: BTreeMap<TurnId, Voice>,
    speaking: Option<TurnId>,
    filling: Option<TurnId>,
}

#[derive(Debug, Default)]
struct Voice {
    text: String,
    samples: Vec<i16>,
    /// By sample `.0`, `.1` characters have been spoken.
    marks: Vec<(usize, usize)>,
    clauses: Vec<usize>,
    at: usize,
    furthest: usize,
}

impl Voices {
    /// A clause will be spoken so: pieces of audio, each with the characters spoken by its end.
    pub(super) fn add(&mut self, id: ClauseId, text: &str, pieces: &[(Vec<i16>, usize)]) {
        let voice = if id.is_filler() {
            self.fillers.insert(id.turn, Voice::default());
            self.fillers.entry(id.turn).or_default()
        } else {
            self.turns.entry(id.turn).or_default()
        };
        let before = voice.text.chars().count();
        voice.text.push_str(text);
        for (samples, chars) in pieces {
            voice.samples.extend_from_slice(samples);
            voice.marks.push((voice.samples.len(), before + chars));
        }
        voice.clauses.push(voice.samples.len());
    }

    /// The first frame of a turn leaves.
    pub(super) fn started(&mut self, turn: TurnId) {
        self.speaking = Some(turn);
        self.filling = None;
    }

    /// The first frame of a filler leaves.
    pub(super) fn filled(&mut self, turn: TurnId) {
        self.filling = Some(turn);
    }

    /// A turn is over. What is wrong with the words that are said to have been heard, if anything is.
    pub(super) fn ended(
        &mut self,
        turn: TurnId,
        text: &str,
        interrupted: bool,
        in_flight: Duration,
    ) -> Option<String> {
        self.speaking.take_if(|speaking| *speaking == turn);
        let voice = self.turns.get(&turn)?;
        let heard = text.chars().count();
        let flying = (in_flight.as_secs_f64() * f64::from(RATE)) as usize;
        let most = voice.chars(voice.furthest);
        let least = voice.chars(voice.furthest.saturating_sub(flying + UNHEARD));
        if !voice.text.starts_with(text) {
            Some(format!("turn {} never had the words {text}", turn.0))
        } else if !interrupted && text != voice.text {
            Some(format!("turn {} was to say {} and is said to be heard as {text}", turn.0, voice.text))
        } else if heard > most + 1 || heard + 1 < least {
            Some(format!(
                "{heard} characters of turn {} are said to be heard, {least} to {most} were played",
                turn.0
            ))
        } else {
            None
        }
    }

    /// The turn that is being spoken.
    pub(super) fn speaking(&self) -> Option<TurnId> {
        self.speaking
    }

    /// Characters of the turn being spoken that have left.
    pub(super) fn spoken(&self) -> usize {
        let voice = self.speaking.and_then(|turn| self.turns.get(&turn));
        voice.map_or(0, |voice| voice.chars(voice.at))
    }

    /// Whose voice `frame` is, and what of its text was spoken in it.
    pub(super) fn whose(&mut self, frame: &Frame) -> (Whose, String) {
        if let Some(turn) = self.speaking
            && let Some(voice) = self.turns.get_mut(&turn)
            && let Some(words) = voice.follow(frame)
        {
            return (Whose::Turn(turn), words);
        }
        let filler = self.filling.and_then(|turn| self.fillers.get_mut(&turn));
        if let Some(words) = filler.and_then(|filler| filler.follow(frame)) {
            return (Whose::Filler, words);
        }
        if frame.0[FADE..].iter().all(|sample| *sample == 0) {
            return (Whose::Nobody, String::new());
        }
        let old = self.turns.iter_mut().find_map(|(turn, voice)| Some((*turn, voice.anywhere(frame)?)));
        old.map_or((Whose::Unknown, String::new()), |(turn, ())| (Whose::Turn(turn), String::new()))
    }
}

impl Voice {
    /// Takes the next frame, if it is one.
    fn follow(&mut self, frame: &Frame) -> Option<String> {
        let sounds = frame.0[FADE..].iter().any(|sample| *sample != 0);
        let (back, on) = if sounds { (BACK, FRAME) } else { (0, 0) };
        // Silence in the middle of a turn cannot be told from a pause: it may end up to a frame later than it was followed.
        let places = (self.at..=self.at + on).chain((self.at.saturating_sub(back)..self.at).rev());
        let (from, length) =
            places.into_iter().find_map(|from| Some((from, self.length_at(from, frame)?)))?;
        let before = self.chars(self.furthest);
        self.at = from + length;
        self.furthest = self.furthest.max(self.at);
        let words = self.chars(self.furthest) - before;
        Some(self.text.chars().skip(before).take(words).collect())
    }

    fn anywhere(&self, frame: &Frame) -> Option<()> {
        (0..self.samples.len()).find_map(|from| self.length_at(from, frame)).map(|_| ())
    }

    /// How much of the voice `frame` holds if it begins at `from`: a frame, or less before the end of a clause.
    fn length_at(&self, from: usize, frame: &Frame) -> Option<usize> {
        let rest = self.samples.get(from..).filter(|rest| !rest.is_empty())?;
        let same = |(index, sample): (usize, &i16)| rest.get(index).copied().unwrap_or(0) == *sample;
        let Some(wrong) = (FADE..FRAME).find(|i| !same((*i, &frame.0[*i]))) else {
            return Some(FRAME.min(rest.len()));
        };
        // The next clause was not there yet.
        let end =
            self.clauses.iter().map(|end| end.saturating_sub(from)).find(|end| *end > 0 && *end <= wrong)?;
        frame.0[end.max(FADE)..].iter().all(|sample| *sample == 0).then_some(end)
    }

    fn chars(&self, at: usize) -> usize {
        let mut before = (0, 0);
        for &(end, chars) in &self.marks {
            if end > at {
                let share = (at - before.0) as f64 / (end - before.0).max(1) as f64;
                return before.1 + ((chars - before.1) as f64 * share) as usize;
            }
            before = (end, chars);
        }
        before.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clause(turn: u32, index: usize) -> ClauseId {
        ClauseId { turn: TurnId(turn), index }
    }

    /// A voice that is nowhere like itself.
    fn voice(seed: i16, length: usize) -> Vec<i16> {
        (0..length).map(|i| ((i * i) as i16).wrapping_mul(7).wrapping_add(seed)).collect()
    }

    fn frame(samples: &[i16]) -> Frame {
        let mut frame = Frame::SILENCE;
        frame.0[..samples.len()].copy_from_slice(samples);
        frame
    }

    fn two_turns() -> (Voices, Vec<i16>, Vec<i16>) {
        let (old, new) = (voice(1, 3 * FRAME), voice(2, 10 * FRAME + 100));
        let mut voices = Voices::default();
        voices.add(clause(1, 0), "您好", &[(old.clone(), 2)]);
        voices.add(clause(2, 0), "一二三四五", &[(new.clone(), 5)]);
        voices.started(TurnId(2));
        (voices, old, new)
    }

    #[test]
    fn a_turn_is_followed_to_its_last_word() {
        let (mut voices, _, new) = two_turns();
        let mut words = String::new();
        for chunk in new.chunks(FRAME) {
            let (whose, more) = voices.whose(&frame(chunk));
            assert_eq!(whose, Whose::Turn(TurnId(2)));
            words.push_str(&more);
        }
        assert_eq!(words, "一二三四五");
        assert_eq!(voices.ended(TurnId(2), "一二三四五", false, Duration::ZERO), None);
    }

    #[test]
    fn a_frame_of_an_old_turn_or_of_nobody_is_found() {
        let (mut voices, old, new) = two_turns();
        assert_eq!(voices.whose(&frame(&old[FRAME..2 * FRAME])).0, Whose::Turn(TurnId(1)));
        let mixed: Vec<i16> = old.iter().zip(&new).map(|(a, b)| a.wrapping_add(*b)).take(FRAME).collect();
        assert_eq!(voices.whose(&frame(&mixed)).0, Whose::Unknown);
        assert_eq!(voices.whose(&Frame::SILENCE).0, Whose::Nobody);
    }

    #[test]
    fn a_turn_that_goes_back_after_a_pause_is_followed() {
        let (mut voices, _, new) = two_turns();
        for chunk in new.chunks(FRAME).take(8) {
            voices.whose(&frame(chunk));
        }
        assert_eq!(
            voices.whose(&frame(&new[5 * FRAME + 11..6 * FRAME + 11])),
            (Whose::Turn(TurnId(2)), String::new())
        );
    }

    #[test]
    fn a_turn_that_is_paused_in_a_silence_of_its_own_is_followed() {
        let mut all = voice(3, 4 * FRAME);
        all.extend(vec![0; 3 * FRAME]);
        all.extend(voice(4, 4 * FRAME));
        let mut voices = Voices::default();
        voices.add(clause(1, 0), "一二三四五", &[(all.clone(), 5)]);
        voices.started(TurnId(1));
        for chunk in all[..5 * FRAME].chunks(FRAME) {
            voices.whose(&frame(chunk));
        }
        for _ in 0..20 {
            voices.whose(&Frame::SILENCE);
        }
        for chunk in all[5 * FRAME + 101..].chunks(FRAME) {
            voices.whose(&frame(chunk));
        }
        assert_eq!(voices.ended(TurnId(1), "一二三四五", false, Duration::ZERO), None);
    }

    #[test]
    fn words_that_were_not_played_cannot_have_been_heard() {
        let (mut voices, _, new) = two_turns();
        voices.whose(&frame(&new[..FRAME]));
        assert!(voices.ended(TurnId(2), "一二三四", true, Duration::ZERO).is_some());
        assert!(voices.ended(TurnId(2), "别的", true, Duration::ZERO).is_some());
        assert_eq!(voices.ended(TurnId(2), "", true, Duration::ZERO), None);
    }
}
