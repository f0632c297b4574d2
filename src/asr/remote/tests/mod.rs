//! Against servers that speak the protocols: HTTP by axum, WebSocket by tokio-tungstenite, each in this process.

mod funasr_server;
mod funasr_tests;
mod openai_tests;

use std::sync::mpsc;

use super::*;
use crate::asr::whisper::{ModelSource, Options as WhisperOptions, Whisper};
use crate::clock::Time;

/// Longer than any test should take.
pub const LONG: Duration = Duration::from_secs(60);

/// A local model that knows one sentence.
pub struct Spare;

pub const SPARE: &str = "本地";

impl Recognizer for Spare {
    fn submit(&self, job: Job) {
        (job.reply)(Ok(Transcript { text: SPARE.into(), confidence: 0.5, ..Transcript::default() }));
    }
}

pub fn options(protocol: Protocol, url: String) -> Options {
    Options {
        protocol,
        url,
        model: Some("whisper-1".into()),
        api_key: Some("sk-right".into()),
        hotwords: vec!["青屿".into(), "快充桩".into()],
        partials: false,
        connect: Duration::from_secs(5),
        first: Duration::from_secs(10),
        total: Duration::from_secs(20),
        in_flight: 8,
        failures: 100,
        cool_down: Duration::from_secs(600),
    }
}

pub fn remote(options: Options) -> Remote {
    Remote::new(options, Arc::new(Spare), tokio::runtime::Handle::current()).unwrap()
}

/// An answer to come.
pub type Answer = tokio::sync::oneshot::Receiver<Result<Transcript, Error>>;

pub fn submit(to: &dyn Recognizer, audio: &[i16], purpose: Purpose) -> Answer {
    let (reply, answer) = tokio::sync::oneshot::channel();
    to.submit(Job {
        audio: audio.into(),
        purpose,
        deadline: Time::ZERO,
        language: "zh",
        also: None,
        earlier: None,
        reply: Box::new(move |result| drop(reply.send(result))),
    });
    answer
}

pub async fn wait(answer: Answer) -> Result<Transcript, Error> {
    tokio::time::timeout(LONG, answer)
        .await
        .expect("every job is answered in time")
        .expect("and not forgotten")
}

/// Words and engine of a final.
pub async fn hear(to: &dyn Recognizer, audio: &[i16]) -> (String, Engine) {
    let heard = wait(submit(to, audio, Purpose::Final)).await.expect("a final always has an answer");
    (heard.text, heard.engine)
}

/// Something to recognise: half a second that is not silent.
pub fn sound() -> Vec<i16> {
    (0..8000).map(|i| (i * 7919 % 20_011 - 10_000) as i16).collect()
}

/// 转人工, as 16 kHz samples: every sample twice, which the model understands well enough.
pub fn recording() -> Vec<i16> {
    let wav: &[u8] = include_bytes!("../../testdata/human.wav");
    let samples = hound::WavReader::new(wav).unwrap().into_samples::<i16>().map(Result::unwrap);
    let samples: Vec<i16> = samples.collect();
    let mut out = Vec::with_capacity(samples.len() * 2);
    for pair in samples.windows(2) {
        out.extend([pair[0], i16::midpoint(pair[0], pair[1])]);
    }
    out
}

/// The real model, for servers that really recognise.
pub fn whisper() -> Arc<Whisper> {
    let options = WhisperOptions { workers: 1, ..WhisperOptions::default() };
    Arc::new(Whisper::open(&ModelSource::Embedded, &options).unwrap())
}

/// A port on which nobody listens.
pub async fn dead_port() -> u16 {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_partial_goes_to_the_spare_unless_the_server_is_to_have_it() {
    let port = dead_port().await;
    let remote = remote(options(Protocol::OpenAi, format!("http://127.0.0.1:{port}/v1")));
    let heard = wait(submit(&remote, &sound(), Purpose::Partial)).await.unwrap();
    assert_eq!((heard.text.as_str(), heard.engine), (SPARE, Engine::Whisper));
    assert_eq!(remote.counts(), Counts::default(), "the server was never asked");
}

#[tokio::test]
async fn a_job_is_answered_even_if_its_runtime_ends() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let (reply, answer) = mpsc::channel();
    let server = std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let remote =
            Remote::new(options(Protocol::OpenAi, url), Arc::new(Spare), runtime.handle().clone()).unwrap();
        remote.submit(Job {
            audio: sound().into(),
            purpose: Purpose::Final,
            deadline: Time::ZERO,
            language: "zh",
            also: None,
            earlier: None,
            reply: Box::new(move |result| drop(reply.send(result))),
        });
        // The server has taken the connection and says nothing.
        let connection = listener.accept().unwrap();
        runtime.shutdown_background();
        (connection, listener)
    });
    let result = answer.recv_timeout(LONG).expect("a job is never forgotten");
    drop(server.join()); // had the connection ended before, the job would have gone to the spare
    assert!(matches!(result, Err(Error::Engine(_))), "{result:?}");
}

#[test]
fn a_wrong_address_says_which_key_to_correct() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (protocol, url) in
        [(Protocol::OpenAi, "ws://h"), (Protocol::FunAsr(Mode::TwoPass), "http://h"), (Protocol::OpenAi, "h")]
    {
        let opened = Remote::new(options(protocol, url.into()), Arc::new(Spare), runtime.handle().clone());
        let error = opened.err().expect("this is no address").to_string();
        assert!(error.contains("asr.remote.url") && error.contains(url), "{error}");
    }
}
