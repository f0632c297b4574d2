//! Values as one says them, in writing that the voice reads well.

use jiff::civil::{Date, Time};

use super::plate::PLACES;
use crate::dialogue::text::Lang;
use crate::tts::normalize::MONTHS;

const FIGURES: [char; 10] = ['零', '一', '二', '三', '四', '五', '六', '七', '八', '九'];
const WEEKDAYS: [(char, &str); 7] = [
    ('一', "Monday"),
    ('二', "Tuesday"),
    ('三', "Wednesday"),
    ('四', "Thursday"),
    ('五', "Friday"),
    ('六', "Saturday"),
    ('日', "Sunday"),
];

/// 明天，十一月二十五号周三; "tomorrow, Wednesday, November 25". With the year where it is not the next such day.
pub fn spoken_date(date: Date, today: Date, lang: Lang) -> String {
    let apart = (date - today).get_days();
    let (figure, weekday) = WEEKDAYS[usize::from(date.weekday().to_monday_zero_offset().unsigned_abs()) % 7];
    let years = i32::from(date.year()) - i32::from(today.year());
    let past = date < today;
    match lang {
        Lang::Zh => {
            let near = match apart {
                -2 => "前天，",
                -1 => "昨天，",
                0 => "今天，",
                1 => "明天，",
                2 => "后天，",
                _ => "",
            };
            let year = match years {
                _ if !near.is_empty() => String::new(),
                0 if !past => String::new(),
                0 => "今年".to_owned(),
                1 => "明年".to_owned(),
                -1 => "去年".to_owned(),
                _ => format!("{}年", figures(&date.year().to_string())),
            };
            format!("{near}{year}{}月{}号周{figure}", numeral(date.month()), numeral(date.day()))
        }
        Lang::En => {
            let near = match apart {
                -1 => "yesterday, ",
                0 => "today, ",
                1 => "tomorrow, ",
                _ => "",
            };
            let month = MONTHS[usize::from((date.month() - 1).unsigned_abs()) % 12];
            let year = if near.is_empty() && (years != 0 || past) {
                format!(", {}", date.year())
            } else {
                String::new()
            };
            format!("{near}{weekday}, {month} {}{year}", date.day())
        }
    }
}

/// 下午两点半; "2:30 pm". Seconds are left out.
pub fn spoken_clock(time: Time, lang: Lang) -> String {
    let (hour, minute) = (time.hour(), time.minute());
    match lang {
        Lang::Zh => {
            let part = match hour {
                0..5 => "凌晨",
                5..8 => "早上",
                8..12 => "上午",
                12 => "中午",
                13..18 => "下午",
                _ => "晚上",
            };
            let by_twelve = if hour > 12 { hour - 12 } else { hour };
            let said = if by_twelve == 2 { "两".to_owned() } else { numeral(by_twelve) };
            let minutes = match minute {
                0 => String::new(),
                15 => "一刻".to_owned(),
                30 => "半".to_owned(),
                1..10 => format!("零{}分", numeral(minute)),
                _ => format!("{}分", numeral(minute)),
            };
            format!("{part}{said}点{minutes}")
        }
        Lang::En => {
            let half = if hour < 12 { "am" } else { "pm" };
            let by_twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
            match (hour, minute) {
                (0, 0) => "midnight".to_owned(),
                (12, 0) => "noon".to_owned(),
                (_, 0) => format!("{by_twelve} {half}"),
                _ => format!("{by_twelve}:{minute:02} {half}"),
            }
        }
    }
}

