//! The reference data: `tenants/nev/backoffice/*.toml`, put into an empty database.
//!
//! What must stay in the past or the future whenever the back office is started is given in days from today.

use jiff::ToSpan as _;
use serde::Deserialize;
use sqlx::{Row as _, SqliteConnection, SqlitePool};

use super::Clock;
use super::bookings::{self, NewBooking};
use super::http::Failure;
use super::slots::Centre;
use super::value::{Civil, Day, Phone, Plate, Text, Vin};

const NETWORK: &str = include_str!("../../tenants/nev/backoffice/network.toml");
const CATALOGUE: &str = include_str!("../../tenants/nev/backoffice/catalogue.toml");
const CUSTOMERS: &str = include_str!("../../tenants/nev/backoffice/customers.toml");

/// Fills the database, all or nothing, if it has no centres and no customers yet.
pub(super) async fn fill(pool: &SqlitePool, clock: Clock) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    let rows: i64 = sqlx::query("SELECT (SELECT count(*) FROM centres) + (SELECT count(*) FROM customers)")
        .fetch_one(&mut *transaction)
        .await?
        .try_get(0)?;
    let network: Network = read(NETWORK)?;
    if rows > 0 {
        // Older than the teams for matters.
        let none = "SELECT count(*) FROM topic_teams";
        if sqlx::query(none).fetch_one(&mut *transaction).await?.try_get::<i64, _>(0)? == 0 {
            network.give_topics(&mut transaction).await?;
        }
        return transaction.commit().await;
    }
    let catalogue: Catalogue = read(CATALOGUE)?;
    let people: People = read(CUSTOMERS)?;
    network.fill(&mut transaction).await?;
    catalogue.fill(&mut transaction).await?;
    let mut bookings = Vec::new();
    for (at, customer) in people.customer.into_iter().enumerate() {
        bookings.extend(customer.fill(&mut transaction, at + 1, clock).await?);
    }
    for (id, booking) in bookings {
        bookings::make(&mut transaction, id, booking, clock.now())
            .await
            .map_err(|failure| wrong(&failure))?;
    }
    transaction.commit().await
}

fn read<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, sqlx::Error> {
    toml::from_str(text).map_err(|e| sqlx::Error::Decode(e.into()))
}

fn wrong(failure: &Failure) -> sqlx::Error {
    sqlx::Error::Decode(format!("the reference data has a booking that cannot be: {failure}").into())
}

