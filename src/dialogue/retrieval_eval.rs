//! How well retrieval does on questions that it was not built from, clean and misheard.

use super::*;
use crate::dialogue::tenant::Tenant;

const QUESTIONS: &str = include_str!("../../tenants/nev/eval/questions.tsv");
const MISHEARD: &str = include_str!("../../tenants/nev/eval/misheard.tsv");
/// Below this the reference tenant does not answer.
const ANSWER: f32 = 0.6;

fn tenant() -> Tenant {
    Tenant::load_on("nev", None, jiff::civil::date(2026, 1, 1)).expect("the reference tenant loads")
}

fn questions(tenant: &Tenant) -> Vec<(&'static str, Option<usize>)> {
    QUESTIONS
        .lines()
        .filter(|l| !l.starts_with('#') && !l.is_empty())
        .map(|line| {
            let (question, id) = line.split_once('\t').expect("question TAB id");
            let entry = (id != "none").then(|| {
                let at = tenant.knowledge.entries().iter().position(|e| e.id == id);
                at.unwrap_or_else(|| panic!("{id} is no entry: {line}"))
            });
            (question, entry)
        })
        .collect()
}

/// Replaces `percent` of the characters, six in ten by one that sounds the same, the others by any; some vanish.
fn mishear(text: &str, percent: u64, seed: u64, pool: &[char]) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |n: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % n
    };
    let folded = |c: char| Syllable::of(c).map(Syllable::folded);
    let mut out = String::new();
    for c in text.chars() {
        if !is_han(c) || next(100) >= percent {
            out.push(c);
            continue;
        }
        let alike: Vec<char> = pool.iter().copied().filter(|p| *p != c && folded(*p) == folded(c)).collect();
        match next(10) {
            0 => {}
            1..=6 if !alike.is_empty() => out.push(alike[next(alike.len() as u64) as usize]),
            _ => out.push(pool[next(pool.len() as u64) as usize]),
        }
    }
    out
}

fn pool(tenant: &Tenant) -> Vec<char> {
    let mut pool: Vec<char> = tenant
        .knowledge
        .entries()
        .iter()
        .flat_map(|e| e.answer.chars().chain(e.questions.iter().flat_map(|q| q.chars())))
        .chain(QUESTIONS.chars())
        .filter(|c| is_han(*c))
        .collect();
    pool.sort_unstable();
    pool.dedup();
    pool
}

#[derive(Default, Debug)]
struct Score {
    asked: f32,
    right: f32,
    answered: f32,
    wrongly: f32,
    strange: f32,
    refused: f32,
}

fn measure(index: &Index, questions: &[(String, Option<usize>)]) -> Score {
    let mut score = Score::default();
    for (question, wanted) in questions {
        let ranking = index.search(question);
        let first = ranking.hits.first().map(|h| h.entry);
        let sure = ranking.confidence >= ANSWER;
        if let Some(entry) = wanted {
            score.asked += 1.0;
            score.right += f32::from(first == Some(*entry));
            score.answered += f32::from(sure && first == Some(*entry));
            score.wrongly += f32::from(sure && first != Some(*entry));
        } else {
            score.strange += 1.0;
            score.refused += f32::from(!sure);
        }
    }
    score
}

fn noisy(questions: &[(&str, Option<usize>)], percent: u64, pool: &[char]) -> Vec<(String, Option<usize>)> {
    questions.iter().enumerate().map(|(i, (q, e))| (mishear(q, percent, i as u64 + 7, pool), *e)).collect()
}

#[test]
fn natural_questions_find_their_entry_and_strange_ones_are_refused() {
    let tenant = tenant();
    let index = Index::new(&tenant.knowledge);
    let questions = questions(&tenant);
    let pool = pool(&tenant);
    for percent in [0, 15, 30] {
        let score = measure(&index, &noisy(&questions, percent, &pool));
        let (top, wrong) = (score.right / score.asked, score.wrongly / score.asked);
        let refused = score.refused / score.strange;
        println!(
            "{percent:2} % misheard: top-1 {:.1} % of {}, answered rightly {:.1} %, wrongly {:.1} %, out of domain refused {:.1} % of {}",
            100.0 * top,
            score.asked,
            100.0 * score.answered / score.asked,
            100.0 * wrong,
            100.0 * refused,
            score.strange
        );
        let least = [0.85, 0.78, 0.6][percent as usize / 15];
        assert!(top >= least, "top-1 of {top} at {percent} % misheard");
        assert!(refused >= 0.8, "only {refused} of strange questions refused at {percent} % misheard");
    }
}

