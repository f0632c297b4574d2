//! Figures of turn-taking: false cut-offs, delays, yield, selectivity, and the curve of one against the other.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::bench::{Moment, Outcome};
use super::{Item, Truth};
use crate::call::endpointing::Endpointing;

/// What came of a set.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// All turns.
    pub turns: Turns,
    /// By kind.
    pub kinds: BTreeMap<String, Turns>,
    /// What was said over the bot, by what it really was.
    pub over_the_bot: BTreeMap<Truth, Overlap>,
}

/// Ends of turns.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Turns {
    /// How many.
    pub count: usize,
    /// Taken for over while the caller still had something to say.
    pub cut_off: usize,
    /// Never taken for over.
    pub missed: usize,
    /// From the end of speech to the decision, of those that were not cut off: median and 95th percentile, milliseconds.
    pub delay_ms: Option<(u64, u64)>,
}

/// Speech, or what sounds like it, over the bot.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Overlap {
    /// How many.
    pub count: usize,
    /// The bot was paused for it.
    pub paused: usize,
    /// The bot was cut.
    pub cut: usize,
    /// From its beginning to the pause: median and 95th percentile, milliseconds.
    pub pause_ms: Option<(u64, u64)>,
}

impl Report {
    /// Of these recordings.
    pub fn new(outcomes: &[Outcome]) -> Self {
        let turns: Vec<&Outcome> = outcomes.iter().filter(|o| o.truth == Truth::Turn).collect();
        let mut kinds: BTreeMap<String, Vec<&Outcome>> = BTreeMap::new();
        for outcome in &turns {
            kinds.entry(outcome.kind.clone()).or_default().push(outcome);
        }
        let mut over: BTreeMap<Truth, Vec<&Outcome>> = BTreeMap::new();
        for outcome in outcomes.iter().filter(|o| o.truth != Truth::Turn) {
            over.entry(outcome.truth).or_default().push(outcome);
        }
        Self {
            turns: Turns::of(&turns),
            kinds: kinds.into_iter().map(|(kind, outcomes)| (kind, Turns::of(&outcomes))).collect(),
            over_the_bot: over.into_iter().map(|(truth, outcomes)| (truth, Overlap::of(&outcomes))).collect(),
        }
    }

    /// Share of interruptions at which the bot yielded, in 0..=1.
    pub fn yields(&self) -> Option<f64> {
        self.over_the_bot.get(&Truth::Interrupt).map(|o| o.cut as f64 / o.count.max(1) as f64)
    }

    /// Share of sounds of this truth at which the bot spoke on, in 0..=1.
    pub fn selectivity(&self, truth: Truth) -> Option<f64> {
        self.over_the_bot.get(&truth).map(|o| 1.0 - o.cut as f64 / o.count.max(1) as f64)
    }
}

impl Turns {
    fn of(outcomes: &[&Outcome]) -> Self {
        let ends: Vec<End> = outcomes
            .iter()
            .map(|outcome| match outcome.delay_ms() {
                _ if outcome.is_cut_off() => End::CutOff,
                Some(delay) => End::After(delay),
                None => End::Missed,
            })
            .collect();
        Self::count(&ends)
    }

    fn count(ends: &[End]) -> Self {
        let mut delays: Vec<u64> =
            ends.iter().filter_map(|end| if let End::After(ms) = end { Some(*ms) } else { None }).collect();
        Self {
            count: ends.len(),
            cut_off: ends.iter().filter(|end| **end == End::CutOff).count(),
            missed: ends.iter().filter(|end| **end == End::Missed).count(),
            delay_ms: percentiles(&mut delays),
        }
    }

    /// Share of turns that were cut off, in 0..=1.
    pub fn cut_off_share(&self) -> f64 {
        self.cut_off as f64 / self.count.max(1) as f64
    }
}

impl Overlap {
    fn of(outcomes: &[&Outcome]) -> Self {
        let mut pauses: Vec<u64> =
            outcomes.iter().filter_map(|o| o.paused_ms.map(|ms| ms.max(0) as u64)).collect();
        Self {
            count: outcomes.len(),
            paused: pauses.len(),
            cut: outcomes.iter().filter(|o| o.cut).count(),
            pause_ms: percentiles(&mut pauses),
        }
    }
}

/// Median and 95th percentile.
pub(crate) fn percentiles(values: &mut [u64]) -> Option<(u64, u64)> {
    values.sort_unstable();
    let at = |share: f64| values.get((values.len() as f64 * share) as usize).or(values.last()).copied();
    Some((at(0.5)?, at(0.95)?))
}

/// The moments of one turn, none of which was taken for its end.
#[derive(Clone, Debug)]
pub struct Track {
    /// Which.
    pub item: Item,
    /// Its moments of silence.
    pub moments: Vec<Moment>,
}

/// How a turn ends by some rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Before the caller has finished.
    CutOff,
    /// So many milliseconds after it has.
    After(u64),
    /// Not at all.
    Missed,
}

impl Track {
    /// Where this turn ends if `over` tells the moment.
    pub fn end(&self, over: impl Fn(&Moment) -> bool) -> End {
        match self.moments.iter().find(|moment| over(moment)) {
            Some(moment) => match moment.at_ms.checked_sub(self.item.end_ms()) {
                Some(delay) => End::After(delay),
                None => End::CutOff,
            },
            None => End::Missed,
        }
    }
}

/// One point of the curve.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// Threshold of the probability, or the silence in milliseconds.
    pub setting: f64,
    /// What it leads to.
    #[serde(flatten)]
    pub turns: Turns,
}

/// The curve of the weights: one point a threshold.
pub fn curve(tracks: &[Track], endpointing: &Endpointing) -> Vec<Point> {
    (-4..=28_i8)
        .map(|n| {
            let threshold = 1.0 / (1.0 + (-f64::from(n) / 4.0).exp());
            let mut model = crate::call::endpointing::Model::clone(&endpointing.model);
            model.threshold = threshold as f32;
            let endpointing = Endpointing { model: model.into(), ..endpointing.clone() };
            Point { setting: threshold, turns: by(tracks, |moment| endpointing.judge(&moment.signs).over) }
        })
        .collect()
}

/// The curve of silence alone: one point a length.
pub fn silence_only(tracks: &[Track]) -> Vec<Point> {
    (10..=90_u32)
        .step_by(4)
        .map(|frames| {
            let silence = frames * Duration::from_millis(20);
            let turns = by(tracks, |moment| moment.signs.silence >= silence);
            Point { setting: silence.as_millis() as f64, turns }
        })
        .collect()
}

/// What a rule leads to.
fn by(tracks: &[Track], over: impl Fn(&Moment) -> bool) -> Turns {
    let ends: Vec<End> = tracks.iter().map(|track| track.end(&over)).collect();
    Turns::count(&ends)
}
