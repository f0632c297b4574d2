//! How far the confidence of a turn can be believed: labelled turns, the fit, and the measures.
//!
//! `tenants/nev/eval/turns.tsv` holds what the recogniser made of spoken questions, and the entry that answers each. Every line
//! is a turn of its own. Where a question was heard twice and the first time would have led nowhere, the second time is also a
//! turn after the first: the caller says it again, to a question back or to a wrong answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::asr::Transcript;
use crate::dialogue::confidence::{FEATURES, Model, Signs};
use crate::dialogue::light::LightMind;
use crate::dialogue::tenant::Tenant;
use crate::dialogue::{Ask, Said, Who};
use crate::logistic::{Logistic, Sample};

/// The labelled turns of the reference tenant.
pub const TURNS: &str = include_str!("../../tenants/nev/eval/turns.tsv");
/// Below this the bot is taken to have asked back, where a turn follows another.
const ASKED_BACK: f32 = 0.5;
/// How strongly weights are pulled toward zero.
const RIDGE: f64 = 3.0;
/// Bins of equal mass of the expected calibration error.
pub const BINS: usize = 15;
/// Resamplings of the bootstrap.
const RESAMPLINGS: usize = 1000;

/// One line of the labelled turns.
#[derive(Clone, Debug, PartialEq)]
struct Line<'a> {
    test: bool,
    question: &'a str,
    heard: Transcript,
    label: Option<&'a str>,
    before: Option<&'a str>,
}

/// Labelled turns that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{place}:{line}: {problem}; tenants/nev/eval/make/README.md tells how the file is made")]
pub struct Error {
    place: String,
    line: usize,
    problem: String,
}

/// A labelled turn with all that the engine sees of it.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Whether it is kept apart from fitting.
    pub test: bool,
    /// Which question it says, in whatever voice.
    pub question: String,
    /// What it shows.
    pub signs: Signs,
    /// Whether the entry that would be answered is the labelled one.
    pub right: bool,
    /// Confidence by the formula that was used before one was fitted: retrieval's, times recognition's, times repetition's.
    pub before: f32,
}

/// Reads labelled turns and has the tenant's light tier look at them. Turns that the rules decide are left out.
pub fn turns(tenant: &Arc<Tenant>, text: &str, place: &str) -> Result<Vec<Turn>, Error> {
    let mind = LightMind::new(Arc::clone(tenant));
    let entries = tenant.knowledge.entries();
    let mut out = Vec::new();
    let mut first: BTreeMap<&str, Said> = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |problem: String| Error { place: place.into(), line: number + 1, problem };
        let line = parse(line).map_err(wrong)?;
        if let Some(label) = line.label
            && !entries.iter().any(|entry| entry.id == label)
        {
            return Err(wrong(format!("`{label}` is no entry of this tenant")));
        }
        let alone: Vec<Said> =
            line.before.map(|text| [caller(text), bot("好的。")]).into_iter().flatten().collect();
        let mut look = |history: Vec<Said>, clarified: bool| {
            let ask = Ask { transcript: line.heard.clone(), history, clarified, ..Ask::default() };
            let watched = mind.watch(&ask)?;
            let entry = watched.entry.map(|entry| entries[entry].id.as_str());
            let right = line.label.is_some() && entry == line.label;
            let turn = Turn {
                test: line.test,
                question: line.question.to_owned(),
                before: by_hand(watched.typed, &watched.signs),
                signs: watched.signs,
                right,
            };
            out.push(turn);
            Some((right, watched.typed))
        };
        let came = look(alone.clone(), false);
        if let Some(said) = first.get(line.question) {
            let clarified = said.interrupted;
            let said = Said { interrupted: false, ..said.clone() };
            let answer = bot(if clarified {
                "抱歉，我没有听明白，请您换个说法再说一遍。"
            } else {
                "好的。"
            });
            let history = alone.into_iter().chain([said, answer]).collect();
            look(history, clarified);
        } else if let Some((right, typed)) = came
            && (!right || typed < ASKED_BACK)
        {
            // `interrupted` marks here that the bot asked back.
            let said = Said { interrupted: typed < ASKED_BACK, ..caller(&line.heard.text) };
            first.insert(line.question, said);
        }
    }
    Ok(out)
}

