//! One mistake that real peers make and that is harmless: a URI parameter that is there twice.
//!
//! RFC 3261 §19.1.1 forbids it and the parser refuses it, but phones append their own `;transport=udp` to a URI that
//! already has `;transport=tcp`. The first one counts; the others are cut out.

use bytes::Bytes;

/// Headers whose URIs are looked at, long and compact.
const HEADERS: [&str; 8] = ["from", "f", "to", "t", "contact", "m", "route", "record-route"];

/// The message without repeated URI parameters, or `None` if it has none.
pub(super) fn without_repeated_parameters(message: &[u8]) -> Option<Bytes> {
    let end = super::framing::find(message, b"\r\n\r\n")?;
    let head = std::str::from_utf8(message.get(..end)?).ok()?;
    let mut out = String::with_capacity(head.len());
    for (i, line) in head.split("\r\n").enumerate() {
        if i > 0 {
            out.push_str("\r\n");
        }
        let name = line.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
        if i == 0 {
            let words: Vec<String> = line.split(' ').map(once_each).collect();
            out.push_str(&words.join(" "));
        } else if HEADERS.contains(&name.as_str()) {
            for (j, piece) in line.split('<').enumerate() {
                let (uri, rest) = piece.split_once('>').unwrap_or(("", piece));
                if j > 0 {
                    out.push('<');
                    out.push_str(&once_each(uri));
                    out.push_str(if piece.contains('>') { ">" } else { "" });
                }
                out.push_str(rest);
            }
        } else {
            out.push_str(line);
        }
    }
    (out != head).then(|| Bytes::from([out.as_bytes(), message.get(end..).unwrap_or_default()].concat()))
}

/// A URI with the first of each parameter. Semicolons before the `@` belong to the user part.
fn once_each(uri: &str) -> String {
    let (before, after) = uri.split_at(uri.find('@').unwrap_or(0));
    let (params, headers) = after.split_at(after.find('?').unwrap_or(after.len()));
    let mut seen: Vec<String> = Vec::new();
    let kept: Vec<&str> = params
        .split(';')
        .enumerate()
        .filter(|(i, param)| {
            let name = param.split('=').next().unwrap_or_default().to_ascii_lowercase();
            let repeated = *i > 0 && seen.contains(&name);
            seen.push(name);
            !repeated
        })
        .map(|(_, param)| param)
        .collect();
    format!("{before}{}{headers}", kept.join(";"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_repeated_transport_is_cut_out_and_the_rest_left_alone() {
        let message = "INVITE sip:a;x=1;x=1@h;transport=tcp;lr;Transport=udp?a=b SIP/2.0\r\n\
            To: \"a;b;b\" <sip:a@h;transport=tcp;transport=tcp>;tag=1\r\nX: <sip:a@h;y;y>\r\n\r\n;z;z";
        let repaired = without_repeated_parameters(message.as_bytes()).expect("something to repair");
        let wanted = "INVITE sip:a;x=1;x=1@h;transport=tcp;lr?a=b SIP/2.0\r\n\
            To: \"a;b;b\" <sip:a@h;transport=tcp>;tag=1\r\nX: <sip:a@h;y;y>\r\n\r\n;z;z";
        assert_eq!(repaired, wanted.as_bytes());
        assert_eq!(without_repeated_parameters(&repaired), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_a_repair_is_final(head in "(INVITE|To: ?<?)[ -~\r\n]{0,80}") {
            let message = format!("{head}\r\n\r\n");
            if let Some(repaired) = without_repeated_parameters(message.as_bytes()) {
                prop_assert_eq!(without_repeated_parameters(&repaired), None);
            }
        }
    }
}
