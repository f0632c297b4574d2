//! The page over real HTTP, of calls whose events are told by hand.

use std::time::Duration;

use eventsource_stream::Eventsource as _;
use futures_util::{Stream, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::api::{self, Health};
use crate::asr::Engine;
use crate::asr::stream::Hypothesis;
use crate::call::event::{Disposition, Event, EventKind, HandoffOutcome, TurnId};
use crate::chat::door::Desk;
use crate::clock::Time;
use crate::dialogue::{Act, Mood, Reason, Tier, Why};
use crate::record::fold as record_of;
use crate::seat::floor::Floor;
use crate::seat::queue::Rules;
use crate::telemetry::metrics::Metrics;
use crate::tools::{NoTools, Outcome, Use};

const CALL: &str = "0199-call";
const SECRET: &str = "a secret of sixteen";
const EVIL: &str = "<script>alert('充电')</script>充电枪拔不出来怎么办";

struct Running {
    screens: Screens,
    store: Store,
    url: String,
    _folder: tempfile::TempDir,
}

async fn start() -> Running {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("n.db")).await.unwrap();
    // Not a loopback address: seats sit elsewhere.
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let tenant = Tenant::load("nev", None).unwrap();
    let mind = crate::dialogue::engine::open(tenant.clone(), None, None).unwrap();
    let http = Http { listen: None, public_url: Some(url.clone()), secret: Some(SECRET.into()) };
    let screens = Screens::new(&http, tenant, mind.clone());
    let shared = api::Shared {
        store: store.clone(),
        health: Arc::new(Health::default),
        metrics: Metrics::new(),
        chat: Desk::new(mind, Arc::new(NoTools::default())),
        floor: Floor::new(Vec::new(), Rules::default()),
        screens: screens.clone(),
    };
    tokio::spawn(api::serve(listener, shared, std::future::pending()));
    Running { screens, store, url, _folder: folder }
}

impl Running {
    /// The page's address.
    fn page(&self) -> String {
        self.screens.url(CALL).expect("there is a base")
    }

    fn at(&self, path: &str) -> String {
        self.page().replace("?key=", &format!("/{path}?key="))
    }

    async fn follow(&self) -> Follower {
        let answer = reqwest::get(self.at("events")).await.expect("the stream opens");
        assert_eq!(answer.status(), 200);
        let events = answer.bytes_stream().eventsource();
        Follower { events: Box::pin(events.map(|event| event.expect("a whole event"))), page: json!({}) }
    }
}

/// A page without a browser.
struct Follower {
    events: std::pin::Pin<Box<dyn Stream<Item = eventsource_stream::Event> + Send>>,
    page: Value,
}

impl Follower {
    /// Takes the next event as the page does; gives its name.
    async fn next(&mut self) -> String {
        let next = tokio::time::timeout(Duration::from_secs(10), self.events.next());
        let event = next.await.expect("an event in time").expect("an open stream");
        let changes: Value = serde_json::from_str(&event.data).expect("JSON");
        for (name, section) in changes.as_object().expect("sections") {
            match section["from"].as_u64() {
                Some(from) if name == "turns" => {
                    let turns =
                        self.page["turns"].as_array_mut().expect("turns are there before they change");
                    turns.truncate(from as usize);
                    turns.extend(section["items"].as_array().expect("items").iter().cloned());
                }
                _ => self.page[name] = section.clone(),
            }
        }
        event.event
    }

    /// Follows until `done`.
    async fn until(&mut self, what: &str, done: impl Fn(&Value) -> bool) {
        for _ in 0..50 {
            if done(&self.page) {
                return;
            }
            self.next().await;
        }
        panic!("{what} never came: {:#}", self.page);
    }
}

fn info() -> CallInfo {
    CallInfo {
        id: CALL.into(),
        tenant: "nev".into(),
        from: "sip:13800001234@pbx".into(),
        to: "sip:400@here".into(),
        door: "sip".into(),
        started: "2026-11-22T03:00:00Z".into(),
        ..CallInfo::default()
    }
}

