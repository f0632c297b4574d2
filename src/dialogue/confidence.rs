//! How sure a turn is: the signs of a turn, and the small model that fuses them into one probability.
//!
//! A logistic regression over the signs, fitted to labelled turns by `nightline confidence fit` and embedded. What no labelled
//! turn shows yet, because it needs a large model or tools, moves the log-odds by figures set by hand, named below.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::retrieval::Lead;
use crate::logistic::{Logistic, probability};
use crate::tools::{Outcome, Used};

/// All that is known of how sure a turn is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signs {
    /// The recogniser's confidence in 0..=1, less what spelling had to mend.
    pub heard: f32,
    /// What retrieval showed.
    pub lead: Lead,
    /// Letters, characters and digits of the turn.
    pub characters: usize,
    /// Whether the caller says again what was answered before: the answer did not help.
    pub repeated: bool,
    /// Whether the bot has just asked the caller to say it in other words.
    pub clarified: bool,
    /// Whether the words show anger or impatience.
    pub upset: bool,
    /// Of an answer that a large model wrote.
    pub written: Option<Written>,
    /// The worst that came of the tools that were used for this turn; [`None`] if none was.
    pub tools: Option<Worst>,
}

/// What an answer of a large model shows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Written {
    /// Greatest share of an approved entry's words that it holds, in 0..=1; 0 if it rests on none.
    pub overlap: f32,
    /// Clauses that were not spoken.
    pub withheld: usize,
    /// Mean natural logarithm of the probability of its tokens, 0 or less, if the server tells.
    pub logprob: Option<f32>,
}

/// The worst outcome of several tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Worst {
    /// All did what they were asked for.
    Done,
    /// One said no.
    Refused,
    /// One could not be used.
    Failed,
}

/// Log-odds for an answer that holds all of an entry; a smaller share counts by as much less. Set by hand.
const GROUNDED: f32 = 2.5;
/// Log-odds for an answer that rests on no entry and no tool. Set by hand.
const UNGROUNDED: f32 = -2.5;
/// Log-odds for an answer that rests on what a tool gave; what retrieval shows is of no matter then. Set by hand.
const TOOLED: f32 = 1.5;
/// Log-odds for each nat of the mean token log-probability above or below that of a model which writes what it knows, within
/// bounds. Set by hand.
const SURE_OF_WORDS: f32 = 1.5;
const USUAL_LOGPROB: f32 = -0.35;
const LOGPROB_BOUNDS: (f32, f32) = (-2.0, 0.5);
/// Log-odds for each withheld clause, of two: it says something about those that were not withheld. Set by hand.
const WITHHELD: f32 = -1.0;
/// Log-odds for tools of which one said no, and of which one could not be used. Set by hand.
const TOOLS: [(Worst, f32); 3] = [(Worst::Done, 0.0), (Worst::Refused, -0.5), (Worst::Failed, -2.0)];
/// Most log-odds of a question that is asked again after it was answered, 0.57: the answer did not help, however well it matches.
/// Set by hand, as what callers do after an answer is in no recording.
const AGAIN: f32 = 0.3;
/// Most log-odds of a turn in which clauses had to be withheld: what was said comes from where they came from. Set by hand.
const INVENTED: f32 = 0.2;
/// Most log-odds of a single word: it names a topic and asks nothing yet. Set by hand.
const BRIEF: f32 = 0.0;
/// Below this margin over the level a lead is a draw.
const LEVEL_FLOOR: f32 = 0.05;

/// A feature of [`Signs`] and how it must bear on the confidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bearing {
    /// More never lowers it.
    Raises,
    /// More never raises it.
    Lowers,
    /// Either way.
    Free,
}

/// Names of the features and how they must bear.
pub const FEATURES: [(&str, Bearing); 13] = [
    ("heard", Bearing::Raises),
    ("level", Bearing::Raises),
    ("margin", Bearing::Raises),
    ("share", Bearing::Raises),
    ("keyed", Bearing::Raises),
    ("words", Bearing::Free),
    ("characters", Bearing::Free),
    ("brief", Bearing::Lowers),
    ("leans", Bearing::Free),
    ("repeated", Bearing::Lowers),
    ("clarified", Bearing::Lowers),
    ("upset", Bearing::Free),
    ("heard_level", Bearing::Raises),
];

/// The features that retrieval shows.
const OF_RETRIEVAL: [&str; 8] =
    ["level", "margin", "share", "keyed", "words", "brief", "leans", "heard_level"];

impl Signs {
    /// The features of the regression, in the order of [`FEATURES`].
    pub fn features(&self) -> [f32; FEATURES.len()] {
        let yes = |yes: bool| f32::from(u8::from(yes));
        let Lead { level, margin, keyed, words, brief, leans } = self.lead;
        [
            self.heard,
            level,
            // What a lead is worth grows more slowly than the lead.
            margin.max(0.0).sqrt(),
            margin / level.max(LEVEL_FLOOR),
            keyed,
            words,
            (self.characters as f32 + 1.0).ln(),
            yes(brief),
            yes(leans),
            yes(self.repeated),
            yes(self.clarified),
            yes(self.upset),
            self.heard * level,
        ]
    }

