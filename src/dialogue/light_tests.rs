//! The light tier on the reference tenant.

use std::sync::Mutex;

use super::*;
use serde_json::json;

use crate::asr::Transcript;
use crate::tools::Used;

fn mind() -> LightMind {
    let tenant =
        Tenant::load_on("nev", None, jiff::civil::date(2026, 1, 1)).expect("the reference tenant loads");
    LightMind::new(Arc::new(tenant))
}

fn ask(text: &str) -> Ask {
    Ask {
        transcript: Transcript { text: text.into(), confidence: 0.9, ..Transcript::default() },
        ..Ask::default()
    }
}

fn said(turns: &[(Who, &str)]) -> Vec<Said> {
    turns.iter().map(|(who, text)| Said { who: *who, text: (*text).into(), interrupted: false }).collect()
}

#[test]
fn danger_goes_to_a_person_with_advice_first() {
    let mind = mind();
    for text in [
        "我的车冒烟了",
        "车起火了快来人",
        "追尾了有人受伤",
        "刹车失灵了怎么办",
        "孩子被锁在车里了",
        "my car is on fire",
    ] {
        let reply = mind.reply(&ask(text));
        assert_eq!(reply.decision.act, Act::Handoff(Reason::Safety), "{text}");
        assert!(!reply.clauses.is_empty(), "{text}: advice comes first");
    }
}

#[test]
fn danger_that_is_asked_about_or_denied_is_no_emergency() {
    let mind = mind();
    for text in ["电动车会不会自燃", "追尾了没有人受伤", "电池会不会起火啊", "我担心电池着火"]
    {
        let act = mind.reply(&ask(text)).decision.act;
        assert_ne!(act, Act::Handoff(Reason::Safety), "{text}");
    }
    let act = mind.reply(&ask("会不会着火啊现在冒烟了")).decision.act;
    assert_eq!(act, Act::Handoff(Reason::Safety), "what is happening counts");
}

#[test]
fn a_person_is_given_on_request_in_any_wording() {
    let mind = mind();
    for text in [
        "转人工",
        "帮我转人工",
        "专人工",
        "我要人工客服",
        "我不想跟机器人说话",
        "叫你们经理来",
        "人工人工",
        "人工",
        "给我接人工",
        "能不能转接人工",
        "I want to speak to an agent",
        "please transfer me to a human",
    ] {
        assert_eq!(mind.reply(&ask(text)).decision.act, Act::Handoff(Reason::Requested), "{text}");
    }
    for text in ["不用转人工", "人工费多少钱", "先不转人工"] {
        assert_ne!(mind.reply(&ask(text)).decision.act, Act::Handoff(Reason::Requested), "{text}");
    }
}

#[test]
fn an_angry_caller_gets_an_apology_and_a_person() {
    let mind = mind();
    for text in ["我要投诉", "你们什么态度", "太气人了都第三次了", "再不解决我就退车", "this is ridiculous"]
    {
        let reply = mind.reply(&ask(text));
        assert_eq!(reply.decision.act, Act::Handoff(Reason::Upset), "{text}");
        assert!(!reply.clauses.is_empty(), "{text}: an apology comes first");
    }
    let reply = mind.reply(&ask("投诉处理进度怎么查"));
    assert_eq!(reply.decision.act, Act::Answer, "asking about a complaint is a question");
}

#[test]
fn no_evaluation_question_sets_off_a_rule() {
    let mind = mind();
    let list = include_str!("../../tenants/nev/eval/questions.tsv");
    for line in list.lines().filter(|l| !l.starts_with('#') && !l.ends_with("none")) {
        let (text, _) = line.split_once('\t').expect("question TAB id");
        let rule = mind.rules(&ask(text));
        assert!(rule.is_none(), "{text} is a question, not {:?}", rule.map(|r| r.decision.act));
    }
}

