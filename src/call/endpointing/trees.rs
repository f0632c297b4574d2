//! Boosted trees over the signs of a moment: how they are stored, read and explained.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use super::{FEATURES, Signs, names};

/// Trees and the probability from which a turn is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The command that made it.
    pub made_by: String,
    /// Turns that it was fitted on.
    pub turns: usize,
    /// A turn is over from this probability on, in 0..1.
    pub threshold: f32,
    /// Log-odds before any tree has spoken.
    pub bias: f32,
    /// Names of [`Signs::features`], as the trees number them.
    pub features: Vec<String>,
    /// The trees: their log-odds add up.
    pub trees: Vec<Vec<Node>>,
}

/// One node of a tree; the first is the root.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Mean log-odds of what comes through here; of a leaf, what it says.
    #[serde(rename = "v")]
    pub value: f32,
    /// Where it goes on; [`None`] at a leaf.
    #[serde(flatten)]
    pub split: Option<Split>,
}

/// A question about one feature.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// Number of the feature.
    #[serde(rename = "f")]
    pub feature: usize,
    /// At most this goes left.
    #[serde(rename = "t")]
    pub threshold: f32,
    /// Number of the node on the left.
    #[serde(rename = "l")]
    pub left: usize,
    /// Number of the node on the right.
    #[serde(rename = "r")]
    pub right: usize,
}

/// The trees that are built in.
const WEIGHTS: &str = include_str!("weights.json");

impl Model {
    /// Reads `text`; tells what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let model: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        if let Some(name) = names().iter().find(|name| !model.features.iter().any(|f| f == *name)) {
            return Err(format!("the feature `{name}` is missing"));
        }
        if model.features.len() != FEATURES {
            return Err(format!("there are {} features, this build knows {FEATURES}", model.features.len()));
        }
        for (number, tree) in model.trees.iter().enumerate() {
            let sound = |(at, node): (usize, &Node)| {
                node.value.is_finite()
                    && node.split.is_none_or(|split| {
                        // Children come after their parent, so that every path ends.
                        let child = |to: usize| to > at && to < tree.len();
                        split.feature < FEATURES
                            && split.threshold.is_finite()
                            && child(split.left)
                            && child(split.right)
                    })
            };
            if tree.is_empty() || !tree.iter().enumerate().all(sound) {
                return Err(format!("tree {number} is broken"));
            }
        }
        if model.bias.is_finite() && model.threshold > 0.0 && model.threshold < 1.0 {
            Ok(model)
        } else {
            Err("the bias is no number, or the threshold is not between 0 and 1".into())
        }
    }

    /// The trees that are built in.
    ///
    /// # Panics
    /// Never: a test reads the same file.
    #[expect(clippy::expect_used, reason = "the file is part of the program and read by a test")]
    pub fn built_in() -> Arc<Self> {
        static MODEL: LazyLock<Arc<Model>> =
            LazyLock::new(|| Arc::new(Model::parse(WEIGHTS).expect("weights.json is sound")));
        MODEL.clone()
    }

    /// For tests of what follows from a decision: a turn is over after 240 ms of silence if its words are complete, after 340
    /// if nothing speaks against it, else only at the limit.
    #[cfg(test)]
    pub(crate) fn plain() -> Arc<Self> {
        let leaf = |value| Node { value, split: None };
        let ask = |feature, threshold, left, right| Node {
            value: 0.0,
            split: Some(Split { feature, threshold, left, right }),
        };
        let names = names();
        let of = |name: &str| names.iter().position(|n| *n == name).expect("it is a feature");
        let log = |ms: f32| (ms / 200.0).ln();
        let tree = vec![
            ask(of("open"), 0.5, 1, 6),
            ask(of("half_number"), 0.5, 2, 6),
            ask(of("closed"), 0.5, 3, 4),
            ask(of("log_silence"), log(330.0), 6, 5),
            ask(of("log_silence"), log(230.0), 6, 5),
            leaf(4.0),
            leaf(-4.0),
        ];
        let features = names.iter().map(|&name| name.to_owned()).collect();
        let made_by = "a test".into();
        Arc::new(Self { made_by, turns: 0, threshold: 0.5, bias: 0.0, features, trees: vec![tree] })
    }

    /// Log-odds that the turn is over.
    pub fn logit(&self, signs: &Signs) -> f32 {
        self.walk(signs, |_, _| {})
    }

    /// What each feature adds to the log-odds: how the mean changes at each question about it.
    pub fn contributions(&self, signs: &Signs) -> BTreeMap<String, f32> {
        let mut sums = BTreeMap::new();
        self.walk(signs, |feature, change| {
            *sums.entry(self.features[feature].clone()).or_insert(0.0) += change;
        });
        sums
    }

    fn walk(&self, signs: &Signs, mut step: impl FnMut(usize, f32)) -> f32 {
        let known = signs.features();
        let mut values = [0.0; FEATURES];
        for (value, name) in values.iter_mut().zip(&self.features) {
            *value = known.iter().find(|(known, _)| known == name).map_or(0.0, |(_, value)| *value);
        }
        self.trees.iter().fold(self.bias, |sum, tree| {
            let mut node = &tree[0];
            while let Some(split) = node.split {
                let left = values[split.feature] <= split.threshold;
                let next = &tree[if left { split.left } else { split.right }];
                step(split.feature, next.value - node.value);
                node = next;
            }
            sum + node.value
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trees_that_are_built_in_can_be_read() {
        assert_eq!(Model::parse(WEIGHTS).map(Arc::new), Ok(Model::built_in()));
    }

    #[test]
    fn trees_that_cannot_be_used_are_refused_with_the_reason() {
        let refused = |change: fn(&mut Model)| {
            let mut model = Model::clone(&Model::built_in());
            change(&mut model);
            let text = serde_json::to_string(&model).expect("it can be written");
            Model::parse(&text).expect_err("it is refused")
        };
        let error = refused(|m| m.features.retain(|name| name != "log_silence"));
        assert!(error.contains("log_silence"), "{error}");
        let error = refused(|m| m.features.push("moon_phase".into()));
        assert!(error.contains("features"), "{error}");
        let error = refused(|m| {
            m.trees[1][0].split = Some(Split { feature: 0, threshold: 0.0, left: 0, right: 1 });
        });
        assert!(error.contains("tree 1"), "a path that never ends: {error}");
        let error = refused(|m| m.threshold = 1.0);
        assert!(error.contains("threshold"), "{error}");
    }
}
