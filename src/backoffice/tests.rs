//! What the parts do together, asked over real HTTP as a client would. `tests/backoffice.rs` looks at the whole from outside.

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
    assert_eq!(rig.found("/customers?phone=13311112222").await["customer"]["language"], "en");
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
async fn centres_come_by_distance_with_their_first_free_slots() {
    let rig = Rig::start().await;
    let body =
        rig.found(&format!("/centres?district={}&service={}", encode("浦东张江"), encode("小保养"))).await;
    let centres = body["centres"].as_array().unwrap();
    assert_eq!((centres.len(), centres[0]["id"].as_str()), (3, Some("sh-pudong")), "{body}");
    let km: Vec<f64> = centres.iter().map(|c| c["distance_km"].as_f64().unwrap()).collect();
    assert!(km.is_sorted() && km[0] < 2.0, "{km:?}");
    assert_eq!(centres[0]["free"][0], "2026-11-22T09:00", "it is Saturday night: {body}");
    assert_eq!(centres[0]["free"].as_array().unwrap().len(), 6);
    let body = rig.found("/centres?near=22.54,113.95&limit=1&from=2026-11-25&days=1").await;
    assert_eq!(body["centres"][0]["id"], "sz-nanshan");
    assert_eq!(body["centres"][0]["free"][0], "2026-11-25T09:00");
    let body = rig.found(&format!("/centres?city={}&limit=12", encode("杭州市"))).await;
    assert_eq!(body["centres"].as_array().unwrap().len(), 3);
    assert_eq!(body["centres"][0]["distance_km"], Value::Null, "nobody knows where the caller is");
    let body = rig.found(&format!("/centres?city={}&service={}", encode("杭州"), encode("喷漆"))).await;
    assert_eq!(body["centres"].as_array().unwrap().len(), 2, "one of three has no paint shop: {body}");
    assert_eq!(rig.found(&format!("/centres?city={}", encode("南京"))).await["centres"], json!([]));
    for query in ["limit=0", "limit=13", "days=15", "near=91,0", "near=x", "from=soon", "radius=3"] {
        assert_eq!(rig.get(&format!("/centres?{query}")).await.0, 422, "{query}");
    }
}

#[tokio::test]
async fn a_day_of_slots_has_no_closed_past_or_full_ones() {
    let rig = Rig::start().await;
    let body = rig.found("/centres/sh-pudong/slots?date=2026-11-25").await;
    let slots = body["slots"].as_array().unwrap();
    assert_eq!(slots.len(), 18, "nine hours: {body}");
    assert_eq!(slots[17], json!({ "start": "2026-11-25T17:30", "left": 3 }));
    assert_eq!(rig.found("/centres/sh-pudong/slots?date=2026-11-21").await["slots"], json!([]), "it is past");
    assert_eq!(
        rig.found("/centres/sh-putuo/slots?date=2026-11-23").await["slots"],
        json!([]),
        "closed on Mondays"
    );
    assert_eq!(
        rig.found("/centres/sh-pudong/slots?date=2027-11-25").await["slots"],
        json!([]),
        "too far ahead"
    );
    let (status, body) =
        rig.get(&format!("/centres/sh-putuo/slots?date=2026-11-25&service={}", encode("喷漆"))).await;
    assert_eq!((status, code(&body)), (422, "not_offered"));
    assert_eq!(rig.get("/centres/nowhere/slots?date=2026-11-25").await.0, 404);
}

#[tokio::test]
async fn a_booking_takes_a_place_sends_a_message_and_plans_a_call() {
    let rig = Rig::start().await;
    let (status, body) =
        rig.send("POST", "/bookings", &visit("13800001234", "沪A·D12345", "2026-11-25T14:00")).await;
    assert_eq!(status, 201, "{body}");
    let booking = &body["booking"];
    let id = booking["id"].as_str().unwrap();
    assert!(id.len() == 6 && id.bytes().all(|b| b.is_ascii_digit()), "{id} can be said");
    assert_eq!((booking["name"].as_str(), booking["state"].as_str()), (Some("陈先生"), Some("booked")));
    assert_eq!(booking["vin"], "LGYS7A1E9RS000101");
    assert_eq!(booking["reminder_at"], "2026-11-24T18:00");
    let slots = rig.found("/centres/sh-pudong/slots?date=2026-11-25").await;
    let left = slots["slots"].as_array().unwrap().iter().find(|s| s["start"] == "2026-11-25T14:00").unwrap();
    assert_eq!(left["left"], 2);
    let sms = rig.found("/sms?phone=13800001234").await;
    let text = sms["sms"][0]["text"].as_str().unwrap();
    for part in ["陈先生", "11月25日（周三）14:00", "青屿浦东服务中心", "保养", id] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let due = rig.found("/reminders?from=2026-11-24T00:00&to=2026-11-25T00:00&state=pending").await;
    let mine: Vec<&Value> =
        due["reminders"].as_array().unwrap().iter().filter(|r| r["booking"] == id).collect();
    assert_eq!((mine.len(), mine[0]["at"].as_str()), (1, Some("2026-11-24T18:00")), "{due}");
    let found = rig.found("/bookings?phone=13800001234&state=booked").await;
    assert_eq!(found["bookings"][0], *booking, "known on the next call");
    let mine = mine[0]["id"].as_i64().unwrap();
    let (status, body) = rig.send("PATCH", &format!("/reminders/{mine}"), &json!({ "state": "done" })).await;
    assert_eq!((status, body["reminder"]["state"].as_str()), (200, Some("done")));
    let (status, body) =
        rig.send("PATCH", &format!("/reminders/{mine}"), &json!({ "state": "failed" })).await;
    assert_eq!((status, code(&body)), (409, "settled"));
    assert_eq!(rig.send("PATCH", "/reminders/9999", &json!({ "state": "done" })).await.0, 404);
}

