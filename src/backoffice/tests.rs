//! What the parts do together, asked over real HTTP as a client would. `tests/backoffice.rs` looks at the whole from outside.

mod visits;

use serde_json::{Value, json};

use super::*;

/// Saturday evening; the next Wednesday is 2026-11-25.
const NOW: &str = "2026-11-21T22:00:00+08:00";

struct Rig {
    office: BackOffice,
    url: String,
    client: reqwest::Client,
}

impl Rig {
    async fn start() -> Self {
        Self::with(Options { now: Some(NOW.parse().unwrap()), seed: true, ..Options::default() }).await
    }

    async fn with(options: Options) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let office = BackOffice::open(options).await.unwrap_or_else(|e| panic!("{e}"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(office.clone().serve(listener, std::future::pending()));
        Self { office, url, client: reqwest::Client::new() }
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        told(self.client.get(format!("{}{path}", self.url)).send().await.unwrap()).await
    }

    async fn found(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// With a key of its own.
    async fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.send_as(&uuid::Uuid::now_v7().to_string(), method, path, body).await
    }

    async fn send_as(&self, key: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = self.client.request(method.parse().unwrap(), format!("{}{path}", self.url));
        told(request.header("Idempotency-Key", key).json(body).send().await.unwrap()).await
    }
}

async fn told(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

fn visit(phone: &str, plate: &str, start: &str) -> Value {
    json!({ "phone": phone, "plate": plate, "centre": "sh-pudong", "start": start, "service": "保养" })
}

fn code(body: &Value) -> &str {
    body["code"].as_str().unwrap_or_else(|| panic!("a refusal without a code: {body}"))
}

fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |encoded, byte| encoded + &format!("%{byte:02X}"))
}

#[tokio::test]
async fn a_known_caller_and_the_car_are_found() {
    let rig = Rig::start().await;
    let customer = &rig.found("/customers?phone=13800001234").await["customer"];
    assert_eq!((customer["name"].as_str(), customer["title"].as_str()), (Some("陈志远"), Some("先生")));
    for query in ["plate=%E6%B2%AAad12345", "phone=138-0000-1234", "vin=LGYS7A1E9RS000101"] {
        let body = rig.found(&format!("/vehicles?{query}")).await;
        let car = &body["vehicles"][0];
        assert_eq!(car["plate"], "沪AD12345", "{query}: {body}");
        assert_eq!((car["model"].as_str(), car["mileage_km"].as_i64()), (Some("青屿 S7"), Some(8200)));
        assert_eq!(car["last_service"]["mileage_km"], 5000);
        assert_eq!(car["service_due"], true, "a year has passed: {car}");
    }
    let history = rig.found("/vehicles/LGYS7A1E9RS000101/services").await;
    assert_eq!(history["services"][0]["kind"], "首保");
    assert_eq!(rig.found("/vehicles?phone=13900005678").await["vehicles"].as_array().unwrap().len(), 2);
    let owner = rig.found("/vehicles?phone=13800001234").await["owner"].clone();
    assert_eq!((owner["address"].as_str(), &owner["booking"]), (Some("陈先生"), &Value::Null));
    assert!(rig.found("/vehicles?plate=%E6%B2%AAad12345").await["owner"].is_null(), "a plate tells no name");
    assert_eq!(rig.found("/customers?phone=13311112222").await["customer"]["language"], "en");
}

#[tokio::test]
async fn who_calls_is_told_by_yes_or_no_alone() {
    let rig = Rig::start().await;
    let plate = format!("plate={}", encode("沪AD12345"));
    let phone = "phone=13600003579".to_owned();
    let name = |name: &str| format!("surname={}", encode(name));
    for (record, proof, fits) in [
        (&plate, "caller=13800001234".to_owned(), true),
        (&plate, "caller=13700009999".to_owned(), false),
        (&plate, "tail=1234".to_owned(), true),
        (&plate, "tail=4321".to_owned(), false),
        (&plate, "tail=234".to_owned(), false),
        (&plate, name("陈"), true),
        (&plate, name("程"), true),
        (&plate, name("王"), false),
        (&plate, "tail=".to_owned(), false),
        (&phone, "tail=3579".to_owned(), false),
        (&phone, "caller=13600003579".to_owned(), true),
        (&"plate=%E6%B2%AAAD99999".to_owned(), "tail=1234".to_owned(), false),
    ] {
        let body = rig.found(&format!("/identity?{record}&{proof}")).await;
        assert_eq!(body["matches"], fits, "{record} {proof}: {body}");
        assert_eq!(body["address"].is_string(), fits, "{record} {proof}: {body}");
        assert!(!body.to_string().contains("138"), "the number stays here: {body}");
    }
    assert_eq!(rig.get("/identity?tail=1234").await.0, 422);
}

