//! The outbox of webhooks: what is to be told, in the database until it is told.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use tokio::sync::Notify;

use super::{Error, Store};
use crate::call::event::Event;
use crate::clock;
use crate::hook::{Told, Webhook};
use crate::record::{CallInfo, CallRecord};

/// Rows that may wait for one receiver: at a call a second, of six events, about an hour; what comes then is counted and lost.
pub const MOST_WAITING: i64 = 20_000;
/// How long what was sent, and what was given up, is kept to be looked at.
const KEPT: Duration = Duration::from_secs(7 * 86_400);

/// Who is to be told what. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Outbox(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    receivers: Vec<(String, BTreeSet<&'static str>)>,
    /// Rows are written that the worker has not been woken for.
    fresh: AtomicBool,
    wake: Notify,
    lost: AtomicU64,
}

impl Outbox {
    /// For `webhooks`.
    pub fn new(webhooks: &[Webhook]) -> Self {
        let receivers = webhooks.iter().map(|hook| (hook.url.clone(), hook.events.clone())).collect();
        Self(Arc::new(Inner { receivers, ..Inner::default() }))
    }

    /// Waits until there is something new.
    pub async fn fresh(&self) {
        self.0.wake.notified().await;
    }

    /// How much was not taken because too much waits already, since the start.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// To be called after a commit: wakes the worker if something was written.
    pub(super) fn committed(&self) {
        if self.0.fresh.swap(false, Ordering::Relaxed) {
            self.0.wake.notify_one();
        }
    }

    fn wants(&self, event: &str) -> bool {
        self.0.receivers.iter().any(|(_, events)| events.contains(event))
    }

    /// Writes `told` for each receiver that wants it, once.
    async fn write(&self, connection: &mut SqliteConnection, told: &Told) -> Result<(), sqlx::Error> {
        let now = now_ms();
        let body = told.body.to_string();
        for (url, _) in self.0.receivers.iter().filter(|(_, events)| events.contains(told.event)) {
            let waiting: i64 =
                sqlx::query_scalar("SELECT count(*) FROM hooks WHERE url = ? AND state = 'waiting'")
                    .bind(url)
                    .fetch_one(&mut *connection)
                    .await?;
            if waiting >= MOST_WAITING {
                if self.0.lost.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::error!(waiting, "too much waits for a webhook: what comes now is not told");
                }
                continue;
            }
            sqlx::query(
                "INSERT INTO hooks (event_id, url, event, body, created_ms, due_ms) VALUES (?, ?, ?, ?, ?, ?) \
                 ON CONFLICT (url, event_id) DO NOTHING",
            )
            .bind(&told.id)
            .bind(url)
            .bind(told.event)
            .bind(&body)
            .bind(now)
            .bind(now)
            .execute(&mut *connection)
            .await?;
            self.0.fresh.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// With the event that is the `seq`th of its call.
    pub(super) async fn event(
        &self,
        connection: &mut SqliteConnection,
        call_id: &str,
        seq: i64,
        event: &Event,
    ) -> Result<(), sqlx::Error> {
        if !Told::name(&event.kind).is_some_and(|name| self.wants(name)) {
            return Ok(());
        }
        let info = call(connection, call_id).await?;
        match Told::event(&info, seq, event) {
            Some(told) => self.write(connection, &told).await,
            None => Ok(()),
        }
    }

    /// With the row of a call-back.
    pub(super) async fn callback(
        &self,
        connection: &mut SqliteConnection,
        call_id: &str,
        number: &str,
        when: &str,
        created: &str,
    ) -> Result<(), sqlx::Error> {
        if !self.wants("callback_booked") {
            return Ok(());
        }
        let info = call(connection, call_id).await?;
        self.write(connection, &Told::callback(&info, number, when, created)).await
    }

    /// With the record of a call that is over.
    pub(super) async fn ended(
        &self,
        connection: &mut SqliteConnection,
        record: &CallRecord,
    ) -> Result<(), sqlx::Error> {
        if !self.wants("call_ended") {
            return Ok(());
        }
        self.write(connection, &Told::ended(record)).await
    }
}

async fn call(connection: &mut SqliteConnection, id: &str) -> Result<CallInfo, sqlx::Error> {
    let row = sqlx::query("SELECT id, tenant, caller, called, door, started FROM calls WHERE id = ?")
        .bind(id)
        .fetch_one(connection)
        .await?;
    super::info(&row)
}

/// Something that is to be told to somebody, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hook {
    /// Its number in the list.
    pub id: i64,
    /// The same for the same fact.
    pub event_id: String,
    /// To whom.
    pub url: String,
    /// What.
    pub event: String,
    /// JSON, as it is sent; empty once it was.
    #[serde(skip)]
    pub body: String,
    /// Unix time in milliseconds from which the time to give up counts: when it happened, or when it was last asked for by hand.
    pub created_ms: i64,
    /// It is not tried before.
    pub due_ms: i64,
    /// How often it was tried.
    pub attempts: u32,
    /// What became of it.
    pub state: HookState,
    /// What went wrong the last time.
    pub problem: Option<String>,
}

