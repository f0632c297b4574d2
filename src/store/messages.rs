//! Messages that callers left.

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::{CallbackState, Error, Store};
use crate::call::event::{Event, EventKind};
use crate::record::Pii;

/// A message that a caller left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its number in the list.
    pub id: i64,
    /// The call in which it was left.
    pub call_id: String,
    /// Who called.
    pub from: Pii<String>,
    /// When that call was answered, RFC 3339.
    pub started: String,
    /// Where it begins in the recording, milliseconds since the answer.
    pub began_ms: u64,
    /// Where it ends.
    pub ended_ms: u64,
    /// The words, as they were recognised.
    pub text: String,
    /// Still to be listened to, or done with.
    pub state: CallbackState,
}

impl Store {
    /// Messages in `state`, or all, oldest first.
    pub async fn messages(&self, state: Option<CallbackState>) -> Result<Vec<Message>, Error> {
        let rows = sqlx::query(
            "SELECT messages.id, call_id, caller, started, began_ms, ended_ms, text, messages.state FROM messages \
             JOIN calls ON calls.id = call_id WHERE ?1 IS NULL OR messages.state = ?1 ORDER BY messages.id",
        )
        .bind(state.map(CallbackState::as_str))
        .fetch_all(&self.pool).await;
        self.all_of(rows, message)
    }

    /// Notes that a message is done with. False if there is no open one of that number.
    pub async fn message_done(&self, id: i64) -> Result<bool, Error> {
        sqlx::query("UPDATE messages SET state = 'done' WHERE id = ? AND state = 'open'")
            .bind(id)
            .execute(&self.pool)
            .await
            .map(|done| done.rows_affected() == 1)
            .map_err(|e| self.error(e))
    }
}

/// Keeps the message that `event` tells of, if it tells of one.
pub(super) async fn keep(
    connection: &mut SqliteConnection,
    call_id: &str,
    event: &Event,
) -> Result<(), sqlx::Error> {
    let EventKind::MessageLeft { text, began } = &event.kind else { return Ok(()) };
    sqlx::query(
        "INSERT INTO messages (call_id, began_ms, ended_ms, text) VALUES (?, ?, ?, ?) \
         ON CONFLICT (call_id, began_ms) DO NOTHING",
    )
    .bind(call_id)
    .bind(began.since_start().as_millis() as i64)
    .bind(event.at.since_start().as_millis() as i64)
    .bind(text)
    .execute(connection)
    .await
    .map(drop)
}

fn message(row: &SqliteRow) -> Result<Message, sqlx::Error> {
    let state: &str = row.try_get("state")?;
    Ok(Message {
        id: row.try_get("id")?,
        call_id: row.try_get("call_id")?,
        from: Pii::new(row.try_get("caller")?),
        started: row.try_get("started")?,
        began_ms: row.try_get::<i64, _>("began_ms")? as u64,
        ended_ms: row.try_get::<i64, _>("ended_ms")? as u64,
        text: row.try_get("text")?,
        state: if state == "done" { CallbackState::Done } else { CallbackState::Open },
    })
}
