//! What an evaluation found: error rates by set and condition, confidence, latency.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Outcome;
use super::manifest::Language;
use crate::dialogue::slots::digits;
use crate::dialogue::text::normalize;

/// Above this character error rate an utterance is badly wrong.
const BADLY: f64 = 0.3;
/// Share of right utterances that the threshold of confidence may cost.
const COST: f64 = 0.05;

/// The whole of an evaluation.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Error rates by set and condition, in the order of the manifest.
    pub rows: Vec<Row>,
    /// The same over all that is spoken.
    pub all: Row,
    /// Where nobody speaks.
    pub no_speech: NoSpeech,
    /// How well confidence tells right from wrong.
    pub confidence: Confidence,
    /// What it costs.
    pub cost: Cost,
}

/// Error rates of one set under one condition.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Row {
    /// The set.
    pub set: String,
    /// The condition.
    pub condition: String,
    /// Spoken utterances.
    pub utterances: usize,
    /// Characters that were said.
    pub characters: usize,
    /// Character error rate, in 0..; spaces, punctuation and case do not count.
    pub cer: f64,
    /// Word error rate of the English ones.
    pub wer: Option<f64>,
    /// Share of utterances without an error.
    pub exact: f64,
    /// Share of strings of digits that are wholly right.
    pub digits: Option<f64>,
    #[serde(skip)]
    sums: Sums,
}

#[derive(Clone, Debug, Default)]
struct Sums {
    errors: usize,
    words: usize,
    word_errors: usize,
    exact: usize,
    strings: usize,
    strings_right: usize,
}

/// Words that were invented where nobody speaks.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NoSpeech {
    /// Recordings.
    pub recordings: usize,
    /// Their length.
    pub seconds: f64,
    /// Recordings in which something was heard.
    pub with_words: usize,
    /// What was heard, up to twenty.
    pub words: Vec<String>,
}

/// How well confidence tells right from wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Confidence {
    /// Probability that a right utterance gets more confidence than a badly wrong one; [`None`] without both.
    pub auc: Option<f64>,
    /// The confidence below which 5 % of right utterances are.
    pub threshold: Option<f64>,
    /// Share of badly wrong utterances (above 30 % errors, and words where nobody spoke) below it.
    pub badly_wrong_rejected: Option<f64>,
    /// Utterances without an error.
    pub right: usize,
    /// Badly wrong ones.
    pub badly_wrong: usize,
}

/// What recognition costs. Decodings run alone on a worker: waiting is not in it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Cost {
    /// Decoding of a partial, milliseconds: median and 95th percentile.
    pub partial_ms: Option<(f64, f64)>,
    /// Decoding of a final, milliseconds: median and 95th percentile.
    pub final_ms: Option<(f64, f64)>,
    /// Time of one core for a second of audio, finals only, by the clock; too high on a busy machine.
    pub real_time_factor: f64,
    /// Processor time of the whole run (partials, finals, reading) for a second of audio.
    pub processor_factor: Option<f64>,
    /// Workers.
    pub workers: usize,
}

impl Report {
    /// Adds up `outcomes`.
    pub fn new(outcomes: &[Outcome], workers: usize, processor_seconds: Option<f64>) -> Self {
        let mut rows: Vec<Row> = Vec::new();
        let mut at = BTreeMap::new();
        let mut all = Row { set: "all".into(), ..Row::default() };
        let mut no_speech = NoSpeech::default();
        for outcome in outcomes {
            if outcome.item.is_none() {
                no_speech.add(outcome);
                continue;
            }
            let key = (outcome.item.set.clone(), outcome.item.condition.clone());
            let row = *at.entry(key.clone()).or_insert_with(|| {
                rows.push(Row { set: key.0, condition: key.1, ..Row::default() });
                rows.len() - 1
            });
            rows[row].add(outcome);
            all.add(outcome);
        }
        for row in rows.iter_mut().chain([&mut all]) {
            row.close();
        }
        let seconds: f64 = outcomes.iter().map(|o| o.seconds).sum();
        let finals: Vec<f64> = outcomes.iter().map(|o| o.final_ms).collect();
        let cost = Cost {
            partial_ms: percentiles(outcomes.iter().filter_map(|o| o.partial_ms).collect()),
            real_time_factor: finals.iter().sum::<f64>() / 1000.0 / seconds.max(1e-9),
            final_ms: percentiles(finals),
            processor_factor: processor_seconds.map(|processor| processor / seconds.max(1e-9)),
            workers,
        };
        Self { rows, all, no_speech, confidence: Confidence::of(outcomes), cost }
    }
}

