//! Against a real HTTP server on a free port that answers as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use tokio::sync::mpsc;

use super::*;
use crate::call::event::{Disposition, HandoffOutcome};
use crate::clock::Time;
use crate::dialogue::Reason;
use crate::record::fold;
use crate::store::{Hook, HookState, Outbox, Store};
use crate::telemetry::metrics::Metrics;

const SECRET: &str = "a secret of both";
const CALL: &str = "0199-call";

/// What a receiver got.
#[derive(Debug)]
struct Got {
    id: String,
    event: String,
    attempt: String,
    signature: String,
    body: String,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("the body is JSON")
    }

    /// As the receiver in README.md does it.
    fn is_signed(&self) -> bool {
        let unix =
            self.signature.strip_prefix("t=").and_then(|rest| rest.split_once(",v1=")).expect("both parts").0;
        let age = crate::store::now_ms() / 1000 - unix.parse::<i64>().expect("Unix time");
        (0..30).contains(&age) && sign(SECRET, unix.parse().expect("Unix time"), &self.body) == self.signature
    }
}

/// What a receiver answers.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Status(u16),
    /// Never.
    Silence,
}

struct Receiver {
    url: String,
    got: mpsc::UnboundedReceiver<Got>,
}

type Script = (mpsc::UnboundedSender<Got>, Arc<Mutex<VecDeque<Answer>>>);

impl Receiver {
    /// Answers as `script` says, then always 200.
    async fn start(script: &[Answer]) -> Self {
        async fn take(State((got, script)): State<Script>, headers: HeaderMap, body: Bytes) -> StatusCode {
            let header =
                |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
            let _ = got.send(Got {
                id: header(ID),
                event: header(EVENT),
                attempt: header(ATTEMPT),
                signature: header(SIGNATURE),
                body: String::from_utf8(body.to_vec()).unwrap_or_default(),
            });
            let answer = script.lock().ok().and_then(|mut script| script.pop_front());
            match answer.unwrap_or(Answer::Status(200)) {
                Answer::Status(status) => StatusCode::from_u16(status).unwrap_or_default(),
                Answer::Silence => std::future::pending().await,
            }
        }
        let (send, got) = mpsc::unbounded_channel();
        let script = Arc::new(Mutex::new(script.iter().copied().collect()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let app = Router::new().fallback(take).with_state((send, script));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, got }
    }

    async fn next(&mut self) -> Got {
        tokio::time::timeout(Duration::from_secs(20), self.got.recv())
            .await
            .expect("a webhook comes within 20 s")
            .expect("the receiver runs")
    }
}

fn webhook(url: &str) -> Webhook {
    Webhook {
        url: url.into(),
        events: EVENTS.into_iter().collect(),
        secret: SECRET.into(),
        timeout: Duration::from_secs(5),
        give_up: Duration::from_secs(3600),
    }
}

const PACE: Pace = Pace { first: Duration::from_millis(5), longest: Duration::from_millis(40) };

struct Here {
    folder: tempfile::TempDir,
    webhooks: Vec<Webhook>,
}

impl Here {
    fn new(webhooks: &[Webhook]) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), webhooks: webhooks.to_vec() }
    }

    async fn open(&self) -> Store {
        let path = self.folder.path().join("n.db");
        Store::open_with(&path, Outbox::new(&self.webhooks)).await.unwrap_or_else(|e| panic!("{e}"))
    }

    fn work(&self, store: &Store) -> (Worker, Metrics) {
        let metrics = Metrics::new();
        let worker = Worker::start(store.clone(), self.webhooks.clone(), PACE, metrics.clone());
        (worker.expect("the client can be built"), metrics)
    }
}

fn info() -> CallInfo {
    CallInfo {
        id: CALL.into(),
        tenant: "nev".into(),
        from: "13812345678".into(),
        to: "4001".into(),
        door: "sip".into(),
        started: "2026-01-02T03:04:05Z".into(),
        ..CallInfo::default()
    }
}

fn event(ms: u64, kind: EventKind) -> Event {
    Event { at: Time::from_start(Duration::from_millis(ms)), kind }
}

async fn answered(store: &Store) {
    store.begin_call(&info()).await.unwrap();
    store.append_events(CALL, &[event(0, EventKind::Answered)]).await.unwrap();
}

