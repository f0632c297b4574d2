//! What people have to do after a call, until the tenant's systems have taken it.

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::{Error, Store};
use crate::record::{CallRecord, Pii};
use crate::tools::Use;

/// How far a work order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Still to be handed over.
    Open,
    /// The tenant's systems have it.
    Done,
    /// They do not take it.
    Failed,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// What people have to do after a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkOrder {
    /// The call.
    pub call_id: String,
    /// Who called.
    pub from: Pii<String>,
    /// The tool and its arguments.
    pub what: Pii<Use>,
    /// How far it is.
    pub state: State,
    /// How often it was handed over in vain.
    pub attempts: u32,
    /// What came of the last attempt: the systems' answer as JSON, or why there was none.
    pub answer: Option<String>,
}

impl Store {
    /// Work orders, oldest call first: those that are not with the systems yet, also refused ones, or all.
    pub async fn work_orders(&self, all: bool) -> Result<Vec<WorkOrder>, Error> {
        let rows = sqlx::query(
            "SELECT work_orders.*, calls.caller FROM work_orders JOIN calls ON calls.id = call_id \
             WHERE ? OR work_orders.state != 'done' ORDER BY calls.started, call_id",
        )
        .bind(all)
        .fetch_all(&self.pool)
        .await;
        self.all_of(rows, work_order)
    }

    /// One that was refused is handed over once more. False if there is no such one.
    pub async fn retry_work_order(&self, call_id: &str) -> Result<bool, Error> {
        sqlx::query(
            "UPDATE work_orders SET state = 'open', attempts = 0 WHERE call_id = ? AND state = 'failed'",
        )
        .bind(call_id)
        .execute(&self.pool)
        .await
        .map(|done| done.rows_affected() == 1)
        .map_err(|e| self.error(e))
    }

    /// The first of those whose time has come at `now`.
    pub async fn due_work_orders(&self, now: jiff::Timestamp) -> Result<Vec<WorkOrder>, Error> {
        let rows = sqlx::query(
            "SELECT work_orders.*, calls.caller FROM work_orders JOIN calls ON calls.id = call_id \
             WHERE work_orders.state = 'open' AND due <= ? ORDER BY due, call_id LIMIT 20",
        )
        .bind(now.to_string())
        .fetch_all(&self.pool)
        .await;
        self.all_of(rows, work_order)
    }

    /// The systems have answered: they have it, or they do not take it.
    pub async fn settle_work_order(&self, call_id: &str, taken: bool, answer: &str) -> Result<(), Error> {
        let state = if taken { State::Done } else { State::Failed };
        sqlx::query("UPDATE work_orders SET state = ?, answer = ? WHERE call_id = ? AND state = 'open'")
            .bind(state.as_str())
            .bind(answer)
            .bind(call_id)
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(|e| self.error(e))
    }

    /// They have not answered; it is tried again, but not before `due`.
    pub async fn delay_work_order(
        &self,
        call_id: &str,
        due: jiff::Timestamp,
        why: &str,
    ) -> Result<(), Error> {
        sqlx::query(
            "UPDATE work_orders SET attempts = attempts + 1, due = ?, answer = ? WHERE call_id = ? AND state = 'open'",
        )
        .bind(due.to_string())
        .bind(why)
        .bind(call_id)
        .execute(&self.pool)
        .await
        .map(drop)
        .map_err(|e| self.error(e))
    }
}

/// Keeps what people have to do after the call of `record`, once.
pub(super) async fn keep(
    connection: &mut SqliteConnection,
    record: &CallRecord,
    now: jiff::Timestamp,
) -> Result<(), sqlx::Error> {
    let Some(what) = record.wrap_up.as_ref().and_then(|wrap_up| wrap_up.order.as_ref()) else {
        return Ok(());
    };
    let what = serde_json::to_string(what).map_err(|e| sqlx::Error::Encode(e.into()))?;
    sqlx::query(
        "INSERT INTO work_orders (call_id, what, due) VALUES (?, ?, ?) ON CONFLICT (call_id) DO NOTHING",
    )
    .bind(&record.info.id)
    .bind(what)
    .bind(now.to_string())
    .execute(connection)
    .await
    .map(drop)
}

fn work_order(row: &SqliteRow) -> Result<WorkOrder, sqlx::Error> {
    let what: Use = serde_json::from_str(row.try_get("what")?).map_err(|e| sqlx::Error::Decode(e.into()))?;
    Ok(WorkOrder {
        call_id: row.try_get("call_id")?,
        from: Pii::new(row.try_get("caller")?),
        what: Pii::new(what),
        state: match row.try_get("state")? {
            "done" => State::Done,
            "failed" => State::Failed,
            _ => State::Open,
        },
        attempts: row.try_get::<u32, _>("attempts")?,
        answer: row.try_get("answer")?,
    })
}
