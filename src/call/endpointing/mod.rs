//! When is the caller's turn over?
//!
//! During a silence after words, each frame is judged: from how long the silence is, what the words ask for (a final particle,
//! an open 然后, half a number; and how often callers' sentences end after such words), what the bot's last question expects, how the voice ended (its level falls at the end of a
//! sentence, the last syllable is drawn out before a thought), and how long this caller pauses otherwise. A hundred small
//! trees make them one probability; they are in `weights.json`, fitted to labelled turns (`nightline turns moments`, then
//! `models/nano/make endpointing`). Every decision tells what each sign added to it.
//!
//! A likely end is speculated on much earlier: see [`Endpointing::speculate`].

mod endings;
mod trees;
mod voice;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::trees::{Model, Node, Split};
pub use self::voice::{Contour, Follower};
pub use self::words::{Because, WordSigns, read};
use crate::logistic::probability;

/// How the ends of turns are found.
#[derive(Clone, Debug)]
pub struct Endpointing {
    /// Silence after which recognition, retrieval and synthesis are speculated.
    pub speculate: Duration,
    /// No turn ends after less silence than this.
    pub least: Duration,
    /// Every turn ends after this much.
    pub most: Duration,
    /// The weights.
    pub model: Arc<Model>,
    /// Is shown every moment that is judged, if there is one: for fitting.
    pub watcher: Option<Watcher>,
}

/// Sees the moments that are judged.
#[derive(Clone)]
pub struct Watcher(pub Arc<dyn Fn(&Signs) + Send + Sync>);

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}

/// Least silence after a connective or a filler: nobody ends with one.
const OPEN: Duration = Duration::from_millis(1200);
/// Most silence after complete words.
const COMPLETE: Duration = Duration::from_secs(1);
/// Most silence after a whole reply (是的): some go on to explain it.
const REPLY: Duration = Duration::from_millis(560);
/// Most silence after a whole request (转人工, 等一下): that is all that is wanted.
const REQUEST: Duration = Duration::from_millis(420);
/// Most silence after thanks or a farewell, after which nothing comes: so long it may take to be heard whole.
const FAREWELL: Duration = Duration::from_millis(260);
/// Shorter silences of a likely end are not even speculated on.
const SPECULATE: Duration = Duration::from_millis(80);

impl Endpointing {
    /// Turns end after a silence from `least` to `most`, judged by the weights that are built in.
    pub fn new(least: Duration, most: Duration) -> Self {
        Self { speculate: SPECULATE.min(least), least, most, model: Model::built_in(), watcher: None }
    }

    /// Judges the moment.
    pub fn judge(&self, signs: &Signs) -> Judgement {
        if let Some(Watcher(watch)) = &self.watcher {
            watch(signs);
        }
        let sure = probability(self.model.logit(signs));
        let [least, most] = self.bounds(&signs.words);
        let over = signs.silence >= most || signs.silence >= least && sure >= self.model.threshold;
        Judgement { over, probability: sure, because: signs.words.because() }
    }

    /// The least and the most silence after such words; between the two the weights decide.
    fn bounds(&self, words: &WordSigns) -> [Duration; 2] {
        let (least, most) = match words.because() {
            _ if words.farewell => (self.least, FAREWELL),
            _ if words.request => (self.least, REQUEST),
            _ if words.reply => (self.least, REPLY),
            Because::Complete => (self.least, COMPLETE),
            Because::Open => (OPEN, self.most),
            Because::Neutral | Because::HalfNumber => (self.least, self.most),
        };
        [least, most].map(|bound| bound.clamp(self.least, self.most))
    }

    /// Explains the judgement of a moment.
    pub fn explain(&self, signs: &Signs) -> EndOfTurn {
        let hundredths = |x: f32| (x * 100.0).round() / 100.0;
        let Judgement { probability, because, .. } = self.judge(signs);
        let logits = self.model.contributions(signs).into_iter().map(|(name, x)| (name, hundredths(x)));
        let logits = logits.filter(|(_, x)| x.abs() > 0.0);
        EndOfTurn {
            silence_ms: signs.silence.as_millis() as u64,
            probability: hundredths(probability),
            because,
            logits: logits.collect(),
        }
    }
}

impl Default for Endpointing {
    fn default() -> Self {
        Self::new(Duration::from_millis(200), Duration::from_millis(1800))
    }
}