async fn only(store: &Store) -> Hook {
    let hooks = store.hooks(true, 10).await.unwrap();
    assert_eq!(hooks.len(), 1, "{hooks:?}");
    hooks.into_iter().next().unwrap()
}

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_call_is_told_from_its_answer_to_its_end_and_signed() {
    let mut receiver = Receiver::start(&[]).await;
    let here = Here::new(&[webhook(&receiver.url)]);
    let store = here.open().await;
    let (worker, metrics) = here.work(&store);
    let (handle, writer) = store.writer();
    let id: Arc<str> = CALL.into();
    let events = [
        event(0, EventKind::Answered),
        event(10, EventKind::SpeechStarted),
        event(2000, EventKind::HandoffRequested { reason: Reason::Requested }),
        event(9000, EventKind::Bridged),
        event(60_000, EventKind::HandoffEnded { outcome: HandoffOutcome::Accepted }),
        event(
            60_500,
            EventKind::MessageLeft {
                text: "请王师傅回电".into(),
                began: Time::from_start(Duration::from_secs(60)),
            },
        ),
        event(60_900, EventKind::Rated { score: 4, words: "满意".into() }),
        event(61_000, EventKind::Ended { disposition: Disposition::Transferred }),
    ];
    handle.begin(&info());
    for event in &events {
        handle.event(&id, event);
    }
    handle.book_callback(CALL, "13812345678", "明天上午").await.unwrap();
    handle.finish(fold(&info(), &events));
    handle.flush().await;
    let mut told = Vec::new();
    for _ in EVENTS {
        let got = receiver.next().await;
        assert!(got.is_signed(), "{got:?}");
        assert_eq!((&got.json()["id"], &got.json()["event"]), (&json!(got.id), &json!(got.event)));
        assert_eq!(got.json()["call"]["from"], "13812345678");
        told.push(got);
    }
    let find = |name: &str| {
        told.iter().find(|got| got.event == name).unwrap_or_else(|| panic!("{name} was not told"))
    };
    assert_eq!(find("handoff_requested").json()["data"]["reason"], "requested");
    assert_eq!(find("handoff_requested").json()["at"], "2026-01-02T03:04:07.000Z");
    assert_eq!(find("handoff_ended").json()["data"]["outcome"], "accepted");
    assert_eq!(find("callback_booked").json()["data"]["when"], "明天上午");
    assert_eq!(find("message_left").json()["data"], json!({ "text": "请王师傅回电", "began_ms": 60_000 }));
    assert_eq!(find("rated").json()["data"], json!({ "score": 4, "words": "满意" }));
    let end = find("call_ended").json();
    assert_eq!(end["data"]["disposition"], "transferred");
    assert_eq!(
        (&end["data"]["duration_ms"], &end["data"]["handoff"]["outcome"]),
        (&json!(61_000), &json!("accepted"))
    );
    worker.stop(PATIENCE).await;
    assert_eq!(store.waiting_hooks().await.unwrap(), (0, None));
    let text = metrics.text(&crate::api::Health { calls: 0, max_calls: 1, lost: 0, open: true }).unwrap();
    assert!(text.contains("nightline_webhooks_total{event=\"bridged\",outcome=\"sent\"} 1"), "{text}");
    drop(handle);
    writer.await.unwrap();
}

