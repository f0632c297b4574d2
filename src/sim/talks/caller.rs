//! A simulated caller: what it says when, as sound on the line.
//!
//! It waits until the bot has spoken, says a turn, and waits for the answer; it says a turn again that is not answered, and
//! hangs up when it has had its turns. What it does beside that is its [`Behaviour`]. It draws everything from one seed.

use std::collections::VecDeque;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;

use super::behaviour::Behaviour;
use super::ears::{Speaker, Word, spread};
use super::material::{Material, Turn};
use crate::call::event::{TurnId, millis_time};
use crate::clock::Time;
use crate::dialogue::Expect;
use crate::media::{FRAME, Frame, RATE};

/// What the caller knows of the bot at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bot {
    /// The last turn that it began.
    pub(super) turn: Option<TurnId>,
    /// It is speaking that turn.
    pub(super) speaking: bool,
    /// It may not be interrupted now.
    pub(super) protected: bool,
    /// What it has asked.
    pub(super) asks: Expect,
}

/// Something that sounded on the caller's side.
#[derive(Clone, Debug, Serialize)]
pub struct Laid {
    /// What.
    pub what: What,
    /// The words, or nothing.
    pub text: String,
    /// First sound, on the caller's clock.
    #[serde(rename = "from_ms", with = "millis_time")]
    pub from: Time,
    /// Last sound.
    #[serde(rename = "to_ms", with = "millis_time")]
    pub to: Time,
    /// The bot's turn that it was laid over.
    pub over: Option<TurnId>,
    /// That may not be interrupted.
    pub protected: bool,
}

/// What sounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A turn, when the bot was thought to have finished.
    Turn,
    /// An interruption.
    Interruption,
    /// 嗯.
    Backchannel,
    /// A cough, a sneeze, a laugh.
    Cough,
    /// Somebody else.
    SideTalk,
}

/// What the caller does in 20 ms.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) frame: Frame,
    pub(super) words: Vec<Word>,
    pub(super) hang_up: bool,
}

#[derive(Debug)]
pub(super) struct Caller<'a> {
    material: &'a Material,
    behaviour: Behaviour,
    rng: SmallRng,
    voice: String,
    gain: f32,
    noise: f32,
    echo: Option<Echo>,
    /// Samples sent so far.
    at: u64,
    clips: Vec<Clip>,
    laid: Vec<Laid>,
    words: Vec<Word>,
    doing: Doing,
    /// The bot's turn that was heard last.
    hears: Option<TurnId>,
    /// The bot was last heard at.
    heard: u64,
    /// How long after that the caller speaks.
    reaction: u64,
    /// The newest turn of the bot for which was decided what is done beside it.
    seen: Option<TurnId>,
    beside: VecDeque<(u64, What)>,
    turns: u32,
    /// After so many of them it says nothing any more.
    silent_after: u32,
}

/// Sound that begins at a sample.
#[derive(Debug)]
struct Clip {
    from: u64,
    samples: Vec<i16>,
    gain: f32,
}

#[derive(Debug)]
enum Doing {
    /// The bot speaks, or has just finished.
    Listening,
    Speaking {
        until: u64,
        then: Awaited,
    },
    Waiting(Awaited),
}

/// An answer that is waited for.
#[derive(Clone, Debug)]
struct Awaited {
    /// The bot's last turn before it.
    after: Option<TurnId>,
    /// How long.
    patience: u64,
    /// What is said again if it does not come, and how often it was said.
    again: Option<(Turn, u32)>,
}

/// The bot's voice on its way back.
#[derive(Debug)]
struct Echo {
    line: VecDeque<i16>,
    delay: usize,
    gain: f32,
    /// Of a low pass.
    state: f32,
}

