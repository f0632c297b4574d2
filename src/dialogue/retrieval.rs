//! Finds the knowledge entry that a spoken question asks for, also when it was misheard.
//!
//! Words (jieba) and character bigrams carry the meaning, toneless syllables and their bigrams survive a recogniser that
//! writes the wrong character for the right sound. Every entry is scored twice: by its best question (a weighted Tversky
//! overlap, idf-weighted) and as a whole by BM25-like coverage of the query's terms over title, keywords, questions and
//! answer. A logistic curve over the level, the lead over the second entry and the query's length gives the confidence.

use std::collections::HashMap;

use super::knowledge::{Entry, Knowledge};
use super::sound::{Syllable, syllables};
use super::text::{Lang, is_han, normalize, strip_fillers};
use super::vehicle::{self, Fit, Model, Vehicle};
use crate::segment::jieba;

/// Entries that match, best first, and how sure it is that the first is right.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranking {
    /// At most eight, best first.
    pub hits: Vec<Hit>,
    /// Probability in 0..=1 that the first hit is what was asked for, by these words alone: fitted on what was typed, so too
    /// high for what was heard. [`confidence`](super::confidence) judges a turn.
    pub confidence: f32,
    /// What may be believed of it as the vehicle is not known: 1 if the first hit holds for every one.
    pub holds: f32,
    /// What the first hit shows of itself.
    pub lead: Lead,
}

/// How far the first hit is the right one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lead {
    /// Score of the first, about 0..=1.
    pub level: f32,
    /// By how much it is above the second.
    pub margin: f32,
    /// Share of the query's weight that is in its title and keywords, in 0..=1.
    pub keyed: f32,
    /// Words of the query, of eight; in 0..=1.
    pub words: f32,
    /// Whether the query names a topic at most, and asks nothing.
    pub brief: bool,
    /// Whether the turn before was needed to find it.
    pub leans: bool,
}

/// One match.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Index into [`Knowledge::entries`].
    pub entry: usize,
    /// Fused score, about 0..=1.
    pub score: f32,
}

/// All entries, ready to be searched. Immutable; a search takes tens of microseconds.
#[derive(Debug)]
pub struct Index {
    terms: HashMap<Term, u32>,
    /// Weight of each term: channel weight times idf.
    weights: Vec<f32>,
    /// Questions that hold each term.
    in_questions: Vec<Vec<u32>>,
    /// Entries that hold each term, with the saturated term frequency.
    in_entries: Vec<Vec<(u32, f32)>>,
    /// Entries whose title or keywords hold each term.
    in_keywords: Vec<Vec<u32>>,
    questions: Vec<Question>,
    /// Vehicles that each entry holds for.
    models: Vec<Vec<Model>>,
    /// Entries that ask one of the same questions as this one.
    rivals: Vec<Vec<usize>>,
    entries: usize,
}

