//! Is what is heard over the bot an interruption? The evidence, the verdict, and why.
//!
//! The bot has already paused, and can go on as if nothing had been. Words decide where there are any: those that always
//! interrupt, and others that are enough, sure enough, and not a listener's. Voice decides by its level: a television or a
//! colleague is far below the caller. What nobody can make words of is a cough, unless it goes on for long.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::settings::BargeIn;

/// Words at and above this confidence were really said. Of what a recogniser finds in coughs and knocks, nothing comes near it.
const TRUSTED: f32 = 0.3;
/// Below this, one or two characters may be any sound of a listener; three are not.
const LIKELY: f32 = 0.05;
const SENTENCE: usize = 3;
/// Unsure words were said all the same, whatever they were, if so much of the sound has a pitch. Coughs have up to 140 ms.
const PITCHED: Duration = Duration::from_millis(150);
/// One of the few words that always interrupt may be shorter, and less sure.
const PITCHED_INTERRUPT: Duration = Duration::from_millis(100);
const LIKELY_INTERRUPT: f32 = 0.004;
/// A voice so far below the caller's own is somebody else's. People and televisions behind a caller are 15 to 20 dB below.
const BELOW_CALLER_DB: f32 = 12.0;
/// A voice below this is somebody else's as long as the caller's own is not known, in dB relative to full scale. Callers are
/// seldom below −38, what is behind them seldom above −41.
const FAR: f32 = -40.0;
/// The bound that follows from the caller's own level lies between these.
const BOUND: (f32, f32) = (-55.0, -32.0);
/// Sounds of a listener are shorter: the longest of the fitting set lasts 0.92 s.
const LONGER_THAN_LISTENING: Duration = Duration::from_millis(1200);
/// So far above the bound it is certain.
const CERTAIN_DB: f32 = 3.0;
/// So much voice tells its level.
const TELLING: Duration = Duration::from_millis(300);

/// What is known of something that is said over the bot.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evidence {
    /// Speech in it, echo and pauses not counted.
    pub spoken: Duration,
    /// As much of it as has a pitch: vowels do, coughs and knocks do not.
    pub pitched: Duration,
    /// Since its last frame.
    pub silence: Duration,
    /// Its level, dB relative to full scale.
    pub loudness: f32,
    /// The caller's own, once known.
    pub caller: Option<f32>,
    /// Confidence of the final words, once they are there.
    pub confidence: Option<f32>,
    /// It holds a word that always interrupts.
    pub interrupt: bool,
    /// Its words, as far as they will not change, say something.
    pub content: bool,
    /// There are words at all.
    pub words: bool,
    /// Characters in them, or words in a spaced script.
    pub length: usize,
    /// Its words as they are now say something, though they may still change.
    pub guess: bool,
    /// Partials that found none.
    pub wordless: u32,
}

/// What it comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The bot stops.
    Confirm(Because),
    /// The bot goes on. What is heard may still become an interruption if it goes on too.
    Resume(Because),
    /// The bot goes on, and what was heard is forgotten.
    Reject(Because),
    /// Too early to tell.
    Wait,
}

/// The reason of a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// Confirmed: a word that always interrupts.
    Interrupt,
    /// Confirmed: words with content.
    Words,
    /// Confirmed: it went on for long.
    Length,
    /// Confirmed: a key was pressed.
    Key,
    /// Rejected: a listener's sound, or too few words.
    Backchannel,
    /// Rejected: words that nobody can have meant.
    Doubtful,
    /// Rejected: no words came, or none in time.
    #[default]
    NoWords,
    /// Rejected: the bot's own words came back.
    OwnWords,
    /// Rejected: the bot's own voice came back.
    Echo,
    /// Rejected: somebody far from the telephone.
    Far,
}

/// A verdict with what it rests on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Why {
    /// The reason.
    pub because: Because,
    /// Speech in it, milliseconds.
    pub spoken_ms: u64,
    /// As much of it as has a pitch.
    pub pitched_ms: u64,
    /// Its level, dB relative to full scale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loudness_db: Option<i32>,
    /// The caller's own level, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller_db: Option<i32>,
    /// Confidence of the final words, if they were there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
}