/// 沪A，D幺二，三四五; "Shanghai, A, D 1 2, 3 4 5". Letters and digits one by one, with a pause where one breathes.
pub fn spoken_plate(plate: &str, lang: Lang) -> String {
    let mut signs = plate.chars().filter(|c| c.is_alphanumeric()).peekable();
    let province = signs.next_if(|c| !c.is_ascii());
    let city = signs.next_if(char::is_ascii_alphabetic);
    let serial: Vec<String> = signs
        .map(|c| match (c.to_digit(10), lang) {
            (Some(1), Lang::Zh) => "幺".to_owned(),
            (Some(digit), Lang::Zh) => FIGURES[digit as usize % 10].to_string(),
            _ => c.to_ascii_uppercase().to_string(),
        })
        .collect();
    let (between, pause) = match lang {
        Lang::Zh => ("", "，"),
        Lang::En => (" ", ", "),
    };
    let groups = serial.chunks(3).map(|group| {
        let latin = |s: &String| s.is_ascii();
        let mut out = String::new();
        for (i, sign) in group.iter().enumerate() {
            // Two letters together would be a word.
            let spelt = i > 0 && latin(sign) && latin(&group[i - 1]);
            out.push_str(if i == 0 {
                ""
            } else if spelt {
                " "
            } else {
                between
            });
            out.push_str(sign);
        }
        out
    });
    let name = province.map(|province| match lang {
        Lang::Zh => province.to_string(),
        Lang::En => {
            PLACES.iter().find(|(_, _, c)| *c == province).map_or(province.to_string(), |(name, _, _)| {
                name.chars().take(1).map(|c| c.to_ascii_uppercase()).chain(name.chars().skip(1)).collect()
            })
        }
    });
    let letter = city.map(|c| c.to_ascii_uppercase().to_string());
    let head = match lang {
        Lang::Zh => vec![name.into_iter().chain(letter).collect::<String>()],
        Lang::En => name.into_iter().chain(letter).collect(),
    };
    head.into_iter().filter(|part| !part.is_empty()).chain(groups).collect::<Vec<_>>().join(pause)
}

/// 尾号一二三四; "ending in 1 2 3 4". Empty without a digit.
pub fn spoken_phone_tail(phone: &str, lang: Lang) -> String {
    let digits: Vec<char> = phone.chars().filter(char::is_ascii_digit).collect();
    let tail: String = digits[digits.len().saturating_sub(4)..].iter().collect();
    if tail.is_empty() {
        return tail;
    }
    match lang {
        Lang::Zh => format!("尾号{}", figures(&tail)),
        Lang::En => {
            format!("ending in {}", tail.chars().map(String::from).collect::<Vec<_>>().join(" "))
        }
    }
}

/// 五三零，一一八; "5 3 0, 1 1 8": a number that is written down, digit by digit, with a pause after each three.
pub fn spoken_digits(number: &str, lang: Lang) -> String {
    let digits: Vec<char> = number.chars().filter(char::is_ascii_digit).collect();
    let groups = digits.chunks(3).map(|group| group.iter().collect::<String>());
    match lang {
        Lang::Zh => groups.map(|group| figures(&group)).collect::<Vec<_>>().join("，"),
        Lang::En => {
            let spaced = |group: String| group.chars().map(String::from).collect::<Vec<_>>().join(" ");
            groups.map(spaced).collect::<Vec<_>>().join(", ")
        }
    }
}

/// Digit by digit.
fn figures(digits: &str) -> String {
    digits.chars().filter_map(|c| c.to_digit(10)).map(|d| FIGURES[d as usize % 10]).collect()
}

