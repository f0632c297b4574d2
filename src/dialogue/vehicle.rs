//! Which vehicles an entry holds for: `青屿 S7`, `青屿 S7 2024`, `青屿 S7 2023-2025`.

use serde_json::Value;

use super::text::normalize;

/// The caller's vehicle, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vehicle {
    /// Name of the model, as the house or the caller writes it.
    pub model: String,
    /// Model year.
    pub year: Option<u16>,
}

/// One line of an entry's `models`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    name: String,
    /// First and last model year; all years if [`None`].
    years: Option<(u16, u16)>,
}

/// Whether something holds for a vehicle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It holds for every vehicle.
    All,
    /// It holds for this one.
    This,
    /// Too little is known of the vehicle.
    Unknown,
    /// It holds for others only.
    Other,
}

/// Years that can be a model year.
const YEARS: std::ops::RangeInclusive<u16> = 1990..=2100;

impl Vehicle {
    /// What a text like `青屿 S7 2024` or `青屿 S7` names.
    pub fn parse(text: &str) -> Option<Self> {
        let model: Model = Model::parse(text).ok()?;
        let (first, last) = model.years.unwrap_or((0, 1));
        Some(Self { model: model.name, year: (first == last).then_some(first) })
    }

    /// The vehicle in a conversation's facts: `{"model": "青屿 S7", "model_year": 2024, …}`.
    pub fn of_fact(fact: &Value) -> Option<Self> {
        let model = fact.get("model")?.as_str().filter(|m| !m.trim().is_empty())?.to_owned();
        let year = fact.get("model_year").and_then(|year| match year {
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_u64().and_then(|y| u16::try_from(y).ok()),
        });
        Some(Self { model, year })
    }
}

impl Model {
    /// Reads a name with, perhaps, a model year or a range of them at its end. The error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (name, last) = text.rsplit_once(char::is_whitespace).unwrap_or((text, ""));
        let year = |text: &str| text.trim_end_matches('款').parse::<u16>().ok().filter(|y| YEARS.contains(y));
        let years = match last.split_once(['-', '–', '~']) {
            Some((first, last)) => year(first).zip(year(last)),
            None => year(last).map(|y| (y, y)),
        };
        if text.is_empty() {
            return Err("is empty; write a name like 青屿 S7 or 青屿 S7 2023-2025".into());
        }
        match years {
            Some((first, last)) if first > last => {
                Err(format!("`{text}` ends before it begins; write the earlier year first"))
            }
            Some(_) => Ok(Self { name: name.trim().to_owned(), years }),
            None => Ok(Self { name: text.to_owned(), years: None }),
        }
    }

    /// Its name without years.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One vehicle that it takes in, as [`Vehicle::parse`] reads it.
    pub fn for_one(&self) -> String {
        self.years.map_or_else(|| self.name.clone(), |(first, _)| format!("{} {first}", self.name))
    }

    /// Whether it takes in `vehicle`.
    pub fn takes_in(&self, vehicle: &Vehicle) -> Fit {
        if !same_name(&self.name, &vehicle.model) {
            return Fit::Other;
        }
        match (self.years, vehicle.year) {
            (None, _) => Fit::This,
            (Some(_), None) => Fit::Unknown,
            (Some((first, last)), Some(year)) if (first..=last).contains(&year) => Fit::This,
            _ => Fit::Other,
        }
    }
}

impl std::fmt::Display for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.years {
            None => f.write_str(&self.name),
            Some((first, last)) if first == last => write!(f, "{} {first}", self.name),
            Some((first, last)) => write!(f, "{} {first}-{last}", self.name),
        }
    }
}