#[test]
fn expected_answers_are_understood() {
    let mind = mind();
    let act = |text: &str, expect: Expect, history: &[(Who, &str)]| {
        mind.reply(&Ask {
            expect,
            core_asks: true,
            history: said(history),
            caller: Some("13911112222".into()),
            ..ask(text)
        })
        .decision
        .act
    };
    assert_eq!(act("好的可以", Expect::YesNo, &[]), Act::Yes);
    assert_eq!(act("不用了谢谢", Expect::YesNo, &[]), Act::No);
    assert_eq!(act("不用转人工了", Expect::YesNo, &[]), Act::No);
    assert_eq!(act("转人工", Expect::YesNo, &[]), Act::Handoff(Reason::Requested));
    assert_eq!(
        act("幺三八", Expect::Phone, &[(Who::Bot, "请说一下您的手机号码。")]),
        Act::PhonePart("138".into())
    );
    let so_far = [
        (Who::Caller, "充不进电"),
        (Who::Bot, "请说一下您的手机号码。"),
        (Who::Caller, "幺三八"),
        (Who::Bot, "嗯，请继续。"),
        (Who::Caller, "零零幺三"),
    ];
    assert_eq!(act("八零零零", Expect::Phone, &so_far), Act::Phone("13800138000".into()));
    assert_eq!(act("就打这个号码", Expect::Phone, &[]), Act::Phone("13911112222".into()));
    assert_eq!(act("明天上午十点吧", Expect::Time, &[]), Act::When("明天上午十点".into()));
}

#[test]
fn small_talk_is_answered_and_backchannels_are_not() {
    let mind = mind();
    let reply = mind.reply(&ask("你是机器人吗"));
    assert!(reply.clauses.concat().contains("不是真人"), "it is honest about itself: {:?}", reply.clauses);
    assert_eq!(mind.reply(&ask("你是真人吗")).decision.topic, "smalltalk");
    assert_eq!(mind.reply(&ask("喂你好听得到吗")).decision.topic, "smalltalk");
    assert_eq!(mind.reply(&ask("谢谢你")).decision.act, Act::Answer);
    for text in ["再见", "没有别的了谢谢", "好的再见", "就这样吧谢谢"] {
        assert_eq!(mind.reply(&ask(text)).decision.act, Act::Goodbye, "{text}");
    }
    let more = said(&[(Who::Bot, "不客气，请问还有其他问题吗？")]);
    assert_eq!(mind.reply(&Ask { history: more, ..ask("没有了") }).decision.act, Act::Goodbye);
    for text in ["嗯", "好的好的", "哦这样啊", ""] {
        assert_eq!(mind.reply(&ask(text)).decision.act, Act::Ignore, "{text:?}");
    }
    let before = said(&[(Who::Bot, "请先拔枪重插，换一个桩试试。")]);
    let reply = mind.reply(&Ask { history: before, ..ask("你再说一遍") });
    assert_eq!(reply.clauses.concat(), "请先拔枪重插，换一个桩试试。");
}

#[test]
fn what_only_sounds_like_something_known_is_understood_and_a_little_less_sure() {
    let mind = mind();
    let reply = |text: &str| mind.reply(&mind.spelt(&ask(text))).decision;
    for (heard, meant) in [
        ("收保什么时候做", "首保什么时候做"),
        ("报养多少钱", "保养多少钱"),
        ("帮我叫一个托车", "帮我叫一个拖车"),
        ("嗯好的在见", "嗯好的再见"),
        ("歇歇", "谢谢"),
        ("车企火了快来人", "车起火了快来人"),
        ("我的车器坏了", "我的车起火了"),
        ("刹车是零了", "刹车失灵了"),
        ("有人受商了", "有人受伤了"),
        ("我要头诉", "我要投诉"),
        ("请帮我专人工", "请帮我转人工"),
    ] {
        let (by_sound, by_word) = (reply(heard), reply(meant));
        assert_eq!(
            (&by_sound.act, &by_sound.sources),
            (&by_word.act, &by_word.sources),
            "{heard} is {meant}"
        );
        assert!(by_sound.confidence < by_word.confidence, "{heard} is heard less surely than {meant}");
    }
}

#[test]
fn a_word_that_only_resembles_danger_is_none() {
    let mind = mind();
    for text in [
        "我的车熄火了",
        "车子又熄火了怎么办",
        "刹车片要换吗",
        "我的车机坏了",
        "车漆坏了怎么补",
        "堵车急坏了",
        "修车气坏了我",
        "我的车坏了",
        "充电器坏了",
        "雨刮器坏了",
        "车企说了",
        "我收到了一份账单",
        "车起步了就响",
    ] {
        let act = mind.reply(&mind.spelt(&ask(text))).decision.act;
        assert_ne!(act, Act::Handoff(Reason::Safety), "{text}");
    }
}

fn told(mind: &LightMind, history: &[Said], reason: Reason, caller: Option<&str>) -> String {
    mind.summarize(&Facts { history, used: &[], reason: Some(reason), caller })
}