fn list(words: &[String]) -> String {
    serde_json::json!(words).to_string()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Network {
    model: Vec<Aliases>,
    service: Vec<Aliases>,
    centre: Vec<CentreRow>,
    place: Vec<PlaceRow>,
    truck: Vec<Truck>,
    team: Vec<Team>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Aliases {
    name: String,
    aliases: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CentreRow {
    id: String,
    name: String,
    address: String,
    city: String,
    district: String,
    phone: String,
    opens: String,
    closes: String,
    weekdays: String,
    capacity: i64,
    at: [f64; 2],
    /// All but these.
    without: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlaceRow {
    city: String,
    names: Vec<String>,
    at: [f64; 2],
    #[serde(default)]
    vague: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Truck {
    name: String,
    station: String,
    city: String,
    at: [f64; 2],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Team {
    kind: String,
    team: String,
    /// Until the answer, for normal, high and urgent work orders.
    hours: [i64; 3],
    /// Teams of their own for some matters.
    #[serde(default)]
    topic: Vec<TopicTeam>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicTeam {
    topics: Vec<String>,
    team: String,
}

impl Network {
    async fn fill(&self, db: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        for model in &self.model {
            sqlx::query("INSERT INTO models (name, aliases) VALUES (?, ?)")
                .bind(&model.name)
                .bind(list(&model.aliases))
                .execute(&mut *db)
                .await?;
        }
        for service in &self.service {
            sqlx::query("INSERT INTO services (name, aliases) VALUES (?, ?)")
                .bind(&service.name)
                .bind(list(&service.aliases))
                .execute(&mut *db)
                .await?;
        }
        for c in &self.centre {
            sqlx::query(
                "INSERT INTO centres (id, name, address, city, district, phone, opens, closes, weekdays, capacity, lat, lon) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(&c.id)
            .bind(&c.name)
            .bind(&c.address)
            .bind(&c.city)
            .bind(&c.district)
            .bind(&c.phone)
            .bind(&c.opens)
            .bind(&c.closes)
            .bind(&c.weekdays)
            .bind(c.capacity)
            .bind(c.at[0])
            .bind(c.at[1])
            .execute(&mut *db)
            .await?;
            for service in self.service.iter().filter(|s| !c.without.contains(&s.name)) {
                sqlx::query("INSERT INTO centre_services (centre, service) VALUES (?, ?)")
                    .bind(&c.id)
                    .bind(&service.name)
                    .execute(&mut *db)
                    .await?;
            }
        }
        for place in &self.place {
            for name in &place.names {
                sqlx::query("INSERT INTO places (name, city, lat, lon, vague) VALUES (?, ?, ?, ?, ?)")
                    .bind(name)
                    .bind(&place.city)
                    .bind(place.at[0])
                    .bind(place.at[1])
                    .bind(place.vague)
                    .execute(&mut *db)
                    .await?;
            }
        }
        for truck in &self.truck {
            sqlx::query("INSERT INTO trucks (name, station, city, lat, lon) VALUES (?, ?, ?, ?, ?)")
                .bind(&truck.name)
                .bind(&truck.station)
                .bind(&truck.city)
                .bind(truck.at[0])
                .bind(truck.at[1])
                .execute(&mut *db)
                .await?;
        }
        for Team { kind, team, hours: [normal, high, urgent], .. } in &self.team {
            sqlx::query("INSERT INTO teams (kind, team, normal, high, urgent) VALUES (?, ?, ?, ?, ?)")
                .bind(kind)
                .bind(team)
                .bind(normal)
                .bind(high)
                .bind(urgent)
                .execute(&mut *db)
                .await?;
        }
        self.give_topics(db).await
    }

    /// Which teams have matters of their own; of teams that are there.
    async fn give_topics(&self, db: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        for Team { kind, topic, .. } in &self.team {
            for (own, topic) in topic.iter().flat_map(|own| own.topics.iter().map(move |topic| (own, topic)))
            {
                sqlx::query("INSERT OR IGNORE INTO topic_teams (topic, kind, team) SELECT ?, kind, ? FROM teams WHERE kind = ?")
                    .bind(topic)
                    .bind(&own.team)
                    .bind(kind)
                    .execute(&mut *db)
                    .await?;
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalogue {
    part: Vec<PartRow>,
    price: Vec<PriceRow>,
    plan: Vec<PlanRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartRow {
    code: String,
    name: String,
    aliases: Vec<String>,
    models: Vec<String>,
    price_fen: i64,
    labour_fen: i64,
    lead_days: i64,
    /// By centre id.
    stock: std::collections::BTreeMap<String, i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceRow {
    kind: String,
    item: String,
    aliases: Vec<String>,
    model: Option<String>,
    price_fen: i64,
    note: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanRow {
    months: i64,
    /// Hundredths of a per cent a year.
    annual_bp: i64,
    /// Hundredths of a per cent of the price.
    min_down_bp: i64,
}

impl Catalogue {
    async fn fill(&self, db: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        for p in &self.part {
            sqlx::query(
                "INSERT INTO parts (code, name, aliases, models, price, labour, lead_days) VALUES (?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(&p.code)
            .bind(&p.name)
            .bind(list(&p.aliases))
            .bind(list(&p.models))
            .bind(p.price_fen)
            .bind(p.labour_fen)
            .bind(p.lead_days)
            .execute(&mut *db)
            .await?;
            for (centre, count) in &p.stock {
                sqlx::query("INSERT INTO part_stock (part, centre, count) VALUES (?, ?, ?)")
                    .bind(&p.code)
                    .bind(centre)
                    .bind(count)
                    .execute(&mut *db)
                    .await?;
            }
        }
        for p in &self.price {
            sqlx::query(
                "INSERT INTO prices (kind, item, aliases, model, price, note) VALUES (?, ?, ?, ?, ?, ?)",
            )
            .bind(&p.kind)
            .bind(&p.item)
            .bind(list(&p.aliases))
            .bind(&p.model)
            .bind(p.price_fen)
            .bind(&p.note)
            .execute(&mut *db)
            .await?;
        }
        for p in &self.plan {
            sqlx::query("INSERT INTO instalment_plans (months, annual_bp, min_down_bp) VALUES (?, ?, ?)")
                .bind(p.months)
                .bind(p.annual_bp)
                .bind(p.min_down_bp)
                .execute(&mut *db)
                .await?;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct People {
    customer: Vec<CustomerRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CustomerRow {
    name: String,
    title: String,
    phone: Phone,
    #[serde(default = "ordinary")]
    tier: String,
    since: Day,
    #[serde(default)]
    note: String,
    #[serde(default = "mandarin")]
    language: String,
    #[serde(default)]
    vehicle: Vec<VehicleRow>,
    #[serde(default)]
    order: Vec<OrderRow>,
    #[serde(default)]
    booking: Vec<BookingRow>,
}

fn ordinary() -> String {
    "普通".into()
}

fn mandarin() -> String {
    "zh".into()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VehicleRow {
    vin: Vin,
    plate: Option<Plate>,
    model: String,
    year: i64,
    color: String,
    bought: Day,
    mileage_km: i64,
    /// How many days ago the mileage was read.
    read_days_ago: i32,
    battery_kwh: f64,
    warranty_until: Day,
    #[serde(default)]
    service: Vec<ServiceRow>,
    #[serde(default)]
    recall: Vec<RecallRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceRow {
    days_ago: i32,
    mileage_km: i64,
    kind: String,
    centre: String,
    items: String,
    cost_fen: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecallRow {
    code: String,
    title: String,
    open: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderRow {
    id: String,
    kind: String,
    item: String,
    state: String,
    placed_days_ago: i32,
    expected_in_days: Option<i32>,
    centre: Option<String>,
    amount_fen: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BookingRow {
    id: String,
    plate: Plate,
    centre: String,
    /// The first day from then on that the centre is open.
    in_days: i32,
    time: jiff::civil::Time,
    service: String,
}

impl CustomerRow {
    /// Stores the customer and gives the bookings, for when all cars are there.
    async fn fill(
        self,
        db: &mut SqliteConnection,
        number: usize,
        clock: Clock,
    ) -> Result<Vec<(String, NewBooking)>, sqlx::Error> {
        let today = clock.today().0;
        let ago = |days: i32| Day(today.saturating_sub(days.days())).to_string();
        let id = format!("C{number:04}");
        sqlx::query(
            "INSERT INTO customers (id, name, title, phone, tier, since, note, language) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&id)
        .bind(&self.name)
        .bind(&self.title)
        .bind(self.phone.as_str())
        .bind(&self.tier)
        .bind(self.since.to_string())
        .bind(&self.note)
        .bind(&self.language)
        .execute(&mut *db)
        .await?;
        for v in &self.vehicle {
            sqlx::query(
                "INSERT INTO vehicles (vin, plate, owner, model, model_year, color, bought, mileage_km, mileage_at, \
                 battery_kwh, warranty_until) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(v.vin.as_str())
            .bind(v.plate.as_ref().map(Plate::as_str))
            .bind(&id)
            .bind(&v.model)
            .bind(v.year)
            .bind(&v.color)
            .bind(v.bought.to_string())
            .bind(v.mileage_km)
            .bind(ago(v.read_days_ago))
            .bind(v.battery_kwh)
            .bind(v.warranty_until.to_string())
            .execute(&mut *db)
            .await?;
            for s in &v.service {
                sqlx::query(
                    "INSERT INTO service_history (vin, date, mileage_km, kind, centre, items, cost) \
                     VALUES (?, ?, ?, ?, ?, ?, ?)",
                )
                .bind(v.vin.as_str())
                .bind(ago(s.days_ago))
                .bind(s.mileage_km)
                .bind(&s.kind)
                .bind(&s.centre)
                .bind(&s.items)
                .bind(s.cost_fen)
                .execute(&mut *db)
                .await?;
            }
            for r in &v.recall {
                sqlx::query("INSERT INTO recalls (code, vin, title, open) VALUES (?, ?, ?, ?)")
                    .bind(&r.code)
                    .bind(v.vin.as_str())
                    .bind(&r.title)
                    .bind(r.open)
                    .execute(&mut *db)
                    .await?;
            }
        }
        for o in &self.order {
            sqlx::query(
                "INSERT INTO orders (id, phone, kind, item, state, placed, expected, centre, amount) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(&o.id)
            .bind(self.phone.as_str())
            .bind(&o.kind)
            .bind(&o.item)
            .bind(&o.state)
            .bind(ago(o.placed_days_ago))
            .bind(o.expected_in_days.map(|days| ago(-days)))
            .bind(&o.centre)
            .bind(o.amount_fen)
            .execute(&mut *db)
            .await?;
        }
        let mut bookings = Vec::new();
        for b in self.booking {
            let centre = Centre::named(db, &b.centre).await.map_err(|failure| wrong(&failure))?;
            let earliest = today.saturating_add(b.in_days.days());
            let day = std::iter::successors(Some(earliest), |d| d.tomorrow().ok())
                .take(7)
                .find(|d| !centre.slots(*d).is_empty())
                .unwrap_or(earliest);
            let text = |text: &str| Text::parse(text).map_err(|e| sqlx::Error::Decode(e.into()));
            let booking = NewBooking {
                phone: self.phone.clone(),
                plate: Some(b.plate),
                vin: None,
                centre: text(&b.centre)?,
                start: Civil(day.to_datetime(b.time)),
                service: text(&b.service)?,
                name: None,
                note: None,
            };
            bookings.push((b.id, booking));
        }
        Ok(bookings)
    }
}
