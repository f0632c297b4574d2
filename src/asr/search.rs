//! Second thoughts: where the decoder wavered, the other token is tried, and the likeliest whole utterance wins.
//!
//! Greedy decoding cannot take back a first syllable that what follows makes unlikely (金… for 近光灯). A limited discrepancy
//! search (Harvey and Ginsberg, 1995) can: it follows the path that was taken but for one token, at the places where the
//! decoder was least sure. Each path is scored by its mean log probability, end of text included. whisper.cpp's own beam search
//! is no help: it draws the candidates of a beam at random, with replacement.
//!
//! The network is a function from a path to what may follow, so all of this is tested without one.

use super::confidence::Step;
use super::text::repetition;

/// The other token is tried where it is at most so much less likely than the one taken: nats.
const WAVERED: f32 = 2.0;
/// So many are tried around one path, the closest races first.
const SWITCHES: usize = 3;
/// So often the better path is looked at again.
const ROUNDS: usize = 2;
/// A path that is this much less likely than the best whole one, in nats, is given up before its end.
const HOPELESS: f32 = 1.0;

/// A token with its natural log probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scored {
    pub(super) id: i32,
    pub(super) log: f32,
}

/// What may follow: the two likeliest tokens, and how sure the network is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Choice {
    pub(super) first: Scored,
    pub(super) second: Scored,
    pub(super) step: Step,
}

impl Choice {
    /// From a row of logits, of which only those up to the end of text, at `end`, are ever chosen. [`None`] if they are no
    /// numbers.
    pub(super) fn of(logits: &[f32], end: i32) -> Option<Self> {
        let logits = logits.get(..=usize::try_from(end).ok()?)?;
        let step = Step::of(logits)?;
        let (mut first, mut second) = ((0, f32::NEG_INFINITY), (0, f32::NEG_INFINITY));
        for (id, &logit) in logits.iter().enumerate() {
            if logit > first.1 {
                (second, first) = (first, (id, logit));
            } else if logit > second.1 {
                second = (id, logit);
            }
        }
        // Most of the vocabulary was never trained and lies far below: e^-20 adds nothing to a sum of one or more.
        let likely = logits.iter().map(|logit| logit - first.1).filter(|&below| below > -20.0);
        let sum: f32 = likely.map(f32::exp).sum();
        let scored = |(id, logit): (usize, f32)| Scored { id: id as i32, log: logit - first.1 - sum.ln() };
        sum.is_finite().then(|| Self { first: scored(first), second: scored(second), step })
    }
}

/// Tokens, each with the choice it was; the last is the end of text.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Path {
    pub(super) tokens: Vec<Scored>,
    pub(super) choices: Vec<Choice>,
}

impl Path {
    fn push(&mut self, token: Scored, choice: Choice) {
        self.tokens.push(token);
        self.choices.push(choice);
    }

    fn ids(&self) -> Vec<i32> {
        self.tokens.iter().map(|token| token.id).collect()
    }

    fn sum(&self) -> f32 {
        self.tokens.iter().map(|token| token.log).sum()
    }

    fn score(&self) -> f32 {
        self.sum() / self.tokens.len().max(1) as f32
    }

    /// Where this path could have gone otherwise, the closest races first: the position and the other token.
    fn doubts(&self) -> Vec<(usize, Scored)> {
        let mut doubts: Vec<(usize, Scored)> = (0..self.tokens.len())
            .filter_map(|at| {
                let (taken, choice) = (self.tokens[at], self.choices[at]);
                let other = if taken.id == choice.first.id { choice.second } else { choice.first };
                (taken.log - other.log < WAVERED).then_some((at, other))
            })
            .collect();
        let lead = |&(at, other): &(usize, Scored)| self.tokens[at].log - other.log;
        doubts.sort_by(|a, b| lead(a).total_cmp(&lead(b)));
        doubts
    }
}