#[test]
fn the_summary_reads_as_the_house_writes() {
    let summary = told(&mind(), &said(&[(Who::Caller, "我想问收保什么时候做")]), Reason::Requested, None);
    assert!(summary.contains("首保什么时候做"), "{summary}");
}

#[test]
fn an_answer_comes_clause_by_clause_with_its_source() {
    let mind = mind();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    mind.think(
        ask("我想问一下充电枪拔不出来怎么办"),
        Box::new(move |t| sink.lock().expect("no panic").push(t)),
    );
    let seen = seen.lock().expect("no panic");
    assert!(seen.len() >= 4, "several clauses and a decision: {seen:?}");
    let Some(Thought::Decided(decision)) = seen.last() else { panic!("the decision comes last: {seen:?}") };
    assert_eq!(
        (decision.act.clone(), decision.sources.clone()),
        (Act::Answer, vec!["charge-gun-stuck".to_owned()])
    );
}

#[test]
fn english_callers_are_answered_in_english() {
    let reply = mind().reply(&ask("how long does it take to charge the car"));
    assert_eq!(reply.decision.sources, ["charge-time"]);
    assert!(reply.clauses.concat().is_ascii(), "{:?}", reply.clauses);
}

#[test]
fn an_unclear_turn_is_clarified_once_and_then_handed_over() {
    let mind = mind();
    let first = mind.reply(&ask("轮胎"));
    assert_eq!(first.decision.act, Act::Clarify, "{first:?}");
    assert!(first.clauses.concat().contains("您是想问"), "{:?}", first.clauses);
    let asked = first.clauses.concat();
    let history = said(&[(Who::Caller, "轮胎"), (Who::Bot, &asked)]);
    let again = |text: &str| mind.reply(&Ask { history: history.clone(), clarified: true, ..ask(text) });
    assert_eq!(again("第二个").decision.act, Act::Answer);
    assert_eq!(again("都不是").decision.act, Act::Handoff(Reason::LowConfidence));
    assert_eq!(again("我家的猫不吃饭").decision.act, Act::Handoff(Reason::LowConfidence));
    let strange = mind.reply(&ask("今天股票涨了没有"));
    assert_eq!(strange.decision.act, Act::Clarify);
}

#[test]
fn a_follow_up_leans_on_the_topic_before() {
    let mind = mind();
    let history = said(&[(Who::Caller, "我想做一次小保养"), (Who::Bot, "可以在应用里预约。")]);
    let reply = mind.reply(&Ask { history, ..ask("那要多少钱") });
    assert_eq!(reply.decision.sources, ["maint-cost"], "{reply:?}");
    let history = said(&[(Who::Caller, "我需要道路救援"), (Who::Bot, "请先打开双闪。")]);
    let reply = mind.reply(&Ask { history, ..ask("要多久到") });
    assert_eq!(reply.decision.sources, ["rescue-eta"], "{reply:?}");
}

#[test]
fn asking_again_and_hearing_badly_lower_the_confidence() {
    let mind = mind();
    let question = "空调不制冷怎么回事";
    let first = mind.reply(&ask(question)).decision.confidence;
    let history = said(&[(Who::Caller, question), (Who::Bot, "请确认打开了制冷键。")]);
    let second = mind.reply(&Ask { history, ..ask(question) }).decision.confidence;
    assert!(second < first - 0.2, "asked again: {first} then {second}");
    let mut unsure = ask(question);
    unsure.transcript.confidence = 0.2;
    let badly_heard = mind.reply(&unsure).decision.confidence;
    // Words that are an approved question to the letter are seldom misheard, whatever the recogniser says.
    assert!(badly_heard < first - 0.05, "heard badly: {first} then {badly_heard}");
}

#[test]
fn the_summary_tells_the_facts_in_a_few_words() {
    let mind = mind();
    let answer = mind.reply(&ask("充电枪拔不出来")).clauses.concat();
    let history = said(&[
        (Who::Caller, "你好我想问一下充电枪拔不出来"),
        (Who::Bot, &answer),
        (Who::Caller, "嗯"),
        (Who::Caller, "帮我转人工"),
    ]);
    let summary = told(&mind, &history, Reason::Requested, Some("13800138000"));
    assert_eq!(summary, "来电138 0013 8000。问题：充电枪拔不出来。已答：充电枪拔不出来。客户要求人工。");
    assert!(summary.chars().count() <= 75, "short enough for fifteen seconds");
    let empty = told(&mind, &[], Reason::KeyZero, None);
    assert_eq!(empty, "没有说明问题。客户按零转人工。");
}

