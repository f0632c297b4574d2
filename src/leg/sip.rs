//! A party over SIP and RTP: a session for the signalling, a media session for the audio, two converters between them.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use nightline_sip::rtp::{Audio, MediaConfig, MediaPort, MediaSession, MediaStats, PortError};
use nightline_sip::{
    Codec, Dial, Endpoint, FailCause, IncomingCall, LocalMedia, MediaParams, OutgoingEvent, Session,
    SessionEvent, TransferStage,
};

use super::coded::{self, Coded, Converters};
use super::pages::Pages;
use super::seat::SeatLeg;
use super::{Leg, LegEvent};
use crate::call::event::HandoffOutcome;
use crate::clock::{Clock, Time};
use crate::media::Frame;
use crate::record::MediaRecord;
use crate::screen::Screens;

/// How long a key that we press sounds.
const KEY_LENGTH: Duration = Duration::from_millis(120);

/// Where calls are placed from: an endpoint and the media ports beside it.
#[derive(Clone)]
pub struct Line {
    /// Places calls.
    pub endpoint: Endpoint,
    /// Address that media is bound to.
    pub bind: IpAddr,
    /// Address that is told to the far end.
    pub advertised: IpAddr,
    /// Ports for RTP.
    pub ports: RangeInclusive<u16>,
    /// What is offered and taken, best first.
    pub codecs: Arc<[Codec]>,
    /// What the far end sees as the calling party, as a SIP URI.
    pub from: Arc<str>,
    /// How long it may ring.
    pub ring_timeout: Duration,
    /// The clock of the call that the leg belongs to.
    pub clock: Clock,
    /// The pages by which seats follow calls, if they have any.
    pub screens: Option<Screens>,
    /// The pages in which seats answer, if some do.
    pub pages: Option<Pages>,
}

