//! The back office from outside, as Nightline and its tools meet it: what is booked stays booked, no slot is given twice,
//! a request that comes again changes nothing, and the document, the routes and `tools.toml` tell the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};

use nightline::backoffice::{BackOffice, Error, Options};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

struct Running {
    url: String,
    client: reqwest::Client,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Running {
    async fn start(database: Option<&Path>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let options = Options {
            database: database.map(Path::to_path_buf),
            now: Some("2026-11-21T22:00:00+08:00".parse().expect("a time")),
            token: None,
            seed: true,
        };
        let office = BackOffice::open(options).await.unwrap_or_else(|e| panic!("{e}"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(office.serve(listener, async {
            let _ = stopped.await;
        }));
        Self { url, client: reqwest::Client::new(), stop, ended }
    }

    /// Ends the service, so that its file can be opened again.
    async fn stop(self) {
        let _ = self.stop.send(());
        // Connections that are kept open would keep the service.
        drop(self.client);
        self.ended.await.expect("the service does not panic").expect("the service ends well");
    }

    async fn get(&self, path: &str) -> Value {
        let response = self.client.get(format!("{}{path}", self.url)).send().await.expect("an answer");
        response.json().await.expect("JSON")
    }

    async fn post(&self, path: &str, key: &str, body: &Value) -> (u16, Value) {
        let request =
            self.client.post(format!("{}{path}", self.url)).header("Idempotency-Key", key).json(body);
        let response = request.send().await.expect("an answer");
        (response.status().as_u16(), response.json().await.expect("JSON"))
    }
}

fn visit(plate: &str, service: &str) -> Value {
    json!({ "phone": "13800001234", "plate": plate, "centre": "sh-pudong", "start": "2026-11-25T14:00", "service": service })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twenty_at_once_for_a_slot_of_three_get_three() {
    let folder = tempfile::tempdir().expect("a folder");
    for database in [None, Some(folder.path().join("office.db"))] {
        let office = std::sync::Arc::new(Running::start(database.as_deref()).await);
        let tasks: Vec<_> = (0..20)
            .map(|n| {
                let office = office.clone();
                tokio::spawn(async move {
                    let new = visit(&format!("沪AD000{n:02}"), "保养");
                    office.post("/bookings", &format!("parallel-{n:02}"), &new).await
                })
            })
            .collect();
        let mut codes = BTreeMap::new();
        for task in tasks {
            let (status, body) = task.await.expect("no panic");
            let code = body["code"].as_str().unwrap_or("booked").to_string();
            *codes.entry((status, code)).or_insert(0) += 1;
        }
        let expected =
            BTreeMap::from([((201, "booked".to_string()), 3), ((409, "slot_taken".to_string()), 17)]);
        assert_eq!(codes, expected, "in {database:?}");
        let slots = office.get("/centres/sh-pudong/slots?date=2026-11-25").await;
        let full = slots["slots"].as_array().expect("slots").iter().all(|s| s["start"] != "2026-11-25T14:00");
        assert!(full, "the slot is not free any more: {slots}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_that_comes_many_times_at_once_is_carried_out_once() {
    let office = std::sync::Arc::new(Running::start(None).await);
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let office = office.clone();
            tokio::spawn(async move {
                office.post("/bookings", "the-same-key", &visit("沪AD12345", "保养")).await
            })
        })
        .collect();
    let mut answers = BTreeSet::new();
    for task in tasks {
        let (status, body) = task.await.expect("no panic");
        answers.insert((status, body.to_string()));
    }
    assert_eq!(answers.len(), 1, "each gets the same answer: {answers:?}");
    assert_eq!(answers.first().map(|(status, _)| *status), Some(201));
    let bookings = office.get("/bookings?phone=13800001234").await;
    assert_eq!(bookings["bookings"].as_array().expect("bookings").len(), 1);
    let sms = office.get("/sms?phone=13800001234").await;
    assert_eq!(sms["sms"].as_array().expect("messages").len(), 1, "one message: {sms}");
}

#[tokio::test]
async fn what_is_booked_survives_a_restart_and_so_do_the_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("deep/office.db");
    let office = Running::start(Some(&file)).await;
    let first = office.post("/bookings", "restart-0001", &visit("沪AD12345", "保养")).await;
    assert_eq!(first.0, 201, "{}", first.1);
    let rescue = json!({ "phone": "13800001234", "place": "上海张江", "problem": "爆胎" });
    office.post("/rescues", "restart-0002", &rescue).await;
    let ticket = json!({ "phone": "13800001234", "kind": "quality", "summary": "异响" });
    office.post("/tickets", "restart-0003", &ticket).await;
    office.stop().await;

    let office = Running::start(Some(&file)).await;
    assert_eq!(
        office.post("/bookings", "restart-0001", &visit("沪AD12345", "保养")).await,
        first,
        "once more, not twice"
    );
    let (status, body) = office.post("/bookings", "restart-0001", &visit("沪AD12345", "四轮定位")).await;
    assert_eq!((status, body["code"].as_str()), (422, Some("key_reused")));
    let found = office.get("/bookings?phone=13800001234").await;
    assert_eq!(found["bookings"], json!([first.1["booking"]]), "known on the next call");
    for (path, list) in [("/sms", "sms"), ("/rescues", "rescues"), ("/tickets", "tickets")] {
        let found = office.get(&format!("{path}?phone=13800001234")).await;
        assert_eq!(found[list].as_array().map(Vec::len), Some(1), "{path}: {found}");
    }
    let calls = office.get("/reminders?state=pending").await;
    let at: Vec<&Value> = calls["reminders"]
        .as_array()
        .expect("reminders")
        .iter()
        .filter(|r| r["booking"] == first.1["booking"]["id"])
        .map(|r| &r["at"])
        .collect();
    assert_eq!(at, ["2026-11-24T18:00"]);
    office.stop().await;
}

#[tokio::test]
async fn a_file_is_for_one_process_and_its_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("office.db");
    let open =
        || BackOffice::open(Options { database: Some(file.clone()), seed: true, ..Options::default() });
    let office = open().await.unwrap_or_else(|e| panic!("{e}"));
    let mode = std::fs::metadata(&file).expect("the file").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "{mode:o}");
    assert!(matches!(open().await, Err(Error::InUse { .. })), "a second one is refused");
    office.close().await;
    open().await.unwrap_or_else(|e| panic!("the first one is gone: {e}")).close().await;
    std::fs::write(&file, "this is no database, but some other file that is long enough").expect("written");
    for name in ["office.db-wal", "office.db-shm"] {
        let _ = std::fs::remove_file(folder.path().join(name));
    }
    match open().await {
        Err(error @ Error::NotADatabase { .. }) => {
            assert!(error.to_string().contains("office.db"), "{error}");
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("a text was taken for a database"),
    }
}

/// Method and path of each operation in the document.
fn operations(document: &Value) -> BTreeMap<(String, String), Value> {
    let mut operations = BTreeMap::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("a path item") {
            operations.insert((method.to_uppercase(), path.clone()), operation.clone());
        }
    }
    operations
}

const ROUTES: &[(&str, &str)] = &[
    ("GET", "/customers"),
    ("GET", "/identity"),
    ("GET", "/vehicles"),
    ("GET", "/vehicles/{vin}/services"),
    ("GET", "/orders"),
    ("GET", "/parts"),
    ("GET", "/prices"),
    ("GET", "/instalments"),
    ("GET", "/centres"),
    ("GET", "/centres/{id}/slots"),
    ("POST", "/bookings"),
    ("GET", "/bookings"),
    ("PATCH", "/bookings/{id}"),
    ("DELETE", "/bookings/{id}"),
    ("POST", "/rescues"),
    ("GET", "/rescues"),
    ("PATCH", "/rescues/{id}"),
    ("POST", "/tickets"),
    ("GET", "/tickets"),
    ("POST", "/sms"),
    ("GET", "/sms"),
    ("GET", "/reminders"),
    ("PATCH", "/reminders/{id}"),
    ("GET", "/health"),
];

#[tokio::test]
async fn the_document_lists_every_route_and_every_route_answers() {
    let office = Running::start(None).await;
    let document = office.get("/openapi.json").await;
    let listed: BTreeSet<_> = operations(&document).into_keys().collect();
    let expected: BTreeSet<_> = ROUTES.iter().map(|(m, p)| ((*m).to_string(), (*p).to_string())).collect();
    assert_eq!(listed, expected);
    for (method, path) in ROUTES {
        let url = format!("{}{}", office.url, path.replace("{vin}", "x").replace("{id}", "x"));
        let request = office.client.request(method.parse().expect("a method"), url);
        let response =
            request.header("Idempotency-Key", "12345678").body("{}").send().await.expect("an answer");
        let status = response.status().as_u16();
        let body: Value = response.json().await.expect("JSON, also of a refusal");
        let known = status != 405 && !body["error"].as_str().is_some_and(|e| e.contains("no such route"));
        assert!(known, "{method} {path} is described but not there: {body}");
        assert!(status < 500, "{method} {path}: {body}");
    }
    // Nothing is described by a name that the document does not hold.
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().expect("a name");
        assert!(document["components"]["schemas"][name].is_object(), "{name} is not described");
    }
    let page = office
        .client
        .get(format!("{}/", office.url))
        .send()
        .await
        .expect("the page")
        .text()
        .await
        .expect("text");
    for (_, path) in ROUTES {
        assert!(page.contains(path), "{path} is not on the page");
    }
}

