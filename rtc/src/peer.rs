//! One browser: its connection, from the answer to the end.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::transport::{RTCDtlsRole, RTCDtlsTransportState};
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use rtc::shared::marshal::Unmarshal;
use tokio::sync::Notify;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceCandidateInit,
    RTCIceGatheringState, RTCPeerConnectionState, RTCSessionDescription, Registry, SettingEngine,
    SettingEngineBuilder, StatsSelector, configure_rtcp_reports,
};
use webrtc::rtp_transceiver::RtpSender;

use crate::answer::{self, Answer};
use crate::inbox::{Ended, Event, Inbox, Stats};
use crate::offer::{MOST_CANDIDATES, Offer};
use crate::tap::{SLOT, Tap};
use crate::tasks::Tasks;
use crate::{Agreed, Config, Error, candidate, clock, port};

/// Silence after which a peer counts as disconnected; it may come back.
const SILENT: Duration = Duration::from_secs(5);
/// Silence after that, until it counts as gone for good.
const LOST: Duration = Duration::from_secs(15);
/// How often we ask whether it still wants to hear us (RFC 7675).
const CONSENT: Duration = Duration::from_secs(2);
/// How often the state of the connection is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// The most that local steps of the engine take: gathering addresses, saying goodbye.
const LOCAL: Duration = Duration::from_secs(2);

/// A browser that we answered. Dropping it says goodbye, ends its tasks and frees its port.
pub struct Peer {
    agreed: Agreed,
    /// Of what we send.
    ssrc: u32,
    track: Arc<TrackLocalStaticRTP>,
    connection: Arc<dyn PeerConnection>,
    inbox: Arc<Inbox>,
    /// Candidates that were taken.
    candidates: AtomicUsize,
    running: Running,
}

impl Peer {
    /// Answers the offer of a browser: SDP with one audio section that we can speak; whatever else it has, pictures for
    /// instance, is refused in the answer. Gives the peer and the SDP of the answer. Needs the async runtime around it.
    ///
    /// # Errors
    /// [`Error`] says what is wrong with the offer, or with the ports of this machine. Nothing is left behind then.
    pub async fn answer(config: &Config, offer: &str) -> Result<(Self, String), Error> {
        let offer = Offer::parse(offer)?;
        let (ip, ports) = (config.bind, &config.ports);
        for number in port::shuffled(ports) {
            if !port::is_free(ip, number)? {
                continue;
            }
            // A fresh one for each attempt: a failed one ends its own.
            let inbox = Arc::new(Inbox::default());
            let ssrc = rand::random();
            let mut running = Running { tasks: Arc::new(Tasks::new(Arc::clone(&inbox))), connection: None };
            let gathered = Arc::new(Notify::new());
            let handler = Handler { inbox: Arc::clone(&inbox), gathered: Arc::clone(&gathered) };
            let tap = Tap::new(Arc::clone(&inbox), offer.agreed, ssrc);
            let built = PeerConnectionBuilder::new()
                .with_media_engine(media(offer.agreed)?)
                .with_setting_engine(settings(&offer))
                .with_interceptor_registry(configure_rtcp_reports(Registry::new()).with(SLOT.into(), tap))
                .with_runtime(Arc::<Tasks>::clone(&running.tasks))
                .with_handler(Arc::new(handler))
                .with_udp_addrs(vec![SocketAddr::new(ip, number)])
                .build()
                .await;
            let connection: Arc<dyn PeerConnection> = match built {
                Ok(connection) => Arc::new(connection),
                // Somebody else was faster.
                Err(_) if !port::is_free(ip, number)? => continue,
                Err(error) => return Err(error.into()),
            };
            running.connection = Some(Arc::clone(&connection));

            let track = Arc::new(TrackLocalStaticRTP::new(track(offer.agreed, ssrc)));
            let sender = connection.add_track(Arc::<TrackLocalStaticRTP>::clone(&track)).await?;
            let engine = negotiate(&*connection, &offer, &gathered).await?;
            let addresses = addresses(config, &engine)?;
            let answer = Answer { engine: &engine, addresses: &addresses, ssrc }.write(&offer);
            running.tasks.begin(watch(
                Arc::clone(&connection),
                sender,
                Arc::clone(&inbox),
                config.connect_within,
            ));
            let candidates = AtomicUsize::new(offer.candidates.len());
            let peer = Self { agreed: offer.agreed, ssrc, track, connection, inbox, candidates, running };
            return Ok((peer, answer));
        }
        Err(Error::Exhausted { ip, first: *ports.start(), last: *ports.end() })
    }

