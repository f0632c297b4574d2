//! What goes with the call to a seat: headers that an exchange passes on, and a telephone, a desk or a CRM may show.
//!
//! `User-to-User` (RFC 7433) survives most exchanges and is small: the call and why, as JSON. The `X-Nightline-` headers say the
//! same one by one, for who can read only those. All of them stay far below the 1 KiB that fits into a datagram.

use nightline_sip::uui::{self, Uui};

use crate::record::name_of;
use crate::seat::About;

/// The purpose of our User-to-User information.
pub const PURPOSE: &str = "nightline";
/// A longer page address is not told by headers.
const MAX_URL: usize = 400;

/// The headers for the call `call`.
pub fn headers(call: &str, about: &About, screen: Option<&str>) -> Vec<(String, String)> {
    let short = serde_json::json!({ "call": call, "reason": about.reason.name(), "caller": about.caller });
    let uui = Uui::new(short.to_string(), PURPOSE).to_value();
    let screen = screen.filter(|url| url.len() <= MAX_URL);
    // Not every telephone reads UTF-8 in headers.
    let topic = Some(about.topic.as_str()).filter(|topic| !topic.is_empty() && topic.is_ascii());
    let told = [
        (uui::HEADER, uui.ok()),
        ("X-Nightline-Call", Some(call.to_owned())),
        ("X-Nightline-Reason", Some(about.reason.name().to_owned())),
        ("X-Nightline-Urgency", Some(name_of(&about.urgency))),
        ("X-Nightline-Caller", about.caller.clone()),
        ("X-Nightline-Language", Some(about.language.clone())),
        ("X-Nightline-Topic", topic.map(ToOwned::to_owned)),
        ("X-Nightline-Screen", screen.map(ToOwned::to_owned)),
    ];
    told.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// The name of the call alone, for a call that the caller's exchange makes: it travels inside of a URI, for which some telephones
/// have 255 characters. The rest goes with the REFER itself.
pub fn short(call: &str) -> Vec<(String, String)> {
    let uui = Uui::new(serde_json::json!({ "call": call }).to_string(), PURPOSE).to_value();
    let told = [(uui::HEADER, uui.ok()), ("X-Nightline-Call", Some(call.to_owned()))];
    told.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::Reason;
    use crate::seat::Urgency;

    fn about() -> About {
        About {
            reason: Reason::Safety,
            urgency: Urgency::Safety,
            caller: Some("13800138000".into()),
            language: "zh".into(),
            topic: "rescue".into(),
        }
    }

    #[test]
    fn a_seat_is_told_which_call_and_why() {
        let call = "0199-call";
        let headers = headers(call, &about(), Some("https://desk.example/screen/0199-call?key=00"));
        let find = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        assert_eq!(find("X-Nightline-Reason"), Some("safety"));
        assert_eq!(find("X-Nightline-Screen"), Some("https://desk.example/screen/0199-call?key=00"));
        let uui = Uui::parse(find("User-to-User").expect("a header")).expect("it can be read back");
        assert_eq!(uui.purpose.as_deref(), Some(PURPOSE));
        let told: serde_json::Value = serde_json::from_slice(&uui.data).expect("JSON");
        assert_eq!(told["call"], call);
        assert_eq!(told["caller"], "13800138000");
    }

    #[test]
    fn what_is_not_known_or_cannot_be_shown_is_left_out() {
        let about = About { caller: None, topic: "保养".into(), ..about() };
        let names: Vec<_> =
            headers("c", &about, Some(&"x".repeat(MAX_URL + 1))).into_iter().map(|h| h.0).collect();
        for name in ["X-Nightline-Caller", "X-Nightline-Topic", "X-Nightline-Screen"] {
            assert!(!names.iter().any(|n| n == name), "{names:?}");
        }
    }
}
