//! How upset or distressed a caller is, from the words and from the voice.
//!
//! One probability from log-odds that are set by hand: no recording with labelled moods is at hand that may be used, so each figure
//! says what it is meant to do. Angry words alone are a person at once (the rules see to that, not this score); here the
//! smaller signs add up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::intent::Heard;
use super::light::{impatient, repeated};
use super::tenant::Tenant;
use super::{Act, Ask, Decision, Memory, Thought};
use crate::logistic::probability;

/// A caller's mood.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mood {
    /// How likely it is that the caller is upset or in distress, in 0..=1.
    pub level: f32,
    /// What each sign added to its log-odds, to a hundredth.
    pub logits: BTreeMap<String, f32>,
}

/// Log-odds of a caller who shows nothing: 1 in 20.
const CALM: f32 = -3.0;
/// Angry words: two in three by themselves.
const ANGRY: f32 = 3.7;
/// A complaint: with one more sign the caller counts as tense.
const COMPLAINS: f32 = 1.5;
/// 到底, 怎么又: as a complaint.
const IMPATIENT: f32 = 1.8;
/// 着急, 害怕: not against us, but to be met in the same way.
const DISTRESSED: f32 = 2.4;
/// The same question once more.
const AGAIN: f32 = 1.0;
/// The bot had to ask back.
const ASKED_BACK: f32 = 0.5;
/// For each dB louder than usual from [`LOUDER`] on, up to [`LOUDEST`]: callers raise their voice by 6 to 10 dB when angry.
const LOUD: f32 = 0.3;
const LOUDER: f32 = 3.0;
const LOUDEST: f32 = 11.0;
/// For each tenth faster than usual from [`FASTER`] on, up to half as fast again.
const FAST: f32 = 0.3;
const FASTER: f32 = 1.2;
const FASTEST: f32 = 1.5;
/// A mood does not pass from one turn to the next: for a caller who was wholly upset in the last one.
const STILL: f32 = 1.5;
/// Below this a caller is calm, and nothing is noted.
const NOTED: f32 = 0.15;
/// Share of a turn in the usual pace.
const SHARE: f32 = 0.3;

/// Words of a caller in distress.
const DISTRESS: [&str; 20] = [
    "着急",
    "急死",
    "急用",
    "好急",
    "害怕",
    "吓死",
    "吓坏",
    "好怕",
    "怎么办啊",
    "咋办啊",
    "求求",
    "帮帮我",
    "救救",
    "崩溃",
    "哭",
    "scared",
    "desperate",
    "worried",
    "please help",
    "urgent",
];

impl Mood {
    /// The mood that a turn shows.
    pub fn of(tenant: &Tenant, ask: &Ask) -> Self {
        let text = &ask.transcript.text;
        let heard = Heard::new(text);
        let share = |from: f32, x: f32, to: f32| (x.min(to) - from).max(0.0);
        let louder = ask.voice.louder_db.map_or(0.0, |db| LOUD * share(LOUDER, db, LOUDEST));
        let usual = ask.memory.pace.map(|pace| f32::from(pace) / 10.0).filter(|pace| *pace > 0.0);
        let faster = ask
            .voice
            .syllables_per_second
            .zip(usual)
            .map_or(0.0, |(now, usual)| FAST * 10.0 * share(FASTER, now / usual, FASTEST));
        let yes = |is: bool, logits: f32| if is { logits } else { 0.0 };
        let lower = text.to_lowercase();
        let signs = [
            ("angry words", ANGRY * heard.upset(tenant).unwrap_or(0.0)),
            ("complaint", COMPLAINS * heard.complains(tenant).unwrap_or(0.0)),
            ("impatience", yes(impatient(text), IMPATIENT)),
            ("distress", yes(DISTRESS.iter().any(|word| lower.contains(word)), DISTRESSED)),
            ("said again", yes(repeated(ask), AGAIN)),
            ("asked back", yes(ask.clarified, ASKED_BACK)),
            ("louder", louder),
            ("faster", faster),
            ("before", STILL * f32::from(ask.memory.mood) / 100.0),
        ];
        let logits: BTreeMap<String, f32> = signs
            .into_iter()
            .filter(|(_, logits)| *logits > 0.0)
            .map(|(name, logits)| (name.to_owned(), (logits * 100.0).round() / 100.0))
            .collect();
        Self { level: probability(CALM + logits.values().sum::<f32>()), logits }
    }

    /// True if the caller is to be met with understanding: short answers, a person within reach.
    pub fn is_tense(&self, tenant: &Tenant) -> bool {
        self.level >= tenant.config.mood.tense
    }

    /// True if the caller is for a person, whatever the words are.
    pub fn is_upset(&self, tenant: &Tenant) -> bool {
        self.level >= tenant.config.mood.upset
    }