#[tokio::test]
async fn callers_who_are_not_in_the_books_stay_unknown() {
    let rig = Rig::start().await;
    let (status, body) = rig.get("/customers?phone=13012345678").await;
    assert_eq!((status, code(&body)), (404, "not_found"));
    assert_eq!(rig.found("/vehicles?plate=%E6%B2%AAAD99999").await["vehicles"], json!([]));
    assert_eq!(rig.found("/orders?phone=13012345678").await["orders"], json!([]));
    assert_eq!(rig.get("/vehicles/LGYS7A1E9RS999999/services").await.0, 404);
}

#[tokio::test]
async fn orders_tell_what_is_on_its_way() {
    let rig = Rig::start().await;
    let body = rig.found("/orders?phone=13600003579").await;
    let order = &body["orders"][0];
    assert_eq!((order["kind"].as_str(), order["state"].as_str()), (Some("parts"), Some("运输中")));
    assert_eq!(order["expected"], "2026-11-24", "three days from today: {order}");
}

#[tokio::test]
async fn parts_are_found_by_what_callers_call_them() {
    let rig = Rig::start().await;
    for (said, model, code) in [
        ("雨刷", "S7", "WB-701"),
        ("雨刮片多少钱", "青屿 E3", "WB-301"),
        ("刹车皮", "青屿S5", "BP-710"),
        ("空调滤芯", "S7", "CF-001"),
        ("小电瓶", "E3", "LV-701"),
        ("S7 前保险杠", "", "BM-701"),
    ] {
        let query = format!("/parts?name={}&model={}", encode(said), encode(model));
        let body = rig.found(&query).await;
        assert_eq!(body["parts"][0]["code"], code, "{said} of {model}: {body}");
    }
    let body = rig.found(&format!("/parts?name={}", encode("空调滤芯"))).await;
    assert_eq!(body["parts"][0]["price"], 180);
    assert!(body["parts"][0]["stock"]["青屿浦东服务中心"].as_i64().is_some_and(|n| n > 0), "{body}");
    assert_eq!(rig.found(&format!("/parts?name={}", encode("天线宝宝"))).await["parts"], json!([]));
    let (status, body) = rig.get(&format!("/parts?name={}&model=X9", encode("雨刷"))).await;
    assert_eq!((status, code(&body)), (422, "unknown_name"));
    assert_eq!(body["choices"], json!(["青屿 E3", "青屿 S5", "青屿 S7"]));
}

#[tokio::test]
async fn prices_depend_on_the_model_and_some_things_are_free() {
    let rig = Rig::start().await;
    for (item, model, first, price) in [
        ("小保养", "S7", "小保养", 468),
        ("小保养", "E3", "小保养", 368),
        ("电池检测", "", "电池检测", 0),
        ("做个四轮定位", "", "四轮定位", 380),
        ("上门取车", "", "上门取送车", 160),
        ("青屿S7多少钱", "", "青屿 S7 标准续航版", 239_800),
    ] {
        let body = rig.found(&format!("/prices?item={}&model={}", encode(item), encode(model))).await;
        let found = &body["prices"][0];
        assert_eq!(
            (found["item"].as_str(), found["price"].as_i64()),
            (Some(first), Some(price)),
            "{item}: {body}"
        );
    }
    let body = rig.found(&format!("/prices?item={}&model=S5", encode("车价"))).await;
    assert_eq!(body["prices"].as_array().unwrap().len(), 2, "the two versions of the S5: {body}");
}

