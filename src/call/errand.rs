//! Calls that we place ourselves: who has answered, and what is said to a person and to a machine.

use super::Call;
use super::event::{Disposition, EventKind};
use super::turn::{BotTurn, Then};
use crate::clock::Time;
use crate::dialogue::Reason;
use crate::media::Frame;
use crate::media::amd::{Answer, Detector};
use std::time::Duration;

/// What a call that we place is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errand {
    /// Said to a person after the notice, and to a machine that records.
    pub words: Vec<String>,
    /// The customer is then joined with a person.
    pub person: bool,
    /// The words are left with a machine; without it the call ends and is tried again.
    pub message: bool,
}

/// A machine's tone is waited for so long.
const TONE: Duration = Duration::from_secs(30);

/// An errand whose time has not come.
#[derive(Debug)]
pub(super) struct Waiting {
    errand: Errand,
    ear: Detector,
    /// Since when a machine speaks.
    machine: Option<Time>,
}

impl Waiting {
    pub(super) fn new(errand: Errand) -> Self {
        Self { errand, ear: Detector::default(), machine: None }
    }
}

impl Call {
    pub(super) fn find_out_who_answers(&mut self, frame: &Frame) {
        let Some(waiting) = &mut self.errand else { return };
        match waiting.ear.push(frame) {
            Some(Answer::Person) => self.tell_person(),
            Some(Answer::Machine) => {
                self.event(EventKind::MachineAnswered);
                if let Some(waiting) = self.errand.as_mut().filter(|waiting| waiting.errand.message) {
                    waiting.machine = Some(self.now);
                } else {
                    self.end(Some(Disposition::Machine));
                }
            }
            Some(Answer::Tone) => self.tell_machine(),
            None => {
                if waiting.machine.is_some_and(|since| self.now.saturating_since(since) >= TONE) {
                    self.end(Some(Disposition::Machine));
                }
            }
        }
    }

    fn tell_person(&mut self) {
        let Some(waiting) = self.errand.take() else { return };
        let mut clauses = self.settings.phrases.notice.clone();
        let protected = clauses.len();
        clauses.extend(waiting.errand.words);
        self.ending.answered = true;
        let id = self.next_turn();
        self.start_turn(BotTurn::saying(id, clauses, protected, Then::Listen));
        if waiting.errand.person {
            self.start_handoff(Reason::Requested);
        }
    }

    /// It records from now on.
    fn tell_machine(&mut self) {
        let Some(waiting) = self.errand.take() else { return };
        if !waiting.errand.message {
            return self.end(Some(Disposition::Machine));
        }
        self.ending.message = true;
        let mut clauses = self.settings.phrases.notice.clone();
        clauses.extend(waiting.errand.words);
        let protected = clauses.len();
        let id = self.next_turn();
        self.start_turn(BotTurn::saying(id, clauses, protected, Then::HangUp));
    }
}
