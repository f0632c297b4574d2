//! User-to-User information (RFC 7433): what one side of a call tells the other about it, such as the number of a
//! ticket, through every exchange in between.

use std::fmt::Write;

use crate::digest::{hex, unquote};

/// The name of the header.
pub const HEADER: &str = "User-to-User";
/// Most octets for the ISDN's purpose, which is meant where none is named (RFC 7434 §7).
pub const MAX_ISDN: usize = 128;
/// Most octets for any other purpose: in hex it still fits into one UDP datagram beside the rest of an INVITE.
pub const MAX_OTHER: usize = 256;

const ISDN: &str = "isdn-uui";

/// One piece of User-to-User information.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uui {
    /// What is told, as it is. For the ISDN's purpose the first octet is the protocol discriminator (0x04 for text).
    pub data: Vec<u8>,
    /// What it is for; `None` means the ISDN's.
    pub purpose: Option<String>,
    /// What the data are, by their purpose.
    pub content: Option<String>,
}

/// What is wrong with User-to-User information.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UuiError {
    /// There is nothing in it.
    #[error("the User-to-User data are empty; leave the header out instead")]
    Empty,
    /// It would not pass.
    #[error(
        "the User-to-User data are {len} octets and {max} at most pass; send a reference and keep the rest"
    )]
    TooLong {
        /// Its length, octets.
        len: usize,
        /// The limit for its purpose, octets.
        max: usize,
    },
    /// A parameter cannot be sent.
    #[error("{value:?} cannot be a User-to-User parameter; use letters, digits and - . _ only")]
    Parameter {
        /// The purpose or content.
        value: String,
    },
    /// A received value has another encoding than hex.
    #[error("the User-to-User data have the unknown encoding {0:?}; only hex is known")]
    Encoding(String),
    /// A received value cannot be read.
    #[error("the User-to-User value cannot be read: {0}")]
    Unreadable(&'static str),
}

impl Uui {
    /// For a purpose of your own, such as `nightline`.
    pub fn new(data: impl Into<Vec<u8>>, purpose: &str) -> Self {
        Self { data: data.into(), purpose: Some(purpose.to_owned()), content: None }
    }

    /// The value of the header, in hex.
    pub fn to_value(&self) -> Result<String, UuiError> {
        let isdn = self.purpose.as_ref().is_none_or(|purpose| purpose.eq_ignore_ascii_case(ISDN));
        let max = if isdn { MAX_ISDN } else { MAX_OTHER };
        match self.data.len() {
            0 => return Err(UuiError::Empty),
            len if len > max => return Err(UuiError::TooLong { len, max }),
            _ => {}
        }
        let mut out = format!("{};encoding=hex", hex(&self.data));
        for (name, value) in [("purpose", &self.purpose), ("content", &self.content)] {
            let Some(value) = value else { continue };
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
            if value.is_empty() || value.len() > 32 || !value.bytes().all(plain) {
                return Err(UuiError::Parameter { value: value.clone() });
            }
            let _ = write!(out, ";{name}={value}");
        }
        Ok(out)
    }

    /// Reads one value. Without an `encoding`, hex is read as hex and anything else as text: both are sent.
    pub fn parse(value: &str) -> Result<Self, UuiError> {
        let value = value.trim();
        let (data, quoted, rest) = if let Some(open) = value.strip_prefix('"') {
            let (text, rest) = unquote(open).ok_or(UuiError::Unreadable("its quote is never closed"))?;
            (text, true, rest)
        } else {
            let (data, rest) = value.split_at(value.find(';').unwrap_or(value.len()));
            (data.trim().to_owned(), false, rest)
        };
        let param = |name| crate::message::param(rest, name).map(str::to_owned);
        let octets = match param("encoding") {
            Some(encoding) if !encoding.eq_ignore_ascii_case("hex") => {
                return Err(UuiError::Encoding(encoding));
            }
            Some(_) => unhex(&data).ok_or(UuiError::Unreadable("it is not hex"))?,
            None if quoted => data.into_bytes(),
            None => unhex(&data).unwrap_or_else(|| data.into_bytes()),
        };
        if octets.is_empty() {
            return Err(UuiError::Empty);
        }
        if octets.len() > MAX_OTHER {
            return Err(UuiError::TooLong { len: octets.len(), max: MAX_OTHER });
        }
        Ok(Self { data: octets, purpose: param("purpose"), content: param("content") })
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    pairs
        .remainder()
        .is_empty()
        .then(|| pairs.map(|pair| pair.iter().fold(0, |sum, d| sum << 4 | d)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::digest::quote;

    #[test]
    fn the_form_of_the_rfc_is_read_and_written() {
        let read =
            Uui::parse("56a390f3d2b7310023a2;encoding=hex;purpose=foo;content=bar").expect("RFC 7433 §4");
        assert_eq!(
            (read.data.len(), read.purpose.as_deref(), read.content.as_deref()),
            (10, Some("foo"), Some("bar"))
        );
        assert_eq!(
            read.to_value().as_deref(),
            Ok("56a390f3d2b7310023a2;encoding=hex;purpose=foo;content=bar")
        );
        let text = Uui::parse(r#""a;b \"c\"";purpose=x"#).expect("a quoted string");
        assert_eq!((text.data.as_slice(), text.purpose.as_deref()), (&b"a;b \"c\""[..], Some("x")));
        assert_eq!(Uui::parse("ticket-7").map(|uui| uui.data), Ok(b"ticket-7".to_vec()));
    }

    #[test]
    fn what_cannot_be_sent_is_an_error() {
        assert_eq!(Uui::new("", "x").to_value(), Err(UuiError::Empty));
        let isdn = Uui { data: vec![4; 129], purpose: None, content: None };
        assert_eq!(isdn.to_value(), Err(UuiError::TooLong { len: 129, max: 128 }));
        assert!(Uui::new(vec![4; 256], "nightline").to_value().is_ok());
        for purpose in ["", "a b", "a;b", "a\r\nX: y", "ü"] {
            assert!(Uui::new("x", purpose).to_value().is_err(), "{purpose:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for value in
            ["", ";encoding=hex", "abc;encoding=hex", "zz;encoding=hex", "\"open", "00;encoding=base64"]
        {
            assert!(Uui::parse(value).is_err(), "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(data in prop::collection::vec(any::<u8>(), 1..128)) {
            let uui = Uui::new(data, "nightline");
            let value = uui.to_value().expect("within the limits");
            prop_assert_eq!(Uui::parse(&value), Ok(uui));
        }

        #[test]
        fn no_value_makes_the_reader_panic(value in ".{0,60}") {
            let _ = Uui::parse(&value);
            let _ = Uui::parse(&quote(&value));
        }
    }
}
