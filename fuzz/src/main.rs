//! One binary for libFuzzer: `NIGHTLINE_FUZZ` names the target, everything else is libFuzzer's own. `fuzz/run` builds and
//! starts it.

#![no_main]

use std::sync::OnceLock;

use nightline_fuzz::memory::Counting;
use nightline_fuzz::{TARGETS, run, target};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

fn choose() -> fn(&[u8]) {
    let name = std::env::var("NIGHTLINE_FUZZ").unwrap_or_default();
    target(&name).unwrap_or_else(|| {
        let known: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        eprintln!("NIGHTLINE_FUZZ={name:?} is no target: set it to one of {}", known.join(", "));
        std::process::exit(64)
    })
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| run(*TARGET.get_or_init(choose), data));
