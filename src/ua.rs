//! A small telephone of our own: plays a recorded caller into a leg and measures what comes back.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::clock::Time;
use crate::leg::sip::SipLeg;
use crate::leg::{Leg, LegEvent};
use crate::media::{FRAME_TIME, Frame};
use crate::qa::{CallerReport, Note, ScriptedCaller};
use crate::record::MediaRecord;
use crate::record::wav::StereoWriter;

/// What came of a call, on the caller's side.
#[derive(Debug)]
pub struct Conversation {
    /// What the caller did and measured.
    pub report: CallerReport,
    /// What the network did to it.
    pub media: MediaRecord,
}

/// Plays `caller` into an answered call until either side hangs up. The recorder gets the caller left, the far end right.
pub async fn converse(
    mut leg: SipLeg,
    mut caller: ScriptedCaller,
    mut recorder: Option<StereoWriter>,
    longest: Duration,
    mut on_note: impl FnMut(Note),
) -> Conversation {
    let clock = leg.clock();
    let start = clock.now();
    let mut ticker = tokio::time::interval(FRAME_TIME);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            _ = ticker.tick() => {
                let now = clock.now();
                let heard = leg.pull(now);
                let step = caller.step(Time::ZERO + now.saturating_since(start), &heard);
                if let Some(note) = step.note {
                    on_note(note);
                }
                if let Some(digit) = step.press {
                    leg.press(digit);
                }
                leg.push(now, &step.frame);
                if let Some(recorder) = &mut recorder {
                    recorder.push(&step.frame, &heard);
                }
                if step.hang_up || now.saturating_since(start) > longest {
                    break;
                }
            }
            event = leg.event() => if event == LegEvent::Gone { break },
        }
    }
    leg.hang_up();
    if let Some(recorder) = recorder {
        recorder.finish();
    }
    Conversation { report: caller.report(), media: leg.media() }
}

/// Answers as a seat would: listens, presses a key once the summary has been heard, and stays for a while.
pub async fn sit(mut leg: SipLeg, key: char, stay: Duration, mut recorder: Option<StereoWriter>) {
    let clock = leg.clock();
    let mut ticker = tokio::time::interval(FRAME_TIME);
    let mut ear = SummaryEar::default();
    let mut pressed = None;
    loop {
        tokio::select! {
            biased;
            _ = ticker.tick() => {
                let now = clock.now();
                let heard = leg.pull(now);
                if pressed.is_none() && ear.summary_is_over(&heard) {
                    leg.press(key);
                    pressed = Some(now);
                }
                leg.push(now, &Frame::SILENCE);
                if let Some(recorder) = &mut recorder {
                    recorder.push(&heard, &Frame::SILENCE);
                }
                if pressed.is_some_and(|at| now.saturating_since(at) > stay) {
                    break;
                }
            }
            event = leg.event() => if event == LegEvent::Gone { break },
        }
    }
    leg.hang_up();
    if let Some(recorder) = recorder {
        recorder.finish();
    }
}

/// Hears when the summary is over: speech, then 900 ms of silence.
#[derive(Debug, Default)]
pub struct SummaryEar {
    spoke: u32,
    silent: u32,
}

impl SummaryEar {
    /// Takes 20 ms; true from the moment that the summary is over.
    pub fn summary_is_over(&mut self, heard: &Frame) -> bool {
        let loud = heard.0.iter().any(|s| s.unsigned_abs() > 500);
        self.spoke += u32::from(loud);
        self.silent = if loud { 0 } else { self.silent + 1 };
        self.spoke >= 25 && self.silent >= 45
    }
}
