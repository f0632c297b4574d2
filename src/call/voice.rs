//! What a caller's voice shows beside the words: how loud against the usual, and how fast.

use super::Call;
use crate::asr::Transcript;
use crate::dialogue::Voice;
use crate::dialogue::sound::syllables;

/// Shorter speech than this, in seconds, tells nothing of its pace.
const PACED: f32 = 0.8;

impl Call {
    /// Of the utterance that `transcript` was heard in; nothing if it is over by now.
    pub(super) fn voice(&self, transcript: &Transcript) -> Voice {
        let Some(utterance) = self.listening.utterance() else { return Voice::default() };
        let spoken = utterance.spoken().as_secs_f32();
        let text =
            utterance.transcript.as_ref().map_or(transcript.text.as_str(), |heard| heard.text.as_str());
        Voice {
            louder_db: self.caller_level.map(|usual| utterance.loudness() - usual),
            syllables_per_second: (spoken >= PACED).then(|| spoken_syllables(text) as f32 / spoken),
        }
    }
}

/// A Chinese character has one; of other words each group of vowels counts.
fn spoken_syllables(text: &str) -> usize {
    let vowel = |c: char| matches!(c.to_ascii_lowercase(), 'a' | 'e' | 'i' | 'o' | 'u' | 'y');
    let groups = |word: &str| word.split(|c| !vowel(c)).filter(|group| !group.is_empty()).count();
    syllables(text).len() + text.split(|c: char| !c.is_ascii_alphabetic()).map(groups).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::rig::{Rig, sung};
    use crate::call::{Input, Output};
    use crate::media::FRAME_TIME;

    fn shown(rig: &Rig) -> Voice {
        let asked = rig.outputs.iter().rev().find_map(|output| match output {
            Output::Think { ask, .. } => Some(ask.voice),
            _ => None,
        });
        asked.expect("the mind was asked")
    }

    #[test]
    fn the_mind_is_told_how_a_voice_differs_from_the_callers_own() {
        let mut rig = Rig::new(&[]);
        rig.listen();
        rig.say("我的车续航下降了", 1400);
        rig.listen();
        let usual = shown(&rig);
        assert_eq!(usual.louder_db, None, "nobody knows yet how loud this caller is");
        assert!(usual.syllables_per_second.is_some_and(|pace| (4.5..7.0).contains(&pace)), "{usual:?}");
        rig.said += 1;
        rig.words.insert(rig.said, "怎么又不行了".into());
        for _ in 0..60 {
            rig.now = rig.now + FRAME_TIME;
            rig.input(Input::Tick { caller: sung(2000), seat: None });
        }
        rig.listen();
        let raised = shown(&rig);
        assert!(raised.louder_db.is_some_and(|db| (8.0..16.0).contains(&db)), "12 dB: {raised:?}");
    }

    #[test]
    fn syllables_are_counted_in_both_languages() {
        for (text, count) in [("充电枪拔不出来", 7), ("the battery", 4), ("SOH还能看吗", 5), ("", 0)]
        {
            assert_eq!(spoken_syllables(text), count, "{text}");
        }
    }
}