#[derive(Debug)]
struct Question {
    entry: u32,
    weight: f32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Term {
    Word(Box<str>),
    Chars(char, char),
    Sound(Syllable),
    Sounds(Syllable, Syllable),
}

impl Term {
    /// How much a match in this channel says.
    fn channel(&self) -> f32 {
        match self {
            Self::Word(w) if w.chars().count() == 1 => 0.4,
            Self::Word(_) => 1.0,
            Self::Chars(..) => 0.7,
            Self::Sound(_) => 0.35,
            Self::Sounds(..) => 0.8,
        }
    }
}

/// Field weights of the term frequency.
const TITLE: f32 = 1.5;
const KEYWORD: f32 = 1.5;
const QUESTION: f32 = 1.0;
const ANSWER: f32 = 0.4;
/// Saturation of the term frequency, as BM25's k1.
const SATURATION: f32 = 0.6;
/// Share of the query's weight, against the question's, in the overlap's denominator.
const QUERY_SHARE: f32 = 0.55;
/// Shares of the best question, of coverage, and of the coverage by title and keywords, in the score.
const BEST_QUESTION: f32 = 0.5;
const COVERAGE: f32 = 0.3;
const KEYED: f32 = 0.2;
/// A term that no entry holds weighs this much of the heaviest one: it is either off the topic or misheard.
const UNKNOWN: f32 = 0.55;
/// What the confidence keeps if the entry holds for some vehicles and the caller's is not known: enough to be asked back about.
const PERHAPS_ANOTHER: f32 = 0.5;
/// Bias, score, lead, length, coverage by title and keywords: fitted on `tenants/nev/eval/questions.tsv`, clean and corrupted (`fit_the_confidence`).
const LOGISTIC: [f32; 5] = [-8.33, 5.70, 12.70, 6.39, 5.12];

impl Index {
    /// Indexes all entries.
    pub fn new(knowledge: &Knowledge) -> Self {
        let mut index = Self {
            terms: HashMap::new(),
            weights: Vec::new(),
            in_questions: Vec::new(),
            in_entries: Vec::new(),
            in_keywords: Vec::new(),
            questions: Vec::new(),
            models: knowledge.entries().iter().map(|e| e.models.clone()).collect(),
            rivals: rivals(knowledge.entries()),
            entries: knowledge.entries().len(),
        };
        for (number, entry) in knowledge.entries().iter().enumerate() {
            let number = number as u32;
            let mut frequency: HashMap<u32, f32> = HashMap::new();
            let questions = entry.questions.iter().chain(&entry.questions_en).chain([&entry.title]);
            for question in questions {
                let question_number = index.questions.len() as u32;
                index.questions.push(Question { entry: number, weight: 0.0 });
                for term in index.intern(&unique(terms(question))) {
                    index.in_questions[term as usize].push(question_number);
                    *frequency.entry(term).or_default() += QUESTION;
                }
            }
            let fields = entry
                .keywords
                .iter()
                .map(|k| (KEYWORD, k.as_str()))
                .chain([(TITLE, entry.title.as_str()), (ANSWER, entry.answer.as_str())])
                .chain(entry.answer_en.as_deref().map(|a| (ANSWER, a)));
            for (weight, text) in fields {
                for term in index.intern(&unique(terms(text))) {
                    *frequency.entry(term).or_default() += weight;
                    let holding = &mut index.in_keywords[term as usize];
                    if weight > QUESTION && holding.last() != Some(&number) {
                        holding.push(number);
                    }
                }
            }
            let mut frequency: Vec<_> = frequency.into_iter().collect();
            frequency.sort_by_key(|(term, _)| *term);
            for (term, tf) in frequency {
                let saturated = (tf * (1.0 + SATURATION) / (tf + SATURATION)).min(1.0);
                index.in_entries[term as usize].push((number, saturated));
            }
        }
        for (term, number) in &index.terms {
            let idf = idf(index.entries, index.in_entries[*number as usize].len());
            index.weights[*number as usize] = term.channel() * idf;
        }
        for (term, questions) in index.in_questions.iter().enumerate() {
            for question in questions {
                index.questions[*question as usize].weight += index.weights[term];
            }
        }
        index
    }

    /// True if what is right of `entry` depends on the vehicle: it holds for some only, or another of the same questions does.
    pub fn varies(&self, entry: usize) -> bool {
        let some_only = |entry: usize| !self.models[entry].is_empty();
        some_only(entry) || self.rivals[entry].iter().any(|other| some_only(*other))
    }

    /// Ranks the entries for what the caller said, of whose vehicle nothing is known but what is said here.
    pub fn search(&self, text: &str) -> Ranking {
        self.search_for(text, None)
    }

    /// Ranks the entries that may hold for `vehicle`. Of two that ask the same, the one for this vehicle goes before the one
    /// for all; while the vehicle is unknown, the one for all stands for both, and what holds for some vehicles only is not sure.
    pub fn search_for(&self, text: &str, vehicle: Option<&Vehicle>) -> Ranking {
        let named = if vehicle.is_none() { self.named(text) } else { None };
        let vehicle = vehicle.or(named.as_ref());
        let fits: Vec<Fit> = self.models.iter().map(|models| vehicle::fit(models, vehicle)).collect();
        let (hits, features) = self.score(text, &fits);
        // One word names a topic but asks nothing yet.
        let brief =
            text.split_whitespace().count() < 2 && normalize(text).chars().filter(|c| is_han(*c)).count() < 3;
        let asks = if brief { 0.5 } else { 1.0 };
        let holds = match hits.first().map(|hit| fits[hit.entry]) {
            None => 0.0,
            Some(Fit::Unknown) => PERHAPS_ANOTHER,
            Some(_) => 1.0,
        };
        let confidence = asks * holds * logistic(&LOGISTIC, &features);
        let [_, level, margin, words, keyed] = features;
        Ranking { hits, confidence, holds, lead: Lead { level, margin, keyed, words, brief, leans: false } }
    }