#[tokio::test]
async fn a_receiver_that_fails_twice_is_told_a_third_time_with_the_same_id() {
    let mut receiver = Receiver::start(&[Answer::Status(500), Answer::Status(503)]).await;
    let here = Here::new(&[webhook(&receiver.url)]);
    let store = here.open().await;
    let (worker, metrics) = here.work(&store);
    answered(&store).await;
    let mut ids = Vec::new();
    for attempt in ["1", "2", "3"] {
        let got = receiver.next().await;
        assert_eq!((got.attempt.as_str(), got.event.as_str()), (attempt, "call_answered"));
        assert!(got.is_signed(), "each attempt is signed anew");
        ids.push(got.id);
    }
    assert_eq!(ids, [format!("{CALL}:1"), format!("{CALL}:1"), format!("{CALL}:1")]);
    worker.stop(PATIENCE).await;
    let hook = only(&store).await;
    assert_eq!((hook.state, hook.attempts), (HookState::Sent, 3));
    assert_eq!(hook.body, "", "what the receiver has is not kept here");
    let text = metrics.text(&crate::api::Health { calls: 0, max_calls: 1, lost: 0, open: true }).unwrap();
    assert!(
        text.contains("nightline_webhooks_total{event=\"call_answered\",outcome=\"failed\"} 2"),
        "{text}"
    );
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_in_time_is_told_again() {
    let mut receiver = Receiver::start(&[Answer::Silence]).await;
    let here = Here::new(&[Webhook { timeout: Duration::from_millis(100), ..webhook(&receiver.url) }]);
    let store = here.open().await;
    let (worker, _) = here.work(&store);
    answered(&store).await;
    assert_eq!(receiver.next().await.attempt, "1");
    assert_eq!(receiver.next().await.attempt, "2");
    worker.stop(PATIENCE).await;
    let hook = only(&store).await;
    assert_eq!((hook.state, hook.problem.as_deref()), (HookState::Sent, Some("it did not answer in time")));
}

#[tokio::test]
async fn a_receiver_that_hangs_up_or_is_not_there_is_told_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let here = Here::new(&[webhook(&url)]);
    let store = here.open().await;
    let (worker, _) = here.work(&store);
    answered(&store).await;
    let twice = async {
        for _ in 0..2 {
            drop(listener.accept().await.unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, twice).await.expect("it comes again after the connection was closed");
    worker.stop(PATIENCE).await;
    let hook = only(&store).await;
    assert_eq!(hook.state, HookState::Waiting);
    assert!(hook.attempts >= 1 && hook.problem.is_some(), "{hook:?}");
    // Nobody listens any more.
    drop(listener);
    let failure =
        post(&client().unwrap(), &webhook(&url), "1", TEST, "{}", 1).await.expect_err("nobody is there");
    assert_eq!(failure.why, "it cannot be reached");
}

#[tokio::test]
async fn a_slow_receiver_does_not_hold_up_another() {
    let mut slow = Receiver::start(&[Answer::Silence; 8]).await;
    let mut quick = Receiver::start(&[]).await;
    let here = Here::new(&[webhook(&slow.url), webhook(&quick.url)]);
    let store = here.open().await;
    let (worker, _) = here.work(&store);
    answered(&store).await;
    let twenty = vec![event(5, EventKind::Bridged); 20];
    store.append_events(CALL, &twenty).await.unwrap();
    slow.next().await;
    for _ in 0..21 {
        quick.next().await;
    }
    worker.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn what_waits_is_told_after_a_restart_also_of_a_call_that_died() {
    let mut receiver = Receiver::start(&[]).await;
    let here = Here::new(&[webhook(&receiver.url)]);
    let store = here.open().await;
    answered(&store).await;
    // The process is gone before anything was sent; nothing of it was told in an orderly way.
    drop(store);
    let store = here.open().await;
    let (worker, _) = here.work(&store);
    let (first, second) = (receiver.next().await, receiver.next().await);
    let mut events = [first.event.as_str(), second.event.as_str()];
    events.sort_unstable();
    assert_eq!(events, ["call_answered", "call_ended"]);
    let end = if first.event == "call_ended" { &first } else { &second };
    assert_eq!(end.json()["data"]["disposition"], "failed", "the call died with its process");
    worker.stop(PATIENCE).await;
    drop(store);
    let store = here.open().await;
    assert_eq!(store.waiting_hooks().await.unwrap().0, 0, "another start tells nothing twice");
}

#[tokio::test]
async fn a_process_killed_between_answer_and_note_tells_again_with_the_same_id() {
    let mut receiver = Receiver::start(&[Answer::Silence]).await;
    let here = Here::new(&[webhook(&receiver.url)]);
    let store = here.open().await;
    let (worker, _) = here.work(&store);
    answered(&store).await;
    let first = receiver.next().await;
    worker.stop(Duration::ZERO).await;
    let (worker, _) = here.work(&store);
    let again = receiver.next().await;
    assert_eq!((&first.id, &first.body), (&again.id, &again.body));
    worker.stop(PATIENCE).await;
    assert_eq!(only(&store).await.state, HookState::Sent);
}

#[tokio::test]
async fn it_is_given_up_in_the_end_and_said_so_and_can_be_asked_for_again() {
    let mut receiver = Receiver::start(&[Answer::Status(500)]).await;
    let here = Here::new(&[Webhook { give_up: Duration::ZERO, ..webhook(&receiver.url) }]);
    let store = here.open().await;
    let (worker, metrics) = here.work(&store);
    answered(&store).await;
    receiver.next().await;
    worker.stop(PATIENCE).await;
    let hook = only(&store).await;
    assert_eq!((hook.state, hook.attempts), (HookState::GivenUp, 1));
    assert_eq!(hook.problem.as_deref(), Some("it answered 500 Internal Server Error"));
    let text = metrics.text(&crate::api::Health { calls: 0, max_calls: 1, lost: 0, open: true }).unwrap();
    assert!(
        text.contains("nightline_webhooks_total{event=\"call_answered\",outcome=\"given_up\"} 1"),
        "{text}"
    );
    // As `nightline hooks retry` does, beside the server that holds the file.
    let beside = Store::amend(store.path()).await.unwrap();
    assert_eq!(beside.retry_hooks(Some(hook.id)).await.unwrap(), 1);
    assert_eq!(beside.retry_hooks(Some(hook.id + 1)).await.unwrap(), 0);
    let (worker, _) = here.work(&store);
    assert_eq!(receiver.next().await.attempt, "2");
    worker.stop(PATIENCE).await;
    assert_eq!(only(&store).await.state, HookState::Sent);
    assert_eq!(beside.retry_hooks(None).await.unwrap(), 0, "what was sent is not sent again");
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_not_asked_again() {
    let mut receiver = Receiver::start(&[Answer::Status(410)]).await;
    let here = Here::new(&[webhook(&receiver.url)]);
    let store = here.open().await;
    let (worker, _) = here.work(&store);
    answered(&store).await;
    receiver.next().await;
    worker.stop(PATIENCE).await;
    assert_eq!(only(&store).await.state, HookState::GivenUp);
}

#[tokio::test]
async fn only_what_is_asked_for_is_told() {
    let mut receiver = Receiver::start(&[]).await;
    let events = ["bridged"].into_iter().collect();
    let here = Here::new(&[Webhook { events, ..webhook(&receiver.url) }]);
    let store = here.open().await;
    let (worker, _) = here.work(&store);
    answered(&store).await;
    store.append_events(CALL, &[event(5, EventKind::Bridged)]).await.unwrap();
    assert_eq!(receiver.next().await.event, "bridged");
    worker.stop(PATIENCE).await;
    assert_eq!(only(&store).await.event, "bridged");
}

#[tokio::test]
async fn what_is_not_stored_is_not_told() {
    let here = Here::new(&[webhook("http://127.0.0.1:1/")]);
    let store = here.open().await;
    store.begin_call(&info()).await.unwrap();
    // The second of one transaction belongs to no call: the first is not there either.
    let lost = store.append_events("nobody", &[event(0, EventKind::Answered)]).await;
    assert!(lost.is_err());
    assert_eq!(store.hooks(true, 10).await.unwrap(), []);
    store.book_callback(CALL, "13812345678", "明天").await.unwrap();
    store.book_callback(CALL, "13812345678", "明天").await.unwrap();
    let first = only(&store).await.event_id;
    assert!(first.starts_with(&format!("{CALL}:callback:")), "the same again is told once: {first}");
    assert!(!first.contains("138"), "no number in an id: {first}");
    store.book_callback(CALL, "13812345678", "后天").await.unwrap();
    assert_eq!(store.hooks(true, 10).await.unwrap().len(), 2, "the caller's last word is told");
    let record = fold(&info(), &[event(9, EventKind::Ended { disposition: Disposition::Contained })]);
    store.finish_call(&record).await.unwrap();
    store.finish_call(&record).await.unwrap();
    assert_eq!(store.hooks(true, 10).await.unwrap().len(), 3, "a record that is stored again is told once");
}

#[tokio::test]
async fn what_waits_for_a_webhook_that_was_removed_is_given_up() {
    let mut here = Here::new(&[webhook("http://127.0.0.1:1/")]);
    let store = here.open().await;
    answered(&store).await;
    store.finish_call(&fold(&info(), &[])).await.unwrap();
    drop(store);
    here.webhooks = vec![webhook("http://127.0.0.1:2/")];
    let store = here.open().await;
    assert_eq!(store.tidy_hooks().await.unwrap(), 2);
    let hooks = store.hooks(false, 10).await.unwrap();
    assert!(hooks.iter().all(|hook| hook.state == HookState::GivenUp), "{hooks:?}");
}

#[tokio::test]
async fn a_full_outbox_takes_no_more_and_counts_what_it_loses() {
    let here = Here::new(&[webhook("http://127.0.0.1:1/")]);
    let store = here.open().await;
    store.begin_call(&info()).await.unwrap();
    store.fill_hooks("http://127.0.0.1:1/").await;
    store.append_events(CALL, &[event(0, EventKind::Answered)]).await.unwrap();
    assert_eq!(store.waiting_hooks().await.unwrap().0, crate::store::MOST_WAITING.unsigned_abs());
    assert_eq!(store.outbox().lost(), 1);
    let stored = store.call(CALL).await.unwrap().unwrap();
    assert_eq!(stored.events.len(), 1, "the event itself is stored all the same");
}

#[test]
fn pauses_double_up_to_a_limit_and_are_never_all_the_same() {
    let pace = Pace::default();
    let secs = |failures| pace.pause(failures, 0.0).as_secs();
    assert_eq!([1, 2, 3, 4, 10, 11, 99, u32::MAX].map(secs), [1, 2, 4, 8, 512, 600, 600, 600]);
    assert_eq!(pace.pause(5, 1.0), pace.pause(5, 0.0) / 2);
}