fn parse(line: &str) -> Result<Line<'_>, String> {
    let fields: Vec<&str> = line.split('\t').collect();
    let (split, question, heard, confidence, label, before) = match fields[..] {
        [split, question, _, heard, confidence, label] => (split, question, heard, confidence, label, None),
        [split, question, _, heard, confidence, label, before] => {
            (split, question, heard, confidence, label, Some(before))
        }
        _ => return Err("a line has six or seven fields".into()),
    };
    let test = match split {
        "test" => true,
        "fit" => false,
        other => return Err(format!("the split is `fit` or `test`, not `{other}`")),
    };
    let confidence: f32 = confidence.parse().map_err(|_| format!("`{confidence}` is no confidence"))?;
    let heard = Transcript { text: heard.to_owned(), confidence, ..Transcript::default() };
    Ok(Line { test, question, heard, label: (label != "none").then_some(label), before })
}

fn caller(text: &str) -> Said {
    Said { who: Who::Caller, text: text.to_owned(), interrupted: false }
}

fn bot(text: &str) -> Said {
    Said { who: Who::Bot, text: text.to_owned(), interrupted: false }
}

/// The formula before.
fn by_hand(typed: f32, signs: &Signs) -> f32 {
    let heard = 0.6 + 0.4 * (signs.heard / 0.75).clamp(0.0, 1.0);
    typed * heard * if signs.repeated { 0.6 } else { 1.0 }
}

/// Fits the weights to the turns that are not kept apart. A weight that bears the wrong way is set to nothing and the others are
/// fitted anew, the worst first.
pub fn fit(turns: &[Turn], made_by: String) -> Model {
    let turns: Vec<&Turn> = turns.iter().filter(|turn| !turn.test).collect();
    let names = FEATURES.map(|(name, _)| name);
    let mut left_out = [false; FEATURES.len()];
    loop {
        let samples: Vec<Sample> = turns
            .iter()
            .map(|turn| {
                let features = turn.signs.features().into_iter().zip(left_out);
                let features = features.map(|(value, out)| (!out).then_some(value)).collect();
                Sample { features, target: f64::from(u8::from(turn.right)), weight: 1.0 }
            })
            .collect();
        let mut weights = Logistic::fit(&names, &samples, RIDGE);
        for (term, out) in weights.terms.iter_mut().zip(left_out) {
            if out {
                (term.mean, term.scale, term.weight) = (0.0, 1.0, 0.0);
            }
        }
        let wrong = FEATURES.iter().zip(&weights.terms).enumerate();
        let wrong = wrong.filter(|(_, ((_, bearing), term))| !bearing.allows(term.weight));
        let worst = wrong.max_by(|(_, (_, a)), (_, (_, b))| a.weight.abs().total_cmp(&b.weight.abs()));
        match worst.map(|(at, _)| at) {
            Some(at) => left_out[at] = true,
            None => return Model { made_by, turns: turns.len(), weights },
        }
    }
}

/// How far figures can be believed.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Calibration {
    /// Expected calibration error over [`BINS`] bins of equal mass, in 0..=1.
    pub ece: f64,
    /// Its 95 % interval by bootstrap over questions.
    pub interval: (f64, f64),
    /// Area under the receiver's curve: how well right turns are told from wrong ones; 0.5 is by chance.
    pub auc: f64,
    /// Mean squared error.
    pub brier: f64,
    /// Each bin: mean confidence, share that was right, turns.
    pub bins: Vec<(f64, f64, usize)>,
}

/// What a threshold costs.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Cost {
    /// The threshold.
    pub threshold: f64,
    /// Share of all turns that are answered.
    pub answered: f64,
    /// Share of all turns that are answered wrongly: handed over too late.
    pub wrongly: f64,
    /// Share of all turns that would have been right and are not answered: asked back or handed over too often.
    pub needlessly: f64,
}

/// What was measured on the turns that are kept apart.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// Turns, and questions that they say.
    pub turns: usize,
    /// Different questions.
    pub questions: usize,
    /// Share of the turns whose first entry is the labelled one.
    pub right: f64,
    /// The fitted confidence.
    pub fitted: Calibration,
    /// The formula that was used before.
    pub by_hand: Calibration,
    /// What thresholds cost with the fitted one.
    pub costs: Vec<Cost>,
    /// The same with the formula before.
    pub costs_by_hand: Vec<Cost>,
}

