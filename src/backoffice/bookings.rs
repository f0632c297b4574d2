//! Bookings of visits: made, looked up, changed, cancelled.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use futures_util::FutureExt as _;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::BackOffice;
use super::customers::{self, Customer};
use super::http::{Answer, Ask, Body, Failure, Id, Key, KeyHeader, Problem};
use super::matching;
use super::notices::{self, News};
use super::slots::Centre;
use super::store::{Numbered, new_id};
use super::value::{Civil, Phone, Plate, Text, Vin, optional};

pub(super) fn routes() -> OpenApiRouter<BackOffice> {
    OpenApiRouter::new().routes(routes!(book, find_bookings)).routes(routes!(change_booking, cancel_booking))
}

/// A visit to a centre.
#[derive(Clone, Serialize, ToSchema)]
pub(super) struct Booking {
    /// Six digits.
    #[schema(example = "402917")]
    pub id: String,
    pub phone: String,
    /// How the customer is addressed.
    pub name: String,
    pub plate: Option<String>,
    /// Null for a car that is not in the books.
    pub vin: Option<String>,
    pub model: Option<String>,
    pub centre: String,
    pub centre_name: String,
    pub address: String,
    pub start: Civil,
    /// By the house's name: 保养, 电池检测 …
    pub service: String,
    pub note: String,
    pub state: BookingState,
    /// When the customer will be called to be reminded; null if not.
    pub reminder_at: Option<String>,
    pub created: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum BookingState {
    /// It is to come.
    Booked,
    /// Its time is over.
    Past,
    /// It was cancelled.
    Cancelled,
}

/// What a booking is read by; `WHERE` and `ORDER BY` follow.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT b.*, c.name AS centre_name, c.address, v.model, \
             (SELECT r.at FROM reminders r WHERE r.booking = b.id AND r.state = 'pending') AS reminder_at \
             FROM bookings b JOIN centres c ON c.id = b.centre LEFT JOIN vehicles v ON v.vin = b.vin ",
            $rest
        )
    };
}

impl Booking {
    fn of(row: &SqliteRow, now: Civil) -> Result<Self, sqlx::Error> {
        let start = Civil::parse(row.try_get("start")?).map_err(|e| sqlx::Error::Decode(e.into()))?;
        Ok(Self {
            id: row.try_get("id")?,
            phone: row.try_get("phone")?,
            name: row.try_get("name")?,
            plate: row.try_get("plate")?,
            vin: row.try_get("vin")?,
            model: row.try_get("model")?,
            centre: row.try_get("centre")?,
            centre_name: row.try_get("centre_name")?,
            address: row.try_get("address")?,
            start,
            service: row.try_get("service")?,
            note: row.try_get("note")?,
            state: match row.try_get("state")? {
                "cancelled" => BookingState::Cancelled,
                _ if start < now => BookingState::Past,
                _ => BookingState::Booked,
            },
            reminder_at: row.try_get("reminder_at")?,
            created: row.try_get("created")?,
        })
    }

    async fn load(db: &mut SqliteConnection, id: &str, now: Civil) -> Result<Self, Failure> {
        let row = sqlx::query(select!("WHERE b.id = ?")).bind(id).fetch_optional(db).await?;
        match row {
            Some(row) => Ok(Self::of(&row, now)?),
            None => {
                Err(Failure::missing("there is no booking with this number: look it up by phone or plate"))
            }
        }
    }

