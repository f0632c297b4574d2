//! The jitter buffer: samples on the sender's timeline, played as late as the network's jitter asks and no later.
//!
//! Samples lie in a ring addressed by RTP timestamp, so packet sizes, reordering and gaps need no cases of their own.
//! The cursor is the timestamp of the next sample to play. How far it should trail is learned from the last 256
//! transit times (arrival less timestamp): one frame beyond their 99th percentile, counted from their smallest. The
//! smallest also follows the sender's clock, so skew shows up as a level that drifts. The level is brought back by
//! dropping or repeating a few milliseconds where it is quiet; a packet that comes after its time pulls the cursor back
//! to it when the delay has to grow anyway, so that its words are heard late instead of never.

use std::time::Duration;

use super::conceal::Concealer;
use super::{FRAME, Kind, RATE, WIDE_FRAME};

// All of these are at 8 kHz; a buffer at 16 kHz has twice as many.
/// Samples that the ring holds: just over a second.
const CAPACITY: i64 = 8_192;
const FRAME_I: i64 = FRAME as i64;
/// The level never aims lower than one frame of slack and 5 ms, nor higher than 200 ms.
const LEAST: i64 = FRAME_I + 40;
const MOST: i64 = 1_600;
/// What it aims at before enough packets have been seen to judge the network.
const FIRST: i64 = 320;
const JUDGED: usize = 25;
/// Frames for which a frame more is aimed at once something could be repaired that was lost: 10 s.
const REPAIRS: u32 = 500;
/// A transit time this far from the others is a new timeline, or a stray.
const JUMP: i64 = 8_000;
/// Above the aim by this much, the excess is skipped at once.
const OVERFULL: i64 = 2_000;
/// Above the aim by this much, it is played down even in speech.
const FULL: i64 = 480;
/// The blend where samples are dropped or repeated: 5 ms.
const BLEND: i64 = 40;
/// The start of a frame that such a blend leaves alone, so that as much can be repeated.
const UNTOUCHED: i64 = 60;
/// The most samples dropped or repeated in one frame.
const DROP: i64 = 80;
const REPEAT: i64 = UNTOUCHED;
/// The most samples looked at beyond a frame, at 16 kHz.
const BEYOND: usize = 240;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Missing,
    Audio,
    Paused,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing has come yet.
    Empty,
    /// Waiting until the first packet is old enough to be played.
    Filling,
    Playing,
}

/// What became of a packet's samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    Stored,
    /// All of it came after its time.
    Late,
    /// Its timestamp fits nothing; it is believed when another one like it follows.
    Stray,
}

/// Times here are in samples: `now` since any fixed moment, `ts` an unwrapped RTP timestamp.
pub(super) struct Buffer {
    samples: Box<[i16]>,
    marks: Box<[Mark]>,
    /// Samples a second, in 8 kHz.
    scale: i64,
    phase: Phase,
    started: bool,
    cursor: i64,
    /// End of the latest samples received, and of the latest audio played.
    end: i64,
    played: i64,
    transits: Transits,
    stray: Option<i64>,
    /// Packets in a row that were too late, and the frames played meanwhile.
    late_run: (u32, u32),
    /// Smoothed distance, less the aim, in samples.
    level: f32,
    floor: f32,
    /// The level of the comfort noise that the sender asked for, while it is not sending audio.
    comfort: Option<u8>,
    /// Samples concealed, and those of them that a pause of the sender may still explain.
    concealed: u64,
    unexplained: u64,
    /// Frames left in which what is lost can be repaired by the packet after it, if that is waited for.
    repairs: u32,
}

impl Buffer {
    /// `rate` samples a second: 8,000 or 16,000.
    pub(super) fn new(rate: u32) -> Self {
        let scale = i64::from(rate / RATE);
        let capacity = (CAPACITY * scale) as usize;
        Self {
            samples: vec![0; capacity].into(),
            marks: vec![Mark::Missing; capacity].into(),
            scale,
            phase: Phase::Empty,
            started: false,
            cursor: 0,
            end: 0,
            played: i64::MIN,
            transits: Transits::new(scale),
            stray: None,
            late_run: (0, 0),
            level: 0.0,
            floor: 200.0,
            comfort: None,
            concealed: 0,
            unexplained: 0,
            repairs: 0,
        }
    }

    /// How much was concealed so far.
    pub(super) fn concealed_time(&self) -> Duration {
        Duration::from_micros(self.concealed * 125 / self.scale as u64)
    }

    /// Samples in a frame.
    fn frame(&self) -> i64 {
        FRAME_I * self.scale
    }