impl Row {
    fn add(&mut self, outcome: &Outcome) {
        self.utterances += 1;
        self.characters += outcome.length;
        self.sums.errors += outcome.errors;
        self.sums.exact += usize::from(outcome.errors == 0);
        if outcome.item.lang == Language::En {
            let (errors, words) = word_errors(&outcome.item.text, &outcome.heard);
            self.sums.word_errors += errors;
            self.sums.words += words;
        }
        if outcome.item.is_digits() {
            self.sums.strings += 1;
            self.sums.strings_right += usize::from(digits(&outcome.item.text) == digits(&outcome.heard));
        }
    }

    fn close(&mut self) {
        let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
        self.cer = share(self.sums.errors, self.characters).unwrap_or(0.0);
        self.wer = share(self.sums.word_errors, self.sums.words);
        self.exact = share(self.sums.exact, self.utterances).unwrap_or(0.0);
        self.digits = share(self.sums.strings_right, self.sums.strings);
    }
}

impl NoSpeech {
    fn add(&mut self, outcome: &Outcome) {
        self.recordings += 1;
        self.seconds += outcome.seconds;
        if !outcome.heard.is_empty() {
            self.with_words += 1;
            if self.words.len() < 20 {
                self.words.push(format!("{}: {}", outcome.item.wav.display(), outcome.heard));
            }
        }
    }
}

impl Confidence {
    fn of(outcomes: &[Outcome]) -> Self {
        Self::judge(
            &outcomes.iter().filter_map(|o| Some((f64::from(o.confidence), verdict(o)?))).collect::<Vec<_>>(),
        )
    }

    /// Judges confidences with their verdicts.
    pub fn judge(judged: &[(f64, Verdict)]) -> Self {
        let of = |wanted| {
            let mut chosen: Vec<f64> =
                judged.iter().filter(|(_, verdict)| *verdict == wanted).map(|(c, _)| *c).collect();
            chosen.sort_by(f64::total_cmp);
            chosen
        };
        let (right, bad) = (of(Verdict::Right), of(Verdict::BadlyWrong));
        if right.is_empty() || bad.is_empty() {
            return Self { right: right.len(), badly_wrong: bad.len(), ..Self::default() };
        }
        let below = |limit: f64| bad.partition_point(|c| *c < limit);
        let upto = |limit: f64| bad.partition_point(|c| *c <= limit);
        let wins: f64 = right.iter().map(|c| (below(*c) + upto(*c)) as f64 / 2.0).sum();
        let threshold = right[(right.len() as f64 * COST) as usize];
        Self {
            auc: Some(wins / (right.len() * bad.len()) as f64),
            threshold: Some(threshold),
            badly_wrong_rejected: Some(below(threshold) as f64 / bad.len() as f64),
            right: right.len(),
            badly_wrong: bad.len(),
        }
    }
}

/// How an utterance came out, as far as confidence has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Without an error.
    Right,
    /// With errors that one may live with.
    Fair,
    /// With more than 30 % errors, or words where nobody spoke.
    BadlyWrong,
}

/// The verdict on an utterance; [`None`] where nobody spoke and nothing was heard: there is nothing to be confident of.
pub fn verdict(outcome: &Outcome) -> Option<Verdict> {
    if outcome.item.is_none() {
        return (!outcome.heard.is_empty()).then_some(Verdict::BadlyWrong);
    }
    Some(match outcome.errors {
        0 => Verdict::Right,
        errors if errors as f64 > BADLY * outcome.length as f64 => Verdict::BadlyWrong,
        _ => Verdict::Fair,
    })
}

