//! Road rescue: a truck for a car that cannot go on.
//!
//! How long it takes is told by a simple rule ([`minutes`]) from how far the truck is by air, and the answer says on what
//! knowledge of the place it rests.

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
use super::http::{Answer, Ask, Body, Failure, Id, Key, KeyHeader, Problem};
use super::matching::{self, Point};
use super::store::{Numbered, new_id};
use super::value::{Civil, Phone, Plate, Text, optional};

pub(super) fn routes() -> OpenApiRouter<BackOffice> {
    OpenApiRouter::new().routes(routes!(dispatch, find_rescues)).routes(routes!(settle_rescue))
}

/// A rescue job.
#[derive(Serialize, ToSchema)]
struct Rescue {
    /// Six digits.
    #[schema(example = "718203")]
    id: String,
    phone: String,
    plate: Option<String>,
    place: String,
    problem: String,
    passengers: Option<i64>,
    /// Whether the people are in a safe place; null if nobody asked.
    safe: Option<bool>,
    state: RescueState,
    /// Its call sign; null while the job waits for one.
    truck: Option<String>,
    station: Option<String>,
    /// Expected from `created` to the truck's arrival.
    eta_minutes: i64,
    /// On what `eta_minutes` rests: `place` (the place is known), `city` (only the city or the road is), `guess`
    /// (only where the caller's car is serviced).
    eta_basis: String,
    created: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum RescueState {
    /// All trucks near it are out; it gets the next one.
    Waiting,
    /// A truck is on its way.
    Dispatched,
    /// The truck is there.
    Arrived,
    /// The job is done.
    Done,
    /// It was called off.
    Cancelled,
}

impl RescueState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Dispatched => "dispatched",
            Self::Arrived => "arrived",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }

    fn open(self) -> bool {
        matches!(self, Self::Waiting | Self::Dispatched | Self::Arrived)
    }

    /// Whether a job may go from here to `next`.
    fn may_become(self, next: Self) -> bool {
        match next {
            Self::Waiting | Self::Dispatched => false,
            Self::Arrived => self == Self::Dispatched,
            Self::Done => matches!(self, Self::Dispatched | Self::Arrived),
            Self::Cancelled => self.open(),
        }
    }
}

impl Rescue {
    fn of(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            phone: row.try_get("phone")?,
            plate: row.try_get("plate")?,
            place: row.try_get("place")?,
            problem: row.try_get("problem")?,
            passengers: row.try_get("passengers")?,
            safe: row.try_get("safe")?,
            state: match row.try_get("state")? {
                "waiting" => RescueState::Waiting,
                "dispatched" => RescueState::Dispatched,
                "arrived" => RescueState::Arrived,
                "done" => RescueState::Done,
                _ => RescueState::Cancelled,
            },
            truck: row.try_get("truck")?,
            station: row.try_get("station")?,
            eta_minutes: row.try_get("eta_minutes")?,
            eta_basis: row.try_get("eta_basis")?,
            created: row.try_get("created")?,
        })
    }

    async fn load(db: &mut SqliteConnection, id: &str) -> Result<Option<Self>, sqlx::Error> {
        let row = sqlx::query("SELECT * FROM rescues WHERE id = ?").bind(id).fetch_optional(db).await?;
        row.map(|row| Self::of(&row)).transpose()
    }
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRescue {
    phone: Phone,
    #[serde(default, deserialize_with = "optional")]
    plate: Option<Plate>,
    /// Where the car stands, in the caller's words: 上海浦东张江路科苑路口.
    place: Text,
    /// What is wrong: 爆胎, 没电 …
    problem: Text,
    #[schema(minimum = 0, maximum = 60)]
    passengers: Option<u32>,
    /// Whether the people are in a safe place.
    safe: Option<bool>,
}

#[derive(Serialize, ToSchema)]
struct RescueAnswer {
    rescue: Rescue,
}

/// Sends a truck. A number that has an open job gets that one again.
#[utoipa::path(post, path = "/rescues", tag = "rescues", params(KeyHeader), request_body = NewRescue, responses(
    (status = 201, body = RescueAnswer),
    (status = 200, body = RescueAnswer, description = "the job that this number has already"),
    (status = 400, body = Problem),
    (status = 422, body = Problem, description = "also `unknown_place`"),
))]
async fn dispatch(
    State(office): State<BackOffice>,
    key: Key,
    Body(new): Body<NewRescue>,
) -> Result<Response, Failure> {
    if new.passengers.is_some_and(|n| n > 60) {
        return Err(Failure::invalid("passengers is more than 60: ask again how many people there are"));
    }
    let now = office.now();
    office.once(key.with(&new)?, move |db| send_truck(db, new, now).boxed()).await
}

