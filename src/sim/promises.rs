//! What a call promises whatever happens: one voice at a time, never one of an old turn, a history of what was heard, no open
//! line that stays silent, one end.
//!
//! [`Promises`] watches a call from outside: its events, whose voice each frame is, and whether the line is silent. It is told by
//! the simulator and by the random walks through the core.

use std::time::Duration;

use serde::Serialize;

use crate::call::event::{Event, EventKind, TurnId};
use crate::clock::Time;
use crate::dialogue::{Said, Who};

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// When.
    #[serde(rename = "at_ms", with = "crate::call::event::millis_time")]
    pub at: Time,
    /// What happened instead.
    pub what: String,
}

/// Watches one call.
#[derive(Debug)]
pub struct Promises {
    longest_silence: Duration,
    newest: TurnId,
    told: Vec<String>,
    ended: bool,
    quiet_since: Time,
    silent: bool,
    broken: Vec<Broken>,
}

impl Promises {
    /// No line may be silent for longer than `longest_silence` while both sides could speak.
    pub fn new(longest_silence: Duration) -> Self {
        Self {
            longest_silence,
            newest: TurnId::default(),
            told: Vec::new(),
            ended: false,
            quiet_since: Time::ZERO,
            silent: false,
            broken: Vec::new(),
        }
    }

    /// Something happened.
    pub fn event(&mut self, event: &Event) {
        if self.ended {
            self.breaks(event.at, format!("after the end: {:?}", event.kind));
        }
        match &event.kind {
            EventKind::Ended { .. } => self.ended = true,
            EventKind::BotSaid { text, .. } if !text.is_empty() => self.told.push(text.clone()),
            _ => {}
        }
    }

    /// A frame of this turn's voice left.
    pub fn spoke(&mut self, at: Time, turn: TurnId) {
        if turn < self.newest {
            self.breaks(at, format!("the voice of turn {} after that of turn {}", turn.0, self.newest.0));
        }
        self.newest = self.newest.max(turn);
    }

    /// The line sounds at `at`, or it need not (a side is on hold, a seat is sought), or it is silent.
    pub fn line(&mut self, at: Time, sounds: bool) {
        if sounds {
            self.quiet_since = at;
            self.silent = false;
        }
        let silence = at.saturating_since(self.quiet_since);
        if silence > self.longest_silence && !std::mem::replace(&mut self.silent, true) {
            self.breaks(at, format!("both sides have been silent for {silence:?}"));
        }
    }

    /// What the call remembers.
    pub fn history(&mut self, at: Time, history: &[Said]) {
        let remembered = history.iter().filter(|said| said.who == Who::Bot).map(|said| said.text.as_str());
        if !remembered.eq(self.told.iter().map(String::as_str)) {
            self.breaks(at, "the history is not what was played".into());
        }
    }

    /// The call was told that it is over, or should have ended by itself.
    pub fn over(&mut self, at: Time) {
        if !self.ended {
            self.breaks(at, "the call does not end".into());
        }
    }

    /// Another promise was not kept.
    pub fn breaks(&mut self, at: Time, what: String) {
        self.broken.push(Broken { at, what });
    }

    /// Those that were not kept.
    pub fn broken(&self) -> &[Broken] {
        &self.broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::event::Disposition;

    fn at(ms: u64) -> Time {
        Time::from_start(Duration::from_millis(ms))
    }

    fn promises() -> Promises {
        Promises::new(Duration::from_secs(10))
    }

    #[test]
    fn an_old_voice_is_found() {
        let mut promises = promises();
        for turn in [1, 1, 3, 3] {
            promises.spoke(at(20), TurnId(turn));
        }
        assert_eq!(promises.broken(), []);
        promises.spoke(at(40), TurnId(2));
        assert_eq!(promises.broken().len(), 1);
    }

    #[test]
    fn a_silent_line_is_found_once_and_only_after_its_time() {
        let mut promises = promises();
        for ms in (0..10_000).step_by(20) {
            promises.line(at(ms), false);
        }
        promises.line(at(10_000), true);
        for ms in (10_000..20_000).step_by(20) {
            promises.line(at(ms), false);
        }
        assert_eq!(promises.broken(), [], "it sounded in between");
        for ms in (20_000..25_000).step_by(20) {
            promises.line(at(ms), false);
        }
        assert_eq!(promises.broken().len(), 1);
    }

    #[test]
    fn a_history_of_words_that_nobody_heard_is_found() {
        let said = |text: &str| Said { who: Who::Bot, text: text.into(), interrupted: false };
        let heard = |text: &str| EventKind::BotSaid {
            turn: TurnId(1),
            text: text.into(),
            interrupted: true,
            began: at(0),
        };
        let mut promises = promises();
        promises.event(&Event { at: at(20), kind: heard("您好") });
        promises.history(at(20), &[said("您好")]);
        assert_eq!(promises.broken(), []);
        promises.history(at(20), &[said("您好请讲")]);
        assert_eq!(promises.broken().len(), 1);
    }

    #[test]
    fn a_call_that_ends_twice_or_never_is_found() {
        let end = Event { at: at(20), kind: EventKind::Ended { disposition: Disposition::Silent } };
        let mut promises = promises();
        promises.event(&end);
        promises.over(at(20));
        assert_eq!(promises.broken(), []);
        promises.event(&end);
        assert_eq!(promises.broken().len(), 1);
        let mut endless = self::promises();
        endless.over(at(20));
        assert_eq!(endless.broken().len(), 1);
    }
}
