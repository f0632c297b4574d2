//! What is read how. One line a case: written, spoken.

use super::{Language, normalize};
use proptest::prelude::*;

#[track_caller]
fn reads(cases: &[(&str, &str)]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(written, spoken)| {
            let got = normalize(written, Language::Zh).text;
            (got != *spoken).then(|| format!("{written}: got {got}, wanted {spoken}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn whole_numbers_are_read_as_quantities() {
    reads(&[
        ("0", "零"),
        ("共10个", "共十个"),
        ("15项", "十五项"),
        ("100公里", "一百公里"),
        ("105分", "一百零五分"),
        ("110公里", "一百一十公里"),
        ("1010元", "一千零一十元"),
        ("10000元", "一万元"),
        ("10010元", "一万零一十元"),
        ("20000公里", "两万公里"),
        ("100000公里", "十万公里"),
        ("120500元", "十二万零五百元"),
        ("100000000元", "一亿元"),
        ("12,345元", "一万两千三百四十五元"),
        ("1,299.00元", "一千二百九十九元"),
        ("199元", "一百九十九元"),
    ]);
}

#[test]
fn two_is_liang_before_what_is_counted() {
    reads(&[
        ("2公里", "两公里"),
        ("2楼", "二楼"),
        ("2号线", "二号线"),
        ("2月2日", "二月二日"),
        ("2个月", "两个月"),
        ("2年", "两年"),
        ("2年级", "二年级"),
        ("第2次", "第二次"),
        ("周2", "周二"),
        ("星期2", "星期二"),
        ("2:00", "两点"),
        ("2点", "两点"),
        ("200公里", "两百公里"),
        ("2000元", "两千元"),
        ("220V", "两百二十伏"),
        ("22天", "二十二天"),
        ("12个", "十二个"),
        ("2.5L", "二点五升"),
        ("2级", "二级"),
        ("2 km", "两公里"),
    ]);
}

#[test]
fn decimals_percentages_and_signs_are_read() {
    reads(&[
        ("3.14", "三点一四"),
        ("0.5", "零点五"),
        ("30%", "百分之三十"),
        ("99.9%", "百分之九十九点九"),
        ("20%-80%", "百分之二十至百分之八十"),
        ("20~80%", "百分之二十至八十"),
        ("5‰", "千分之五"),
        ("-10℃", "零下十度"),
        ("低至 -10℃", "低至零下十度"),
        ("-10~35℃", "零下十至三十五度"),
        ("-20--10℃", "零下二十至零下十度"),
        ("温度为 -5 度", "温度为零下五度"),
        ("-5", "负五"),
        ("1/2", "二分之一"),
        ("3/4", "四分之三"),
        ("3:1", "三比一"),
        ("7×24小时", "七乘二十四小时"),
        ("≥80%", "大于等于百分之八十"),
    ]);
}

#[test]
fn money_is_read_with_yuan_jiao_fen() {
    reads(&[
        ("¥1,299.00", "一千二百九十九元"),
        ("￥19.90", "十九元九角"),
        ("¥19.95", "十九元九角五分"),
        ("¥3.05", "三元零五分"),
        ("¥0.5", "五角"),
        ("¥30万", "三十万元"),
        ("¥2万起", "两万元起"),
        ("¥100-200", "一百至两百元"),
        ("$5", "五美元"),
        ("12.5元", "十二点五元"),
        ("¥199元", "一百九十九元"),
    ]);
}

#[test]
fn dates_and_years_are_read() {
    reads(&[
        ("2026-10-08", "二零二六年十月八日"),
        ("2026/10/8", "二零二六年十月八日"),
        ("2026年10月8日", "二零二六年十月八日"),
        ("10月8日", "十月八日"),
        ("10/8", "十月八日"),
        ("2026年", "二零二六年"),
        ("2024款", "二零二四款"),
        ("24款", "二四款"),
        ("质保8年", "质保八年"),
        ("10月1日-10月7日", "十月一日至十月七日"),
        ("08月05日", "八月五日"),
        ("周1至周5", "周一至周五"),
    ]);
}

#[test]
fn times_are_read() {
    reads(&[
        ("21:30", "二十一点三十分"),
        ("8:00", "八点"),
        ("8:05", "八点零五分"),
        ("12：02", "十二点零二分"),
        ("8:00-20:00", "八点至二十点"),
        ("08:30~17:45", "八点三十分至十七点四十五分"),
        ("08:30:15", "八点三十分十五秒"),
        ("9点-18点", "九点至十八点"),
        ("24小时", "二十四小时"),
    ]);
}

#[test]
fn ranges_are_read_with_zhi() {
    reads(&[
        ("10~15天", "十至十五天"),
        ("3-5个工作日", "三至五个工作日"),
        ("2-3天", "两至三天"),
        ("2.3-2.5bar", "二点三至二点五巴"),
        ("5000—10000公里", "五千至一万公里"),
    ]);
}

#[test]
fn telephone_numbers_are_read_digit_by_digit() {
    reads(&[
        ("138 0013 8000", "幺三八 零零幺三 八零零零"),
        ("13800138000", "幺三八 零零幺三 八零零零"),
        ("138-0013-8000", "幺三八 零零幺三 八零零零"),
        ("+86 13800138000", "加八六 幺三八 零零幺三 八零零零"),
        ("400-820-8888", "四零零 八二零 八八八八"),
        ("4008208888", "四零零 八二零 八八八八"),
        ("021-12345678", "零二幺 幺二三四五六七八"),
        ("请拨打10086", "请拨打幺零零八六"),
        ("95588", "九五五八八"),
        ("12315", "幺二三幺五"),
        ("拨打120", "拨打幺二零"),
        ("120公里", "一百二十公里"),
        ("10086元", "一万零八十六元"),
        ("138****8000", "幺三八星星星星八零零零"),
    ]);
}

#[test]
fn plates_models_and_serials_are_read_as_codes() {
    reads(&[
        ("沪A·D12345", "沪A D幺二三四五"),
        ("粤BD12345", "粤BD幺二三四五"),
        ("京A12345", "京A幺二三四五"),
        ("ET5", "ET五"),
        ("Model 3", "Model三"),
        ("L9", "L九"),
        ("V2.3.1", "V二点三点一"),
        ("V2.3", "V二点三"),
        ("2.3.1版本", "二点三点一版本"),
        ("5G网络", "五G网络"),
        ("4S店", "四S店"),
        ("P0420", "P零四二零"),
        ("尾号1234", "尾号幺二三四"),
        ("验证码是 482913", "验证码是四八二九幺三"),
        ("车架号LSJA24U62PG123456", "车架号LSJA二四U六二PG幺二三四五六"),
        ("工单号20261008001", "工单号二零二六幺零零八零零幺"),
        ("Wi-Fi", "Wi Fi"),
        ("nio.com", "nio点com"),
    ]);
}

#[test]
fn units_are_read() {
    reads(&[
        ("500km", "五百公里"),
        ("75 kWh", "七十五千瓦时"),
        ("120kW", "一百二十千瓦"),
        ("0.25MPa", "零点二五兆帕"),
        ("2.5bar", "二点五巴"),
        ("120km/h", "一百二十公里每小时"),
        ("25℃", "二十五度"),
        ("50L", "五十升"),
        ("15.8kWh/100km", "十五点八千瓦时每百公里"),
        ("360N·m", "三百六十牛米"),
        ("10min", "十分钟"),
        ("230kPa", "两百三十千帕"),
        ("16A", "十六安"),
    ]);
}

#[test]
fn chinese_text_and_latin_words_are_left_alone() {
    reads(&[
        ("您好，请问有什么可以帮您？", "您好，请问有什么可以帮您？"),
        ("打开 Autopilot 功能。", "打开Autopilot功能。"),
        ("Hello world", "Hello world"),
        ("“充电”功能（免费）", "充电功能，免费"),
        ("续航 500 公里", "续航五百公里"),
        ("５Ｇ", "五G"),
        ("", ""),
    ]);
}

#[test]
fn english_signs_and_telephone_numbers_are_read() {
    for (written, spoken) in [
        ("30% off", "30 percent off"),
        ("-10℃", "minus 10 degrees"),
        ("¥1,299.00", "1299 yuan"),
        ("2026-10-08", "October 8, 2026"),
        ("Call 400-820-8888", "Call 4 0 0, 8 2 0, 8 8 8 8"),
        ("120km/h", "120 kilometers per hour"),
        ("10-15 days", "10 to 15 days"),
        ("Model 3 costs 3.14", "Model 3 costs 3.14"),
    ] {
        assert_eq!(normalize(written, Language::En).text, spoken, "written: {written}");
    }
}

#[test]
fn each_spoken_character_knows_how_much_was_written_by_then() {
    let spoken = normalize("充到80%要2026年", Language::Zh);
    assert_eq!(spoken.text, "充到百分之八十要二零二六年");
    assert_eq!(spoken.ends, [1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
}

proptest! {
    #[test]
    fn the_map_never_falls_and_ends_at_the_end(written in "[0-9a-zA-Z年月日公里%¥.,:/~ 沪京，。℃+*-]{0,24}") {
        for language in [Language::Zh, Language::En] {
            let spoken = normalize(&written, language);
            prop_assert_eq!(spoken.text.chars().count(), spoken.ends.len());
            prop_assert!(spoken.ends.windows(2).all(|w| w[0] <= w[1]), "{:?}", spoken);
            if let Some(&last) = spoken.ends.last() {
                prop_assert_eq!(last, written.chars().count());
            }
        }
    }

    #[test]
    fn no_digit_is_left_in_mandarin(written in "[0-9a-zA-Z年月日公里%¥.,:/~ 沪京，。℃+*-]{0,24}") {
        let spoken = normalize(&written, Language::Zh).text;
        prop_assert!(!spoken.contains(|c: char| c.is_ascii_digit()), "{written} → {spoken}");
    }

    #[test]
    fn nothing_makes_it_panic(written in "\\PC{0,40}") {
        normalize(&written, Language::Zh);
        normalize(&written, Language::En);
    }
}
