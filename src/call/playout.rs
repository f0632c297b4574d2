//! What leaves toward a leg, and how much of its text has been heard.
//!
//! Audio stays in the queue until the turn is over, so that a pause can be undone: playing goes on at the beginning of the word
//! that was cut.

use std::time::Duration;

use crate::media::{FRAME, Frame, RATE};

/// Length of the fade at a pause and a resume: short enough to be instant, long enough not to click.
const FADE: usize = 80;
/// A resume goes back at most this far: text that says too little of its words is not repeated.
const REWIND_LIMIT: usize = RATE as usize / 2;

/// The speech of one turn.
#[derive(Debug, Default)]
pub struct Playout {
    samples: Vec<i16>,
    marks: Vec<Mark>,
    cursor: usize,
    paused: Option<Paused>,
    fade_in: bool,
    /// Clauses whose audio is complete.
    complete: usize,
}

/// By sample `end`, `chars` characters of clause `clause` have been spoken.
#[derive(Clone, Copy, Debug)]
struct Mark {
    end: usize,
    clause: usize,
    chars: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Paused {
    /// The next frame fades out.
    Fading,
    Silent,
}

impl Playout {
    /// Adds audio of `clause` that speaks its text up to `chars` characters.
    pub fn push(&mut self, clause: usize, samples: &[i16], chars: usize) {
        self.samples.extend_from_slice(samples);
        self.marks.push(Mark { end: self.samples.len(), clause, chars });
    }

    /// Drops the audio of all clauses but the first `clauses`.
    pub fn truncate(&mut self, clauses: usize) {
        self.marks.retain(|mark| mark.clause < clauses);
        self.samples.truncate(self.marks.last().map_or(0, |mark| mark.end).max(self.cursor));
        self.complete = self.complete.min(clauses);
    }

    /// The audio of one more clause is complete.
    pub fn clause_complete(&mut self) {
        self.complete += 1;
    }

    /// Clauses whose audio is complete.
    pub fn complete_clauses(&self) -> usize {
        self.complete
    }

    /// True if there is no audio left to play.
    pub fn is_drained(&self) -> bool {
        self.cursor >= self.samples.len()
    }

    /// True if no audio has arrived yet.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The clause being played.
    pub fn current_clause(&self) -> usize {
        self.marks.iter().find(|m| m.end > self.cursor).or(self.marks.last()).map_or(0, |m| m.clause)
    }

    /// The next frame, or none if paused or drained.
    pub fn pull(&mut self) -> Option<Frame> {
        if self.paused == Some(Paused::Silent) || self.is_drained() {
            return None;
        }
        let mut frame = Frame::SILENCE;
        let rest = &self.samples[self.cursor..];
        let n = rest.len().min(FRAME);
        frame.0[..n].copy_from_slice(&rest[..n]);
        if std::mem::take(&mut self.fade_in) {
            for (i, s) in frame.0[..FADE].iter_mut().enumerate() {
                *s = ramp(*s, i);
            }
        }
        if self.paused == Some(Paused::Fading) {
            for (i, s) in frame.0[..FADE].iter_mut().enumerate() {
                *s = ramp(*s, FADE - 1 - i);
            }
            frame.0[FADE..].fill(0);
            self.paused = Some(Paused::Silent);
        } else {
            self.cursor += n;
        }
        Some(frame)
    }

    /// Stops within the next frame, with a short fade.
    pub fn pause(&mut self) {
        if self.paused.is_none() {
            self.paused = Some(Paused::Fading);
        }
    }

    /// Goes on where the word that was cut begins: `word_start` gives that of a character of a clause.
    pub fn resume(&mut self, word_start: impl FnOnce(usize, usize) -> usize) {
        self.fade_in = self.paused.take() == Some(Paused::Silent);
        if self.fade_in && !self.is_drained() {
            let (clause, chars) = self.heard(Duration::ZERO);
            let start = self.sample_of(clause, word_start(clause, chars)).min(self.cursor);
            if self.cursor - start <= REWIND_LIMIT {
                self.cursor = start;
            }
        }
    }