#[test]
fn what_the_recogniser_made_of_the_questions_still_finds_many_of_them() {
    let tenant = tenant();
    let index = Index::new(&tenant.knowledge);
    let questions: Vec<(String, Option<usize>)> = MISHEARD
        .lines()
        .filter(|l| !l.starts_with('#'))
        .map(|line| {
            let mut fields = line.split('\t');
            let heard = fields.next().expect("heard TAB confidence TAB id");
            let id = fields.nth(1).expect("heard TAB confidence TAB id");
            let entry = tenant.knowledge.entries().iter().position(|e| e.id == id);
            (tenant.spelling.spell(heard).text, entry)
        })
        .collect();
    let score = measure(&index, &questions);
    println!("heard by the recogniser: {score:?}");
    assert!(score.right >= 0.78 * score.asked, "top-1 of {score:?}");
    assert!(score.wrongly <= 0.06 * score.asked, "answered wrongly: {score:?}");
}

#[test]
#[ignore = "prints; run it by hand after changing entries or weights"]
fn show_the_mistakes() {
    let tenant = tenant();
    let index = Index::new(&tenant.knowledge);
    for (question, wanted) in questions(&tenant) {
        let ranking = index.search(question);
        let name = |e: usize| tenant.knowledge.entries()[e].id.clone();
        let first = ranking.hits.first().map(|h| h.entry);
        let sure = ranking.confidence >= ANSWER;
        if first != wanted && (wanted.is_some() || sure) || wanted.is_some() && !sure {
            let hits: Vec<_> = ranking.hits.iter().take(3).map(|h| (name(h.entry), h.score)).collect();
            println!("{question}: wanted {:?}, {:.2} {hits:?}", wanted.map(name), ranking.confidence);
        }
    }
}

#[test]
#[ignore = "prints the weights for LOGISTIC; run it by hand after changing entries or weights"]
fn fit_the_confidence() {
    let tenant = tenant();
    let index = Index::new(&tenant.knowledge);
    let questions = questions(&tenant);
    let pool = pool(&tenant);
    let mut data = Vec::new();
    for percent in [0, 0, 10, 20, 30] {
        for (number, (question, wanted)) in noisy(&questions, percent, &pool).into_iter().enumerate() {
            let (hits, features) = index.score(&question, &vec![Fit::All; tenant.knowledge.entries().len()]);
            data.push((number, features, hits.first().map(|h| h.entry) == wanted && wanted.is_some()));
        }
    }
    let fit = |keep: &dyn Fn(usize) -> bool| {
        let mut w = [0.0_f32; 5];
        for _ in 0..20_000 {
            let mut gradient = [0.0_f32; 5];
            for (_, x, y) in data.iter().filter(|(number, ..)| keep(*number)) {
                let error = f32::from(*y) - logistic(&w, x);
                for (g, x) in gradient.iter_mut().zip(x) {
                    *g += error * x;
                }
            }
            for (w, g) in w.iter_mut().zip(gradient) {
                *w += 5.0 * g / data.len() as f32;
            }
        }
        w
    };
    println!("all: {:?}", fit(&|_| true));
    let half = fit(&|i| i % 2 == 0);
    // Other questions than those of the fit, not only other corruptions of the same.
    let odd: Vec<_> = data.iter().filter(|(number, ..)| number % 2 == 1).collect();
    let loss: f32 = odd
        .iter()
        .map(|(_, x, y)| if *y { -logistic(&half, x).ln() } else { -(1.0 - logistic(&half, x)).ln() })
        .sum();
    let agree = odd.iter().filter(|(_, x, y)| (logistic(&half, x) >= 0.5) == *y).count();
    println!(
        "held-out half: loss {:.3}, right side of 0.5 {agree} of {}",
        loss / odd.len() as f32,
        odd.len()
    );
}
