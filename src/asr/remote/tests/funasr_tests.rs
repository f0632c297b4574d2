use super::funasr_server::{Kind, Server};
use super::*;

fn two_pass(server: &Server) -> Options {
    Options { partials: true, ..options(Protocol::FunAsr(Mode::TwoPass), server.url.clone()) }
}

/// Two and a half seconds: four characters to a server that counts.
fn speech() -> Vec<i16> {
    (0..40_000).map(|i| (i * 7919 % 20_011 - 10_000) as i16).collect()
}

/// Asks for partials of the same audio until the server has told `words`: what comes when is its own affair.
async fn told(remote: &Remote, audio: &[i16], words: &str) {
    let asking = async { while partial(remote, audio).await.as_deref() != Ok(words) {} };
    tokio::time::timeout(LONG, asking).await.unwrap_or_else(|_| panic!("the server never told {words}"));
}

async fn partial(remote: &Remote, audio: &[i16]) -> Result<String, Error> {
    wait(submit(remote, audio, Purpose::Partial)).await.map(|heard| heard.text)
}

#[tokio::test]
async fn partials_and_the_final_share_a_connection_and_nothing_is_sent_twice() {
    let server = Server::start(Kind::Counts).await;
    let remote = remote(two_pass(&server));
    let speech = speech();
    assert_eq!(partial(&remote, &speech[..4000]).await, Err(Error::Dropped), "no words yet");
    told(&remote, &speech[..12_000], "零").await;
    told(&remote, &speech[..20_000], "零一").await;
    assert_eq!(hear(&remote, &speech).await, ("零一二三".into(), Engine::FunAsr));
    assert_eq!(server.seen.connections.load(Ordering::SeqCst), 1);
    assert_eq!(server.seen.samples.load(Ordering::SeqCst), speech.len());
    let sizes = server.seen.sizes.lock().unwrap().clone();
    let (last, others) = sizes.split_last().unwrap();
    assert!(others.iter().all(|size| *size == 1920) && *last <= 1920, "60 ms a message: {sizes:?}");
    let start = server.seen.starts.lock().unwrap()[0].clone();
    let wanted = serde_json::json!({
        "mode": "2pass", "wav_name": "utterance", "wav_format": "pcm", "audio_fs": 16000, "chunk_size": [5, 10, 5],
        "chunk_interval": 10, "is_speaking": true, "itn": true, "svs_lang": "zh",
        "hotwords": start["hotwords"],
    });
    assert_eq!(start, wanted);
    let hotwords: serde_json::Value = serde_json::from_str(start["hotwords"].as_str().unwrap()).unwrap();
    assert_eq!(hotwords, serde_json::json!({"青屿": 20, "快充桩": 20}), "an object, as text");
}

#[tokio::test]
async fn the_python_server_marks_the_end_otherwise_and_is_understood() {
    let server = Server::start(Kind::CountsInPython).await;
    let remote = remote(two_pass(&server));
    told(&remote, &speech()[..12_000], "零").await;
    assert_eq!(hear(&remote, &speech()).await, ("零一二三".into(), Engine::FunAsr));
}

#[tokio::test]
async fn offline_mode_sends_all_at_the_end() {
    let server = Server::start(Kind::Counts).await;
    let remote = remote(options(Protocol::FunAsr(Mode::Offline), server.url.clone()));
    assert_eq!(hear(&remote, &speech()).await, ("零一二三".into(), Engine::FunAsr));
}

#[tokio::test]
async fn a_recording_goes_all_the_way_to_a_real_model_and_back() {
    let server = Server::start(Kind::Recognises(whisper())).await;
    let remote = remote(two_pass(&server));
    let recording = recording();
    let half = submit(&remote, &recording[..recording.len() / 2], Purpose::Partial);
    assert_eq!(hear(&remote, &recording).await, ("转人工".into(), Engine::FunAsr));
    assert_eq!(wait(half).await, Err(Error::Dropped), "a final does not wait for the partial before it");
    assert_eq!(server.seen.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn callers_are_not_mixed_up_and_a_changed_utterance_begins_anew() {
    let server = Server::start(Kind::Counts).await;
    let remote = remote(two_pass(&server));
    let (one, other) = (speech(), speech().into_iter().rev().collect::<Vec<_>>());
    told(&remote, &one[..20_000], "零一").await;
    told(&remote, &other[..12_000], "零").await;
    assert_eq!(server.seen.connections.load(Ordering::SeqCst), 2);
    assert_eq!(hear(&remote, &other).await.0, "零一二三");
    // A stretch was cut off the front.
    assert_eq!(hear(&remote, &one[9_600..]).await.0, "零一二");
    assert_eq!(server.seen.connections.load(Ordering::SeqCst), 3);
    assert_eq!(hear(&remote, &one).await.0, "零一二三");
    assert_eq!(server.seen.connections.load(Ordering::SeqCst), 3, "its connection still waited");
}

#[tokio::test]
async fn no_more_utterances_are_open_than_allowed() {
    let server = Server::start(Kind::Counts).await;
    let remote = remote(Options { in_flight: 1, ..two_pass(&server) });
    let (one, other) = (speech(), speech().into_iter().rev().collect::<Vec<_>>());
    told(&remote, &one[..12_000], "零").await;
    assert_eq!(partial(&remote, &other[..12_000]).await, Err(Error::Dropped));
    assert_eq!(hear(&remote, &other).await.0, "零一二三", "a final is never turned away");
    assert_eq!(remote.counts().busy, 1);
}

#[tokio::test]
async fn whatever_goes_wrong_the_spare_answers() {
    let huge =
        format!(r#"{{"mode": "2pass-offline", "text": "{}", "is_final": true}}"#, "长".repeat(LARGEST));
    let reported = r#"{"text": "ERROR. ONLY SUPPORT PCM", "is_final": true}"#.to_owned();
    for kind in [Kind::Says("<html>".into()), Kind::Says(huge), Kind::Says(reported), Kind::Closes] {
        let server = Server::start(kind).await;
        let remote = remote(two_pass(&server));
        assert_eq!(hear(&remote, &speech()).await, (SPARE.into(), Engine::Whisper));
        assert_eq!(remote.counts(), Counts { failed: 1, ..Counts::default() });
    }
}

#[tokio::test]
async fn a_server_that_never_answers_costs_no_more_than_its_time() {
    let server = Server::start(Kind::Silent).await;
    let remote = remote(Options { first: Duration::from_millis(50), failures: 1, ..two_pass(&server) });
    assert_eq!(hear(&remote, &speech()).await, (SPARE.into(), Engine::Whisper));
    assert!(!remote.is_used());
}

#[tokio::test]
async fn a_wrong_key_is_told_in_the_servers_words_and_a_dead_server_is_found() {
    let server = Server::start(Kind::Counts).await;
    check(&two_pass(&server)).await.expect("the right key is taken");
    let failure =
        check(&Options { api_key: Some("sk-wrong".into()), ..two_pass(&server) }).await.unwrap_err();
    let text = failure.to_string();
    assert!(text.contains("401") && text.contains("this key is unknown here"), "{text}");
    assert!(text.contains("asr.remote.api_key") && !text.contains("sk-wrong"), "{text}");
    let url = format!("ws://127.0.0.1:{}", dead_port().await);
    let dead = options(Protocol::FunAsr(Mode::TwoPass), url);
    assert!(matches!(check(&dead).await, Err(Failure::Unreachable(_))));
    assert_eq!(hear(&remote(dead), &speech()).await.1, Engine::Whisper);
}
