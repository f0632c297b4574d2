use jiff::civil::date;
use proptest::prelude::*;

use super::holidays::Year;
use super::*;

fn nev() -> Calendar {
    Calendar::load(&Source::Embedded("nev".into())).unwrap().expect("the reference tenant has a calendar")
}

fn at(calendar: &Calendar, text: &str) -> Zoned {
    text.parse::<DateTime>().unwrap().to_zoned(calendar.zone().clone()).unwrap()
}

fn asked(calendar: &Calendar, schedule: &str, text: &str) -> Opening {
    calendar.check(schedule, &at(calendar, text)).unwrap()
}

fn told(moment: Option<&Zoned>) -> String {
    moment.map_or_else(|| "never".into(), |moment| moment.strftime("%Y-%m-%dT%H:%M").to_string())
}

/// A calendar with one schedule `s`.
fn small(zone: &str, rest: &str) -> Calendar {
    let text = format!(
        "zone = \"{zone}\"\n[[schedule]]\nid = \"s\"\nname = \"坐席\"\nname_en = \"seats\"\n{rest}\n"
    );
    Calendar::parse("calendar.toml", &text, &[]).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(text: &str) -> String {
    Calendar::parse("calendar.toml", text, &[]).expect_err("it is wrong").to_string()
}

#[test]
fn the_evening_after_the_golden_week_is_an_ordinary_one() {
    let nev = nev();
    let opening = asked(&nev, "seats", "2026-10-08T21:30");
    assert!(opening.open && !opening.provisional);
    assert_eq!(told(opening.until.as_ref()), "2026-10-08T22:00");
    assert_eq!(told(opening.next.as_ref()), "2026-10-09T08:00");
    assert_eq!(
        opening.why.en,
        "2026-10-08 is an ordinary Thursday. Hours of the seats that day: 08:00-22:00. At 21:30 it is open, until 22:00."
    );
    assert_eq!(
        opening.why.zh,
        "2026年10月8日（周四）是普通的周四。人工坐席当天的时间：08:00-22:00。21:30 开放，到 22:00 为止。"
    );
}

#[test]
fn a_public_holiday_has_its_own_hours() {
    let opening = asked(&nev(), "seats", "2026-10-07T21:30");
    assert!(!opening.open);
    assert_eq!(told(opening.next.as_ref()), "2026-10-08T08:00");
    assert!(
        opening.why.en.contains("public holiday: National Day, 2026-10-01 to 2026-10-07"),
        "{}",
        opening.why.en
    );
    assert!(opening.why.zh.contains("公众假期：国庆节（10月1日至10月7日）"), "{}", opening.why.zh);
}

#[test]
fn a_make_up_saturday_is_a_monday() {
    let nev = nev();
    let opening = asked(&nev, "seats", "2026-10-10T21:30");
    assert!(opening.open, "{}", opening.why.en);
    assert!(opening.why.en.contains("make-up workday for National Day"), "{}", opening.why.en);
    assert!(opening.why.en.contains("as on a Monday"), "{}", opening.why.en);
    assert!(opening.why.zh.contains("国庆节的调休上班日"), "{}", opening.why.zh);
    assert!(!asked(&nev, "seats", "2026-10-17T21:30").open, "another Saturday ends at 18:00");
}

#[test]
fn a_special_day_goes_before_the_holiday() {
    let nev = nev();
    let eve = asked(&nev, "seats", "2026-02-16T16:00");
    assert!(!eve.open);
    assert!(eve.why.en.contains("special day: Spring Festival's eve"), "{}", eve.why.en);
    assert!(asked(&nev, "seats", "2026-02-17T16:00").open, "the next day has the hours of a holiday");
    let yearly = asked(&nev, "seats", "2026-12-31T19:00");
    assert!(yearly.why.zh.contains("特殊日：年度盘点"), "{}", yearly.why.zh);
}

#[test]
fn somebody_is_always_there_for_the_reference_tenant() {
    let nev = nev();
    let mut moment = at(&nev, "2026-01-01T00:00");
    while moment.date() < date(2028, 1, 1) {
        let open = nev.schedules().iter().any(|s| nev.is_open(s, moment.timestamp()));
        assert!(open, "neither seats nor the night shift at {moment}");
        moment = moment.checked_add(jiff::Span::new().minutes(30)).unwrap();
    }
}

#[test]
fn hours_that_cross_midnight_belong_to_the_day_on_which_they_begin() {
    let calendar = small("Asia/Shanghai", "hours.fri = [\"22:00-06:00\"]");
    let opening = asked(&calendar, "s", "2026-11-21T05:59");
    assert!(opening.open, "{}", opening.why.en);
    assert_eq!(told(opening.since.as_ref()), "2026-11-20T22:00");
    assert!(opening.why.en.contains("that began 2026-11-20 (Friday) 22:00"), "{}", opening.why.en);
    assert!(!asked(&calendar, "s", "2026-11-21T06:00").open, "the last minute is 05:59");
    assert!(!asked(&calendar, "s", "2026-11-20T05:00").open, "Thursday has no hours");
}

#[test]
fn hours_that_touch_are_one_opening() {
    let calendar = small("Asia/Shanghai", "hours.mon-fri = [\"00:00-24:00\"]\nhours.sat = [\"00:00-01:00\"]");
    let opening = asked(&calendar, "s", "2026-11-18T12:00");
    assert_eq!(
        told(opening.since.as_ref()),
        "2026-11-17T00:00",
        "it looks no further back than the day before"
    );
    assert_eq!(told(opening.until.as_ref()), "2026-11-21T01:00");
    assert_eq!(told(opening.next.as_ref()), "2026-11-23T00:00");
}

#[test]
fn what_never_closes_or_never_opens_says_so() {
    let calendar = small("Asia/Shanghai", "hours.mon-sun = [\"00:00-24:00\"]");
    let opening = asked(&calendar, "s", "2026-11-18T12:00");
    assert_eq!((opening.open, opening.until, opening.next), (true, None, None));
    let calendar = small("Asia/Shanghai", "hours.mon-sun = \"closed\"");
    let opening = asked(&calendar, "s", "2026-11-18T12:00");
    assert_eq!((opening.open, opening.until, opening.next), (false, None, None));
    assert!(opening.why.en.contains("no opening in sight"), "{}", opening.why.en);
}

#[test]
fn what_rests_on_holidays_that_are_not_final_says_so() {
    let nev = nev();
    assert!(!asked(&nev, "seats", "2026-12-30T12:00").provisional);
    let over = asked(&nev, "seats", "2026-12-31T20:00");
    assert!(over.provisional, "it opens in 2027");
    let opening = asked(&nev, "seats", "2027-02-06T12:00");
    assert!(opening.provisional && opening.why.zh.contains("2027年的公众假期是暂定的"), "{}", opening.why.zh);
    let opening = asked(&nev, "seats", "2029-02-06T12:00");
    assert!(opening.provisional && opening.why.en.contains("2029 are not there"), "{}", opening.why.en);
    assert!(
        !asked(&small("Asia/Shanghai", "hours.mon = [\"09:00-18:00\"]"), "s", "2029-02-06T12:00").provisional
    );
}

#[test]
fn the_next_opening_is_said_as_people_say_it() {
    let nev = nev();
    let said = |text: &str| {
        let opening = asked(&nev, "seats", text);
        (opening.say_next(Lang::Zh).unwrap(), opening.say_next(Lang::En).unwrap())
    };
    let pair = |zh: &str, en: &str| (zh.to_owned(), en.to_owned());
    assert_eq!(said("2026-11-20T22:10"), pair("明天上午九点", "tomorrow at nine in the morning"));
    assert_eq!(asked(&nev, "night", "2026-11-19T12:00").say_next(Lang::En).unwrap(), "tonight at ten");
    assert_eq!(said("2026-11-19T03:00"), pair("今天上午八点", "today at eight in the morning"));
    let calendar = small("Asia/Shanghai", "hours.tue = [\"14:30-18:00\"]\nhours.fri = [\"12:00-24:00\"]");
    let said = |text: &str| {
        let opening = asked(&calendar, "s", text);
        (opening.say_next(Lang::Zh).unwrap(), opening.say_next(Lang::En).unwrap())
    };
    assert_eq!(said("2026-11-17T19:00"), pair("周五中午十二点", "on Friday at noon"));
    assert_eq!(
        said("2026-11-21T19:00"),
        pair("下周二下午两点半", "on Tuesday at half past two in the afternoon")
    );
    assert_eq!(asked(&calendar, "s", "2026-11-20T19:00").say_until(Lang::Zh).unwrap(), "今晚十二点");
    let rare = small(
        "Asia/Shanghai",
        "hours.mon-sun = \"closed\"\n[[special]]\nname = \"开张\"\nname_en = \"opening\"\ndate = \"2026-12-15\"\nhours.s = [\"09:45-18:00\"]",
    );
    let opening = asked(&rare, "s", "2026-11-21T19:00");
    assert_eq!(opening.say_next(Lang::Zh).unwrap(), "十二月十五号周二上午九点四十五分");
    assert_eq!(
        opening.say_next(Lang::En).unwrap(),
        "on Tuesday, December 15 at a quarter to ten in the morning"
    );
}

#[test]
fn a_moment_of_another_zone_is_the_same_moment() {
    let nev = nev();
    let there: Zoned = "2026-10-08T09:30[America/New_York]".parse().unwrap();
    let opening = nev.check("seats", &there).unwrap();
    assert_eq!(told(Some(&opening.at)), "2026-10-08T21:30");
    assert!(opening.open);
}

#[test]
fn hours_follow_the_clock_on_the_wall_through_summer_time() {
    let calendar = small("America/New_York", "hours.mon-sun = [\"22:00-06:00\"]");
    // 8 March 2026: 02:00 becomes 03:00; 1 November: 02:00 becomes 01:00.
    for (evening, hours) in [("2026-03-07T22:00", 7), ("2026-10-31T22:00", 9), ("2026-06-06T22:00", 8)] {
        let opening = asked(&calendar, "s", evening);
        let until = opening.until.expect("it closes");
        assert_eq!(until.strftime("%H:%M").to_string(), "06:00");
        assert_eq!(until.duration_since(&opening.at).as_hours(), hours, "{evening}");
    }
    // What lies in the hour that is skipped is no opening, and harms nothing.
    let calendar = small("America/New_York", "hours.sun = [\"02:30-03:00\"]");
    assert_eq!(told(asked(&calendar, "s", "2026-03-08T01:00").next.as_ref()), "2026-03-15T02:30");
}

#[test]
fn mistakes_are_told_with_their_lines() {
    let schedule = |hours: &str| {
        format!(
            "zone = \"Asia/Shanghai\"\n[[schedule]]\nid = \"s\"\nname = \"坐席\"\nname_en = \"seats\"\n{hours}\n"
        )
    };
    let cases = [
        ("zone = \"Asia/Peking\"\n".to_owned(), "calendar.toml:1: \"Asia/Peking\" is no time zone"),
        ("zone = \"Asia/Shanghai\"\n".to_owned(), "there is no schedule"),
        (
            "zone = \"Asia/Shanghai\"\ncountry = \"xx\"\n".to_owned(),
            "calendar.toml:2: there are no public holidays of \"xx\"; there are those of: cn",
        ),
        ("zon = \"Asia/Shanghai\"\n".to_owned(), "calendar.toml:1: unknown field `zon`"),
        (schedule("hours.mon = [\"09:00-25:00\"]"), "calendar.toml:6: \"25:00\" is no time of day"),
        (schedule("hours.mon = [\"9-18\"]"), "calendar.toml:6: \"9\" is no time of day"),
        (schedule("hours.mon = [\"09:00\"]"), "calendar.toml:6: \"09:00\" has no `-`"),
        (schedule("hours.mon = [\"09:00-09:00\"]"), "for all day write \"00:00-24:00\""),
        (schedule("hours.mon = [\"24:00-09:00\"]"), "begins at the end of its day"),
        (
            schedule("hours.mon = [\"09:00-13:00\", \"12:30-18:00\"]"),
            "calendar.toml:6: 09:00-13:00 and 12:30-18:00 overlap",
        ),
        (
            schedule("hours.mon = [\"22:00-10:00\"]\nhours.tue = [\"09:00-18:00\"]"),
            "calendar.toml:6: the hours 22:00-10:00 run into 09:00-18:00 of the next day",
        ),
        (schedule("hours.moon = [\"09:00-18:00\"]"), "calendar.toml:6: `moon` is no weekday"),
        (
            schedule("hours.mon-fri = [\"09:00-18:00\"]\nhours.wed = \"closed\""),
            "calendar.toml:7: `wed` names a weekday that has its hours already",
        ),
        (schedule("hours.mon = 9"), "calendar.toml:6: write a list of hours"),
        (schedule("hours.mon = []"), "calendar.toml:6: write a list of hours"),
        (schedule("hours.mon = [9]"), "calendar.toml:6: 9 is not a text"),
        (
            schedule("hours.mon = \"closed\"\nholiday = \"as fun\""),
            "calendar.toml:7: \"as fun\" is not known",
        ),
        (
            schedule("hours.mon = \"closed\"").replace("\n[[", "\ncountry = \"cn\"\n[["),
            "schedule `s` does not tell what `holiday` means",
        ),
        (
            schedule(
                "hours.mon = \"closed\"\n[[special]]\nname = \"年会\"\nname_en = \"party\"\ndate = \"2026-02-30\"\nhours.s = \"closed\"",
            ),
            "calendar.toml:10: \"2026-02-30\" to \"2026-02-30\" are no days",
        ),
        (
            schedule(
                "hours.mon = \"closed\"\n[[special]]\nname = \"年会\"\nname_en = \"party\"\ndate = \"2026-02-03\"\nuntil = \"2026-02-01\"\nhours.s = \"closed\"",
            ),
            "calendar.toml:11: \"2026-02-01\" is before \"2026-02-03\"",
        ),
        (
            schedule(
                "hours.mon = \"closed\"\n[[special]]\nname = \"年会\"\nname_en = \"party\"\ndate = \"2026-02-03\"\nhours.night = \"closed\"",
            ),
            "calendar.toml:11: there is no schedule `night`; there are: s",
        ),
        (
            schedule(
                "hours.mon = \"closed\"\n[[special]]\nname = \"年会\"\nname_en = \"party\"\ndate = \"2026-02-03\"\nhours = {}",
            ),
            "it changes the hours of no schedule",
        ),
        (
            schedule(
                "hours.mon = \"closed\"\n[[special]]\nname = \"年会\"\nname_en = \"party\"\ndate = \"02-03\"\nhours.s = \"closed\"\n[[special]]\nname = \"聚会\"\nname_en = \"party\"\ndate = \"02-01\"\nuntil = \"02-04\"\nhours.s = \"closed\"",
            ),
            "calendar.toml:15: this day has hours already, by `年会`",
        ),
    ];
    for (text, wanted) in cases {
        let error = refused(&text);
        assert!(error.contains(wanted), "wanted `{wanted}`, got `{error}`");
    }
    let twice = schedule("hours.mon = \"closed\"")
        + "[[schedule]]\nid = \"s\"\nname = \"b\"\nname_en = \"b\"\nhours.mon = \"closed\"\n";
    assert!(refused(&twice).contains("calendar.toml:8: there are two schedules `s`"), "{}", refused(&twice));
    let nev = nev();
    let error = nev.check("desk", &at(&nev, "2026-10-08T21:30")).expect_err("no such schedule").to_string();
    assert_eq!(error, "the calendar has no schedule `desk`; it has: seats, night");
}

fn year(rest: &str) -> String {
    format!(
        "country = \"cn\"\nyear = 2026\nprovisional = false\nsource = \"a notice\"\n[[holiday]]\nname = \"国庆节\"\nname_en = \"National Day\"\n{rest}\n"
    )
}

#[test]
fn mistakes_in_holidays_are_told_with_their_lines() {
    let cases = [
        (
            "first = \"2026-10-01\"\nlast = \"2026-10-07\"\nstatutory = [\"2026-10-09\"]",
            "h.toml:10: the statutory day 2026-10-09 is not in",
        ),
        (
            "first = \"2026-10-01\"\nlast = \"2026-10-07\"\nstatutory = [\"2026-10-01\"]\nwork = [\"2026-10-09\"]",
            "h.toml:11: 2026-10-09 is a Friday: a make-up day is a Saturday or Sunday",
        ),
        (
            "first = \"2026-10-01\"\nlast = \"2026-10-07\"\nstatutory = [\"2026-10-01\"]\nwork = [\"2026-10-03\"]",
            "2026-10-03 is taken twice",
        ),
        (
            "first = \"2026-10-01\"\nlast = \"2026-10-07\"\nstatutory = [\"2026-10-01\"]\nwork = [\"2026-01-03\"]",
            "h.toml:11: 2026-01-03 is more than 31 days from",
        ),
        (
            "first = \"2026-10-07\"\nlast = \"2026-10-01\"\nstatutory = [\"2026-10-01\"]",
            "h.toml:9: 2026-10-07 to 2026-10-01 is no holiday",
        ),
        (
            "first = \"2025-10-01\"\nlast = \"2026-10-07\"\nstatutory = [\"2026-10-01\"]",
            "h.toml:8: 2025-10-01 is not in 2026",
        ),
        ("first = \"2026-10-01\"\nlast = \"2026-10-07\"\nstatutory = []", "`statutory` is empty"),
        ("first = \"2026-10-41\"\nlast = \"2026-10-07\"\nstatutory = []", "h.toml:8:"),
    ];
    for (rest, wanted) in cases {
        let error = Year::parse("h.toml", &year(rest)).expect_err(wanted).to_string();
        assert!(error.contains(wanted), "wanted `{wanted}`, got `{error}`");
    }
    let slip = year(
        "first = \"2026-10-01\"\nlast = \"2026-10-06\"\nstatutory = [\"2026-10-01\", \"2026-10-02\", \"2026-10-03\"]\nwork = [\"2026-09-20\", \"2026-10-10\"]",
    );
    let doubts = Year::parse("h.toml", &slip).unwrap().doubts();
    assert_eq!(doubts.len(), 1, "one day too few does not balance");
    assert!(doubts[0].contains("4 working days off, but 3 statutory days and 2 make-up days"), "{doubts:?}");
}

#[test]
fn the_embedded_years_are_whole() {
    let holidays = Holidays::of("cn", &[]).unwrap().expect("they are embedded");
    assert_eq!(holidays.certainty(2026), Certainty::Final);
    assert_eq!(holidays.certainty(2027), Certainty::Provisional);
    assert_eq!(holidays.certainty(2028), Certainty::Missing);
    for year in holidays.years() {
        let days: usize = year.holidays.iter().map(|holiday| holiday.statutory.len()).sum();
        assert_eq!(days, 13, "{}: the law names 13 days since 2025", year.file);
        assert_eq!(year.doubts(), Vec::<String>::new(), "{}", year.file);
        assert!(year.provisional || year.holidays.iter().any(|holiday| !holiday.work.is_empty()));
    }
    let off =
        holidays.years().next().unwrap().holidays.iter().map(|holiday| holiday.off().count()).sum::<usize>();
    assert_eq!(off, 33, "the notice of 2026 gives 33 days off");
}

#[test]
fn a_tenants_own_file_takes_the_place_of_the_embedded_one() {
    let own = year(
        "first = \"2026-10-01\"\nlast = \"2026-10-03\"\nstatutory = [\"2026-10-01\", \"2026-10-02\", \"2026-10-03\"]",
    );
    let own = [("holidays/cn-2026.toml".to_owned(), own)];
    let holidays = Holidays::of("cn", &own).unwrap().unwrap();
    assert!(holidays.day(date(2026, 10, 3)).is_some());
    assert!(holidays.day(date(2026, 10, 4)).is_none() && holidays.day(date(2026, 10, 10)).is_none());
    assert!(holidays.day(date(2027, 10, 1)).is_some(), "the other years stay");
}

/// Hours of one weekday: none, or up to three, in half hours, sorted and apart.
fn any_hours() -> impl Strategy<Value = String> {
    prop::collection::btree_set(0u16..48, 0..=6).prop_map(|marks| {
        let marks: Vec<u16> = marks.into_iter().collect();
        let time = |half: u16| format!("{:02}:{:02}", half / 2, half % 2 * 30);
        let ranges: Vec<String> =
            marks.chunks_exact(2).map(|pair| format!("\"{}-{}\"", time(pair[0]), time(pair[1]))).collect();
        if ranges.is_empty() { "\"closed\"".into() } else { format!("[{}]", ranges.join(", ")) }
    })
}

const ZONES: [&str; 5] =
    ["Asia/Shanghai", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn next_and_until_are_the_first_moments_at_which_it_changes(
        week in prop::collection::vec(any_hours(), 7),
        night in 0usize..8,
        zone in 0usize..ZONES.len(),
        minutes in 0i64..(2 * 365 * 24 * 60),
    ) {
        let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        // One night of the week runs to 06:00, if the next morning lets it.
        let mut hours: Vec<String> = week.clone();
        if night < 7 {
            hours[night] = "[\"21:00-06:00\"]".into();
            hours[(night + 1) % 7] = "[\"06:00-07:00\", \"23:00-24:00\"]".into();
        }
        let rest: Vec<String> = names.iter().zip(&hours).map(|(day, hours)| format!("hours.{day} = {hours}")).collect();
        let calendar = small(ZONES[zone], &rest.join("\n"));
        let schedule = &calendar.schedules()[0];
        let start: Timestamp = "2026-01-01T00:00Z".parse().unwrap();
        let now = start.checked_add(jiff::Span::new().minutes(minutes)).unwrap();
        let opening = calendar.check("s", &now.to_zoned(TimeZone::UTC)).unwrap();
        prop_assert_eq!(opening.open, calendar.is_open(schedule, now));
        let changes = if opening.open { opening.until.as_ref() } else { opening.next.as_ref() };
        // Every quarter of an hour in the eight days to come; hours and changes of clocks are on the quarter.
        let mut moment = now;
        for _ in 0..8 * 96 {
            let as_it_was = changes.is_none_or(|change| moment < change.timestamp());
            if !as_it_was {
                break;
            }
            prop_assert_eq!(calendar.is_open(schedule, moment), opening.open, "at {}, now is {}, {:?}", moment, now, changes);
            moment = moment.checked_add(jiff::Span::new().minutes(15)).unwrap();
        }
        if let Some(change) = changes {
            prop_assert_eq!(calendar.is_open(schedule, change.timestamp()), !opening.open, "it changes at {}", change);
        }
        if let (Some(until), Some(next)) = (&opening.until, &opening.next) {
            prop_assert!(until < next);
            prop_assert!(calendar.is_open(schedule, next.timestamp()));
        }
    }

    #[test]
    fn a_weekday_without_summer_time_is_open_by_its_own_hours(
        week in prop::collection::vec(any_hours(), 7),
        minutes in 0i64..(365 * 24 * 60),
    ) {
        let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let rest: Vec<String> = names.iter().zip(&week).map(|(day, hours)| format!("hours.{day} = {hours}")).collect();
        let calendar = small("Asia/Shanghai", &rest.join("\n"));
        let now = at(&calendar, "2026-01-01T00:00").checked_add(jiff::Span::new().minutes(minutes)).unwrap();
        // By the text alone: the clock is between two times that stand there.
        let clock = now.strftime("%H:%M").to_string();
        let wanted = week[week_index(now.date().weekday())]
            .split('"')
            .filter_map(|part| part.split_once('-'))
            .any(|(from, to)| from <= clock.as_str() && clock.as_str() < to);
        prop_assert_eq!(calendar.check("s", &now).unwrap().open, wanted, "{}", now);
    }
}