    /// The worst that came of `used`.
    pub fn worst(used: &[Used]) -> Option<Worst> {
        used.iter()
            .map(|used| match used.outcome {
                Outcome::Done(_) => Worst::Done,
                Outcome::Refused { .. } => Worst::Refused,
                Outcome::Failed(_) | Outcome::Invalid(_) => Worst::Failed,
            })
            .max()
    }

    /// What the signs that no labelled turn has add to the log-odds.
    fn beyond(&self) -> [(&'static str, f32); 4] {
        let grounded = match self.written {
            None => 0.0,
            Some(written) if written.overlap > 0.0 => GROUNDED * written.overlap.min(1.0),
            // A tool's answer is a source too.
            Some(_) if self.rests_on_tools() => TOOLED,
            Some(_) => UNGROUNDED,
        };
        let logprob = self.written.and_then(|written| written.logprob).map_or(0.0, |logprob| {
            (SURE_OF_WORDS * (logprob - USUAL_LOGPROB)).clamp(LOGPROB_BOUNDS.0, LOGPROB_BOUNDS.1)
        });
        let withheld = self.written.map_or(0.0, |written| WITHHELD * written.withheld.min(2) as f32);
        let tools =
            TOOLS.iter().find(|(worst, _)| self.tools == Some(*worst)).map_or(0.0, |(_, logits)| *logits);
        [("grounded", grounded), ("withheld", withheld), ("tools", tools), ("logprob", logprob)]
    }

    /// True for an answer that was written from what tools gave and from no entry.
    fn rests_on_tools(&self) -> bool {
        self.written.is_some_and(|written| written.overlap <= 0.0)
            && matches!(self.tools, Some(Worst::Done | Worst::Refused))
    }

    /// Most log-odds that it may have, whatever else speaks for it.
    fn most(&self) -> f32 {
        let caps = [
            (self.repeated, AGAIN),
            (self.lead.brief && !self.rests_on_tools(), BRIEF),
            (self.written.is_some_and(|written| written.withheld > 0), INVENTED),
        ];
        caps.into_iter().filter(|(holds, _)| *holds).map(|(_, most)| most).fold(f32::INFINITY, f32::min)
    }
}

/// The fitted weights.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The command that made it.
    pub made_by: String,
    /// Turns that it was fitted to.
    pub turns: usize,
    /// The weights of [`FEATURES`].
    pub weights: Logistic,
}

/// Weights that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "{place} holds no weights of the confidence: {reason}; make them anew with `nightline confidence fit`"
)]
pub struct Error {
    place: String,
    reason: String,
}

static EMBEDDED: LazyLock<Model> = LazyLock::new(|| {
    // A test reads the file, which is part of the build; without it nothing would be answered.
    Model::parse(include_str!("confidence/weights.json"), "weights.json").unwrap_or_else(|_| Model {
        made_by: String::new(),
        turns: 0,
        weights: Logistic { bias: -10.0, terms: Vec::new() },
    })
});

impl Model {
    /// The weights of this build.
    pub fn embedded() -> &'static Self {
        &EMBEDDED
    }

    /// Reads `text`; `place` names it in errors.
    pub fn parse(text: &str, place: &str) -> Result<Self, Error> {
        let wrong = |reason: String| Error { place: place.into(), reason };
        let model: Self = serde_json::from_str(text).map_err(|e| wrong(e.to_string()))?;
        model.weights.check(FEATURES.map(|(name, _)| name)).map_err(wrong)?;
        for (name, bearing) in FEATURES {
            let weight = model.weights.term(name).map_or(0.0, |term| term.weight);
            if !bearing.allows(weight) {
                return Err(wrong(format!("the weight of `{name}` is {weight}, which bears the wrong way")));
            }
        }
        Ok(model)
    }

    /// Probability in 0..=1 that the turn is answered rightly.
    pub fn judge(&self, signs: &Signs) -> f32 {
        probability(self.weights.bias + self.explain(signs).iter().map(|(_, logits)| logits).sum::<f32>())
    }

    /// What each sign adds to the log-odds, against a turn that is average in all of them.
    pub fn explain(&self, signs: &Signs) -> Vec<(&'static str, f32)> {
        let fitted = FEATURES.iter().zip(signs.features());
        let tooled = signs.rests_on_tools();
        let fitted = fitted.filter(|((name, _), _)| !tooled || !OF_RETRIEVAL.contains(name));
        let fitted = fitted
            .map(|((name, _), value)| (*name, self.weights.term(name).map_or(0.0, |t| t.logits(value))));
        let mut all: Vec<_> = fitted.chain(signs.beyond()).collect();
        let logit: f32 = self.weights.bias + all.iter().map(|(_, logits)| logits).sum::<f32>();
        all.push(("at most", (signs.most() - logit).min(0.0)));
        all
    }
}