/// Turns of a conversation, at least and at most.
const TURNS: (u32, u32) = (3, 6);
/// A turn is said so often before the caller gives up.
const TRIES: u32 = 3;
/// Louder than this, the bot is heard.
const LOUD: u16 = 300;
/// The bot's voice is on its way for so long after it has left.
const ON_ITS_WAY: u64 = samples(240);
/// How long an answer is waited for; and one to words said over the bot, which may not have been taken.
const PATIENCE: u64 = samples(5000);
const SHORT_PATIENCE: u64 = samples(2500);
/// How likely a word of somebody far from the telephone is to be made out.
const FAR: f64 = 0.7;
/// The pole of the loudspeaker's low pass: about 2.5 kHz.
const LOW_PASS: f32 = 0.6;

const fn samples(ms: u64) -> u64 {
    ms * RATE as u64 / 1000
}

impl<'a> Caller<'a> {
    pub(super) fn new(material: &'a Material, behaviour: Behaviour, seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let voice = material.voice(&mut rng);
        let gain = decibels(rng.random_range(-4.0..3.0));
        // In half of the calls nothing is heard beside the voices, else noise from -70 to -50 dB below full scale.
        let noise = if rng.random() { decibels(rng.random_range(-70.0..-50.0)) * 32768.0 } else { 0.0 };
        let echo = (behaviour == Behaviour::Speakerphone).then(|| {
            let delay = samples(rng.random_range(40..180)) as usize;
            Echo {
                line: VecDeque::from(vec![0; delay]),
                delay,
                gain: decibels(rng.random_range(-26.0..-12.0)),
                state: 0.0,
            }
        });
        let silent_after = if behaviour == Behaviour::Silent { rng.random_range(0..3) } else { u32::MAX };
        let turns = rng.random_range(TURNS.0..=TURNS.1);
        Self {
            material,
            behaviour,
            rng,
            voice,
            gain,
            noise,
            echo,
            at: 0,
            clips: Vec::new(),
            laid: Vec::new(),
            words: Vec::new(),
            doing: Doing::Listening,
            hears: None,
            heard: 0,
            reaction: samples(300),
            seen: None,
            beside: VecDeque::new(),
            turns,
            silent_after,
        }
    }

    /// Everything that it said, and that sounded beside it.
    pub(super) fn laid(&self) -> &[Laid] {
        &self.laid
    }

    /// True while something sounds on its side, echo and noise not counted.
    pub(super) fn sounds(&self) -> bool {
        let now = self.now();
        self.laid.iter().rev().take(4).any(|laid| laid.from <= now && now <= laid.to)
    }

    /// How long the bot's voice takes through the room if it comes back, and how clear its words are then: the weaker, the less.
    pub(super) fn echoes(&self) -> Option<(Duration, f64)> {
        let clear = |gain: f32| f64::from(1.0 + (20.0 * gain.log10() + 8.0) / 30.0).clamp(0.0, 1.0);
        self.echo.as_ref().map(|echo| (time(echo.delay as u64).since_start(), clear(echo.gain)))
    }

    /// True if it is one that says nothing more.
    pub(super) fn is_silent(&self) -> bool {
        self.silent_after == 0
    }

    fn now(&self) -> Time {
        time(self.at)
    }

    /// 20 ms pass, in which this is heard.
    pub(super) fn step(&mut self, heard: &Frame, bot: &Bot) -> Step {
        let loud = heard.0.iter().filter(|s| s.unsigned_abs() > LOUD).count() > 8;
        if loud && bot.speaking {
            self.hears = bot.turn;
        }
        // A gap between two sentences is not the end; but a turn that has just begun is still on its way.
        if loud || bot.speaking && self.hears == bot.turn {
            self.heard = self.at;
        }
        let audible = self.at - self.heard < ON_ITS_WAY;
        if bot.speaking && bot.turn != self.seen {
            self.seen = bot.turn;
            self.plan_beside();
        }
        self.do_beside(audible, bot);
        let hang_up = self.act(audible, bot);
        let frame = self.frame(heard);
        self.at += FRAME as u64;
        Step { frame, words: std::mem::take(&mut self.words), hang_up }
    }

