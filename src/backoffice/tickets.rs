//! Work orders: what a person has to take care of, given to the team whose business it is.

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
use super::customers;
use super::http::{Answer, Ask, Body, Failure, Key, KeyHeader, Problem};
use super::store::{Numbered, new_id};
use super::value::{Civil, Phone, Text, Vin, optional};

pub(super) fn routes() -> OpenApiRouter<BackOffice> {
    OpenApiRouter::new().routes(routes!(open_ticket, find_tickets))
}

#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// The caller is not content.
    Complaint,
    /// A question that could not be answered.
    Enquiry,
    /// The caller wants to be called.
    Callback,
    /// A fault that colleagues should know of.
    Quality,
    /// Anything else.
    Other,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Complaint => "complaint",
            Self::Enquiry => "enquiry",
            Self::Callback => "callback",
            Self::Quality => "quality",
            Self::Other => "other",
        }
    }
}

#[derive(Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Priority {
    #[default]
    Normal,
    High,
    Urgent,
}

impl Priority {
    /// Also the column of `teams` with the hours until the answer.
    fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::High => "high",
            Self::Urgent => "urgent",
        }
    }
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum TicketState {
    Open,
    Closed,
}

/// A work order.
#[derive(Serialize, ToSchema)]
struct Ticket {
    /// Six digits.
    #[schema(example = "530118")]
    id: String,
    phone: Option<String>,
    kind: String,
    summary: String,
    details: String,
    priority: String,
    vin: Option<String>,
    /// The matter.
    #[schema(example = "charging")]
    topic: Option<String>,
    /// The call in which it was opened.
    call: Option<String>,
    /// Who takes care of it.
    team: String,
    /// `open` or `closed`.
    state: String,
    created: String,
    /// Until when the team answers.
    due: String,
}

impl Ticket {
    fn of(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            phone: row.try_get("phone")?,
            kind: row.try_get("kind")?,
            summary: row.try_get("summary")?,
            details: row.try_get("details")?,
            priority: row.try_get("priority")?,
            vin: row.try_get("vin")?,
            topic: row.try_get("topic")?,
            call: row.try_get("call")?,
            team: row.try_get("team")?,
            state: row.try_get("state")?,
            created: row.try_get("created")?,
            due: row.try_get("due")?,
        })
    }
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTicket {
    #[serde(default, deserialize_with = "optional")]
    phone: Option<Phone>,
    kind: Kind,
    /// One sentence.
    summary: Text,
    #[serde(default, deserialize_with = "optional")]
    details: Option<Text>,
    #[serde(default)]
    priority: Priority,
    #[serde(default, deserialize_with = "optional")]
    vin: Option<Vin>,
    /// The matter: some have a team of their own.
    #[serde(default, deserialize_with = "optional")]
    topic: Option<Text>,
    /// The id of the call in which it was opened.
    #[serde(default, deserialize_with = "optional")]
    call: Option<Text>,
}

#[derive(Serialize, ToSchema)]
struct TicketAnswer {
    ticket: Ticket,
}

/// Opens a work order and gives it to the team for its kind and matter.
#[utoipa::path(post, path = "/tickets", tag = "tickets", params(KeyHeader), request_body = NewTicket, responses(
    (status = 201, body = TicketAnswer),
    (status = 400, body = Problem),
    (status = 404, body = Problem, description = "no vehicle has this vin"),
    (status = 422, body = Problem),
))]
async fn open_ticket(
    State(office): State<BackOffice>,
    key: Key,
    Body(new): Body<NewTicket>,
) -> Result<Response, Failure> {
    let now = office.now();
    office.once(key.with(&new)?, move |db| open(db, new, now).boxed()).await
}

async fn open(db: &mut SqliteConnection, new: NewTicket, now: Civil) -> Result<Answer, Failure> {
    if let Some(vin) = &new.vin
        && customers::owner_of(db, vin).await?.is_none()
    {
        return Err(Failure::missing("no vehicle has this vin: leave it out"));
    }
    let topic = new.topic.as_ref().map(Text::as_str);
    let team = sqlx::query(
        "SELECT coalesce(topic_teams.team, teams.team) AS team, normal, high, urgent FROM teams \
         LEFT JOIN topic_teams ON topic_teams.kind = teams.kind AND topic = ? WHERE teams.kind = ?",
    )
    .bind(topic)
    .bind(new.kind.as_str())
    .fetch_optional(&mut *db)
    .await?;
    let Some(team) = team else {
        return Err(Failure::unfit(
            "no_team",
            "no team takes work orders of this kind: add it to the back office's data",
        ));
    };
    let hours: i64 = team.try_get(new.priority.as_str())?;
    let id = new_id(db, Numbered::Tickets).await?;
    let row = sqlx::query(
        "INSERT INTO tickets (id, phone, kind, summary, details, priority, vin, topic, call, team, state, created, due) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', ?, ?) RETURNING *",
    )
    .bind(&id)
    .bind(new.phone.as_ref().map(Phone::as_str))
    .bind(new.kind.as_str())
    .bind(new.summary.as_str())
    .bind(new.details.as_ref().map_or("", Text::as_str))
    .bind(new.priority.as_str())
    .bind(new.vin.as_ref().map(Vin::as_str))
    .bind(topic)
    .bind(new.call.as_ref().map(Text::as_str))
    .bind(team.try_get::<&str, _>("team")?)
    .bind(now.to_string())
    .bind(Civil(now.0.saturating_add(hours.hours())).to_string())
    .fetch_one(db)
    .await?;
    Answer::created(&TicketAnswer { ticket: Ticket::of(&row)? })
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct FindTickets {
    #[param(value_type = String, example = "13800001234")]
    phone: Phone,
    #[param(inline)]
    state: Option<TicketState>,
}

#[derive(Serialize, ToSchema)]
struct Tickets {
    tickets: Vec<Ticket>,
}

/// Work orders of a number, the newest first, at most 20.
#[utoipa::path(get, path = "/tickets", tag = "tickets", params(FindTickets), responses(
    (status = 200, body = Tickets),
    (status = 422, body = Problem),
))]
async fn find_tickets(
    State(office): State<BackOffice>,
    Ask(FindTickets { phone, state }): Ask<FindTickets>,
) -> Result<Json<Tickets>, Failure> {
    let state = state.map(|state| match state {
        TicketState::Open => "open",
        TicketState::Closed => "closed",
    });
    let rows = sqlx::query(
        "SELECT * FROM tickets WHERE phone = ?1 AND (?2 IS NULL OR state = ?2) ORDER BY created DESC, id LIMIT 20",
    )
    .bind(phone.as_str())
    .bind(state)
    .fetch_all(&office.pool)
    .await?;
    Ok(Json(Tickets { tickets: rows.iter().map(Ticket::of).collect::<Result<_, _>>()? }))
}
