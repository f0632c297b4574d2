//! What people have to do after calls is handed over to the tenant's systems, once: the store keeps it until they have it, and
//! every attempt carries the same idempotency key.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::store::{Error, Store, WorkOrder};
use crate::tools::{Outcome, Tools};

/// How often the store is asked.
const LOOK: Duration = Duration::from_secs(2);
/// From a first failure to the next attempt; twice as long each time.
const AGAIN: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);
/// Attempts are never further apart.
const LONGEST: jiff::SignedDuration = jiff::SignedDuration::from_mins(30);

/// Works until the future is dropped.
pub(super) async fn run(store: Store, tools: Arc<dyn Tools>) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut well = true;
    loop {
        looks.tick().await;
        let now = jiff::Timestamp::try_from(crate::clock::wall()).unwrap_or_default();
        match hand_over(&store, &*tools, now).await {
            Ok(()) => well = true,
            Err(error) if std::mem::replace(&mut well, false) => {
                tracing::warn!(%error, "work orders wait for the database");
            }
            Err(_) => {}
        }
    }
}

/// One look: what is due is handed over.
async fn hand_over(store: &Store, tools: &dyn Tools, now: jiff::Timestamp) -> Result<(), Error> {
    for order in store.due_work_orders(now).await? {
        let WorkOrder { call_id, what, attempts, .. } = order;
        let (reply, answer) = oneshot::channel();
        // Whoever waits may be gone; then nobody needs the answer.
        tools.call(&call_id, what.into_inner(), Box::new(move |outcome| drop(reply.send(outcome))));
        let outcome = answer.await.unwrap_or_else(|_| Outcome::Failed("it was dropped".into()));
        match outcome {
            Outcome::Done(answer) => {
                tracing::info!(call = %call_id, "a work order was handed over");
                store.settle_work_order(&call_id, true, &answer.to_string()).await?;
            }
            Outcome::Refused { code, answer } => {
                tracing::error!(call = %call_id, code, "a work order is refused: correct [work_orders] in tenant.toml");
                store.settle_work_order(&call_id, false, &answer.to_string()).await?;
            }
            Outcome::Invalid(problem) => {
                // What does not fit may be somebody's words: `nightline work-orders list` shows it.
                tracing::error!(call = %call_id, "a work order does not fit its tool: correct [work_orders] in tenant.toml");
                store.settle_work_order(&call_id, false, &problem).await?;
            }
            Outcome::Failed(why) => {
                tracing::warn!(call = %call_id, why, attempts, "a work order is handed over later");
                let pause = AGAIN.saturating_mul(1 << attempts.min(16)).min(LONGEST);
                // Others before it may have taken their time.
                let later = jiff::Timestamp::try_from(crate::clock::wall()).unwrap_or(now).max(now);
                store.delay_work_order(&call_id, later + pause, &why).await?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backoffice::{BackOffice, Options};
    use crate::dialogue::tenant::Tenant;
    use crate::dialogue::wrap_up::WrapUp;
    use crate::record::{CallInfo, CallRecord, Folder};
    use crate::store::WorkOrderState;
    use crate::tools::Use;
    use crate::tools::http::HttpTools;
    use serde_json::{Value, json};

    fn record(call: &str, arguments: Value) -> CallRecord {
        let mut record = Folder::new(CallInfo { id: call.into(), ..CallInfo::default() }).record();
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        let order = Some(Use { tool: "open_ticket".into(), arguments, occasion: 0 });
        record.wrap_up = Some(WrapUp { topic: None, summary: String::new(), order });
        record
    }

    async fn office() -> String {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let office = BackOffice::open(Options { seed: true, ..Options::default() }).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(office.serve(listener, std::future::pending()));
        url
    }

    fn tools(url: &str) -> HttpTools {
        let tenant = Tenant::load("nev", None).unwrap();
        HttpTools::new(tenant.tools.clone(), url, None, tokio::runtime::Handle::current()).unwrap()
    }

    async fn tickets(url: &str) -> Vec<Value> {
        let answer = reqwest::get(format!("{url}/tickets?phone=13700009999")).await.unwrap();
        answer.json::<Value>().await.unwrap()["tickets"].as_array().unwrap().clone()
    }

    fn at(second: i64) -> jiff::Timestamp {
        let now = jiff::Timestamp::try_from(crate::clock::wall()).unwrap();
        now + jiff::SignedDuration::from_secs(second)
    }

    fn enquiry() -> Value {
        json!({ "kind": "enquiry", "summary": "充电桩发票", "phone": "13700009999", "topic": "charging" })
    }

    #[tokio::test]
    async fn an_order_reaches_the_right_team_once_however_often_it_is_handed_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("n.db")).await.unwrap();
        let url = office().await;
        let tools = tools(&url);
        for _ in 0..2 {
            store.finish_call(&record("call-1", enquiry())).await.unwrap();
        }
        let order = store.work_orders(false).await.unwrap().remove(0);
        hand_over(&store, &tools, at(1)).await.unwrap();
        // Killed between the answer and the database: it is handed over again.
        let (reply, again) = oneshot::channel();
        tools.call("call-1", order.what.into_inner(), Box::new(move |outcome| drop(reply.send(outcome))));
        assert!(matches!(again.await.unwrap(), Outcome::Done(_)));
        let opened = tickets(&url).await;
        assert_eq!(opened.len(), 1, "{opened:?}");
        assert_eq!(opened[0]["team"], "三电技术组");
        let kept = store.work_orders(true).await.unwrap();
        assert_eq!((kept.len(), kept[0].state), (1, WorkOrderState::Done));
        assert!(kept[0].answer.as_ref().is_some_and(|answer| answer.contains("三电技术组")), "{kept:?}");
    }

    #[tokio::test]
    async fn a_back_office_that_is_away_gets_it_later_and_one_that_refuses_is_not_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("n.db")).await.unwrap();
        store.finish_call(&record("call-1", enquiry())).await.unwrap();
        hand_over(&store, &tools("http://127.0.0.1:9"), at(1)).await.unwrap();
        let waiting = store.work_orders(false).await.unwrap().remove(0);
        assert_eq!((waiting.state, waiting.attempts), (WorkOrderState::Open, 1));
        let url = office().await;
        hand_over(&store, &tools(&url), at(5)).await.unwrap();
        assert_eq!(tickets(&url).await.len(), 0, "not yet");
        hand_over(&store, &tools(&url), at(20)).await.unwrap();
        assert_eq!(tickets(&url).await.len(), 1);

        let odd = json!({ "kind": "quality", "summary": "x", "vin": "LGYS7A1E9RS999999" });
        store.finish_call(&record("call-2", odd)).await.unwrap();
        store.finish_call(&record("call-3", json!({ "kind": "gossip", "summary": "x" }))).await.unwrap();
        hand_over(&store, &tools(&url), at(20)).await.unwrap();
        assert_eq!(
            store.due_work_orders(at(3600)).await.unwrap(),
            [],
            "they are not handed over again by themselves"
        );
        assert_eq!(store.work_orders(false).await.unwrap().len(), 2, "somebody has to look");
        let states: Vec<WorkOrderState> =
            store.work_orders(true).await.unwrap().iter().map(|order| order.state).collect();
        assert_eq!(states, [WorkOrderState::Done, WorkOrderState::Failed, WorkOrderState::Failed]);
        assert!(store.retry_work_order("call-2").await.unwrap());
        assert!(!store.retry_work_order("call-2").await.unwrap(), "it waits already");
        assert_eq!(store.due_work_orders(at(3600)).await.unwrap().len(), 1);
    }
}