fn event(ms: u64, kind: EventKind) -> Event {
    Event { at: Time::from_start(Duration::from_millis(ms)), kind }
}

fn partial(text: &str) -> EventKind {
    EventKind::Partial(Hypothesis { committed: String::new(), tentative: text.into() })
}

fn caller(turn: u32, ms: u64, text: &str) -> Event {
    let ended = Time::from_start(Duration::from_millis(ms));
    let began = Time::from_start(Duration::from_millis(ms.saturating_sub(1000)));
    let (turn, text) = (TurnId(turn), text.into());
    event(ms, EventKind::CallerSaid { turn, text, confidence: 0.9, engine: Engine::Whisper, began, ended })
}

fn decided(turn: u32, ms: u64, act: Act, sources: &[&str], why: Why) -> Event {
    let kind = EventKind::Decided {
        turn: TurnId(turn),
        act,
        confidence: 0.42,
        sources: sources.iter().map(ToString::to_string).collect(),
        tier: Tier::Light,
        topic: "charging".into(),
        why: Box::new(why),
    };
    event(ms, kind)
}

fn bot(turn: u32, ms: u64, text: &str) -> Event {
    let began = Time::from_start(Duration::from_millis(ms.saturating_sub(1500)));
    event(ms, EventKind::BotSaid { turn: TurnId(turn), text: text.into(), interrupted: true, began })
}

/// A caller is recognised, asks something, gets angry, and is given to a seat.
fn story() -> Vec<Event> {
    let known = json!({ "service": "保养", "vehicle": { "model": "青屿 S7", "model_year": 2024 } });
    let vehicles = json!({
        "vehicles": [{ "model": "青屿 S7", "model_year": 2024, "plate": "沪AD12345", "vin": "LSV" }],
        "owner": { "address": "陈先生" },
    });
    let arguments = [("phone".to_owned(), json!("13800001234"))].into_iter().collect();
    let mood = Mood { level: 0.9, logits: [("angry words".to_owned(), 3.7)].into() };
    vec![
        event(0, EventKind::Answered),
        bot(1, 2000, "您好，请讲。"),
        event(3000, EventKind::SpeechStarted),
        event(3300, partial("充电枪")),
        caller(2, 5000, EVIL),
        event(
            5200,
            EventKind::ToolUsed {
                turn: TurnId(2),
                what: Use { tool: "find_vehicle".into(), arguments, occasion: 0 },
                outcome: Outcome::Done(vehicles),
                took: Some(Duration::from_millis(180)),
            },
        ),
        event(5210, EventKind::Learned { known: known.as_object().cloned().unwrap_or_default() }),
        decided(
            2,
            5300,
            Act::Answer,
            &["charge-gun-stuck", "flow:book", "tool:find_vehicle", "retired"],
            Why::default(),
        ),
        event(5400, EventKind::BotStarted { turn: TurnId(2), timings: None }),
        bot(2, 9000, "先按解锁键。"),
        caller(3, 12_000, "转人工，你们太差劲了"),
        event(12_050, EventKind::Fault { part: "style".into(), error: "保证免费（没有依据）".into() }),
        decided(3, 12_100, Act::Handoff(Reason::Upset), &[], Why { mood: Some(mood), ..Why::default() }),
        event(12_110, EventKind::HandoffRequested { reason: Reason::Upset }),
        event(12_200, EventKind::Queued { ahead: 2, expected: Some(Duration::from_secs(90)) }),
    ]
}

fn taken() -> Vec<Event> {
    vec![
        event(20_000, EventKind::SeatDialled { seat: "1001".into() }),
        event(
            21_000,
            EventKind::SeatFailed { seat: "1001".into(), outcome: HandoffOutcome::Busy, code: Some(486) },
        ),
        event(22_000, EventKind::SeatDialled { seat: "1002".into() }),
        event(25_000, EventKind::Consulting { summary: "来电，充电枪拔不出来。".into() }),
        event(30_000, EventKind::Bridged),
    ]
}

