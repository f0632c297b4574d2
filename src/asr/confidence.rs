//! How far an utterance can be believed: what the decoder showed of itself, and the weights that turn it into one figure.
//!
//! [`Evidence`] is gathered while decoding. A [`Calibration`] is a logistic regression over it, fitted for one model by
//! `nightline asr calibrate` and kept beside the model file. A model without one gets [`Evidence::plain`].

use std::io;
use std::path::{Path, PathBuf};

use super::Token;

/// Decoding steps with a token below this probability count as doubtful.
const DOUBTFUL: f32 = 0.5;
/// Characters a second of an ordinary Mandarin speaker.
const ORDINARY_RATE: f32 = 4.5;

/// What one decoding showed of how sure it was. All but [`agreement`](Self::agreement) are of one decoding.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Evidence {
    /// Mean natural logarithm of the character probabilities, 0 or less.
    pub mean_log_prob: f32,
    /// The lowest of them.
    pub lowest_log_prob: f32,
    /// Share of characters below a probability of one half, in 0..=1.
    pub low_share: f32,
    /// Probability that there was no speech, in 0..=1.
    pub no_speech: f32,
    /// Mean entropy of the choices of tokens, in nats.
    pub entropy: f32,
    /// Mean difference of the two most probable tokens, in 0..=1.
    pub margin: f32,
    /// The smallest of those differences.
    pub lowest_margin: f32,
    /// Characters (words in a spaced script) a second of voiced audio.
    pub rate: f32,
    /// Characters (words in a spaced script).
    pub length: u32,
    /// Whether a repetition loop was cut.
    pub looped: bool,
    /// How much of the last partial the final repeats, in 0..=1; [`None`] if there was no partial.
    pub agreement: Option<f32>,
}

/// One choice of a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Step {
    /// Nats.
    pub(super) entropy: f32,
    /// Difference of the two highest probabilities.
    pub(super) margin: f32,
}

impl Step {
    /// From a row of logits; [`None`] if none of them is a number.
    pub(super) fn of(logits: &[f32]) -> Option<Self> {
        /// What is this much less likely than the best adds nothing to the figures: e^-14 is below one in a million.
        const NEGLIGIBLE: f32 = 14.0;
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if !highest.is_finite() {
            return None;
        }
        let (mut sum, mut weighted, mut second, mut seen) = (0.0_f32, 0.0_f32, f32::NEG_INFINITY, false);
        for &logit in logits {
            let below = logit - highest;
            if below > -NEGLIGIBLE {
                let weight = below.exp();
                sum += weight;
                weighted += weight * below;
                // The highest itself comes once; its equals are its rivals.
                if below < 0.0 || seen {
                    second = second.max(below);
                }
                seen |= below >= 0.0;
            }
        }
        Some(Self { entropy: sum.ln() - weighted / sum, margin: (1.0 - second.exp()) / sum })
    }
}

impl Evidence {
    pub(super) fn new(
        tokens: &[Token],
        steps: &[Step],
        no_speech: f32,
        voiced_seconds: f32,
        looped: bool,
    ) -> Self {
        let logs = || tokens.iter().map(|token| token.probability.clamp(1e-6, 1.0).ln());
        let count = tokens.len().max(1) as f32;
        let text: String = tokens.iter().map(|token| token.text.as_str()).collect();
        let length = units(&text).len();
        let mean =
            |figure: fn(&Step) -> f32| steps.iter().map(figure).sum::<f32>() / steps.len().max(1) as f32;
        Self {
            mean_log_prob: logs().sum::<f32>() / count,
            lowest_log_prob: logs().fold(0.0, f32::min),
            low_share: tokens.iter().filter(|token| token.probability < DOUBTFUL).count() as f32 / count,
            no_speech,
            entropy: mean(|step| step.entropy),
            margin: mean(|step| step.margin),
            lowest_margin: steps.iter().map(|step| step.margin).fold(1.0, f32::min),
            rate: length as f32 / voiced_seconds.max(0.2),
            length: length as u32,
            looped,
            agreement: None,
        }
    }

