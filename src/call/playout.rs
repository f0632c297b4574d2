//! What leaves toward a leg, and how much of its text has been heard.
//!
//! Audio stays in the queue until the turn is over, so that a pause can be undone: playing goes on at the start of the piece
//! that was cut.

use std::time::Duration;

use crate::media::{FRAME, Frame, RATE};

/// Length of the fade at a pause and a resume: short enough to be instant, long enough not to click.
const FADE: usize = 80;
/// A resume goes back at most this far, so that a long piece is not repeated.
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
            self.cursor = self.resume_point();
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

    /// Goes on where the piece that was cut begins.
    pub fn resume(&mut self) {
        self.fade_in = self.paused.take() == Some(Paused::Silent);
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

    fn resume_point(&self) -> usize {
        let start =
            self.marks.iter().map(|m| m.end).take_while(|&end| end <= self.cursor).last().unwrap_or(0);
        if self.cursor - start > REWIND_LIMIT { self.cursor } else { start }
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
    fn a_pause_fades_within_one_frame_and_a_resume_repeats_the_cut_piece() {
        let mut playout = three_pieces();
        for _ in 0..7 {
            playout.pull();
        }
        playout.pause();
        let last = playout.pull().expect("the fading frame");
        assert_eq!(last.0[FRAME - 1], 0);
        let step = last.0.windows(2).map(|w| (w[0] - w[1]).abs()).max();
        assert!(step < Some(30), "a click of {step:?}");
        assert_eq!(playout.pull(), None, "it went on while paused");
        playout.resume();
        playout.pull();
        assert_eq!(playout.pull().expect("audio").0[0], 1001, "it must go on with the second piece");
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