/// `explained` as a record keeps it: to a hundredth, what weighs nothing left out, with where it starts from.
pub fn recorded(model: &Model, explained: &[(&'static str, f32)]) -> BTreeMap<String, f32> {
    let all = explained.iter().copied().chain([("average turn", model.weights.bias)]);
    let rounded = all.map(|(name, logits)| (name.to_owned(), (logits * 100.0).round() / 100.0));
    rounded.filter(|(_, logits)| logits.abs() > 0.0).collect()
}

impl Bearing {
    /// True if a weight may bear so.
    pub fn allows(self, weight: f32) -> bool {
        match self {
            Self::Raises => weight >= 0.0,
            Self::Lowers => weight <= 0.0,
            Self::Free => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Signs {
        let lead = Lead { level: 0.5, margin: 0.2, keyed: 0.4, words: 0.5, brief: false, leans: false };
        Signs { heard: 0.6, lead, characters: 9, ..Signs::default() }
    }

    fn judge(change: impl FnOnce(&mut Signs)) -> f32 {
        let mut signs = plain();
        change(&mut signs);
        Model::embedded().judge(&signs)
    }

    #[test]
    fn the_weights_of_this_build_can_be_used() {
        let model = Model::parse(include_str!("confidence/weights.json"), "weights.json").expect("they load");
        assert!(model.turns >= 400, "fitted to {} turns", model.turns);
        assert!(model.explain(&plain()).iter().all(|(_, logits)| logits.is_finite()));
    }

    #[test]
    fn better_signs_never_lower_the_confidence() {
        let steps = || (0..=20_u8).map(|n| f32::from(n) / 20.0);
        let rises = |name: &str, with: &dyn Fn(f32) -> f32| {
            let rising: Vec<f32> = steps().map(with).collect();
            assert!(rising.windows(2).all(|w| w[0] <= w[1] + 1e-6), "{name}: {rising:?}");
        };
        rises("heard", &|x| judge(|s| s.heard = x));
        rises("margin", &|x| judge(|s| s.lead.margin = x * s.lead.level));
        rises("keyed", &|x| judge(|s| s.lead.keyed = x));
        rises("overlap", &|x| judge(|s| s.written = Some(Written { overlap: x, ..Written::default() })));
        assert!(judge(|s| s.heard = 0.2) < judge(|s| s.heard = 0.9) - 0.02, "hearing well must count");
        let best = Lead { level: 1.0, margin: 0.8, keyed: 1.0, words: 1.0, brief: false, leans: false };
        let again = |repeated| judge(|s| (s.heard, s.lead, s.repeated) = (1.0, best, repeated));
        assert!(again(false) > 0.95 && again(true) < 0.6, "an answer that did not help was none");
    }

    #[test]
    fn a_written_answer_is_worth_what_it_rests_on() {
        let written = |overlap, withheld, tools| {
            judge(|s| (s.written, s.tools) = (Some(Written { overlap, withheld, logprob: None }), tools))
        };
        assert!(written(0.0, 0, None) < written(0.4, 0, None), "no source");
        assert!(written(0.4, 1, None) < written(0.4, 0, None), "a clause was withheld");
        assert!(written(0.0, 0, None) < written(0.0, 0, Some(Worst::Done)), "a tool is a source");
        assert!(written(0.4, 0, Some(Worst::Failed)) < written(0.4, 0, Some(Worst::Done)), "a tool failed");
    }

    #[test]
    fn how_sure_a_model_is_of_its_words_counts_if_it_tells() {
        let written = |logprob| judge(|s| s.written = Some(Written { overlap: 0.5, withheld: 0, logprob }));
        assert!(written(Some(-1.5)) < written(None) - 0.1, "a model that guesses");
        assert!(written(Some(-0.05)) > written(None), "a model that knows");
        assert!(written(Some(-50.0)) > 0.1 * written(Some(-1.7)), "within bounds");
    }

    #[test]
    fn what_a_tool_gave_does_not_need_retrieval() {
        let lost = Lead { level: 0.05, margin: 0.0, keyed: 0.0, words: 0.1, brief: true, leans: false };
        let told = |tools| judge(|s| (s.lead, s.written, s.tools) = (lost, Some(Written::default()), tools));
        assert!(told(Some(Worst::Done)) > 0.75 && told(None) < 0.1);
        assert!(told(Some(Worst::Failed)) < 0.1);
    }

    #[test]
    fn the_explanation_adds_up() {
        let (model, signs) = (Model::embedded(), plain());
        let sum: f32 = model.explain(&signs).iter().map(|(_, logits)| logits).sum();
        assert!((probability(model.weights.bias + sum) - model.judge(&signs)).abs() < 1e-6);
    }

    #[test]
    fn weights_that_bear_the_wrong_way_are_refused_by_name() {
        let mut model = Model::embedded().clone();
        model.weights.terms.iter_mut().filter(|t| t.feature == "heard").for_each(|t| t.weight = -1.0);
        let text = serde_json::to_string(&model).expect("it is data");
        let error = Model::parse(&text, "mine.json").expect_err("less for hearing better").to_string();
        assert!(error.contains("mine.json") && error.contains("`heard`"), "{error}");
    }
}
