//! What is not sure enough is not said.

use super::*;
use crate::clock::Clock;

fn saying(text: &str) -> Script {
    let text = words(&[text]) + &event(&json!({}), Some("stop"));
    Script::Chunks(vec![text.into_bytes()])
}

#[tokio::test]
async fn an_answer_that_rests_on_nothing_is_not_said_and_the_second_time_a_person_comes() {
    let bench = bench(saying("紫色章鱼最喜欢在海底唱歌。")).await;
    let asked = ask("就是那个会唱歌的紫色章鱼");
    let (clauses, decision) = outcome(start(&bench.mind, asked.clone())).await;
    assert_eq!(decision.act, Act::Clarify);
    assert!(!clauses.concat().contains("海底"), "{clauses:?}");
    assert!(
        decision.withheld.iter().any(|text| text.starts_with("not sure enough")),
        "{:?}",
        decision.withheld
    );
    assert!(decision.why.logits.contains_key("grounded"), "{:?}", decision.why);
    let (clauses, decision) = outcome(start(&bench.mind, Ask { clarified: true, ..asked })).await;
    assert_eq!(decision.act, Act::Handoff(Reason::LowConfidence));
    assert!(!clauses.concat().contains("海底"), "{clauses:?}");
}

#[tokio::test]
async fn a_long_answer_that_rests_on_nothing_keeps_nobody_waiting() {
    let text = words(&["紫色章鱼会唱歌。", "它住在海底。", "它喜欢月亮。", "它有八只手。", "它还会"]);
    let bench = bench(Script::Hang(vec![text.into_bytes()])).await;
    let clock = Clock::start();
    let (clauses, decision) = outcome(start(&bench.mind, ask("就是那个会唱歌的紫色章鱼"))).await;
    let took = clock.now().since_start();
    assert_eq!(decision.act, Act::Clarify);
    assert!(!clauses.concat().contains("海底"), "{clauses:?}");
    assert!(took < Duration::from_secs(3), "the stream hangs, and it was waited for {took:?}");
}

#[tokio::test]
async fn a_question_back_is_asked_once() {
    let bench = bench(saying("请问您说的是哪一种章鱼？")).await;
    let asked = ask("就是那个会唱歌的紫色章鱼");
    let (clauses, decision) = outcome(start(&bench.mind, asked.clone())).await;
    assert_eq!((clauses.concat().as_str(), decision.act), ("请问您说的是哪一种章鱼？", Act::Clarify));
    let (_, decision) = outcome(start(&bench.mind, Ask { clarified: true, ..asked })).await;
    assert_eq!(decision.act, Act::Handoff(Reason::LowConfidence));
}

#[tokio::test]
async fn how_sure_the_model_is_of_its_tokens_counts_where_it_tells() {
    let told = async |logprob: Option<f64>| {
        let tokens = logprob.map(|logprob| json!({"content": [{"token": "请", "logprob": logprob}]}));
        let delta =
            json!({"choices": [{"index": 0, "delta": {"content": "请先结束充电。"}, "logprobs": tokens}]});
        let text = format!("data: {delta}\n\n") + &event(&json!({}), Some("stop"));
        let (server, url, _closed) = server(vec![Script::Chunks(vec![text.into_bytes()])]).await;
        let tenant = Tenant::load_on("nev", None, jiff::civil::date(2026, 1, 1)).expect("the tenant loads");
        let config = LlmConfig { url, logprobs: logprob.is_some(), ..LlmConfig::default() };
        let light = LightMind::new(Arc::new(tenant));
        let mind =
            LlmMind::new(config, light, tokio::runtime::Handle::current()).expect("the address is right");
        let (_, decision) = outcome(start(&mind, ask(QUESTION))).await;
        let asked = server.requests.lock().expect("no panic")[0].get("logprobs").cloned();
        (decision, asked)
    };
    let (unknown, asked) = told(None).await;
    assert_eq!((asked, unknown.why.logits.get("logprob")), (None, None), "absent unless it is asked for");
    let (sure, asked) = told(Some(-0.05)).await;
    assert_eq!(asked, Some(json!(true)));
    let (guessing, _) = told(Some(-1.2)).await;
    assert!(guessing.confidence < unknown.confidence && unknown.confidence < sure.confidence);
    assert!(guessing.why.logits["logprob"] < 0.0 && sure.why.logits["logprob"] > 0.0);
}

#[tokio::test]
async fn all_servers_together_have_one_wait_for_the_first_words() {
    let silent = || server(vec![Script::Silent]);
    let (one, two, three) = (silent().await, silent().await, silent().await);
    let limit = Duration::from_millis(600);
    let mind = mind(&[one.1, two.1, three.1], limit);
    let clock = Clock::start();
    let (_, decision) = outcome(start(&mind, ask(QUESTION))).await;
    let took = clock.now().since_start();
    assert_eq!((decision.tier, decision.act), (Tier::Light, Act::Answer));
    assert!(took < 2 * limit, "three silent servers took {took:?}");
    for server in [one.0, two.0, three.0] {
        assert_eq!(server.requests.lock().expect("no panic").len(), 1, "each is asked");
    }
}