#[test]
fn whatever_changes_something_asks_for_a_key() {
    let document: Value = serde_json::to_value(BackOffice::openapi()).expect("JSON");
    for ((method, path), operation) in operations(&document) {
        let asks = operation["parameters"]
            .as_array()
            .is_some_and(|all| all.iter().any(|p| p["name"] == "Idempotency-Key" && p["required"] == true));
        assert_eq!(asks, method != "GET", "{method} {path}");
    }
}

/// Names of what an operation takes in path, query and body, and those that it needs.
fn takes(document: &Value, operation: &Value) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut all, mut needed) = (BTreeSet::new(), BTreeSet::new());
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        if parameter["in"] == "header" {
            continue;
        }
        let name = parameter["name"].as_str().expect("a name").to_string();
        if parameter["required"] == true {
            needed.insert(name.clone());
        }
        all.insert(name);
    }
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    if let Some(reference) = body["$ref"].as_str() {
        let schema = document.pointer(reference.trim_start_matches('#')).expect("a schema");
        all.extend(schema["properties"].as_object().expect("properties").keys().cloned());
        let required = schema["required"].as_array().into_iter().flatten();
        needed.extend(required.map(|name| name.as_str().expect("a name").to_string()));
    }
    (all, needed)
}

#[test]
fn every_tool_reaches_a_route_with_what_the_route_takes() {
    let document: Value = serde_json::to_value(BackOffice::openapi()).expect("JSON");
    let operations = operations(&document);
    let tools: toml::Table = include_str!("../tenants/nev/tools.toml").parse().expect("TOML");
    let mut names = BTreeSet::new();
    for tool in tools["tool"].as_array().expect("tools") {
        let text = |key: &str| {
            tool.get(key).and_then(toml::Value::as_str).unwrap_or_else(|| panic!("{key} of {tool}"))
        };
        let name = text("name");
        assert!(names.insert(name), "{name} is there twice");
        let operation =
            operations.get(&(text("method").to_string(), text("path").to_string())).unwrap_or_else(|| {
                panic!("{name} goes to {} {}, which is no route", text("method"), text("path"))
            });
        let changes = tool["changes"].as_bool().expect("changes");
        assert_eq!(changes, text("method") != "GET", "{name}");
        for words in ["description", "waiting", "waiting_en"] {
            assert!(!text(words).is_empty(), "{name} has no {words}");
        }
        assert!(tool["timeout_ms"].as_integer().is_some_and(|ms| (100..=10_000).contains(&ms)), "{name}");
        let schema = &tool["parameters"];
        assert_eq!(schema["additionalProperties"].as_bool(), Some(false), "{name}");
        let given: BTreeSet<String> =
            schema["properties"].as_table().expect("properties").keys().cloned().collect();
        let required: BTreeSet<String> = schema
            .get("required")
            .and_then(toml::Value::as_array)
            .into_iter()
            .flatten()
            .map(|r| r.as_str().expect("a name").to_string())
            .collect();
        let (taken, needed) = takes(&document, operation);
        assert!(given.is_subset(&taken), "{name} gives {given:?}, its route takes {taken:?}");
        assert!(needed.is_subset(&required), "{name} requires {required:?}, its route needs {needed:?}");
        assert!(required.is_subset(&given), "{name} requires what it does not have: {required:?}");
    }
    let expected = "book cancel_booking change_booking check_identity dispatch_rescue find_booking find_centres find_customer find_order \
                    find_part find_price find_rescue find_ticket find_vehicle free_slots instalment open_ticket send_sms \
                    service_history";
    assert_eq!(names.into_iter().collect::<Vec<_>>().join(" "), expected);
}