#[tokio::test]
async fn instalments_are_told_to_the_fen_and_only_within_the_plans() {
    let rig = Rig::start().await;
    let body = rig.found("/instalments?price=239800&down_payment=71940&months=12").await;
    assert_eq!((&body["loan"], &body["monthly"]), (&json!(167_860), &json!(13_988.33)), "{body}");
    assert_eq!((&body["total_interest"], &body["rate"]), (&json!(0), &json!(0.0)));
    // Decimal arithmetic to 50 digits: 191840 yuan at 3.49 % over 36 months.
    let body = rig.found("/instalments?price=239800&down_payment=47960&months=36").await;
    assert_eq!((&body["monthly"], &body["total_interest"]), (&json!(5620.46), &json!(10496.56)), "{body}");
    for query in [
        "price=239800&down_payment=47959.99&months=36",
        "price=239800&down_payment=239800&months=36",
        "price=239800&down_payment=71940&months=30",
        "price=9999&down_payment=9000&months=36",
        "price=239800.001&down_payment=71940&months=36",
        "price=239800&months=36",
    ] {
        let (status, body) = rig.get(&format!("/instalments?{query}")).await;
        assert_eq!((status, code(&body)), (422, "invalid"), "{query}: {body}");
    }
}

#[tokio::test]
async fn a_rescue_is_sent_once_and_goes_its_way() {
    let rig = Rig::start().await;
    let new = json!({ "phone": "13800001234", "place": "上海张江路科苑路口", "problem": "右后轮爆胎", "passengers": 2, "safe": true });
    let (status, body) = rig.send("POST", "/rescues", &new).await;
    assert_eq!(status, 201, "{body}");
    let rescue = &body["rescue"];
    assert_eq!(
        (rescue["state"].as_str(), rescue["truck"].as_str()),
        (Some("dispatched"), Some("沪救1")),
        "the nearest"
    );
    assert_eq!((rescue["eta_minutes"].as_i64(), rescue["eta_basis"].as_str()), (Some(25), Some("place")));
    let mut again = new.clone();
    again["place"] = "上海浦东".into();
    let (status, body) = rig.send("POST", "/rescues", &again).await;
    assert_eq!((status, &body["rescue"]), (200, rescue), "one at a time");
    let path = format!("/rescues/{}", rescue["id"].as_str().unwrap());
    for (next, status) in
        [("dispatched", 409), ("arrived", 200), ("arrived", 409), ("done", 200), ("cancelled", 409)]
    {
        let (got, body) = rig.send("PATCH", &path, &json!({ "state": next })).await;
        assert_eq!(got, status, "to {next}: {body}");
    }
    assert_eq!(rig.found("/rescues?phone=13800001234").await["rescues"][0]["state"], "done");
    assert_eq!(rig.send("POST", "/rescues", &again).await.0, 201, "the first is over");
}

#[tokio::test]
async fn what_is_not_known_of_the_place_is_said() {
    let rig = Rig::start().await;
    for (phone, place, basis) in [
        ("13800001234", "我也不知道在哪儿", "guess"),
        ("13012345679", "上海，一个加油站旁边", "city"),
        ("13012345670", "沪渝高速青浦段", "place"),
        ("13012345672", "沪渝高速上", "city"),
    ] {
        let new = json!({ "phone": phone, "place": place, "problem": "没电" });
        let (_, body) = rig.send("POST", "/rescues", &new).await;
        assert_eq!(body["rescue"]["eta_basis"], basis, "{place}: {body}");
    }
    let new = json!({ "phone": "13012345671", "place": "不知道在哪儿", "problem": "没电" });
    let (status, body) = rig.send("POST", "/rescues", &new).await;
    assert_eq!((status, code(&body)), (422, "unknown_place"), "no truck is sent to nowhere");
}

#[tokio::test]
async fn when_all_trucks_are_out_a_job_waits_for_the_next() {
    let rig = Rig::start().await;
    let mut ids = Vec::new();
    for n in 0..4 {
        let new = json!({ "phone": format!("1301234{n:04}"), "place": "北京朝阳望京", "problem": "没电" });
        let (status, body) = rig.send("POST", "/rescues", &new).await;
        assert_eq!(status, 201, "{body}");
        ids.push((body["rescue"]["id"].as_str().unwrap().to_string(), body["rescue"]["state"].clone()));
    }
    let states: Vec<&Value> = ids.iter().map(|(_, state)| state).collect();
    assert_eq!(states, ["dispatched", "dispatched", "dispatched", "waiting"], "Beijing has three trucks");
    rig.send("PATCH", &format!("/rescues/{}", ids[1].0), &json!({ "state": "cancelled" })).await;
    let waiting = rig.found("/rescues?phone=13012340003").await;
    assert_eq!(waiting["rescues"][0]["state"], "dispatched", "it got the truck that came free: {waiting}");
    assert!(waiting["rescues"][0]["truck"].as_str().is_some_and(|t| t.starts_with('京')), "{waiting}");
}