    /// Takes a candidate of theirs that came after the offer (trickle ICE): the `candidate` of the browser's event, be it
    /// the empty one at the end. Names that only the browser's own network knows, and TCP, are passed over.
    ///
    /// # Errors
    /// [`Error::BadCandidate`] for nonsense, [`Error::TooManyCandidates`].
    pub async fn add_candidate(&self, candidate: &str) -> Result<(), Error> {
        let Some(candidate) = candidate::parse(candidate)? else {
            return Ok(());
        };
        if self.candidates.load(Ordering::Relaxed) >= MOST_CANDIDATES {
            return Err(Error::TooManyCandidates { most: MOST_CANDIDATES });
        }
        let candidate =
            RTCIceCandidateInit { candidate: format!("candidate:{candidate}"), ..Default::default() };
        self.connection.add_ice_candidate(candidate).await?;
        // Only now: whoever gave up waiting comes again with the same.
        self.candidates.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// What was agreed on about audio.
    pub fn agreed(&self) -> &Agreed {
        &self.agreed
    }

    /// The next thing that happens. May be dropped at any moment without losing one.
    pub async fn event(&mut self) -> Event {
        self.inbox.next().await
    }

    /// The oldest RTP packet of theirs that waits, without waiting. At most 64 wait; of more, the oldest are dropped and
    /// counted.
    pub fn try_rtp(&mut self) -> Option<Bytes> {
        self.inbox.take_rtp()
    }

    /// Sends one whole RTP packet at once, or drops and counts it. Its SSRC becomes that of the answer, and its payload
    /// type that of audio, unless it is that of telephone events; header extensions are left out.
    pub fn send(&mut self, packet: &[u8]) {
        let sent = self.inbox.may_send() && self.try_send(packet).is_some();
        self.inbox.count(|stats| if sent { stats.sent += 1 } else { stats.send_dropped += 1 });
    }

    fn try_send(&self, mut packet: &[u8]) -> Option<()> {
        let mut packet = rtc::rtp::Packet::unmarshal(&mut packet).ok()?;
        let header = &mut packet.header;
        header.ssrc = self.ssrc;
        if Some(header.payload_type) != self.agreed.dtmf_payload_type {
            header.payload_type = self.agreed.payload_type;
        }
        (header.extension, header.padding) = (false, false);
        header.extensions.clear();
        let sending = pin!(self.track.write_rtp(packet));
        // Asked once: it is ready, unless the engine has fallen 256 packets behind.
        match sending.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(sent) => sent.ok(),
            Poll::Pending => None,
        }
    }

    /// What was counted so far; what they say about it is at most a second old.
    pub fn stats(&self) -> Stats {
        self.inbox.stats()
    }

    /// Says goodbye and waits until the port is free.
    pub async fn close(mut self) {
        let tasks = Arc::clone(&self.running.tasks);
        if let Some(connection) = self.running.connection.take() {
            leave(connection, &tasks).await;
        }
    }
}

/// What must not outlive the peer, be it half made.
struct Running {
    tasks: Arc<Tasks>,
    connection: Option<Arc<dyn PeerConnection>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let tasks = Arc::clone(&self.tasks);
        match (self.connection.take(), tokio::runtime::Handle::try_current()) {
            (Some(connection), Ok(runtime)) => {
                runtime.spawn(async move { leave(connection, &tasks).await });
            }
            _ => tasks.abort(),
        }
    }
}

/// Says goodbye and ends the tasks.
async fn leave(connection: Arc<dyn PeerConnection>, tasks: &Tasks) {
    if let Ok(Err(error)) = tokio::time::timeout(LOCAL, connection.close()).await {
        tracing::debug!(%error, "no goodbye to a browser");
    }
    tasks.abort();
}

/// Takes the offer, makes the engine's answer, and waits until the addresses are in it.
async fn negotiate(
    connection: &dyn PeerConnection,
    offer: &Offer<'_>,
    gathered: &Notify,
) -> Result<String, Error> {
    connection.set_remote_description(RTCSessionDescription::offer(offer.to_engine())?).await?;
    let answer = connection.create_answer(None).await?;
    connection.set_local_description(answer).await?;
    // Without an end, the addresses that are there will do.
    let _ = tokio::time::timeout(LOCAL, gathered.notified()).await;
    Ok(connection.local_description().await.unwrap_or_default().sdp)
}

/// The addresses for the answer.
fn addresses(config: &Config, engine: &str) -> Result<Vec<SocketAddr>, Error> {
    let bound = answer::bound(engine);
    let port = bound.first().ok_or(Error::NoAddress { ip: config.bind })?.port();
    Ok(match &config.advertised[..] {
        [] => bound,
        advertised => advertised.iter().map(|ip| SocketAddr::new(*ip, port)).collect(),
    })
}

fn codec(agreed: Agreed) -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: format!("audio/{}", agreed.codec.name()),
        clock_rate: agreed.codec.rate(),
        channels: agreed.codec.channels(),
        sdp_fmtp_line: agreed.codec.parameters().to_owned(),
        rtcp_feedback: Vec::new(),
    }
}

