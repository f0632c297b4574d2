//! Promised call-backs: what the caller was told, beside the order that places it.

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::outbound::{self, Kind, Order};
use super::{Error, Outbox, Store, named};
use crate::clock;
use crate::dialogue::slots;
use crate::record::Pii;

/// A promised call-back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// Its number in the list.
    pub id: i64,
    /// The call in which it was promised.
    pub call_id: String,
    /// Where to call.
    pub number: Pii<String>,
    /// When, in the caller's words.
    pub when: String,
    /// RFC 3339.
    pub created: String,
    /// Still to be made, or made.
    pub state: CallbackState,
}

/// What became of a call-back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallbackState {
    /// Still to be made.
    Open,
    /// Made.
    Done,
}

impl CallbackState {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
        }
    }
}

/// Whether a call-back was new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Booked {
    /// It is stored now.
    New,
    /// This call had one already, which is now another number or time.
    Changed,
}

impl Store {
    /// Stores a call-back for a call that has begun, once a call, and has it placed when it is due; the last word counts.
    pub async fn book_callback(&self, call_id: &str, number: &str, when: &str) -> Result<Booked, Error> {
        let mut connection = self.acquire().await?;
        let mut transaction = connection.begin().await.map_err(|e| self.error(e))?;
        let booked = book_callback(&mut transaction, &self.outbox, call_id, number, when).await;
        let booked = booked.map_err(|e| self.error(e))?;
        self.commit(transaction).await.map(|()| booked)
    }

    /// Notes that a call-back was made. False if there is no open one of that number.
    pub async fn callback_done(&self, id: i64) -> Result<bool, Error> {
        let mut transaction = self.pool.begin().await.map_err(|e| self.error(e))?;
        let change = async {
            let done = sqlx::query("UPDATE callbacks SET state = 'done' WHERE id = ? AND state = 'open'")
                .bind(id)
                .execute(&mut *transaction)
                .await?;
            sqlx::query(
                "UPDATE outbound SET state = 'cancelled' WHERE kind = 'callback' AND state = 'open' AND origin = \
                 (SELECT call_id FROM callbacks WHERE id = ?)",
            )
            .bind(id)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(done.rows_affected() == 1)
        };
        change.await.map_err(|e| self.error(e))
    }

    /// Call-backs in `state`, or all, oldest first.
    pub async fn callbacks(&self, state: Option<CallbackState>) -> Result<Vec<Callback>, Error> {
        let rows = sqlx::query(
            "SELECT id, call_id, number, when_text, created, state FROM callbacks \
             WHERE ?1 IS NULL OR state = ?1 ORDER BY id",
        )
        .bind(state.map(CallbackState::as_str))
        .fetch_all(&self.pool)
        .await;
        self.all_of(rows, callback)
    }
}

/// Stores a call-back, or changes the one that the call has.
pub(super) async fn book_callback(
    connection: &mut SqliteConnection,
    outbox: &Outbox,
    call_id: &str,
    number: &str,
    when: &str,
) -> Result<Booked, sqlx::Error> {
    let created = jiff::Timestamp::try_from(clock::wall()).unwrap_or_default();
    let now = created.to_zoned(clock::zone());
    let due = slots::moment(when, now.datetime()).and_then(|due| due.to_zoned(clock::zone()).ok());
    let due = due.map(|due| due.timestamp());
    let order = Order {
        key: format!("callback:{call_id}"),
        kind: Kind::Callback,
        number: Pii::new(number.to_owned()),
        words: String::new(),
        due,
        origin: Some(call_id.to_owned()),
    };
    let new = outbound::insert(connection, &order).await?;
    if !new {
        sqlx::query("UPDATE outbound SET number = ?, due = ? WHERE key = ? AND state = 'open'")
            .bind(number)
            .bind(outbound::stamp(due.unwrap_or(created)))
            .bind(&order.key)
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query(
        "INSERT INTO callbacks (call_id, number, when_text, created, due, state) VALUES (?, ?, ?, ?, ?, 'open') \
         ON CONFLICT (call_id) DO UPDATE SET number = excluded.number, when_text = excluded.when_text, \
         due = excluded.due WHERE state = 'open'",
    )
    .bind(call_id)
    .bind(number)
    .bind(when)
    .bind(outbound::stamp(created))
    .bind(due.map(outbound::stamp))
    .execute(&mut *connection)
    .await?;
    outbox.callback(connection, call_id, number, when, &outbound::stamp(created)).await?;
    Ok(if new { Booked::New } else { Booked::Changed })
}

fn callback(row: &SqliteRow) -> Result<Callback, sqlx::Error> {
    Ok(Callback {
        id: row.try_get("id")?,
        call_id: row.try_get("call_id")?,
        number: Pii::new(row.try_get("number")?),
        when: row.try_get("when_text")?,
        created: row.try_get("created")?,
        state: named(row.try_get("state")?)?,
    })
}
