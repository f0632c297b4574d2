//! Customers, their vehicles with service history and recalls, and their orders.

use axum::Json;
use axum::extract::State;
use jiff::ToSpan as _;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::BackOffice;
use super::bookings::{self, Booking};
use super::http::{Ask, Failure, Id, Problem};
use super::value::{Day, Phone, Plate, Vin, Yuan, optional};

pub(super) fn routes() -> OpenApiRouter<BackOffice> {
    OpenApiRouter::new()
        .routes(routes!(find_customer))
        .routes(routes!(find_vehicles))
        .routes(routes!(service_history))
        .routes(routes!(find_orders))
}

/// A person in the books.
#[derive(Serialize, ToSchema)]
pub(super) struct Customer {
    id: String,
    pub name: String,
    /// 先生 or 女士.
    pub title: String,
    phone: String,
    /// 普通 or 金卡.
    tier: String,
    since: String,
    /// What colleagues noted.
    note: String,
    /// `zh` or `en`.
    pub language: String,
}

/// The customer with a telephone number, if there is one.
pub(super) async fn by_phone(
    db: &mut SqliteConnection,
    phone: &Phone,
) -> Result<Option<Customer>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT id, name, title, phone, tier, since, note, language FROM customers WHERE phone = ?",
    )
    .bind(phone.as_str())
    .fetch_optional(db)
    .await?;
    let customer = |row: SqliteRow| {
        Ok(Customer {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            title: row.try_get("title")?,
            phone: row.try_get("phone")?,
            tier: row.try_get("tier")?,
            since: row.try_get("since")?,
            note: row.try_get("note")?,
            language: row.try_get("language")?,
        })
    };
    row.map(customer).transpose()
}

impl Customer {
    /// How the customer is addressed: 陈先生.
    pub fn address(&self) -> String {
        if self.name.is_ascii() {
            return self.name.clone();
        }
        format!("{}{}", self.surname(), self.title)
    }

    /// The family name: 陈; of an English name its last word.
    pub fn surname(&self) -> String {
        const TWO: [&str; 6] = ["欧阳", "上官", "司马", "诸葛", "司徒", "东方"];
        if self.name.is_ascii() {
            return self.name.rsplit(' ').next().unwrap_or_default().to_owned();
        }
        let length = if TWO.iter().any(|two| self.name.starts_with(two)) { 2 } else { 1 };
        self.name.chars().take(length).collect()
    }

    /// The number on file.
    pub fn phone(&self) -> &str {
        &self.phone
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ByPhone {
    #[param(value_type = String, example = "13800001234")]
    phone: Phone,
}

#[derive(Serialize, ToSchema)]
struct CustomerAnswer {
    customer: Customer,
}

/// The customer with a telephone number.
#[utoipa::path(get, path = "/customers", tag = "customers", params(ByPhone), responses(
    (status = 200, body = CustomerAnswer),
    (status = 404, body = Problem, description = "no customer has this number"),
    (status = 422, body = Problem),
))]
async fn find_customer(
    State(office): State<BackOffice>,
    Ask(ByPhone { phone }): Ask<ByPhone>,
) -> Result<Json<CustomerAnswer>, Failure> {
    let mut db = office.pool.acquire().await?;
    match by_phone(&mut db, &phone).await? {
        Some(customer) => Ok(Json(CustomerAnswer { customer })),
        None => Err(Failure::missing("no customer has this number: treat the caller as new")),
    }
}

/// A car in the books.
#[derive(Serialize, ToSchema)]
struct Vehicle {
    vin: String,
    /// Null until it has one.
    plate: Option<String>,
    #[schema(example = "青屿 S7")]
    model: String,
    model_year: i64,
    color: String,
    bought: String,
    mileage_km: i64,
    /// When the mileage was read.
    mileage_at: String,
    battery_kwh: f64,
    warranty_until: String,
    /// The last regular service; repairs are in the history.
    last_service: Option<LastService>,
    next_service: NextService,
    /// Whether the next service is reached, or will be within 30 days or 500 km.
    service_due: bool,
    recalls: Vec<Recall>,
}

#[derive(Serialize, ToSchema)]
struct LastService {
    date: String,
    mileage_km: i64,
    kind: String,
    centre: String,
}

/// Whichever comes first.
#[derive(Serialize, ToSchema)]
struct NextService {
    date: Day,
    mileage_km: i64,
}