async fn send_truck(db: &mut SqliteConnection, new: NewRescue, now: Civil) -> Result<Answer, Failure> {
    let open = sqlx::query(
        "SELECT * FROM rescues WHERE phone = ? AND state IN ('waiting', 'dispatched', 'arrived')",
    )
    .bind(new.phone.as_str())
    .fetch_optional(&mut *db)
    .await?;
    if let Some(row) = open {
        return Answer::ok(&RescueAnswer { rescue: Rescue::of(&row)? });
    }
    let plan = plan(db, &new).await?;
    let id = new_id(db, Numbered::Rescues).await?;
    let state = if plan.truck.is_some() { RescueState::Dispatched } else { RescueState::Waiting };
    sqlx::query(
        "INSERT INTO rescues (id, phone, plate, place, problem, passengers, safe, state, truck, station, lat, lon, \
         eta_minutes, eta_basis, created, changed) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?15)",
    )
    .bind(&id)
    .bind(new.phone.as_str())
    .bind(new.plate.as_ref().map(Plate::as_str))
    .bind(new.place.as_str())
    .bind(new.problem.as_str())
    .bind(new.passengers)
    .bind(new.safe)
    .bind(state.as_str())
    .bind(plan.truck)
    .bind(plan.station)
    .bind(plan.point.lat)
    .bind(plan.point.lon)
    .bind(plan.minutes)
    .bind(plan.basis)
    .bind(now.to_string())
    .execute(&mut *db)
    .await?;
    match Rescue::load(db, &id).await? {
        Some(rescue) => Answer::created(&RescueAnswer { rescue }),
        None => Err(sqlx::Error::RowNotFound.into()),
    }
}

struct Plan {
    truck: Option<String>,
    station: Option<String>,
    point: Point,
    minutes: i64,
    basis: &'static str,
}

/// Minutes told where only the city is known, and where the caller's town is only guessed.
const IN_THE_CITY: i64 = 60;
const GUESS: i64 = 90;
/// Minutes added while all trucks are out.
const NO_TRUCK: i64 = 45;
/// Trucks go no further than so many km.
const REACH_KM: f64 = 100.0;

/// The nearest truck that is not out, and when it will be there. 422 if nothing is known of the place.
async fn plan(db: &mut SqliteConnection, new: &NewRescue) -> Result<Plan, Failure> {
    let (point, exact, basis) = match matching::place(db, new.place.as_str(), None).await? {
        Some(place) => (place.point, !place.vague, if place.vague { "city" } else { "place" }),
        None => match home(db, new).await? {
            Some(point) => (point, false, "guess"),
            None => {
                let error = "nothing is known of this place: ask for the city, the district and the road";
                return Err(Failure::unfit("unknown_place", error));
            }
        },
    };
    let rows = sqlx::query(
        "SELECT t.*, EXISTS (SELECT 1 FROM rescues r WHERE r.truck = t.name AND r.state IN ('dispatched', 'arrived')) \
         AS out FROM trucks t ORDER BY t.name",
    )
    .fetch_all(db)
    .await?;
    let mut trucks = Vec::new();
    for row in &rows {
        let km = point.km_to(Point { lat: row.try_get("lat")?, lon: row.try_get("lon")? });
        if km <= REACH_KM {
            trucks.push((row.try_get::<bool, _>("out")?, km, row));
        }
    }
    // Those that are not out first, then by distance.
    trucks.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let km = trucks.first().map_or(REACH_KM, |(_, km, _)| *km);
    let minutes = match basis {
        _ if exact => minutes(km, new.place.as_str()),
        "city" => IN_THE_CITY,
        _ => GUESS,
    };
    Ok(match trucks.first() {
        Some((false, _, row)) => {
            let (truck, station) = (Some(row.try_get("name")?), Some(row.try_get("station")?));
            Plan { truck, station, point, minutes, basis }
        }
        _ => Plan { truck: None, station: None, point, minutes: minutes + NO_TRUCK, basis },
    })
}

/// 20 minutes to set out, 2.6 minutes for each km by air (roads are 1.3 times as long, at 30 km/h), 15 more where a truck
/// has to go round to come near; in steps of five, 25 to 180.
fn minutes(km: f64, place: &str) -> i64 {
    let detour = ["高速", "高架", "隧道", "大桥", "highway", "expressway"];
    let detour = if detour.iter().any(|word| place.to_lowercase().contains(word)) { 15.0 } else { 0.0 };
    let minutes = 20.0 + km * 2.6 + detour;
    ((minutes / 5.0).ceil() as i64 * 5).clamp(25, 180)
}

/// Where the caller's car was last serviced: the best guess of the town.
async fn home(db: &mut SqliteConnection, new: &NewRescue) -> Result<Option<Point>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT c.lat, c.lon FROM service_history h JOIN centres c ON c.id = h.centre JOIN vehicles v ON v.vin = h.vin \
         JOIN customers o ON o.id = v.owner WHERE v.plate = ?1 OR o.phone = ?2 ORDER BY h.date DESC LIMIT 1",
    )
    .bind(new.plate.as_ref().map(Plate::as_str))
    .bind(new.phone.as_str())
    .fetch_optional(db)
    .await?;
    row.map(|row| Ok(Point { lat: row.try_get("lat")?, lon: row.try_get("lon")? })).transpose()
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct FindRescues {
    #[param(value_type = String, example = "13800001234")]
    phone: Phone,
}

