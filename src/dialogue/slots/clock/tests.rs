use jiff::civil::Time;

use super::{Clock, clock};

#[track_caller]
fn check<T: Into<Option<Clock>> + Copy>(table: &[(&str, T)]) {
    let wrong: Vec<String> = table
        .iter()
        .filter_map(|(text, wanted)| {
            let (got, wanted) = (clock(text), (*wanted).into());
            (got != wanted).then(|| format!("{text}: {got:?} instead of {wanted:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const fn at(hour: i8, minute: i8) -> Clock {
    Clock::At(Time::constant(hour, minute, 0, 0))
}

const fn between(from: i8, to: i8) -> Clock {
    Clock::Between(Time::constant(from, 0, 0, 0), Time::constant(to, 0, 0, 0))
}

#[test]
fn times_are_read_as_they_are_said() {
    check(&[
        ("下午两点半", at(14, 30)),
        ("下午2点半", at(14, 30)),
        ("两点", at(14, 0)),
        ("九点", at(9, 0)),
        ("八点", at(8, 0)),
        ("七点半", at(19, 30)),
        ("十二点", at(12, 0)),
        ("上午十点", at(10, 0)),
        ("上午十点一刻", at(10, 15)),
        ("下午三点三刻", at(15, 45)),
        ("三点二十", at(15, 20)),
        ("三点零五分", at(15, 5)),
        ("下午三点四五", at(15, 45)),
        ("三点钟", at(15, 0)),
        ("三点整", at(15, 0)),
        ("三点十分", at(15, 10)),
        ("差一刻三点", at(14, 45)),
        ("差五分十点", at(9, 55)),
        ("三点差五分", at(14, 55)),
        ("三点过五分", at(15, 5)),
        ("14:30", at(14, 30)),
        ("下午2:30", at(14, 30)),
        ("十四点", at(14, 0)),
        ("十四点三十", at(14, 30)),
        ("14点30分", at(14, 30)),
        ("14时30分", at(14, 30)),
        ("早上八点", at(8, 0)),
        ("早上七点", at(7, 0)),
        ("中午十二点半", at(12, 30)),
        ("中午一点", at(13, 0)),
        ("傍晚六点", at(18, 0)),
        ("晚上八点", at(20, 0)),
        ("晚上十二点", at(0, 0)),
        ("凌晨三点", at(3, 0)),
        ("半夜十二点", at(0, 0)),
        ("下午一点", at(13, 0)),
        ("一点半", at(13, 30)),
        ("一点", at(13, 0)),
        ("那就一点吧", at(13, 0)),
        ("明天下午三点左右", at(15, 0)),
        ("周三十点", at(10, 0)),
        ("周一一点", at(13, 0)),
        ("二十五号三点", at(15, 0)),
        ("11月25日下午两点", at(14, 0)),
        ("大后天中午十一点四十给我打电话吧", at(11, 40)),
        ("明早八点", at(8, 0)),
        ("今晚七点", at(19, 0)),
        ("下午吧三点", at(15, 0)),
        ("八点二十", at(8, 20)),
        ("五点来钟", at(17, 0)),
        ("一点十五", at(13, 15)),
        ("一点钟", at(13, 0)),
        ("下午一点都可以", at(13, 0)),
        ("五点五十", at(17, 50)),
        ("二十点", at(20, 0)),
        ("礼拜三三点", at(15, 0)),
        ("星期四四点", at(16, 0)),
        ("周五下午五点二十", at(17, 20)),
        ("傍晚九点四十", at(21, 40)),
        ("周一晚上八点", at(20, 0)),
        ("下午三店", at(15, 0)),
        ("三点十分感谢", at(15, 0)),
    ]);
}

#[test]
fn stretches_are_read() {
    check(&[
        ("下午", between(12, 18)),
        ("上午", between(8, 12)),
        ("明天上午吧", between(8, 12)),
        ("早上", between(6, 10)),
        ("晚上", between(18, 22)),
        ("中午", between(11, 14)),
        ("下班以后", between(18, 20)),
        ("下了班", between(18, 20)),
        ("三点到五点", between(15, 17)),
        ("下午三点到五点", between(15, 17)),
        ("上午十点到下午两点", between(10, 14)),
        ("十一点到一点", between(11, 13)),
        ("两三点", between(14, 15)),
        ("下午三四点钟", between(15, 16)),
        ("下午三点以后", between(15, 20)),
        ("十点之前", between(8, 10)),
        ("8点-10点", between(8, 10)),
        ("上午九点到十一点", between(9, 11)),
        ("中午十二点到一点", between(12, 13)),
        ("三点前", between(8, 15)),
        ("周一晚上", between(18, 22)),
        ("晚上十二点以后", between(0, 8)),
        ("下午3点到5点", between(15, 17)),
        ("afternoon", between(12, 18)),
        ("in the morning", between(8, 12)),
        ("tomorrow evening", between(18, 22)),
        ("after work", between(18, 20)),
        ("after three", between(15, 20)),
        ("before noon", between(8, 12)),
        ("between two and four", between(14, 16)),
        ("from two to four", between(14, 16)),
    ]);
}

#[test]
fn english_times_are_read() {
    check(&[
        ("half past two", at(14, 30)),
        ("half past two in the afternoon", at(14, 30)),
        ("a quarter to three", at(14, 45)),
        ("quarter past nine", at(9, 15)),
        ("ten past five", at(17, 10)),
        ("ten to four", at(15, 50)),
        ("2:30 pm", at(14, 30)),
        ("2 pm", at(14, 0)),
        ("two p.m.", at(14, 0)),
        ("9 am", at(9, 0)),
        ("9am", at(9, 0)),
        ("7 am", at(7, 0)),
        ("12 am", at(0, 0)),
        ("two thirty", at(14, 30)),
        ("two o'clock", at(14, 0)),
        ("two oh five", at(14, 5)),
        ("tomorrow at nine", at(9, 0)),
        ("at eight in the evening", at(20, 0)),
        ("nine", at(9, 0)),
        ("14:30", at(14, 30)),
        ("fourteen thirty", at(14, 30)),
        ("noon", at(12, 0)),
        ("come at two in the afternoon", at(14, 0)),
    ]);
}

#[test]
fn the_corrected_time_wins() {
    check(&[
        ("不是下午是上午十点", at(10, 0)),
        ("不是上午十点是下午", between(12, 18)),
        ("下午三点不对四点", at(16, 0)),
        ("晚上七点不对八点", at(20, 0)),
        ("下午两点不是三点", at(14, 0)),
        ("上午十点不行下午吧", between(12, 18)),
        ("上午没空三点可以", at(15, 0)),
        ("下午三点不对是周四", at(15, 0)),
        ("三点错了应该是四点", at(16, 0)),
        ("下午七点哦不是早上六点", at(6, 0)),
        ("three, no sorry, four o'clock", at(16, 0)),
        ("not at two at three", at(15, 0)),
    ]);
}

#[test]
fn a_sentence_without_a_time_has_none() {
    let table: Vec<_> = [
        "",
        "一会儿",
        "有点",
        "有一点",
        "一点都不凉",
        "一点也不",
        "便宜一点",
        "早一点",
        "一下",
        "两点建议",
        "我有三点要说",
        "第三点",
        "三点式安全带",
        "三点五公里",
        "百分之三点五",
        "OTA三点零",
        "几点开门",
        "早上好",
        "下午好我想问一下",
        "周四",
        "二十五号",
        "半天",
        "三个小时",
        "一个半小时",
        "零点五",
        "差点撞了",
        "晚点再说",
        "三点二十公里",
        "good morning",
        "下午不行",
        "等十分钟",
        "停一晚上",
        "打了一上午电话",
        "三点水的沈",
        "电压十一点几伏",
        "between twenty and eighty percent",
        "call me back at one three three two two seven",
        "it shows code nine zero five",
        "有一点三电的问题",
        "就差一点",
        "是一点小问题",
        "五点五",
        "星期四",
        "你们几点下班",
        "两点意见",
        "P七",
        "三点八万",
        "手机号是幺三八零零",
        "two days",
        "one car",
        "i am fine",
        "i have two cars",
        "good afternoon",
    ]
    .into_iter()
    .map(|text| (text, None::<Clock>))
    .collect();
    check(&table);
}
