use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::sync::Semaphore;

use super::*;

/// What the server does next; it starts over with the last one.
#[derive(Clone)]
enum Act {
    /// Says so, if what it needs is there.
    Say(StatusCode, String),
    /// Refuses `verbose_json`, and logprobs too if set.
    Only { plain: bool },
    /// Says nothing until let go.
    Hang,
    /// Recognises.
    Recognise(Arc<Whisper>),
}

struct Server {
    url: String,
    state: Arc<Serving>,
}

struct Serving {
    acts: Mutex<Vec<Act>>,
    requests: Mutex<Vec<HashMap<String, Vec<u8>>>>,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    go: Semaphore,
    arrived: Semaphore,
}

impl Server {
    async fn start(acts: Vec<Act>) -> Self {
        let state = Arc::new(Serving {
            acts: Mutex::new(acts.into_iter().rev().collect()),
            requests: Mutex::default(),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            go: Semaphore::new(0),
            arrived: Semaphore::new(0),
        });
        let router = axum::Router::new()
            .route("/v1/audio/transcriptions", post(answer))
            .with_state(Arc::clone(&state));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, state }
    }

    fn options(&self) -> Options {
        options(Protocol::OpenAi, self.url.clone())
    }

    fn requests(&self) -> Vec<HashMap<String, Vec<u8>>> {
        self.state.requests.lock().unwrap().clone()
    }
}