/// The likeliest path near `greedy`, which ends in `end`. `next` says what may follow the tokens of a path; [`None`] ends the
/// search with what is best so far. No path gets more than `longest` tokens.
pub(super) fn reconsider(
    greedy: Path,
    end: i32,
    longest: usize,
    next: &mut dyn FnMut(&[i32]) -> Option<Choice>,
) -> Path {
    let mut best = greedy;
    let mut tried: Vec<Vec<i32>> = Vec::new();
    for _ in 0..ROUNDS {
        let base = best.clone();
        let ids = base.ids();
        let start = |at: usize, other: Scored| [&ids[..at], &[other.id][..]].concat();
        let mut doubts = base.doubts();
        doubts.retain(|&(at, other)| !tried.contains(&start(at, other)));
        doubts.truncate(SWITCHES);
        // From the last to the first: the network remembers the tokens before.
        doubts.sort_by_key(|&(at, _)| std::cmp::Reverse(at));
        for (at, other) in doubts {
            // Nor is what was taken here to be tried again, should the other token win.
            tried.extend([start(at, other), start(at, base.tokens[at])]);
            let mut path = Path { tokens: base.tokens[..at].to_vec(), choices: base.choices[..at].to_vec() };
            path.push(other, base.choices[at]);
            let hopeless = best.sum() - HOPELESS;
            loop {
                let ids = path.ids();
                if ids.last() == Some(&end) {
                    if path.score() > best.score() {
                        best = path;
                    }
                    break;
                }
                if path.sum() < hopeless || ids.len() >= longest || repetition(&ids).is_some() {
                    break;
                }
                let Some(choice) = next(&ids) else { return best };
                path.push(choice.first, choice);
            }
        }
        if best == base {
            break;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: i32 = 9;

    fn choice(first: (i32, f32), second: (i32, f32)) -> Choice {
        let scored = |(id, probability): (i32, f32)| Scored { id, log: probability.ln() };
        Choice { first: scored(first), second: scored(second), step: Step { entropy: 0.0, margin: 0.0 } }
    }

    /// The greedy path through `next`.
    fn greedy(next: &mut dyn FnMut(&[i32]) -> Option<Choice>) -> Path {
        let mut path = Path::default();
        while path.tokens.last().is_none_or(|token| token.id != END) {
            let choice = next(&path.ids()).expect("the network answers");
            path.push(choice.first, choice);
        }
        path
    }

    /// Hears 1 a little better than 2 at first; what follows fits 2 only.
    #[expect(clippy::unnecessary_wraps, reason = "a network may stop")]
    fn garden_path(ids: &[i32]) -> Option<Choice> {
        Some(match ids {
            [] => choice((1, 0.5), (2, 0.4)),
            [1] => choice((3, 0.4), (4, 0.3)),
            [1, _] => choice((5, 0.5), (6, 0.2)),
            [2] => choice((4, 0.95), (3, 0.01)),
            [2, _] => choice((5, 0.95), (6, 0.01)),
            _ => choice((END, 0.99), (1, 0.001)),
        })
    }

    #[test]
    fn a_first_token_that_leads_nowhere_is_taken_back() {
        let taken = greedy(&mut garden_path);
        assert_eq!(taken.ids(), [1, 3, 5, END]);
        let best = reconsider(taken, END, 20, &mut garden_path);
        assert_eq!(best.ids(), [2, 4, 5, END]);
        assert!(
            (best.tokens[0].log - 0.4_f32.ln()).abs() < 1e-6,
            "the evidence is of the token that won: {best:?}"
        );
        assert_eq!(best.choices.len(), best.tokens.len());
    }

    #[test]
    fn what_was_sure_is_not_asked_again() {
        let mut sure = |ids: &[i32]| Some(choice((if ids.len() < 3 { 1 } else { END }, 0.95), (2, 0.02)));
        let taken = greedy(&mut sure);
        let mut asked = 0;
        let best = reconsider(taken.clone(), END, 20, &mut |_| {
            asked += 1;
            None
        });
        assert_eq!((best, asked), (taken, 0));
    }

    #[test]
    fn the_search_ends_though_every_token_is_a_toss_up() {
        let mut asked = 0;
        let mut toss = |ids: &[i32]| {
            asked += 1;
            let token = ids.len() as i32 % 4;
            Some(choice((if ids.len() < 12 { token } else { END }, 0.5), (5, 0.499)))
        };
        let taken = greedy(&mut toss);
        let best = reconsider(taken, END, 20, &mut toss);
        assert!(best.tokens.len() <= 20, "{best:?}");
        assert!(asked <= 13 + ROUNDS * SWITCHES * 20, "{asked} decodings of one utterance");
    }

    #[test]
    fn a_loop_wins_nothing() {
        // After 2 the network says 3 for ever, and is sure of it.
        let mut looping = |ids: &[i32]| {
            Some(match ids {
                [] => choice((1, 0.5), (2, 0.49)),
                [1] => choice((END, 0.5), (3, 0.01)),
                _ => choice((3, 0.999), (END, 0.0001)),
            })
        };
        let taken = greedy(&mut looping);
        assert_eq!(reconsider(taken, END, 200, &mut looping).ids(), [1, END]);
    }

    #[test]
    fn a_network_that_stops_leaves_the_best_so_far() {
        let taken = greedy(&mut garden_path);
        assert_eq!(reconsider(taken.clone(), END, 20, &mut |_| None), taken);
    }

    #[test]
    fn a_choice_is_read_from_the_logits_up_to_the_end_of_text() {
        let read = Choice::of(&[0.0, 2.0, 1.0, 50.0], 2).expect("numbers");
        assert_eq!((read.first.id, read.second.id), (1, 2), "id 3 is beyond the end of text");
        let sum: f32 = [0.0_f32, 2.0, 1.0].iter().map(|x| x.exp()).sum();
        assert!(
            (read.first.log - (2.0 - sum.ln())).abs() < 1e-5
                && (read.second.log - (1.0 - sum.ln())).abs() < 1e-5
        );
        assert_eq!(Choice::of(&[f32::NAN; 3], 2), None);
        assert_eq!(Choice::of(&[0.0; 2], 2), None, "a row that is too short");
    }
}
