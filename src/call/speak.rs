//! Speaking to the caller: one turn at a time, what it came to, and the frame that leaves.

use super::asking::Asking;
use super::event::EventKind;
use super::io::{ClauseId, Output};
use super::turn::{BotTurn, Rest, Then};
use super::{Call, Stage};
use crate::call::event::{Disposition, TurnId};
use crate::dialogue::{Act, Reason, Said, Thought, Who};
use crate::media::Frame;
use crate::tts::Piece;

/// The topic of greetings, thanks and the like.
const SMALL_TALK: &str = "smalltalk";

impl Call {
    /// Makes `turn` the one that is spoken.
    pub(super) fn start_turn(&mut self, turn: BotTurn) {
        let decided = turn.decision.is_some();
        self.speaking = Some(turn);
        if decided {
            self.act();
        }
        self.synthesize();
    }

    /// Says fixed clauses: after those of the present turn, or as a turn of their own.
    pub(super) fn say(&mut self, clauses: &[String], then: Then) {
        if self.speaking.is_none() {
            let id = self.next_turn();
            self.speaking = Some(BotTurn::saying(id, Vec::new(), 0, then));
            // What is being prepared is heard after this, so its number must be higher.
            if self.pending.is_some() {
                self.drop_pending();
                self.speculate();
            }
        }
        if let Some(turn) = &mut self.speaking {
            for clause in clauses {
                turn.add_clause(self.now, clause.clone());
            }
            turn.then = then;
        }
        self.synthesize();
    }

    pub(super) fn thought(&mut self, id: TurnId, thought: Thought) {
        let now = self.now;
        let promoted = self.speaking.as_ref().is_some_and(|turn| turn.id == id);
        let pending = self.pending.as_mut().map(|p| &mut p.turn);
        let Some(turn) = self.speaking.as_mut().into_iter().chain(pending).find(|turn| turn.id == id) else {
            return;
        };
        match thought {
            _ if turn.is_ended() => return,
            Thought::Clause(clause) => turn.add_clause(now, clause),
            Thought::Decided(decision) => {
                if !matches!(decision.act, Act::Use { .. }) {
                    turn.close();
                }
                turn.decision = Some(decision);
                if promoted {
                    self.act();
                }
            }
        }
        self.synthesize();
    }

    pub(super) fn speech(&mut self, id: ClauseId, piece: Piece) {
        let mut piece = Some(piece);
        if self.filler_speech(id, &mut piece) {
            return;
        }
        let Some(piece) = piece else { return };
        let now = self.now;
        let error =
            self.turns().find(|turn| turn.id == id.turn).and_then(|turn| turn.speech(now, id.index, piece));
        if let Some(error) = error {
            self.fault("tts", error);
        }
        self.synthesize();
    }

    /// The next frame for the caller: speech, comfort audio while a seat is sought, or silence.
    pub(super) fn frame_for_caller(&mut self) -> Frame {
        if self.held {
            return Frame::SILENCE;
        }
        if let Some(frame) = self.filler_frame().or_else(|| self.speech_frame()) {
            self.comfort.stop();
            return frame;
        }
        self.comfort_frame()
    }

    fn speech_frame(&mut self) -> Option<Frame> {
        let turn = self.speaking.as_mut()?;
        let frame = turn.playout.pull()?;
        if turn.began.is_none() {
            turn.began = Some(self.now);
            let (turn, timings) = (turn.id, turn.timings(self.now));
            self.event(EventKind::BotStarted { turn, timings });
        }
        Some(frame)
    }

    /// Ends the turn being spoken when all of it has been played.
    pub(super) fn finish_turn(&mut self) {
        if !self.speaking.as_ref().is_some_and(BotTurn::is_over) || self.barging_in {
            return;
        }
        // The turn that decided on a handoff says what comes of it, as soon as the queue has told.
        if self.speaking.as_ref().is_some_and(BotTurn::is_silent) && self.is_to_be_announced() {
            return;
        }
        let Some(turn) = self.speaking.take() else { return };
        self.stalled = 0;
        self.remember(&turn, false);
        if turn.then == Then::HangUp {
            let silent = !self.ending.spoke && !self.ending.answered && !self.ending.message;
            self.end(silent.then_some(Disposition::Silent));
        }
    }

