//! A seat's page beside a real call: SIP and RTP on loopback, the real core and mind, ears and mouth that are scripted.

mod realtime {
    use std::net::{IpAddr, Ipv4Addr};
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use eventsource_stream::Eventsource as _;
    use futures_util::StreamExt as _;
    use nightline::asr::{Error, Job, Recognizer, Token, Transcript};
    use nightline::clock::Clock;
    use nightline::config::{self, Config};
    use nightline::leg::sip::Line;
    use nightline::media::RATE;
    use nightline::qa::{Fixture, ScriptedCaller};
    use nightline::record::{CallInfo, Tap};
    use nightline::server::Server;
    use nightline::services::Pools;
    use nightline::tts::{Piece, Request, Synthesizer};
    use nightline::ua;
    use nightline_sip::{Endpoint, EndpointConfig, Transport};
    use serde_json::{Value, json};
    use tokio_util::sync::CancellationToken;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const SAID: &str = "<script>alert(1)</script>充电枪拔不出来怎么办";
    const LONGEST: Duration = Duration::from_secs(60);

    /// Hears the same in everything that is longer than 0.3 s.
    struct Ears;

    impl Recognizer for Ears {
        fn submit(&self, job: Job) {
            let result = if job.audio.len() < RATE as usize * 3 / 10 {
                Err(Error::TooShort(job.audio.len()))
            } else {
                let token = |c: char| Token { text: c.into(), probability: 0.95, ..Token::default() };
                Ok(Transcript {
                    text: SAID.into(),
                    confidence: 0.95,
                    tokens: SAID.chars().map(token).collect(),
                    no_speech: 0.01,
                    ..Transcript::default()
                })
            };
            (job.reply)(result);
        }
    }

    /// 20 ms of a hum for each character.
    struct Mouth;

    impl Synthesizer for Mouth {
        fn speak(&self, mut request: Request) {
            for (at, _) in request.text.chars().enumerate() {
                let hum = (0..RATE as usize / 50).map(|i| if i % 40 < 20 { 3000 } else { -3000 });
                (request.sink)(Piece::Audio { samples: hum.collect(), span: at..at + 1 });
            }
            (request.sink)(Piece::Done);
        }
    }

    struct Nothing;

    impl Tap for Nothing {
        fn event(&mut self, _: &nightline::call::event::Event) {}
    }

    /// The caller's side: plays `fixture` until its end.
    async fn phone(target: String, ports: std::ops::RangeInclusive<u16>, fixture: Fixture) {
        let listen = vec![(Transport::Udp, (HERE, 0).into())];
        let (endpoint, _calls) =
            Endpoint::bind(EndpointConfig { listen, ..EndpointConfig::default() }).await.expect("a port");
        let line = Line {
            endpoint: endpoint.clone(),
            bind: HERE,
            advertised: HERE,
            ports,
            codecs: nightline_sip::Codec::ALL.into(),
            from: "sip:13800001234@127.0.0.1".into(),
            ring_timeout: Duration::from_secs(10),
            clock: Clock::start(),
            screens: None,
            pages: None,
        };
        let leg = line.call(&target).await.expect("the call is answered");
        ua::converse(leg, ScriptedCaller::new(fixture), None, Duration::from_secs(14), |_| {}).await;
        endpoint.shutdown().await;
    }

    /// Follows a page until `done`; gives what it shows then, and whether the stream is over.
    async fn follow(url: &str, done: impl Fn(&Value) -> bool) -> (Value, bool) {
        let answer = reqwest::get(url).await.expect("the stream opens");
        assert_eq!(answer.status(), 200);
        let mut events = answer.bytes_stream().eventsource();
        let mut page = json!({ "turns": [] });
        while let Some(event) = events.next().await {
            let event = event.expect("a whole event");
            if event.event == "end" {
                return (page, true);
            }
            let changes: Value = serde_json::from_str(&event.data).expect("JSON");
            for (name, section) in changes.as_object().expect("sections") {
                if let Some(from) = section["from"].as_u64().filter(|_| name == "turns") {
                    let turns = page["turns"].as_array_mut().expect("a list");
                    turns.truncate(from as usize);
                    turns.extend(section["items"].as_array().expect("items").iter().cloned());
                } else {
                    page[name] = section.clone();
                }
            }
            if done(&page) {
                return (page, false);
            }
        }
        panic!("the stream broke off: {page:#}");
    }