    /// What the mind keeps of it and of the voice, if that is something else than before.
    fn keep(&self, ask: &Ask, memory: &mut Memory) {
        memory.mood = if self.level < NOTED { 0 } else { (100.0 * self.level).round() as u8 };
        if let Some(pace) = ask.voice.syllables_per_second {
            let known = memory.pace.map_or(pace, |known| f32::from(known) / 10.0);
            memory.pace = Some((10.0 * (known + SHARE * (pace - known))).clamp(0.0, 500.0).round() as u16);
        }
    }

    /// Writes it into `decision`: what it was, and what is kept of it for the next turn.
    fn note(&self, ask: &Ask, decision: &mut Decision) {
        if ask.round == 0 && !matches!(decision.act, Act::Ignore) {
            let mut memory = decision.memory.as_deref().unwrap_or(&ask.memory).clone();
            self.keep(ask, &mut memory);
            if memory != *decision.memory.as_deref().unwrap_or(&ask.memory) {
                decision.memory = Some(Box::new(memory));
            }
        }
        decision.why.mood = (self.level >= NOTED).then(|| self.clone());
    }

    /// `sink` with the mood written into the decision that goes through.
    pub(super) fn noting(
        self,
        ask: Ask,
        mut sink: Box<dyn FnMut(Thought) + Send>,
    ) -> Box<dyn FnMut(Thought) + Send> {
        Box::new(move |thought| match thought {
            Thought::Decided(mut decision) => {
                self.note(&ask, &mut decision);
                sink(Thought::Decided(decision));
            }
            clause @ Thought::Clause(_) => sink(clause),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asr::Transcript;
    use crate::dialogue::Voice;

    fn mood(text: &str, change: impl FnOnce(&mut Ask)) -> (Mood, std::sync::Arc<Tenant>) {
        let tenant = Tenant::load("nev", None).expect("the reference tenant loads");
        let mut ask =
            Ask { transcript: Transcript { text: text.into(), ..Transcript::default() }, ..Ask::default() };
        change(&mut ask);
        (Mood::of(&tenant, &ask), tenant)
    }

    #[test]
    fn a_plain_question_is_calm_and_smaller_signs_add_up() {
        let (calm, tenant) = mood("保养多久一次", |_| {});
        assert!(calm.logits.is_empty() && calm.level < NOTED, "{calm:?}");
        let (worried, _) = mood("怎么办啊我好着急车充不进电", |_| {});
        assert!(!worried.is_tense(&tenant) || !worried.is_upset(&tenant), "{worried:?}");
        let (both, _) = mood("到底怎么办啊我好着急", |_| {});
        assert!(both.is_tense(&tenant) && !both.is_upset(&tenant), "{both:?}");
        let (all, _) = mood("到底怎么办啊我好着急", |ask| {
            ask.voice.louder_db = Some(9.0);
            ask.memory.mood = 60;
        });
        assert!(all.is_upset(&tenant), "{all:?}");
    }

    #[test]
    fn a_raised_and_hurried_voice_counts_against_the_callers_own() {
        let voice = |louder_db, rate| Voice { louder_db, syllables_per_second: rate };
        let level = |voice: Voice, pace| {
            mood("怎么又不行了", |ask| (ask.voice, ask.memory.pace) = (voice, pace)).0.level
        };
        let plain = level(Voice::default(), None);
        assert!((level(voice(Some(2.0), None), None) - plain).abs() < 1e-6, "2 dB are nothing");
        assert!(level(voice(Some(8.0), None), None) > plain + 0.1);
        assert!(
            (level(voice(None, Some(6.0)), None) - plain).abs() < 1e-6,
            "nobody knows the usual pace yet"
        );
        assert!(level(voice(None, Some(6.0)), Some(40)) > plain);
        assert!(
            (level(voice(None, Some(6.0)), Some(58)) - plain).abs() < 1e-6,
            "this caller always talks so"
        );
        let (loud, tenant) = mood("保养多久一次", |ask| ask.voice = voice(Some(30.0), Some(9.0)));
        assert!(!loud.is_upset(&tenant), "a voice alone hands nobody over: {loud:?}");
    }

    #[test]
    fn the_mood_and_the_pace_are_kept_for_the_next_turn() {
        let (upset, _) = mood("到底怎么办啊我好着急", |_| {});
        let ask = Ask { voice: Voice { louder_db: None, syllables_per_second: Some(5.0) }, ..Ask::default() };
        let mut decision = Decision::new(Act::Answer, 0.9, "x");
        upset.note(&ask, &mut decision);
        let memory = decision.memory.expect("something is kept");
        assert!(memory.mood > 40 && memory.pace == Some(50), "{memory:?}");
        assert!(decision.why.mood.is_some());
        let mut calm = Decision::new(Act::Answer, 0.9, "x");
        Mood::default().note(&Ask::default(), &mut calm);
        assert_eq!((calm.memory, calm.why.mood), (None, None), "of a calm caller there is nothing to keep");
    }
}