#[derive(Serialize, ToSchema)]
struct Recall {
    code: String,
    title: String,
    /// Whether it is still to be carried out on this car.
    open: bool,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct FindVehicles {
    #[serde(default, deserialize_with = "optional")]
    #[param(value_type = Option<String>, example = "沪AD12345")]
    plate: Option<Plate>,
    /// The owner's.
    #[serde(default, deserialize_with = "optional")]
    #[param(value_type = Option<String>)]
    phone: Option<Phone>,
    #[serde(default, deserialize_with = "optional")]
    #[param(value_type = Option<String>)]
    vin: Option<Vin>,
}

#[derive(Serialize, ToSchema)]
struct Vehicles {
    vehicles: Vec<Vehicle>,
    /// Whose number it is; only if the vehicles were asked for by their owner's number alone.
    owner: Option<Owner>,
}

/// What helps to greet a customer.
#[derive(Serialize, ToSchema)]
struct Owner {
    /// How the customer is addressed.
    #[schema(example = "陈先生")]
    address: String,
    /// The customer's class.
    #[schema(example = "金卡")]
    tier: String,
    /// `zh` or `en`.
    language: String,
    /// The next visit that is booked.
    booking: Option<Booking>,
}

/// Vehicles by plate, owner's telephone number or vin; those that fit all that is given.
#[utoipa::path(get, path = "/vehicles", tag = "vehicles", params(FindVehicles), responses(
    (status = 200, body = Vehicles, description = "none if nothing fits"),
    (status = 422, body = Problem),
))]
async fn find_vehicles(
    State(office): State<BackOffice>,
    Ask(find): Ask<FindVehicles>,
) -> Result<Json<Vehicles>, Failure> {
    if find.plate.is_none() && find.phone.is_none() && find.vin.is_none() {
        return Err(Failure::invalid("say which vehicle: give plate, phone or vin"));
    }
    let mut db = office.pool.acquire().await?;
    let rows = sqlx::query(
        "SELECT v.* FROM vehicles v JOIN customers c ON c.id = v.owner \
         WHERE (?1 IS NULL OR v.plate = ?1) AND (?2 IS NULL OR c.phone = ?2) AND (?3 IS NULL OR v.vin = ?3) \
         ORDER BY v.bought DESC, v.vin LIMIT 20",
    )
    .bind(find.plate.as_ref().map(Plate::as_str))
    .bind(find.phone.as_ref().map(Phone::as_str))
    .bind(find.vin.as_ref().map(Vin::as_str))
    .fetch_all(&mut *db)
    .await?;
    let mut vehicles = Vec::new();
    for row in &rows {
        vehicles.push(vehicle(&mut db, row, office.clock.today()).await?);
    }
    let alone = find.plate.is_none() && find.vin.is_none();
    let owner = match find.phone.filter(|_| alone) {
        Some(phone) => match by_phone(&mut db, &phone).await? {
            Some(customer) => Some(Owner {
                address: customer.address(),
                booking: bookings::next_of(&mut db, &phone, office.now()).await?,
                language: customer.language,
                tier: customer.tier,
            }),
            None => None,
        },
        None => None,
    };
    Ok(Json(Vehicles { vehicles, owner }))
}

/// Regular services are due each year or 20,000 km; the first after half a year or 5,000 km.
const EVERY: (i32, i64) = (12, 20_000);
const FIRST: (i32, i64) = (6, 5_000);
/// So close to it, a service counts as due.
const SOON: (i32, i64) = (30, 500);

async fn vehicle(db: &mut SqliteConnection, row: &SqliteRow, today: Day) -> Result<Vehicle, sqlx::Error> {
    let vin: String = row.try_get("vin")?;
    let last = sqlx::query(
        "SELECT h.date, h.mileage_km, h.kind, c.name FROM service_history h JOIN centres c ON c.id = h.centre \
         WHERE h.vin = ? AND h.kind IN ('首保', '小保养', '大保养') ORDER BY h.date DESC LIMIT 1",
    )
    .bind(&vin)
    .fetch_optional(&mut *db)
    .await?;
    let last_service = match last {
        Some(row) => Some(LastService {
            date: row.try_get("date")?,
            mileage_km: row.try_get("mileage_km")?,
            kind: row.try_get("kind")?,
            centre: row.try_get("name")?,
        }),
        None => None,
    };
    let bought: String = row.try_get("bought")?;
    let (from, at, (months, km)) = match &last_service {
        Some(last) => (&last.date, last.mileage_km, EVERY),
        None => (&bought, 0, FIRST),
    };
    let from = Day::parse(from).map_err(|e| sqlx::Error::Decode(e.into()))?;
    let next_service = NextService { date: Day(from.0.saturating_add(months.months())), mileage_km: at + km };
    let mileage_km = row.try_get("mileage_km")?;
    let service_due = today.0 >= next_service.date.0.saturating_sub(SOON.0.days())
        || mileage_km >= next_service.mileage_km - SOON.1;
    let recalls = sqlx::query("SELECT code, title, open FROM recalls WHERE vin = ? ORDER BY open DESC, code")
        .bind(&vin)
        .fetch_all(db)
        .await?
        .iter()
        .map(|row| {
            Ok(Recall {
                code: row.try_get("code")?,
                title: row.try_get("title")?,
                open: row.try_get("open")?,
            })
        })
        .collect::<Result<_, sqlx::Error>>()?;
    Ok(Vehicle {
        vin,
        plate: row.try_get("plate")?,
        model: row.try_get("model")?,
        model_year: row.try_get("model_year")?,
        color: row.try_get("color")?,
        bought,
        mileage_km,
        mileage_at: row.try_get("mileage_at")?,
        battery_kwh: row.try_get("battery_kwh")?,
        warranty_until: row.try_get("warranty_until")?,
        last_service,
        next_service,
        service_due,
        recalls,
    })
}