    /// The confidence of a model for which nothing was fitted, in 0..=1: the geometric mean of the character probabilities to
    /// the power of 0.6, times the lowest one to the power of 0.4 (one guessed character often is the one that matters),
    /// times the probability that there was speech; half of that after a loop. Zero without words.
    pub fn plain(&self) -> f32 {
        if self.length == 0 {
            return 0.0;
        }
        let words = (0.6 * self.mean_log_prob + 0.4 * self.lowest_log_prob).exp();
        (words * (1.0 - self.no_speech) * if self.looped { 0.5 } else { 1.0 }).clamp(0.0, 1.0)
    }

    /// The features of the regression, by name. [`None`] weighs nothing.
    pub fn features(&self) -> [(&'static str, Option<f32>); 11] {
        [
            ("mean_log_prob", Some(self.mean_log_prob.max(-5.0))),
            ("lowest_log_prob", Some(self.lowest_log_prob.max(-6.0))),
            ("low_share", Some(self.low_share)),
            ("log_no_speech", Some(self.no_speech.max(1e-4).ln())),
            ("entropy", Some(self.entropy)),
            ("margin", Some(self.margin)),
            ("lowest_margin", Some(self.lowest_margin)),
            // Both too fast and too slow are suspicious.
            ("odd_rate", Some((self.rate.max(0.1) / ORDINARY_RATE).ln().abs().min(3.0))),
            ("log_length", Some((self.length.max(1) as f32).ln())),
            ("looped", Some(f32::from(self.looped))),
            ("agreement", self.agreement),
        ]
    }
}

/// How much of `partial` the words of `whole` repeat, in 0..=1: one minus the edits that turn the partial into the best
/// fitting beginning of the whole, over its length. One without a partial to contradict.
pub fn agreement(partial: &str, whole: &str) -> f32 {
    let (partial, whole) = (units(partial), units(whole));
    if partial.is_empty() {
        return 1.0;
    }
    // Edit distance of the partial to every beginning of the whole: the last row of the table.
    let mut row: Vec<usize> = (0..=whole.len()).collect();
    for (i, said) in partial.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, heard) in whole.iter().enumerate() {
            let substitute = diagonal + usize::from(said != heard);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    let edits = row.into_iter().min().unwrap_or(0);
    1.0 - (edits as f32 / partial.len() as f32).min(1.0)
}

/// `text` in the units in which it is said and judged: a Chinese character each, a word or number of another script each.
/// Lower case, without punctuation.
pub fn units(text: &str) -> Vec<String> {
    let mut units: Vec<String> = Vec::new();
    let mut word = false;
    for c in crate::dialogue::text::normalize(text).chars() {
        let alone = crate::dialogue::text::is_han(c);
        match units.last_mut() {
            Some(last) if word && !alone && c != ' ' => last.push(c),
            _ if c != ' ' => units.push(c.into()),
            _ => {}
        }
        word = !alone && c != ' ';
    }
    units
}

/// A logistic regression over [`Evidence::features`], fitted for one model.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// The command that made it.
    pub made_by: String,
    /// Utterances that it was fitted on.
    pub utterances: usize,
    /// Below this confidence words are taken for the decoder's invention, and dropped.
    pub floor: f32,
    /// Logit of an utterance whose features are all at their means.
    pub bias: f32,
    /// One for each feature.
    pub terms: Vec<Term>,
}

/// The weight of one feature.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// Its name in [`Evidence::features`].
    pub feature: String,
    /// Its mean over the utterances that were fitted.
    pub mean: f32,
    /// Its standard deviation, above zero.
    pub scale: f32,
    /// Logits for each standard deviation above the mean.
    pub weight: f32,
}

