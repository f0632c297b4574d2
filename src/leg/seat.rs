//! A human seat: dialled over SIP, then a leg like any other.

use tokio::task::JoinHandle;

use super::sip::{Line, SipLeg};
use super::{Leg, LegEvent};
use crate::call::event::HandoffOutcome;
use crate::call::event::LegId;
use crate::call::{Input, SeatNews};
use crate::clock::Time;
use crate::media::Frame;
use crate::record::MediaRecord;

/// A seat that is being dialled or has answered. Dropping it cancels or hangs up.
pub struct Seat {
    attempt: u32,
    state: State,
}

enum State {
    Dialling(JoinHandle<Result<SipLeg, HandoffOutcome>>),
    Up(Box<SipLeg>),
    Gone,
}

impl Seat {
    /// Starts dialling; never blocks.
    pub fn dial(line: &Line, attempt: u32, target: String) -> Self {
        let line = line.clone();
        Self { attempt, state: State::Dialling(tokio::spawn(async move { line.dial(&target).await })) }
    }

    /// The next news of it, as an input for the call. Safe to cancel.
    pub async fn event(&mut self) -> Input {
        let attempt = self.attempt;
        match &mut self.state {
            State::Dialling(dialling) => {
                let news = match dialling.await {
                    Ok(Ok(leg)) => {
                        self.state = State::Up(Box::new(leg));
                        SeatNews::Answered
                    }
                    Ok(Err(outcome)) => self.failed(outcome),
                    Err(_) => self.failed(HandoffOutcome::Unreachable),
                };
                Input::Seat { attempt, news }
            }
            State::Up(leg) => match leg.event().await {
                LegEvent::Dtmf(digit) => Input::Dtmf { leg: LegId::Seat, digit },
                LegEvent::Hold(held) => Input::Hold { leg: LegId::Seat, held },
                LegEvent::Gone => {
                    self.state = State::Gone;
                    Input::Seat { attempt, news: SeatNews::Gone }
                }
            },
            State::Gone => std::future::pending().await,
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

    /// What the network did to it, once it has answered.
    pub fn media(&mut self) -> Option<MediaRecord> {
        self.leg().map(|leg| MediaRecord { leg: "seat".into(), ..leg.media() })
    }

    fn leg(&mut self) -> Option<&mut SipLeg> {
        match &mut self.state {
            State::Up(leg) => Some(leg),
            _ => None,
        }
    }

    fn failed(&mut self, outcome: HandoffOutcome) -> SeatNews {
        self.state = State::Gone;
        SeatNews::Failed(outcome)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let State::Dialling(dialling) = &self.state {
            // The outgoing call is cancelled when the task's future is dropped.
            dialling.abort();
        }
    }
}