/// Below 100.
fn numeral(value: i8) -> String {
    let (tens, ones) = (usize::from(value.unsigned_abs()) / 10 % 10, usize::from(value.unsigned_abs()) % 10);
    let mut out = String::new();
    if tens > 1 {
        out.push(FIGURES[tens]);
    }
    if tens > 0 {
        out.push('十');
    }
    if ones > 0 || tens == 0 {
        out.push(FIGURES[ones]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::slots::{Clock, Plate, clock, date, plate};
    use jiff::civil::{date as day, time};
    use proptest::prelude::*;

    #[test]
    fn a_date_is_said_as_people_say_it() {
        let today = day(2026, 11, 24);
        for (wanted, lang, said) in [
            (day(2026, 11, 24), Lang::Zh, "今天，十一月二十四号周二"),
            (day(2026, 11, 25), Lang::Zh, "明天，十一月二十五号周三"),
            (day(2026, 11, 30), Lang::Zh, "十一月三十号周一"),
            (day(2027, 1, 5), Lang::Zh, "明年一月五号周二"),
            (day(2026, 10, 8), Lang::Zh, "今年十月八号周四"),
            (day(2028, 2, 29), Lang::Zh, "二零二八年二月二十九号周二"),
            (day(2026, 11, 25), Lang::En, "tomorrow, Wednesday, November 25"),
            (day(2026, 12, 2), Lang::En, "Wednesday, December 2"),
            (day(2027, 1, 5), Lang::En, "Tuesday, January 5, 2027"),
        ] {
            assert_eq!(spoken_date(wanted, today, lang), said);
        }
    }

    #[test]
    fn a_time_is_said_as_people_say_it() {
        for (wanted, lang, said) in [
            (time(14, 30, 0, 0), Lang::Zh, "下午两点半"),
            (time(9, 0, 0, 0), Lang::Zh, "上午九点"),
            (time(12, 5, 0, 0), Lang::Zh, "中午十二点零五分"),
            (time(20, 15, 0, 0), Lang::Zh, "晚上八点一刻"),
            (time(0, 20, 0, 0), Lang::Zh, "凌晨零点二十分"),
            (time(14, 30, 0, 0), Lang::En, "2:30 pm"),
            (time(9, 0, 0, 0), Lang::En, "9 am"),
            (time(12, 0, 0, 0), Lang::En, "noon"),
        ] {
            assert_eq!(spoken_clock(wanted, lang), said);
        }
    }

    #[test]
    fn plates_and_numbers_are_spelt_out() {
        assert_eq!(spoken_plate("沪AD12345", Lang::Zh), "沪A，D幺二，三四五");
        assert_eq!(spoken_plate("沪AAB234", Lang::Zh), "沪A，A B二，三四");
        assert_eq!(spoken_plate("沪AD12345", Lang::En), "Shanghai, A, D 1 2, 3 4 5");
        assert_eq!(spoken_plate("B12345", Lang::Zh), "B，幺二三，四五");
        assert_eq!(spoken_phone_tail("13800001234", Lang::Zh), "尾号一二三四");
        assert_eq!(spoken_phone_tail("13800001234", Lang::En), "ending in 1 2 3 4");
        assert_eq!(spoken_phone_tail("", Lang::Zh), "");
    }

    fn any_day() -> impl Strategy<Value = Date> {
        (1950..2150_i16, 1..=12_i8, 1..=28_i8).prop_map(|(y, m, d)| day(y, m, d))
    }

    proptest! {
        #[test]
        fn a_spoken_date_is_read_back(today in any_day(), apart in -900..900_i32) {
            let wanted = today + jiff::Span::new().days(apart);
            for lang in [Lang::Zh, Lang::En] {
                let said = spoken_date(wanted, today, lang);
                prop_assert_eq!(date(&said, today), Some(wanted), "{}", said);
                prop_assert_eq!(clock(&said), None, "{} holds no time", said);
            }
        }

        #[test]
        fn a_spoken_time_is_read_back(hour in 0..24_i8, minute in 0..60_i8) {
            let wanted = time(hour, minute, 0, 0);
            for lang in [Lang::Zh, Lang::En] {
                let said = spoken_clock(wanted, lang);
                prop_assert_eq!(clock(&said), Some(Clock::At(wanted)), "{}", said);
                prop_assert_eq!(date(&said, day(2026, 11, 24)), None, "{} holds no date", said);
            }
        }

        #[test]
        fn a_spoken_plate_is_read_back(
            province in prop::sample::select(crate::tts::normalize::PROVINCES.chars().collect::<Vec<_>>()),
            rest in "[A-HJ-NP-Z]([0-9]{5}|[A-HJ-NP-Z][0-9]{4}|[0-9]{4}[A-HJ-NP-Z]|[0-9][A-HJ-NP-Z]{2}[0-9]{2}|[DF][0-9]{5}|[DF][A-HJ-NP-Z][0-9]{4}|[0-9]{5}[DF])",
        ) {
            let wanted = format!("{province}{rest}");
            for lang in [Lang::Zh, Lang::En] {
                let said = spoken_plate(&wanted, lang);
                prop_assert_eq!(plate(&[&said]), Plate::Complete(wanted.clone()), "{}", said);
            }
        }

        #[test]
        fn nothing_said_makes_a_reader_panic(text in "\\PC{0,40}", other in "[一二三四五六七八九十百千万两零点半号月年周天后前个不是对错了下这差刻分到沪京粤A-Da-d0-9 .:/%-]{0,24}") {
            for text in [&text, &other] {
                let _ = (date(text, day(2026, 11, 24)), date(text, Date::MAX), date(text, Date::MIN), clock(text));
                let _ = (plate(&[text, &other]), crate::dialogue::slots::amount(text));
                let _ = crate::dialogue::slots::choice(text, &[&other, text, "11月25日下午两点"]);
                let _ = (crate::dialogue::slots::gives_up(text), crate::dialogue::slots::meant(text));
                let _ = (spoken_plate(text, Lang::Zh), spoken_phone_tail(text, Lang::En));
            }
        }
    }
}
