//! The other end: what a browser does, by the same library, and a network between the two that can be watched and cut.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rtc::media_stream::MediaStreamTrack;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceCandidateInit,
    RTCIceGatheringState, RTCPeerConnectionState, RTCSessionDescription, SettingEngineBuilder,
};

pub const SSRC: u32 = 0x0b0e_0b0e;
/// The payload type of telephone events.
pub const KEYS: u8 = 126;
const LONG: Duration = Duration::from_secs(10);

struct Handler {
    gathered: mpsc::UnboundedSender<()>,
    connected: mpsc::UnboundedSender<()>,
    rtp: mpsc::UnboundedSender<rtc::rtp::Packet>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            let _ = self.gathered.send(());
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        if state == RTCPeerConnectionState::Connected {
            let _ = self.connected.send(());
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let rtp = self.rtp.clone();
        tokio::spawn(async move {
            while let Some(event) = track.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event {
                    let _ = rtp.send(packet);
                }
            }
        });
    }
}

/// The offering end.
pub struct Browser {
    pub connection: Box<dyn PeerConnection>,
    pub offer: String,
    track: Arc<TrackLocalStaticRTP>,
    connected: mpsc::UnboundedReceiver<()>,
    rtp: mpsc::UnboundedReceiver<rtc::rtp::Packet>,
}

impl Browser {
    /// With a microphone; and with a camera and a data channel, or not.
    pub async fn new(with_more: bool) -> Self {
        let mut media = MediaEngine::default();
        media.register_default_codecs().expect("codecs");
        let keys =
            RTCRtpCodecParameters { rtp_codec: codec("telephone-event", 0, "0-15"), payload_type: KEYS };
        media.register_codec(keys, RtpCodecKind::Audio).expect("telephone events");
        let ((gathered, mut is_gathered), (on_connected, connected), (on_rtp, rtp)) =
            (mpsc::unbounded_channel(), mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let settings = SettingEngineBuilder::new()
            .with_multicast_dns_mode(rtc::ice::mdns::MulticastDnsMode::Disabled)
            .build();
        let connection = PeerConnectionBuilder::new()
            .with_media_engine(media)
            .with_setting_engine(settings)
            .with_handler(Arc::new(Handler { gathered, connected: on_connected, rtp: on_rtp }))
            .with_udp_addrs(vec!["127.0.0.1:0"])
            .build()
            .await
            .expect("a connection");
        if with_more {
            connection.add_transceiver_from_kind(RtpCodecKind::Video, None).await.expect("video");
            connection.create_data_channel("chat", None).await.expect("a data channel");
        }
        let stream = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(SSRC), ..Default::default() },
            codec: codec("opus", 2, "minptime=10;useinbandfec=1"),
            ..Default::default()
        };
        let keys =
            RTCRtpEncodingParameters { codec: codec("telephone-event", 0, "0-15"), ..Default::default() };
        let track = Arc::new(TrackLocalStaticRTP::new(MediaStreamTrack::new(
            "stream".to_owned(),
            "microphone".to_owned(),
            "microphone".to_owned(),
            RtpCodecKind::Audio,
            vec![stream, keys],
        )));
        connection.add_track(Arc::<TrackLocalStaticRTP>::clone(&track)).await.expect("a track");
        let offer = connection.create_offer(None).await.expect("an offer");
        connection.set_local_description(offer).await.expect("the offer set");
        within(is_gathered.recv()).await.expect("candidates");
        let offer = connection.local_description().await.expect("the offer with candidates").sdp;
        Self { connection: Box::new(connection), offer, track, connected, rtp }
    }

    pub async fn accept(&self, answer: &str) {
        let answer = RTCSessionDescription::answer(answer.to_owned()).expect("an answer");
        self.connection.set_remote_description(answer).await.expect("the answer accepted");
    }

    pub async fn add_candidate(&self, candidate: &str) {
        let candidate = RTCIceCandidateInit { candidate: candidate.to_owned(), ..Default::default() };
        self.connection.add_ice_candidate(candidate).await.expect("a candidate");
    }

    pub async fn connected(&mut self) {
        within(self.connected.recv()).await.expect("connected");
    }

    /// Says something in one packet.
    pub async fn say(&self, sequence: u16, payload_type: u8, payload: &'static [u8]) {
        let header = rtc::rtp::Header {
            version: 2,
            payload_type,
            sequence_number: sequence,
            timestamp: u32::from(sequence) * 960,
            ssrc: SSRC,
            ..Default::default()
        };
        let packet = rtc::rtp::Packet { header, payload: bytes::Bytes::from_static(payload) };
        self.track.write_rtp(packet).await.expect("sent");
    }

    pub async fn hear(&mut self) -> rtc::rtp::Packet {
        within(self.rtp.recv()).await.expect("a packet")
    }
}

fn codec(name: &str, channels: u16, parameters: &str) -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: format!("audio/{name}"),
        clock_rate: 48_000,
        channels,
        sdp_fmtp_line: parameters.to_owned(),
        rtcp_feedback: Vec::new(),
    }
}

/// Gives up after a while, with a failure.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.expect("it takes too long")
}

/// A network between a browser and one address: it keeps what passes, and can be cut.
pub struct Network {
    pub passed: Arc<Mutex<Vec<Vec<u8>>>>,
    cut: Arc<AtomicBool>,
}

impl Network {
    /// Leads to what the answer says. Gives the answer that says this network instead.
    pub async fn around(answer: &str) -> (Self, String) {
        let port = candidates(answer)[0].split(' ').nth(5).expect("a port").to_owned();
        let far = SocketAddr::from(([127, 0, 0, 1], port.parse().expect("a port")));
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = socket.local_addr().expect("bound");
        let network = Self { passed: Arc::default(), cut: Arc::default() };
        let (passed, cut) = (Arc::clone(&network.passed), Arc::clone(&network.cut));
        tokio::spawn(async move {
            let (mut near, mut datagram) = (None, [0; 2_000]);
            while let Ok((length, from)) = socket.recv_from(&mut datagram).await {
                if cut.load(Ordering::Relaxed) {
                    continue;
                }
                passed.lock().expect("unbroken").push(datagram[..length].to_vec());
                if from != far {
                    near = Some(from);
                }
                if let Some(to) = if from == far { near } else { Some(far) } {
                    let _ = socket.send_to(&datagram[..length], to).await;
                }
            }
        });
        (network, answer.replace(&format!(" {port} "), &format!(" {} ", address.port())))
    }

    pub fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::Relaxed);
    }
}

/// The candidates of a description.
pub fn candidates(sdp: &str) -> Vec<String> {
    sdp.lines()
        .filter_map(|line| line.strip_prefix("a="))
        .filter(|line| line.starts_with("candidate:"))
        .map(str::to_owned)
        .collect()
}

/// A description without its candidates.
pub fn without_candidates(sdp: &str) -> String {
    sdp.lines()
        .filter(|line| !line.starts_with("a=candidate") && !line.starts_with("a=end-of-candidates"))
        .fold(String::new(), |all, line| all + line + "\r\n")
}
