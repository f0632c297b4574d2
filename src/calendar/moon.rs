//! A check of the lunar dates in `holidays/`, from the moon and the sun themselves.
//!
//! New moons after J. Meeus, Astronomical Algorithms (2nd ed.), chapter 49, good to half a minute; the sun's longitude after
//! chapter 25, good to a quarter of an hour. A Chinese month begins on the day of the new moon in Beijing, and has its number by
//! the multiple of 30° that the sun reaches in it (GB/T 33661-2017): 330° the first, 0° the second …

use jiff::civil::{Date, date};

use super::holidays::Holidays;

/// Of 2020–2030, seconds.
const DELTA_T: f64 = 70.0;

fn sin(degrees: f64) -> f64 {
    degrees.to_radians().sin()
}

/// The new moon `k` since January 2000, as a Julian day in universal time.
fn new_moon(k: f64) -> f64 {
    let t = k / 1236.85;
    let sun = 2.5534 + 29.105_356_70 * k - 0.000_001_4 * t * t;
    let moon = 201.5643 + 385.816_935_28 * k + 0.010_758_2 * t * t;
    let f = 160.7108 + 390.670_502_84 * k - 0.001_611_8 * t * t;
    let node = 124.7746 - 1.563_755_88 * k;
    let e = 1.0 - 0.002_516 * t;
    let periodic = [
        (-0.407_20, moon),
        (0.172_41 * e, sun),
        (0.016_08, 2.0 * moon),
        (0.010_39, 2.0 * f),
        (0.007_39 * e, moon - sun),
        (-0.005_14 * e, moon + sun),
        (0.002_08 * e * e, 2.0 * sun),
        (-0.001_11, moon - 2.0 * f),
        (-0.000_57, moon + 2.0 * f),
        (0.000_56 * e, 2.0 * moon + sun),
        (-0.000_42, 3.0 * moon),
        (0.000_42 * e, sun + 2.0 * f),
        (0.000_38 * e, sun - 2.0 * f),
        (-0.000_24 * e, 2.0 * moon - sun),
        (-0.000_17, node),
        (-0.000_07, moon + 2.0 * sun),
        (0.000_04, 2.0 * moon - 2.0 * f),
        (0.000_04, 3.0 * sun),
        (0.000_03, moon + sun - 2.0 * f),
        (0.000_03, 2.0 * moon + 2.0 * f),
        (-0.000_03, moon + sun + 2.0 * f),
        (0.000_03, moon - sun + 2.0 * f),
        (-0.000_02, moon - sun - 2.0 * f),
        (-0.000_02, 3.0 * moon + sun),
        (0.000_02, 4.0 * moon),
        // The planets.
        (0.000_325, 299.77 + 0.107_408 * k - 0.009_173 * t * t),
        (0.000_165, 251.88 + 0.016_321 * k),
        (0.000_164, 251.83 + 26.651_886 * k),
        (0.000_126, 349.42 + 36.412_478 * k),
        (0.000_110, 84.66 + 18.206_239 * k),
        (0.000_062, 141.74 + 53.303_771 * k),
        (0.000_060, 207.14 + 2.453_732 * k),
        (0.000_056, 154.84 + 7.306_860 * k),
        (0.000_047, 34.52 + 27.261_239 * k),
        (0.000_042, 207.19 + 0.121_824 * k),
        (0.000_040, 291.34 + 1.844_379 * k),
        (0.000_037, 161.72 + 24.198_154 * k),
        (0.000_035, 239.56 + 25.513_099 * k),
        (0.000_023, 331.55 + 3.592_518 * k),
    ];
    let mean = 2_451_550.097_66 + 29.530_588_861 * k + 0.000_154_37 * t * t;
    mean + periodic.iter().map(|(size, angle)| size * sin(*angle)).sum::<f64>() - DELTA_T / 86_400.0
}

/// The sun's apparent longitude in 0..360 degrees.
fn longitude(julian: f64) -> f64 {
    let t = (julian - 2_451_545.0) / 36_525.0;
    let anomaly = 357.529_11 + 35_999.050_29 * t;
    let centre = (1.914_602 - 0.004_817 * t) * sin(anomaly)
        + (0.019_993 - 0.000_101 * t) * sin(2.0 * anomaly)
        + 0.000_289 * sin(3.0 * anomaly);
    let mean = 280.466_46 + 36_000.769_83 * t + 0.000_303_2 * t * t;
    (mean + centre - 0.005_69 - 0.004_78 * sin(125.04 - 1934.136 * t)).rem_euclid(360.0)
}