    /// Goes on with the conversation. True if it hangs up.
    fn act(&mut self, audible: bool, bot: &Bot) -> bool {
        let quiet = self.at - self.heard;
        match &self.doing {
            Doing::Speaking { until, then } if self.at >= *until => {
                self.heard = self.at;
                self.doing = Doing::Waiting(then.clone());
            }
            Doing::Waiting(awaited) if bot.turn > awaited.after && bot.speaking => {
                self.doing = Doing::Listening;
                self.heard = self.at;
                self.draw_reaction();
            }
            Doing::Waiting(awaited) if quiet > awaited.patience => match awaited.again.clone() {
                Some((_, tries)) if tries >= TRIES => return true,
                Some((turn, tries)) => self.say(&turn, tries + 1, bot, What::Turn),
                None => self.doing = Doing::Listening,
            },
            Doing::Speaking { .. } | Doing::Waiting(_) => {}
            Doing::Listening if audible || bot.turn.is_none() || quiet < self.reaction => {}
            Doing::Listening if self.silent_after == 0 => {}
            Doing::Listening if self.turns == 0 => return true,
            Doing::Listening => {
                self.turns -= 1;
                self.silent_after = self.silent_after.saturating_sub(1);
                let turn = self.compose(bot.asks);
                self.say(&turn, 1, bot, What::Turn);
            }
        }
        false
    }

    fn draw_reaction(&mut self) {
        let (least, most) = self.behaviour.reaction_ms();
        self.reaction = ON_ITS_WAY + samples(self.rng.random_range(least..most));
    }

    /// A turn as this caller says it.
    fn compose(&mut self, asks: Expect) -> Turn {
        let mut turn = self.material.turn(asks, &self.voice, &mut self.rng);
        if self.behaviour == Behaviour::Hesitant && self.rng.random_ratio(2, 3) {
            let before = self.material.hesitation(&self.voice, &mut self.rng);
            turn.pieces.splice(0..0, before.pieces);
            turn.pauses.splice(0..0, before.pauses);
        }
        for pause in &mut turn.pauses {
            *pause = self.behaviour.pause(*pause);
        }
        turn
    }

    fn say(&mut self, turn: &Turn, tries: u32, bot: &Bot, what: What) {
        let until = self.lay(turn, what, self.gain, Speaker::Caller, bot);
        let over = bot.speaking;
        let again = (what == What::Turn).then(|| (turn.clone(), tries));
        let then = Awaited {
            after: bot.turn,
            patience: if over { SHORT_PATIENCE } else { PATIENCE },
            again: again.filter(|_| !over),
        };
        self.doing = Doing::Speaking { until, then };
    }

    /// Decides what is done beside the bot's next turn.
    fn plan_beside(&mut self) {
        self.beside.clear();
        let plan = |rng: &mut SmallRng, most: u32, first: std::ops::Range<u64>, apart: u64| {
            let mut at = rng.random_range(first);
            let count = rng.random_range(0..=most);
            let mut next = || {
                let this = at;
                at += rng.random_range(apart..2 * apart);
                this
            };
            (0..count).map(|_| next()).collect()
        };
        let rng = &mut self.rng;
        let (what, times): (_, Vec<u64>) = match self.behaviour {
            Behaviour::Backchannel => (What::Backchannel, plan(rng, 3, 500..3000, 1500)),
            Behaviour::Interrupting => (What::Interruption, plan(rng, 1, 300..3500, 1000)),
            Behaviour::Coughing => (What::Cough, plan(rng, 2, 300..5000, 2500)),
            Behaviour::SecondSpeaker => (What::SideTalk, plan(rng, 2, 300..5000, 3500)),
            _ => return,
        };
        self.beside = times.into_iter().map(|ms| (self.at + samples(ms), what)).collect();
    }