/// What became of a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookState {
    /// Still to be told.
    Waiting,
    /// The receiver has it.
    Sent,
    /// It was tried for too long, or nobody is there any more to be told.
    GivenUp,
}

impl Store {
    /// Opens an existing database to change hooks in it, beside a server if one runs.
    pub async fn amend(path: &Path) -> Result<Self, Error> {
        drop(Self::read(path).await?);
        Self::connect(path, None, false).await
    }

    /// Who is told what.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// At most `limit` hooks for `url` that are due at `now_ms`, those that wait longest first.
    pub async fn due_hooks(&self, url: &str, now_ms: i64, limit: u32) -> Result<Vec<Hook>, Error> {
        let rows = sqlx::query(
            "SELECT * FROM hooks WHERE url = ? AND state = 'waiting' AND due_ms <= ? ORDER BY due_ms, id LIMIT ?",
        )
        .bind(url)
        .bind(now_ms)
        .bind(limit)
        .fetch_all(&self.pool)
        .await;
        self.all_of(rows, hook)
    }

    /// How many hooks wait, and when the first of them is due, in Unix milliseconds.
    pub async fn waiting_hooks(&self) -> Result<(u64, Option<i64>), Error> {
        let row = sqlx::query("SELECT count(*) AS n, min(due_ms) AS due FROM hooks WHERE state = 'waiting'")
            .fetch_one(&self.pool)
            .await
            .map_err(|e| self.error(e))?;
        let count: i64 = row.try_get("n").map_err(|e| self.error(e))?;
        Ok((count as u64, row.try_get("due").map_err(|e| self.error(e))?))
    }

    /// The newest `limit` hooks, newest first; only those that wait or were given up, unless `all`.
    pub async fn hooks(&self, all: bool, limit: u32) -> Result<Vec<Hook>, Error> {
        let rows = sqlx::query("SELECT * FROM hooks WHERE ? OR state <> 'sent' ORDER BY id DESC LIMIT ?")
            .bind(all)
            .bind(limit)
            .fetch_all(&self.pool)
            .await;
        self.all_of(rows, hook)
    }

    /// The receiver has it; the body, which names a caller, is not kept any longer.
    pub async fn hook_sent(&self, id: i64) -> Result<(), Error> {
        self.hook_done(id, HookState::Sent, None).await
    }

    /// It is not tried any more.
    pub async fn hook_given_up(&self, id: i64, problem: &str) -> Result<(), Error> {
        self.hook_done(id, HookState::GivenUp, Some(problem)).await
    }

