//! What is kept of seats: who wants no calls, and where those that register were last.

use std::time::Duration;

use nightline_sip::Binding;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Error, Store, now_ms};

impl Store {
    /// Seats that want no calls.
    pub async fn away(&self) -> Result<Vec<String>, Error> {
        let rows = sqlx::query("SELECT id FROM seats WHERE away = 1 ORDER BY id").fetch_all(&self.pool).await;
        self.all_of(rows, |row| row.try_get("id"))
    }

    /// A seat wants no calls, or wants them again.
    pub async fn set_away(&self, seat: &str, away: bool) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO seats (id, away) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET away = excluded.away",
        )
        .bind(seat)
        .bind(away)
        .execute(&self.pool)
        .await
        .map(drop)
        .map_err(|e| self.error(e))
    }

    /// Keeps these registrations, and no others.
    pub async fn keep_registrations(&self, bindings: &[Binding]) -> Result<(), Error> {
        let now = now_ms();
        let mut transaction = self.pool.begin().await.map_err(|e| self.error(e))?;
        let change = async {
            sqlx::query("DELETE FROM registrations").execute(&mut *transaction).await?;
            for binding in bindings {
                sqlx::query(
                    "INSERT INTO registrations (seat, contact, received, transport, q, expires_ms, user_agent, \
                     instance, call_id, cseq) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                )
                .bind(&binding.user)
                .bind(&binding.contact)
                .bind(binding.received.to_string())
                .bind(binding.transport.to_string())
                .bind(binding.q)
                .bind(now + binding.expires_in.as_millis() as i64)
                .bind(&binding.user_agent)
                .bind(&binding.instance)
                .bind(&binding.call_id)
                .bind(binding.cseq)
                .execute(&mut *transaction)
                .await?;
            }
            transaction.commit().await
        };
        change.await.map_err(|e| self.error(e))
    }

    /// The registrations that were kept and have not expired since.
    pub async fn registrations(&self) -> Result<Vec<Binding>, Error> {
        let now = now_ms();
        let rows = sqlx::query("SELECT * FROM registrations WHERE expires_ms > ? ORDER BY seat, contact")
            .bind(now)
            .fetch_all(&self.pool)
            .await;
        self.all_of(rows, |row| registration(row, now))
    }
}

fn registration(row: &SqliteRow, now_ms: i64) -> Result<Binding, sqlx::Error> {
    let received: &str = row.try_get("received")?;
    let transport: &str = row.try_get("transport")?;
    let left = row.try_get::<i64, _>("expires_ms")?.saturating_sub(now_ms);
    Ok(Binding {
        user: row.try_get("seat")?,
        contact: row.try_get("contact")?,
        received: received.parse().map_err(|e: std::net::AddrParseError| sqlx::Error::Decode(e.into()))?,
        transport: transport
            .parse()
            .map_err(|()| sqlx::Error::Decode(format!("there is no transport {transport}").into()))?,
        q: row.try_get("q")?,
        expires_in: Duration::from_millis(left.try_into().unwrap_or_default()),
        user_agent: row.try_get("user_agent")?,
        instance: row.try_get("instance")?,
        call_id: row.try_get("call_id")?,
        cseq: row.try_get("cseq")?,
    })
}
