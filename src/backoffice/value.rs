//! The values that requests carry, parsed once: what a field of such a type holds is well formed.

use std::fmt;
use std::str::FromStr as _;

use jiff::civil::{Date, DateTime};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

/// Why a value was refused: what is wrong with it and what to give instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

/// A text of the outside that is parsed by [`Self::parse`] and written back by `Display`.
macro_rules! parsed {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                Self::parse(&text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

/// For an optional field: absent, null and blank are all [`None`].
pub(super) fn optional<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<String, Error = Invalid>,
{
    match Option::<String>::deserialize(deserializer)? {
        Some(text) if !text.trim().is_empty() => {
            T::try_from(text).map(Some).map_err(serde::de::Error::custom)
        }
        _ => Ok(None),
    }
}

/// A telephone number, digits only. Spaces, hyphens and `+86` are taken off when it is read.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, example = "13800001234", min_length = 7, max_length = 20)]
pub struct Phone(String);

impl Phone {
    /// A Chinese mobile number has 11 digits; others 7 to 15.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bare: String = text.chars().filter(|c| !c.is_whitespace() && !"-()（）".contains(*c)).collect();
        let digits = bare.strip_prefix("+86").or(bare.strip_prefix("0086")).unwrap_or(&bare);
        let digits = digits.strip_prefix('+').unwrap_or(digits);
        // 86 without a plus, before a mobile number.
        let digits = match digits.strip_prefix("86") {
            Some(rest) if rest.len() == 11 && rest.starts_with('1') => rest,
            _ => digits,
        };
        let refuse = |why: &str| Err(Invalid(format!("the phone number {text:?} {why}")));
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return refuse("has more than digits in it: give digits only, as 13800001234");
        }
        if digits.starts_with('1') && digits.len() != 11 {
            return refuse(&format!("has {} digits, a mobile number has 11: ask for it again", digits.len()));
        }
        if !(7..=15).contains(&digits.len()) {
            return refuse(&format!("has {} digits, a number has 7 to 15: ask for it again", digits.len()));
        }
        Ok(Self(digits.to_string()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

parsed!(Phone);

impl fmt::Display for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A number plate: a character for the province, a letter, and five or (new energy) six letters and digits, upper case
/// without a dot. Dots and spaces are taken off when it is read.
#[derive(Clone, PartialEq, Eq, Hash, ToSchema)]
#[schema(value_type = String, example = "沪AD12345", min_length = 7, max_length = 12)]
pub struct Plate(String);

/// GA 36-2018: the first character of a plate.
const PROVINCES: &str = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼";

impl Plate {
    /// See [`Plate`]. The letters I and O are not used on plates.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bare: Vec<char> = text
            .chars()
            .filter(|c| !c.is_whitespace() && !"·•・.-".contains(*c))
            .map(|c| c.to_ascii_uppercase())
            .collect();
        let refuse = |why: &str| Err(Invalid(format!("the plate {text:?} {why}: ask for it again")));
        let [province, letter, rest @ ..] = bare.as_slice() else { return refuse("is too short") };
        if !PROVINCES.contains(*province) {
            return refuse("does not begin with the character of a province, as 沪 in 沪AD12345");
        }
        if !letter.is_ascii_uppercase() {
            return refuse("has no letter after the province, as A in 沪AD12345");
        }
        if !matches!(rest.len(), 5 | 6) {
            return refuse("needs five letters or digits after 沪A, or six for a new-energy car");
        }
        if !rest.iter().all(|c| c.is_ascii_alphanumeric() && !matches!(c, 'I' | 'O')) {
            return refuse("has a character that plates do not have");
        }
        Ok(Self(bare.into_iter().collect()))
    }

    /// As it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

parsed!(Plate);

impl fmt::Display for Plate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A vehicle identification number (ISO 3779): 17 letters and digits without I, O and Q.
#[derive(Clone, PartialEq, Eq, Hash, ToSchema)]
#[schema(value_type = String, example = "LGYS7A1E9RS000101", min_length = 17, max_length = 17)]
pub struct Vin(String);

impl Vin {
    /// See [`Vin`].
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let vin = text.trim().to_ascii_uppercase();
        let good = |b: u8| b.is_ascii_alphanumeric() && !matches!(b, b'I' | b'O' | b'Q');
        if vin.len() != 17 || !vin.bytes().all(good) {
            return Err(Invalid(format!(
                "the vin {text:?} is none: it has 17 letters and digits without I, O and Q; leave it out and give the plate"
            )));
        }
        Ok(Self(vin))
    }

    /// As it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

parsed!(Vin);

impl fmt::Display for Vin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Words of a person: 1 to 500 characters, without control characters but line ends.
#[derive(Clone, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, min_length = 1, max_length = 500)]
pub struct Text(String);

impl Text {
    /// The most characters that a text may have.
    pub const MAX: usize = 500;

    /// See [`Text`]. White space around it is taken off.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        let length = text.chars().count();
        if length == 0 {
            return Err(Invalid("a text is empty: say something or leave the field out".into()));
        }
        if length > Self::MAX {
            return Err(Invalid(format!("a text has {length} characters: at most {} are kept", Self::MAX)));
        }
        if text.chars().any(|c| c.is_control() && c != '\n') {
            return Err(Invalid("a text has control characters in it: take them out".into()));
        }
        Ok(Self(text.to_string()))
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

parsed!(Text);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A civil time in Shanghai to the minute: `2026-11-25T14:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, example = "2026-11-25T14:00", pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}$")]
pub struct Civil(pub DateTime);

impl Civil {
    /// `2026-11-25T14:00`; a space for the T, seconds that are zero and `+08:00` are let pass.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bare = text.trim();
        let bare = bare.strip_suffix("+08:00").unwrap_or(bare);
        let time = match bare.len() {
            16 | 19 => DateTime::from_str(bare).ok().filter(|t| t.second() == 0),
            _ => None,
        };
        time.map(Self).ok_or_else(|| {
            Invalid(format!(
                "{text:?} is no time: write it as 2026-11-25T14:00, which is meant as in Shanghai"
            ))
        })
    }
}

parsed!(Civil);

impl fmt::Display for Civil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = self.0;
        write!(f, "{:04}-{:02}-{:02}T{:02}:{:02}", t.year(), t.month(), t.day(), t.hour(), t.minute())
    }
}

/// A date in Shanghai: `2026-11-25`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, example = "2026-11-25", pattern = r"^\d{4}-\d{2}-\d{2}$")]
pub struct Day(pub Date);

impl Day {
    /// `2026-11-25`; of a time only the date is taken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bare = text.trim();
        let date = if bare.len() == 10 { Date::from_str(bare).ok() } else { None };
        date.or_else(|| Civil::parse(bare).ok().map(|t| t.0.date()))
            .map(Self)
            .ok_or_else(|| Invalid(format!("{text:?} is no date: write it as 2026-11-25")))
    }
}

parsed!(Day);

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.0.year(), self.0.month(), self.0.day())
    }
}

/// An amount in yuan with at most two decimals, kept as fen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = f64, example = 429.5, minimum = 0)]
pub struct Yuan(i64);

impl Yuan {
    /// `429`, `429.5` or `429.50`; below a thousand million.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let refuse = || {
            Invalid(format!(
                "{text:?} is no amount: write yuan with at most two decimals, as 239800 or 429.50"
            ))
        };
        let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), "0"));
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(part) || part.len() > 2 || whole.len() > 9 {
            return Err(refuse());
        }
        let whole: i64 = whole.parse().map_err(|_| refuse())?;
        let cents: i64 = format!("{part:0<2}").parse().map_err(|_| refuse())?;
        Ok(Self(whole * 100 + cents))
    }

    /// From hundredths.
    pub fn of(fen: i64) -> Self {
        Self(fen)
    }

    /// Hundredths of a yuan.
    pub fn fen(self) -> i64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Yuan {
    /// From the text of a query.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Yuan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % 100 == 0 {
            serializer.serialize_i64(self.0 / 100)
        } else {
            // The nearest double to a number of at most 15 digits is printed as that number.
            serializer.serialize_f64(self.0 as f64 / 100.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phone_numbers_are_kept_as_digits() {
        for text in ["13800001234", "138 0000 1234", "+86 138-0000-1234", "8613800001234", "008613800001234"]
        {
            assert_eq!(Phone::parse(text).unwrap().as_str(), "13800001234", "{text}");
        }
        assert_eq!(Phone::parse("021-5588 1234").unwrap().as_str(), "02155881234");
        for text in ["1380000123", "138000012345", "12", "sip:400@host", "一三八", ""] {
            assert!(Phone::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn plates_of_both_lengths_are_known_and_others_refused() {
        assert_eq!(Plate::parse("沪a·d12345").unwrap().as_str(), "沪AD12345");
        assert_eq!(Plate::parse("京 A12B34").unwrap().as_str(), "京A12B34");
        for text in ["AD12345", "沪1D12345", "沪AD1234567", "沪A123", "沪AO12345", "沪A一二三四五", ""]
        {
            assert!(Plate::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_and_dates_are_those_that_exist() {
        for text in
            ["2026-11-25T14:00", "2026-11-25 14:00", "2026-11-25T14:00:00", "2026-11-25T14:00:00+08:00"]
        {
            assert_eq!(Civil::parse(text).unwrap().to_string(), "2026-11-25T14:00", "{text}");
        }
        for text in
            ["2026-11-25", "2026-02-30T10:00", "2026-11-25T14:00Z", "2026-11-25T14:00+09:00", "明天下午"]
        {
            assert!(Civil::parse(text).is_err(), "{text}");
        }
        assert_eq!(Day::parse("2026-11-25T14:00").unwrap().to_string(), "2026-11-25");
        assert!(Day::parse("2026-13-01").is_err());
    }

    #[test]
    fn money_is_exact_to_the_fen() {
        assert_eq!(Yuan::parse("429.5").unwrap().fen(), 42950);
        assert_eq!(Yuan::parse("239800").unwrap().fen(), 23_980_000);
        for text in ["", "-1", "1.234", "1e5", "10000000000", ".5", "５"] {
            assert!(Yuan::parse(text).is_err(), "{text}");
        }
        assert_eq!(
            serde_json::to_string(&[Yuan::of(42950), Yuan::of(42900), Yuan::of(7)]).unwrap(),
            "[429.5,429,0.07]"
        );
    }
}
