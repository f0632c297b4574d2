//! What connects a call to someone: one adapter a door, all with 20 ms frames of 16 kHz.

pub mod coded;
pub mod context;
#[cfg(feature = "desk")]
pub mod desk;
pub mod pages;
pub mod seat;
pub mod sip;
pub mod stream;
pub mod webrtc;

use self::seat::SeatLeg;
use crate::call::event::HandoffOutcome;
use crate::clock::Time;
use crate::media::Frame;
use crate::record::MediaRecord;

/// One party's audio and signalling.
pub trait Leg: Send {
    /// What the party said in the last 20 ms. Called once every 20 ms; never blocks.
    fn pull(&mut self, now: Time) -> Frame;
    /// Sends 20 ms to the party. Called once every 20 ms; never blocks.
    fn push(&mut self, now: Time, frame: &Frame);
    /// Joins the party with `seat` for 20 ms, as their lines code it: nobody looks at it. What each of the two said, silence if it is not
    /// `kept`; none if this door cannot, and nothing was done. Called in place of [`Leg::pull`] and [`Leg::push`].
    fn pass(&mut self, _now: Time, _seat: &mut SeatLeg, _kept: bool) -> Option<(Frame, Frame)> {
        None
    }
    /// Waits for the next event. Safe to cancel.
    fn event(&mut self) -> impl Future<Output = LegEvent> + Send;
    /// Presses a key towards the party, if its line takes keys.
    fn press(&mut self, digit: char);
    /// Asks the party's exchange to call `target` instead of us; [`LegEvent::Referred`] tells what came of it. The call that it makes
    /// shall bring `carried` along; `told` is for the exchange.
    fn refer(
        &mut self,
        _target: &str,
        _carried: &[(String, String)],
        _told: &[(String, String)],
    ) -> Result<(), String> {
        Err("this door cannot transfer a call".into())
    }
    /// Asks it to take our place in the call with `seat`.
    fn refer_replacing(&mut self, _seat: &SeatLeg, _carried: &[(String, String)]) -> Result<(), String> {
        Err("this door cannot transfer a call".into())
    }
    /// Ends the connection.
    fn hang_up(&mut self);
    /// When the party was last heard from; none if never or if that cannot be known.
    fn last_heard(&self) -> Option<Time>;
    /// What the network did to it.
    fn media(&self) -> MediaRecord;
}

/// Something that a party did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegEvent {
    /// Pressed a key.
    Dtmf(char),
    /// Put us on hold, or took us off it.
    Hold(bool),
    /// Its exchange has done what it was asked to by [`Leg::refer`], or has not.
    Referred(Result<(), (HandoffOutcome, Option<u16>)>),
    /// Is gone.
    Gone,
}