fn tell(tap: &mut dyn Tap, events: &[Event]) {
    for event in events {
        tap.event(event);
    }
}

#[tokio::test]
async fn a_seat_sees_the_call_while_it_is_on() {
    let running = start().await;
    let mut tap = running.screens.tap(&info());
    let mut page = running.follow().await;
    assert_eq!(page.next().await, "state");
    assert_eq!(page.page["caller"]["number"], "13800001234");
    assert_eq!(page.page["caller"]["on_file"], Value::Null, "nobody has asked yet");
    assert!(page.page["elapsed_ms"].as_u64().is_some_and(|ms| ms > 0), "{}", page.page);

    let story = story();
    tell(&mut *tap, &story[..4]);
    page.until("the words under way", |p| p["moment"]["tentative"] == "充电枪").await;
    assert_eq!(page.page["advice"], Value::Null, "nothing was asked yet");
    assert_eq!(page.page["moment"]["caller_speaks"], true);
    assert_eq!(page.page["turns"][0]["interrupted"], true, "only what was heard");

    tell(&mut *tap, &story[4..]);
    page.until("the place in the queue", |p| p["state"]["ahead"] == 2).await;
    let shown = &page.page;
    assert_eq!(shown["moment"]["tentative"], "", "the turn is over");
    assert_eq!(shown["turns"][1]["text"], EVIL, "as it was said: the page makes text of it");
    assert_eq!(shown["turns"][2]["sources"][0], "charge-gun-stuck");
    assert_eq!(shown["caller"]["on_file"], true);
    assert_eq!(shown["caller"]["address"], "陈先生");
    let vehicle = json!([{ "model": "青屿 S7", "model_year": 2024, "plate": "沪AD12345" }]);
    assert_eq!(shown["caller"]["vehicles"], vehicle, "what it is called, not the whole record");
    assert_eq!(shown["facts"]["service"], "保养");
    assert_eq!(shown["tools"][0]["outcome"], "done");
    assert_eq!(shown["tools"][0]["arguments"][0]["label"], "车主的手机号", "{:#}", shown["tools"]);
    assert_eq!(shown["state"]["phase"], "waiting");
    assert_eq!(shown["state"]["expected_ms"], 90_000);
    assert_eq!(shown["handoff"]["reason"], "upset");
    let summary = shown["handoff"]["summary"].as_str().unwrap();
    assert!(summary.contains("充电枪"), "made before a seat hears it: {summary}");
    assert_eq!(shown["handoff"]["summary_told"], false);
    assert_eq!((&shown["mood"]["name"], &shown["mood"]["signs"]), (&json!("upset"), &json!(["angry words"])));
    assert_eq!(shown["sources"][0]["id"], "charge-gun-stuck");
    assert!(shown["sources"][0]["say"].as_str().is_some_and(|text| !text.is_empty()));
    assert_eq!(shown["sources"][1]["title"], "预约到店", "a flow by its name; a tool is among the tools");
    assert_eq!(shown["sources"][2], json!({ "id": "retired" }), "what is out of use is not made up");
    let advice = &shown["advice"];
    assert_eq!(advice["words"], EVIL, "the wish for a person is no question");
    assert_eq!(advice["entries"][0]["id"], "charge-gun-stuck", "{advice:#}");
    assert_eq!(advice["machine"]["act"], "handoff");
    assert_eq!(advice["machine"]["withheld"], json!(["保证免费（没有依据）"]));

    tell(&mut *tap, &taken());
    page.until("the seat", |p| p["state"]["phase"] == "bridged").await;
    assert_eq!(page.page["handoff"]["summary"], "来电，充电枪拔不出来。");
    assert_eq!(page.page["handoff"]["failed"][0]["outcome"], "busy");
    assert_eq!(page.page["handoff"]["bridged_ms"], 30_000);
    assert_eq!(page.page["state"]["ahead"], Value::Null);

    tell(&mut *tap, &[event(60_000, EventKind::Ended { disposition: Disposition::Transferred })]);
    page.until("the end", |p| p["state"]["phase"] == "ended").await;
    assert_eq!(page.page["state"]["duration_ms"], 60_000);
    assert_eq!(page.next().await, "end");
    assert!(page.events.next().await.is_none(), "nothing follows");
}