#[tokio::test]
async fn a_work_order_goes_to_its_team_with_a_time_to_answer() {
    let rig = Rig::start().await;
    let new = json!({ "phone": "13800001234", "kind": "complaint", "summary": "等了两小时没人接待", "priority": "high", "call": "0191-a" });
    let (status, body) = rig.send("POST", "/tickets", &new).await;
    assert_eq!(status, 201, "{body}");
    assert_eq!(
        (body["ticket"]["team"].as_str(), body["ticket"]["due"].as_str()),
        (Some("客诉专员组"), Some("2026-11-22T06:00"))
    );
    let (_, other) =
        rig.send("POST", "/tickets", &json!({ "kind": "callback", "summary": "明天回电" })).await;
    assert_eq!(
        (other["ticket"]["team"].as_str(), other["ticket"]["priority"].as_str()),
        (Some("回访组"), Some("normal"))
    );
    for (topic, team) in [("charging", "三电技术组"), ("rescue", "客户咨询组")] {
        let new = json!({ "kind": "enquiry", "summary": "x", "topic": topic });
        let (_, own) = rig.send("POST", "/tickets", &new).await;
        assert_eq!(
            (own["ticket"]["team"].as_str(), own["ticket"]["topic"].as_str()),
            (Some(team), Some(topic))
        );
    }
    assert_eq!(rig.found("/tickets?phone=13800001234&state=open").await["tickets"], json!([body["ticket"]]));
    assert_eq!(rig.found("/tickets?phone=13800001234&state=closed").await["tickets"], json!([]));
    let (status, body) = rig.send("POST", "/tickets", &json!({ "kind": "gossip", "summary": "x" })).await;
    assert_eq!((status, code(&body)), (422, "invalid"));
    let (status, _) = rig
        .send("POST", "/tickets", &json!({ "kind": "quality", "summary": "x", "vin": "LGYS7A1E9RS999999" }))
        .await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn every_refusal_says_what_to_do_and_has_a_code() {
    let rig = Rig::start().await;
    let book = visit("13800001234", "沪AD12345", "2026-11-25T14:00");
    let client = &rig.client;
    let post = |body: &str, key: Option<&str>| {
        let request = client.post(format!("{}/bookings", rig.url)).body(body.to_string());
        match key {
            Some(key) => request.header("Idempotency-Key", key),
            None => request,
        }
    };
    let long = "长".repeat(501);
    let field = |name: &str, value: Value| {
        let mut body = book.clone();
        body[name] = value;
        body.to_string()
    };
    for (body, key, status, code, says) in [
        (book.to_string(), None, 400, "no_key", "Idempotency-Key"),
        (book.to_string(), Some("short"), 400, "no_key", "8 to 128"),
        ("{".into(), Some("12345678"), 400, "unreadable", "JSON"),
        ("{}".into(), Some("12345678"), 422, "invalid", "phone"),
        (field("color", "red".into()), Some("12345678"), 422, "invalid", "color"),
        (field("phone", "1380000".into()), Some("12345678"), 422, "invalid", "11"),
        (field("plate", "AD12345".into()), Some("12345678"), 422, "invalid", "plate"),
        (field("start", "明天".into()), Some("12345678"), 422, "invalid", "2026-11-25T14:00"),
        (field("note", long.into()), Some("12345678"), 422, "invalid", "500"),
        (field("note", "x".repeat(70_000).into()), Some("12345678"), 413, "unreadable", "body"),
    ] {
        let (got, told) = told(post(&body, key).send().await.unwrap()).await;
        assert_eq!((got, told["code"].as_str()), (status, Some(code)), "{told}");
        assert!(told["error"].as_str().unwrap().contains(says), "{says} is not in {told}");
    }
    for (path, status, code) in [
        ("/nowhere", 404, "not_found"),
        ("/vehicles", 422, "invalid"),
        ("/bookings", 422, "invalid"),
        ("/customers?phone=abc", 422, "invalid"),
        ("/customers?phone=13800001234&name=x", 422, "invalid"),
        ("/bookings?phone=13800001234&state=maybe", 422, "invalid"),
    ] {
        let (got, told) = rig.get(path).await;
        assert_eq!((got, told["code"].as_str()), (status, Some(code)), "{path}: {told}");
        assert!(told["error"].as_str().is_some_and(|e| e.len() > 10), "{told}");
    }
    let (status, body) = rig.send("PUT", "/bookings", &book).await;
    assert_eq!((status, self::code(&body)), (405, "wrong_method"));
}

#[tokio::test]
async fn a_key_stands_for_one_request() {
    let rig = Rig::start().await;
    let new = visit("13800001234", "沪AD12345", "2026-11-25T14:00");
    let first = rig.send_as("key-00000001", "POST", "/bookings", &new).await;
    assert_eq!(first.0, 201);
    assert_eq!(rig.send_as("key-00000001", "POST", "/bookings", &new).await, first);
    let (status, body) = rig
        .send_as("key-00000001", "POST", "/bookings", &visit("13800001234", "沪AD12345", "2026-11-26T14:00"))
        .await;
    assert_eq!((status, code(&body)), (422, "key_reused"));
    let path = format!("/bookings/{}", first.1["booking"]["id"].as_str().unwrap());
    let (status, body) = rig.send_as("key-00000001", "DELETE", &path, &Value::Null).await;
    assert_eq!((status, code(&body)), (422, "key_reused"), "another route");
    assert_eq!(rig.found("/sms?phone=13800001234").await["sms"].as_array().unwrap().len(), 1);
    // A refusal is the same when it comes again, though what was in its way is gone.
    let refused = rig.send_as("key-00000002", "POST", "/bookings", &new).await;
    assert_eq!((refused.0, code(&refused.1)), (409, "duplicate"));
    rig.send("DELETE", &path, &Value::Null).await;
    assert_eq!(rig.send_as("key-00000002", "POST", "/bookings", &new).await, refused);
}

#[tokio::test]
async fn the_token_is_asked_for_but_not_for_health_and_the_document() {
    let token = Some(SecretString::from("s3cret-token"));
    let rig = Rig::with(Options { token, seed: true, ..Options::default() }).await;
    for path in ["/", "/health", "/openapi.json"] {
        let response = rig.client.get(format!("{}{path}", rig.url)).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200, "{path}");
    }
    let path = "/customers?phone=13800001234";
    let (status, body) = rig.get(path).await;
    assert_eq!((status, code(&body)), (401, "unauthorized"));
    let ask = |token: &str| rig.client.get(format!("{}{path}", rig.url)).bearer_auth(token).send();
    assert_eq!(ask("s3cret-toke").await.unwrap().status().as_u16(), 401);
    assert_eq!(ask("s3cret-token").await.unwrap().status().as_u16(), 200);
}