    /// The words of `text` for which `entry` was found, the weightiest first; those heard by their sound alone are not among them.
    pub fn matched(&self, text: &str, entry: usize) -> Vec<String> {
        let mut words: Vec<(f32, String)> = unique(terms(text))
            .into_iter()
            .filter_map(|term| {
                let number = *self.terms.get(&term)? as usize;
                self.in_entries[number].iter().find(|(e, _)| *e as usize == entry)?;
                match term {
                    Term::Word(word) if word.chars().count() > 1 => Some((self.weights[number], word.into())),
                    _ => None,
                }
            })
            .collect();
        words.sort_by(|a, b| b.0.total_cmp(&a.0));
        words.into_iter().map(|(_, word)| word).collect()
    }

    /// The model that `text` names, with the year if it says one, of those that entries name.
    fn named(&self, text: &str) -> Option<Vehicle> {
        let mut models = self.models.iter().flatten();
        let model = models.find(|model| vehicle::is_named(model.name(), text))?;
        let digits = normalize(text);
        let mut years = digits.split(|c: char| !c.is_ascii_digit()).filter(|d| d.len() == 4);
        let year = years.find_map(|d| d.parse().ok().filter(|y| (1990..=2100).contains(y)));
        Some(Vehicle { model: model.name().to_owned(), year })
    }

    /// True if another entry of the same questions stands for this one.
    fn gives_way(&self, entry: usize, fits: &[Fit], hits: &[Hit]) -> bool {
        let rival = |wanted: Fit| {
            hits.iter().any(|hit| fits[hit.entry] == wanted && self.rivals[entry].contains(&hit.entry))
        };
        match fits[entry] {
            Fit::All => rival(Fit::This),
            Fit::Unknown => rival(Fit::All) || rival(Fit::This),
            Fit::This | Fit::Other => false,
        }
    }

    fn score(&self, text: &str, fits: &[Fit]) -> (Vec<Hit>, [f32; 5]) {
        let query = unique(terms(text));
        let unknown = UNKNOWN * idf(self.entries, 0);
        let mut total = 0.0;
        let mut overlap = vec![0.0_f32; self.questions.len()];
        let mut coverage = vec![0.0_f32; self.entries];
        let mut keyed = vec![0.0_f32; self.entries];
        for term in &query {
            let Some(number) = self.terms.get(term) else {
                total += term.channel() * unknown;
                continue;
            };
            let weight = self.weights[*number as usize];
            total += weight;
            for question in &self.in_questions[*number as usize] {
                overlap[*question as usize] += weight;
            }
            for (entry, frequency) in &self.in_entries[*number as usize] {
                coverage[*entry as usize] += weight * frequency;
            }
            for entry in &self.in_keywords[*number as usize] {
                keyed[*entry as usize] += weight;
            }
        }
        if total <= 0.0 {
            return (Vec::new(), [1.0, 0.0, 0.0, 0.0, 0.0]);
        }
        let mut best = vec![0.0_f32; self.entries];
        for (question, shared) in self.questions.iter().zip(&overlap) {
            let similarity = shared / (QUERY_SHARE * total + (1.0 - QUERY_SHARE) * question.weight);
            let slot = &mut best[question.entry as usize];
            *slot = slot.max(similarity);
        }
        let mut hits: Vec<Hit> = best
            .iter()
            .zip(&coverage)
            .enumerate()
            .map(|(entry, (best, covered))| Hit {
                entry,
                score: BEST_QUESTION * best + COVERAGE * covered / total + KEYED * keyed[entry] / total,
            })
            .filter(|hit| hit.score > 0.02 && fits[hit.entry] != Fit::Other)
            .collect();
        let all = hits.clone();
        hits.retain(|hit| !self.gives_way(hit.entry, fits, &all));
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.entry.cmp(&b.entry)));
        hits.truncate(8);
        let level = hits.first().map_or(0.0, |h| h.score);
        let lead = level - hits.get(1).map_or(0.0, |h| h.score);
        let anchor = hits.first().map_or(0.0, |h| keyed[h.entry] / total);
        let length = (query.iter().filter(|t| matches!(t, Term::Word(_))).count() as f32).min(8.0) / 8.0;
        (hits, [1.0, level, lead, length, anchor])
    }

    fn intern(&mut self, terms: &[Term]) -> Vec<u32> {
        terms
            .iter()
            .map(|term| {
                if let Some(number) = self.terms.get(term) {
                    return *number;
                }
                let number = self.weights.len() as u32;
                self.terms.insert(term.clone(), number);
                self.weights.push(0.0);
                self.in_questions.push(Vec::new());
                self.in_entries.push(Vec::new());
                self.in_keywords.push(Vec::new());
                number
            })
            .collect()
    }
}