/// Why a calibration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is there but cannot be read.
    #[error("cannot read the calibration {}: {source}; remove it or make it anew with `nightline asr calibrate`", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not one.
    #[error("{place} is not a calibration: {reason}; make it anew with `nightline asr calibrate`")]
    Format {
        /// Which.
        place: String,
        /// What is wrong.
        reason: String,
    },
}

impl Calibration {
    /// Reads `text`; `place` names it in errors. [`None`] for `null`: nothing was fitted yet.
    pub fn parse(text: &str, place: &str) -> Result<Option<Self>, Error> {
        let wrong = |reason: String| Error::Format { place: place.into(), reason };
        let calibration: Option<Self> = serde_json::from_str(text).map_err(|e| wrong(e.to_string()))?;
        let Some(calibration) = calibration else { return Ok(None) };
        let known = Evidence::default().features();
        for (name, _) in known {
            match calibration.terms.iter().filter(|term| term.feature == name).count() {
                1 => {}
                0 => return Err(wrong(format!("the feature `{name}` is missing"))),
                _ => return Err(wrong(format!("the feature `{name}` is there twice"))),
            }
        }
        for Term { feature, mean, scale, weight } in &calibration.terms {
            if !known.iter().any(|(name, _)| name == feature) {
                return Err(wrong(format!("this build knows no feature `{feature}`")));
            }
            if !(mean.is_finite() && weight.is_finite() && scale.is_finite() && *scale > 0.0) {
                return Err(wrong(format!(
                    "the figures of `{feature}` are no numbers, or its scale is not above 0"
                )));
            }
        }
        if !calibration.bias.is_finite() || !(0.0..1.0).contains(&calibration.floor) {
            return Err(wrong("the bias is no number, or the floor is not in 0 to 1".into()));
        }
        Ok(Some(calibration))
    }

