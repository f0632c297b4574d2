//! Calls that Nightline places itself: promised call-backs, reminders, events.
//!
//! Every attempt is written down before it is dialled ([`Store::begin_attempt`]), so that no crash makes two of one.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::{DateTime, Time};
use tokio_util::task::TaskTracker;

use super::host::Host;
use crate::call::errand::Errand;
use crate::call::event::Disposition;
use crate::config::Outbound;
use crate::dialogue::Who;
use crate::dialogue::tenant::Calls;
use crate::leg::sip::Error;
use crate::record::{CallRecord, name_of};
use crate::seat::queue::State;
use crate::store::Store;
use crate::store::outbound::{Kind, Placed};

/// How often the list of orders is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Places what is due until the future is dropped.
pub(super) async fn run(host: Host, calls: TaskTracker) {
    let Some(outbound) = host.config.outbound.clone() else { return };
    let room = Arc::new(tokio::sync::Semaphore::new(outbound.at_once));
    let mut looks = tokio::time::interval(LOOK);
    loop {
        looks.tick().await;
        if host.shutdown.is_cancelled() {
            return;
        }
        let now = now();
        if !may_call(&host.shared.calls, now.datetime()) {
            continue;
        }
        let due = match host.shared.database.due(50).await {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(%error, "the calls that are due cannot be read");
                continue;
            }
        };
        for order in due {
            // Who is called back is called for a person: without one it would be a second disappointment.
            if order.order.kind == Kind::Callback && !somebody_is_free(&host) {
                continue;
            }
            let Ok(permit) = room.clone().try_acquire_owned() else { break };
            let (host, outbound) = (host.clone(), outbound.clone());
            let attempt = calls.track_future(async move {
                if let Err(error) = attempt(&host, &outbound, &order).await {
                    tracing::error!(%error, order = order.id, "an attempt could not be written down");
                }
                drop(permit);
            });
            tokio::spawn(attempt);
            // The next looks for a seat after this one has taken its own.
            break;
        }
    }
}

async fn attempt(host: &Host, outbound: &Outbound, placed: &Placed) -> Result<(), crate::store::Error> {
    let (store, tenant): (&Store, &Calls) = (&host.shared.database, &host.shared.calls);
    let number = placed.order.number.expose();
    let uri = outbound.route.replace("{number}", number);
    let info = host.shared.info("outbound", &format!("sip:{number}@outbound"), &uri);
    if !store.begin_attempt(placed.id, &info.id).await? {
        return Ok(());
    }
    let attempts = placed.attempts + 1;
    let callback = placed.order.kind == Kind::Callback;
    let words = if callback { tenant.callback_here.clone() } else { placed.order.words.clone() };
    let errand = Errand {
        words: crate::services::clauses(&words),
        person: callback,
        message: tenant.leave_message && !callback,
    };
    tracing::info!(order = placed.id, call = %info.id, attempts, "placing a call");
    let (reached, outcome) = match host.place(info, &uri, number, errand, outbound.ring_timeout).await {
        Ok(record) => (is_reached(placed.order.kind, &record), record.disposition.as_ref().map(name_of)),
        Err(Error::Refused { code, .. }) => (false, Some(format!("sip {code}"))),
        Err(error) => (false, Some(error.to_string())),
    };
    let again = (!reached && attempts < tenant.attempts).then(|| now().timestamp() + tenant.retry());
    let outcome = outcome.unwrap_or_else(|| "unknown".into());
    tracing::info!(order = placed.id, reached, %outcome, "a placed call is over");
    store.end_attempt(placed.id, reached, &outcome, again).await
}

/// A call-back has done its duty when caller and seat were joined, a new time was agreed, or the caller had a say; a reminder when
/// a person answered or it was left with a machine.
fn is_reached(kind: Kind, record: &CallRecord) -> bool {
    let spoke = |who| record.turns.iter().any(|turn| turn.who == who);
    match (kind, record.disposition) {
        (_, Some(Disposition::Failed)) | (Kind::Callback, Some(Disposition::Machine)) => false,
        (Kind::Callback, Some(Disposition::Transferred | Disposition::Callback)) => true,
        (Kind::Callback, _) => spoke(Who::Caller),
        _ => spoke(Who::Bot),
    }
}

fn somebody_is_free(host: &Host) -> bool {
    host.shared
        .floor
        .seats()
        .iter()
        .any(|seat| seat.on_duty && seat.reachable && seat.state == State::Available)
}

/// Nobody is called in the quiet hours, which may cross midnight.
fn may_call(calls: &Calls, now: DateTime) -> bool {
    let Some([from, to]) = calls.quiet else { return true };
    let time = now.time();
    let quiet =
        |from: Time, to: Time| if from <= to { time >= from && time < to } else { time >= from || time < to };
    !quiet(from, to)
}

fn now() -> jiff::Zoned {
    jiff::Timestamp::try_from(crate::clock::wall()).unwrap_or_default().to_zoned(crate::clock::zone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_called_in_the_quiet_hours() {
        let night = Calls {
            quiet: Some([jiff::civil::time(21, 0, 0, 0), jiff::civil::time(9, 0, 0, 0)]),
            ..Calls::default()
        };
        let at = |hour| jiff::civil::date(2026, 11, 21).at(hour, 0, 0, 0);
        let allowed: Vec<i8> = (0..24).filter(|hour| may_call(&night, at(*hour))).collect();
        assert_eq!(allowed, (9..21).collect::<Vec<_>>());
        let siesta = Calls {
            quiet: Some([jiff::civil::time(12, 0, 0, 0), jiff::civil::time(14, 0, 0, 0)]),
            ..Calls::default()
        };
        assert!(may_call(&siesta, at(11)) && !may_call(&siesta, at(13)) && may_call(&siesta, at(14)));
        assert!(may_call(&Calls::default(), at(3)), "without quiet hours");
    }
}