    /// As [`Self::load`], if it can still be changed.
    async fn load_open(db: &mut SqliteConnection, id: &str, now: Civil) -> Result<Self, Failure> {
        let booking = Self::load(db, id, now).await?;
        let why = match booking.state {
            BookingState::Booked => return Ok(booking),
            BookingState::Past => "this booking is past: make a new one",
            BookingState::Cancelled => "this booking is cancelled already: make a new one",
        };
        Err(Failure::conflict("closed", why))
    }
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBooking {
    pub phone: Phone,
    /// Plate or vin are needed, unless this number has exactly one car in the books.
    #[serde(default, deserialize_with = "optional")]
    pub plate: Option<Plate>,
    #[serde(default, deserialize_with = "optional")]
    pub vin: Option<Vin>,
    /// As /centres gives it, or the centre's name.
    pub centre: Text,
    /// A full or half hour within the centre's hours.
    pub start: Civil,
    /// As the caller says it: 保养, 电池检测, 四轮定位 …
    pub service: Text,
    /// How the customer is addressed; from the books if it is left out.
    #[serde(default, deserialize_with = "optional")]
    pub name: Option<Text>,
    /// What the centre should know.
    #[serde(default, deserialize_with = "optional")]
    pub note: Option<Text>,
}

#[derive(Serialize, ToSchema)]
struct BookingAnswer {
    booking: Booking,
}

/// Books a visit, queues a message about it and plans a call to remind.
#[utoipa::path(post, path = "/bookings", tag = "bookings", params(KeyHeader), request_body = NewBooking, responses(
    (status = 201, body = BookingAnswer),
    (status = 400, body = Problem),
    (status = 404, body = Problem, description = "no such centre or vehicle"),
    (status = 409, body = Problem, description = "`slot_taken` with the nearest `free` slots; `duplicate` with the `booking` that the car has"),
    (status = 422, body = Problem, description = "also `outside_hours` with `free`, `not_offered`, `unknown_name` with `choices`"),
))]
async fn book(
    State(office): State<BackOffice>,
    key: Key,
    Body(new): Body<NewBooking>,
) -> Result<Response, Failure> {
    let now = office.now();
    office.once(key.with(&new)?, move |db| make_and_answer(db, new, now).boxed()).await
}

async fn make_and_answer(db: &mut SqliteConnection, new: NewBooking, now: Civil) -> Result<Answer, Failure> {
    let id = new_id(db, Numbered::Bookings).await?;
    make(db, id, new, now).await.and_then(|booking| Answer::created(&BookingAnswer { booking }))
}

/// Makes a booking under a number that is free.
pub(super) async fn make(
    db: &mut SqliteConnection,
    id: String,
    new: NewBooking,
    now: Civil,
) -> Result<Booking, Failure> {
    let centre = Centre::named(db, new.centre.as_str()).await?;
    let service = matching::service(db, new.service.as_str()).await?;
    let (vin, plate) = car(db, &new).await?;
    if let Some(booking) = open_for(db, (vin.as_deref(), plate.as_deref()), &service, None, now).await? {
        return Err(duplicate(booking));
    }
    centre.check(db, &service, new.start, now, None).await?;
    let customer = customers::by_phone(db, &new.phone).await?;
    let name = match (&new.name, &customer) {
        (Some(name), _) => name.to_string(),
        (None, Some(customer)) => customer.address(),
        (None, None) => "客户".into(),
    };
    sqlx::query(
        "INSERT INTO bookings (id, phone, name, vin, plate, centre, start, service, note, state, created, changed) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'booked', ?10, ?10)",
    )
    .bind(&id)
    .bind(new.phone.as_str())
    .bind(name)
    .bind(vin)
    .bind(plate)
    .bind(&centre.id)
    .bind(new.start.to_string())
    .bind(service)
    .bind(new.note.as_ref().map_or("", Text::as_str))
    .bind(now.to_string())
    .execute(&mut *db)
    .await?;
    let booking = Booking::load(db, &id, now).await?;
    notices::tell(db, &booking, News::Booked, reads_english(customer.as_ref()), now).await?;
    // Once more, for the reminder that is planned now.
    Booking::load(db, &id, now).await
}

fn reads_english(customer: Option<&Customer>) -> bool {
    customer.is_some_and(|c| c.language == "en")
}

fn duplicate(booking: Booking) -> Failure {
    let error = format!(
        "this car has a booking for {} already, {} at {}: keep it or change it",
        booking.service, booking.start, booking.centre_name
    );
    Failure::conflict("duplicate", error).with_booking(booking)
}

