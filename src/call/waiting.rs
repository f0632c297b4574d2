//! What a caller hears while a person is brought in: that it happens, its place, and comfort audio while nobody speaks.

use std::time::Duration;

use super::Call;
use super::turn::Then;
use crate::clock::Time;
use crate::media::{FRAME, Frame};

/// A caller who has only just begun to wait is not told its place: most are served by then.
const PLACE_AFTER: Duration = Duration::from_secs(4);
/// A place that has not changed is told again after this time.
const PLACE_AGAIN: Duration = Duration::from_secs(45);
/// Comfort audio sets in after this much quiet, so that a caller can begin to speak.
const COMFORT_AFTER: Duration = Duration::from_millis(600);
/// It fades in and out over so many frames.
const COMFORT_FADE: u8 = 8;

/// What a waiting caller hears besides the bot.
#[derive(Debug, Default)]
pub(super) struct Comfort {
    at: usize,
    /// Frames of fade passed: 0 is silence, [`COMFORT_FADE`] is all of it.
    level: u8,
    /// Since when nobody has spoken.
    quiet: Option<Time>,
}

impl Comfort {
    /// Something else is heard.
    pub(super) fn stop(&mut self) {
        self.level = 0;
        self.quiet = None;
    }
}

impl Call {
    /// Says that a person is sought, once.
    pub(super) fn announce_handoff(&mut self) {
        let Some(handoff) = &mut self.handoff else { return };
        if !std::mem::replace(&mut handoff.announced, true) {
            let phrases = self.settings.phrases.clone();
            self.say(&phrases.handing_over, Then::Listen);
        }
    }

    /// Says where in the queue the caller is.
    pub(super) fn tell_place(&mut self) {
        let now = self.now;
        let Some(handoff) = &mut self.handoff else { return };
        let (place, first) = (handoff.place, handoff.told.is_none());
        handoff.told = Some((place, now));
        let waiting = handoff.attempt().is_none();
        let phrases = self.settings.phrases.clone();
        let minutes = place.expected.map(|wait| wait.as_secs().div_ceil(60).max(1));
        let mut clauses = match (waiting, place.ahead, minutes) {
            (false, ..) => phrases.seat_rings.clone(),
            (_, 0, _) => phrases.queue_next.clone(),
            (_, _, None) => phrases.queue_ahead.clone(),
            (_, _, Some(_)) => phrases.queue_wait.clone(),
        };
        for clause in &mut clauses {
            *clause = clause.replace("{ahead}", &place.ahead.to_string());
            *clause = clause.replace("{minutes}", &minutes.unwrap_or_default().to_string());
        }
        if first && waiting {
            clauses.extend_from_slice(&phrases.queue_choice);
        }
        self.say(&clauses, Then::Listen);
    }

    pub(super) fn is_time_to_tell_place(&self) -> bool {
        let Some(handoff) = &self.handoff else { return false };
        let due = match handoff.told {
            None => self.comfort.quiet.is_some_and(|since| self.now.saturating_since(since) > PLACE_AFTER),
            Some((place, at)) => {
                let since = self.now.saturating_since(at);
                since > PLACE_AGAIN || place.ahead != handoff.place.ahead && since > PLACE_AFTER
            }
        };
        due && !self.held
            && self.speaking.is_none()
            && self.pending.is_none()
            && self.listening.utterance().is_none()
            && !self.is_asking()
    }

    /// Comfort audio for a waiting caller while nobody speaks: it fades when the caller does.
    pub(super) fn comfort_frame(&mut self) -> Frame {
        let quiet = self.handoff.as_ref().is_some_and(|handoff| handoff.announced)
            && self.speaking.is_none()
            && self.pending.is_none()
            && self.listening.utterance().is_none();
        if !quiet {
            self.comfort.quiet = None;
        } else if self.comfort.quiet.is_none() {
            self.comfort.quiet = Some(self.now);
        }
        let since = self.comfort.quiet.map(|since| self.now.saturating_since(since));
        let wanted = since.is_some_and(|since| since >= COMFORT_AFTER);
        let before = self.comfort.level;
        self.comfort.level = if wanted { (before + 1).min(COMFORT_FADE) } else { before.saturating_sub(1) };
        let audio = &self.settings.comfort;
        if audio.is_empty() || (before, self.comfort.level) == (0, 0) {
            return Frame::SILENCE;
        }
        let (from, to) = (f32::from(before), f32::from(self.comfort.level));
        let mut frame = Frame::SILENCE;
        for (i, sample) in frame.0.iter_mut().enumerate() {
            let gain = (from + (to - from) * i as f32 / FRAME as f32) / f32::from(COMFORT_FADE);
            *sample = (f32::from(audio[(self.comfort.at + i) % audio.len()]) * gain) as i16;
        }
        self.comfort.at = (self.comfort.at + FRAME) % audio.len();
        frame
    }
}