/// What the tools offer by name is what the back office knows by that name.
#[tokio::test]
async fn the_choices_of_the_tools_are_those_of_the_back_office() {
    let office = Running::start(None).await;
    let tools: toml::Table = include_str!("../tenants/nev/tools.toml").parse().expect("TOML");
    let choices = |property: &str| -> BTreeSet<String> {
        let tools = tools["tool"].as_array().expect("tools").iter();
        let enums: BTreeSet<Vec<String>> = tools
            .filter_map(|tool| tool["parameters"]["properties"].get(property)?.get("enum")?.as_array())
            .map(|list| list.iter().map(|v| v.as_str().expect("a text").to_string()).collect())
            .collect();
        assert_eq!(enums.len(), 1, "all tools offer the same for {property}");
        enums.into_iter().flatten().collect()
    };
    let told = |body: Value| -> BTreeSet<String> {
        let list = body["choices"].as_array().unwrap_or_else(|| panic!("{body}")).clone();
        list.into_iter().map(|v| v.as_str().expect("a text").to_string()).collect()
    };
    assert_eq!(choices("service"), told(office.get("/centres?service=zzz").await));
    assert_eq!(choices("model"), told(office.get("/prices?model=zzz").await));
}

fn nightline(args: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    Command::new(env!("CARGO_BIN_EXE_nightline"))
        .args(args)
        .current_dir(folder.path())
        .output()
        .expect("the program runs")
}