#[derive(Serialize, ToSchema)]
struct Service {
    date: String,
    mileage_km: i64,
    /// 首保, 小保养, 大保养, 维修 …
    kind: String,
    centre: String,
    /// What was done.
    items: String,
    cost: Yuan,
}

#[derive(Serialize, ToSchema)]
struct History {
    vin: String,
    services: Vec<Service>,
}

/// What was done to a vehicle, the newest first.
#[utoipa::path(get, path = "/vehicles/{vin}/services", tag = "vehicles",
    params(("vin" = String, Path, description = "as /vehicles gives it")),
    responses(
        (status = 200, body = History),
        (status = 404, body = Problem, description = "no vehicle has this vin"),
        (status = 422, body = Problem),
))]
async fn service_history(State(office): State<BackOffice>, Id(vin): Id) -> Result<Json<History>, Failure> {
    let vin = Vin::parse(&vin)?;
    let mut db = office.pool.acquire().await?;
    if owner_of(&mut db, &vin).await?.is_none() {
        return Err(Failure::missing("no vehicle has this vin: look it up by plate or phone"));
    }
    let rows = sqlx::query(
        "SELECT h.*, c.name FROM service_history h JOIN centres c ON c.id = h.centre WHERE h.vin = ? \
         ORDER BY h.date DESC, h.id DESC LIMIT 50",
    )
    .bind(vin.as_str())
    .fetch_all(&mut *db)
    .await?;
    let services = rows
        .iter()
        .map(|row| {
            Ok(Service {
                date: row.try_get("date")?,
                mileage_km: row.try_get("mileage_km")?,
                kind: row.try_get("kind")?,
                centre: row.try_get("name")?,
                items: row.try_get("items")?,
                cost: Yuan::of(row.try_get("cost")?),
            })
        })
        .collect::<Result<_, sqlx::Error>>()?;
    Ok(Json(History { vin: vin.to_string(), services }))
}

/// The id of a vehicle's owner; [`None`] if there is no such vehicle.
pub(super) async fn owner_of(db: &mut SqliteConnection, vin: &Vin) -> Result<Option<String>, sqlx::Error> {
    let row =
        sqlx::query("SELECT owner FROM vehicles WHERE vin = ?").bind(vin.as_str()).fetch_optional(db).await?;
    row.map(|row| row.try_get("owner")).transpose()
}

#[derive(Serialize, ToSchema)]
struct Order {
    id: String,
    /// `parts` or `car`.
    kind: String,
    item: String,
    /// 已下单, 生产中, 运输中, 已到店, 已交付, 已取消 …
    state: String,
    placed: String,
    /// When it should be there; null if it is or nobody knows.
    expected: Option<String>,
    /// Where it is collected.
    centre: Option<String>,
    amount: Yuan,
}

#[derive(Serialize, ToSchema)]
struct Orders {
    orders: Vec<Order>,
}

/// Orders of parts and cars by the telephone number that they were placed with, the newest first.
#[utoipa::path(get, path = "/orders", tag = "customers", params(ByPhone), responses(
    (status = 200, body = Orders),
    (status = 422, body = Problem),
))]
async fn find_orders(
    State(office): State<BackOffice>,
    Ask(ByPhone { phone }): Ask<ByPhone>,
) -> Result<Json<Orders>, Failure> {
    let rows = sqlx::query(
        "SELECT o.*, c.name AS centre_name FROM orders o LEFT JOIN centres c ON c.id = o.centre WHERE o.phone = ? \
         ORDER BY o.placed DESC, o.id LIMIT 20",
    )
    .bind(phone.as_str())
    .fetch_all(&office.pool)
    .await?;
    let orders = rows
        .iter()
        .map(|row| {
            Ok(Order {
                id: row.try_get("id")?,
                kind: row.try_get("kind")?,
                item: row.try_get("item")?,
                state: row.try_get("state")?,
                placed: row.try_get("placed")?,
                expected: row.try_get("expected")?,
                centre: row.try_get("centre_name")?,
                amount: Yuan::of(row.try_get("amount")?),
            })
        })
        .collect::<Result<_, sqlx::Error>>()?;
    Ok(Json(Orders { orders }))
}
