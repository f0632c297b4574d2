//! Keeps the floor as the calendar, the seats themselves and the clock want it.

use std::sync::Arc;
use std::time::Duration;

use super::floor::Floor;
use crate::calendar::{Calendar, Error};
use crate::clock;
use crate::dialogue::text::Lang;
use crate::store::Store;

/// How often rests, wrap-ups and waits are looked at.
const TICK: Duration = Duration::from_millis(200);
/// The calendar and the wishes of seats are looked at every so many ticks.
const SLOWLY: u32 = 10;

/// The floor's keeper.
pub struct Shift {
    floor: Floor,
    store: Store,
    calendar: Option<Arc<Calendar>>,
    lang: Lang,
}

impl Shift {
    /// Seats without a schedule are always on duty.
    pub fn new(floor: Floor, store: Store, calendar: Option<Arc<Calendar>>, lang: Lang) -> Self {
        Self { floor, store, calendar, lang }
    }

    /// The first schedule of a seat that the calendar does not have.
    pub fn check(floor: &Floor, calendar: Option<&Calendar>) -> Result<(), Error> {
        for seat in floor.seats() {
            if let (Some(schedule), Some(calendar)) = (&seat.profile.schedule, calendar) {
                calendar.schedule(schedule)?;
            }
        }
        Ok(())
    }

    /// Works until the future is dropped.
    pub async fn run(self) {
        let mut ticks = tokio::time::interval(TICK);
        let mut since = 0;
        loop {
            ticks.tick().await;
            if since == 0 {
                self.look().await;
            }
            since = (since + 1) % SLOWLY;
            self.floor.tick();
        }
    }

    async fn look(&self) {
        match self.store.away().await {
            Ok(away) => {
                for seat in self.floor.seats() {
                    self.floor.set_away(&seat.profile.id, away.contains(&seat.profile.id));
                }
            }
            Err(error) => tracing::error!(%error, "the wishes of the seats cannot be read"),
        }
        self.set_duty(jiff::Timestamp::try_from(clock::wall()).unwrap_or_default());
    }

    fn set_duty(&self, now: jiff::Timestamp) {
        let Some(calendar) = &self.calendar else { return };
        let now = now.to_zoned(calendar.zone().clone());
        let mut opens: Option<(jiff::Zoned, String)> = None;
        for seat in self.floor.seats() {
            let Some(schedule) = &seat.profile.schedule else { continue };
            let Ok(opening) = calendar.check(schedule, &now) else { continue };
            self.floor.set_duty(&seat.profile.id, opening.open);
            if let (Some(next), Some(words)) = (&opening.next, opening.say_next(self.lang))
                && opens.as_ref().is_none_or(|(first, _)| next < first)
            {
                opens = Some((next.clone(), words));
            }
        }
        self.floor.set_opens(opens.map(|(_, words)| words));
    }
}