/// The beginning of `day` in Beijing.
fn julian(day: Date) -> f64 {
    let days = (day - date(1970, 1, 1)).get_days();
    2_440_587.5 + f64::from(days) - 8.0 / 24.0
}

/// The day in Beijing.
fn day_of(julian: f64) -> Date {
    let days = (julian - 2_440_587.5 + 8.0 / 24.0).floor() as i64;
    date(1970, 1, 1).checked_add(jiff::Span::new().days(days)).expect("a day of our time")
}

/// The first day of the Chinese month `number` (not a leap month) that begins in `year`.
fn month(year: i16, number: u32) -> Date {
    let first = (f64::from(year - 2000) * 12.3685) as i32 - 1;
    let begins = |k: i32| {
        let moon = new_moon(f64::from(k));
        let into = (moon - 2_440_587.5 + 8.0 / 24.0).fract();
        let minutes = (into.min(1.0 - into)) * 1440.0;
        assert!(
            minutes > 1.0,
            "the new moon of {} is too near to midnight for this computation",
            day_of(moon)
        );
        day_of(moon)
    };
    let found: Vec<Date> = (first..first + 15)
        .map(|k| (begins(k), begins(k + 1)))
        .filter(|(begin, end)| {
            let (from, to) = (longitude(julian(*begin)), longitude(julian(*end)));
            let reached = (from / 30.0).ceil() * 30.0;
            let in_it = reached <= if to < from { to + 360.0 } else { to };
            begin.year() == year && in_it && ((reached / 30.0) as u32 + 1) % 12 + 1 == number
        })
        .map(|(begin, _)| begin)
        .collect();
    assert_eq!(found.len(), 1, "month {number} of {year}: {found:?}");
    found[0]
}

/// The day of Qingming: the sun reaches 15°.
fn qingming(year: i16) -> Date {
    date(year, 4, 1)
        .series(jiff::Span::new().days(1))
        .find(|day| {
            let end = julian(*day) + 1.0;
            (15.0..180.0).contains(&longitude(end))
        })
        .expect("the sun reaches 15° in April")
}

#[test]
fn the_moon_is_where_the_almanac_says() {
    // 2027-02-06, 15:56 universal time: four minutes before midnight in Beijing.
    let moon = new_moon(335.0);
    let minutes = (moon - julian(date(2027, 2, 7))) * 1440.0;
    assert!((-5.0..-3.0).contains(&minutes), "{minutes} minutes from midnight");
    // The first days of years long past: 2020-01-25, 2023-01-22, 2024-02-10, 2025-01-29.
    for first in [date(2020, 1, 25), date(2023, 1, 22), date(2024, 2, 10), date(2025, 1, 29)] {
        assert_eq!(month(first.year(), 1), first);
    }
    assert_eq!(qingming(2024), date(2024, 4, 4));
    assert_eq!(qingming(2023), date(2023, 4, 5));
}

#[test]
fn lunar_holidays_are_on_the_days_of_moon_and_sun() {
    let holidays = Holidays::of("cn", &[]).unwrap().unwrap();
    let plus = |day: Date, days: i32| day.checked_add(jiff::Span::new().days(days)).unwrap();
    let mut checked = 0;
    for year in holidays.years() {
        let statutory = |name: &str| {
            let found = year.holidays.iter().find(|holiday| holiday.name.contains(name));
            found.unwrap_or_else(|| panic!("{} has no {name}", year.file)).statutory.clone()
        };
        let new_year = month(year.year, 1);
        let spring: Vec<Date> = (-1..3).map(|n| plus(new_year, n)).collect();
        assert_eq!(statutory("春节"), spring, "{}: the eve and the first three days", year.file);
        assert_eq!(statutory("清明"), [qingming(year.year)], "{}", year.file);
        assert_eq!(
            statutory("端午"),
            [plus(month(year.year, 5), 4)],
            "{}: the fifth of the fifth",
            year.file
        );
        assert_eq!(
            statutory("中秋"),
            [plus(month(year.year, 8), 14)],
            "{}: the fifteenth of the eighth",
            year.file
        );
        checked += 1;
    }
    assert!(checked >= 2, "there are files for this and the next year");
}
