//! Every recorded caller, through the real engines on virtual time, must come out right, and come out the same again.

use std::path::Path;

use nightline::config::Config;
use nightline::qa::{Fixture, report};
use nightline::services::Pools;
use nightline::sim;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures"))
}

#[test]
fn every_recorded_caller_is_served_as_its_script_says() {
    let mut pools = Pools::open(&Config::default()).expect("the pools open");
    let fixtures = Fixture::load_all(folder()).expect("the fixtures load");
    assert!(fixtures.len() >= 12, "only {} recorded callers", fixtures.len());
    let mut verdicts = Vec::new();
    for fixture in fixtures {
        pools = pools.in_language(fixture.language());
        verdicts.push(sim::rehearse(&pools, fixture).0);
    }
    let failed = verdicts.iter().any(|verdict| !verdict.passed());
    assert!(!failed, "\n{}", report::table(&verdicts, 120));
}

#[test]
fn a_replay_is_the_same_again() {
    let pools = Pools::open(&Config::default()).expect("the pools open");
    let play = || {
        let fixture = Fixture::load(&folder().join("interrupt.toml")).expect("the fixture loads");
        sim::rehearse(&pools, fixture)
    };
    let (first, heard_first) = play();
    let (second, heard_second) = play();
    assert_eq!(heard_first.len(), heard_second.len(), "the calls are not equally long");
    assert!(heard_first == heard_second, "the caller did not hear the same");
    assert_eq!(report::json(&[first]).ok(), report::json(&[second]).ok());
}