#[derive(Serialize, ToSchema)]
struct Rescues {
    rescues: Vec<Rescue>,
}

/// Rescue jobs of a number, open ones first, then the newest; at most 20.
#[utoipa::path(get, path = "/rescues", tag = "rescues", params(FindRescues), responses(
    (status = 200, body = Rescues),
    (status = 422, body = Problem),
))]
async fn find_rescues(
    State(office): State<BackOffice>,
    Ask(FindRescues { phone }): Ask<FindRescues>,
) -> Result<Json<Rescues>, Failure> {
    let rows = sqlx::query(
        "SELECT * FROM rescues WHERE phone = ? \
         ORDER BY state IN ('waiting', 'dispatched', 'arrived') DESC, created DESC, id LIMIT 20",
    )
    .bind(phone.as_str())
    .fetch_all(&office.pool)
    .await?;
    Ok(Json(Rescues { rescues: rows.iter().map(Rescue::of).collect::<Result<_, _>>()? }))
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SettleRescue {
    /// `arrived`, `done` or `cancelled`.
    state: RescueState,
}

/// Notes how a job goes on. A truck that comes free goes to the job that has waited longest.
#[utoipa::path(patch, path = "/rescues/{id}", tag = "rescues",
    params(("id" = String, Path, description = "the six digits of the job"), KeyHeader), request_body = SettleRescue,
    responses(
        (status = 200, body = RescueAnswer),
        (status = 400, body = Problem),
        (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`wrong_state`: it cannot become that now"),
        (status = 422, body = Problem),
))]
async fn settle_rescue(
    State(office): State<BackOffice>,
    Id(id): Id,
    key: Key,
    Body(settle): Body<SettleRescue>,
) -> Result<Response, Failure> {
    let now = office.now();
    office.once(key.with(&settle)?, move |db| go_on(db, id, settle.state, now).boxed()).await
}

async fn go_on(
    db: &mut SqliteConnection,
    id: String,
    next: RescueState,
    now: Civil,
) -> Result<Answer, Failure> {
    let Some(rescue) = Rescue::load(db, &id).await? else {
        return Err(Failure::missing("there is no rescue with this number: look it up by phone"));
    };
    if !rescue.state.may_become(next) {
        let (from, to) = (rescue.state.as_str(), next.as_str());
        return Err(Failure::conflict(
            "wrong_state",
            format!("this rescue is {from} and cannot become {to}"),
        ));
    }
    sqlx::query("UPDATE rescues SET state = ?, changed = ? WHERE id = ?")
        .bind(next.as_str())
        .bind(now.to_string())
        .bind(&id)
        .execute(&mut *db)
        .await?;
    if let (false, Some(truck)) = (next.open(), &rescue.truck) {
        give_to_next(db, truck, now).await?;
    }
    match Rescue::load(db, &id).await? {
        Some(rescue) => Answer::ok(&RescueAnswer { rescue }),
        None => Err(sqlx::Error::RowNotFound.into()),
    }
}

/// Sends a truck that came free to the job within its reach that has waited longest.
async fn give_to_next(db: &mut SqliteConnection, truck: &str, now: Civil) -> Result<(), sqlx::Error> {
    let row = sqlx::query("SELECT station, lat, lon FROM trucks WHERE name = ?")
        .bind(truck)
        .fetch_one(&mut *db)
        .await?;
    let station: String = row.try_get("station")?;
    let from = Point { lat: row.try_get("lat")?, lon: row.try_get("lon")? };
    let waiting =
        sqlx::query("SELECT id, lat, lon FROM rescues WHERE state = 'waiting' ORDER BY created, id")
            .fetch_all(&mut *db)
            .await?;
    for row in &waiting {
        let point = Point { lat: row.try_get("lat")?, lon: row.try_get("lon")? };
        if from.km_to(point) <= REACH_KM {
            return sqlx::query(
                "UPDATE rescues SET state = 'dispatched', truck = ?, station = ?, changed = ? WHERE id = ?",
            )
            .bind(truck)
            .bind(station)
            .bind(now.to_string())
            .bind(row.try_get::<&str, _>("id")?)
            .execute(db)
            .await
            .map(drop);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truck_takes_longer_the_further_it_is_and_where_it_must_go_round() {
        assert_eq!(minutes(0.0, "张江路"), 25);
        assert_eq!(minutes(10.0, "张江路"), 50);
        assert_eq!(minutes(10.0, "沪渝高速"), 65);
        assert_eq!(minutes(500.0, "沪渝高速"), 180);
    }
}
