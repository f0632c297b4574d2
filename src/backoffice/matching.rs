//! How a spoken name finds what it names, and how far two places are apart.

use sqlx::{Row as _, SqliteConnection};

use super::http::Failure;

/// The least likeness that counts as a match.
const ENOUGH: f64 = 0.55;
/// Matches this much worse than the best are dropped.
const CLOSE: f64 = 0.9;

/// Without spaces and punctuation, lower case: `青屿 S7` and `青屿s7` are one.
pub(super) fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// How well `query` names a thing with these names, 0..=1: 1 if it is one of them; else by how much of the longer text the
/// shorter fills, if it is in it; else Dice's coefficient of their pairs of characters.
pub(super) fn likeness<'a>(query: &str, names: impl IntoIterator<Item = &'a str>) -> f64 {
    let query = plain(query);
    if query.is_empty() {
        return 0.0;
    }
    names.into_iter().map(|name| one_likeness(&query, &plain(name))).fold(0.0, f64::max)
}

fn one_likeness(query: &str, name: &str) -> f64 {
    if query == name {
        return 1.0;
    }
    let (q, n) = (query.chars().count(), name.chars().count());
    if q.min(n) >= 2 && (query.contains(name) || name.contains(query)) {
        return 0.7 + 0.25 * q.min(n) as f64 / q.max(n) as f64;
    }
    strsim::sorensen_dice(query, name) * 0.9
}

/// Those that `score` finds like enough, the best first; equals stay in their order.
pub(super) fn best<T>(things: Vec<T>, score: impl Fn(&T) -> f64) -> Vec<T> {
    let mut scored: Vec<(f64, T)> = things.into_iter().map(|t| (score(&t), t)).collect();
    let top = scored.iter().map(|(s, _)| *s).fold(0.0, f64::max);
    scored.retain(|(s, _)| *s >= ENOUGH && *s >= top * CLOSE);
    scored.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    scored.into_iter().map(|(_, t)| t).collect()
}

/// A name with its aliases, as rows with `name` and `aliases` hold them.
pub(super) struct Named {
    pub name: String,
    pub aliases: Vec<String>,
}

impl Named {
    fn all(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name.as_str()).chain(self.aliases.iter().map(String::as_str))
    }
}

/// A JSON array of words as the database keeps it.
pub(super) fn words(text: &str) -> Result<Vec<String>, sqlx::Error> {
    serde_json::from_str(text).map_err(|e| sqlx::Error::Decode(e.into()))
}

/// Models of cars, from which spoken ones are known.
pub(super) async fn models(db: &mut SqliteConnection) -> Result<Vec<Named>, sqlx::Error> {
    named(sqlx::query("SELECT name, aliases FROM models ORDER BY name").fetch_all(db).await?)
}

/// What centres can be booked for.
pub(super) async fn services(db: &mut SqliteConnection) -> Result<Vec<Named>, sqlx::Error> {
    named(sqlx::query("SELECT name, aliases FROM services ORDER BY name").fetch_all(db).await?)
}

fn named(rows: Vec<sqlx::sqlite::SqliteRow>) -> Result<Vec<Named>, sqlx::Error> {
    rows.iter()
        .map(|row| Ok(Named { name: row.try_get("name")?, aliases: words(row.try_get("aliases")?)? }))
        .collect()
}

/// The house's name of a model that a client named; 422 with the names if there is none.
pub(super) fn model(models: &[Named], text: &str) -> Result<String, Failure> {
    let text = plain(text);
    let found = models.iter().find(|m| m.all().any(|a| plain(a) == text));
    found
        .map(|m| m.name.clone())
        .ok_or_else(|| Failure::unknown_name("model", &text, models.iter().map(|m| m.name.clone()).collect()))
}

/// The house's name of a service that a client named; 422 with the names if there is none.
pub(super) async fn service(db: &mut SqliteConnection, text: &str) -> Result<String, Failure> {
    let services = services(db).await?;
    let names = services.iter().map(|s| s.name.clone()).collect();
    best(services, |s| likeness(text, s.all()))
        .into_iter()
        .next()
        .map(|s| s.name)
        .ok_or_else(|| Failure::unknown_name("service", text, names))
}

