//! A human seat: dialled over SIP or rung in its page, then a leg like any other.

use std::time::Duration;

use tokio::task::JoinSet;

use nightline_sip::rtp::Audio;

use super::coded::Coded;
use super::sip::{Line, SipLeg};
use super::webrtc::RtcLeg;
use super::{Leg, LegEvent, context};
use crate::call::event::HandoffOutcome;
use crate::call::event::LegId;
use crate::call::{Input, SeatNews};
use crate::clock::{Clock, Time};
use crate::media::Frame;
use crate::record::MediaRecord;
use crate::seat::{About, Target, Way};

/// Seats that are being dialled, or the one that has answered. Dropping it cancels or hangs up.
pub struct Seat {
    attempt: u32,
    clock: Clock,
    state: State,
}

enum State {
    Dialling(JoinSet<(String, Result<SeatLeg, Failure>)>),
    Up {
        leg: SeatLeg,
        /// Since it answered or was taken off hold.
        since: Time,
        held: bool,
    },
    Gone,
}

/// What a seat that did not come means for the handoff, and the SIP status.
pub type Failure = (HandoffOutcome, Option<u16>);

/// What a seat answered with.
pub enum SeatLeg {
    /// A telephone.
    Telephone(Box<SipLeg>),
    /// A page of ours.
    Browser(Box<RtcLeg>),
}

impl Seat {
    /// Starts dialling all of `targets`; never blocks. The first that answers stays, the others are cancelled.
    pub fn dial(line: &Line, attempt: u32, targets: Vec<Target>, call: &str, about: &About) -> Self {
        let mut dialling = JoinSet::new();
        let headers = context::headers(
            call,
            about,
            line.screens.as_ref().and_then(|screens| screens.url(call)).as_deref(),
        );
        for target in targets {
            let (line, headers, about, call) =
                (line.clone(), headers.clone(), about.clone(), call.to_owned());
            dialling.spawn(async move {
                let outcome = match (target.way, &line.pages) {
                    (Way::Browser, Some(pages)) => {
                        let key = line.screens.as_ref().map(|screens| screens.key(&call));
                        let answered = pages.ring(&target.seat, &call, &about, key, line.ring_timeout).await;
                        let leg = |(peer, asks): (Box<_>, _)| Box::new(RtcLeg::new(*peer, asks, line.clock));
                        answered.map(leg).map(SeatLeg::Browser).map_err(|outcome| (outcome, None))
                    }
                    (Way::Browser, None) => Err((HandoffOutcome::Unreachable, None)),
                    _ => {
                        let answered = line.dial(&target.uri, about.caller, headers).await;
                        answered.map(|leg| SeatLeg::Telephone(Box::new(leg)))
                    }
                };
                (target.seat, outcome)
            });
        }
        Self { attempt, clock: line.clock, state: State::Dialling(dialling) }
    }

    /// The next news of it, as an input for the call. Safe to cancel.
    pub async fn event(&mut self) -> Input {
        let (attempt, clock) = (self.attempt, self.clock);
        match &mut self.state {
            State::Dialling(dialling) => match dialling.join_next().await {
                Some(Ok((seat, Ok(leg)))) => {
                    // The outgoing calls of the others are cancelled as their futures are dropped.
                    self.state = State::Up { leg, since: clock.now(), held: false };
                    Input::Seat { attempt, news: SeatNews::Answered { seat } }
                }
                Some(Ok((seat, Err((outcome, code))))) => {
                    Input::Seat { attempt, news: SeatNews::Failed { seat, outcome, code } }
                }
                // A task that panicked says no name; the ring timer ends its seat.
                Some(Err(_)) => Input::Fault { part: "seat".into(), error: "dialling failed".into() },
                None => {
                    self.state = State::Gone;
                    std::future::pending().await
                }
            },
            State::Up { leg, since, held } => match leg.event().await {
                LegEvent::Dtmf(digit) => Input::Dtmf { leg: LegId::Seat, digit },
                LegEvent::Hold(hold) => {
                    (*held, *since) = (hold, clock.now());
                    Input::Hold { leg: LegId::Seat, held: hold }
                }
                // A seat is not asked to transfer.
                LegEvent::Referred(_) | LegEvent::Gone => {
                    self.state = State::Gone;
                    Input::Seat { attempt, news: SeatNews::Gone }
                }
            },
            State::Gone => std::future::pending().await,
        }
    }

    /// The offer that it was called for.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Presses a key towards it, once it has answered.
    pub fn press(&mut self, digit: char) {
        if let Some(leg) = self.leg() {
            leg.press(digit);
        }
    }

    /// Its last 20 ms, once it has answered.
    pub fn pull(&mut self, now: Time) -> Option<Frame> {
        self.leg().map(|leg| leg.pull(now))
    }

    /// Sends it 20 ms, if it has answered.
    pub fn push(&mut self, now: Time, frame: &Frame) {
        if let Some(leg) = self.leg() {
            leg.push(now, frame);
        }
    }

    /// True if it has answered, is not on hold, and nothing came from it for `timeout`. It is over then.
    pub fn is_dead(&self, now: Time, timeout: Duration) -> bool {
        let State::Up { leg, since, held } = &self.state else { return false };
        let heard = leg.last_heard().unwrap_or(*since).max(*since);
        !*held && now.saturating_since(heard) > timeout
    }

    /// What the network did to it, once it has answered.
    pub fn media(&mut self) -> Option<MediaRecord> {
        self.leg().map(|leg| MediaRecord { leg: "seat".into(), ..leg.media() })
    }

    /// Its leg, once it has answered.
    pub fn leg(&mut self) -> Option<&mut SeatLeg> {
        match &mut self.state {
            State::Up { leg, .. } => Some(leg),
            _ => None,
        }
    }
}

/// Does the same with either kind of leg.
macro_rules! either {
    ($seat:expr, $leg:ident => $what:expr) => {
        match $seat {
            SeatLeg::Telephone($leg) => $what,
            SeatLeg::Browser($leg) => $what,
        }
    };
}

impl Coded for SeatLeg {
    fn take(&mut self, now: Time) -> Audio {
        either!(self, leg => leg.take(now))
    }

    fn give(&mut self, now: Time, audio: &Audio) {
        either!(self, leg => leg.give(now, audio));
    }

    fn hear(&mut self, audio: &Audio) -> Frame {
        either!(self, leg => leg.hear(audio))
    }
}

impl Leg for SeatLeg {
    fn pull(&mut self, now: Time) -> Frame {
        either!(self, leg => leg.pull(now))
    }

    fn push(&mut self, now: Time, frame: &Frame) {
        either!(self, leg => leg.push(now, frame));
    }

    async fn event(&mut self) -> LegEvent {
        either!(self, leg => leg.event().await)
    }

    fn press(&mut self, digit: char) {
        either!(self, leg => leg.press(digit));
    }

    fn hang_up(&mut self) {
        either!(self, leg => leg.hang_up());
    }

    fn last_heard(&self) -> Option<Time> {
        either!(self, leg => leg.last_heard())
    }

    fn media(&self) -> MediaRecord {
        either!(self, leg => leg.media())
    }
}