    /// Samples that the ring holds.
    fn capacity(&self) -> i64 {
        CAPACITY * self.scale
    }

    fn slot(&self, ts: i64) -> usize {
        ts.rem_euclid(self.capacity()) as usize
    }

    /// How far playing trails behind the fastest packet, in samples.
    pub(super) fn delay(&self, now: i64) -> i64 {
        if self.phase == Phase::Playing { (now - self.transits.least - self.cursor).max(0) } else { 0 }
    }

    /// What the delay is steered to, in samples.
    pub(super) fn aim(&self) -> i64 {
        let repairs = if self.repairs > 0 { self.frame() } else { 0 };
        (self.transits.aim() + repairs).min(MOST * self.scale)
    }

    /// A packet told what was in the lost one before it, up to `end`: what is still missing of that is filled, and such packets are waited
    /// for from now on.
    pub(super) fn repair(&mut self, end: i64, audio: &[i16]) {
        self.repairs = REPAIRS;
        if self.phase == Phase::Empty {
            return;
        }
        for (at, sample) in (end - audio.len() as i64..end).zip(audio) {
            let slot = self.slot(at);
            let room = at >= self.cursor && at - self.cursor < self.capacity();
            if room && self.marks[slot] == Mark::Missing {
                self.samples[slot] = *sample;
                self.marks[slot] = Mark::Audio;
            }
        }
    }

    /// Forgets the timeline, keeps what was measured of concealment: a new source, or a new session description.
    pub(super) fn restart(&mut self) {
        self.marks.fill(Mark::Missing);
        self.phase = Phase::Empty;
        self.played = i64::MIN;
        self.transits = Transits::new(self.scale);
        self.stray = None;
        self.late_run = (0, 0);
        self.level = 0.0;
        self.comfort = None;
        self.concealed += std::mem::take(&mut self.unexplained);
    }

    /// Takes the samples of one packet. `next`: it follows the latest packet directly by sequence number, so a gap
    /// before it is a pause of the sender and not a loss.
    pub(super) fn audio(&mut self, now: i64, ts: i64, audio: &[i16], next: bool) -> Put {
        let end = ts + audio.len() as i64;
        let transit = now - ts;
        if self.phase != Phase::Empty && (transit - self.transits.least).abs() > JUMP * self.scale {
            let again = self.stray.is_some_and(|stray| (stray - transit).abs() < JUMP * self.scale / 4);
            if !next && !again {
                self.stray = Some(transit);
                return Put::Stray;
            }
            self.restart();
        }
        self.stray = None;
        if self.phase == Phase::Empty {
            self.phase = Phase::Filling;
            self.cursor = ts;
            self.end = ts;
        } else if next && ts > self.end {
            self.mark_paused(self.end, ts);
            self.unexplained = 0;
        }
        self.concealed += std::mem::take(&mut self.unexplained);
        self.transits.add(transit);
        if self.phase == Phase::Filling {
            if ts < self.cursor && self.end - ts <= self.capacity() {
                self.cursor = ts;
            }
        } else if ts < self.cursor {
            let wanted = self.wanted(now);
            if ts >= self.played && wanted < self.cursor {
                // Nothing after it has been heard and the delay must grow: go back to it.
                self.cursor = wanted.max(self.played);
                self.level = 0.0;
            }
            if end <= self.cursor {
                self.late_run.0 += 1;
                if self.late_run.0 >= 8 && self.late_run.1 >= 5 {
                    // Everything is late: the path has become longer for good.
                    self.restart();
                    return self.audio(now, ts, audio, false);
                }
                return Put::Late;
            }
        }
        self.late_run = (0, 0);
        if end - self.cursor > self.capacity() {
            self.skip_to(end - self.capacity());
        }
        for (at, sample) in (ts..end).zip(audio).skip((self.cursor - ts).max(0) as usize) {
            let slot = self.slot(at);
            self.samples[slot] = *sample;
            self.marks[slot] = Mark::Audio;
        }
        if end > self.end {
            self.end = end;
            self.comfort = None;
        }
        Put::Stored
    }

    /// The sender sends no audio from `ts` to `ts + length`, on purpose; with `comfort`, until it sends some again.
    pub(super) fn pause(&mut self, ts: i64, length: i64, comfort: Option<u8>) {
        if self.phase == Phase::Empty || (ts - self.end).abs() > self.capacity() / 2 {
            return;
        }
        if ts >= self.end {
            self.unexplained = 0;
            if comfort.is_some() {
                self.comfort = comfort;
            }
        }
        let end = (ts + length).min(self.cursor + self.capacity());
        self.mark_paused(ts.max(self.cursor), end);
        self.end = self.end.max(end);
    }

