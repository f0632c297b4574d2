//! Tools by the Model Context Protocol: the reference back office over `/mcp`, and what a call makes of it.

use std::sync::Arc;

use nightline::backoffice::{self, BackOffice};
use nightline::chat::Conversation;
use nightline::dialogue::engine;
use nightline::dialogue::light::Acting;
use nightline::dialogue::tenant::Tenant;
use nightline::tools::mcp::{McpTools, Place};
use nightline::tools::{Outcome, Specs, Tools, Use};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

const CALLER: &str = "13800001234";

/// A back office on a free port; gives its address and what stops it.
async fn office(token: Option<&str>, at: Option<std::net::SocketAddr>) -> (String, oneshot::Sender<()>) {
    let now = "2026-11-23T22:00:00+08:00".parse().expect("a time");
    let options = backoffice::Options {
        now: Some(now),
        seed: true,
        token: token.map(|token| token.to_owned().into()),
        ..backoffice::Options::default()
    };
    let office = BackOffice::open(options).await.expect("it opens");
    let at = at.unwrap_or_else(|| ([127, 0, 0, 1], 0).into());
    let listener = TcpListener::bind(at).await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(office.serve(listener, async { drop(stopped.await) }));
    (url, stop)
}

fn tenant() -> Arc<Tenant> {
    Tenant::load("nev", None).expect("the tenant loads")
}

fn tools(specs: Specs, url: &str, token: Option<&str>) -> McpTools {
    let token = token.map(|token| token.to_owned().into());
    McpTools::new(specs, Place::Url(format!("{url}/mcp")), token).expect("the address is right")
}

async fn used(tools: &McpTools, tool: &str, arguments: Value) -> Outcome {
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    let (sender, outcome) = oneshot::channel();
    let what = Use { tool: tool.into(), arguments, occasion: 1 };
    tools.call("call-1", what, Box::new(move |outcome| drop(sender.send(outcome))));
    outcome.await.expect("a reply to every use")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_car_is_found_over_mcp() {
    let (url, _stop) = office(None, None).await;
    let tools = tools(tenant().tools.clone(), &url, None);
    let missing = tokio::task::spawn_blocking({
        let tools = tools.clone();
        move || tools.check()
    });
    assert_eq!(missing.await.expect("no panic").expect("it connects"), Vec::<String>::new());
    let found = used(&tools, "find_vehicle", json!({"phone": CALLER})).await;
    let Outcome::Done(answer) = found else { panic!("{found:?}") };
    assert!(answer.to_string().contains("青屿"), "{answer}");
    let wrong = used(&tools, "find_vehicle", json!({"phone": CALLER, "url": "http://evil.example"})).await;
    assert!(matches!(wrong, Outcome::Invalid(_)), "{wrong:?}");
    let none = used(&tools, "drop_all", json!({})).await;
    assert!(matches!(none, Outcome::Invalid(_)), "{none:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_keeps_its_code_and_a_repetition_books_once() {
    let (url, _stop) = office(None, None).await;
    let tools = tools(tenant().tools.clone(), &url, None);
    let book =
        json!({"phone": CALLER, "centre": "sh-pudong", "start": "2026-11-25T14:00", "service": "保养"});
    let first = used(&tools, "book", book.clone()).await;
    let again = used(&tools, "book", book.clone()).await;
    assert!(matches!(first, Outcome::Done(_)), "{first:?}");
    assert_eq!(first, again, "the same use of the same call is one booking");
    let mut past = book;
    past["start"] = json!("2020-01-01T10:00");
    let refused = used(&tools, "book", past).await;
    let Outcome::Refused { code, .. } = &refused else { panic!("{refused:?}") };
    assert!(code != "refused" && !code.is_empty(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_booked_by_a_conversation_over_mcp() {
    let (url, _stop) = office(None, None).await;
    let tenant = tenant();
    let tools = tools(tenant.tools.clone(), &url, None);
    let now = jiff::civil::date(2026, 11, 23).at(22, 0, 0, 0);
    let acting = Acting::fully(&tenant, Arc::new(move || now));
    let mind = engine::open(tenant, None, Some(acting)).expect("the mind opens");
    let mut conversation = Conversation::new(mind, Arc::new(tools), "call-2".into(), Some(CALLER.into()));
    let mut last = String::new();
    for words in ["我想预约保养", "第二家", "明天", "上午", "好的"] {
        last = conversation.say(words).await.expect("a turn").text();
    }
    assert!(last.contains("约好了"), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_is_found_again() {
    let (url, stop) = office(None, None).await;
    let tools = tools(tenant().tools.clone(), &url, None);
    let find = || used(&tools, "find_vehicle", json!({"phone": CALLER}));
    assert!(matches!(find().await, Outcome::Done(_)));
    drop(stop);
    let at = url.trim_start_matches("http://").parse().expect("an address");
    // The port is free again once the old server has closed its connections.
    let reopened = async {
        while TcpListener::bind(at).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    let limit = std::time::Duration::from_secs(20);
    tokio::time::timeout(limit, reopened).await.expect("the old server ends");
    let (_, _stop) = office(None, Some(at)).await;
    assert!(matches!(find().await, Outcome::Done(_)), "the second server was not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_door_asks_for_the_token() {
    let (url, _stop) = office(Some("geheim-1"), None).await;
    let with = tools(tenant().tools.clone(), &url, Some("geheim-1"));
    assert!(matches!(used(&with, "find_vehicle", json!({"phone": CALLER})).await, Outcome::Done(_)));
    let without = tools(tenant().tools.clone(), &url, None);
    let outcome = used(&without, "find_vehicle", json!({"phone": CALLER})).await;
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_the_server_lacks_is_named_and_fails() {
    let (url, _stop) = office(None, None).await;
    let more = r#"
[[tool]]
name = "open_garage"
description = "opens the garage"
method = "POST"
path = "/garage"
changes = true
[tool.parameters]
type = "object"
"#;
    let tools = tools(Specs::parse("tools.toml", more).expect("it is well formed"), &url, None);
    let outcome = used(&tools, "open_garage", json!({})).await;
    assert!(matches!(&outcome, Outcome::Failed(why) if why.contains("open_garage")), "{outcome:?}");
    let missing = tokio::task::spawn_blocking(move || tools.check()).await.expect("no panic");
    assert_eq!(missing.expect("it connects"), ["open_garage"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_car_is_found_by_a_program_that_speaks_over_its_output() {
    let command = [env!("CARGO_BIN_EXE_nightline"), "backoffice", "--mcp", "--memory"];
    let place = Place::Command(command.map(str::to_owned).into());
    let tools = McpTools::new(tenant().tools.clone(), place, None).expect("there is a name");
    let checked = tokio::task::spawn_blocking({
        let tools = tools.clone();
        move || tools.check()
    });
    assert_eq!(checked.await.expect("no panic").expect("it connects"), Vec::<String>::new());
    let found = used(&tools, "find_vehicle", json!({"phone": CALLER})).await;
    assert!(matches!(found, Outcome::Done(_)), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_start_fails_in_time() {
    let place = Place::Command(vec!["/no/such/program".into()]);
    let tools = McpTools::new(tenant().tools.clone(), place, None).expect("there is a name");
    let outcome = used(&tools, "find_vehicle", json!({"phone": CALLER})).await;
    assert!(matches!(&outcome, Outcome::Failed(why) if why.contains("mcp_command")), "{outcome:?}");
}