impl Evidence {
    /// The verdict under these rules.
    pub fn judge(&self, rules: &BargeIn) -> Verdict {
        let sure = |least| self.confidence.is_some_and(|confidence| confidence >= least);
        // What partials agree on is likely.
        let likely = |least| self.confidence.is_none_or(|confidence| confidence >= least);
        if self.interrupt && (sure(TRUSTED) || likely(LIKELY_INTERRUPT) && self.pitched >= PITCHED_INTERRUPT)
        {
            return Verdict::Confirm(Because::Interrupt);
        }
        if self.is_far() {
            return if self.confidence.is_some() {
                Verdict::Reject(Because::Far)
            } else {
                Verdict::Resume(Because::Far)
            };
        }
        let said = if self.length >= SENTENCE {
            sure(LIKELY) || self.pitched >= PITCHED
        } else {
            sure(TRUSTED) || likely(LIKELY) && self.pitched >= PITCHED
        };
        if self.content && said {
            return Verdict::Confirm(Because::Words);
        }
        // Nobody who only listens speaks for so long.
        if self.guess && self.confidence.is_none() && self.spoken >= LONGER_THAN_LISTENING {
            return Verdict::Confirm(Because::Length);
        }
        // Long speech in which the recogniser finds no words is noise; but one that does not answer says nothing.
        if self.spoken >= rules.length && (self.words || self.wordless == 0) {
            return Verdict::Confirm(Because::Length);
        }
        if self.confidence.is_some() {
            return Verdict::Reject(match self {
                Self { words: false, .. } => Because::NoWords,
                Self { content: true, .. } => Because::Doubtful,
                _ => Because::Backchannel,
            });
        }
        // No words came in time: late ones still interrupt at the end of the turn.
        if self.silence >= rules.verdict { Verdict::Resume(Because::NoWords) } else { Verdict::Wait }
    }

    /// True if it has gone on for long enough to tell that the speaker is far from the telephone.
    pub fn is_far(&self) -> bool {
        (self.spoken >= TELLING || self.confidence.is_some()) && self.loudness < self.bound()
    }

    /// True if a voice of this level is certainly the caller's.
    pub fn is_near(&self, loudness: f32) -> bool {
        loudness > self.bound() + CERTAIN_DB
    }

    fn bound(&self) -> f32 {
        self.caller.map_or(FAR, |own| (own - BELOW_CALLER_DB).clamp(BOUND.0, BOUND.1))
    }

    /// The evidence beside the reason, for the record.
    pub fn why(&self, because: Because) -> Why {
        Why {
            because,
            spoken_ms: self.spoken.as_millis() as u64,
            pitched_ms: self.pitched.as_millis() as u64,
            loudness_db: Some(self.loudness.round() as i32),
            caller_db: self.caller.map(|db| db.round() as i32),
            confidence: self.confidence,
        }
    }
}