/// The vin, if the car is in the books, and the plate of the car that a booking is for.
async fn car(
    db: &mut SqliteConnection,
    new: &NewBooking,
) -> Result<(Option<String>, Option<String>), Failure> {
    if new.plate.is_none() && new.vin.is_none() {
        let rows = sqlx::query(
            "SELECT v.vin, v.plate FROM vehicles v JOIN customers c ON c.id = v.owner WHERE c.phone = ? LIMIT 2",
        )
        .bind(new.phone.as_str())
        .fetch_all(db)
        .await?;
        return match &rows[..] {
            [row] => Ok((row.try_get("vin")?, row.try_get("plate")?)),
            [] => Err(Failure::invalid("this number has no car in the books: ask for the plate and give it")),
            _ => Err(Failure::invalid("this number has several cars: ask which one and give its plate")),
        };
    }
    let row = sqlx::query(
        "SELECT vin, plate FROM vehicles WHERE (?1 IS NULL OR plate = ?1) AND (?2 IS NULL OR vin = ?2)",
    )
    .bind(new.plate.as_ref().map(Plate::as_str))
    .bind(new.vin.as_ref().map(Vin::as_str))
    .fetch_optional(db)
    .await?;
    match (row, &new.plate, &new.vin) {
        (Some(row), ..) => Ok((row.try_get("vin")?, row.try_get("plate")?)),
        (None, Some(plate), None) => Ok((None, Some(plate.to_string()))),
        (None, _, Some(_)) => {
            Err(Failure::missing("no vehicle has this vin, or not with this plate: give the plate alone"))
        }
        (None, None, None) => Err(Failure::invalid("give plate or vin")),
    }
}

/// The open booking of a car for a service, if it has one beside `except`.
async fn open_for(
    db: &mut SqliteConnection,
    (vin, plate): (Option<&str>, Option<&str>),
    service: &str,
    except: Option<&str>,
    now: Civil,
) -> Result<Option<Booking>, sqlx::Error> {
    let row = sqlx::query(select!(
        "WHERE b.state = 'booked' AND b.start >= ?1 AND b.service = ?2 AND (b.vin = ?3 OR b.plate = ?4) \
         AND b.id IS NOT ?5 ORDER BY b.start LIMIT 1"
    ))
    .bind(now.to_string())
    .bind(service)
    .bind(vin)
    .bind(plate)
    .bind(except)
    .fetch_optional(db)
    .await?;
    row.map(|row| Booking::of(&row, now)).transpose()
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct FindBookings {
    #[serde(default, deserialize_with = "optional")]
    #[param(value_type = Option<String>, example = "13800001234")]
    phone: Option<Phone>,
    #[serde(default, deserialize_with = "optional")]
    #[param(value_type = Option<String>)]
    plate: Option<Plate>,
    #[param(inline)]
    state: Option<BookingState>,
}

#[derive(Serialize, ToSchema)]
struct Bookings {
    bookings: Vec<Booking>,
}

/// Bookings by telephone number or plate: those to come first, the soonest first; then the others, the newest first. At
/// most 50.
#[utoipa::path(get, path = "/bookings", tag = "bookings", params(FindBookings), responses(
    (status = 200, body = Bookings),
    (status = 422, body = Problem),
))]
async fn find_bookings(
    State(office): State<BackOffice>,
    Ask(find): Ask<FindBookings>,
) -> Result<Json<Bookings>, Failure> {
    if find.phone.is_none() && find.plate.is_none() {
        return Err(Failure::invalid("say whose bookings: give phone or plate"));
    }
    let now = office.now();
    let rows = sqlx::query(select!(
        "WHERE (?1 IS NULL OR b.phone = ?1) AND (?2 IS NULL OR b.plate = ?2) ORDER BY b.start DESC LIMIT 200"
    ))
    .bind(find.phone.as_ref().map(Phone::as_str))
    .bind(find.plate.as_ref().map(Plate::as_str))
    .fetch_all(&office.pool)
    .await?;
    let mut bookings: Vec<Booking> =
        rows.iter().map(|row| Booking::of(row, now)).collect::<Result<_, _>>()?;
    bookings.retain(|b| find.state.is_none_or(|state| b.state == state));
    let (mut open, closed): (Vec<_>, Vec<_>) =
        bookings.into_iter().partition(|b| b.state == BookingState::Booked);
    open.reverse();
    open.extend(closed);
    open.truncate(50);
    Ok(Json(Bookings { bookings: open }))
}