/// Wrong characters in `heard`, and characters in `said`. Spaces, punctuation, width and case do not count.
pub fn character_errors(said: &str, heard: &str) -> (usize, usize) {
    let characters = |text| normalize(text).chars().filter(|c| !c.is_whitespace()).collect::<Vec<_>>();
    let (said, heard) = (characters(said), characters(heard));
    (strsim::generic_levenshtein(&Slice(&said), &Slice(&heard)), said.len())
}

/// Wrong words in `heard`, and words in `said`.
fn word_errors(said: &str, heard: &str) -> (usize, usize) {
    let (said, heard) = (normalize(said), normalize(heard));
    let said: Vec<&str> = said.split_whitespace().collect();
    let heard: Vec<&str> = heard.split_whitespace().collect();
    (strsim::generic_levenshtein(&Slice(&said), &Slice(&heard)), said.len())
}

/// strsim wants a reference that can be iterated.
struct Slice<'a, T>(&'a [T]);

impl<'a, T> IntoIterator for &Slice<'a, T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// Median and 95th percentile.
fn percentiles(mut values: Vec<f64>) -> Option<(f64, f64)> {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        values.get(((values.len() as f64 * share) as usize).min(values.len().max(1) - 1)).copied()
    };
    Some((at(0.5)?, at(0.95)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_case_and_punctuation_are_no_errors_but_another_word_for_one_is() {
        assert_eq!(character_errors("打开APP。", "打开 app"), (0, 5));
        assert_eq!(character_errors("幺三八", "一三八"), (1, 3));
        assert_eq!(character_errors("空调", ""), (2, 2));
        assert_eq!(word_errors("my car won't start", "my car want start"), (1, 4));
    }

    #[test]
    fn confidence_is_judged_at_the_threshold_that_costs_five_percent_of_the_right_ones() {
        let right = (1..=100).map(|i| (f64::from(i) / 100.0, Verdict::Right));
        // Ten badly wrong ones: nine below 0.06, one above everything.
        let bad = (0..9).map(|i| (0.001 * f64::from(i), Verdict::BadlyWrong));
        let judged: Vec<_> =
            right.chain(bad).chain([(2.0, Verdict::BadlyWrong), (0.0, Verdict::Fair)]).collect();
        let confidence = Confidence::judge(&judged);
        assert_eq!(confidence.threshold, Some(0.06));
        assert_eq!(confidence.badly_wrong_rejected, Some(0.9));
        assert!((confidence.auc.unwrap() - 0.9).abs() < 1e-9, "{confidence:?}");
        assert_eq!((confidence.right, confidence.badly_wrong), (100, 10));
    }

    #[test]
    fn equal_confidence_tells_nothing() {
        let judged = [(0.5, Verdict::Right), (0.5, Verdict::BadlyWrong)];
        assert_eq!(Confidence::judge(&judged).auc, Some(0.5));
        assert_eq!(Confidence::judge(&judged[..1]).auc, None);
    }

    #[test]
    fn words_where_nobody_spoke_are_badly_wrong_and_silence_is_no_merit() {
        let verdict = |kind: &str, errors, heard: &str| {
            let json = format!(
                r#"{{"wav": "a.wav", "text": "", "lang": "zh", "set": "", "condition": "", "voice": "", "kind": "{kind}",
                "heard": "{heard}", "errors": {errors}, "length": 10, "confidence": 0, "seconds": 1, "final_ms": 1}}"#
            );
            verdict(&serde_json::from_str(&json).unwrap())
        };
        assert_eq!(verdict("none", 0, ""), None);
        assert_eq!(verdict("none", 0, "你好"), Some(Verdict::BadlyWrong));
        assert_eq!(verdict("hotline", 0, "x"), Some(Verdict::Right));
        assert_eq!(verdict("hotline", 3, "x"), Some(Verdict::Fair));
        assert_eq!(verdict("hotline", 4, "x"), Some(Verdict::BadlyWrong));
    }
}