/// Whether what holds for `models` (all if empty) holds for `vehicle`.
pub fn fit(models: &[Model], vehicle: Option<&Vehicle>) -> Fit {
    let Some(vehicle) = vehicle else {
        return if models.is_empty() { Fit::All } else { Fit::Unknown };
    };
    let fits: Vec<Fit> = models.iter().map(|m| m.takes_in(vehicle)).collect();
    match () {
        () if models.is_empty() => Fit::All,
        () if fits.contains(&Fit::This) => Fit::This,
        () if fits.contains(&Fit::Unknown) => Fit::Unknown,
        () => Fit::Other,
    }
}

/// True if `text` (normalised) names the model, with or without the brand before it: 青屿S7, S7.
pub fn is_named(name: &str, text: &str) -> bool {
    let name = squeezed(name);
    // What is left of 青屿s7 without its Chinese brand, if that is still a name.
    let bare = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let bare =
        if bare.len() >= 2 && bare.starts_with(|c: char| c.is_ascii_alphabetic()) { bare } else { &name };
    // A recogniser writes S 7, and a year may follow: S7 2024.
    [normalize(text), squeezed(text)].iter().any(|text| {
        text.match_indices(bare).any(|(at, _)| {
            // S7 is not in AS71.
            let before = text[..at].chars().next_back().is_some_and(|c| c.is_ascii_alphanumeric());
            let after = text[at + bare.len()..].chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
            !before && !after
        })
    })
}

/// 青屿 S7, 青屿s7 and S7 are one model.
fn same_name(a: &str, b: &str) -> bool {
    squeezed(a) == squeezed(b) || is_named(a, b) || is_named(b, a)
}

fn squeezed(name: &str) -> String {
    normalize(name).replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vehicle(model: &str, year: Option<u16>) -> Vehicle {
        Vehicle { model: model.into(), year }
    }

    fn fits(models: &[&str], vehicle: &Vehicle) -> Fit {
        let models: Vec<Model> = models.iter().map(|m| Model::parse(m).expect("a model")).collect();
        fit(&models, Some(vehicle))
    }

    #[test]
    fn models_and_years_are_told_apart() {
        let s7 = vehicle("青屿 S7", Some(2024));
        for (models, wanted) in [
            (&[][..], Fit::All),
            (&["青屿 S7"], Fit::This),
            (&["S7"], Fit::This),
            (&["青屿S7 2024"], Fit::This),
            (&["青屿 S7 2024款"], Fit::This),
            (&["青屿 S7 2023-2025"], Fit::This),
            (&["青屿 X5", "青屿 S7 2023-2025"], Fit::This),
            (&["青屿 S7 2025"], Fit::Other),
            (&["青屿 X5"], Fit::Other),
            (&["青屿 S70"], Fit::Other),
        ] {
            assert_eq!(fits(models, &s7), wanted, "{models:?} for a 青屿 S7 of 2024");
        }
        assert_eq!(fits(&["青屿 S7 2024"], &vehicle("s7", None)), Fit::Unknown, "the year is not known");
    }

    #[test]
    fn a_vehicle_is_read_from_text_and_from_facts() {
        assert_eq!(Vehicle::parse("青屿 S7 2024"), Some(vehicle("青屿 S7", Some(2024))));
        assert_eq!(Vehicle::parse("青屿 S7"), Some(vehicle("青屿 S7", None)));
        let fact = serde_json::json!({"model": "青屿 S7", "model_year": 2024, "plate": "京A12345"});
        assert_eq!(Vehicle::of_fact(&fact), Some(vehicle("青屿 S7", Some(2024))));
        assert_eq!(Vehicle::of_fact(&serde_json::json!({"plate": "x"})), None);
    }

    #[test]
    fn a_wrong_range_is_refused() {
        assert!(Model::parse("青屿 S7 2025-2023").is_err());
        assert!(Model::parse("  ").is_err());
    }

    #[test]
    fn a_model_is_heard_in_a_sentence() {
        assert!(is_named("青屿 S7", "我的S7多久保养一次"));
        assert!(!is_named("青屿 S7", "我的S70多久保养一次"));
        assert!(!is_named("青屿 S7", "多久保养一次"));
    }
}
