//! Logistic regression over named features: the weights as they are stored in a file, their use, and their fitting.
//!
//! Confidence and the end of a turn are judged by such weights: few enough to be read, and each decision can be explained by
//! them.

/// Weights of a regression.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logistic {
    /// Logit where all features are at their means.
    pub bias: f32,
    /// One for each feature.
    pub terms: Vec<Term>,
}

/// The weight of one feature.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// Its name.
    pub feature: String,
    /// Its mean over the samples that were fitted.
    pub mean: f32,
    /// Its standard deviation, above zero.
    pub scale: f32,
    /// Logits for each standard deviation above the mean.
    pub weight: f32,
}

/// One observation.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its features, in the order of their names; [`None`] is unknown and taken to be the mean.
    pub features: Vec<Option<f32>>,
    /// What it came to, in 0..=1.
    pub target: f64,
    /// How much it counts; 1 for an ordinary one.
    pub weight: f64,
}

/// Most steps of Newton's method; it needs about six.
const STEPS: usize = 30;

impl Logistic {
    /// What is wrong with weights that were read from a file, if they are to be used with features of these names.
    pub fn check<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
        let names: Vec<&str> = names.into_iter().collect();
        for name in &names {
            match self.terms.iter().filter(|term| term.feature == *name).count() {
                1 => {}
                0 => return Err(format!("the feature `{name}` is missing")),
                _ => return Err(format!("the feature `{name}` is there twice")),
            }
        }
        for Term { feature, mean, scale, weight } in &self.terms {
            if !names.contains(&feature.as_str()) {
                return Err(format!("this build knows no feature `{feature}`"));
            }
            if !(mean.is_finite() && weight.is_finite() && scale.is_finite() && *scale > 0.0) {
                return Err(format!(
                    "the figures of `{feature}` are no numbers, or its scale is not above 0"
                ));
            }
        }
        if self.bias.is_finite() { Ok(()) } else { Err("the bias is no number".into()) }
    }

    /// Log-odds for these features; an unknown one weighs nothing.
    pub fn logit<'a>(&self, features: impl IntoIterator<Item = (&'a str, Option<f32>)>) -> f32 {
        features.into_iter().fold(self.bias, |sum, (name, value)| {
            sum + value.and_then(|value| Some(self.term(name)?.logits(value))).unwrap_or(0.0)
        })
    }

    /// The term of a feature.
    pub fn term(&self, feature: &str) -> Option<&Term> {
        self.terms.iter().find(|term| term.feature == feature)
    }

    /// Fits weights for features of these names by Newton's method over the standardised features. `ridge` pulls the weights
    /// toward zero, as if so many more samples said so; the bias is free.
    pub fn fit(names: &[&str], samples: &[Sample], ridge: f64) -> Self {
        let scales: Vec<(f64, f64)> = (0..names.len()).map(|feature| spread(samples, feature)).collect();
        // A one for the bias, then the features by standard deviations.
        let rows: Vec<Vec<f64>> = samples
            .iter()
            .map(|sample| {
                let scaled = sample.features.iter().zip(&scales);
                let scaled =
                    scaled.map(|(value, (mean, scale))| value.map_or(0.0, |v| (f64::from(v) - mean) / scale));
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
                    gradient[i] += sample.weight * (sample.target - p) * row[i];
                    for j in 0..size {
                        curvature[i][j] += sample.weight * p * (1.0 - p) * row[i] * row[j];
                    }
                }
            }
            for i in 0..size {
                // The bias is free, but for what keeps the equations solvable.
                let ridge = if i == 0 { 1e-6 } else { ridge };
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
        let terms = names.iter().zip(&scales).zip(&weights[1..]);
        let terms = terms.map(|((name, (mean, scale)), weight)| Term {
            feature: (*name).into(),
            mean: *mean as f32,
            scale: *scale as f32,
            weight: *weight as f32,
        });
        Self { bias: weights[0] as f32, terms: terms.collect() }
    }
}

impl Term {
    /// What `value` adds to the log-odds.
    pub fn logits(&self, value: f32) -> f32 {
        self.weight * (value - self.mean) / self.scale
    }
}

/// Probability of log-odds.
pub fn probability(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// Mean and standard deviation of a feature.
fn spread(samples: &[Sample], feature: usize) -> (f64, f64) {
    let values: Vec<f64> =
        samples.iter().filter_map(|sample| sample.features[feature].map(f64::from)).collect();
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt();
    // A feature that never changes says nothing, now or later.
    (mean, if deviation > 1e-6 { deviation } else { 1.0 })
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

    fn sample(features: [Option<f32>; 2], target: f64) -> Sample {
        Sample { features: features.into(), target, weight: 1.0 }
    }

    #[test]
    fn a_fit_finds_the_feature_that_tells() {
        let samples: Vec<Sample> = (0..200)
            .map(|i| {
                let told = i % 2 == 0;
                let noise = (i * 7919 % 13) as f32;
                let tells = if told { 3.0 } else { 1.0 } + noise / 13.0;
                sample([Some(tells), (i % 5 != 0).then_some(noise)], f64::from(u8::from(told)))
            })
            .collect();
        let fitted = Logistic::fit(&["tells", "noise"], &samples, 1.0);
        let p = |tells| probability(fitted.logit([("tells", Some(tells)), ("noise", None)]));
        assert!(p(3.5) > 0.95 && p(1.0) < 0.05, "{fitted:?}");
        let weight = |name| fitted.term(name).map_or(0.0, |term| term.weight.abs());
        assert!(weight("tells") > 3.0 * weight("noise"), "{fitted:?}");
    }

    #[test]
    fn a_heavier_sample_counts_as_several() {
        let one = |weight| {
            let light = Sample { features: vec![], target: 0.0, weight: 1.0 };
            Logistic::fit(&[], &[Sample { target: 1.0, weight, ..light.clone() }, light], 1.0).bias
        };
        assert!(one(1.0).abs() < 1e-4);
        assert!((probability(one(3.0)) - 0.75).abs() < 1e-4);
    }

    #[test]
    fn weights_that_do_not_fit_the_features_are_told_by_name() {
        let term = |feature: &str, scale| Term { feature: feature.into(), mean: 0.0, scale, weight: 1.0 };
        let check = |terms: Vec<Term>| Logistic { bias: 0.0, terms }.check(["a", "b"]);
        assert_eq!(check(vec![term("a", 1.0), term("b", 1.0)]), Ok(()));
        for (terms, told) in [
            (vec![term("a", 1.0)], "`b` is missing"),
            (vec![term("a", 1.0), term("b", 1.0), term("b", 1.0)], "`b` is there twice"),
            (vec![term("a", 1.0), term("b", 1.0), term("c", 1.0)], "no feature `c`"),
            (vec![term("a", 1.0), term("b", 0.0)], "figures of `b`"),
        ] {
            let error = check(terms).expect_err(told);
            assert!(error.contains(told), "{error}");
        }
        assert!(Logistic { bias: f32::NAN, terms: vec![] }.check([]).is_err());
    }
}