#[tokio::test]
async fn a_late_page_shows_what_is_stored() {
    let running = start().await;
    let mut events = story();
    events.extend(taken());
    events.push(event(60_000, EventKind::Ended { disposition: Disposition::Transferred }));
    running.store.begin_call(&info()).await.unwrap();
    running.store.append_events(CALL, &events).await.unwrap();
    running.store.finish_call(&record_of(&info(), &events)).await.unwrap();
    let mut page = running.follow().await;
    assert_eq!(page.next().await, "state");
    assert_eq!(page.page["state"]["phase"], "ended");
    assert_eq!(page.page["turns"].as_array().map(Vec::len), Some(4));
    assert_eq!(page.page["caller"]["address"], "陈先生", "from the events");
    assert_eq!(page.page["mood"]["name"], "upset");
    assert_eq!(page.page["advice"]["entries"][0]["id"], "charge-gun-stuck");
    assert_eq!(page.next().await, "end");
}

#[tokio::test]
async fn a_key_opens_one_call_and_a_wrong_one_tells_nothing() {
    let running = start().await;
    let _tap = running.screens.tap(&info());
    let key = running.screens.key(CALL);
    let other = running.screens.key("0199-other");
    let mut refusals = Vec::new();
    for path in [
        format!("/screen/{CALL}"),
        format!("/screen/{CALL}?key="),
        format!("/screen/{CALL}?key={other}"),
        format!("/screen/{CALL}?key={}", &key[1..]),
        format!("/screen/{CALL}/events?key={other}"),
        format!("/screen/{CALL}/ask?key={other}&q=充电"),
        format!("/screen/{CALL}/events"),
        format!("/screen/nobody?key={key}"),
        format!("/screen/nobody/events?key={key}"),
    ] {
        let answer = reqwest::get(format!("{}{path}", running.url)).await.unwrap();
        assert_eq!(answer.status(), 403, "{path}");
        refusals.push(answer.text().await.unwrap());
    }
    assert!(
        refusals.windows(2).all(|pair| pair[0] == pair[1]),
        "a call that there is is refused the same way"
    );
    // Who has a key may know that there is nothing; the beginning of an id is none.
    running.store.begin_call(&CallInfo { id: "0199-stored".into(), ..info() }).await.unwrap();
    for id in ["0199-other", "0199-sto"] {
        let url = format!("{}/screen/{id}/events?key={}", running.url, running.screens.key(id));
        assert_eq!(reqwest::get(url).await.unwrap().status(), 404, "{id}");
    }
}

#[tokio::test]
async fn the_page_is_served_with_strict_headers() {
    let running = start().await;
    let _tap = running.screens.tap(&info());
    for (url, kind) in [
        (running.page(), "text/html"),
        (format!("{}/screen/assets/screen.js", running.url), "text/javascript"),
        (format!("{}/screen/assets/screen.css", running.url), "text/css"),
        (format!("{}/screen/{CALL}", running.url), "text/html"),
    ] {
        let answer = reqwest::get(&url).await.unwrap();
        let header =
            |name: &str| answer.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        assert!(header("content-type").starts_with(kind), "{url}: {}", header("content-type"));
        assert_eq!(header("referrer-policy"), "no-referrer", "{url}");
        assert_eq!(header("cache-control"), "no-store", "{url}");
        let policy = header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"),
            "{url}: {policy}"
        );
        assert!(!policy.contains("unsafe"), "{url}: {policy}");
    }
    let page = reqwest::get(running.page()).await.unwrap().text().await.unwrap();
    for wrong in [" style=", "<style", " onclick=", "<script>", "http://", "https://"] {
        assert!(!page.contains(wrong), "the page has {wrong}, which its policy does not allow");
    }
    let script = include_str!("assets/screen.js");
    for wrong in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
        assert!(!script.contains(wrong), "the page's script makes markup of text: {wrong}");
    }
}