#[tokio::test]
async fn a_visit_within_a_day_is_not_reminded_of() {
    let rig = Rig::start().await;
    let (status, body) =
        rig.send("POST", "/bookings", &visit("13800001234", "沪AD12345", "2026-11-22T16:00")).await;
    assert_eq!((status, &body["booking"]["reminder_at"]), (201, &Value::Null), "{body}");
}

#[tokio::test]
async fn a_change_replaces_message_and_call_and_a_cancellation_calls_them_off() {
    let rig = Rig::start().await;
    let (_, body) =
        rig.send("POST", "/bookings", &visit("13800001234", "沪AD12345", "2026-11-25T14:00")).await;
    let path = format!("/bookings/{}", body["booking"]["id"].as_str().unwrap());
    let (status, body) =
        rig.send("PATCH", &path, &json!({ "start": "2026-11-26T09:30", "centre": "闵行" })).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        (&body["booking"]["start"], &body["booking"]["centre"]),
        (&json!("2026-11-26T09:30"), &json!("sh-minhang"))
    );
    assert_eq!(body["booking"]["reminder_at"], "2026-11-25T18:00");
    let states = async || {
        let sms = rig.found("/sms?phone=13800001234").await;
        let sms: Vec<String> =
            sms["sms"].as_array().unwrap().iter().map(|s| s["state"].to_string()).collect();
        let calls = rig.found("/reminders?state=pending").await;
        let calls =
            calls["reminders"].as_array().unwrap().iter().filter(|r| r["phone"] == "13800001234").count();
        (sms.join(" "), calls)
    };
    assert_eq!(states().await, (r#""queued" "cancelled""#.to_string(), 1));
    let (status, _) = rig.send("PATCH", &path, &json!({ "start": "2026-11-26T09:30" })).await;
    assert_eq!(
        (status, states().await),
        (200, (r#""queued" "cancelled""#.to_string(), 1)),
        "nothing changed, nothing sent"
    );
    let (status, body) = rig.send("DELETE", &path, &Value::Null).await;
    assert_eq!((status, body["booking"]["state"].as_str()), (200, Some("cancelled")), "{body}");
    assert_eq!(
        states().await,
        (r#""queued" "cancelled" "cancelled""#.to_string(), 0),
        "the queued one tells of the end"
    );
    for method in ["PATCH", "DELETE"] {
        let (status, body) = rig.send(method, &path, &json!({ "start": "2026-11-27T09:30" })).await;
        assert_eq!((status, code(&body)), (409, "closed"));
    }
    let (status, body) = rig.send("PATCH", "/bookings/000000", &json!({ "start": "2026-11-27T09:30" })).await;
    assert_eq!((status, code(&body)), (404, "not_found"));
}

#[tokio::test]
async fn a_second_booking_of_the_same_car_for_the_same_work_is_refused_with_the_first() {
    let rig = Rig::start().await;
    let (_, first) =
        rig.send("POST", "/bookings", &visit("13800001234", "沪AD12345", "2026-11-25T14:00")).await;
    // By another number, and by another name of the same work.
    let mut again = visit("13012345678", "沪AD12345", "2026-11-27T10:00");
    again["service"] = "小保养".into();
    let (status, body) = rig.send("POST", "/bookings", &again).await;
    assert_eq!((status, code(&body)), (409, "duplicate"));
    assert_eq!(body["booking"], first["booking"]);
    again["service"] = "四轮定位".into();
    assert_eq!(rig.send("POST", "/bookings", &again).await.0, 201, "other work is another visit");
}

#[tokio::test]
async fn whose_car_it_is_is_found_or_asked_for() {
    let rig = Rig::start().await;
    let mut new = visit("13800001234", "", "2026-11-25T14:00");
    let (status, body) = rig.send("POST", "/bookings", &new).await;
    assert_eq!(
        (status, body["booking"]["plate"].as_str()),
        (201, Some("沪AD12345")),
        "the only car of this number"
    );
    new["phone"] = "13900005678".into();
    let (status, body) = rig.send("POST", "/bookings", &new).await;
    assert_eq!((status, code(&body)), (422, "invalid"), "two cars");
    assert!(body["error"].as_str().unwrap().contains("several cars"), "{body}");
    new["phone"] = "13012345678".into();
    assert_eq!(rig.send("POST", "/bookings", &new).await.0, 422, "no car");
    new["plate"] = "京AD00001".into();
    let (status, body) = rig.send("POST", "/bookings", &new).await;
    assert_eq!(
        (status, &body["booking"]["vin"]),
        (201, &Value::Null),
        "a car that is not in the books is taken: {body}"
    );
    new["vin"] = "LGYS7A1E9RS000101".into();
    assert_eq!(rig.send("POST", "/bookings", &new).await.0, 404, "plate and vin are of two cars");
}

#[tokio::test]
async fn times_that_cannot_be_booked_are_refused_with_some_that_can() {
    let rig = Rig::start().await;
    for (start, expected) in [
        ("2026-11-25T08:30", "outside_hours"),
        ("2026-11-25T18:00", "outside_hours"),
        ("2026-11-25T14:10", "invalid"),
        ("2026-11-21T14:00", "invalid"),
        ("2027-03-01T14:00", "invalid"),
        ("2026-02-30T14:00", "invalid"),
    ] {
        let (status, body) = rig.send("POST", "/bookings", &visit("13800001234", "沪AD12345", start)).await;
        assert_eq!((status, code(&body)), (422, expected), "{start}: {body}");
        if expected == "outside_hours" {
            assert_eq!(body["free"].as_array().unwrap().len(), 3, "{body}");
        }
    }
    let mut monday = visit("13800001234", "沪AD12345", "2026-11-23T10:00");
    monday["centre"] = "sh-putuo".into();
    assert_eq!(code(&rig.send("POST", "/bookings", &monday).await.1), "outside_hours", "closed on Mondays");
    monday["centre"] = "nowhere".into();
    assert_eq!(rig.send("POST", "/bookings", &monday).await.0, 404);
    monday["service"] = "算命".into();
    monday["centre"] = "sh-pudong".into();
    let (status, body) = rig.send("POST", "/bookings", &monday).await;
    assert_eq!((status, code(&body)), (422, "unknown_name"));
}

#[tokio::test]
async fn a_full_slot_is_refused_with_the_three_nearest() {
    let rig = Rig::start().await;
    for n in 0..3 {
        let new = visit("13012345678", &format!("沪AD0000{n}"), "2026-11-25T14:00");
        assert_eq!(rig.send("POST", "/bookings", &new).await.0, 201, "place {n} of three");
    }
    let (status, body) =
        rig.send("POST", "/bookings", &visit("13800001234", "沪AD12345", "2026-11-25T14:00")).await;
    assert_eq!((status, code(&body)), (409, "slot_taken"));
    assert_eq!(body["free"], json!(["2026-11-25T13:00", "2026-11-25T13:30", "2026-11-25T14:30"]));
    // A booking is not in its own way.
    let mine = rig.found("/bookings?plate=%E6%B2%AAAD00001").await["bookings"][0]["id"]
        .as_str()
        .unwrap()
        .to_string();
    let (status, body) =
        rig.send("PATCH", &format!("/bookings/{mine}"), &json!({ "service": "四轮定位" })).await;
    assert_eq!(status, 200, "{body}");
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
        ("13012345678", "我也不知道在哪儿", "guess"),
        ("13012345679", "上海，一个加油站旁边", "city"),
        ("13012345670", "沪渝高速青浦段", "place"),
    ] {
        let new = json!({ "phone": phone, "place": place, "problem": "没电" });
        let (_, body) = rig.send("POST", "/rescues", &new).await;
        assert_eq!(body["rescue"]["eta_basis"], basis, "{place}: {body}");
    }
}

#[tokio::test]
async fn when_all_trucks_are_out_a_job_waits_for_the_next() {
    let rig = Rig::start().await;
    let mut ids = Vec::new();
    for n in 0..12 {
        let new = json!({ "phone": format!("1301234{n:04}"), "place": "北京朝阳望京", "problem": "没电" });
        let (status, body) = rig.send("POST", "/rescues", &new).await;
        assert_eq!(status, 201, "{body}");
        ids.push((body["rescue"]["id"].as_str().unwrap().to_string(), body["rescue"]["state"].clone()));
    }
    assert!(ids[..11].iter().all(|(_, state)| state == "dispatched"), "there are 11 trucks: {ids:?}");
    assert_eq!(ids[11].1, "waiting");
    rig.send("PATCH", &format!("/rescues/{}", ids[4].0), &json!({ "state": "cancelled" })).await;
    let waiting = rig.found("/rescues?phone=13012340011").await;
    assert_eq!(waiting["rescues"][0]["state"], "dispatched", "it got the truck that came free: {waiting}");
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

fn encode(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}
