//! The pool as its users see it: with the real espeak-ng, and with a local server that speaks the protocol well and badly.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use super::*;

type Heard = mpsc::Receiver<Piece>;

fn ask(mouth: &Mouth, voice: &str, text: &str) -> (Heard, Arc<AtomicBool>) {
    let (sender, heard) = mpsc::channel();
    let cancelled = Arc::new(AtomicBool::new(false));
    mouth.speak(Request {
        text: text.to_owned(),
        voice: voice.to_owned(),
        cancelled: cancelled.clone(),
        sink: Box::new(move |piece| drop(sender.send(piece))),
    });
    (heard, cancelled)
}

/// All pieces of a clause; the channel closes when the request is dropped.
fn all(heard: &Heard) -> Vec<Piece> {
    let mut pieces = Vec::new();
    loop {
        match heard.recv_timeout(Duration::from_secs(20)) {
            Ok(piece) => pieces.push(piece),
            Err(mpsc::RecvTimeoutError::Disconnected) => return pieces,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                panic!("nothing came for 20 s after {} pieces", pieces.len())
            }
        }
    }
}

fn audio(pieces: &[Piece]) -> Vec<i16> {
    let samples =
        pieces.iter().filter_map(|p| if let Piece::Audio { samples, .. } = p { Some(samples) } else { None });
    samples.flatten().copied().collect()
}

fn last_span(pieces: &[Piece]) -> usize {
    let spans = pieces
        .iter()
        .filter_map(|p| if let Piece::Audio { span, .. } = p { Some(span.clone()) } else { None });
    let mut at = 0;
    for span in spans {
        assert_eq!(span.start, at, "pieces follow one another");
        at = span.end;
    }
    at
}

fn ours() -> Mouth {
    Mouth::open(&["nightline-zh"], &Options::default()).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn a_clause_is_spoken_and_ends_with_done() {
    let pieces = all(&ask(&ours(), "nightline-zh", "您好，请问有什么可以帮您？").0);
    assert_eq!(pieces.last(), Some(&Piece::Done));
    assert_eq!(pieces.iter().filter(|p| !matches!(p, Piece::Audio { .. })).count(), 1, "exactly one end");
    assert_eq!(last_span(&pieces), 13);
    assert!((24_000..64_000).contains(&audio(&pieces).len()), "{} samples", audio(&pieces).len());
}

#[test]
fn a_text_that_comes_again_is_a_hit_and_sounds_the_same() {
    let mouth = ours();
    let first = all(&ask(&mouth, "nightline-zh", "请稍等。").0);
    let again = all(&ask(&mouth, "nightline-zh", "请稍等。").0);
    assert_eq!(first, again);
    let stats = mouth.cache_stats();
    assert_eq!((stats.hits, stats.misses, stats.clips), (1, 1, 1));
}

#[test]
fn a_cancelled_clause_ends_with_done_and_is_not_kept() {
    let mouth = ours();
    let (sender, heard) = mpsc::channel();
    let cancelled = Arc::new(AtomicBool::new(false));
    let flag = cancelled.clone();
    mouth.speak(Request {
        text: "这是一句很长的话，它会被打断。".to_owned(),
        voice: "nightline-zh".to_owned(),
        cancelled,
        sink: Box::new(move |piece| {
            flag.store(true, Ordering::Relaxed);
            drop(sender.send(piece));
        }),
    });
    let pieces = all(&heard);
    assert_eq!(pieces.len(), 2, "one piece and the end: {pieces:?}");
    assert_eq!(pieces.last(), Some(&Piece::Done));
    assert_eq!(mouth.cache_stats().clips, 0);
}

#[test]
fn a_voice_that_was_not_opened_fails() {
    let pieces = all(&ask(&ours(), "alto", "好").0);
    assert!(matches!(&pieces[..], [Piece::Failed(why)] if why.contains("alto")), "{pieces:?}");
}

/// Serves `POST /v1/audio/speech` on a free port; gives the folder of a voice that uses it.
async fn server<H, T>(handler: H) -> tempfile::TempDir
where
    H: axum::handler::Handler<T, ()>,
    T: 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = axum::Router::new().route("/v1/audio/speech", post(handler));
    tokio::spawn(async move { axum::serve(listener, app).await });
    voice_at(&format!("http://{address}"))
}

fn voice_at(url: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("remote");
    std::fs::create_dir(&folder).unwrap();
    let toml = format!(
        "engine = \"http\"\nlanguage = \"zh\"\n[http]\nurl = \"{url}\"\nmodel = \"m\"\nvoice = \"v\"\n\
         first_audio_ms = 1000\nstall_ms = 400\n"
    );
    std::fs::write(folder.join("voice.toml"), toml).unwrap();
    dir
}

