use jiff::civil::{Date, date as day};

use super::date;

/// A Tuesday.
const TODAY: Date = day(2026, 11, 24);

#[track_caller]
fn check<T: Into<Option<Date>> + Copy>(table: &[(&str, T)]) {
    let wrong: Vec<String> = table
        .iter()
        .filter_map(|(text, wanted)| {
            let (got, wanted) = (date(text, TODAY), (*wanted).into());
            (got != wanted).then(|| format!("{text}: {got:?} instead of {wanted:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Of November 2026.
const fn nov(d: i8) -> Date {
    day(2026, 11, d)
}

/// Of December 2026.
const fn dec(d: i8) -> Date {
    day(2026, 12, d)
}

#[test]
fn days_are_read_as_they_are_said() {
    check(&[
        ("今天", nov(24)),
        ("明天下午吧", nov(25)),
        ("后天上午十点", nov(26)),
        ("大后天中午十一点四十给我打电话吧", nov(27)),
        ("明早八点", nov(25)),
        ("今晚", nov(24)),
        ("昨天就报修了", nov(23)),
        ("前天", nov(22)),
        ("周三", nov(25)),
        ("周二", nov(24)),
        ("周一", nov(30)),
        ("这周三", nov(25)),
        ("本周五", nov(27)),
        ("这周一", nov(30)),
        ("下周三", dec(2)),
        ("下周一", nov(30)),
        ("下下周二", dec(8)),
        ("下个星期四", dec(3)),
        ("下礼拜天", dec(6)),
        ("下周的周三", dec(2)),
        ("星期天", nov(29)),
        ("周日下午", nov(29)),
        ("礼拜六", nov(28)),
        ("周3", nov(25)),
        ("上周五", nov(20)),
        ("刚过去的周五", nov(20)),
        ("那个周三", nov(25)),
        ("周三十点", nov(25)),
        ("二十五号", nov(25)),
        ("二十四号", nov(24)),
        ("25号下午", nov(25)),
        ("五号", dec(5)),
        ("三十一号", dec(31)),
        ("十一月二十五号", nov(25)),
        ("十一月二十五", nov(25)),
        ("11月25日下午两点", nov(25)),
        ("十月八号", day(2027, 10, 8)),
        ("一月五号", day(2027, 1, 5)),
        ("明年一月五号", day(2027, 1, 5)),
        ("二零二七年三月一号", day(2027, 3, 1)),
        ("2026年12月1日", dec(1)),
        ("2026-12-01", dec(1)),
        ("12/1", dec(1)),
        ("二月二十九号", day(2028, 2, 29)),
        ("下个月五号", dec(5)),
        ("下月五号", dec(5)),
        ("这个月二十八号", nov(28)),
        ("上个月五号", day(2026, 10, 5)),
        ("月底", nov(30)),
        ("下个月底", dec(31)),
        ("十二月底", dec(31)),
        ("三天后", nov(27)),
        ("过三天", nov(27)),
        ("一个礼拜以后", dec(1)),
        ("两周后", dec(8)),
        ("半个月后", day(2026, 12, 9)),
        ("三天前", nov(21)),
        ("一个月后", dec(24)),
        ("明天，十一月二十五号周三", nov(25)),
        ("二十七号周五", nov(27)),
        ("周五二十七号", nov(27)),
        ("嗯那就下周三吧下午", dec(2)),
        ("十一号", dec(11)),
        ("我要预约二十八号做保养", nov(28)),
        ("帮我约个二十八号的吧", nov(28)),
        ("明天行吗", nov(25)),
        ("十二月一号或者二号", dec(2)),
        ("这个礼拜五", nov(27)),
        ("下个礼拜三上午", dec(2)),
        ("今天不行明天吧", nov(25)),
        ("周三吧哦不周四", nov(26)),
        ("我周三到店", nov(25)),
        ("一号", dec(1)),
        ("十五日", dec(15)),
        ("十一月十一号", day(2027, 11, 11)),
        ("六月一日儿童节", day(2027, 6, 1)),
        ("周一不上班周二呢", nov(24)),
    ]);
}

#[test]
fn english_days_are_read() {
    check(&[
        ("tomorrow at nine", nov(25)),
        ("today please", nov(24)),
        ("the day after tomorrow", nov(26)),
        ("Wednesday afternoon", nov(25)),
        ("next Wednesday", dec(2)),
        ("this Friday", nov(27)),
        ("Monday next week", nov(30)),
        ("on sunday", nov(29)),
        ("on sat", nov(28)),
        ("November 25", nov(25)),
        ("november twenty fifth", nov(25)),
        ("the 25th of November", nov(25)),
        ("the twenty fifth", nov(25)),
        ("25th", nov(25)),
        ("on the fifth", dec(5)),
        ("december the first", dec(1)),
        ("May 5th", day(2027, 5, 5)),
        ("the fifth of may", day(2027, 5, 5)),
        ("the fifth of next month", dec(5)),
        ("December 1, 2027", day(2027, 12, 1)),
        ("in three days", nov(27)),
        ("in a week", dec(1)),
        ("two weeks from now", dec(8)),
        ("end of the month", nov(30)),
        ("yesterday", nov(23)),
        ("how about tuesday", nov(24)),
        ("3 december", dec(3)),
        ("the 3rd of december", dec(3)),
        ("first of december", dec(1)),
        ("tomorrow or thursday", nov(26)),
        ("a week from today", dec(1)),
        ("tomorrow, Wednesday, November 25", nov(25)),
    ]);
}

#[test]
fn the_corrected_day_wins() {
    check(&[
        ("不是周三，是周四", nov(26)),
        ("周三不对是周四", nov(26)),
        ("周三不对是周四周四下午", nov(26)),
        ("周三不对不对是周五", nov(27)),
        ("下周一不是这周五", nov(30)),
        ("我想约周五呃不对周五我出差那就周六吧", nov(28)),
        ("周四吧周三不行", nov(26)),
        ("周三没空周四可以", nov(26)),
        ("下周三不对周四", dec(3)),
        ("十二月五号不对六号", dec(6)),
        ("周三下午三点不对四点", nov(25)),
        ("周三说错了应该是周五", nov(27)),
        ("明天改成后天", nov(26)),
        ("从周三改到周四", nov(26)),
        ("周三上午不行下午可以", nov(25)),
        ("是不是周三", nov(25)),
        ("Wednesday, no sorry, Thursday", nov(26)),
        ("not wednesday thursday", nov(26)),
        ("thursday not wednesday", nov(26)),
        ("wednesday doesnt work, thursday", nov(26)),
        ("thursday instead of wednesday", nov(26)),
    ]);
}

#[test]
fn a_sentence_without_a_date_has_none() {
    let table: Vec<_> = [
        "",
        "等一会儿",
        "有点贵",
        "一点都不",
        "等一下",
        "周末",
        "这周末都行",
        "我的手机号是幺三八零零幺三八零零零",
        "两点建议",
        "三点式安全带",
        "下午四点",
        "十一期间",
        "十一",
        "十一月",
        "半天",
        "等了半天",
        "一个礼拜",
        "两个星期",
        "过几天",
        "过两天",
        "以后天天都要充电",
        "然后天气冷",
        "周一到周五",
        "周三到周五哪天都行",
        "十一月二十五号到二十八号",
        "每周三",
        "每月五号",
        "一周两次",
        "三号线",
        "五号电池",
        "25号楼",
        "第五号",
        "三个月底盘异响",
        "质保三年",
        "三个月",
        "二十几号",
        "二十五六号",
        "周边有店吗",
        "这周天气怎么样",
        "一周年",
        "声明天下",
        "明后天",
        "上个月",
        "三十二号",
        "开了三天三夜",
        "三点五公里",
        "it may break down",
        "the second one",
        "just a second",
        "i sat in the car",
        "the weekend",
        "next week",
        "it may 5 times fail",
        "monday to friday",
        "every monday",
        "in the morning",
        "three days",
        "march on",
        "除了周三",
        "周三不行",
        "周三不对",
        "明天不行",
        "不要明天",
        "别约周一",
        "周一除外都行",
        "你们周几上班",
        "最近哪天有空",
        "上周刚做的保养下周再来",
        "一号店",
        "两号",
        "三日内",
        "2027年",
        "今年",
        "明年三月",
        "十一月份",
        "双十一",
        "五一",
        "周先生",
        "周围有吗",
        "十二月一二号",
        "can't do wednesday",
        "next month",
        "thanks a lot",
        "两天内",
        "万一不行",
    ]
    .into_iter()
    .map(|text| (text, None::<Date>))
    .collect();
    check(&table);
}
