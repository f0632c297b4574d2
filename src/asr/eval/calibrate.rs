//! Fits a [`Calibration`] to what an evaluation wrote down.
//!
//! Logistic regression with a small ridge ([`Logistic::fit`]). The target of an utterance is
//! how much of it can be used: 1 without an error, falling to 0 at 30 % errors; words where nobody spoke are 0.

use super::Outcome;
use super::score::{Confidence, Verdict, verdict};
use crate::asr::confidence::{Calibration, Evidence};
use crate::logistic::{Logistic, Sample};

/// Fewer utterances with words than this are too few to fit.
pub const FEWEST: usize = 50;
/// Parts into which the utterances are divided to judge the fit on what it has not seen.
const FOLDS: usize = 5;
/// Share of right utterances that may be taken for inventions, and the highest confidence at which anything is.
const LOST: f64 = 0.005;
// A caller who is misheard is asked again; one who is not heard at all waits in silence.
const HIGHEST_FLOOR: f64 = 0.0001;
/// Pulls weights toward zero, as if so many more utterances said so.
const RIDGE: f64 = 1.0;
/// Error rate from which on nothing of an utterance can be used.
const USELESS: f64 = 0.3;

/// Why there is no calibration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Not enough to fit.
    #[error("{0} utterances with words are too few to fit; evaluate at least {FEWEST}, better some hundred")]
    TooFew(usize),
    /// Nothing to tell apart.
    #[error(
        "the utterances are all right or all wrong: there is nothing to tell apart; add harder recordings"
    )]
    OneSided,
}

/// A calibration with what it is worth.
#[derive(Clone, Debug)]
pub struct Fit {
    /// The weights.
    pub calibration: Calibration,
    /// Confidence without them.
    pub before: Confidence,
    /// Confidence with them, each utterance judged by weights that were fitted without it.
    pub after: Confidence,
}

/// Fits weights to `outcomes`; `made_by` is kept in them. Utterances in which nothing was heard are not fitted (their
/// confidence is zero), but count in the judgement.
pub fn fit(outcomes: &[Outcome], made_by: String) -> Result<Fit, Error> {
    let samples: Vec<Sample> = outcomes.iter().filter_map(sample).collect();
    if samples.len() < FEWEST {
        return Err(Error::TooFew(samples.len()));
    }
    let sum: f64 = samples.iter().map(|sample| sample.target).sum();
    if sum < 1.0 || sum > samples.len() as f64 - 1.0 {
        return Err(Error::OneSided);
    }
    let folds: Vec<Calibration> = (0..FOLDS)
        .map(|fold| {
            let others =
                samples.iter().enumerate().filter(|(i, _)| i % FOLDS != fold).map(|(_, s)| s.clone());
            regress(&others.collect::<Vec<_>>(), String::new())
        })
        .collect();
    let judged = |confidence: &dyn Fn(usize, &Evidence) -> f32| {
        let mut index = 0;
        let judged = outcomes.iter().filter_map(|outcome| {
            let verdict = verdict(outcome)?;
            let confidence = outcome.evidence.as_ref().map_or(0.0, |evidence| {
                index += 1;
                f64::from(confidence(index - 1, evidence))
            });
            Some((confidence, verdict))
        });
        judged.collect::<Vec<_>>()
    };
    let before = judged(&|_, evidence| evidence.plain());
    let after = judged(&|index, evidence| folds[index % FOLDS].judge(evidence));
    let mut right: Vec<f64> = after.iter().filter(|(_, v)| *v == Verdict::Right).map(|(c, _)| *c).collect();
    right.sort_by(f64::total_cmp);
    let floor =
        right.get((right.len() as f64 * LOST) as usize).map_or(0.0, |c| (c * 0.999).min(HIGHEST_FLOOR));
    let calibration = Calibration { floor: floor as f32, ..regress(&samples, made_by) };
    Ok(Fit { calibration, before: Confidence::judge(&before), after: Confidence::judge(&after) })
}