impl From<Because> for Why {
    fn from(because: Because) -> Self {
        Self { because, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A caller at an ordinary level, half a second into speaking.
    fn speaking() -> Evidence {
        Evidence {
            spoken: Duration::from_millis(500),
            pitched: Duration::from_millis(300),
            loudness: -26.0,
            length: 4,
            ..Evidence::default()
        }
    }

    fn judge(evidence: Evidence) -> Verdict {
        evidence.judge(&BargeIn::default())
    }

    #[test]
    fn a_word_that_always_interrupts_wins_however_unsure_or_far() {
        let said = Evidence { interrupt: true, words: true, confidence: Some(0.006), ..speaking() };
        assert_eq!(judge(said), Verdict::Confirm(Because::Interrupt));
        let cough = Evidence { pitched: Duration::from_millis(40), ..said };
        assert_eq!(
            judge(cough),
            Verdict::Reject(Because::Backchannel),
            "等等 is what some coughs are heard as"
        );
        assert_eq!(judge(Evidence { loudness: -50.0, ..said }), Verdict::Confirm(Because::Interrupt));
    }

    #[test]
    fn content_interrupts_before_the_final_is_there_and_what_a_cough_is_heard_as_does_not() {
        let said = Evidence { content: true, words: true, ..speaking() };
        assert_eq!(judge(said), Verdict::Confirm(Because::Words));
        let cough = Evidence { pitched: Duration::from_millis(40), confidence: Some(0.02), ..said };
        assert_eq!(judge(cough), Verdict::Reject(Because::Doubtful));
        let whispered = Evidence { confidence: Some(0.4), ..cough };
        assert_eq!(judge(whispered), Verdict::Confirm(Because::Words), "the words are sure");
    }

    #[test]
    fn unsure_words_interrupt_if_they_are_many_and_spoken_with_a_voice() {
        let unsure = Evidence { content: true, words: true, confidence: Some(0.002), ..speaking() };
        assert_eq!(judge(unsure), Verdict::Confirm(Because::Words));
        let short = Evidence { length: 2, ..unsure };
        assert_eq!(judge(short), Verdict::Reject(Because::Doubtful), "a listener's 对对 may be heard so");
        assert_eq!(judge(Evidence { confidence: Some(0.1), ..short }), Verdict::Confirm(Because::Words));
    }

    #[test]
    fn somebody_far_from_the_telephone_does_not_interrupt() {
        let far = Evidence { content: true, words: true, loudness: -44.0, ..speaking() };
        assert_eq!(judge(far), Verdict::Resume(Because::Far));
        assert_eq!(judge(Evidence { confidence: Some(0.9), ..far }), Verdict::Reject(Because::Far));
        let quiet_caller = Evidence { caller: Some(-40.0), ..far };
        assert_eq!(judge(quiet_caller), Verdict::Confirm(Because::Words), "this caller is always quiet");
        let loud_caller = Evidence { caller: Some(-18.0), loudness: -35.0, ..far };
        assert_eq!(judge(loud_caller), Verdict::Resume(Because::Far), "17 dB below this caller");
    }

    #[test]
    fn a_beginning_is_too_short_to_tell_who_speaks() {
        let begun = Evidence { spoken: Duration::from_millis(100), loudness: -50.0, ..Evidence::default() };
        assert_eq!(judge(begun), Verdict::Wait);
    }

    #[test]
    fn long_speech_interrupts_unless_the_recogniser_finds_no_words_in_it() {
        let long = Evidence { spoken: Duration::from_secs(3), ..speaking() };
        assert_eq!(judge(long), Verdict::Confirm(Because::Length), "no word of the recogniser at all");
        assert_eq!(judge(Evidence { wordless: 4, ..long }), Verdict::Wait, "music");
        assert_eq!(judge(Evidence { wordless: 4, words: true, ..long }), Verdict::Confirm(Because::Length));
    }

    #[test]
    fn words_that_may_still_change_interrupt_once_they_go_on_for_longer_than_a_listener_does() {
        let said = Evidence { guess: true, words: true, wordless: 2, ..speaking() };
        assert_eq!(judge(said), Verdict::Wait);
        let longer = Evidence { spoken: Duration::from_millis(1300), ..said };
        assert_eq!(judge(longer), Verdict::Confirm(Because::Length));
    }

    #[test]
    fn silence_without_words_lets_the_bot_go_on() {
        let over = Evidence { silence: Duration::from_secs(1), ..speaking() };
        assert_eq!(judge(over), Verdict::Resume(Because::NoWords));
        let none = Evidence { confidence: Some(0.0), ..speaking() };
        assert_eq!(judge(none), Verdict::Reject(Because::NoWords));
        let listening = Evidence { words: true, confidence: Some(0.9), ..speaking() };
        assert_eq!(judge(listening), Verdict::Reject(Because::Backchannel));
    }
}
