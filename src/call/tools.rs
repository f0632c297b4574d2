//! Using tools for a turn: what the mind asked for is used once the turn is certain, and the turn is thought on with what
//! came of it. A tool that has begun is waited for even if its turn is cut: what it did is known to the turns that follow.

use super::Call;
use super::event::{EventKind, TurnId};
use super::io::Output;
use super::timers::Timer;
use crate::tools::{Outcome, Use, Used};

/// Rounds of tools in one turn; a mind that wants more goes round in circles.
const MOST_ROUNDS: u32 = 8;
/// Uses that are remembered; the oldest are forgotten first.
const REMEMBERED: usize = 64;

impl Call {
    /// Uses what the turn being spoken has decided to use.
    pub(super) fn use_tools(&mut self, tools: Vec<Use>, waiting: Option<String>) {
        let now = self.now;
        let Some(turn) = &mut self.speaking else { return };
        let id = turn.id;
        let rounds = turn.ask.as_ref().map_or(MOST_ROUNDS, |ask| ask.round);
        if rounds >= MOST_ROUNDS || tools.is_empty() {
            self.fault("mind", "it asks for tools again and again");
            self.give_up_turn();
            return;
        }
        turn.waiting = waiting;
        turn.using = tools.iter().map(|what| (what.clone(), now)).collect();
        self.outputs.extend(tools.into_iter().map(|what| Output::UseTool { turn: id, what }));
        self.timers.stop(Timer::Stalled);
    }

    pub(super) fn tool_done(&mut self, turn: TurnId, what: Use, outcome: Outcome) {
        let speaking = self.speaking.as_mut().filter(|speaking| speaking.id == turn);
        let begun = speaking.and_then(|speaking| {
            let at = speaking.using.iter().position(|(used, _)| *used == what)?;
            Some(speaking.using.swap_remove(at).1)
        });
        let took = begun.map(|begun| self.now.saturating_since(begun));
        self.note_use(turn, what, outcome, took);
        if begun.is_some() {
            self.think_on();
        } else {
            self.revalue();
        }
    }

    /// The tools of the turn being spoken have not answered in time. True if there were any.
    pub(super) fn tools_stalled(&mut self) -> bool {
        let Some(turn) = &mut self.speaking else { return false };
        let (id, using) = (turn.id, std::mem::take(&mut turn.using));
        let stalled = !using.is_empty();
        for (what, _) in using {
            self.note_use(id, what, Outcome::Failed("it did not answer in time".into()), None);
        }
        if stalled {
            self.think_on();
        }
        stalled
    }

    fn note_use(&mut self, turn: TurnId, what: Use, outcome: Outcome, took: Option<std::time::Duration>) {
        self.event(EventKind::ToolUsed { turn, what: what.clone(), outcome: outcome.clone(), took });
        if self.used.len() >= REMEMBERED {
            self.used.remove(0);
        }
        self.used.push(Used { what, outcome });
    }

    /// Asks the mind again when all tools of the turn have answered.
    fn think_on(&mut self) {
        let (memory, used) = (self.memory.clone(), self.used.clone());
        let Some(turn) = self.speaking.as_mut().filter(|turn| turn.using.is_empty()) else { return };
        let Some(ask) = &mut turn.ask else { return };
        ask.round += 1;
        ask.memory = memory;
        ask.used = used;
        turn.decision = None;
        let (id, ask) = (turn.id, ask.clone());
        self.timers.stop(Timer::Stalled);
        self.outputs.push_back(Output::Think { turn: id, ask });
    }
}
