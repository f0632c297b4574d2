//! When a centre can take a car: half hours within its hours, each for as many cars as it has places.

use std::collections::HashMap;

use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime, Time};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::http::Failure;
use super::matching::{Point, plain};
use super::value::{Civil, Day};

/// How far ahead can be booked.
pub(super) const HORIZON_DAYS: i32 = 60;
const SLOT_MINUTES: i16 = 30;

/// A service centre.
#[derive(Clone, Debug)]
pub(super) struct Centre {
    pub id: String,
    pub name: String,
    pub address: String,
    pub city: String,
    pub district: String,
    pub phone: String,
    pub point: Point,
    opens: Time,
    closes: Time,
    /// Monday is 1: `1234567`.
    weekdays: String,
    capacity: i64,
}

impl Centre {
    /// From a row of `centres`.
    pub fn of(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let time = |column| -> Result<Time, sqlx::Error> {
            row.try_get::<&str, _>(column)?.parse().map_err(|e: jiff::Error| sqlx::Error::Decode(e.into()))
        };
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            address: row.try_get("address")?,
            city: row.try_get("city")?,
            district: row.try_get("district")?,
            phone: row.try_get("phone")?,
            point: Point { lat: row.try_get("lat")?, lon: row.try_get("lon")? },
            opens: time("opens")?,
            closes: time("closes")?,
            weekdays: row.try_get("weekdays")?,
            capacity: row.try_get("capacity")?,
        })
    }

    /// By its id or its name, with or without 青屿 and 服务中心 around it.
    pub async fn named(db: &mut SqliteConnection, text: &str) -> Result<Self, Failure> {
        let short = |name: &str| plain(name).replace("青屿", "").replace("服务中心", "");
        let all = Self::all(db).await?;
        let found =
            all.iter().find(|c| c.id.eq_ignore_ascii_case(text.trim()) || plain(&c.name) == plain(text));
        let found = found.or_else(|| all.iter().find(|c| short(&c.name) == short(text)));
        match found {
            Some(centre) => Ok(centre.clone()),
            None => Err(Failure::missing(format!(
                "there is no centre {text:?}: take an id from /centres, as {}",
                all.first().map_or("sh-pudong", |c| &c.id)
            ))),
        }
    }

    /// All, by id.
    pub async fn all(db: &mut SqliteConnection) -> Result<Vec<Self>, sqlx::Error> {
        sqlx::query("SELECT * FROM centres ORDER BY id").fetch_all(db).await?.iter().map(Self::of).collect()
    }

    /// Whether it does `service`, a name of the house.
    pub async fn offers(&self, db: &mut SqliteConnection, service: &str) -> Result<bool, sqlx::Error> {
        sqlx::query("SELECT 1 FROM centre_services WHERE centre = ? AND service = ?")
            .bind(&self.id)
            .bind(service)
            .fetch_optional(db)
            .await
            .map(|row| row.is_some())
    }

    /// `09:00–18:00`, and the days if it is not open on all.
    pub fn hours(&self) -> String {
        const NAMES: [&str; 7] = ["一", "二", "三", "四", "五", "六", "日"];
        let (o, c) = (self.opens, self.closes);
        let hours = format!("{:02}:{:02}–{:02}:{:02}", o.hour(), o.minute(), c.hour(), c.minute());
        let closed: String =
            (1..=7).filter(|day| !self.open_on(*day)).map(|day| NAMES[day as usize - 1]).collect();
        if closed.is_empty() { hours } else { format!("{hours}，周{closed}休息") }
    }

    fn open_on(&self, weekday: i8) -> bool {
        self.weekdays.contains(char::from(b'0' + weekday as u8))
    }

    /// All slots of a day, free or not.
    pub fn slots(&self, date: Date) -> Vec<DateTime> {
        if !self.open_on(date.weekday().to_monday_one_offset()) {
            return Vec::new();
        }
        let minutes = |t: Time| i16::from(t.hour()) * 60 + i16::from(t.minute());
        (minutes(self.opens)..=minutes(self.closes) - SLOT_MINUTES)
            .step_by(SLOT_MINUTES as usize)
            .map(|m| date.at((m / 60) as i8, (m % 60) as i8, 0, 0))
            .collect()
    }

    /// Slots of the days `first` to `last` that begin after `now`, each with the places left in it, but for those with none.
    /// The booking `except` takes no place.
    pub async fn free(
        &self,
        db: &mut SqliteConnection,
        (first, last): (Date, Date),
        now: Civil,
        except: Option<&str>,
    ) -> Result<Vec<(Civil, i64)>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT start, count(*) AS cars FROM bookings WHERE centre = ?1 AND state = 'booked' \
             AND start >= ?2 AND start < ?3 AND id IS NOT ?4 GROUP BY start",
        )
        .bind(&self.id)
        .bind(Day(first).to_string())
        .bind(Day(last.saturating_add(1.day())).to_string())
        .bind(except)
        .fetch_all(db)
        .await?;
        let mut taken = HashMap::new();
        for row in &rows {
            taken.insert(row.try_get::<String, _>("start")?, row.try_get::<i64, _>("cars")?);
        }
        let horizon = now.0.saturating_add(HORIZON_DAYS.days());
        let days = std::iter::successors(Some(first), |d| d.tomorrow().ok()).take_while(|d| *d <= last);
        Ok(days
            .flat_map(|date| self.slots(date))
            .filter(|start| *start > now.0 && *start <= horizon)
            .map(Civil)
            .map(|start| (start, self.capacity - taken.get(&start.to_string()).copied().unwrap_or(0)))
            .filter(|(_, left)| *left > 0)
            .collect())
    }

    /// The `count` free slots nearest to `wanted`, in their order.
    pub async fn nearest(
        &self,
        db: &mut SqliteConnection,
        wanted: Civil,
        now: Civil,
        except: Option<&str>,
        count: usize,
    ) -> Result<Vec<Civil>, sqlx::Error> {
        // A time that is past or too far ahead is moved to where something can be free.
        let near = wanted.0.clamp(now.0, now.0.saturating_add(HORIZON_DAYS.days()));
        let days = (near.date().saturating_sub(7.days()), near.date().saturating_add(7.days()));
        let mut free: Vec<Civil> =
            self.free(db, days, now, except).await?.into_iter().map(|(start, _)| start).collect();
        free.sort_by_key(|start| (minutes_between(start.0, near), start.0));
        free.truncate(count);
        free.sort();
        Ok(free)
    }

    /// Whether a booking for `service` at `start` can be taken; if not, why, with slots that could.
    pub async fn check(
        &self,
        db: &mut SqliteConnection,
        service: &str,
        start: Civil,
        now: Civil,
        except: Option<&str>,
    ) -> Result<(), Failure> {
        if !self.offers(db, service).await? {
            return Err(Failure::unfit(
                "not_offered",
                format!("{} does not do {service}: find another by /centres with the service", self.name),
            ));
        }
        if start.0 <= now.0 {
            return Err(Failure::invalid(format!("{start} is past, it is {now} now: choose a later time")));
        }
        if start.0 > now.0.saturating_add(HORIZON_DAYS.days()) {
            return Err(Failure::invalid(format!(
                "{start} is too far ahead: bookings are taken for {HORIZON_DAYS} days"
            )));
        }
        if !matches!(start.0.minute(), 0 | 30) {
            return Err(Failure::invalid(format!("{start} is no slot: they begin at full and half hours")));
        }
        if !self.slots(start.0.date()).contains(&start.0) {
            let free = self.nearest(db, start, now, except, 3).await?;
            let error = format!(
                "{} is closed at {start}, it is open {}: choose from `free`",
                self.name,
                self.hours()
            );
            return Err(Failure::unfit("outside_hours", error).with_free(free));
        }
        let day = start.0.date();
        let free = self.free(db, (day, day), now, except).await?;
        if free.iter().any(|(slot, _)| *slot == start) {
            return Ok(());
        }
        let free = self.nearest(db, start, now, except, 3).await?;
        let error = format!("{} is full at {start}: choose from `free`", self.name);
        Err(Failure::conflict("slot_taken", error).with_free(free))
    }
}

fn minutes_between(a: DateTime, b: DateTime) -> i64 {
    a.duration_since(b).as_mins().abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn centre() -> Centre {
        Centre {
            id: "x".into(),
            name: "X".into(),
            address: String::new(),
            city: String::new(),
            district: String::new(),
            phone: String::new(),
            point: Point { lat: 0.0, lon: 0.0 },
            opens: Time::constant(9, 0, 0, 0),
            closes: Time::constant(11, 0, 0, 0),
            weekdays: "234567".into(),
            capacity: 1,
        }
    }

    #[test]
    fn slots_are_half_hours_that_end_within_the_hours() {
        let slots: Vec<String> =
            centre().slots(Date::constant(2026, 11, 25)).into_iter().map(|s| Civil(s).to_string()).collect();
        let at = |t: &str| format!("2026-11-25T{t}");
        assert_eq!(slots, [at("09:00"), at("09:30"), at("10:00"), at("10:30")]);
    }

    #[test]
    fn a_day_of_rest_has_no_slots() {
        assert!(centre().slots(Date::constant(2026, 11, 23)).is_empty(), "a Monday");
        assert_eq!(centre().hours(), "09:00–11:00，周一休息");
    }
}