async fn answer(State(state): State<Arc<Serving>>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let fields = fields(&headers, &body);
    state.requests.lock().unwrap().push(fields.clone());
    if headers.get("authorization").is_none_or(|key| key != "Bearer sk-right") {
        let words = r#"{"error": {"message": "Incorrect API key provided: find yours in your account"}}"#;
        return (StatusCode::UNAUTHORIZED, words.into());
    }
    let act = {
        let mut acts = state.acts.lock().unwrap();
        if acts.len() > 1 { acts.pop().unwrap() } else { acts[0].clone() }
    };
    state.most_at_once.fetch_max(state.at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
    state.arrived.add_permits(1);
    let out = match act {
        Act::Say(status, body) => (status, body),
        Act::Only { plain } => {
            let format = String::from_utf8_lossy(&fields["response_format"]).into_owned();
            if format != "json" || (plain && fields.contains_key("include[]")) {
                let words = r#"{"error": {"message": "response_format is not compatible with this model"}}"#;
                (StatusCode::BAD_REQUEST, words.into())
            } else {
                good("好的")
            }
        }
        Act::Hang => {
            state.go.acquire().await.unwrap().forget();
            good("晚了")
        }
        Act::Recognise(whisper) => {
            let reader = hound::WavReader::new(std::io::Cursor::new(&fields["file"])).unwrap();
            assert_eq!((reader.spec().sample_rate, reader.spec().channels), (16_000, 1));
            let audio: Vec<i16> = reader.into_samples().map(Result::unwrap).collect();
            let heard = wait(submit(&*whisper, &audio, Purpose::Final)).await.unwrap();
            let log = f64::from(heard.confidence).ln();
            let body = serde_json::json!({"task": "transcribe", "text": heard.text, "segments":
                [{"id": 0, "text": heard.text, "avg_logprob": log, "no_speech_prob": heard.no_speech}]});
            (StatusCode::OK, body.to_string())
        }
    };
    state.at_once.fetch_sub(1, Ordering::SeqCst);
    out
}

fn good(text: &str) -> (StatusCode, String) {
    (StatusCode::OK, serde_json::json!({ "text": text }).to_string())
}

fn say(status: u16, body: &str) -> Act {
    Act::Say(StatusCode::from_u16(status).unwrap(), body.into())
}

/// The fields of a multipart form (RFC 7578).
fn fields(headers: &HeaderMap, body: &[u8]) -> HashMap<String, Vec<u8>> {
    let kind = headers["content-type"].to_str().unwrap();
    let boundary = format!("--{}", kind.split_once("boundary=").unwrap().1);
    let find = |from: &[u8], what: &[u8]| from.windows(what.len()).position(|window| window == what);
    let mut out = HashMap::new();
    let mut rest = body;
    while let Some(at) = find(rest, boundary.as_bytes()) {
        rest = &rest[at + boundary.len()..];
        let (Some(head), Some(end)) =
            (find(rest, b"\r\n\r\n"), find(rest, format!("\r\n{boundary}").as_bytes()))
        else {
            break;
        };
        let header = String::from_utf8_lossy(&rest[..head]).into_owned();
        let name = header.split_once("name=\"").unwrap().1.split('"').next().unwrap().to_owned();
        out.insert(name, rest[head + 4..end].to_vec());
    }
    out
}

async fn failure(server: &Server, change: impl FnOnce(&mut Options)) -> Failure {
    let mut options = server.options();
    change(&mut options);
    let asked = check(&options);
    tokio::time::timeout(LONG, asked).await.expect("bounded").expect_err("the server misbehaves")
}

#[tokio::test]
async fn the_request_is_what_the_interface_says() {
    let server = Server::start(vec![say(200, r#"{"text": " 你好 "}"#)]).await;
    let remote = remote(server.options());
    assert_eq!(hear(&remote, &sound()).await, ("你好".into(), Engine::OpenAi));
    let request = &server.requests()[0];
    let text = |key: &str| String::from_utf8(request[key].clone()).unwrap();
    assert_eq!(text("model"), "whisper-1");
    assert_eq!(text("language"), "zh");
    assert_eq!(text("response_format"), "verbose_json");
    assert_eq!(text("prompt"), "青屿、快充桩");
    let mut reader = hound::WavReader::new(std::io::Cursor::new(&request["file"])).unwrap();
    assert_eq!(reader.samples::<i16>().map(Result::unwrap).collect::<Vec<_>>(), sound());
    assert_eq!(remote.counts(), Counts { answered: 1, ..Counts::default() });
}

#[tokio::test]
async fn a_recording_goes_all_the_way_to_a_real_model_and_back() {
    let server = Server::start(vec![Act::Recognise(whisper())]).await;
    let remote = remote(server.options());
    let heard = wait(submit(&remote, &recording(), Purpose::Final)).await.unwrap();
    assert_eq!((heard.text.as_str(), heard.engine), ("转人工", Engine::OpenAi));
    assert!(heard.confidence > 0.5 && heard.no_speech < 0.2, "{heard:?}");
}

#[tokio::test]
async fn a_server_without_verbose_json_is_asked_for_less_and_that_is_remembered() {
    for (plain, asked) in
        [(false, ["verbose_json", "json", "json"]), (true, ["verbose_json", "json", "json"])]
    {
        let server = Server::start(vec![Act::Only { plain }]).await;
        let remote = remote(server.options());
        assert_eq!(hear(&remote, &sound()).await.0, "好的");
        let steps = server.requests().len();
        assert_eq!(steps, if plain { 3 } else { 2 });
        assert_eq!(hear(&remote, &sound()).await.0, "好的");
        assert_eq!(server.requests().len(), steps + 1, "the format is known now");
        let formats: Vec<_> = server.requests().iter().map(|r| r["response_format"].clone()).collect();
        assert!(formats.iter().zip(asked).all(|(found, wanted)| found == wanted.as_bytes()));
    }
}

#[tokio::test]
async fn a_wrong_key_is_told_in_the_servers_words() {
    let server = Server::start(vec![say(200, "{}")]).await;
    let failure = failure(&server, |o| o.api_key = Some("sk-wrong".into())).await;
    let text = failure.to_string();
    assert!(text.contains("401") && text.contains("Incorrect API key provided"), "{text}");
    assert!(text.contains("asr.remote.api_key") && !text.contains("sk-wrong"), "{text}");
}

#[tokio::test]
async fn whatever_goes_wrong_the_spare_answers_and_the_failure_says_what_it_was() {
    let cases: [(Act, &str); 5] = [
        (say(200, "<html>busy</html>"), "not JSON at line 1"),
        (say(503, "no worker"), "it answered 503: no worker"),
        (say(200, r#"{"error": "out of memory"}"#), "it reported: out of memory"),
        (say(200, &format!("{{\"text\": \"{}\"}}", "长".repeat(LARGEST))), "larger than 1048576 bytes"),
        (say(404, r#"{"detail": "Not Found"}"#), "`asr.remote.model`"),
    ];
    for (act, message) in cases {
        let server = Server::start(vec![act]).await;
        let text = failure(&server, |_| ()).await.to_string();
        assert!(text.contains(message), "{text}");
        let remote = remote(server.options());
        assert_eq!(hear(&remote, &sound()).await, (SPARE.into(), Engine::Whisper));
        assert_eq!(remote.counts().failed, 1);
    }
}

#[tokio::test]
async fn a_slow_server_costs_no_more_than_its_time() {
    let server = Server::start(vec![Act::Hang]).await;
    let short = Duration::from_millis(100);
    let late = failure(&server, |o| o.first = short).await;
    assert_eq!(late, Failure::Late { what: "an answer", limit: short });
    let remote = remote(Options { total: short, ..server.options() });
    assert_eq!(hear(&remote, &sound()).await, (SPARE.into(), Engine::Whisper));
    assert_eq!(remote.counts().failed, 1);
}

#[tokio::test]
async fn a_server_that_is_down_is_said_to_be() {
    let url = format!("http://127.0.0.1:{}/v1", dead_port().await);
    let failure = check(&options(Protocol::OpenAi, url.clone())).await.unwrap_err();
    assert!(matches!(&failure, Failure::Unreachable(why) if why.contains("refused")), "{failure:?}");
    assert_eq!(hear(&remote(options(Protocol::OpenAi, url)), &sound()).await.1, Engine::Whisper);
}

#[tokio::test]
async fn a_connection_that_ends_in_the_middle_is_a_failure() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            // All of the request, so that closing does not reset the connection first.
            let mut request = Vec::new();
            while !request.ends_with(b"--\r\n") {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0, "the request is whole");
            }
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"text\": \"half")
                .await
                .unwrap();
        }
    });
    let failure = check(&options(Protocol::OpenAi, url.clone())).await.unwrap_err();
    assert!(matches!(failure, Failure::Broken(_)), "{failure:?}");
    assert_eq!(hear(&remote(options(Protocol::OpenAi, url)), &sound()).await.1, Engine::Whisper);
}

#[tokio::test]
async fn no_more_jobs_are_at_the_server_than_allowed_and_the_rest_wait_their_turn() {
    let server = Server::start(vec![Act::Hang]).await;
    let remote = remote(Options { in_flight: 2, partials: true, ..server.options() });
    let finals: Vec<_> = (0..6).map(|_| submit(&remote, &sound(), Purpose::Final)).collect();
    server.state.arrived.acquire_many(2).await.unwrap().forget();
    let partial = wait(submit(&remote, &sound(), Purpose::Partial)).await;
    assert_eq!(partial, Err(Error::Dropped), "a partial does not wait for a place");
    server.state.go.add_permits(6);
    for answer in finals {
        assert_eq!(wait(answer).await.unwrap().text, "晚了");
    }
    assert_eq!(server.state.most_at_once.load(Ordering::SeqCst), 2);
    assert_eq!(remote.counts(), Counts { answered: 6, busy: 1, ..Counts::default() });
}

#[tokio::test]
async fn a_final_that_finds_no_place_in_its_time_goes_to_the_spare_and_is_no_failure_of_the_server() {
    let server = Server::start(vec![Act::Hang]).await;
    let mut options = Options { in_flight: 1, failures: 1, ..server.options() };
    options.total = Duration::from_millis(300);
    let remote = remote(options);
    let place = remote.shared.places.acquire().await.unwrap();
    assert_eq!(hear(&remote, &sound()).await.1, Engine::Whisper);
    assert_eq!(remote.counts(), Counts { busy: 1, ..Counts::default() });
    assert!(remote.is_used());
    drop(place);
}

#[tokio::test]
async fn after_failures_in_a_row_the_server_is_left_alone_and_used_again_once_it_is_well() {
    let server =
        Server::start(vec![say(500, "a"), say(500, "b"), say(500, "still"), say(200, r#"{"text": "好"}"#)])
            .await;
    let mut options = Options { failures: 2, cool_down: Duration::from_secs(600), ..server.options() };
    let remote_patient = remote(options.clone());
    assert_eq!(hear(&remote_patient, &sound()).await.1, Engine::Whisper);
    assert!(remote_patient.is_used());
    assert_eq!(hear(&remote_patient, &sound()).await.1, Engine::Whisper);
    assert!(!remote_patient.is_used());
    for _ in 0..5 {
        assert_eq!(hear(&remote_patient, &sound()).await.1, Engine::Whisper);
    }
    assert_eq!(server.requests().len(), 2, "a server that is left alone gets no requests");
    assert_eq!(remote_patient.counts(), Counts { failed: 2, spared: 5, opened: 1, ..Counts::default() });

    // One whose cool-down is over at once: the first failure opens it, the next final is a probe.
    options.cool_down = Duration::ZERO;
    options.failures = 1;
    let remote = remote(options);
    assert_eq!(hear(&remote, &sound()).await.1, Engine::Whisper, "this one fails");
    assert!(!remote.is_used());
    assert_eq!(hear(&remote, &sound()).await.1, Engine::Whisper, "nobody waits for a probe");
    let well = async {
        while !remote.is_used() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, well).await.expect("a good probe closes the breaker");
    assert_eq!(hear(&remote, &sound()).await, ("好".into(), Engine::OpenAi));
}
