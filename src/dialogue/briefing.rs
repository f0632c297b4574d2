//! What a seat that has heard the summary asks or wants, before it takes the call: a few words for a few facts.

use super::intent::Heard;
use super::light::LightMind;
use super::phrases::grouped;
use super::text::{Lang, normalize};
use super::{Ask, Brief, Facts, Who, summary};
use crate::asr::Transcript;

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Decline,
    Repeat,
    Number,
    Vehicle,
    Mood,
    Said,
}

/// What holds another comes first: 不接 is no 接.
const WORDS: &[(&str, Wanted)] = &[
    ("接不了", Wanted::Decline),
    ("不接", Wanted::Decline),
    ("不能接", Wanted::Decline),
    ("没空", Wanted::Decline),
    ("拒绝", Wanted::Decline),
    ("decline", Wanted::Decline),
    ("再说一遍", Wanted::Repeat),
    ("再讲一遍", Wanted::Repeat),
    ("再来一遍", Wanted::Repeat),
    ("没听清", Wanted::Repeat),
    ("重复", Wanted::Repeat),
    ("repeat", Wanted::Repeat),
    ("say again", Wanted::Repeat),
    ("什么号码", Wanted::Number),
    ("号码", Wanted::Number),
    ("电话多少", Wanted::Number),
    ("谁打的", Wanted::Number),
    ("number", Wanted::Number),
    ("什么车", Wanted::Vehicle),
    ("车牌", Wanted::Vehicle),
    ("车型", Wanted::Vehicle),
    ("哪款车", Wanted::Vehicle),
    ("vehicle", Wanted::Vehicle),
    ("which car", Wanted::Vehicle),
    ("情绪", Wanted::Mood),
    ("生气", Wanted::Mood),
    ("激动", Wanted::Mood),
    ("angry", Wanted::Mood),
    ("怎么说的", Wanted::Said),
    ("说什么", Wanted::Said),
    ("说了什么", Wanted::Said),
    ("原话", Wanted::Said),
    ("what did", Wanted::Said),
];
/// Only as the whole of what is said: 接线 is something else.
const ACCEPT: &[&str] = &[
    "接",
    "我接",
    "接听",
    "接吧",
    "接进来",
    "转进来",
    "转过来",
    "可以接",
    "好的我接",
    "行我接",
    "accept",
    "i will take it",
    "ill take it",
    "put them through",
];
/// Whoever says one of these has asked something.
const QUESTION: &[&str] =
    &["吗", "什么", "多少", "哪", "怎么", "谁", "几", "what", "how", "where", "which", "who"];
/// Clauses of an entry that are told.
const CLAUSES: usize = 3;

impl LightMind {
    /// See [`Mind::brief`](super::Mind::brief).
    pub(super) fn briefed(&self, facts: &Facts<'_>, words: &str) -> Brief {
        let said = normalize(words);
        if ACCEPT.contains(&said.as_str()) {
            return Brief::Accept;
        }
        let wanted = WORDS.iter().find(|(word, _)| said.contains(word)).map(|(_, wanted)| *wanted);
        let tell = |text: String| Brief::Say(vec![text]);
        match wanted {
            Some(Wanted::Decline) => Brief::Decline,
            Some(Wanted::Repeat) => Brief::Repeat,
            Some(Wanted::Number) => tell(match facts.caller {
                Some(number) => format!("来电{}。", grouped(number)),
                None => "来电没有显示号码。".to_owned(),
            }),
            Some(Wanted::Vehicle) => {
                let told = summary::deeds(self.tenant(), facts.used, self.today());
                let told: Vec<_> = told.into_iter().filter(|deed| deed.contains('车')).collect();
                tell(if told.is_empty() {
                    "没有查到车辆。".to_owned()
                } else {
                    format!("{}。", told.join("。"))
                })
            }
            Some(Wanted::Mood) => {
                let upset = |text: &str| {
                    let heard = Heard::new(text);
                    heard.upset(self.tenant()).is_some() || heard.complains(self.tenant()).is_some()
                };
                let upset = facts.history.iter().any(|said| said.who == Who::Caller && upset(&said.text));
                tell(if upset { "客户情绪激动。" } else { "客户情绪平稳。" }.to_owned())
            }
            Some(Wanted::Said) => {
                let last = facts.history.iter().rev().filter(|said| said.who == Who::Caller);
                let last: Vec<_> = last.take(2).map(|said| said.text.as_str()).collect();
                let told: Vec<_> = last.into_iter().rev().collect();
                tell(if told.is_empty() {
                    "客户还没有说话。".to_owned()
                } else {
                    format!("客户说：{}。", told.join("，"))
                })
            }
            None => self.looked_up(words, &said),
        }
    }

    /// The knowledge answers a seat as it answers a caller; what it does not know it says so.
    fn looked_up(&self, words: &str, said: &str) -> Brief {
        let transcript = Transcript { text: words.to_owned(), confidence: 0.9, ..Transcript::default() };
        let ask = self.spelt(&Ask { transcript, ..Ask::default() });
        if let Some(entry) = self.sure_entry(&ask) {
            let clauses = super::clause::clauses(entry.answer(Lang::Zh));
            return Brief::Say(clauses.into_iter().take(CLAUSES).collect());
        }
        if QUESTION.iter().any(|word| said.contains(word)) {
            Brief::Say(vec!["这个我不知道。".to_owned()])
        } else {
            Brief::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::tenant::Tenant;
    use crate::dialogue::{Mind, Reason, Said};
    use crate::tools::{Outcome, Use, Used};
    use serde_json::json;

    fn brief(words: &str) -> Brief {
        let mind = LightMind::new(Tenant::load("nev", None).unwrap());
        let caller = |text: &str| Said { who: Who::Caller, text: text.into(), interrupted: false };
        let history = [caller("车充不进电"), caller("你们太差劲了我要投诉")];
        let vehicles = json!({ "vehicles": [{ "model": "青屿 S7", "plate": "沪AD12345" }] });
        let what = Use { tool: "find_vehicle".into(), arguments: serde_json::Map::new(), occasion: 0 };
        let used = [Used { what, outcome: Outcome::Done(vehicles) }];
        let facts = Facts {
            history: &history,
            used: &used,
            reason: Some(Reason::Upset),
            caller: Some("13800138000"),
        };
        mind.brief(&facts, words)
    }

    #[test]
    fn a_seat_takes_or_declines_by_voice() {
        for (words, wanted) in [
            ("我接。", Brief::Accept),
            ("接进来", Brief::Accept),
            ("不接", Brief::Decline),
            ("我现在没空", Brief::Decline),
            ("再说一遍", Brief::Repeat),
            ("嗯", Brief::Nothing),
            ("知道了", Brief::Nothing),
        ] {
            assert_eq!(brief(words), wanted, "{words}");
        }
    }

    #[test]
    fn a_seat_is_told_what_it_asks_from_facts_and_knowledge_alone() {
        for (words, told) in [
            ("客户什么号码", "138 0013 8000"),
            ("他是什么车", "青屿 S7"),
            ("情绪怎么样", "激动"),
            ("他怎么说的", "车充不进电"),
            ("首保是多少公里", "公里"),
            ("你们老板是谁", "不知道"),
        ] {
            let Brief::Say(clauses) = brief(words) else { panic!("{words} is not answered") };
            assert!(clauses.concat().contains(told), "{words}: {clauses:?}");
        }
    }
}
