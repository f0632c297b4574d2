//! What the bot says while it thinks: 稍等，我查一下。
//!
//! When nothing of an answer is there [`PATIENCE`] after the end of the caller's turn was decided, one of the tenant's
//! `thinking` phrases is said, and another for every [`AGAIN`] of silence after it. They go in turn, and the same one never
//! comes twice in a row: a list of one is said once. A filler belongs to the turn whose answer it announces and goes with it:
//! whoever speaks on withdraws both. It is said whole, and the answer follows it without a gap. It says nothing, so it is neither a part of the history nor
//! a beginning of the turn: latencies are measured to the answer itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Call;
use super::event::{EventKind, TurnId};
use super::io::{ClauseId, Output};
use super::playout::Playout;
use super::timers::Timer;
use crate::media::{FRAME_TIME, Frame};
use crate::tts::Piece;

/// Silence of thinking before a filler.
const PATIENCE: Duration = Duration::from_millis(700);
/// Silence of thinking after a filler before another.
const AGAIN: Duration = Duration::from_secs(4);
/// Clauses of a turn from this index on are fillers.
const FIRST_INDEX: usize = usize::MAX / 2;

/// The fillers of a call.
#[derive(Debug, Default)]
pub(super) struct Fillers {
    /// The one that is prepared or said.
    pub(super) now: Option<Filler>,
    /// How many have begun.
    begun: usize,
    /// Words of the last, if nothing else has been said since.
    last: Option<String>,
    /// The turn that had the last.
    turn: Option<TurnId>,
    /// The last frame of one that was cut, fading.
    fading: Option<Frame>,
}

impl Fillers {
    /// True if the caller was told to wait for this turn.
    pub(super) fn announced(&self, turn: TurnId) -> bool {
        self.turn == Some(turn)
    }

    /// Something else was said: the same filler may come again.
    pub(super) fn something_said(&mut self) {
        self.last = None;
    }
}

/// One phrase on its way to being said.
#[derive(Debug)]
pub(super) struct Filler {
    id: ClauseId,
    text: String,
    playout: Playout,
    ready: bool,
    began: bool,
    cancelled: Arc<AtomicBool>,
}

impl ClauseId {
    /// True for what is said while a turn is thought of, and is no part of it.
    pub fn is_filler(self) -> bool {
        self.index >= FIRST_INDEX
    }
}

impl Filler {
    /// Takes a step of its synthesis.
    fn speech(&mut self, piece: Piece) {
        match piece {
            Piece::Audio { samples, span } => self.playout.push(0, &samples, span.end),
            Piece::Done | Piece::Failed(_) => self.ready = true,
        }
    }

    fn is_over(&self) -> bool {
        self.ready && self.playout.is_drained()
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

impl Call {
    /// Keeps the timer of the next filler running: exactly while the caller waits for a thought and hears nothing.
    pub(super) fn watch_thinking(&mut self) {
        self.end_filler();
        let thinking = self.speaking.as_ref().filter(|turn| !self.held && turn.is_thinking());
        let waits = thinking.is_some() && self.fillers.now.is_none() && self.next_filler().is_some();
        let length = if self.fillers.turn == thinking.map(|turn| turn.id) { AGAIN } else { PATIENCE };
        self.run_timer_while(waits, Timer::Filler, length);
    }

    /// What belongs to the tool that is being used, or the next in turn; never what was said just now.
    fn next_filler(&self) -> Option<&String> {
        let own = self.speaking.as_ref().and_then(|turn| turn.waiting.as_ref());
        if let Some(own) = own.filter(|own| Some(*own) != self.fillers.last.as_ref()) {
            return Some(own);
        }
        let phrases = &self.settings.phrases.thinking;
        let from = self.fillers.begun % phrases.len().max(1);
        let (before, after) = phrases.split_at(from.min(phrases.len()));
        after.iter().chain(before).find(|text| Some(*text) != self.fillers.last.as_ref())
    }

    /// Has the next phrase synthesised.
    pub(super) fn prepare_filler(&mut self) {
        let Some(turn) = self.speaking.as_ref().map(|turn| turn.id) else { return };
        let Some(text) = self.next_filler().cloned() else { return };
        let id = ClauseId { turn, index: FIRST_INDEX + self.fillers.begun };
        let cancelled = Arc::<AtomicBool>::default();
        self.outputs.push_back(Output::Synthesize { id, text: text.clone(), cancelled: cancelled.clone() });
        self.fillers.now =
            Some(Filler { id, text, playout: Playout::default(), ready: false, began: false, cancelled });
    }

    /// Takes a step of synthesis. True if it belongs to a filler, wanted or not.
    pub(super) fn filler_speech(&mut self, id: ClauseId, piece: &mut Option<Piece>) -> bool {
        let ours = id.is_filler();
        if let Some(filler) = self.fillers.now.as_mut().filter(|f| ours && f.id == id) {
            piece.take().into_iter().for_each(|piece| filler.speech(piece));
        }
        ours
    }

    /// The next frame of a filler, if one fades, is being said or may begin now.
    pub(super) fn filler_frame(&mut self) -> Option<Frame> {
        if let Some(frame) = self.fillers.fading.take() {
            return Some(frame);
        }
        let thinking = self.speaking.as_ref().is_some_and(super::turn::BotTurn::is_thinking);
        let filler = self.fillers.now.as_mut().filter(|f| f.began || f.ready && thinking)?;
        let frame = filler.playout.pull()?;
        if !std::mem::replace(&mut filler.began, true) {
            let (turn, text) = (filler.id.turn, filler.text.clone());
            self.fillers.turn = Some(turn);
            self.fillers.begun += 1;
            self.fillers.last = Some(text.clone());
            self.event(EventKind::Filled { turn, text });
        }
        Some(frame)
    }

    /// True while one is being said.
    pub(super) fn is_filling(&self) -> bool {
        self.fillers.now.as_ref().is_some_and(|f| f.began && !f.is_over())
    }

    /// The turn that it belonged to is gone: it ends within a frame, without a click.
    pub(super) fn drop_filler(&mut self) {
        if let Some(mut filler) = self.fillers.now.take().filter(|f| f.began && !self.held) {
            filler.playout.pause();
            self.fillers.fading = filler.playout.pull();
        }
    }

    /// Forgets a filler that has been said, and one that came too late to be.
    fn end_filler(&mut self) {
        let thinking = self.speaking.as_ref().filter(|turn| turn.is_thinking()).map(|turn| turn.id);
        self.fillers.now.take_if(|f| f.is_over() || !f.began && thinking != Some(f.id.turn));
    }

    /// The mind has run out of time while a filler is being said: what follows waits for its end.
    pub(super) fn stalled(&mut self) {
        if self.tools_stalled() {
        } else if self.is_filling() {
            self.timers.set(Timer::Stalled, self.now + FRAME_TIME);
        } else {
            self.give_up_turn();
        }
    }
}