#[tokio::test]
async fn an_empty_back_office_stays_empty_unless_it_is_seeded() {
    let rig = Rig::with(Options::default()).await;
    assert_eq!(rig.found("/centres").await["centres"], json!([]));
    assert_eq!(rig.get("/customers?phone=13800001234").await.0, 404);
    assert!(rig.found("/health").await["ok"].as_bool().unwrap());
}

#[tokio::test]
async fn the_reference_data_is_whole_on_every_day_of_the_week() {
    for day in 15..=21 {
        let now = format!("2026-11-{day}T23:50:00+08:00").parse().unwrap();
        let rig = Rig::with(Options { now: Some(now), seed: true, ..Options::default() }).await;
        let mut db = rig.office.pool.acquire().await.unwrap();
        let counts: Vec<i64> = {
            use sqlx::Row as _;
            let row = sqlx::query(
                "SELECT (SELECT count(*) FROM customers), (SELECT count(*) FROM vehicles), (SELECT count(*) FROM centres), \
                 (SELECT count(DISTINCT city) FROM centres), (SELECT count(*) FROM bookings), \
                 (SELECT count(*) FROM vehicles v JOIN service_history h ON h.vin = v.vin WHERE h.mileage_km > v.mileage_km)",
            )
            .fetch_one(&mut *db)
            .await
            .unwrap();
            (0..6).map(|i| row.get(i)).collect()
        };
        assert_eq!(counts, [36, 40, 12, 4, 5, 0], "on the {day}th");
        drop(db);
        let booking = &rig.found("/bookings?phone=13700002468").await["bookings"][0];
        assert_eq!(booking["state"], "booked");
    }
}