    /// Drops the turn being spoken; what has been heard of it is remembered.
    pub(super) fn cut_turn(&mut self) {
        self.barging_in = false;
        self.drop_filler();
        if let Some(turn) = self.speaking.take() {
            turn.cancel();
            if turn.began.is_some() {
                self.rest = turn.rest(self.settings.in_flight);
                self.rest_is_fresh = true;
            }
            self.remember(&turn, true);
        }
    }

    /// Nothing came of what cut the bot short (somebody else was spoken to): it says the rest, from the word that was cut on.
    pub(super) fn go_on_after_nothing(&mut self) {
        if std::mem::take(&mut self.rest_is_fresh) {
            let rest = std::mem::take(&mut self.rest).from_the_word();
            if !rest.is_empty() {
                self.say(&rest, Then::Listen);
            }
        }
    }

    /// The caller wants to hear the rest: from the beginning of the clause that was cut, or the last words once more.
    fn go_on(&mut self) {
        let mut clauses = std::mem::take(&mut self.rest).clauses;
        if clauses.is_empty() {
            let said = self.history.iter().rev().find(|said| said.who == Who::Bot);
            clauses.extend(said.map(|said| said.text.clone()));
        }
        self.say(&clauses, Then::Listen);
    }

    /// One rung further down for a caller who says nothing: prompts, then the offer of a person, then goodbye. What the core
    /// has asked is asked again with each prompt; then no person is offered, and a promised call-back is booked at the end.
    pub(super) fn prompt_silent_caller(&mut self) {
        let phrases = self.settings.phrases.clone();
        let rung = self.prompts;
        self.prompts += 1;
        match (phrases.no_input.get(rung), &self.asking) {
            (_, Asking::Person) => self.say(&phrases.goodbye, Then::HangUp),
            (_, Asking::Rating) => self.say_goodbye(),
            (_, Asking::Message { .. }) => {
                self.prompts = rung;
                self.finish_message();
            }
            (Some(prompt), _) => {
                self.say(std::slice::from_ref(prompt), Then::Listen);
                self.ask_again();
            }
            (None, Asking::Nothing) if !phrases.offer_person.is_empty() => {
                self.asking = Asking::Person;
                self.ask_again();
            }
            (None, Asking::Time { .. }) => self.misunderstood_reply(),
            (None, _) => self.say(&phrases.goodbye, Then::HangUp),
        }
    }

    /// The mind or the voice has brought nothing in time. Apologise; if that fails too, a person; at last, the end.
    pub(super) fn give_up_turn(&mut self) {
        self.fault("turn", "nothing to say in time: the mind or the voice has failed");
        let hang_up = self.speaking.as_ref().is_some_and(|turn| turn.then == Then::HangUp);
        self.cut_turn();
        self.stalled += 1;
        let phrases = self.settings.phrases.clone();
        match self.stalled {
            _ if hang_up => self.end(None),
            // Whoever waits for a person is not let go because the machine fails.
            _ if self.handoff.is_some() || !matches!(self.stage, Stage::Talking) => {}
            1 => self.say(&phrases.apology, Then::Listen),
            2 => self.start_handoff(Reason::Broken),
            _ => self.end(Some(Disposition::Failed)),
        }
    }