fn sample(outcome: &Outcome) -> Option<Sample> {
    let evidence = outcome.evidence.as_ref()?;
    let target = if outcome.item.is_none() {
        0.0
    } else {
        let rate = outcome.errors as f64 / outcome.length.max(1) as f64;
        (1.0 - rate / USELESS).max(0.0)
    };
    let features = evidence.features().map(|(_, value)| value).to_vec();
    Some(Sample { features, target, weight: 1.0 })
}

fn regress(samples: &[Sample], made_by: String) -> Calibration {
    let names = Evidence::default().features().map(|(name, _)| name);
    let weights = Logistic::fit(&names, samples, RIDGE);
    Calibration { made_by, utterances: samples.len(), floor: 0.0, weights }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asr::eval::Item;
    use crate::asr::eval::manifest::Language;

    fn outcome(n: u32, right: bool) -> Outcome {
        // Some spread that has nothing to do with right and wrong.
        let wobble = (n * 37 % 11) as f32 / 11.0;
        let margin = if right { 0.9 } else { 0.6 } - 0.25 * wobble;
        Outcome {
            item: Item {
                wav: format!("{n}.wav").into(),
                text: "空调不制冷".into(),
                lang: Language::Zh,
                set: "a".into(),
                condition: "clean".into(),
                voice: "v".into(),
                kind: "hotline".into(),
            },
            heard: if right { "空调不制冷".into() } else { "我要投诉".into() },
            partial: None,
            errors: if right { 0 } else { 5 },
            length: 5,
            confidence: 0.5,
            evidence: Some(Evidence {
                mean_log_prob: -0.3 - wobble,
                lowest_log_prob: -0.5 - wobble,
                margin,
                length: 5,
                rate: 4.0,
                ..Evidence::default()
            }),
            seconds: 1.0,
            partial_ms: None,
            final_ms: 1.0,
        }
    }

    #[test]
    fn what_tells_right_from_wrong_gets_the_weight() {
        let outcomes: Vec<_> = (0..200).map(|n| outcome(n, n % 3 != 0)).collect();
        let fit = fit(&outcomes, "a test".into()).unwrap();
        assert!(fit.before.auc.unwrap() < 0.7, "the plain confidence cannot tell: {:?}", fit.before);
        assert!(fit.after.auc.unwrap() > 0.97, "the fitted one can: {:?}", fit.after);
        let strongest =
            fit.calibration.weights.terms.iter().max_by(|a, b| a.weight.abs().total_cmp(&b.weight.abs()));
        assert_eq!(strongest.map(|term| term.feature.as_str()), Some("margin"), "{:?}", fit.calibration);
        let text = serde_json::to_string(&fit.calibration).unwrap();
        assert_eq!(
            Calibration::parse(&text, "x").unwrap(),
            Some(fit.calibration),
            "what is written can be read"
        );
    }

    #[test]
    fn too_little_to_fit_is_told() {
        let few: Vec<_> = (0..FEWEST as u32 - 1).map(|n| outcome(n, n % 2 == 0)).collect();
        assert_eq!(fit(&few, String::new()).unwrap_err(), Error::TooFew(FEWEST - 1));
        let all_right: Vec<_> = (0..100).map(|n| outcome(n, true)).collect();
        assert_eq!(fit(&all_right, String::new()).unwrap_err(), Error::OneSided);
    }

    #[test]
    fn an_utterance_that_was_not_heard_is_not_fitted_but_counts_as_rejected() {
        let mut outcomes: Vec<_> = (0..100).map(|n| outcome(n, n % 2 == 0)).collect();
        let mut silent = outcome(1000, false);
        silent.heard.clear();
        silent.evidence = None;
        outcomes.extend(vec![silent; 50]);
        let fit = fit(&outcomes, String::new()).unwrap();
        assert_eq!(fit.calibration.utterances, 100);
        assert_eq!(fit.after.badly_wrong, 100);
    }
}