    /// It was tried in vain and is tried again at `due_ms`.
    pub async fn hook_failed(&self, id: i64, due_ms: i64, problem: &str) -> Result<(), Error> {
        sqlx::query("UPDATE hooks SET attempts = attempts + 1, due_ms = ?, problem = ? WHERE id = ?")
            .bind(due_ms)
            .bind(problem)
            .bind(id)
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(|e| self.error(e))
    }

    /// Tries hooks again from now on that wait or were given up: the one of that number, or all. Gives how many. Their time to
    /// be given up begins anew.
    pub async fn retry_hooks(&self, id: Option<i64>) -> Result<u64, Error> {
        let now = now_ms();
        sqlx::query(
            "UPDATE hooks SET state = 'waiting', due_ms = ?1, created_ms = ?1, done_ms = NULL \
             WHERE state <> 'sent' AND (?2 IS NULL OR id = ?2)",
        )
        .bind(now)
        .bind(id)
        .execute(&self.pool)
        .await
        .map(|done| done.rows_affected())
        .map_err(|e| self.error(e))
    }

    /// Gives up what waits for receivers that are not configured any more, and forgets what is done long since. Gives how much
    /// was given up.
    pub async fn tidy_hooks(&self) -> Result<u64, Error> {
        let urls: Vec<&str> = self.outbox.0.receivers.iter().map(|(url, _)| url.as_str()).collect();
        let urls = serde_json::to_string(&urls).unwrap_or_else(|_| "[]".into());
        let now = now_ms();
        let tidied = async {
            let given_up = sqlx::query(
                "UPDATE hooks SET state = 'given_up', done_ms = ?, problem = 'no webhook with this URL is configured any more' \
                 WHERE state = 'waiting' AND url NOT IN (SELECT value FROM json_each(?))",
            )
            .bind(now)
            .bind(urls)
            .execute(&self.pool)
            .await?;
            sqlx::query("DELETE FROM hooks WHERE state <> 'waiting' AND done_ms < ?")
                .bind(now - KEPT.as_millis() as i64)
                .execute(&self.pool)
                .await?;
            Ok(given_up.rows_affected())
        };
        tidied.await.map_err(|e| self.error(e))
    }

    async fn hook_done(&self, id: i64, state: HookState, problem: Option<&str>) -> Result<(), Error> {
        sqlx::query(
            "UPDATE hooks SET attempts = attempts + 1, state = ?1, problem = coalesce(?2, problem), done_ms = ?3, \
             body = iif(?1 = 'sent', '', body) WHERE id = ?4",
        )
        .bind(crate::record::name_of(&state))
        .bind(problem)
        .bind(now_ms())
        .bind(id)
        .execute(&self.pool)
        .await
        .map(drop)
        .map_err(|e| self.error(e))
    }
}

fn hook(row: &SqliteRow) -> Result<Hook, sqlx::Error> {
    Ok(Hook {
        id: row.try_get("id")?,
        event_id: row.try_get("event_id")?,
        url: row.try_get("url")?,
        event: row.try_get("event")?,
        body: row.try_get("body")?,
        created_ms: row.try_get("created_ms")?,
        due_ms: row.try_get("due_ms")?,
        attempts: row.try_get::<i64, _>("attempts")? as u32,
        state: super::named(row.try_get("state")?)?,
        problem: row.try_get("problem")?,
    })
}

#[cfg(test)]
impl Store {
    /// Lets as much wait for `url` as may.
    pub(crate) async fn fill_hooks(&self, url: &str) {
        sqlx::query(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) \
             INSERT INTO hooks (event_id, url, event, body, created_ms, due_ms) SELECT 'x' || i, ?, 'bridged', '{}', 0, 0 FROM n",
        )
        .bind(MOST_WAITING)
        .bind(url)
        .execute(&self.pool)
        .await
        .unwrap_or_else(|e| panic!("{e}"));
    }
}

/// Unix time in milliseconds: it goes on from one process to the next.
pub fn now_ms() -> i64 {
    let since = clock::wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as i64
}
