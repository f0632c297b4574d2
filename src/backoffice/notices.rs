//! What goes out to customers: the outbox of messages, and calls to remind them.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use futures_util::FutureExt as _;
use jiff::ToSpan as _;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::BackOffice;
use super::bookings::Booking;
use super::http::{Answer, Ask, Body, Failure, Id, Key, KeyHeader, Problem};
use super::value::{Civil, Day, Phone, Text, optional};

pub(super) fn routes() -> OpenApiRouter<BackOffice> {
    OpenApiRouter::new()
        .routes(routes!(send_sms, list_sms))
        .routes(routes!(list_reminders))
        .routes(routes!(settle_reminder))
}

/// A message in the outbox.
#[derive(Serialize, ToSchema)]
struct Sms {
    id: i64,
    phone: String,
    text: String,
    /// `queued` or `cancelled`.
    state: String,
    /// The booking that it tells of.
    booking: Option<String>,
    created: String,
}

impl Sms {
    fn of(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            phone: row.try_get("phone")?,
            text: row.try_get("text")?,
            state: row.try_get("state")?,
            booking: row.try_get("booking")?,
            created: row.try_get("created")?,
        })
    }
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSms {
    phone: Phone,
    text: Text,
}

#[derive(Serialize, ToSchema)]
struct SmsAnswer {
    sms: Sms,
}

/// Puts a message into the outbox.
#[utoipa::path(post, path = "/sms", tag = "messages", params(KeyHeader), request_body = NewSms, responses(
    (status = 201, body = SmsAnswer),
    (status = 400, body = Problem),
    (status = 422, body = Problem),
))]
async fn send_sms(
    State(office): State<BackOffice>,
    key: Key,
    Body(new): Body<NewSms>,
) -> Result<Response, Failure> {
    let now = office.now();
    office.once(key.with(&new)?, move |db| send(db, new, now).boxed()).await
}

async fn send(db: &mut SqliteConnection, new: NewSms, now: Civil) -> Result<Answer, Failure> {
    let id = queue(db, new.phone.as_str(), new.text.as_str(), None, now).await?;
    let row = sqlx::query("SELECT * FROM sms WHERE id = ?").bind(id).fetch_one(db).await?;
    Answer::created(&SmsAnswer { sms: Sms::of(&row)? })
}

/// Puts a message into the outbox and gives its number.
async fn queue(
    db: &mut SqliteConnection,
    phone: &str,
    text: &str,
    booking: Option<&str>,
    now: Civil,
) -> Result<i64, sqlx::Error> {
    sqlx::query(
        "INSERT INTO sms (phone, text, state, booking, created) VALUES (?, ?, 'queued', ?, ?) RETURNING id",
    )
    .bind(phone)
    .bind(text)
    .bind(booking)
    .bind(now.to_string())
    .fetch_one(db)
    .await?
    .try_get("id")
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct FindSms {
    #[param(value_type = String, example = "13800001234")]
    phone: Phone,
}

#[derive(Serialize, ToSchema)]
struct Outbox {
    sms: Vec<Sms>,
}

/// Messages to a number, the newest first, at most 50.
#[utoipa::path(get, path = "/sms", tag = "messages", params(FindSms), responses(
    (status = 200, body = Outbox),
    (status = 422, body = Problem),
))]
async fn list_sms(
    State(office): State<BackOffice>,
    Ask(FindSms { phone }): Ask<FindSms>,
) -> Result<Json<Outbox>, Failure> {
    let rows = sqlx::query("SELECT * FROM sms WHERE phone = ? ORDER BY id DESC LIMIT 50")
        .bind(phone.as_str())
        .fetch_all(&office.pool)
        .await?;
    Ok(Json(Outbox { sms: rows.iter().map(Sms::of).collect::<Result<_, _>>()? }))
}

/// What is told about a booking.
#[derive(Clone, Copy)]
pub(super) enum News {
    Booked,
    Changed,
    Cancelled,
}