async fn spoken_by(dir: &tempfile::TempDir, text: &str) -> Vec<Piece> {
    let options = Options { voices: Some(dir.path().to_owned()), ..Options::default() };
    let mouth = Mouth::open(&["remote"], &options).unwrap();
    let (heard, _) = ask(&mouth, "remote", text);
    tokio::task::spawn_blocking(move || all(&heard)).await.unwrap()
}

/// 24 kHz s16le: silence, a tone, silence.
fn pcm(silence_ms: usize, tone_ms: usize) -> Vec<u8> {
    let quiet = std::iter::repeat_n(0_i16, 24 * silence_ms);
    let tone = (0..24 * tone_ms).map(|i| ((i as f32 * 0.1).sin() * 12_000.0) as i16);
    quiet.clone().chain(tone).chain(quiet).flat_map(i16::to_le_bytes).collect()
}

/// A body that comes in pieces of an odd size.
fn streamed(
    bytes: &[u8],
    then: impl futures_util::Stream<Item = std::io::Result<Bytes>> + Send + 'static,
) -> Response {
    use futures_util::StreamExt;
    let pieces: Vec<std::io::Result<Bytes>> =
        bytes.chunks(1001).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
    Body::from_stream(futures_util::stream::iter(pieces).chain(then)).into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_audio_is_resampled_trimmed_and_spans_the_text() {
    let dir = server(|Json(asked): Json<serde_json::Value>| async move {
        if asked["response_format"] == "pcm"
            && asked["model"] == "m"
            && asked["voice"] == "v"
            && asked["input"] == "充到80%了。"
        {
            streamed(&pcm(200, 1000), futures_util::stream::empty())
        } else {
            (StatusCode::BAD_REQUEST, asked.to_string()).into_response()
        }
    })
    .await;
    let pieces = spoken_by(&dir, "充到80%了。").await;
    assert_eq!(pieces.last(), Some(&Piece::Done), "{pieces:?}");
    assert_eq!(last_span(&pieces), 7);
    let samples = audio(&pieces);
    let (want, room) = (16 * (1000 + 250), 16 * 60);
    assert!(
        (want - room..want + room).contains(&samples.len()),
        "{} samples, wanted about {want}",
        samples.len()
    );
    let first = samples.iter().position(|s| s.unsigned_abs() > 1000).unwrap_or(usize::MAX);
    assert!(first < 16 * 40, "{first} samples of leading silence");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_in_the_middle_fails_after_what_it_gave() {
    let dir = server(|| async {
        streamed(&pcm(0, 800), futures_util::stream::once(async { Err(std::io::Error::other("killed")) }))
    })
    .await;
    let pieces = spoken_by(&dir, "好的好的。").await;
    assert!(audio(&pieces).len() > 16 * 300, "what came before is heard");
    assert!(last_span(&pieces) < 5, "the end of the text was not spoken");
    assert!(
        matches!(pieces.last(), Some(Piece::Failed(why)) if why.contains("broke off")),
        "{:?}",
        pieces.last()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stalls_in_the_middle_fails() {
    let dir = server(|| async { streamed(&pcm(0, 300), futures_util::stream::pending()) }).await;
    let pieces = spoken_by(&dir, "好的好的。").await;
    assert!(
        matches!(pieces.last(), Some(Piece::Failed(why)) if why.contains("400 ms")),
        "{:?}",
        pieces.last()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_fails_in_time() {
    let dir = server(std::future::pending::<Response>).await;
    let pieces = spoken_by(&dir, "好的。").await;
    assert!(matches!(&pieces[..], [Piece::Failed(why)] if why.contains("1000 ms")), "{pieces:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_and_an_empty_answer_and_no_server_fail_with_the_reason() {
    let dir = server(|| async { (StatusCode::TOO_MANY_REQUESTS, "slow down").into_response() }).await;
    let pieces = spoken_by(&dir, "好的。").await;
    assert!(
        matches!(&pieces[..], [Piece::Failed(why)] if why.contains("429") && why.contains("slow down")),
        "{pieces:?}"
    );
    let dir = server(|| async { streamed(&pcm(500, 0), futures_util::stream::empty()) }).await;
    let pieces = spoken_by(&dir, "好的。").await;
    assert!(matches!(&pieces[..], [Piece::Failed(why)] if why.contains("without audio")), "{pieces:?}");
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let pieces = spoken_by(&voice_at(&format!("http://{closed}")), "好的。").await;
    assert!(matches!(&pieces[..], [Piece::Failed(why)] if why.contains("refused")), "{pieces:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_ends_a_request_to_a_silent_server_at_once() {
    let dir = server(std::future::pending::<Response>).await;
    let options = Options { voices: Some(dir.path().to_owned()), ..Options::default() };
    let mouth = Mouth::open(&["remote"], &options).unwrap();
    let (heard, cancelled) = ask(&mouth, "remote", "好的。");
    cancelled.store(true, Ordering::Relaxed);
    let pieces = tokio::task::spawn_blocking(move || all(&heard)).await.unwrap();
    assert_eq!(pieces, [Piece::Done]);
}