/// What is known at one moment of a silence.
#[derive(Clone, Debug, PartialEq)]
pub struct Signs {
    /// Since the last frame of speech.
    pub silence: Duration,
    /// Mean probability of speech in the last 100 ms, in 0..=1.
    pub voice: f32,
    /// What the words so far ask for.
    pub words: WordSigns,
    /// Recogniser's confidence in them, in 0..=1.
    pub confidence: f32,
    /// How the voice ended.
    pub contour: Contour,
    /// This caller's usual pause within a turn, once some were heard in this call.
    pub usual_pause: Option<Duration>,
}

/// Why the caller's turn was taken for over, as the record keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndOfTurn {
    /// Silence after the last speech, milliseconds.
    pub silence_ms: u64,
    /// Probability that it was over, in 0..=1.
    pub probability: f32,
    /// The reason in the words.
    pub because: Because,
    /// What each feature added to the log-odds, but for those that added nothing.
    #[serde(default)]
    pub logits: BTreeMap<String, f32>,
}

/// What became of a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// Whether the turn is over.
    pub over: bool,
    /// Probability of that, in 0..=1.
    pub probability: f32,
    /// The reason in the words.
    pub because: Because,
}

/// How many features there are.
pub const FEATURES: usize = 16;

/// The pause within a turn of a caller who speaks neither slowly nor fast, in seconds.
const ORDINARY_PAUSE: f32 = 0.6;

impl Signs {
    /// How slowly this caller speaks, by its pauses: a silence counts for so much less.
    fn pace(&self) -> f32 {
        self.usual_pause.map_or(1.0, |usual| (usual.as_secs_f32() / ORDINARY_PAUSE).clamp(0.8, 1.5))
    }

    /// The features, by name.
    pub fn features(&self) -> [(&'static str, f32); FEATURES] {
        let truth = |so: bool| f32::from(so);
        let log = |time: Duration| (time.as_secs_f32().max(0.02) / 0.2).ln();
        let Contour { drop_db, slope_db, last_run, spoken } = self.contour;
        [
            ("log_silence", log(self.silence.div_f32(self.pace()))),
            ("voice", self.voice),
            ("ending_odds", self.words.ending_odds),
            ("closed", truth(self.words.because() == Because::Complete)),
            ("open", truth(self.words.open)),
            ("filler", truth(self.words.filler)),
            ("half_number", truth(self.words.because() == Because::HalfNumber)),
            ("digits_missing", f32::from(self.words.missing)),
            ("short_reply", truth(self.words.short_reply)),
            ("expects_number", truth(self.words.expects_number)),
            ("log_words", (1.0 + self.words.count as f32).ln()),
            ("confidence", self.confidence),
            ("drop_db", drop_db),
            ("slope_db", slope_db),
            ("log_last_run", log(last_run)),
            ("log_spoken", log(spoken)),
        ]
    }
}

/// The names of the features, in their order.
pub fn names() -> [&'static str; FEATURES] {
    let none = Signs {
        silence: Duration::ZERO,
        voice: 0.0,
        words: WordSigns::default(),
        confidence: 0.0,
        contour: Contour::default(),
        usual_pause: None,
    };
    none.features().map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::Expect;

    /// The silence after which a turn with these words ends, all else being ordinary.
    fn silence_after(words: &str, expect: Expect) -> Duration {
        let endpointing = Endpointing::default();
        let frames = 1..=200_u32;
        let over = |silence: &Duration| {
            let signs = Signs {
                silence: *silence,
                voice: 0.02,
                words: read(words, expect),
                confidence: 0.8,
                contour: Contour {
                    drop_db: -6.0,
                    slope_db: -2.0,
                    last_run: Duration::from_millis(600),
                    spoken: Duration::from_millis(1200),
                },
                usual_pause: None,
            };
            endpointing.judge(&signs).over
        };
        frames.map(|n| n * Duration::from_millis(20)).find(over).expect("every turn ends")
    }

    #[test]
    fn the_more_the_words_ask_to_be_continued_the_longer_is_waited() {
        let complete = silence_after("空调不制冷怎么办", Expect::Open);
        let open = silence_after("我的车昨天充电的时候然后", Expect::Open);
        let half = silence_after("我的手机号是一三八", Expect::Phone);
        assert!(complete <= Duration::from_millis(600), "{complete:?}");
        assert!(open >= complete + Duration::from_millis(200), "{open:?} after {complete:?}");
        assert!(half >= Duration::from_secs(1), "{half:?}");
    }

    #[test]
    fn no_turn_ends_before_the_least_silence_or_goes_on_after_the_most() {
        let endpointing = Endpointing::default();
        for words in ["好的", "我的手机号是", "然后"] {
            let silence = silence_after(words, Expect::Open);
            assert!(
                (endpointing.least..=endpointing.most).contains(&silence),
                "{words}: {silence:?} is outside the limits"
            );
        }
    }
}