impl Report {
    /// Measures `model` on the turns that are kept apart.
    pub fn new(turns: &[Turn], model: &Model) -> Self {
        let turns: Vec<&Turn> = turns.iter().filter(|turn| turn.test).collect();
        let mut questions: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, turn) in turns.iter().enumerate() {
            questions.entry(&turn.question).or_default().push(at);
        }
        let questions: Vec<Vec<usize>> = questions.into_values().collect();
        let judged = |judge: &dyn Fn(&Turn) -> f32| -> Vec<(f64, bool)> {
            turns.iter().map(|turn| (f64::from(judge(turn)), turn.right)).collect()
        };
        let fitted = judged(&|turn| model.judge(&turn.signs));
        let by_hand = judged(&|turn| turn.before);
        Self {
            turns: turns.len(),
            questions: questions.len(),
            right: turns.iter().filter(|turn| turn.right).count() as f64 / turns.len().max(1) as f64,
            costs: costs(&fitted),
            costs_by_hand: costs(&by_hand),
            fitted: Calibration::new(&fitted, &questions),
            by_hand: Calibration::new(&by_hand, &questions),
        }
    }
}

impl Calibration {
    fn new(judged: &[(f64, bool)], questions: &[Vec<usize>]) -> Self {
        let mut resampled: Vec<f64> = Vec::with_capacity(RESAMPLINGS);
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..RESAMPLINGS {
            let mut sample = Vec::with_capacity(judged.len());
            for _ in questions {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let drawn = &questions[(state >> 11) as usize % questions.len()];
                sample.extend(drawn.iter().map(|at| judged[*at]));
            }
            resampled.push(ece(&bins(&sample)));
        }
        resampled.sort_by(f64::total_cmp);
        let at = |share: f64| {
            resampled.get((share * (RESAMPLINGS - 1) as f64).round() as usize).copied().unwrap_or_default()
        };
        let bins = bins(judged);
        let squares = judged.iter().map(|(p, right)| (p - f64::from(u8::from(*right))).powi(2)).sum::<f64>();
        Self {
            ece: ece(&bins),
            interval: (at(0.025), at(0.975)),
            auc: auc(judged),
            brier: squares / judged.len().max(1) as f64,
            bins,
        }
    }
}

/// Mean confidence, share right and number of each of [`BINS`] bins of equal mass.
fn bins(judged: &[(f64, bool)]) -> Vec<(f64, f64, usize)> {
    let mut sorted = judged.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let edge = |bin: usize| bin * sorted.len() / BINS;
    (0..BINS)
        .map(|bin| &sorted[edge(bin)..edge(bin + 1)])
        .filter(|bin| !bin.is_empty())
        .map(|bin| {
            let count = bin.len() as f64;
            let sure = bin.iter().map(|(p, _)| p).sum::<f64>() / count;
            (sure, bin.iter().filter(|(_, right)| *right).count() as f64 / count, bin.len())
        })
        .collect()
}

fn ece(bins: &[(f64, f64, usize)]) -> f64 {
    let all: usize = bins.iter().map(|(_, _, count)| count).sum();
    bins.iter().map(|(sure, right, count)| (sure - right).abs() * *count as f64).sum::<f64>()
        / all.max(1) as f64
}

/// Share of the pairs of a right and a wrong turn in which the right one is surer; a draw is half.
fn auc(judged: &[(f64, bool)]) -> f64 {
    let (right, wrong): (Vec<_>, Vec<_>) = judged.iter().partition(|(_, right)| *right);
    let won = |a: f64, b: f64| {
        if a > b {
            1.0
        } else if a < b {
            0.0
        } else {
            0.5
        }
    };
    let won: f64 = right.iter().flat_map(|(a, _)| wrong.iter().map(move |(b, _)| won(*a, *b))).sum();
    won / (right.len() * wrong.len()).max(1) as f64
}

