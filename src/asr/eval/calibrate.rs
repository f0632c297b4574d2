//! Fits a [`Calibration`] to what an evaluation wrote down.
//!
//! Logistic regression with a small ridge, by Newton's method, over the standardised features. The target of an utterance is
//! how much of it can be used: 1 without an error, falling to 0 at 30 % errors; words where nobody spoke are 0.

use super::Outcome;
use super::score::{Confidence, Verdict, verdict};
use crate::asr::confidence::{Calibration, Evidence, Term};

/// Fewer utterances with words than this are too few to fit.
pub const FEWEST: usize = 50;
/// Parts into which the utterances are divided to judge the fit on what it has not seen.
const FOLDS: usize = 5;
/// Share of right utterances that may be taken for inventions, and the highest confidence at which anything is.
const LOST: f64 = 0.005;
const HIGHEST_FLOOR: f64 = 0.1;
/// Pulls weights toward zero, as if so many more utterances said so.
const RIDGE: f64 = 1.0;
const STEPS: usize = 30;
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
    let samples: Vec<Sample> = outcomes.iter().filter_map(Sample::of).collect();
    if samples.len() < FEWEST {
        return Err(Error::TooFew(samples.len()));
    }
    let sum: f64 = samples.iter().map(|sample| sample.target).sum();
    if sum < 1.0 || sum > samples.len() as f64 - 1.0 {
        return Err(Error::OneSided);
    }
    let folds: Vec<Calibration> = (0..FOLDS)
        .map(|fold| {
            let others = samples.iter().enumerate().filter(|(i, _)| i % FOLDS != fold).map(|(_, s)| s);
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
    let calibration =
        Calibration { floor: floor as f32, ..regress(&samples.iter().collect::<Vec<_>>(), made_by) };
    Ok(Fit { calibration, before: Confidence::judge(&before), after: Confidence::judge(&after) })
}

struct Sample {
    features: Vec<Option<f64>>,
    target: f64,
}

impl Sample {
    fn of(outcome: &Outcome) -> Option<Self> {
        let evidence = outcome.evidence.as_ref()?;
        let target = if outcome.item.is_none() {
            0.0
        } else {
            let rate = outcome.errors as f64 / outcome.length.max(1) as f64;
            (1.0 - rate / USELESS).max(0.0)
        };
        let features = evidence.features().iter().map(|(_, value)| value.map(f64::from)).collect();
        Some(Self { features, target })
    }
}

fn regress(samples: &[&Sample], made_by: String) -> Calibration {
    let names = Evidence::default().features().map(|(name, _)| name);
    let scales: Vec<(f64, f64)> = (0..names.len())
        .map(|feature| {
            let values: Vec<f64> = samples.iter().filter_map(|sample| sample.features[feature]).collect();
            let count = values.len().max(1) as f64;
            let mean = values.iter().sum::<f64>() / count;
            let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt();
            // A feature that never changes says nothing, now or later.
            (mean, if deviation > 1e-6 { deviation } else { 1.0 })
        })
        .collect();
    // A one for the bias, then the features by standard deviations; an unknown one is at its mean.
    let rows: Vec<Vec<f64>> = samples
        .iter()
        .map(|sample| {
            let scaled = sample.features.iter().zip(&scales);
            let scaled = scaled.map(|(value, (mean, scale))| value.map_or(0.0, |v| (v - mean) / scale));
            std::iter::once(1.0).chain(scaled).collect()
        })
        .collect();
    let size = names.len() + 1;
    let mut weights = vec![0.0; size];
    for _ in 0..STEPS {
        let mut gradient = vec![0.0; size];
        let mut curvature = vec![vec![0.0; size]; size];
        for (row, sample) in rows.iter().zip(samples) {
            let logit: f64 = row.iter().zip(&weights).map(|(x, w)| x * w).sum();
            let p = 1.0 / (1.0 + (-logit).exp());
            for i in 0..size {
                gradient[i] += (sample.target - p) * row[i];
                for j in 0..size {
                    curvature[i][j] += p * (1.0 - p) * row[i] * row[j];
                }
            }
        }
        for i in 0..size {
            // The bias is free, but for what keeps the equations solvable.
            let ridge = if i == 0 { 1e-6 } else { RIDGE };
            gradient[i] -= ridge * weights[i];
            curvature[i][i] += ridge;
        }
        let step = solve(curvature, gradient);
        let longest = step.iter().fold(0.0_f64, |longest, x| longest.max(x.abs()));
        // Newton's method may leap too far where the curve is flat.
        let shorten = if longest > 2.0 { 2.0 / longest } else { 1.0 };
        for (weight, step) in weights.iter_mut().zip(&step) {
            *weight += step * shorten;
        }
        if longest < 1e-7 {
            break;
        }
    }
    let terms = names.iter().zip(&scales).zip(&weights[1..]).map(|((name, (mean, scale)), weight)| Term {
        feature: (*name).into(),
        mean: *mean as f32,
        scale: *scale as f32,
        weight: *weight as f32,
    });
    Calibration {
        made_by,
        utterances: samples.len(),
        floor: 0.0,
        bias: weights[0] as f32,
        terms: terms.collect(),
    }
}

/// Solves `a · x = b` for a symmetric positive definite `a`, by elimination.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for i in 0..n {
        for j in i + 1..n {
            let factor = a[j][i] / a[i][i];
            let (above, below) = a.split_at_mut(j);
            for (entry, pivot) in below[0][i..].iter_mut().zip(&above[i][i..]) {
                *entry -= factor * pivot;
            }
            b[j] -= factor * b[i];
        }
    }
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|k| a[i][k] * b[k]).sum();
        b[i] = (b[i] - known) / a[i][i];
    }
    b
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
        let strongest = fit.calibration.terms.iter().max_by(|a, b| a.weight.abs().total_cmp(&b.weight.abs()));
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
