use super::*;
use crate::seat::Profile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn wrong(verdict: &Verdict) -> (&str, &str) {
    match verdict {
        Verdict::Wrong(found, advice) => (found, advice),
        other => panic!("this is to be found wrong: {other:?}"),
    }
}

/// The defaults on ports that are free and in a folder that can be written.
fn config(folder: &tempfile::TempDir) -> Config {
    let mut config = Config::default();
    config.sip.listen = vec![Listen { transport: Transport::Udp, addr: "127.0.0.1:0".parse().unwrap() }];
    config.sip.max_calls = 2;
    config.record.folder = folder.path().join("records");
    config.store = folder.path().join("n.db");
    config
}

#[tokio::test]
async fn the_report_is_readable_and_the_exit_code_tells() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder);
    let model = |verdict: Verdict| Check { name: "model", run: Box::new(move || verdict) };
    let mut out = Vec::new();
    let bad = Verdict::Wrong("the model file is cut short".into(), "fetch it again".into());
    let code = Doctor { json: false, what: None }.run(&config, |_| vec![model(bad)], &mut out).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(code, exit::WRONG, "{text}");
    assert!(
        text.contains("✘ model       the model file is cut short\n              → fetch it again\n"),
        "{text}"
    );
    assert!(text.contains("! seats       no seat is configured"), "{text}");
    assert!(text.contains("✔ sip port    udp:127.0.0.1:0 is free"), "{text}");

    let mut out = Vec::new();
    Doctor { json: true, what: None }
        .run(&config, |_| vec![model(Verdict::Good("loads".into()))], &mut out)
        .await
        .unwrap();
    let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let found = json.as_array().unwrap().iter().find(|f| f["check"] == "model").unwrap();
    assert_eq!(*found, serde_json::json!({"check": "model", "state": "good", "found": "loads"}));
    assert!(!config.store.exists() && !config.record.folder.exists(), "the doctor only looks");
}

#[test]
fn a_port_in_use_is_found() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    for (transport, addr) in
        [(Transport::Udp, udp.local_addr().unwrap()), (Transport::Tcp, tcp.local_addr().unwrap())]
    {
        let verdict = sip_port(Listen { transport, addr });
        let (found, advice) = wrong(&verdict);
        assert!(found.ends_with("is in use"), "{found}");
        assert!(advice.contains("`sip.listen`"), "{advice}");
    }
    let elsewhere = Listen { transport: Transport::Udp, addr: "192.0.2.1:5060".parse().unwrap() };
    assert!(wrong(&sip_port(elsewhere)).0.contains("not an address of this machine"));
}

#[test]
fn too_few_free_media_ports_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder);
    // Hold one port; a range of just its pair has no free pair.
    let held = UdpSocket::bind("127.0.0.1:0").unwrap();
    let even = held.local_addr().unwrap().port() & !1;
    config.sip.max_calls = 1;
    config.rtp.ports = even..=even + 1;
    let verdict = rtp_ports(&config);
    assert!(wrong(&verdict).0.starts_with("0 of 1 pairs"), "{verdict:?}");
}

#[test]
fn a_low_file_limit_says_which_limit_would_do() {
    assert_eq!(judge_files(1128, 200), Verdict::Good("1128 allowed, 1128 needed for 200 calls".into()));
    let verdict = judge_files(1024, 200);
    assert!(wrong(&verdict).1.starts_with("`ulimit -n 1128`"), "{verdict:?}");
}

#[test]
fn a_clock_that_was_never_set_is_found() {
    assert!(wrong(&judge_clock(jiff::Timestamp::UNIX_EPOCH)).0.contains("1970"));
}

#[test]
fn a_disk_that_fills_is_noted_before_it_is_full() {
    assert!(matches!(judge_space("var", 1 << 20), Verdict::Wrong(..)));
    assert!(matches!(judge_space("var", 1 << 30), Verdict::Note(..)));
    assert_eq!(
        judge_space("var", 100 << 30),
        Verdict::Good("var can be written, 100.0 GiB free (466 h of calls)".into())
    );
}

#[test]
fn a_file_in_place_of_a_folder_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(wrong(&super::folder(&file.join("records"), "record.folder")).1.contains("`record.folder`"));
}

#[tokio::test]
async fn a_database_that_is_none_is_found_and_a_good_one_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("n.db");
    std::fs::write(&path, "a shopping list ".repeat(100)).unwrap();
    assert!(wrong(&database(&path).await).0.contains("is not a Nightline database"));
    let path = folder.path().join("good.db");
    let store = Store::open(&path).await.unwrap();
    assert!(matches!(database(&path).await, Verdict::Good(_)), "also while a server has it open");
    drop(store);
}

/// The verdict on a server that answers every request with `answer`.
async fn judge_server(answer: &'static str) -> Verdict {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let n = stream.read(&mut request).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&request[..n]).into_owned()
    });
    let verdict = server(&url, "qwen", Some(&"sk-1".into()), "url").await;
    let request = serving.await.unwrap();
    assert!(request.starts_with("GET /v1/models "), "{request}");
    assert!(request.contains("Bearer sk-1"), "{request}");
    verdict
}

#[tokio::test]
async fn a_model_server_is_asked_and_its_answer_understood() {
    let verdict = judge_server(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 24\r\n\r\n{\"data\":[{\"id\":\"qwen\"}]}",
    )
    .await;
    assert!(matches!(verdict, Verdict::Good(_)), "{verdict:?}");
    let verdict = judge_server(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 25\r\n\r\n{\"data\":[{\"id\":\"llama\"}]}",
    )
    .await;
    assert!(wrong(&verdict).1.ends_with("one that it has: llama"), "{verdict:?}");
    let verdict =
        judge_server("HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
    assert!(wrong(&verdict).1.contains("`llm.api_key`"), "{verdict:?}");
    assert!(!format!("{verdict:?}").contains("sk-1"), "the key leaked: {verdict:?}");
}

#[tokio::test]
async fn a_model_server_that_is_down_is_found() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let verdict = server(&format!("http://127.0.0.1:{port}/v1"), "m", None, "url").await;
    let (found, advice) = wrong(&verdict);
    assert!(found.contains("does not answer: ") && advice.contains("`llm.url`"), "{found} {advice}");
}

#[test]
fn a_seat_without_an_address_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder);
    config.seats.profiles = vec![Profile::plain("sip:1@127.0.0.1")];
    assert!(matches!(seats(&config), Verdict::Good(_)));
    config.seats.profiles = vec![Profile::plain("sip:1@no-such-host.invalid")];
    assert!(wrong(&seats(&config)).0.contains("no-such-host.invalid"));
}

#[test]
fn the_voice_library_is_judged_without_a_crash() {
    // Where it is installed, it must be found whole; where it is not, the advice says what to install.
    match espeak() {
        Verdict::Good(found) => assert!(found.contains("data in /"), "{found}"),
        other => assert!(wrong(&other).1.contains("apt-get install"), "{other:?}"),
    }
}
