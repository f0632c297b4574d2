//! What is made of a record when its call is over.

use serde_json::{Map, Value};

use super::CallRecord;
use crate::dialogue::wrap_up::{Past, WrapUp};
use crate::dialogue::{Act, Facts, Mind, Said};
use crate::tools::Used;

/// What `mind` makes of the call; `caller` is the calling number, if there is one. [`None`] from a mind that makes nothing of
/// calls, and of a call in which nothing was said.
pub fn wrap_up(record: &CallRecord, caller: Option<&str>, mind: &dyn Mind) -> Option<WrapUp> {
    let history: Vec<Said> = record
        .turns
        .iter()
        .map(|turn| Said { who: turn.who, text: turn.text.clone(), interrupted: turn.interrupted })
        .collect();
    if history.is_empty() {
        return None;
    }
    let used: Vec<Used> = record
        .tools
        .iter()
        .map(|tool| Used { what: tool.what.clone(), outcome: tool.outcome.clone() })
        .collect();
    let turns = record.turns.iter().filter_map(|turn| Some((turn.act.as_ref()?, turn.topic.as_deref()?)));
    let turns: Vec<(&Act, &str)> = turns.collect();
    let reason = record.handoff.as_ref().map(|handoff| handoff.reason);
    let facts = Facts { history: &history, used: &used, reason, caller };
    let json = match serde_json::to_value(record) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    mind.wrap_up(&Past { facts, turns, record: json })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::call::event::{Disposition, HandoffOutcome};
    use crate::dialogue::light::{Acting, LightMind};
    use crate::dialogue::tenant::Tenant;
    use crate::dialogue::{Reason, Who};
    use crate::record::{
        CallInfo, CallbackRecord, Folder, HandoffRecord, MessageRecord, RatingRecord, ToolRecord, TurnRecord,
    };
    use crate::tools::{Outcome, Use};

    fn mind() -> LightMind {
        let today = jiff::civil::date(2026, 11, 20);
        let tenant = Arc::new(Tenant::load_on("nev", None, today).expect("the reference tenant loads"));
        let acting = Acting::fully(&tenant, Arc::new(move || today.at(21, 30, 0, 0)));
        LightMind::new(tenant).acting(acting)
    }

    fn call(turns: Vec<TurnRecord>) -> CallRecord {
        let info = CallInfo { id: "0191-aa".into(), ..CallInfo::default() };
        let mut record = Folder::new(info).record();
        record.disposition = Some(Disposition::Abandoned);
        record.turns = turns;
        record
    }

    fn turn(who: Who, text: &str, decided: Option<(Act, &str)>) -> TurnRecord {
        let (act, topic) = decided.unzip();
        TurnRecord {
            who,
            text: text.into(),
            written: None,
            began_ms: 0,
            ended_ms: 0,
            interrupted: false,
            confidence: None,
            engine: None,
            end_of_turn: None,
            why: crate::dialogue::Why::default(),
            act,
            tier: None,
            topic: topic.map(str::to_owned),
            sources: Vec::new(),
            timings: None,
        }
    }

    fn asked(text: &str, answered: (Act, &str)) -> Vec<TurnRecord> {
        vec![turn(Who::Caller, text, None), turn(Who::Bot, "好的。", Some(answered))]
    }

    fn handoff(reason: Reason, outcome: HandoffOutcome) -> HandoffRecord {
        HandoffRecord {
            reason,
            seats: Vec::new(),
            failed: Vec::new(),
            summary: None,
            outcome: Some(outcome),
            bridged_ms: None,
            referred: false,
        }
    }

    fn made_of(record: &CallRecord) -> WrapUp {
        wrap_up(record, Some("13800001234"), &mind()).expect("the light tier keeps books")
    }

    /// Topic, and the order's kind, priority and number.
    fn essence(record: &CallRecord) -> (Option<String>, Value) {
        let WrapUp { topic, order, .. } = made_of(record);
        let order = order.map(|what| {
            assert_eq!(what.tool, "open_ticket");
            assert_eq!(what.arguments["call"], "0191-aa");
            let tenant = Tenant::load("nev", None).expect("the reference tenant loads");
            tenant.tools.check(&what).unwrap_or_else(|problem| panic!("{problem}: {what:?}"));
            json!([what.arguments["kind"], what.arguments.get("priority"), what.arguments.get("phone")])
        });
        (topic, order.unwrap_or_default())
    }

    #[test]
    fn a_call_that_was_answered_is_classified_and_leaves_nothing_to_do() {
        let record = call(asked("充电枪拔不出来怎么办", (Act::Answer, "charging")));
        assert_eq!(essence(&record), (Some("charging".into()), Value::Null));
        let summary = made_of(&record).summary;
        assert!(summary.contains("充电枪拔不出来") && !summary.contains("人工"), "{summary}");
    }

    #[test]
    fn what_is_left_to_do_is_for_the_team_whose_business_it_is() {
        let unsure = (Act::Handoff(Reason::LowConfidence), "handoff");
        let mut unanswered = call(asked("充电桩的发票抬头能改成公司吗", unsure.clone()));
        unanswered.handoff = Some(handoff(Reason::LowConfidence, HandoffOutcome::CallerGone));
        let (topic, order) = essence(&unanswered);
        assert_eq!(order, json!(["enquiry", null, "13800001234"]));
        assert!(topic.is_some(), "its words say what it is about");
        unanswered.handoff = Some(handoff(Reason::LowConfidence, HandoffOutcome::Accepted));
        assert_eq!(essence(&unanswered).1, Value::Null, "a seat has dealt with it");

        let mut angry = call(asked("你们什么态度，根本没人管", (Act::Handoff(Reason::Upset), "handoff")));
        angry.handoff = Some(handoff(Reason::Upset, HandoffOutcome::NoAnswer));
        assert_eq!(essence(&angry).1, json!(["complaint", "high", "13800001234"]));
        let opened = Use { tool: "open_ticket".into(), arguments: Map::new(), occasion: 1 };
        angry.tools.push(ToolRecord {
            at_ms: 0,
            what: opened,
            outcome: Outcome::Done(json!({})),
            took_ms: None,
        });
        assert_eq!(essence(&angry).1, Value::Null, "the flow has registered it");

        let mut danger = call(asked("我的车冒烟了", (Act::Handoff(Reason::Safety), "handoff")));
        danger.handoff = Some(handoff(Reason::Safety, HandoffOutcome::CallerGone));
        assert_eq!(essence(&danger).1, json!(["callback", "urgent", "13800001234"]));

        let mut promised = call(asked("转人工", (Act::Handoff(Reason::Requested), "handoff")));
        promised.callback =
            Some(CallbackRecord { number: "13900005678".into(), when: "明天上午".into() });
        assert_eq!(essence(&promised).1, json!(["callback", null, "13900005678"]));
        let details = made_of(&promised).order.expect("an order").arguments["details"].to_string();
        assert!(details.contains("明天上午"), "{details}");

        let mut message = call(asked("转人工", (Act::Handoff(Reason::Requested), "handoff")));
        message
            .messages
            .push(MessageRecord { text: "请把发票寄到公司".into(), began_ms: 0, ended_ms: 1 });
        assert_eq!(essence(&message).1, json!(["enquiry", null, "13800001234"]));

        let mut displeased = call(asked("充电枪拔不出来怎么办", (Act::Answer, "charging")));
        displeased.rating = Some(RatingRecord { score: 1, words: "一分".into() });
        assert_eq!(essence(&displeased), (Some("charging".into()), json!(["quality", null, "13800001234"])));
    }

    #[test]
    fn a_call_without_a_word_is_no_work() {
        assert_eq!(wrap_up(&call(Vec::new()), None, &mind()), None);
        let silent = call(vec![turn(Who::Bot, "您好，请问有什么可以帮您？", None)]);
        assert_eq!(essence(&silent), (None, Value::Null));
    }
}
