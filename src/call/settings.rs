//! What a tenant can choose about a call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::endpointing::Endpointing;
use super::listening::{Hearing, VoiceActivity};
use crate::dialogue::{Expect, Mind};

/// Everything that a call needs to know beforehand.
#[derive(Clone)]
pub struct Settings {
    /// Speech and its ends.
    pub hearing: Hearing,
    /// How the ends of turns are found.
    pub endpointing: Endpointing,
    /// What the greeting asks for; that of a hotline asks nothing in particular, that of a reminder asks yes or no.
    pub greeting_expects: Expect,
    /// Interruptions.
    pub barge_in: BargeIn,
    /// Silence of both sides after which the caller is prompted.
    pub no_input: Duration,
    /// Audio that has left but has not yet been heard: packetisation, network, the far end's jitter buffer.
    pub in_flight: Duration,
    /// The skill that a seat needs, by reason of the handoff or topic of the call.
    pub skills: Arc<BTreeMap<String, String>>,
    /// Once caller and seat are joined, the caller's exchange is asked to take our place: it can be relied on to reach the seat.
    pub join_directly: bool,
    /// How long a seat may ring.
    pub seat_ring: Duration,
    /// How long a seat may take to press a key after the summary began.
    pub seat_accept: Duration,
    /// How long the mind may take to its first word.
    pub thinking: Duration,
    /// Makes what tells speech on the legs that are listened to beside the caller's turns.
    pub vad: fn() -> Box<dyn VoiceActivity>,
    /// The bot stays in a bridge and writes down what both sides say.
    pub notes: bool,
    /// Callers who were given so many answers are asked at the end how content they are; nobody is if [`None`].
    pub rating_after: Option<u32>,
    /// What the bot says by itself.
    pub phrases: Arc<Phrases>,
    /// Which words are backchannels and which always interrupt.
    pub lexicon: Arc<dyn Lexicon>,
    /// Makes the summary for the seat.
    pub mind: Arc<dyn Mind>,
    /// Played to a waiting caller in a loop, 16 kHz mono; silence if empty.
    pub comfort: Arc<[i16]>,
}

/// How a barge-in is judged.
#[derive(Clone, Copy, Debug)]
pub struct BargeIn {
    /// Whether the caller may speak over the bot at all.
    pub enabled: bool,
    /// Characters (or words, in a spaced script) of content that confirm it.
    pub content: usize,
    /// Speech of this length confirms it whatever the words.
    pub length: Duration,
    /// Silence after which it is rejected if no words have come.
    pub verdict: Duration,
}

impl Default for BargeIn {
    fn default() -> Self {
        Self {
            enabled: true,
            content: 2,
            length: Duration::from_millis(2500),
            verdict: Duration::from_millis(900),
        }
    }
}

/// What the bot says by itself. Each is a list of clauses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Phrases {
    /// Recording and AI notice: first of all, never interrupted.
    pub notice: Vec<String>,
    /// Greeting.
    pub greeting: Vec<String>,
    /// Prompts to a silent caller, in order: the first asks, the next ask in other words.
    pub no_input: Vec<String>,
    /// After the last of them: asks whether a person is wanted (a yes/no question). A no and more silence end the call with
    /// `goodbye`; if it is empty, they do so at once.
    pub offer_person: Vec<String>,
    /// Said while thinking takes long, in turn, never one twice in a row.
    pub thinking: Vec<String>,
    /// A seat is being sought.
    pub handing_over: Vec<String>,
    /// Nobody is free, and the caller is the next.
    pub queue_next: Vec<String>,
    /// So many are `{ahead}`.
    pub queue_ahead: Vec<String>,
    /// So many are `{ahead}`, and it will take `{minutes}`.
    pub queue_wait: Vec<String>,
    /// What the caller can do meanwhile.
    pub queue_choice: Vec<String>,
    /// A seat is being called.
    pub seat_rings: Vec<String>,
    /// Nobody is there before `{opens}`: a call-back is offered (a yes/no question).
    pub out_of_hours: Vec<String>,
    /// No seat can be had: a call-back is offered (a yes/no question).
    pub callback_offer: Vec<String>,
    /// Asks whether the number that is calling shall be called back; `{number}` is replaced.
    pub callback_same_number: Vec<String>,
    /// Asks for the number.
    pub ask_phone: Vec<String>,
    /// Asks for the rest of the number; `{number}` is what was understood so far.
    pub ask_phone_rest: Vec<String>,
    /// Asks for the rest of a number that is being typed.
    pub ask_keys_rest: Vec<String>,
    /// Asks when to call back.
    pub ask_time: Vec<String>,
    /// The call-back is stored; `{number}` is replaced.
    pub callback_booked: Vec<String>,
    /// The call-back could not be stored.
    pub callback_failed: Vec<String>,
    /// The caller wants no call-back.
    pub callback_declined: Vec<String>,
    /// Offers to take a message instead (a yes/no question); none is taken if it is empty.
    pub message_offer: Vec<String>,
    /// Invites it, and tells that `#` ends it.
    pub message_begin: Vec<String>,
    /// It was taken.
    pub message_kept: Vec<String>,
    /// Asks how content the caller was, 1 to 5.
    pub rating_ask: Vec<String>,
    /// Thanks for that; `goodbye` follows.
    pub rating_thanks: Vec<String>,
    /// The seat has left the bridge.
    pub seat_left: Vec<String>,
    /// Goodbye.
    pub goodbye: Vec<String>,
    /// The mind has failed.
    pub apology: Vec<String>,
    /// Asks the seat for a key, after the summary.
    pub seat_keys: Vec<String>,
}

/// Which words are backchannels and which always interrupt.
pub trait Lexicon: Send + Sync {
    /// 嗯, 对, 好 …
    fn is_backchannel(&self, words: &str) -> bool;
    /// 等一下, 不对 …
    fn is_interrupt(&self, words: &str) -> bool;
    /// How well `heard` sounds like a part of `said`, in 0..=1; zero if it is too short to tell.
    fn likeness(&self, heard: &str, said: &str) -> f32;
}
