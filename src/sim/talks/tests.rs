use super::*;
use crate::config::Config;
use crate::qa::turns::Set;
use crate::services::Pools;
use crate::sim::talks::score::{Tally, tally};

struct Theatre {
    material: Material,
    pools: Pools,
}

impl Theatre {
    fn open() -> Self {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/turns");
        let sets =
            ["fit.jsonl", "test.jsonl"].map(|name| Set::load(&folder.join(name)).expect("the set loads"));
        let material = Material::new(sets.into(), "zh");
        assert_eq!(material.lacks(), None);
        Self { material, pools: Pools::open(&Config::default()).expect("the pools open") }
    }

    fn stage<'a>(&'a self, settings: &'a Settings) -> Stage<'a> {
        Stage::new(&self.material, &self.pools.services, settings)
    }
}

fn talks(seeds: std::ops::Range<u64>) -> Vec<Talk> {
    seeds.map(|seed| Talk::new(seed, &Behaviour::ALL, &Network::ALL)).collect()
}

fn all(outcomes: &[Outcome], settings: &Settings) -> Tally {
    tally(outcomes, &settings.phrases, |_, _| ()).remove(&()).expect("there were conversations")
}

/// One of every kind of caller over every network keeps every promise, and the whole is what its seed says.
#[test]
fn conversations_keep_their_promises_and_repeat_from_their_seed() {
    let theatre = Theatre::open();
    let settings = &theatre.pools.settings;
    let talks = talks(0..45);
    let outcomes = theatre.stage(settings).run(&talks, 2, &|| {});
    for outcome in &outcomes {
        assert!(outcome.broken.is_empty(), "{:?}:\n{}", outcome.talk, timeline(outcome));
    }
    let tally = all(&outcomes, settings);
    assert_eq!(tally.talks, 45);
    assert!(tally.turns > 90, "only {} turns were said", tally.turns);
    assert!(tally.cut_off * 5 < tally.turns, "{} of {} turns were cut off", tally.cut_off, tally.turns);
    assert!(tally.missed * 20 < tally.turns, "{} of {} turns were missed", tally.missed, tally.turns);
    assert!(tally.interruptions.all >= 5, "nobody interrupted");
    assert!(tally.ladders.all == 5 && tally.ladders.right == 5, "{:?}", tally.ladders);
    assert!(
        tally.backchannels.all > 0 && tally.coughs.all > 0 && tally.side_talk.all > 0 && tally.echoes.all > 0
    );
    // Another order, as another number of threads would give.
    for (talk, first) in talks.iter().zip(&outcomes).rev().step_by(7) {
        let again = theatre.stage(settings).talk(*talk);
        assert_eq!(timeline(&again), timeline(first), "{talk:?} came out differently");
        assert_eq!(again.heard, first.heard, "{talk:?} sounded different");
    }
    assert_ne!(timeline(&outcomes[0]), timeline(&outcomes[9]), "two seeds gave the same conversation");
}

/// A bot that waits too long for a silent caller breaks the promise of an open line.
#[test]
fn a_planted_fault_is_found() {
    let theatre = Theatre::open();
    let patient = Settings { no_input: Duration::from_secs(20), ..theatre.pools.settings.clone() };
    let mut stage = theatre.stage(&patient);
    stage.longest_silence = theatre.pools.settings.no_input + GRACE;
    let silent = Talk { seed: 5, behaviour: Behaviour::Silent, network: Network::Clean };
    let outcome = stage.talk(silent);
    let found = outcome.broken.iter().any(|broken| broken.what.contains("silent"));
    assert!(found, "the silence was not found:\n{}", timeline(&outcome));
    assert_eq!(
        theatre.stage(&theatre.pools.settings).talk(silent).broken,
        [],
        "without the fault nothing is found"
    );
}

/// A caller whose voice is all lost is a silent one: its turns are missed, not cut off.
#[test]
fn ears_that_hear_nothing_miss_every_turn() {
    let theatre = Theatre::open();
    let settings = &theatre.pools.settings;
    let mut stage = theatre.stage(settings);
    let talk = Talk { seed: 3, behaviour: Behaviour::Slow, network: Network::Clean };
    let good = Tally::of(&stage.talk(talk), &settings.phrases);
    assert!(good.turns > 0 && good.missed == 0, "{good:?}");
    // Every word is misheard, the first ones as nothing.
    stage.errors = 1.0;
    let bad = Tally::of(&stage.talk(talk), &settings.phrases);
    assert!(bad.missed > 0, "{bad:?}");
}