#[track_caller]
fn complains(args: &[&str], words: &[&str]) {
    let output = nightline(args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

#[test]
fn the_command_prints_the_document() {
    let output = nightline(&["backoffice", "--openapi"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(printed, serde_json::to_value(BackOffice::openapi()).expect("JSON"));
}

#[test]
fn the_command_says_what_keeps_it_from_starting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    complains(&["backoffice", "--memory", "--listen", &address], &[&address, "--listen"]);
    complains(&["backoffice", "--memory", "--listen", "0.0.0.0:0"], &["--token-file"]);
    complains(
        &["backoffice", "--memory", "--listen", "127.0.0.1:0", "--token-file", "none"],
        &["none", "--token-file"],
    );
    complains(
        &["backoffice", "--listen", "127.0.0.1:0", "--database", "/proc/none/b.db"],
        &["/proc/none/b.db", "another file"],
    );
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("office.db");
    drop(BackOffice::open(Options { database: Some(file.clone()), ..Options::default() }).await);
    let pool = sqlx::SqlitePool::connect_with(sqlx::sqlite::SqliteConnectOptions::new().filename(&file))
        .await
        .expect("it opens");
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99, 'later', 1, x'00', 0)",
    )
    .execute(&pool)
    .await
    .expect("written");
    pool.close().await;
    match BackOffice::open(Options { database: Some(file), ..Options::default() }).await {
        Err(error @ Error::OtherVersion { .. }) => {
            assert!(error.to_string().contains("use that version"), "{error}");
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("a file of a newer version was opened"),
    }
}