    fn turn(page: &Value, who: &str, wanted: impl Fn(&Value) -> bool) -> bool {
        page["turns"]
            .as_array()
            .is_some_and(|turns| turns.iter().any(|turn| turn["who"] == who && wanted(turn)))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_seat_follows_a_call_and_reads_it_afterwards() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.record.folder = folder.path().into();
        config.store = folder.path().join("nightline.db");
        config.sip.listen =
            vec![config::Listen { transport: config::Transport::Udp, addr: (HERE, 0).into() }];
        config.http.listen = Some((HERE, 0).into());
        config.http.public_url = Some("https://desk.example/nightline".into());

        let mut pools = Pools::open(&config).expect("the pools open");
        pools.services.asr = Arc::new(Ears);
        pools.services.tts = Arc::new(Mouth);
        let (begun, mut calls) = tokio::sync::mpsc::unbounded_channel();
        let watch = Arc::new(move |info: &CallInfo| {
            let _ = begun.send(info.id.clone());
            Box::new(Nothing) as Box<dyn Tap>
        });
        let ports = config.rtp.ports.clone();
        let server = Server::with(Arc::new(config), pools, Some(watch)).await.expect("the server starts");
        let sip = server.local_addr(Transport::Udp).expect("it listens");
        let http = server.http_addr().expect("it serves");
        let screens = server.shared().screens.clone();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server.run(stop.clone()));

        let fixtures = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures"));
        let fixture = Fixture::load(&fixtures.join("person.toml")).expect("the fixture loads");
        let phone = tokio::spawn(phone(format!("sip:400@{sip}"), ports, fixture));
        let call = tokio::time::timeout(LONGEST, calls.recv()).await.expect("in time").expect("a call");
        let told = screens.url(&call).expect("there is a base");
        let here = told.replace("https://desk.example/nightline", &format!("http://{http}"));
        let events = here.replace("?key=", "/events?key=");
        let page = reqwest::get(&here).await.expect("the page").text().await.expect("its text");
        assert!(
            page.contains("<main>") && !page.contains(&call),
            "nothing of the call is in the page itself"
        );

        let answered = |page: &Value| {
            turn(page, "caller", |turn| turn["text"] == SAID)
                && turn(page, "bot", |turn| turn["act"] == "answer")
        };
        let (live, _) = tokio::time::timeout(LONGEST, follow(&events, answered)).await.expect("in time");
        assert_ne!(live["state"]["phase"], "ended", "it is told while the call is on: {live:#}");
        assert_eq!(live["caller"]["number"], "13800001234");
        assert_eq!(live["advice"]["entries"][0]["id"], "charge-gun-stuck", "{:#}", live["advice"]);
        assert_eq!(live["advice"]["words"], SAID);

        let (last, over) =
            tokio::time::timeout(LONGEST, follow(&events, |_| false)).await.expect("the call ends in time");
        assert!(over && last["state"]["phase"] == "ended", "{last:#}");
        phone.await.expect("the phone hangs up");
        assert!(answered(&last), "what was told stays: {last:#}");

        let wrong = format!("http://{http}/screen/{call}/events?key={}", "0".repeat(64));
        assert_eq!(reqwest::get(wrong).await.expect("an answer").status(), 403);
        stop.cancel();
        tokio::time::timeout(LONGEST, serving).await.expect("it stops in time").expect("it stops in order");
    }
}