    fn do_beside(&mut self, audible: bool, bot: &Bot) {
        let Some((_, what)) = self.beside.front().copied().filter(|(at, _)| *at <= self.at) else { return };
        self.beside.pop_front();
        let speaking = matches!(self.doing, Doing::Speaking { .. });
        match what {
            What::Interruption if audible && bot.speaking && !speaking => {
                let words = self.material.interruption(&self.voice, &mut self.rng);
                self.say(&words, 1, bot, what);
            }
            What::Backchannel if audible && bot.speaking && !speaking => {
                let words = self.material.backchannel(&self.voice, &mut self.rng);
                self.lay(&words, what, self.gain, Speaker::Caller, bot);
            }
            What::Cough if !speaking => {
                let cough = self.material.cough(&mut self.rng);
                self.lay(&cough, what, self.gain, Speaker::Caller, bot);
            }
            What::SideTalk if !speaking && self.rng.random() => {
                let far = self.material.side_talk(&mut self.rng);
                self.lay(&far, what, 1.0, Speaker::Beside, bot);
            }
            What::SideTalk if !speaking => {
                let other = self.material.voice(&mut self.rng);
                let words = self.material.turn(Expect::Open, &other, &mut self.rng);
                let gain = decibels(self.rng.random_range(-20.0..-15.0));
                self.lay(&words, what, gain, Speaker::Beside, bot);
            }
            _ => {}
        }
    }

    /// Puts `turn` on the line from now on; gives when it ends.
    fn lay(&mut self, turn: &Turn, what: What, gain: f32, who: Speaker, bot: &Bot) -> u64 {
        let mut at = self.at;
        let mut span: Option<(u64, u64)> = None;
        for (i, piece) in turn.pieces.iter().enumerate() {
            let sounds = at + piece.sounds.start as u64..at + piece.sounds.end as u64;
            let clarity = if who == Speaker::Caller { 1.0 } else { FAR };
            self.words.extend(spread(&piece.text, time(sounds.start), time(sounds.end), who, clarity));
            self.clips.push(Clip { from: at, samples: piece.samples.clone(), gain });
            span = Some((span.map_or(sounds.start, |(from, _)| from), sounds.end));
            let pause = turn.pauses.get(i).copied().unwrap_or_default();
            at = sounds.end + samples(pause.as_millis() as u64);
        }
        let (from, to) = span.unwrap_or((self.at, self.at));
        let texts: Vec<&str> =
            turn.pieces.iter().map(|p| p.text.as_str()).filter(|t| !t.is_empty()).collect();
        self.laid.push(Laid {
            what,
            text: texts.join(" / "),
            from: time(from),
            to: time(to),
            over: bot.turn.filter(|_| bot.speaking),
            protected: bot.protected,
        });
        to
    }

    /// The sound of the present 20 ms.
    fn frame(&mut self, heard: &Frame) -> Frame {
        let mut mix = [0.0_f32; FRAME];
        let at = self.at;
        for clip in &self.clips {
            let first = (at.saturating_sub(clip.from)) as usize;
            let into = clip.from.saturating_sub(at) as usize;
            for (sum, sample) in mix.iter_mut().skip(into).zip(clip.samples.iter().skip(first)) {
                *sum += f32::from(*sample) * clip.gain;
            }
        }
        self.clips.retain(|clip| clip.from + clip.samples.len() as u64 > at + FRAME as u64);
        if let Some(echo) = &mut self.echo {
            echo.line.extend(heard.0);
            for sum in &mut mix {
                let sample = f32::from(echo.line.pop_front().unwrap_or(0));
                echo.state += LOW_PASS * (sample - echo.state);
                *sum += echo.state * echo.gain;
            }
        }
        if self.noise > 0.0 {
            // Uniform noise of this mean power.
            let most = self.noise * 3.0_f32.sqrt();
            for sum in &mut mix {
                *sum += self.rng.random_range(-most..most);
            }
        }
        let mut frame = Frame::SILENCE;
        for (sample, sum) in frame.0.iter_mut().zip(mix) {
            *sample = sum.clamp(-32768.0, 32767.0) as i16;
        }
        frame
    }
}

fn time(samples: u64) -> Time {
    Time::from_start(Duration::from_micros(samples * 1_000_000 / u64::from(RATE)))
}

fn decibels(db: f32) -> f32 {
    10.0_f32.powf(db / 20.0)
}