#[test]
fn the_summary_tells_the_vehicle_and_what_was_done() {
    let history = said(&[(Who::Caller, "帮我约个保养"), (Who::Caller, "转人工")]);
    let done = |tool: &str, arguments: serde_json::Value, answer: serde_json::Value| Used {
        what: crate::tools::Use {
            tool: tool.into(),
            arguments: arguments.as_object().cloned().unwrap_or_default(),
            occasion: 0,
        },
        outcome: crate::tools::Outcome::Done(answer),
    };
    let vehicles = json!({ "vehicles": [{ "model": "青屿 S7", "plate": "沪AD12345" }] });
    let used = [
        done("find_vehicle", json!({ "phone": "13800138000" }), vehicles),
        done("free_slots", json!({}), json!({ "slots": [] })),
        done("book", json!({ "start": "2026-11-25T14:30" }), json!({ "booking": { "id": "530118" } })),
    ];
    let facts = Facts { history: &history, used: &used, reason: Some(Reason::Requested), caller: None };
    let summary = mind().summarize(&facts);
    assert!(summary.contains("青屿 S7") && summary.contains("已预约"), "{summary}");
    assert!(summary.chars().count() <= 75, "short enough for fifteen seconds: {summary}");
    let failed = Used { outcome: crate::tools::Outcome::Failed("timed out".into()), ..used[0].clone() };
    let summary = mind().summarize(&Facts { used: &[failed], ..facts });
    assert!(summary.contains("系统查询没有成功"), "{summary}");
}

#[test]
fn a_turn_is_answered_in_well_under_ten_milliseconds() {
    let mind = mind();
    let questions =
        ["续航怎么掉得这么快", "充电桩充不进电怎么回事", "帮我转人工", "今天天气怎么样", "首保是多少公里"];
    mind.reply(&ask(questions[0]));
    let clock = crate::clock::Clock::start();
    let rounds = 40;
    for _ in 0..rounds {
        for question in questions {
            mind.reply(&ask(question));
        }
    }
    let each = clock.now().since_start() / (rounds * questions.len() as u32);
    println!("{} µs a light answer", each.as_micros());
    assert!(each < std::time::Duration::from_millis(10), "{each:?} a turn");
}

#[test]
fn the_summary_of_an_angry_long_call_stays_short() {
    let mind = mind();
    let history = said(&[
        (Who::Caller, "我的车上个星期送到你们服务中心去修空调到现在已经十天了还没有修好也没有人给我打电话"),
        (Who::Bot, "维修进度可以在应用的工单里查看，"),
        (Who::Caller, "你们什么态度我要投诉"),
    ]);
    let summary = told(&mind, &history, Reason::Upset, Some("sip:13800138000@example.com"));
    assert!(
        summary.starts_with("来电138 0013 8000。问题：我的车上个星期送到你们服务中心去修空调"),
        "{summary}"
    );
    assert!(
        summary.contains("维修进度") && summary.contains("情绪激动") && summary.contains("投诉"),
        "{summary}"
    );
    assert!(summary.chars().count() <= 75, "{} characters: {summary}", summary.chars().count());
}

#[test]
fn a_caller_who_cut_the_bot_short_may_have_the_rest() {
    let mind = mind();
    let cut = |interrupted| {
        let mut history = said(&[(Who::Caller, "空调不制冷怎么办"), (Who::Bot, "先看一下设定温度")]);
        history[1].interrupted = interrupted;
        history
    };
    for text in ["继续", "你接着说", "请继续", "好的你继续说吧", "刚才说到哪了", "go on", "please continue"]
    {
        let reply = mind.reply(&Ask { history: cut(true), ..ask(text) });
        assert_eq!(reply.decision.act, Act::Continue, "{text}");
        let reply = mind.reply(&Ask { history: cut(false), ..ask(text) });
        assert_ne!(reply.decision.act, Act::Continue, "{text}: nothing was cut");
    }
    for text in ["继续预约保养", "空调继续不制冷"] {
        let reply = mind.reply(&Ask { history: cut(true), ..ask(text) });
        assert_ne!(reply.decision.act, Act::Continue, "{text}");
    }
}