    /// The one beside the model file `model`, if there is one: `NAME.confidence.json` beside `NAME.bin`.
    pub fn beside(model: &Path) -> Result<Option<Self>, Error> {
        let path = model.with_extension("confidence.json");
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text, &path.display().to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::File { path, source }),
        }
    }

    /// Probability in 0..=1 that the words can be used. Zero without words.
    pub fn judge(&self, evidence: &Evidence) -> f32 {
        if evidence.length == 0 {
            return 0.0;
        }
        let logit = evidence.features().iter().fold(self.bias, |sum, (name, value)| {
            let term = self.terms.iter().find(|term| term.feature == *name);
            match (term, value) {
                (Some(term), Some(value)) => sum + term.weight * (value - term.mean) / term.scale,
                _ => sum,
            }
        });
        1.0 / (1.0 + (-logit).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(probabilities: &[f32]) -> Vec<Token> {
        probabilities
            .iter()
            .map(|&probability| Token { text: "字".into(), probability, ..Token::default() })
            .collect()
    }

    fn plain(probabilities: &[f32], no_speech: f32) -> f32 {
        Evidence::new(&tokens(probabilities), &[], no_speech, 1.0, false).plain()
    }

    #[test]
    fn plain_confidence_falls_with_one_bad_character_and_with_doubt_about_speech() {
        let sure = plain(&[0.95; 6], 0.0);
        let one_bad = plain(&[0.95, 0.95, 0.1, 0.95, 0.95, 0.95], 0.0);
        assert!(sure > 0.94 && one_bad < 0.4, "{sure} and {one_bad}");
        assert!(plain(&[0.95; 6], 0.9) < 0.1);
        assert!(plain(&[], 0.0).abs() < f32::EPSILON);
    }

    #[test]
    fn a_step_tells_a_clear_choice_from_a_toss_up() {
        let clear = Step::of(&[9.0, 0.0, 0.0, f32::NEG_INFINITY]).unwrap();
        assert!(clear.margin > 0.99 && clear.entropy < 0.01, "{clear:?}");
        let toss = Step::of(&[3.0, 3.0, -60.0, -60.0]).unwrap();
        assert!(toss.margin.abs() < 1e-6 && (toss.entropy - 2.0_f32.ln()).abs() < 1e-5, "{toss:?}");
        assert_eq!(Step::of(&[f32::NEG_INFINITY; 3]), None);
        assert_eq!(Step::of(&[]), None);
    }

    #[test]
    fn a_final_that_goes_on_from_its_partial_agrees_with_it() {
        let near = |a: f32, b: f32| (a - b).abs() < 1e-6;
        assert!(near(agreement("续航掉得", "续航掉得很厉害"), 1.0));
        assert!(near(agreement("续行掉得", "续航掉得很厉害"), 0.75));
        assert!(near(agreement("充电桩在哪", "我要投诉"), 0.0));
        assert!(near(agreement("", "我要投诉"), 1.0));
        assert!(near(agreement("我要投诉", ""), 0.0));
        assert!(near(agreement("my car won't", "My car won't start."), 1.0));
    }

    #[test]
    fn units_are_characters_or_words() {
        assert_eq!(units("打开APP, OTA 2.0"), ["打", "开", "app", "ota", "2", "0"]);
        assert_eq!(units("I can't  go"), ["i", "cant", "go"]);
        assert_eq!(units("，。 "), [""; 0]);
    }

    fn calibration() -> Calibration {
        let terms = Evidence::default().features().map(|(feature, _)| Term {
            feature: feature.into(),
            mean: 0.0,
            scale: 1.0,
            weight: 0.0,
        });
        Calibration { made_by: "a test".into(), utterances: 1, floor: 0.0, bias: 0.0, terms: terms.into() }
    }

    #[test]
    fn a_calibration_weighs_what_is_known_and_passes_over_what_is_not() {
        let mut calibration = calibration();
        let agreement = calibration.terms.iter_mut().find(|t| t.feature == "agreement").unwrap();
        (agreement.mean, agreement.scale, agreement.weight) = (0.8, 0.1, 2.0);
        let evidence = |agreement| Evidence { length: 4, agreement, ..Evidence::default() };
        let judge = |agreement| calibration.judge(&evidence(agreement));
        assert!((judge(None) - 0.5).abs() < 1e-6);
        assert!((judge(Some(0.8)) - 0.5).abs() < 1e-6);
        assert!(judge(Some(1.0)) > 0.95 && judge(Some(0.5)) < 0.05);
        assert!(calibration.judge(&Evidence::default()).abs() < f32::EPSILON, "no words, no confidence");
    }

    #[test]
    fn a_calibration_of_another_build_is_refused_by_name() {
        let text = |c: &Calibration| serde_json::to_string(c).unwrap();
        assert_eq!(Calibration::parse(&text(&calibration()), "x").unwrap(), Some(calibration()));
        assert_eq!(Calibration::parse("null", "x").unwrap(), None, "nothing was fitted yet");
        let mut other = calibration();
        other.terms[0].feature = "moon_phase".into();
        let error = Calibration::parse(&text(&other), "nano.confidence.json").unwrap_err().to_string();
        assert!(error.contains("nano.confidence.json") && error.contains("mean_log_prob"), "{error}");
        let mut other = calibration();
        other.terms[2].scale = 0.0;
        let error = Calibration::parse(&text(&other), "x").unwrap_err().to_string();
        assert!(error.contains("low_share"), "{error}");
        assert!(Calibration::parse("{", "x").unwrap_err().to_string().contains("asr calibrate"));
    }

    #[test]
    fn a_model_without_a_calibration_has_none_and_a_broken_one_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("nano-q5_1.bin");
        assert!(Calibration::beside(&model).unwrap().is_none());
        let path = dir.path().join("nano-q5_1.confidence.json");
        std::fs::write(&path, serde_json::to_string(&calibration()).unwrap()).unwrap();
        assert_eq!(Calibration::beside(&model).unwrap(), Some(calibration()));
        std::fs::write(&path, "no").unwrap();
        assert!(Calibration::beside(&model).is_err());
    }
}