    /// True while paused.
    pub fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// Clause and characters within it that the listener has heard if the last `in_flight` of audio is still on its way.
    pub fn heard(&self, in_flight: Duration) -> (usize, usize) {
        let flying = (in_flight.as_secs_f64() * f64::from(RATE)) as usize;
        let position = if self.is_drained() { self.cursor } else { self.cursor.saturating_sub(flying) };
        let mut start = Mark { end: 0, clause: 0, chars: 0 };
        for &mark in &self.marks {
            if mark.end <= position {
                start = mark;
                continue;
            }
            let from = if mark.clause == start.clause { start.chars } else { 0 };
            let share = (position - start.end) as f64 / (mark.end - start.end).max(1) as f64;
            let chars = from + ((mark.chars.saturating_sub(from)) as f64 * share) as usize;
            return (mark.clause, chars);
        }
        (start.clause, start.chars)
    }

    /// The sample at which character `at` of `clause` begins.
    fn sample_of(&self, clause: usize, at: usize) -> usize {
        let mut before = Mark { end: 0, clause: 0, chars: 0 };
        for &mark in &self.marks {
            let from = if mark.clause == before.clause { before.chars } else { 0 };
            if mark.clause == clause && mark.chars > at {
                let share = (at.saturating_sub(from)) as f64 / (mark.chars - from).max(1) as f64;
                return before.end + ((mark.end - before.end) as f64 * share) as usize;
            }
            before = mark;
        }
        before.end
    }
}

fn ramp(sample: i16, step: usize) -> i16 {
    (i32::from(sample) * (step as i32 + 1) / (FADE as i32 + 1)) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three_pieces() -> Playout {
        let mut playout = Playout::default();
        for (i, chars) in [(0, 2), (1, 4), (2, 6)] {
            playout.push(0, &vec![1000 + i; FRAME * 5], chars);
        }
        playout.clause_complete();
        playout
    }

    #[test]
    fn everything_pushed_is_played_in_order() {
        let mut playout = three_pieces();
        let mut heard = Vec::new();
        while let Some(frame) = playout.pull() {
            heard.extend_from_slice(&frame.0);
        }
        assert_eq!(heard.len(), FRAME * 15);
        assert!(heard.is_sorted(), "pieces were reordered");
        assert_eq!(playout.heard(Duration::from_millis(60)), (0, 6), "a drained turn is heard whole");
    }

    #[test]
    fn a_pause_fades_within_one_frame_and_a_resume_repeats_the_cut_word() {
        let mut playout = three_pieces();
        for _ in 0..8 {
            playout.pull();
        }
        playout.pause();
        let last = playout.pull().expect("the fading frame");
        assert_eq!(last.0[FRAME - 1], 0);
        let step = last.0.windows(2).map(|w| (w[0] - w[1]).abs()).max();
        assert!(step < Some(30), "a click of {step:?}");
        assert_eq!(playout.pull(), None, "it went on while paused");
        assert_eq!(playout.heard(Duration::ZERO), (0, 3), "the word that was cut has begun");
        playout.resume(|clause, chars| {
            assert_eq!((clause, chars), (0, 3));
            // The word of the characters 2 and 3 begins with the second piece.
            2
        });
        let first = playout.pull().expect("audio");
        assert!(first.0[0] < 100, "it begins with a click: {}", first.0[0]);
        assert_eq!(first.0[FRAME - 1], 1001, "it must go on with the second piece");
    }

    #[test]
    fn a_resume_inside_a_piece_begins_between_its_characters() {
        let mut playout = Playout::default();
        let ramp: Vec<i16> = (0..20 * FRAME as i16).map(|i| i / 4).collect();
        playout.push(0, &ramp, 10);
        for _ in 0..13 {
            playout.pull();
        }
        playout.pause();
        playout.pull();
        playout.resume(|_, chars| chars - 1);
        let first = playout.pull().expect("audio").0[FRAME - 1];
        // 13 frames are six and a half of ten characters; the fifth ends with frame 10.
        assert_eq!(first, ((11 * FRAME - 1) / 4) as i16);
    }

    #[test]
    fn a_resume_never_repeats_more_than_half_a_second() {
        let mut playout = Playout::default();
        playout.push(0, &vec![500; 100 * FRAME], 10);
        for _ in 0..60 {
            playout.pull();
        }
        playout.pause();
        playout.pull();
        playout.resume(|_, _| 0);
        let rest = std::iter::from_fn(|| playout.pull()).count();
        assert_eq!(rest, 40);
    }

    #[test]
    fn what_is_still_in_flight_is_not_heard() {
        let mut playout = three_pieces();
        for _ in 0..10 {
            playout.pull();
        }
        assert_eq!(playout.heard(Duration::ZERO), (0, 4));
        assert_eq!(playout.heard(Duration::from_millis(50)), (0, 3));
        assert_eq!(playout.heard(Duration::from_secs(9)), (0, 0));
    }
}
