//! Tables of those whom we call and of those whom we tell: exchanges, seats, customers, webhooks.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::values::{Millis, Secret, Secs};

/// `[seats]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Seats {
    /// SIP URIs of human agents who take everything, always.
    pub targets: Vec<String>,
    /// Human agents with a name, skills, languages and hours.
    pub seat: Vec<Seat>,
    /// How long a seat may ring.
    pub ring_timeout_s: Secs,
    /// SIP URI that the seat sees as the calling party.
    pub from: Option<String>,
    /// Host of the addresses of seats that register here, and the realm of their passwords.
    pub realm: String,
    /// Digests that registering seats are offered, the first one preferred: `sha-256`, `md5`. Some phones know `md5` alone.
    pub digest: Vec<String>,
    /// How caller and seat are joined: `bridge` keeps both here; `refer` then asks the caller's exchange to join them without us.
    pub join: String,
    /// How many seats ring at a time for one caller.
    pub parallel: u32,
    /// How long a seat has to itself after a conversation.
    pub wrap_up_s: Secs,
    /// How long a seat is left alone after it did not take a call; twice as long each time.
    pub rest_s: Secs,
    /// How many callers may wait.
    pub max_waiting: u32,
    /// How long a caller waits at most.
    pub max_wait_s: Secs,
    /// After so long a seat without the skill will do.
    pub any_skill_after_s: Secs,
}

/// `[[seats.seat]]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seat {
    /// Its name in records and on screens.
    pub id: String,
    /// SIP URI; not needed by a seat with a password, which is called where it has registered, or with a page.
    #[serde(default)]
    pub uri: Option<String>,
    /// Password by which its telephone registers here, with its id as the user.
    #[serde(default)]
    pub password: Option<Secret>,
    /// File that holds the password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// It answers in a page of ours (`/seat` on `media.listen`); needs no URI.
    #[serde(default)]
    pub browser: bool,
    /// It is given the whole call: the caller's exchange is asked to call it instead of us (REFER), without a summary.
    #[serde(default)]
    pub refer: bool,
    /// What it takes; everything if empty. The tenant's `[skills]` says which matter needs which.
    #[serde(default)]
    pub skills: Vec<String>,
    /// ISO 639-1 codes of what it speaks; everything if empty.
    #[serde(default)]
    pub languages: Vec<String>,
    /// Schedule of the tenant's calendar by which it is on duty; always if none.
    #[serde(default)]
    pub schedule: Option<String>,
}

/// `[outbound]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Outbound {
    /// SIP URI of a customer, with `{number}` for the digits; nobody is called without it.
    pub route: Option<String>,
    /// Calls of that kind at one time.
    pub at_once: u32,
    /// How long a customer's telephone may ring.
    pub ring_timeout_s: Secs,
    /// Place the reminders that the back office keeps (`tools.url`, its /reminders).
    pub reminders: bool,
}

/// `[[registration]]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Registration {
    /// The exchange: `sip:pbx.example;transport=tcp`.
    pub registrar: Option<String>,
    /// Our address there: `sip:400@pbx.example`.
    pub aor: Option<String>,
    /// The account; the user of `aor` if absent.
    pub user: Option<String>,
    /// The realm that the password is for; whichever the exchange asks for if absent.
    pub realm: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// File that holds the password.
    pub password_file: Option<PathBuf>,
    /// For how long we ask to be known there; it is refreshed before.
    pub expires_s: Secs,
}

impl Default for Registration {
    fn default() -> Self {
        Self {
            registrar: None,
            aor: None,
            user: None,
            realm: None,
            password: None,
            password_file: None,
            expires_s: Secs(300),
        }
    }
}

/// `[[webhook]]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Webhook {
    /// Where what happens is posted, `http://` or `https://`.
    pub url: Option<String>,
    /// What is told; all if empty.
    pub events: Vec<String>,
    /// What the signature is made with.
    pub secret: Option<Secret>,
    /// File that holds the secret.
    pub secret_file: Option<PathBuf>,
    /// An answer that takes longer is a failure.
    pub timeout_ms: Millis,
    /// It is not tried any more so long after it happened.
    pub give_up_s: Secs,
}

impl Default for Seats {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            seat: Vec::new(),
            ring_timeout_s: Secs(25),
            from: None,
            join: "bridge".into(),
            realm: "nightline".into(),
            digest: vec!["sha-256".into(), "md5".into()],
            parallel: 1,
            wrap_up_s: Secs(10),
            rest_s: Secs(30),
            max_waiting: 20,
            max_wait_s: Secs(300),
            any_skill_after_s: Secs(30),
        }
    }
}

impl Default for Outbound {
    fn default() -> Self {
        Self { route: None, at_once: 2, ring_timeout_s: Secs(40), reminders: true }
    }
}

impl Default for Webhook {
    fn default() -> Self {
        Self {
            url: None,
            events: Vec::new(),
            secret: None,
            secret_file: None,
            timeout_ms: Millis(10_000),
            give_up_s: Secs(86_400),
        }
    }
}
