//! Calls that we place ourselves, and what seats want: what has to outlive the process.
//!
//! A call is placed at most once an attempt: the attempt is written down before it is dialled, and after a crash an attempt whose
//! end is not known counts as one that was made.

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::{Error, Store, named};
use crate::clock;
use crate::record::Pii;

/// Why we call somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It was promised to a caller whom nobody could serve.
    Callback,
    /// Something is near that the customer has to remember.
    Reminder,
    /// Something has happened that the customer is called for.
    Event,
}

impl Kind {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Callback => "callback",
            Self::Reminder => "reminder",
            Self::Event => "event",
        }
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Still to be made.
    Open,
    /// Being made.
    Calling,
    /// The customer was reached.
    Done,
    /// Every attempt was in vain.
    Failed,
    /// Nobody wants it any more.
    Cancelled,
}

/// A call to be placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The same key twice is one call.
    pub key: String,
    /// Why.
    pub kind: Kind,
    /// Whom to call: digits.
    pub number: Pii<String>,
    /// What is said first.
    #[serde(default)]
    pub words: String,
    /// Not before: RFC 3339. At once if none.
    #[serde(default)]
    pub due: Option<jiff::Timestamp>,
    /// The call in which it was promised.
    #[serde(default)]
    pub origin: Option<String>,
}

/// A call to be placed, as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Its number in the list.
    pub id: i64,
    /// What is to be done.
    #[serde(flatten)]
    pub order: Order,
    /// How far it is.
    pub state: State,
    /// Attempts so far.
    pub attempts: u32,
    /// The call that was placed last.
    pub call_id: Option<String>,
    /// What came of the last attempt.
    pub outcome: Option<String>,
}

impl Store {
    /// Takes an order; gives its number in the list, and whether it is new. An order with a key that is known changes nothing.
    pub async fn order(&self, order: &Order) -> Result<(i64, bool), Error> {
        let mut connection = self.acquire().await?;
        let new = insert(&mut connection, order).await.map_err(|e| self.error(e))?;
        sqlx::query("SELECT id FROM outbound WHERE key = ?")
            .bind(&order.key)
            .fetch_one(&mut *connection)
            .await
            .and_then(|row| row.try_get("id"))
            .map(|id| (id, new))
            .map_err(|e| self.error(e))
    }

    /// All orders, or those that are open or being called; by when they are due.
    pub async fn orders(&self, all: bool) -> Result<Vec<Placed>, Error> {
        let rows = sqlx::query(
            "SELECT * FROM outbound WHERE ?1 OR state IN ('open', 'calling') ORDER BY due, id LIMIT 1000",
        )
        .bind(all)
        .fetch_all(&self.pool)
        .await;
        self.all_of(rows, placed)
    }

    /// Open orders that are due, the oldest first.
    pub async fn due(&self, limit: u32) -> Result<Vec<Placed>, Error> {
        let rows =
            sqlx::query("SELECT * FROM outbound WHERE state = 'open' AND due <= ? ORDER BY due, id LIMIT ?")
                .bind(stamp(now()))
                .bind(limit)
                .fetch_all(&self.pool)
                .await;
        self.all_of(rows, placed)
    }

    /// An attempt begins: true if it may be made, false if somebody else makes it or it was withdrawn.
    pub async fn begin_attempt(&self, id: i64, call_id: &str) -> Result<bool, Error> {
        sqlx::query(
            "UPDATE outbound SET state = 'calling', attempts = attempts + 1, call_id = ? \
             WHERE id = ? AND state = 'open'",
        )
        .bind(call_id)
        .bind(id)
        .execute(&self.pool)
        .await
        .map(|done| done.rows_affected() == 1)
        .map_err(|e| self.error(e))
    }

    /// An attempt ended. `again` is when the next is made; without it the order is done or failed.
    pub async fn end_attempt(
        &self,
        id: i64,
        reached: bool,
        outcome: &str,
        again: Option<jiff::Timestamp>,
    ) -> Result<(), Error> {
        let state = match (reached, again) {
            (true, _) => "done",
            (false, Some(_)) => "open",
            (false, None) => "failed",
        };
        let mut transaction = self.pool.begin().await.map_err(|e| self.error(e))?;
        let change = async {
            sqlx::query(
                "UPDATE outbound SET state = ?, outcome = ?, due = coalesce(?, due) WHERE id = ? AND state = 'calling'",
            )
            .bind(state)
            .bind(outcome)
            .bind(again.map(stamp))
            .bind(id)
            .execute(&mut *transaction)
            .await?;
            if reached {
                sqlx::query(
                    "UPDATE callbacks SET state = 'done' WHERE state = 'open' AND call_id = \
                     (SELECT origin FROM outbound WHERE id = ? AND kind = 'callback')",
                )
                .bind(id)
                .execute(&mut *transaction)
                .await?;
            }
            transaction.commit().await
        };
        change.await.map_err(|e| self.error(e))
    }

    /// Withdraws an order that is open. False if there is none.
    pub async fn cancel_order(&self, id: i64) -> Result<bool, Error> {
        sqlx::query("UPDATE outbound SET state = 'cancelled' WHERE id = ? AND state = 'open'")
            .bind(id)
            .execute(&self.pool)
            .await
            .map(|done| done.rows_affected() == 1)
            .map_err(|e| self.error(e))
    }

    /// Attempts of an earlier process, with what is known of the calls that it placed.
    pub(super) async fn unfinished_attempts(&self) -> Result<Vec<Placed>, Error> {
        let rows = sqlx::query("SELECT * FROM outbound WHERE state = 'calling'").fetch_all(&self.pool).await;
        self.all_of(rows, placed)
    }
}

/// Stores an order; false if its key is known.
pub(super) async fn insert(connection: &mut SqliteConnection, order: &Order) -> Result<bool, sqlx::Error> {
    sqlx::query(
        "INSERT INTO outbound (key, kind, number, words, origin, created, due, state) \
         VALUES (?, ?, ?, ?, ?, ?, ?, 'open') ON CONFLICT (key) DO NOTHING",
    )
    .bind(&order.key)
    .bind(order.kind.as_str())
    .bind(order.number.expose())
    .bind(&order.words)
    .bind(&order.origin)
    .bind(stamp(now()))
    .bind(stamp(order.due.unwrap_or_else(now)))
    .execute(connection)
    .await
    .map(|done| done.rows_affected() == 1)
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::try_from(clock::wall()).unwrap_or_default()
}

/// Sorts as text as it does in time.
pub(super) fn stamp(at: jiff::Timestamp) -> String {
    format!("{at:.0}")
}

fn placed(row: &SqliteRow) -> Result<Placed, sqlx::Error> {
    let due: &str = row.try_get("due")?;
    Ok(Placed {
        id: row.try_get("id")?,
        order: Order {
            key: row.try_get("key")?,
            kind: named(row.try_get("kind")?)?,
            number: Pii::new(row.try_get("number")?),
            words: row.try_get("words")?,
            due: Some(due.parse().map_err(|e: jiff::Error| sqlx::Error::Decode(e.into()))?),
            origin: row.try_get("origin")?,
        },
        state: named(row.try_get("state")?)?,
        attempts: row.try_get::<i64, _>("attempts")? as u32,
        call_id: row.try_get("call_id")?,
        outcome: row.try_get("outcome")?,
    })
}
