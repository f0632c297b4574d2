//! How simulated callers behave, and the networks that they call over.

use std::time::Duration;

use serde::Serialize;

use crate::sim::network::Weather;

/// How a caller behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Behaviour {
    /// Answers at once, with short pauses.
    Fast,
    /// Thinks before it answers, with long pauses.
    Slow,
    /// Begins with a 嗯 and a pause.
    Hesitant,
    /// Says 嗯 and 好的 while the bot speaks.
    Backchannel,
    /// Speaks over the bot.
    Interrupting,
    /// Coughs, sneezes, clears its throat, laughs, also while the bot speaks.
    Coughing,
    /// Gives the bot's own voice back.
    Speakerphone,
    /// Somebody else speaks near the telephone.
    SecondSpeaker,
    /// Says nothing any more, or never did.
    Silent,
}

impl Behaviour {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Fast,
        Self::Slow,
        Self::Hesitant,
        Self::Backchannel,
        Self::Interrupting,
        Self::Coughing,
        Self::Speakerphone,
        Self::SecondSpeaker,
        Self::Silent,
    ];

    /// From the end of the bot's turn to the caller's first sound, at least and at most, in milliseconds.
    pub(super) fn reaction_ms(self) -> (u64, u64) {
        match self {
            Self::Fast => (60, 300),
            Self::Slow => (900, 2500),
            Self::Hesitant => (400, 1500),
            _ => (250, 900),
        }
    }

    /// What becomes of a pause within a turn.
    pub(super) fn pause(self, pause: Duration) -> Duration {
        match self {
            Self::Fast => pause.mul_f32(0.4).max(Duration::from_millis(60)),
            Self::Slow => pause.mul_f32(1.2).min(Duration::from_millis(1500)),
            _ => pause,
        }
    }
}

/// A network that calls come over, the same in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Network {
    /// 20 ms of delay and nothing else.
    Clean,
    /// 3 % of the packets are lost, one by one.
    Loss,
    /// Up to 60 ms of extra delay.
    Jitter,
    /// 5 % are lost, about five in a row.
    Burst,
    /// 4 % are overtaken by later ones.
    Reorder,
}

impl Network {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Clean, Self::Loss, Self::Jitter, Self::Burst, Self::Reorder];

    /// What it does to packets.
    pub fn weather(self) -> Weather {
        let calm = Weather { delay: Duration::from_millis(20), ..Weather::default() };
        match self {
            Self::Clean => calm,
            Self::Loss => Weather { loss: 0.03, ..calm },
            Self::Jitter => Weather { jitter: Duration::from_millis(60), ..calm },
            Self::Burst => Weather { loss: 0.05, burst: 5.0, ..calm },
            Self::Reorder => Weather { reorder: 0.04, ..calm },
        }
    }
}