    /// The next frame into `out`.
    pub(super) fn pull(&mut self, now: i64, conceal: &mut Concealer, out: &mut [i16]) -> Kind {
        match self.phase {
            Phase::Empty => return self.gap(conceal, out),
            Phase::Filling => {
                let wanted = self.wanted(now);
                if wanted + self.frame() <= self.cursor {
                    return self.gap(conceal, out);
                }
                let first = self.cursor;
                self.cursor = wanted.clamp(first - self.frame() + 1, first);
                self.mark_paused(self.cursor, first);
                self.phase = Phase::Playing;
                self.started = true;
                self.level = 0.0;
            }
            Phase::Playing => {}
        }
        self.late_run.1 += 1;
        self.repairs = self.repairs.saturating_sub(1);
        let aim = self.aim();
        let distance = now - self.transits.least - self.cursor;
        self.level += ((distance - aim) as f32 - self.level) / 8.0;
        if self.cursor >= self.end {
            return self.dry(now, aim - distance, conceal, out);
        }
        if distance - aim > OVERFULL * self.scale {
            conceal.cut();
            let wanted = self.wanted(now).min(self.end);
            self.skip_to(wanted);
            self.level = 0.0;
        }
        if let Some(kind) = self.stretch(conceal, out) {
            return kind;
        }
        // What is missing at the end may only be late: where the delay is short, wait instead of giving it up.
        let frame = self.frame();
        let taken = (frame - (aim - distance).clamp(0, frame)).max((self.end - self.cursor).min(frame));
        let kind = self.play(conceal, out);
        self.skip_to(self.cursor + taken);
        kind
    }

    /// Plays the frame at the cursor with a few samples more or fewer, if the level asks for it and it does no harm.
    fn stretch(&mut self, conceal: &mut Concealer, out: &mut [i16]) -> Option<Kind> {
        let (frame, scale) = (self.frame(), self.scale);
        let mark = self.marks[self.slot(self.cursor)];
        let ahead = (self.end - self.cursor).clamp(0, 2 * frame);
        let known =
            (0..ahead).take_while(|at| self.marks[self.slot(self.cursor + at)] == mark).count() as i64;
        if mark == Mark::Missing || known < frame {
            return None;
        }
        if mark == Mark::Paused {
            let drop = (self.level as i64).clamp(-frame, known - frame);
            let kind = self.play(conceal, out);
            self.skip_to(self.cursor + frame + drop);
            self.level -= drop as f32;
            return Some(kind);
        }
        let mut long = [0i16; WIDE_FRAME + BEYOND];
        for (at, sample) in long.iter_mut().enumerate().take((known.min(frame + 120 * scale)) as usize) {
            *sample = self.samples[self.slot(self.cursor + at as i64)];
        }
        let strength = effective(&long[..frame as usize]);
        self.floor = (self.floor * 1.004 + 0.01).min(strength.max(1.0));
        let quiet = strength < (self.floor * 2.0).max(60.0);
        let level = self.level as i64;
        let drop = if quiet && level > 80 * scale {
            level.min(DROP * scale)
        } else if level > FULL * scale {
            best_drop(&long, scale as usize)
        } else if quiet && level < -40 * scale {
            level.max(-REPEAT * scale)
        } else {
            return None;
        };
        if frame + drop > known {
            return None;
        }
        for (at, sample) in out.iter_mut().enumerate() {
            let old = i32::from(long[at]);
            let new = i32::from(long[(at as i64 + drop).max(0) as usize]);
            let share = (at as i64 + 1 - UNTOUCHED * scale).clamp(0, BLEND * scale + 1) as i32;
            let whole = (BLEND * scale) as i32 + 1;
            *sample = ((old * (whole - share) + new * share) / whole) as i16;
        }
        conceal.good(out);
        self.skip_to(self.cursor + frame + drop);
        self.played = self.cursor;
        self.level -= drop as f32;
        Some(Kind::Played)
    }