/// For each entry those that share a question with it.
fn rivals(entries: &[Entry]) -> Vec<Vec<usize>> {
    let mut asking: HashMap<String, Vec<usize>> = HashMap::new();
    for (number, entry) in entries.iter().enumerate() {
        for question in entry.questions.iter().chain(&entry.questions_en) {
            let question = strip_fillers(&normalize(question));
            asking.entry(question).or_default().push(number);
        }
    }
    let mut rivals = vec![Vec::new(); entries.len()];
    for together in asking.values().filter(|numbers| numbers.len() > 1) {
        for one in together {
            rivals[*one].extend(together.iter().copied().filter(|other| other != one));
        }
    }
    rivals
}

fn idf(entries: usize, holding: usize) -> f32 {
    let (n, df) = (entries as f32, holding as f32);
    (1.0 + (n - df + 0.5) / (df + 0.5)).ln()
}

fn logistic(weights: &[f32; 5], features: &[f32; 5]) -> f32 {
    let z: f32 = weights.iter().zip(features).map(|(w, x)| w * x).sum();
    1.0 / (1.0 + (-z).exp())
}

fn unique(mut terms: Vec<Term>) -> Vec<Term> {
    let mut seen = std::collections::HashSet::with_capacity(terms.len());
    terms.retain(|t| seen.insert(t.clone()));
    terms
}

/// English words that say nothing of the topic.
const STOP_EN: &[&str] = &[
    "a", "an", "the", "is", "are", "am", "it", "its", "i", "my", "me", "you", "your", "we", "to", "of", "on",
    "in", "at", "for", "and", "or", "do", "does", "did", "will", "would", "can", "could", "please", "there",
    "this", "that", "theres", "im", "so", "be", "have", "has",
];

/// The terms of `text` in all channels, in order, with repeats.
fn terms(text: &str) -> Vec<Term> {
    let text = strip_fillers(&normalize(text));
    let mut out = Vec::with_capacity(text.len());
    if Lang::of(&text) == Some(Lang::En) {
        let words: Vec<String> =
            text.split(' ').filter(|w| !STOP_EN.contains(w)).map(stem).filter(|w| !w.is_empty()).collect();
        out.extend(words.windows(2).map(|w| Term::Word(format!("{} {}", w[0], w[1]).into())));
        out.extend(words.into_iter().map(|w| Term::Word(w.into())));
        return out;
    }
    for word in jieba().cut_for_search(&text, false) {
        if word.word.chars().any(|c| is_han(c) && !is_numeral(c) || c.is_ascii_alphabetic()) {
            out.push(Term::Word(word.word.into()));
        }
    }
    let chars: Vec<char> = text.chars().filter(|c| is_han(*c)).collect();
    out.extend(
        chars.windows(2).filter(|w| !(is_numeral(w[0]) && is_numeral(w[1]))).map(|w| Term::Chars(w[0], w[1])),
    );
    let spoken: String = chars.iter().filter(|c| !is_numeral(**c)).collect();
    let sounds: Vec<Syllable> = syllables(&spoken).into_iter().map(Syllable::folded).collect();
    out.extend(sounds.windows(2).map(|w| Term::Sounds(w[0], w[1])));
    out.extend(sounds.into_iter().map(Term::Sound));
    out
}

fn is_numeral(c: char) -> bool {
    "零一二三四五六七八九十百千万两幺".contains(c)
}

/// A light stemmer: enough to join drop, drops, dropped and dropping.
fn stem(word: &str) -> String {
    let bare = ["ing", "ed", "es", "s"]
        .iter()
        .find_map(|end| word.strip_suffix(end).filter(|w| w.len() >= 3 && !w.ends_with('s')))
        .unwrap_or(word);
    let bytes = bare.as_bytes();
    let doubled = bytes.len() > 3 && bytes[bytes.len() - 1] == bytes[bytes.len() - 2] && bare != word;
    let bare = if doubled { &bare[..bare.len() - 1] } else { bare };
    bare.strip_suffix('e')
        .filter(|w| w.len() >= 3)
        .unwrap_or(bare)
        .replace("tyre", "tire")
        .replace("tyr", "tir")
}

#[cfg(test)]
#[path = "retrieval_models.rs"]
mod models;

#[cfg(test)]
#[path = "retrieval_eval.rs"]
mod eval;