    /// Does what the decision of the turn being spoken says.
    fn act(&mut self) {
        let Some((turn, decision)) = self.speaking.as_ref().and_then(|t| Some((t.id, t.decision.clone()?)))
        else {
            return;
        };
        let small_talk = decision.topic == SMALL_TALK;
        self.topic.clone_from(&decision.topic);
        if let Some(memory) = decision.memory {
            let known = memory.known();
            if known != self.memory.known() {
                self.event(EventKind::Learned { known });
            }
            self.memory = *memory;
        }
        self.expects = decision.expect;
        for clause in decision.withheld {
            self.fault("style", clause);
        }
        self.event(EventKind::Decided {
            turn,
            act: decision.act.clone(),
            confidence: decision.confidence,
            sources: decision.sources,
            tier: decision.tier,
            topic: decision.topic,
            why: Box::new(decision.why),
        });
        // A caller who says what it is about is served; the offer of a person was for one who says nothing.
        let served = matches!(decision.act, Act::Answer | Act::Clarify | Act::Goodbye);
        if self.asking == Asking::Person && served
            || self.asking == Asking::Rating && decision.act == Act::Answer
        {
            self.asking = Asking::Nothing;
        }
        let was_asking = self.is_asking();
        self.rest_is_fresh &= decision.act == Act::Ignore;
        // Small talk (等一下) leaves the rest to be asked for.
        if !matches!(decision.act, Act::Ignore | Act::Continue | Act::Clarify) && !small_talk {
            self.rest = Rest::default();
        }
        match decision.act {
            Act::Answer => {
                self.clarified = false;
                self.ending.answered = true;
                self.ending.answers += u32::from(!small_talk);
                self.ask_again();
            }
            // The mind's own words, if any, ask again.
            Act::Clarify if was_asking && !self.speaking.as_ref().is_some_and(BotTurn::is_wordless) => {}
            Act::Clarify | Act::Handoff(Reason::LowConfidence) if was_asking => self.misunderstood_reply(),
            Act::Clarify => self.clarified = true,
            Act::Handoff(reason) => {
                self.clarified = false;
                self.start_handoff(reason);
            }
            Act::Goodbye => {
                self.ending.answered |= !self.history.is_empty();
                self.keep_message();
                if self.speaking.as_ref().is_some_and(BotTurn::is_wordless) {
                    self.say_goodbye();
                } else {
                    self.say(&[], Then::HangUp);
                }
            }
            Act::Ignore => self.go_on_after_nothing(),
            Act::Use { tools, waiting } => self.use_tools(tools, waiting),
            Act::Continue => self.go_on(),
            Act::StopWaiting => self.stop_waiting(),
            Act::Place => self.tell_place(),
            reply @ (Act::Yes
            | Act::No
            | Act::Phone(_)
            | Act::PhonePart(_)
            | Act::When(_)
            | Act::Rated(_)
            | Act::Message(_)) => self.reply(reply),
        }
        if self.speaking.as_ref().is_some_and(BotTurn::is_silent) && !self.is_to_be_announced() {
            self.drop_filler();
            self.speaking = None;
            // Whoever was told to wait a moment must hear something.
            if self.fillers.announced(turn) && matches!(self.stage, Stage::Talking) && self.handoff.is_none()
            {
                self.prompt_silent_caller();
            }
        }
    }

    fn remember(&mut self, turn: &BotTurn, interrupted: bool) {
        let Some(began) = turn.began else { return };
        self.fillers.something_said();
        let in_flight = if interrupted { self.settings.in_flight } else { std::time::Duration::ZERO };
        let text = turn.heard(in_flight);
        self.event(EventKind::BotSaid { turn: turn.id, text: text.clone(), interrupted, began });
        if !text.is_empty() {
            self.history.push(Said { who: Who::Bot, text, interrupted });
        }
    }

    /// Asks for the synthesis of whatever clause is next in each turn.
    pub(super) fn synthesize(&mut self) {
        let mut wanted = Vec::new();
        for turn in self.turns() {
            while let Some((id, text)) = turn.next_synthesis() {
                wanted.push(Output::Synthesize { id, text, cancelled: turn.cancelled.clone() });
            }
        }
        self.outputs.extend(wanted);
    }

    /// Every turn that is alive: spoken, speculated, and told to the seat.
    fn turns(&mut self) -> impl Iterator<Item = &mut BotTurn> {
        let seat = self.handoff.as_mut().and_then(|handoff| handoff.turn_mut());
        self.speaking.as_mut().into_iter().chain(self.pending.as_mut().map(|p| &mut p.turn)).chain(seat)
    }
}