    /// Plays the frame at the cursor; does not move it.
    fn play(&mut self, conceal: &mut Concealer, out: &mut [i16]) -> Kind {
        let mut kind = Kind::Silence;
        let mut at = 0;
        let frame = out.len();
        while at < frame {
            let here = self.cursor + at as i64;
            let mark = self.marks[self.slot(here)];
            let run = 1
                + (at + 1..frame)
                    .take_while(|next| self.marks[self.slot(self.cursor + *next as i64)] == mark)
                    .count();
            let part = &mut out[at..at + run];
            match mark {
                Mark::Audio => {
                    for (offset, sample) in part.iter_mut().enumerate() {
                        *sample = self.samples[self.slot(here + offset as i64)];
                    }
                    conceal.good(part);
                    self.played = here + run as i64;
                    kind = if kind == Kind::Concealed { kind } else { Kind::Played };
                }
                Mark::Paused => {
                    conceal.pause(part, self.comfort);
                    let pause = if self.comfort.is_some() { Kind::Comfort } else { Kind::Silence };
                    kind = if kind == Kind::Silence { pause } else { kind };
                }
                Mark::Missing if here >= self.end && self.comfort.is_some() => {
                    conceal.pause(part, self.comfort);
                    kind = if kind == Kind::Silence { Kind::Comfort } else { kind };
                }
                Mark::Missing => {
                    if !conceal.faded() {
                        let count =
                            if here >= self.end { &mut self.unexplained } else { &mut self.concealed };
                        *count += run as u64;
                        kind = Kind::Concealed;
                    }
                    conceal.lost(part);
                }
            }
            at += run;
        }
        kind
    }

    /// A frame when nothing more has come. The cursor waits as long as the delay is `short`, in samples, and is free to
    /// move once there is nothing to hear.
    fn dry(&mut self, now: i64, short: i64, conceal: &mut Concealer, out: &mut [i16]) -> Kind {
        let silent = conceal.faded() || self.comfort.is_some();
        let kind = self.play(conceal, out);
        if silent {
            self.cursor = self.wanted(now).max(self.end);
            self.level = 0.0;
        } else {
            self.cursor += self.frame() - short.clamp(0, self.frame());
        }
        kind
    }

    /// A frame before the first packet of a timeline.
    fn gap(&mut self, conceal: &mut Concealer, out: &mut [i16]) -> Kind {
        if !self.started {
            conceal.pause(out, None);
            return Kind::Starting;
        }
        let silent = conceal.faded();
        conceal.lost(out);
        if silent {
            return Kind::Silence;
        }
        self.concealed += out.len() as u64;
        Kind::Concealed
    }

    /// Where the cursor should be.
    fn wanted(&self, now: i64) -> i64 {
        now - self.transits.least - self.aim()
    }

    fn mark_paused(&mut self, from: i64, to: i64) {
        for at in from.max(self.cursor)..to.min(self.cursor + self.capacity()) {
            let slot = self.slot(at);
            let mark = &mut self.marks[slot];
            if *mark == Mark::Missing {
                *mark = Mark::Paused;
            }
        }
    }

    /// Moves the cursor and leaves nothing behind it in the ring.
    fn skip_to(&mut self, to: i64) {
        for at in self.cursor..to.min(self.cursor + self.capacity()) {
            let slot = self.slot(at);
            self.marks[slot] = Mark::Missing;
        }
        self.cursor = to;
    }
}

/// The last 256 transit times and what they say.
struct Transits {
    seen: [i64; 256],
    count: usize,
    least: i64,
    spread: i64,
    scale: i64,
}

impl Transits {
    fn new(scale: i64) -> Self {
        Self { seen: [0; 256], count: 0, least: 0, spread: 0, scale }
    }

    fn add(&mut self, transit: i64) {
        self.seen[self.count % self.seen.len()] = transit;
        self.count += 1;
        let filled = self.count.min(self.seen.len());
        let mut sorted = self.seen;
        let sorted = &mut sorted[..filled];
        let (before, percentile, _) = sorted.select_nth_unstable(filled * 99 / 100);
        self.least = before.iter().copied().min().unwrap_or(*percentile);
        self.spread = *percentile - self.least;
    }

    fn aim(&self) -> i64 {
        let scale = self.scale;
        let learned = ((FRAME_I + 16) * scale + self.spread).clamp(LEAST * scale, MOST * scale);
        if self.count < JUDGED { learned.max(FIRST * scale) } else { learned }
    }
}

fn effective(audio: &[i16]) -> f32 {
    let energy: f32 = audio.iter().map(|s| f32::from(*s) * f32::from(*s)).sum();
    (energy / audio.len() as f32).sqrt()
}

/// How many samples to drop so that what meets is most alike: a pitch period.
fn best_drop(long: &[i16], scale: usize) -> i64 {
    let mut best = (40 * scale as i64, f32::MAX);
    for lag in 40 * scale..=120 * scale {
        let apart: f32 = (UNTOUCHED as usize * scale..(UNTOUCHED + BLEND) as usize * scale)
            .map(|at| {
                let step = f32::from(long[at]) - f32::from(long[at + lag]);
                step * step
            })
            .sum();
        if apart < best.1 {
            best = (lag as i64, apart);
        }
    }
    best.0
}