#[tokio::test]
async fn a_seat_looks_an_entry_up() {
    let running = start().await;
    let answer = reqwest::get(format!("{}&q=日常充电充到多少合适", running.at("ask"))).await.unwrap();
    assert_eq!(answer.status(), 200);
    let found: Value = answer.json().await.unwrap();
    assert_eq!(found["entries"][0]["id"], "charge-limit", "{found:#}");
    let nothing: Value = reqwest::get(running.at("ask")).await.unwrap().json().await.unwrap();
    assert_eq!(nothing["entries"], json!([]), "no question, no answer");
}

#[tokio::test]
async fn a_page_knows_whether_the_machine_has_spoken() {
    let running = start().await;
    let mut tap = running.screens.tap(&info());
    let mut page = running.follow().await;
    tell(
        &mut *tap,
        &[caller(2, 5000, EVIL), decided(2, 5100, Act::Clarify, &["charge-gun-stuck"], Why::default())],
    );
    page.until("what it came to", |p| p["advice"]["machine"]["act"] == "clarify").await;
    assert_eq!(page.page["advice"]["machine"]["spoken"], false);
    let answer = page.page["advice"]["machine"]["answer"].as_str().unwrap_or_default().to_owned();
    assert_eq!(page.page["advice"]["entries"][0]["say"], answer.as_str(), "what it would have said");
    tell(&mut *tap, &[event(5200, EventKind::BotStarted { turn: TurnId(2), timings: None })]);
    page.until("that it speaks", |p| p["moment"]["bot_speaks"] == true).await;
    assert_eq!(page.page["advice"]["machine"]["spoken"], true);
    tell(&mut *tap, &[bot(2, 9000, "您是想问充电枪吗？"), event(9500, EventKind::SpeechStarted)]);
    page.until("that it is done", |p| p["moment"]["bot_speaks"] == false).await;
    // The next words are another matter.
    tell(&mut *tap, &[caller(3, 12_000, "空调不制冷了")]);
    page.until("the next question", |p| p["advice"]["words"] == "空调不制冷了").await;
    assert_eq!(page.page["advice"]["machine"], Value::Null);
    assert_eq!(page.page["advice"]["entries"][0]["id"], "ac-cold", "{:#}", page.page["advice"]);
}

/// A page that is not read costs no more than the newest picture, and comes right when it is.
#[tokio::test]
async fn a_slow_reader_gets_the_newest_and_nothing_is_queued_for_it() {
    const PARTIALS: usize = 500;
    const WORDS: usize = 200_000;
    const MOST: usize = PARTIALS * WORDS / 4;
    let running = start().await;
    let mut tap = running.screens.tap(&info());
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let address = running.url.strip_prefix("http://").unwrap();
    let mut slow = socket.connect(address.parse().unwrap()).await.unwrap();
    let path = running.at("events").replace(&running.url, "");
    let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
    slow.write_all(request.as_bytes()).await.unwrap();

    let words = "a".repeat(WORDS);
    for at in 0..PARTIALS {
        tap.event(&event(at as u64, partial(&format!("{at}{words}"))));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    tap.event(&caller(2, 5000, EVIL));
    tap.event(&event(60_000, EventKind::Ended { disposition: Disposition::Abandoned }));
    drop(tap);

    let mut read = Vec::new();
    let all = tokio::time::timeout(Duration::from_secs(30), slow.read_to_end(&mut read));
    all.await.expect("it ends").expect("the server closes in order");
    assert!(read.len() < MOST, "{} bytes were sent: something was queued", read.len());
    let text = String::from_utf8_lossy(&read);
    assert!(text.contains("event: end"), "it was told to the end");
    let last = text.rfind("event: change").or_else(|| text.rfind("event: state")).expect("a state");
    assert!(text[last..].contains("\"phase\":\"ended\""), "the last that is told is how it ended");
    assert!(text.contains("alert('充电')"), "nothing of the transcript is skipped");
}
