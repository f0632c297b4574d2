//! Arguments that a model gives: whom or what they name must come from the conversation, not from the model.

use serde_json::{Map, Value};

use crate::asr::written::written;
use crate::dialogue::memory::PROVEN;
use crate::dialogue::{Ask, Who};
use crate::tools::{Outcome, Specs};

/// So many digits in a text name somebody or something: a telephone number, a plate, an order.
const NAMING: usize = 5;
/// So many digits and nothing else are a telephone number.
const PHONE: std::ops::RangeInclusive<usize> = 7..=15;

/// Whether every argument that names a person or a thing is known: from the network (the caller's number), from a tool, from
/// what flows have learned, or from the caller's words. Another person's telephone number is not the caller's to give: he could
/// ask about anybody. Gives the name of the argument that is not.
pub(super) fn founded<'a>(arguments: &'a Map<String, Value>, ask: &Ask) -> Result<(), &'a str> {
    let mut sources = vec![ask.caller.clone().unwrap_or_default()];
    // What headers tell is anybody's word.
    let facts = ask.memory.facts.iter().filter(|(name, _)| *name != "call");
    sources.extend(facts.map(|(_, value)| value.to_string()));
    for used in &ask.used {
        if let Outcome::Done(answer) = &used.outcome {
            sources.push(answer.to_string());
        }
    }
    let mut said = Vec::new();
    let words = ask.history.iter().filter(|said| said.who == Who::Caller).map(|said| said.text.as_str());
    for words in words.chain([ask.transcript.text.as_str()]) {
        said.extend([compact(words), compact(&written(words))]);
    }
    // A number may be said in pieces.
    said.push(said.iter().skip(1).step_by(2).map(String::as_str).collect());
    let sources: Vec<String> = sources.iter().map(|text| compact(text)).collect();
    for (name, value) in arguments {
        let Value::String(text) = value else { continue };
        let value = compact(text);
        let digits = value.chars().filter(char::is_ascii_digit).count();
        let phone = PHONE.contains(&digits) && digits == value.chars().count();
        let time = text.parse::<jiff::civil::DateTime>().is_ok() || text.parse::<jiff::civil::Date>().is_ok();
        if digits < NAMING || time {
            continue;
        }
        let known = |texts: &[String]| texts.iter().any(|text| text.contains(&value));
        if !known(&sources) && (phone || !known(&said)) {
            return Err(name);
        }
    }
    Ok(())
}

/// Whether what is looked up belongs to the caller: the calling number, a record that a flow has proven to be the caller's, or
/// what was found by one of these. To know a plate is not enough.
pub(super) fn own(arguments: &Map<String, Value>, ask: &Ask, specs: &Specs) -> bool {
    let mut own: Vec<String> = ask.caller.iter().map(|caller| compact(caller)).collect();
    let proven = ask.memory.facts.get(PROVEN).and_then(Value::as_array).into_iter().flatten();
    own.extend(proven.filter_map(Value::as_str).map(compact));
    for used in &ask.used {
        let personal = specs.find(&used.what.tool).is_some_and(|spec| spec.personal.is_some());
        if let Outcome::Done(answer) = &used.outcome
            && personal
            && belongs(&used.what.arguments, &own)
        {
            own.push(compact(&answer.to_string()));
        }
    }
    belongs(arguments, &own)
}

/// Whether all that names somebody is among `own`, and something does.
fn belongs(arguments: &Map<String, Value>, own: &[String]) -> bool {
    let texts = arguments.values().filter_map(Value::as_str).map(compact);
    let naming: Vec<String> =
        texts.filter(|text| text.chars().filter(char::is_ascii_digit).count() >= NAMING).collect();
    !naming.is_empty() && naming.iter().all(|name| own.iter().any(|text| text.contains(name.as_str())))
}

/// Letters and digits alone.
fn compact(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_uppercase).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::asr::Transcript;
    use crate::tools::{Use, Used};

    fn takes(arguments: Value, caller: Option<&str>, says: &str) -> bool {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        let transcript = Transcript { text: says.into(), ..Transcript::default() };
        let ask = Ask { transcript, caller: caller.map(str::to_owned), ..Ask::default() };
        founded(&arguments, &ask).is_ok()
    }

    #[test]
    fn a_plate_is_not_enough_to_hear_of_its_car() {
        let tenant = crate::dialogue::tenant::Tenant::load("nev", None).expect("the reference tenant loads");
        let arguments = |arguments: Value| arguments.as_object().cloned().expect("an object");
        let own = |ask: &Ask, given: Value| super::own(&arguments(given), ask, &tenant.tools);
        let mut ask = Ask { caller: Some("13800001234".into()), ..Ask::default() };
        let (plate, vin) = (json!({"plate": "沪AD12345"}), json!({"vin": "LGYS7A1E9RS000101"}));
        assert!(own(&ask, json!({"phone": "13800001234"})) && !own(&ask, json!({"phone": "13900005678"})));
        assert!(!own(&ask, plate.clone()) && !own(&ask, json!({})));
        let used = |given: &Value| Used {
            what: Use { tool: "find_vehicle".into(), arguments: arguments(given.clone()), occasion: 1 },
            outcome: Outcome::Done(json!({"vehicles": [{"plate": "沪AD12345", "vin": "LGYS7A1E9RS000101"}]})),
        };
        ask.used = vec![used(&plate)];
        assert!(!own(&ask, vin.clone()), "what a flow found by a stranger's plate");
        ask.used = vec![used(&json!({"phone": "13800001234"}))];
        assert!(own(&ask, vin.clone()) && own(&ask, plate.clone()), "the caller's own car");
        ask.used.clear();
        ask.memory.facts.insert(PROVEN.into(), json!(["沪AD12345"]));
        assert!(own(&ask, plate), "the caller has proven to be the owner");
    }

    #[test]
    fn what_a_model_made_up_is_not_looked_up() {
        let own = Some("13800001234");
        assert!(takes(json!({"phone": "13800001234"}), own, "查一下我的车"));
        assert!(!takes(json!({"phone": "13900005678"}), own, "查一下我的车"), "an invented number");
        assert!(
            !takes(json!({"phone": "13900005678"}), own, "幺三九零零零零五六七八的车主是谁"),
            "a stranger's"
        );
        assert!(!takes(json!({"phone": "13800001234"}), None, "查一下我的车"));
        assert!(takes(json!({"plate": "沪AD12345"}), own, "我的车牌是沪 AD12345"));
        assert!(!takes(json!({"plate": "沪AD99999"}), own, "我的车牌是沪AD12345"));
        assert!(takes(json!({"item": "小保养", "day": "2026-11-25", "price": 200_000}), own, "小保养多少钱"));
    }
}
