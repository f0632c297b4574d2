//! Every target over its seeds and over a fixed number of changes of each: what a search has found stays found, in every run of
//! the tests.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use nightline_fuzz::memory::Counting;
use nightline_fuzz::{TARGETS, run, target};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name)
}

fn seeds(name: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder(name)).unwrap_or_else(|error| panic!("seeds/{name}: {error}"));
    let mut seeds: Vec<(String, Vec<u8>)> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let octets = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), octets)
        })
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "seeds/{name} is empty: put an input there that the target understands");
    seeds
}

/// A few octets changed, doubled, cut out, or taken from another seed.
fn changed(rng: &mut SmallRng, seed: &[u8], other: &[u8]) -> Vec<u8> {
    let mut octets = seed.to_vec();
    for _ in 0..rng.random_range(1..=4) {
        let at = rng.random_range(0..=octets.len());
        let end = (at + rng.random_range(0..32)).min(octets.len());
        match rng.random_range(0..6) {
            0 | 1 if at < octets.len() => octets[at] ^= 1 << rng.random_range(0..8),
            2 if at < octets.len() => octets[at] = rng.random(),
            3 => drop(octets.drain(at..end)),
            4 => {
                let piece = octets[at..end].to_vec();
                octets.splice(at..at, piece);
            }
            _ => {
                let from = rng.random_range(0..=other.len());
                let to = (from + rng.random_range(0..64)).min(other.len());
                octets.splice(at..end, other[from..to].iter().copied());
            }
        }
    }
    octets
}

fn check(name: &str, changes: usize) {
    let target = target(name).unwrap_or_else(|| panic!("no target {name}"));
    let seeds = seeds(name);
    let attempt = |what: &str, octets: &[u8]| {
        if catch_unwind(AssertUnwindSafe(|| run(target, octets))).is_err() {
            let kept = std::env::temp_dir().join(format!("nightline-fuzz-{name}-broken"));
            fs::write(&kept, octets).expect("room for what was found");
            panic!(
                "{name} breaks on {what}: the input is in {}, put it into fuzz/seeds/{name}",
                kept.display()
            );
        }
    };
    for (seed, octets) in &seeds {
        attempt(&format!("the seed {seed}"), octets);
    }
    let mut rng = SmallRng::seed_from_u64(7);
    for (seed, octets) in &seeds {
        for number in 0..changes {
            let other = &seeds[rng.random_range(0..seeds.len())].1;
            attempt(&format!("change {number} of the seed {seed}"), &changed(&mut rng, octets, other));
        }
    }
}

#[test]
fn every_target_has_a_folder_of_seeds_and_every_folder_a_target() {
    let mut folders: Vec<String> = fs::read_dir(folder(""))
        .expect("fuzz/seeds")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    folders.sort();
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, folders);
}

#[test]
fn nothing_makes_a_description_or_a_header_break_its_reader() {
    check("descriptions", 300);
}

#[test]
fn no_file_breaks_its_reader() {
    check("files", 100);
}

#[test]
fn no_packet_breaks_the_receiver() {
    check("media", 100);
}

#[test]
fn no_message_breaks_an_endpoint() {
    check("signalling", 100);
}

#[test]
fn no_encrypted_packet_is_taken_that_the_peer_has_not_sent() {
    check("srtp", 100);
}

#[test]
fn no_message_breaks_a_media_stream() {
    check("streams", 300);
}

#[test]
fn no_offer_candidate_or_datagram_breaks_webrtc() {
    check("webrtc", 40);
}
