//! `nightline seats list|away|back` and `nightline outbound list|add|cancel`: people who take calls, and calls that we place.

use std::io::Write;

use super::exit;
use super::record::{print_json, table};
use crate::config::Config;
use crate::record::{Pii, name_of};
use crate::seat::Way;
use crate::services::telephone_number;
use crate::store::Store;
use crate::store::outbound::{Kind, Order};

/// Subcommands of `nightline seats`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum SeatsCommand {
    /// The seats of the configuration, and who of them wants no calls. A running server tells more at /seats.
    List {
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// This seat wants no calls, after the one that it may have; also after a restart.
    Away {
        /// Its id.
        seat: String,
    },
    /// This seat wants calls again.
    Back {
        /// Its id.
        seat: String,
    },
}

/// Subcommands of `nightline outbound`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum OutboundCommand {
    /// Calls that are to be placed, by when they are due.
    List {
        /// Also those that were made, given up or withdrawn.
        #[arg(long)]
        all: bool,
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Have a customer called.
    Add {
        /// Telephone number, digits.
        number: String,
        /// What is said first.
        words: String,
        /// Not before: a time such as 2026-11-22T10:00 in the hotline's zone; at once if not given.
        #[arg(long)]
        due: Option<jiff::civil::DateTime>,
        /// The same key twice is one call; a new one is made if not given.
        #[arg(long)]
        key: Option<String>,
    },
    /// Withdraw a call that has not been placed.
    Cancel {
        /// Its number in the list.
        id: i64,
    },
}

#[derive(serde::Serialize)]
struct Listed<'a> {
    id: &'a str,
    uri: &'a str,
    way: Way,
    skills: Vec<&'a str>,
    languages: Vec<&'a str>,
    schedule: Option<&'a str>,
    away: bool,
}

impl SeatsCommand {
    /// Runs. Gives the exit code.
    pub async fn run(self, config: Config) -> anyhow::Result<u8> {
        let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
        let seats = &config.seats.profiles;
        let (seat, wish) = match self {
            Self::List { json } => {
                let away = match Store::amend(&config.store).await {
                    Ok(store) => store.away().await?,
                    // Nobody has served yet, so nobody has gone away.
                    Err(_) => Vec::new(),
                };
                let list: Vec<_> = seats
                    .iter()
                    .map(|seat| Listed {
                        id: &seat.id,
                        uri: &seat.uri,
                        way: seat.way,
                        skills: seat.skills.iter().map(String::as_str).collect(),
                        languages: seat.languages.iter().map(String::as_str).collect(),
                        schedule: seat.schedule.as_deref(),
                        away: away.contains(&seat.id),
                    })
                    .collect();
                if json {
                    print_json(&list, &mut out)?;
                } else {
                    let mut rows = vec![
                        ["SEAT", "ADDRESS", "SKILLS", "LANGUAGES", "SCHEDULE", "WANTS"].map(String::from),
                    ];
                    let all = |list: &[&str]| if list.is_empty() { "all".to_owned() } else { list.join(",") };
                    rows.extend(list.iter().map(|seat| {
                        [
                            seat.id.to_owned(),
                            if seat.way == Way::Browser { "in its page" } else { seat.uri }.to_owned(),
                            all(&seat.skills),
                            all(&seat.languages),
                            seat.schedule.unwrap_or("always").to_owned(),
                            if seat.away { "no calls" } else { "calls" }.to_owned(),
                        ]
                    }));
                    write!(out, "{}", table(&rows))?;
                }
                return Ok(0);
            }
            Self::Away { seat } => (seat, true),
            Self::Back { seat } => (seat, false),
        };
        if !seats.iter().any(|known| known.id == seat) {
            let known = seats.iter().map(|seat| seat.id.as_str()).collect::<Vec<_>>().join(", ");
            writeln!(err, "error: there is no seat {seat}; there are: {known}")?;
            return Ok(exit::NO_INPUT);
        }
        Store::amend(&config.store).await?.set_away(&seat, wish).await?;
        Ok(0)
    }
}

impl OutboundCommand {
    /// Runs. Gives the exit code.
    pub async fn run(self, config: Config) -> anyhow::Result<u8> {
        let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
        let store = Store::amend(&config.store).await?;
        match self {
            Self::List { all, json } => {
                let orders = store.orders(all).await?;
                if json {
                    print_json(&orders, &mut out)?;
                    return Ok(0);
                }
                let header = ["NO", "WHY", "NUMBER", "DUE", "STATE", "TRIES", "LAST"].map(String::from);
                let rows = orders.iter().map(|placed| {
                    let due = placed.order.due.map(|due| due.to_zoned(crate::clock::zone()));
                    [
                        placed.id.to_string(),
                        placed.order.kind.as_str().to_owned(),
                        placed.order.number.expose().clone(),
                        due.map_or_else(String::new, |due| due.strftime("%m-%d %H:%M").to_string()),
                        name_of(&placed.state),
                        placed.attempts.to_string(),
                        placed.outcome.clone().unwrap_or_default(),
                    ]
                });
                write!(out, "{}", table(&std::iter::once(header).chain(rows).collect::<Vec<_>>()))?;
            }
            Self::Add { number, words, due, key } => {
                let Some(number) = telephone_number(&number) else {
                    writeln!(err, "error: {number} is no telephone number: 7 to 15 digits")?;
                    return Ok(exit::USAGE);
                };
                if config.outbound.is_none() {
                    writeln!(err, "note: nobody is called before `outbound.route` says how")?;
                }
                let due = due.map(|due| due.to_zoned(crate::clock::zone())).transpose()?;
                let order = Order {
                    key: key.unwrap_or_else(|| uuid::Uuid::now_v7().to_string()),
                    kind: Kind::Event,
                    number: Pii::new(number),
                    words,
                    due: due.map(|due| due.timestamp()),
                    origin: None,
                };
                let (id, new) = store.order(&order).await?;
                writeln!(out, "{id}{}", if new { "" } else { " (was there already)" })?;
            }
            Self::Cancel { id } => {
                if !store.cancel_order(id).await? {
                    writeln!(
                        err,
                        "error: there is no open order {id}: `nightline outbound list` shows what there is"
                    )?;
                    return Ok(exit::NO_INPUT);
                }
            }
        }
        Ok(0)
    }
}
