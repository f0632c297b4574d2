//! One call from its first packet to its record: taken, or placed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nightline_sip::{Endpoint, IncomingCall, Transport};
use tokio_util::sync::CancellationToken;

use super::{MakeTap, trunk};
use crate::call::errand::Errand;
use crate::call::{Call, Input};
use crate::clock::Clock;
use crate::config::Config;
use crate::driver::Session;
use crate::driver::live::{self, Surroundings};
use crate::leg::Leg;
use crate::leg::pages::Pages;
use crate::leg::sip::{Error, Line};
use crate::record::{CallInfo, CallRecord, Tap};
use crate::services::{self, Shared};

/// A call rings so long before it is answered: time for a caller who thinks better of it, too short to be heard as a ring.
const RINGS: Duration = Duration::from_millis(120);

/// What a call runs on. Cheap to clone.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) config: Arc<Config>,
    pub(super) shared: Arc<Shared>,
    pub(super) endpoint: Endpoint,
    pub(super) pages: Pages,
    pub(super) watch: Option<MakeTap>,
    pub(super) shutdown: CancellationToken,
}

impl Host {
    /// Answers a call and runs it to its end.
    pub(super) async fn take(&self, mut incoming: IncomingCall) -> Result<(), Error> {
        incoming.ring().await;
        tokio::select! {
            () = incoming.cancelled() => return Ok(()),
            () = tokio::time::sleep(RINGS) => {}
        }
        let clock = Clock::start();
        let line = self.line(clock, self.config.seats.ring_timeout);
        let from = trunk::caller(&self.config.sip, &incoming);
        let mut info = self.shared.info("sip", &from, &incoming.to().uri);
        info.variables = trunk::variables(incoming.headers());
        let leg = line.answer(incoming).await?;
        let call = self.begin(&info, clock);
        self.converse(leg, line, call, info, Vec::new()).await;
        Ok(())
    }

    /// Runs a call that came by another door than SIP to its end. `leg` makes its line by the call's clock; `tap` tells the far end what
    /// happens.
    pub(super) async fn take_leg<L: Leg>(
        &self,
        info: CallInfo,
        tap: Box<dyn Tap>,
        leg: impl FnOnce(Clock) -> L,
    ) {
        let clock = Clock::start();
        let line = self.line(clock, self.config.seats.ring_timeout);
        let call = self.begin(&info, clock);
        self.converse(leg(clock), line, call, info, vec![tap]).await;
    }

    /// Calls `number` at `uri`; if somebody answers, runs the call to its end.
    pub(super) async fn place(
        &self,
        info: CallInfo,
        uri: &str,
        number: &str,
        errand: Errand,
        ring: Duration,
    ) -> Result<CallRecord, Error> {
        let clock = Clock::start();
        let leg = self.line(clock, ring).call(uri).await?;
        tracing::info!(call = %info.id, "a call that we placed was answered");
        let settings = self.shared.settings.clone();
        let call = Call::placed(settings, services::voice_activity(), number.to_owned(), errand, clock.now());
        let line = self.line(clock, self.config.seats.ring_timeout);
        Ok(self.converse(leg, line, call, info, Vec::new()).await)
    }

    /// The address that media is bound to: that of the signalling.
    pub(super) fn media_ip(&self) -> IpAddr {
        [Transport::Udp, Transport::Tcp, Transport::Tls]
            .into_iter()
            .find_map(|transport| self.endpoint.local_addr(transport))
            .map_or(IpAddr::from([0, 0, 0, 0]), |addr| addr.ip())
    }

    fn line(&self, clock: Clock, ring_timeout: Duration) -> Line {
        let bind = self.media_ip();
        let advertised = self.config.sip.external_ip.unwrap_or(bind);
        let from = match &self.config.seats.from {
            Some(uri) => uri.to_string().into(),
            None => format!("sip:nightline@{advertised}").into(),
        };
        Line {
            endpoint: self.endpoint.clone(),
            bind,
            advertised,
            ports: self.config.rtp.ports.clone(),
            codecs: self.config.sip.codecs.clone(),
            from,
            ring_timeout,
            clock,
            screens: Some(self.shared.screens.clone()),
            pages: Some(self.pages.clone()),
        }
    }

    /// The core of a call that is answered now, with what is known of its caller.
    fn begin(&self, info: &CallInfo, clock: Clock) -> Call {
        tracing::info!(call = %info.id, door = %info.door, "call answered");
        let caller = services::telephone_number(&info.from);
        let earlier = caller.as_deref().and_then(|caller| self.shared.chat.earlier(caller));
        let settings = self.shared.settings.clone();
        let mut call = Call::new(settings, services::voice_activity(), caller, clock.now());
        if let Some(earlier) = earlier {
            call.recall(earlier);
        }
        call.set_variables(&info.variables);
        call
    }

    async fn converse<L: Leg>(
        &self,
        leg: L,
        line: Line,
        call: Call,
        info: CallInfo,
        more_taps: Vec<Box<dyn Tap>>,
    ) -> CallRecord {
        let (shared, clock) = (&self.shared, line.clock);
        let mut taps = shared.begin(&info);
        taps.extend(more_taps);
        taps.extend(self.watch.as_ref().map(|make| make(&info)));
        let (mut session, inbox) = Session::new(call, shared.services.clone(), &info, taps);
        let news = session.inbox();
        let recorder = shared.recorder(&info, move |error| {
            // The call may be over; then its log line is all there is.
            let _ = news.send(Input::Fault { part: "recording".into(), error });
        });
        let recording = recorder.as_ref().map(|recorder| recorder.path().display().to_string());
        let surroundings = Surroundings {
            clock,
            line: Some(line),
            recorder,
            rtp_timeout: self.config.rtp.timeout,
            shutdown: self.shutdown.child_token(),
        };
        let (media, recorder) = live::run(&mut session, inbox, leg, surroundings).await;
        let record = session.finish(media, recording);
        if let Some(recorder) = recorder {
            let finishing = recorder.finish();
            // The writer's thread may still be at it; nobody waits for a disk but this task.
            let _ = tokio::task::spawn_blocking(move || finishing.wait()).await;
        }
        tracing::info!(call = %record.info.id, disposition = ?record.disposition, ms = record.duration_ms, "call ended");
        shared.finish(record.clone()).await;
        record
    }
}