/// A model named within `text` (`S7小保养`), and `text` without it.
pub(super) fn split_model(models: &[Named], text: &str) -> (Option<String>, String) {
    let text = plain(text);
    let found = models
        .iter()
        .flat_map(|m| m.all().map(move |alias| (plain(alias), &m.name)))
        .filter(|(alias, _)| text.contains(alias.as_str()))
        .max_by_key(|(alias, _)| alias.len());
    match found {
        Some((alias, name)) => (Some(name.clone()), text.replace(&alias, "")),
        None => (None, text),
    }
}

/// A point on the earth, in degrees (WGS 84).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub lat: f64,
    pub lon: f64,
}

impl Point {
    /// The way by air in km (haversine, mean radius of the earth).
    pub fn km_to(self, other: Self) -> f64 {
        let (a, b) = (self.lat.to_radians(), other.lat.to_radians());
        let (dlat, dlon) = (b - a, (other.lon - self.lon).to_radians());
        let h = (dlat / 2.0).sin().powi(2) + a.cos() * b.cos() * (dlon / 2.0).sin().powi(2);
        2.0 * 6371.0 * h.sqrt().min(1.0).asin()
    }
}

/// A place that the back office knows.
pub(super) struct Place {
    pub city: String,
    pub point: Point,
    /// Whether it is a whole city, or a road that runs through it.
    pub vague: bool,
}

/// The most exact place that `text` names, within `city` if one is given.
pub(super) async fn place(
    db: &mut SqliteConnection,
    text: &str,
    city: Option<&str>,
) -> Result<Option<Place>, sqlx::Error> {
    let text = plain(text);
    let rows = sqlx::query("SELECT name, city, lat, lon, vague FROM places WHERE ?1 IS NULL OR city = ?1")
        .bind(city)
        .fetch_all(db)
        .await?;
    let mut found: Option<(usize, Place)> = None;
    for row in &rows {
        let (name, city): (&str, &str) = (row.try_get("name")?, row.try_get("city")?);
        if !text.contains(&plain(name)) {
            continue;
        }
        let vague: bool = row.try_get("vague")?;
        // A place is more exact than a road, a road than a city; a place whose city is named too is surer than another.
        let weight = match (vague, name == city) {
            (true, true) => 0,
            (true, false) => name.len(),
            (false, _) => 1000 + name.len() + usize::from(text.contains(&plain(city))) * 100,
        };
        if found.as_ref().is_none_or(|(best, _)| weight > *best) {
            let point = Point { lat: row.try_get("lat")?, lon: row.try_get("lon")? };
            found = Some((weight, Place { city: city.into(), point, vague }));
        }
    }
    Ok(found.map(|(_, place)| place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spoken_variants_come_closer_than_other_things() {
        let wiper = ["雨刮片", "雨刷", "雨刮器"];
        assert!((likeness("雨刷", wiper) - 1.0).abs() < 1e-9);
        assert!(likeness("前雨刮片多少钱", wiper) > ENOUGH);
        assert!(likeness("刹车片", wiper) < ENOUGH, "{}", likeness("刹车片", wiper));
        assert!(likeness("", wiper) < ENOUGH);
    }

    #[test]
    fn a_model_within_a_question_is_taken_out() {
        let models = [Named { name: "青屿 S7".into(), aliases: vec!["S7".into()] }];
        assert_eq!(split_model(&models, "青屿S7 小保养"), (Some("青屿 S7".into()), "小保养".into()));
        assert_eq!(split_model(&models, "小保养"), (None, "小保养".into()));
    }

    #[test]
    fn shanghai_and_hangzhou_are_165_km_apart() {
        let (sh, hz) = (Point { lat: 31.2304, lon: 121.4737 }, Point { lat: 30.2741, lon: 120.1551 });
        assert!((sh.km_to(hz) - 165.0).abs() < 3.0, "{}", sh.km_to(hz));
    }
}