fn events(agreed: Agreed) -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: "audio/telephone-event".to_owned(),
        clock_rate: agreed.codec.rate(),
        channels: 0,
        sdp_fmtp_line: "0-15".to_owned(),
        rtcp_feedback: Vec::new(),
    }
}

pub(crate) fn media(agreed: Agreed) -> Result<MediaEngine, Error> {
    let mut media = MediaEngine::default();
    let audio = RTCRtpCodecParameters { rtp_codec: codec(agreed), payload_type: agreed.payload_type };
    media.register_codec(audio, RtpCodecKind::Audio)?;
    if let Some(payload_type) = agreed.dtmf_payload_type {
        let events = RTCRtpCodecParameters { rtp_codec: events(agreed), payload_type };
        media.register_codec(events, RtpCodecKind::Audio)?;
    }
    Ok(media)
}

pub(crate) fn settings(offer: &Offer<'_>) -> SettingEngine {
    SettingEngineBuilder::new()
        .with_answering_dtls_role(if offer.we_begin { RTCDtlsRole::Client } else { RTCDtlsRole::Server })
        .with_multicast_dns_mode(rtc::ice::mdns::MulticastDnsMode::Disabled)
        .with_ice_timeouts(Some(SILENT), Some(LOST), Some(CONSENT))
        .build()
}

/// What we send: one stream, of audio and of telephone events.
pub(crate) fn track(agreed: Agreed, ssrc: u32) -> MediaStreamTrack {
    let audio = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() },
        codec: codec(agreed),
        ..Default::default()
    };
    // The engine takes the codecs of all, and the stream of the first.
    let events = agreed
        .dtmf_payload_type
        .map(|_| RTCRtpEncodingParameters { codec: events(agreed), ..Default::default() });
    MediaStreamTrack::new(
        "nightline".to_owned(),
        "audio".to_owned(),
        "audio".to_owned(),
        RtpCodecKind::Audio,
        [audio].into_iter().chain(events).collect(),
    )
}

/// Looks at the connection until it is over, and then ends it.
async fn watch(
    connection: Arc<dyn PeerConnection>,
    sender: Arc<dyn RtpSender>,
    inbox: Arc<Inbox>,
    connect_within: Duration,
) {
    let mut late = pin!(tokio::time::sleep(connect_within));
    let mut look = tokio::time::interval(LOOK);
    while inbox.ended().is_none() {
        tokio::select! {
            () = &mut late, if !inbox.is_opened() => {
                inbox.end(if is_reached(&*sender).await { Ended::NotSecured } else { Ended::Unreachable });
            }
            _ = look.tick() => {
                if inbox.is_opened() {
                    measure(&*connection, &inbox).await;
                }
                // They said goodbye, of which the engine tells nobody.
                if dtls(&*sender).await == Some(RTCDtlsTransportState::Closed) {
                    inbox.end(Ended::ByPeer);
                }
            }
        }
    }
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "no goodbye to a browser");
    }
}

async fn dtls(sender: &dyn RtpSender) -> Option<RTCDtlsTransportState> {
    sender.transport().await.ok()??.state().await.ok()
}

/// Whether ICE has found a way.
async fn is_reached(sender: &dyn RtpSender) -> bool {
    let Ok(Some(dtls)) = sender.transport().await else {
        return false;
    };
    matches!(dtls.ice_transport().get_selected_candidate_pair().await, Ok(Some(_)))
}

async fn measure(connection: &dyn PeerConnection, inbox: &Inbox) {
    let report = connection.get_stats(clock::now(), StatsSelector::None).await;
    let round_trip = report
        .candidate_pairs()
        .find(|pair| pair.nominated && pair.current_round_trip_time > 0.0)
        .and_then(|pair| Duration::try_from_secs_f64(pair.current_round_trip_time).ok());
    if round_trip.is_some() {
        inbox.count(|stats| stats.round_trip = round_trip);
    }
}

/// Called from within the engine, which waits meanwhile.
struct Handler {
    inbox: Arc<Inbox>,
    gathered: Arc<Notify>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.notify_one();
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        match state {
            RTCPeerConnectionState::Connected => self.inbox.connected(),
            RTCPeerConnectionState::Disconnected => self.inbox.disconnected(),
            RTCPeerConnectionState::Failed if self.inbox.is_opened() => self.inbox.end(Ended::Lost),
            RTCPeerConnectionState::Failed => self.inbox.end(Ended::Unreachable),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdef012345\r\n\
        a=fingerprint:sha-256 00:11:22\r\n";

    #[tokio::test]
    async fn a_dropped_peer_leaves_nothing_in_memory() {
        let config = Config::new([127, 0, 0, 1].into(), 40_000..=49_999);
        let (peer, _) = Peer::answer(&config, OFFER).await.expect("a peer");
        // The engine holds it as long as it lives.
        let engine = Arc::downgrade(&peer.inbox);
        drop(peer);
        let gone = async {
            while engine.upgrade().is_some() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), gone).await.expect("the engine is gone");
    }
}
