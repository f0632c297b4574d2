//! Centres, their slots, and bookings.

use serde_json::{Value, json};

use super::{Rig, code, encode, visit};

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
    let (status, body) = rig.get(&format!("/centres?district={}", encode("高老庄"))).await;
    assert_eq!((status, code(&body)), (422, "unknown_place"), "no centre is near nowhere");
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