fn costs(judged: &[(f64, bool)]) -> Vec<Cost> {
    let share = |counts: &dyn Fn(f64, bool) -> bool| {
        judged.iter().filter(|(p, right)| counts(*p, *right)).count() as f64 / judged.len().max(1) as f64
    };
    (10..=19_u8)
        .map(|step| f64::from(step) / 20.0)
        .map(|threshold| Cost {
            threshold,
            answered: share(&|p, _| p >= threshold),
            wrongly: share(&|p, right| p >= threshold && !right),
            needlessly: share(&|p, right| p < threshold && right),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled() -> Vec<Turn> {
        let tenant = Tenant::load_on("nev", None, jiff::civil::date(2026, 1, 1)).expect("the tenant loads");
        turns(&Arc::new(tenant), TURNS, "turns.tsv").expect("the labelled turns can be read")
    }

    #[test]
    fn the_confidence_of_this_build_can_be_believed() {
        let report = Report::new(&labelled(), Model::embedded());
        println!("{report:?}");
        assert!(report.turns >= 400, "only {} turns", report.turns);
        assert!(report.fitted.ece <= 0.05, "expected calibration error of {:.3}", report.fitted.ece);
        assert!(report.fitted.ece < report.by_hand.ece, "the formula before was no worse");
        assert!(report.fitted.auc >= report.by_hand.auc - 0.005, "it tells right from wrong less well");
    }

    #[test]
    fn no_question_is_both_fitted_and_tested() {
        let turns = labelled();
        for turn in &turns {
            let elsewhere =
                turns.iter().find(|other| other.question == turn.question && other.test != turn.test);
            assert!(elsewhere.is_none(), "{} is in both", turn.question);
        }
        let strange = turns.iter().filter(|turn| turn.test && !turn.right).count();
        assert!(strange >= 100, "only {strange} turns that nothing answers rightly");
    }

    #[test]
    fn the_weights_of_this_build_are_those_of_the_labelled_turns() {
        let (fitted, built) = (fit(&labelled(), String::new()), Model::embedded());
        assert_eq!(fitted.turns, built.turns, "run `nightline confidence fit`");
        for term in &fitted.weights.terms {
            let weight = built.weights.term(&term.feature).map_or(f32::NAN, |term| term.weight);
            assert!(
                (term.weight - weight).abs() < 0.02,
                "{} is {weight} and should be {}: run `nightline confidence fit`",
                term.feature,
                term.weight
            );
        }
    }

    #[test]
    fn errors_of_calibration_are_measured() {
        let sure_and_right: Vec<(f64, bool)> = (0..300).map(|n| (0.8, n % 5 != 0)).collect();
        assert!(ece(&bins(&sure_and_right)) < 0.01);
        let too_sure: Vec<(f64, bool)> = (0..300).map(|n| (0.95, n % 2 == 0)).collect();
        assert!((ece(&bins(&too_sure)) - 0.45).abs() < 0.01);
        assert!((auc(&[(0.9, true), (0.1, false)]) - 1.0).abs() < 1e-9);
        assert!((auc(&[(0.5, true), (0.5, false)]) - 0.5).abs() < 1e-9);
        let cost = &costs(&[(0.9, true), (0.9, false), (0.2, true), (0.1, false)])[0];
        assert!((cost.answered - 0.5).abs() < 1e-9 && (cost.wrongly - 0.25).abs() < 1e-9);
        assert!((cost.needlessly - 0.25).abs() < 1e-9);
    }

    #[test]
    fn a_line_that_is_no_turn_is_told_by_its_number() {
        let tenant = Tenant::load_on("nev", None, jiff::civil::date(2026, 1, 1)).expect("the tenant loads");
        let tenant = Arc::new(tenant);
        for (line, told) in [
            ("fit\tq\t20dB\t你好", "six or seven"),
            ("both\tq\t20dB\t充电慢\t0.5\tnone", "not `both`"),
            ("fit\tq\t20dB\t充电慢\thigh\tnone", "`high`"),
            ("fit\tq\t20dB\t充电慢\t0.5\tcharge-fish", "`charge-fish`"),
        ] {
            let error = turns(&tenant, &format!("# head\n{line}\n"), "mine.tsv").expect_err(line).to_string();
            assert!(error.starts_with("mine.tsv:2") && error.contains(told), "{error}");
        }
    }
}
