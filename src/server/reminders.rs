//! Reminders of the back office: what it wants its customers to be told is ordered here, and what came of it is told back.
//!
//! The back office is the one that remembers. At every look its pending reminders become orders (once, by their number), orders
//! of reminders that it has cancelled are withdrawn, and those that are over are settled there with an idempotency key. So
//! neither a crash here nor one there makes two calls of one, or none.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::host::Host;
use crate::config::{Tools, ToolsPlace};
use crate::record::Pii;
use crate::store::Store;
use crate::store::outbound::{Kind, Order, State};

/// How often the back office is asked.
const LOOK: Duration = Duration::from_secs(30);
/// Reminders are ordered so long before they are due: one that is cancelled before that is never heard of here.
const AHEAD: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);
/// An answer that takes longer is a failure.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Keys of orders that are made here begin so.
const KEY: &str = "reminder:";

/// Works until the future is dropped; not at all without a back office over HTTP and a way to call customers.
pub(super) async fn run(host: Host) {
    let Some(Tools { place: ToolsPlace::Http(url), token }) = &host.config.tools else { return };
    if !host.config.outbound.as_ref().is_some_and(|outbound| outbound.reminders) {
        return;
    }
    let client = match reqwest::Client::builder().timeout(TIMEOUT).build() {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, "reminders are not placed: the HTTP client cannot start");
            return;
        }
    };
    let office = Office { client, url: url.clone(), token: token.clone() };
    let mut looks = tokio::time::interval(LOOK);
    let mut well = true;
    loop {
        looks.tick().await;
        let now = jiff::Timestamp::try_from(crate::clock::wall()).unwrap_or_default();
        match sync(&office, &host.shared.database, now).await {
            Ok(()) => well = true,
            // Once, not twice a minute through a night.
            Err(error) if std::mem::replace(&mut well, false) => {
                tracing::warn!(%error, "reminders of the back office are not seen; it is asked again");
            }
            Err(_) => {}
        }
    }
}