/// Why a call could not be answered or placed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No media port.
    #[error(transparent)]
    Port(#[from] PortError),
    /// Signalling.
    #[error(transparent)]
    Sip(#[from] nightline_sip::Error),
    /// The far end did not take the call.
    #[error("{target} did not take the call: {code} {reason}")]
    Refused {
        /// Who was called.
        target: String,
        /// SIP status, or 0.
        code: u16,
        /// Its reason phrase.
        reason: String,
        /// What it comes to.
        cause: FailCause,
    },
}

impl Line {
    /// Calls `target` and waits for the answer.
    pub async fn call(&self, target: &str) -> Result<SipLeg, Error> {
        self.call_with(target, None, Vec::new()).await
    }

    /// The same; it is shown `display`, and gets `headers` with the INVITE.
    async fn call_with(
        &self,
        target: &str,
        display: Option<String>,
        headers: Vec<(String, String)>,
    ) -> Result<SipLeg, Error> {
        let (port, local) = self.media()?;
        let mut outgoing = self
            .endpoint
            .dial(Dial {
                target: target.into(),
                from: self.from.to_string(),
                display,
                headers,
                local,
                ring_timeout: self.ring_timeout,
            })
            .await?;
        loop {
            match outgoing.event().await {
                OutgoingEvent::Answered(session) => return Ok(SipLeg::new(session, port, self.clock)),
                OutgoingEvent::Failed { code, reason, cause } => {
                    return Err(Error::Refused { target: target.into(), code, reason, cause });
                }
                OutgoingEvent::Ringing | OutgoingEvent::EarlyMedia(_) => {}
            }
        }
    }

    /// Calls a seat for `caller`; a failure is what it means for the handoff.
    pub async fn dial(
        &self,
        target: &str,
        caller: Option<String>,
        headers: Vec<(String, String)>,
    ) -> Result<SipLeg, (HandoffOutcome, Option<u16>)> {
        self.call_with(target, caller, headers).await.map_err(|error| {
            tracing::info!(%error, "the seat was not reached");
            let Error::Refused { cause, code, .. } = error else {
                return (HandoffOutcome::Unreachable, None);
            };
            (outcome(cause), Some(code).filter(|code| *code > 0))
        })
    }

    /// Answers a call.
    pub async fn answer(&self, call: IncomingCall) -> Result<SipLeg, Error> {
        let (port, local) = self.media()?;
        let session = call.answer(local).await?;
        Ok(SipLeg::new(session, port, self.clock))
    }

    fn media(&self) -> Result<(MediaPort, LocalMedia), Error> {
        let port = MediaPort::bind(self.bind, self.ports.clone())?;
        let local =
            LocalMedia { ip: self.advertised, port: port.local().port(), codecs: self.codecs.to_vec() };
        Ok((port, local))
    }
}

/// A party over SIP and RTP. Dropping it hangs up.
pub struct SipLeg {
    session: Session,
    media: MediaSession,
    held: bool,
    clock: Clock,
    converters: Converters,
}

impl SipLeg {
    fn new(session: Session, port: MediaPort, clock: Clock) -> Self {
        let params = session.media();
        let mut media = MediaSession::new(clock.instant(clock.now()), port, media_config(params));
        media.secure(clock.instant(clock.now()), params.srtp.as_deref());
        Self { held: is_held(params), session, media, clock, converters: Converters::default() }
    }

    /// The clock by which [`Leg::pull`] and [`Leg::push`] are called.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Puts the far end on hold.
    pub fn hold(&mut self) {
        self.session.hold();
    }

    /// Takes it off hold.
    pub fn resume(&mut self) {
        self.session.resume();
    }

    fn changed(&mut self, params: &MediaParams) -> Option<LegEvent> {
        self.media.configure(media_config(params));
        self.media.secure(self.clock.instant(self.clock.now()), params.srtp.as_deref());
        let held = is_held(params);
        (std::mem::replace(&mut self.held, held) != held).then_some(LegEvent::Hold(held))
    }
}

impl Coded for SipLeg {
    fn take(&mut self, now: Time) -> Audio {
        let now = self.clock.instant(now);
        self.media.drain(now);
        self.media.pull(now).audio
    }

    fn give(&mut self, now: Time, audio: &Audio) {
        let audio = self.converters.pass(audio, self.media.codec());
        self.media.push(self.clock.instant(now), &audio);
    }

    fn hear(&mut self, audio: &Audio) -> Frame {
        self.converters.hear(audio)
    }
}

impl Leg for SipLeg {
    fn pull(&mut self, now: Time) -> Frame {
        let audio = self.take(now);
        self.hear(&audio)
    }

    fn push(&mut self, now: Time, frame: &Frame) {
        let audio = self.converters.say(frame, self.media.codec());
        self.media.push(self.clock.instant(now), &audio);
    }

    fn pass(&mut self, now: Time, seat: &mut SeatLeg, kept: bool) -> Option<(Frame, Frame)> {
        Some(coded::join(now, self, seat, kept))
    }

    async fn event(&mut self) -> LegEvent {
        let clock = self.clock;
        loop {
            if let Some(digit) = self.media.dtmf() {
                return LegEvent::Dtmf(digit);
            }
            tokio::select! {
                event = self.session.event() => match event {
                    SessionEvent::Media(params) => {
                        if let Some(event) = self.changed(&params) {
                            return event;
                        }
                    }
                    SessionEvent::Dtmf(digit) => return LegEvent::Dtmf(digit),
                    SessionEvent::ReferProgress { stage: TransferStage::Answered, done: true, .. } => {
                        return LegEvent::Referred(Ok(()));
                    }
                    SessionEvent::ReferProgress { code, done: true, .. } => {
                        let code = Some(code).filter(|code| *code >= 300);
                        let cause = code.map_or(FailCause::Other, FailCause::of);
                        return LegEvent::Referred(Err((outcome(cause), code)));
                    }
                    SessionEvent::Ended { .. } => return LegEvent::Gone,
                    _ => {}
                },
                () = self.media.wait(|| clock.instant(clock.now())) => {}
            }
        }
    }

    /// By RFC 4733, or SIP INFO if the far end does not take events.
    fn press(&mut self, digit: char) {
        if self.media.send_dtmf(digit, KEY_LENGTH).is_err() {
            self.session.send_info_dtmf(digit);
        }
    }

    fn refer(
        &mut self,
        target: &str,
        carried: &[(String, String)],
        told: &[(String, String)],
    ) -> Result<(), String> {
        self.session.refer_carrying(target, carried, told).map_err(|error| error.to_string())
    }

    fn refer_replacing(&mut self, seat: &SeatLeg, carried: &[(String, String)]) -> Result<(), String> {
        let SeatLeg::Telephone(seat) = seat else {
            return Err("an exchange cannot take our place in a call with a browser".into());
        };
        self.session.refer_replacing(&seat.session, carried).map_err(|error| error.to_string())
    }

    fn hang_up(&mut self) {
        self.media.close(self.clock.instant(self.clock.now()));
        self.session.hangup(None);
    }

    fn last_heard(&self) -> Option<Time> {
        self.media
            .last_packet()
            .map(|at| Time::ZERO + at.saturating_duration_since(self.clock.instant(Time::ZERO)))
    }

    fn media(&self) -> MediaRecord {
        media_record("caller", self.media.codec().name(), &self.media.stats())
    }
}

/// A leg's record from what its media path counted.
pub fn media_record(leg: &str, codec: &str, stats: &MediaStats) -> MediaRecord {
    MediaRecord {
        leg: leg.into(),
        codec: codec.into(),
        received: stats.received,
        lost: stats.lost,
        late: stats.late,
        concealed: stats.concealed_ms / 20,
        jitter_ms: stats.jitter.as_secs_f32() * 1000.0,
        sent: stats.sent,
        remote_loss: stats.remote_loss,
        rtt_ms: stats.rtt.map(|rtt| rtt.as_secs_f32() * 1000.0),
    }
}

fn media_config(params: &MediaParams) -> MediaConfig {
    MediaConfig {
        remote: params.remote,
        codec: params.codec,
        payload_type: params.payload_type,
        dtmf_payload_type: params.dtmf_payload_type,
        cn_payload_type: params.comfort_noise_payload_type,
        send: params.direction.sends(),
        receive: params.direction.receives(),
    }
}

/// What a call that was not answered means for the handoff.
fn outcome(cause: FailCause) -> HandoffOutcome {
    match cause {
        FailCause::Busy => HandoffOutcome::Busy,
        FailCause::Declined => HandoffOutcome::Declined,
        FailCause::NoAnswer => HandoffOutcome::NoAnswer,
        FailCause::Unreachable | FailCause::Other => HandoffOutcome::Unreachable,
    }
}

/// We may not speak to a far end that holds us.
fn is_held(params: &MediaParams) -> bool {
    !params.direction.sends()
}