/// Tells a customer about a booking: what was still to go out about it is cancelled, a message is queued, and a call to
/// remind is planned for 18:00 of the day before if the visit is more than a day ahead.
pub(super) async fn tell(
    db: &mut SqliteConnection,
    booking: &Booking,
    news: News,
    english: bool,
    now: Civil,
) -> Result<(), sqlx::Error> {
    for cancel in [
        "UPDATE sms SET state = 'cancelled' WHERE booking = ? AND state = 'queued'",
        "UPDATE reminders SET state = 'cancelled' WHERE booking = ? AND state = 'pending'",
    ] {
        sqlx::query(cancel).bind(&booking.id).execute(&mut *db).await?;
    }
    let text = message(booking, news, english);
    queue(db, &booking.phone, &text, Some(&booking.id), now).await?;
    let start = booking.start.0;
    if matches!(news, News::Cancelled) || start.saturating_sub(1.day()) <= now.0 {
        return Ok(());
    }
    let at = Civil(start.date().saturating_sub(1.day()).at(18, 0, 0, 0));
    if at <= now {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO reminders (booking, phone, at, text, state, created) VALUES (?, ?, ?, ?, 'pending', ?)",
    )
    .bind(&booking.id)
    .bind(&booking.phone)
    .bind(at.to_string())
    .bind(reminder(booking, english))
    .bind(now.to_string())
    .execute(db)
    .await?;
    Ok(())
}

fn message(booking: &Booking, news: News, english: bool) -> String {
    let Booking { id, name, service, centre_name, address, .. } = booking;
    let start = booking.start.0;
    if english {
        let when = format!("{} at {:02}:{:02}", Day(start.date()), start.hour(), start.minute());
        return match news {
            News::Booked => format!(
                "[Qingyu Auto] {name}, your visit ({service}) is booked: {when}, {centre_name}, {address}. Booking {id}."
            ),
            News::Changed => format!(
                "[Qingyu Auto] {name}, your visit ({service}) was changed: {when}, {centre_name}, {address}. Booking {id}."
            ),
            News::Cancelled => {
                format!("[Qingyu Auto] {name}, your visit on {when} is cancelled. Booking {id}.")
            }
        };
    }
    let when = spoken(booking.start);
    match news {
        News::Booked => format!(
            "【青屿汽车】{name}您好，已为您预约{when}在{centre_name}做{service}，地址：{address}，预约号{id}。"
        ),
        News::Changed => format!(
            "【青屿汽车】{name}您好，您的预约已改为{when}在{centre_name}做{service}，地址：{address}，预约号{id}。"
        ),
        News::Cancelled => {
            format!("【青屿汽车】{name}您好，您{when}在{centre_name}的预约已取消，预约号{id}。")
        }
    }
}

fn reminder(booking: &Booking, english: bool) -> String {
    let Booking { id, name, service, centre_name, .. } = booking;
    let start = booking.start.0;
    if english {
        let (hour, minute) = (start.hour(), start.minute());
        return format!(
            "{name}, this is a reminder of your visit ({service}) tomorrow at {hour:02}:{minute:02}, {centre_name}. Booking {id}."
        );
    }
    format!("{name}您好，提醒您{}在{centre_name}做{service}，预约号{id}。", spoken(booking.start))
}

/// 11月25日（周三）14:00.
fn spoken(time: Civil) -> String {
    const NAMES: [&str; 7] = ["一", "二", "三", "四", "五", "六", "日"];
    let t = time.0;
    let weekday = NAMES[t.weekday().to_monday_zero_offset() as usize];
    format!("{}月{}日（周{weekday}）{:02}:{:02}", t.month(), t.day(), t.hour(), t.minute())
}