/// The soonest visit that is booked with a telephone number.
pub(super) async fn next_of(
    db: &mut SqliteConnection,
    phone: &Phone,
    now: Civil,
) -> Result<Option<Booking>, sqlx::Error> {
    let rows = sqlx::query(select!("WHERE b.phone = ? AND b.state = 'booked' ORDER BY b.start LIMIT 200"))
        .bind(phone.as_str())
        .fetch_all(db)
        .await?;
    let mut all = rows.iter().map(|row| Booking::of(row, now));
    all.find(|booking| booking.as_ref().map_or(true, |b| b.state == BookingState::Booked)).transpose()
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Change {
    #[serde(default, deserialize_with = "optional")]
    start: Option<Civil>,
    #[serde(default, deserialize_with = "optional")]
    centre: Option<Text>,
    #[serde(default, deserialize_with = "optional")]
    service: Option<Text>,
}

/// Moves a booking to another time, centre or service; the message and the call to remind are replaced.
#[utoipa::path(patch, path = "/bookings/{id}", tag = "bookings",
    params(("id" = String, Path, description = "the six digits of the booking"), KeyHeader), request_body = Change,
    responses(
        (status = 200, body = BookingAnswer),
        (status = 400, body = Problem),
        (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`slot_taken`, `duplicate`, or `closed`: it is past or cancelled"),
        (status = 422, body = Problem),
))]
async fn change_booking(
    State(office): State<BackOffice>,
    Id(id): Id,
    key: Key,
    Body(change): Body<Change>,
) -> Result<Response, Failure> {
    if change.start.is_none() && change.centre.is_none() && change.service.is_none() {
        return Err(Failure::invalid("say what to change: give start, centre or service"));
    }
    let now = office.now();
    office.once(key.with(&change)?, move |db| alter(db, id, change, now).boxed()).await
}

async fn alter(db: &mut SqliteConnection, id: String, change: Change, now: Civil) -> Result<Answer, Failure> {
    let old = Booking::load_open(db, &id, now).await?;
    let centre = Centre::named(db, change.centre.as_ref().map_or(&old.centre, |c| c.as_str())).await?;
    let service = match &change.service {
        Some(service) => matching::service(db, service.as_str()).await?,
        None => old.service.clone(),
    };
    let start = change.start.unwrap_or(old.start);
    if (&centre.id, &service, start) == (&old.centre, &old.service, old.start) {
        return Answer::ok(&BookingAnswer { booking: old });
    }
    let car = (old.vin.as_deref(), old.plate.as_deref());
    if let Some(booking) = open_for(db, car, &service, Some(&id), now).await? {
        return Err(duplicate(booking));
    }
    centre.check(db, &service, start, now, Some(&id)).await?;
    sqlx::query("UPDATE bookings SET centre = ?, start = ?, service = ?, changed = ? WHERE id = ?")
        .bind(&centre.id)
        .bind(start.to_string())
        .bind(&service)
        .bind(now.to_string())
        .bind(&id)
        .execute(&mut *db)
        .await?;
    told(db, &id, News::Changed, now).await
}

/// Cancels a booking: its place is free again, the message and the call to remind are called off.
#[utoipa::path(delete, path = "/bookings/{id}", tag = "bookings",
    params(("id" = String, Path, description = "the six digits of the booking"), KeyHeader),
    responses(
        (status = 200, body = BookingAnswer),
        (status = 400, body = Problem),
        (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`closed`: it is past or cancelled already"),
))]
async fn cancel_booking(State(office): State<BackOffice>, Id(id): Id, key: Key) -> Result<Response, Failure> {
    let now = office.now();
    office.once(key.with(&())?, move |db| cancel(db, id, now).boxed()).await
}

async fn cancel(db: &mut SqliteConnection, id: String, now: Civil) -> Result<Answer, Failure> {
    Booking::load_open(db, &id, now).await?;
    sqlx::query("UPDATE bookings SET state = 'cancelled', changed = ? WHERE id = ?")
        .bind(now.to_string())
        .bind(&id)
        .execute(&mut *db)
        .await?;
    told(db, &id, News::Cancelled, now).await
}

/// Tells the customer, and answers with the booking as it is now.
async fn told(db: &mut SqliteConnection, id: &str, news: News, now: Civil) -> Result<Answer, Failure> {
    let booking = Booking::load(db, id, now).await?;
    let phone = Phone::parse(&booking.phone)?;
    let english = reads_english(customers::by_phone(db, &phone).await?.as_ref());
    notices::tell(db, &booking, news, english, now).await?;
    let booking = Booking::load(db, id, now).await?;
    Answer::ok(&BookingAnswer { booking })
}
