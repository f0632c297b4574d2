//! What the seat hears before taking the call: facts of the history, in under fifteen seconds.

use std::collections::BTreeSet;

use super::flow::words::Words;
use super::intent::Heard;
use super::phrases::grouped;
use super::slots;
use super::tenant::Tenant;
use super::text::{Lang, is_han, normalize, strip_lead};
use super::{Facts, Reason, Said, Who};
use crate::tools::{Outcome, Used};

/// Longest problem that is quoted, in characters.
const PROBLEM: usize = 24;

/// Most of what tools did that is told.
const DEEDS: usize = 2;

/// Who, which vehicle, what is wrong, what was answered and done, mood, and what the caller wants. Nothing but facts of the call.
pub(super) fn summarize(tenant: &Tenant, facts: &Facts<'_>, today: jiff::civil::Date) -> String {
    let Facts { history, used, reason, caller } = *facts;
    let mut parts = Vec::new();
    if let Some(number) = caller.filter(|n| n.chars().filter(char::is_ascii_digit).count() >= 5) {
        parts.push(format!("来电{}", grouped(number)));
    }
    let spelt = |said: &Said| tenant.spelling.spell(&said.text).text;
    let said: Vec<String> = history.iter().filter(|s| s.who == Who::Caller).map(spelt).collect();
    if said.last().and_then(|t| Lang::of(t)) == Some(Lang::En) {
        parts.push("客户说英语".to_owned());
    }
    // What is wrong helps the seat more than how angrily it was said.
    let told = said.iter().rev().find_map(|t| problem(tenant, t, false));
    match told.or_else(|| said.iter().rev().find_map(|t| problem(tenant, t, true))) {
        Some(problem) => parts.push(format!("问题：{problem}")),
        None => parts.push("没有说明问题".to_owned()),
    }
    let deeds = deeds(tenant, used, today);
    let heard: String = history.iter().filter(|s| s.who == Who::Bot).map(|s| s.text.as_str()).collect();
    let answered: Vec<&str> = tenant
        .knowledge
        .entries()
        .iter()
        .filter(|e| {
            let begins = |answer: &str| {
                super::clause::clauses(answer).first().is_some_and(|c| heard.contains(c.as_str()))
            };
            e.wordings().any(begins)
        })
        .map(|e| e.title.as_str())
        .take(2 - deeds.len().min(2))
        .collect();
    parts.extend(deeds);
    if !answered.is_empty() {
        parts.push(format!("已答：{}", answered.join("、")));
    }
    let upset = |text: &String| {
        let heard = Heard::new(text);
        heard.upset(tenant).is_some() || heard.complains(tenant).is_some()
    };
    if said.iter().any(upset) {
        parts.push("客户情绪激动".to_owned());
    }
    let reason = reason.map(|reason| match reason {
        Reason::Requested => "客户要求人工",
        Reason::KeyZero => "客户按零转人工",
        Reason::Safety => "涉及安全，请优先",
        Reason::Upset => "客户要投诉",
        Reason::LowConfidence => "机器人没有把握",
        Reason::Broken => "系统出错转来",
    });
    parts.extend(reason.map(str::to_owned));
    format!("{}。", parts.join("。"))
}

/// What tools have found and done, in the tenant's words: the last ones, each tool once.
pub(super) fn deeds(tenant: &Tenant, used: &[Used], today: jiff::civil::Date) -> Vec<String> {
    let words = Words::default();
    let mut seen = BTreeSet::new();
    let mut deeds: Vec<String> = used
        .iter()
        .rev()
        .filter(|used| seen.insert(used.what.tool.as_str()))
        .filter_map(|used| match &used.outcome {
            Outcome::Done(answer) => {
                let told = tenant.tools.find(&used.what.tool)?.told(Lang::Zh)?;
                let context = serde_json::json!({
                    "lang": "zh",
                    "today": today.to_string(),
                    "arguments": used.what.arguments,
                    "answer": answer,
                });
                words.text(told, &context).ok().filter(|text| !text.is_empty())
            }
            Outcome::Failed(_) => Some("系统查询没有成功".to_owned()),
            Outcome::Refused { .. } | Outcome::Invalid(_) => None,
        })
        .take(DEEDS)
        .collect();
    deeds.reverse();
    deeds.dedup();
    deeds
}

/// `text` as a problem in the caller's words; [`None`] if it tells none (a yes, a number, a wish for a person …).
/// Anger counts only if `angry`.
pub(crate) fn problem(tenant: &Tenant, text: &str, angry: bool) -> Option<String> {
    let heard = Heard::new(text);
    let digits = text.chars().filter(|c| c.is_ascii_digit() || "零一二三四五六七八九幺".contains(*c)).count();
    let length = text.chars().filter(|c| is_han(*c) || c.is_ascii_alphabetic()).count();
    let none = heard.small_talk().is_some()
        || tenant.lexicon.is_backchannel(text)
        || heard.wants_person(tenant).is_some()
        || (!angry && (heard.upset(tenant).is_some() || heard.complains(tenant).is_some()))
        || (length <= 5 && slots::yes_no(text).is_some())
        || heard.text() == "我要投诉"
        || digits * 2 > length
        || length < 3;
    if none {
        return None;
    }
    let normal = normalize(text);
    let words = strip_lead(&normal);
    let limit = if Lang::of(words) == Some(Lang::En) { 3 * PROBLEM } else { PROBLEM };
    Some(words.chars().take(limit).collect())
}