struct Office {
    client: reqwest::Client,
    url: String,
    token: Option<SecretString>,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the back office: {0}")]
    Office(#[from] reqwest::Error),
    #[error(transparent)]
    Store(#[from] crate::store::Error),
}

#[derive(Deserialize)]
struct Reminders {
    reminders: Vec<Reminder>,
}

#[derive(Deserialize)]
struct Reminder {
    id: i64,
    phone: String,
    /// In the hotline's zone.
    at: jiff::civil::DateTime,
    text: String,
}

impl Office {
    async fn pending(&self, before: jiff::civil::DateTime) -> Result<Vec<Reminder>, reqwest::Error> {
        let before = before.strftime("%Y-%m-%dT%H:%M").to_string();
        let url = format!("{}/reminders?state=pending&to={before}", self.url);
        let request = self.authorized(self.client.get(url));
        let answer = request.send().await?.error_for_status()?;
        Ok(answer.json::<Reminders>().await?.reminders)
    }

    async fn settle(&self, id: i64, state: &str) -> Result<(), reqwest::Error> {
        let request = self.client.patch(format!("{}/reminders/{id}", self.url));
        let request = request
            .header("Idempotency-Key", format!("nightline-{KEY}{id}:{state}"))
            .json(&serde_json::json!({ "state": state }));
        let answer = self.authorized(request).send().await?;
        // It was settled by somebody else meanwhile.
        if answer.status() == reqwest::StatusCode::CONFLICT {
            return Ok(());
        }
        answer.error_for_status().map(drop)
    }

    fn authorized(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }
}

/// One look.
async fn sync(office: &Office, store: &Store, now: jiff::Timestamp) -> Result<(), Error> {
    let zone = crate::clock::zone();
    let before = (now + AHEAD).to_zoned(zone.clone()).datetime();
    let pending = office.pending(before).await?;
    let mut known: BTreeMap<String, _> = store
        .orders(true)
        .await?
        .into_iter()
        .filter(|placed| placed.order.kind == Kind::Reminder && placed.order.key.starts_with(KEY))
        .map(|placed| (placed.order.key.clone(), placed))
        .collect();
    for reminder in pending {
        let key = format!("{KEY}{}", reminder.id);
        match known.remove(&key).map(|placed| placed.state) {
            Some(State::Done) => office.settle(reminder.id, "done").await?,
            Some(State::Failed) => office.settle(reminder.id, "failed").await?,
            Some(State::Cancelled) => office.settle(reminder.id, "cancelled").await?,
            Some(State::Open | State::Calling) => {}
            None => {
                let due = reminder.at.to_zoned(zone.clone()).map_or(now, |at| at.timestamp());
                let order = Order {
                    key,
                    kind: Kind::Reminder,
                    number: Pii::new(reminder.phone),
                    words: reminder.text,
                    due: Some(due),
                    origin: None,
                };
                store.order(&order).await?;
            }
        }
    }
    // What is left is not pending there any more.
    for placed in known.into_values().filter(|placed| placed.state == State::Open) {
        store.cancel_order(placed.id).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backoffice::{BackOffice, Options};
    use crate::store::outbound::Placed;
    use serde_json::{Value, json};

    async fn rig(folder: &tempfile::TempDir) -> (Office, Store) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let now = Some("2026-11-23T03:00:00Z".parse().unwrap());
        let token = Some(SecretString::from("secret"));
        let options = Options { now, token: token.clone(), seed: true, ..Options::default() };
        let office = BackOffice::open(options).await.unwrap_or_else(|e| panic!("{e}"));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(office.serve(listener, std::future::pending()));
        let store = Store::open(&folder.path().join("n.db")).await.unwrap();
        (Office { client: reqwest::Client::new(), url, token }, store)
    }

    async fn send(office: &Office, method: reqwest::Method, path: &str, body: Value) -> Value {
        let key = uuid::Uuid::now_v7().to_string();
        let request = office.client.request(method, format!("{}{path}", office.url)).json(&body);
        let answer = office.authorized(request.header("Idempotency-Key", key)).send().await.unwrap();
        let (status, body) = (answer.status(), answer.json().await.unwrap());
        assert!(status.is_success(), "{status}: {body}");
        body
    }

    async fn book(office: &Office, plate: &str) -> String {
        let visit = json!({
            "phone": "13700009999", "plate": plate, "centre": "sh-pudong", "start": "2026-11-25T14:00", "service": "保养",
        });
        let answer = send(office, reqwest::Method::POST, "/bookings", visit).await;
        answer["booking"]["id"].as_str().unwrap().to_owned()
    }

    async fn states(office: &Office) -> Vec<String> {
        let request = office.authorized(office.client.get(format!("{}/reminders", office.url)));
        let body: Value = request.send().await.unwrap().json().await.unwrap();
        let list = body["reminders"].as_array().unwrap().iter();
        list.filter(|reminder| reminder["phone"] == "13700009999")
            .map(|reminder| reminder["state"].as_str().unwrap().to_owned())
            .collect()
    }

    fn at(time: &str) -> jiff::Timestamp {
        format!("{time}+08:00").parse().unwrap()
    }

    async fn ordered(store: &Store) -> Vec<Placed> {
        let orders = store.orders(true).await.unwrap().into_iter();
        orders.filter(|placed| placed.order.number.expose() == "13700009999").collect()
    }

    #[tokio::test]
    async fn a_reminder_is_ordered_once_when_its_time_is_near_and_settled_when_it_was_given() {
        let folder = tempfile::tempdir().unwrap();
        let (office, store) = rig(&folder).await;
        book(&office, "沪AD12345").await;
        sync(&office, &store, at("2026-11-24T17:00:00")).await.unwrap();
        assert_eq!(ordered(&store).await, [], "not an hour before");
        for _ in 0..3 {
            sync(&office, &store, at("2026-11-24T17:55:00")).await.unwrap();
        }
        let orders = ordered(&store).await;
        assert_eq!(orders.len(), 1, "{orders:?}");
        let order = &orders[0].order;
        assert_eq!(
            (order.number.expose().as_str(), order.due),
            ("13700009999", Some(at("2026-11-24T18:00:00")))
        );
        assert!(order.words.contains("保养"), "{}", order.words);

        assert!(store.begin_attempt(orders[0].id, "call-1").await.unwrap());
        sync(&office, &store, at("2026-11-24T18:00:30")).await.unwrap();
        assert_eq!(states(&office).await, ["pending"], "it is being called");
        store.end_attempt(orders[0].id, true, "contained", None).await.unwrap();
        for _ in 0..2 {
            sync(&office, &store, at("2026-11-24T18:01:00")).await.unwrap();
        }
        assert_eq!(states(&office).await, ["done"]);
    }

    #[tokio::test]
    async fn nobody_is_reminded_of_a_booking_that_was_cancelled() {
        let folder = tempfile::tempdir().unwrap();
        let (office, store) = rig(&folder).await;
        let id = book(&office, "沪AD12345").await;
        sync(&office, &store, at("2026-11-24T17:55:00")).await.unwrap();
        send(&office, reqwest::Method::DELETE, &format!("/bookings/{id}"), json!({})).await;
        sync(&office, &store, at("2026-11-24T17:56:00")).await.unwrap();
        assert_eq!(ordered(&store).await[0].state, State::Cancelled);
        assert_eq!(states(&office).await, ["cancelled"]);
    }

    #[tokio::test]
    async fn a_back_office_that_is_away_is_told_and_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (mut office, store) = rig(&folder).await;
        book(&office, "沪AD12345").await;
        let url = std::mem::replace(&mut office.url, "http://127.0.0.1:9".to_owned());
        let error = sync(&office, &store, at("2026-11-24T17:55:00")).await.expect_err("nobody is there");
        assert!(error.to_string().contains("back office"), "{error}");
        office.url = url;
        sync(&office, &store, at("2026-11-24T17:56:00")).await.unwrap();
        assert_eq!(ordered(&store).await.len(), 1);
    }
}