/// A call that is to be made.
#[derive(Serialize, ToSchema)]
struct Reminder {
    id: i64,
    booking: String,
    phone: String,
    at: String,
    /// What is to be said.
    text: String,
    state: ReminderState,
    created: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ReminderState {
    /// Still to be made.
    Pending,
    /// Made.
    Done,
    /// Tried in vain.
    Failed,
    /// Not to be made any more.
    Cancelled,
}

impl ReminderState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Reminder {
    fn of(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            booking: row.try_get("booking")?,
            phone: row.try_get("phone")?,
            at: row.try_get("at")?,
            text: row.try_get("text")?,
            state: match row.try_get("state")? {
                "pending" => ReminderState::Pending,
                "done" => ReminderState::Done,
                "failed" => ReminderState::Failed,
                _ => ReminderState::Cancelled,
            },
            created: row.try_get("created")?,
        })
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct FindReminders {
    /// Due at this time or later.
    #[serde(default, deserialize_with = "optional")]
    #[param(value_type = Option<String>, example = "2026-11-24T00:00")]
    from: Option<Civil>,
    /// Due before this time.
    #[serde(default, deserialize_with = "optional")]
    #[param(value_type = Option<String>, example = "2026-11-25T00:00")]
    to: Option<Civil>,
    #[param(inline)]
    state: Option<ReminderState>,
}

#[derive(Serialize, ToSchema)]
struct Reminders {
    reminders: Vec<Reminder>,
}

/// Calls to be made, the earliest first, at most 100.
#[utoipa::path(get, path = "/reminders", tag = "messages", params(FindReminders), responses(
    (status = 200, body = Reminders),
    (status = 422, body = Problem),
))]
async fn list_reminders(
    State(office): State<BackOffice>,
    Ask(find): Ask<FindReminders>,
) -> Result<Json<Reminders>, Failure> {
    let rows = sqlx::query(
        "SELECT * FROM reminders WHERE (?1 IS NULL OR at >= ?1) AND (?2 IS NULL OR at < ?2) \
         AND (?3 IS NULL OR state = ?3) ORDER BY at, id LIMIT 100",
    )
    .bind(find.from.map(|t| t.to_string()))
    .bind(find.to.map(|t| t.to_string()))
    .bind(find.state.map(ReminderState::as_str))
    .fetch_all(&office.pool)
    .await?;
    Ok(Json(Reminders { reminders: rows.iter().map(Reminder::of).collect::<Result<_, _>>()? }))
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SettleReminder {
    /// What became of it: `done`, `failed` or `cancelled`.
    state: ReminderState,
}

#[derive(Serialize, ToSchema)]
struct ReminderAnswer {
    reminder: Reminder,
}

/// Notes what became of a call that was to be made.
#[utoipa::path(patch, path = "/reminders/{id}", tag = "messages",
    params(("id" = i64, Path), KeyHeader), request_body = SettleReminder,
    responses(
        (status = 200, body = ReminderAnswer),
        (status = 400, body = Problem),
        (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`settled`: it is not pending any more"),
        (status = 422, body = Problem),
))]
async fn settle_reminder(
    State(office): State<BackOffice>,
    Id(id): Id,
    key: Key,
    Body(settle): Body<SettleReminder>,
) -> Result<Response, Failure> {
    if settle.state == ReminderState::Pending {
        return Err(Failure::invalid("a reminder is pending already: give done, failed or cancelled"));
    }
    office.once(key.with(&settle)?, move |db| settle_one(db, id, settle.state).boxed()).await
}

async fn settle_one(db: &mut SqliteConnection, id: String, state: ReminderState) -> Result<Answer, Failure> {
    let row =
        sqlx::query("SELECT state FROM reminders WHERE id = ?").bind(&id).fetch_optional(&mut *db).await?;
    let Some(row) = row else { return Err(Failure::missing("there is no such reminder: see /reminders")) };
    if row.try_get::<&str, _>("state")? != "pending" {
        return Err(Failure::conflict("settled", "this reminder is not pending any more: leave it as it is"));
    }
    let row = sqlx::query("UPDATE reminders SET state = ? WHERE id = ? RETURNING *")
        .bind(state.as_str())
        .bind(&id)
        .fetch_one(db)
        .await?;
    Answer::ok(&ReminderAnswer { reminder: Reminder::of(&row)? })
}
