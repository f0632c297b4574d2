//! Whether the caller drops what is being done.

use super::meant::plain;
use crate::dialogue::text::Lang;

/// True if the caller gives up what is being done: 算了不约了, 不办了, 取消吧, "never mind". Not for a plain no (不用, 不要), not
/// for a question (可以取消吗), and not if he goes on (算了，就周四吧).
pub fn gives_up(text: &str) -> bool {
    let text = plain(text);
    if Lang::of(&text) == Some(Lang::En) {
        let padded = format!(" {text} ");
        let asks =
            ["how ", "can i ", "could i ", "what ", "do you ", "is it "].iter().any(|w| text.starts_with(w));
        let cancels = ["", "please ", "just ", "i want to ", "id like to ", "lets ", "ok ", "then "]
            .iter()
            .any(|lead| text.strip_prefix(lead).is_some_and(|rest| rest.starts_with("cancel")));
        return !asks && (cancels || ENGLISH.iter().any(|phrase| padded.contains(&format!(" {phrase} "))));
    }
    let asks = text.ends_with(['吗', '么']) || OTHERWISE.iter().any(|word| text.contains(word));
    !asks
        && (drops(&text)
            || stops(&text)
            || cancels(&text)
            || PHRASES.iter().any(|phrase| text.contains(phrase)))
}

/// Asks, tells, or makes conditions.
const OTHERWISE: [&str; 22] = [
    "怎么",
    "能不能",
    "可不可以",
    "可以取消",
    "可以免费",
    "如何",
    "多久",
    "多少",
    "是不是",
    "哪",
    "什么",
    "已经",
    "自动",
    "如果",
    "要是",
    "的话",
    "超过",
    "否则",
    "再不",
    "别的",
    "其他",
    "只要",
];
const ENGLISH: [&str; 19] = [
    "never mind",
    "nevermind",
    "forget it",
    "forget about it",
    "cancel it",
    "cancel that",
    "cancel this",
    "dont bother",
    "leave it",
    "let it be",
    "no longer need",
    "no longer want",
    "changed my mind",
    "not anymore",
    "not any more",
    "another time",
    "some other time",
    "maybe later",
    "drop it",
];
const PHRASES: [&str; 13] = [
    "下次再说",
    "改天再说",
    "以后再说",
    "到时候再说",
    "回头再说",
    "过几天再说",
    "我放弃",
    "放弃吧",
    "放弃了",
    "不想弄",
    "当我没说",
    "我再考虑考虑",
    "我再想想吧",
];
/// What is done in a flow.
const DEEDS: [&str; 22] = [
    "预约", "约", "办理", "办", "弄", "订", "定", "修", "买", "报名", "报", "投诉", "叫", "等", "拖", "登记",
    "填", "做", "试驾", "查", "申请", "换",
];

/// 不约了, 不想办了, 先不订了.
fn drops(text: &str) -> bool {
    text.match_indices('不').any(|(at, not)| {
        let mut rest = &text[at + not.len()..];
        let other =
            text[..at].ends_with(['能', '要', '可', '行', '好', '是', '再']) && !text[..at].ends_with("还是");
        for lead in ["想", "打算", "用", "再", "准备", "去", "需要", "要"] {
            rest = rest.strip_prefix(lead).unwrap_or(rest);
        }
        let done = DEEDS.iter().any(|deed| {
            let Some(end) = rest.strip_prefix(deed) else { return false };
            match end.strip_prefix("了") {
                Some(end) => !end.starts_with(['吗', '么', '会', '多']),
                None => match end {
                    "" => text[..at].ends_with('先'),
                    "吧" => text[..at].ends_with(['先', '就', '是']),
                    _ => false,
                },
            }
        });
        done && !other
    })
}

/// 算了, unless he calculates (我算了一下) or goes on with something else (算了，就周四吧).
fn stops(text: &str) -> bool {
    text.match_indices("算了").any(|(at, word)| {
        let rest = &text[at + word.len()..];
        let goes_on =
            ["一", "下", "算", "还是", "就", "换", "改", "那就", "我还", "我就", "要", "周", "明", "后"];
        // 开油车算了 settles on something; 还是算了 gives up.
        let before = &text[..at];
        let alone = before.is_empty()
            || [
                "那", "那就", "还是", "吧", "唉", "哎", "嗯", "好", "呃", "了", "啊", "我看", "行", "诶",
                "哦",
            ]
            .iter()
            .any(|word| before.ends_with(word));
        alone && !goes_on.iter().any(|more| rest.starts_with(more))
    })
}

/// 取消吧, 帮我取消, 取消预约.
fn cancels(text: &str) -> bool {
    text.match_indices("取消").any(|(at, word)| {
        let kept = text[..at].ends_with(['不', '别', '没', '被', '要']) && !text[..at].ends_with("我要");
        let mut rest = &text[at + word.len()..];
        for tail in ["掉", "这个", "这次", "本次", "它", "预约", "登记", "订单", "投诉", "救援", "拖车"]
        {
            rest = rest.strip_prefix(tail).unwrap_or(rest);
        }
        while let Some(shorter) =
            ["了", "吧", "算了", "好了", "就行", "谢谢", "就好", "一下", "啊", "呗", "它"]
                .iter()
                .find_map(|t| rest.strip_prefix(t))
        {
            rest = shorter;
        }
        rest.is_empty() && !kept && text.chars().count() <= 12
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gives_up_is_understood() {
        let wrong: Vec<_> = [
            "算了不约了",
            "算了",
            "算了吧",
            "那算了",
            "不办了",
            "不约了谢谢",
            "我不想约了",
            "不用约了",
            "还是不约了",
            "先不订了",
            "先不约吧",
            "取消吧",
            "帮我取消",
            "取消掉吧",
            "那就取消预约吧",
            "不等了",
            "不修了",
            "不投诉了",
            "下次再说吧",
            "改天再说",
            "算了不用了",
            "好吧算了",
            "我放弃",
            "我看还是算了",
            "太贵了算了",
            "算了我自己想办法吧",
            "我老公说太贵了不修了",
            "cancel the tow truck please",
            "never mind",
            "oh, never mind.",
            "forget it",
            "cancel it please",
            "I changed my mind",
            "don't bother",
            "maybe later",
        ]
        .into_iter()
        .filter(|text| !gives_up(text))
        .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn a_plain_no_or_a_question_is_not_giving_up() {
        let wrong: Vec<_> = [
            "不用",
            "不用了",
            "不要",
            "不是",
            "不行",
            "周三不行",
            "我算了一下大概三千",
            "算了我还是约周四吧",
            "算了就周四吧",
            "阶梯就不算了吧",
            "我怀疑多算了",
            "长途还是开油车算了",
            "这事就算了",
            "您的预约已经为您取消了",
            "修还是不修",
            "别的先不弄",
            "超过二十块我就不修了",
            "分区同步在哪里取消",
            "do i lose my deposit if i cancel",
            "can you cancel the update",
            "可以取消吗",
            "怎么取消预约",
            "取消要收费吗",
            "不要取消",
            "能不约了吗",
            "取消自动续费怎么弄",
            "不知道",
            "不买保险可以吗",
            "打算下周约",
            "不错",
            "周四下午",
            "",
            "no",
            "no thank you",
            "how do i cancel",
            "not wednesday",
        ]
        .into_iter()
        .filter(|text| gives_up(text))
        .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}
