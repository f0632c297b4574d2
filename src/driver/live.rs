//! One call on the machine's clock: every 20 ms a frame from each leg, through the core, to each leg.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Session;
use crate::call::event::{HandoffOutcome, LegId};
use crate::call::{Command, Input, SeatNews};
use crate::clock::{Clock, Time};
use crate::leg::seat::Seat;
use crate::leg::sip::Line;
use crate::leg::{Leg, LegEvent, context};
use crate::media::{FRAME_TIME, Frame};
use crate::record::MediaRecord;
use crate::record::wav::StereoWriter;
use crate::seat::Target;

/// What a live call needs beside its session and its caller.
pub struct Surroundings {
    /// The call's clock; its zero is the answer.
    pub clock: Clock,
    /// Dials seats; without it none can be reached.
    pub line: Option<Line>,
    /// Keeps the audio.
    pub recorder: Option<StereoWriter>,
    /// A caller that is not heard from for so long is gone.
    pub rtp_timeout: Duration,
    /// Ends the call when Nightline stops.
    pub shutdown: CancellationToken,
}

/// Runs a call to its end. Gives what the network did to each leg, and the recorder.
pub async fn run<L: Leg>(
    session: &mut Session,
    mut inbox: UnboundedReceiver<Input>,
    mut caller: L,
    mut surroundings: Surroundings,
) -> (Vec<MediaRecord>, Option<StereoWriter>) {
    let clock = surroundings.clock;
    let mut seat: Option<Seat> = None;
    let mut media = Vec::new();
    // On a fixed grid, so that it never drifts; ticks that a stalled machine misses are a gap, not a burst.
    let mut ticker = tokio::time::interval(FRAME_TIME);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut held = false;
    // The offer for which the caller's exchange was asked last.
    let mut referred = 0;
    // A held caller sends nothing that counts: its silence is measured from the end of the hold.
    let mut taken_up = clock.now();
    let mut commands = VecDeque::from(session.drain());
    loop {
        while let Some(command) = commands.pop_front() {
            match (command, &surroundings.line) {
                (Command::DialSeat { attempt, targets, about }, Some(line)) => {
                    drop_seat(&mut seat, &mut media);
                    seat = Some(Seat::dial(line, attempt, targets, session.id(), &about));
                }
                (Command::DialSeat { attempt, targets, .. }, None) => {
                    for Target { seat, .. } in targets {
                        let news =
                            SeatNews::Failed { seat, outcome: HandoffOutcome::Unreachable, code: None };
                        commands.extend(session.handle(clock.now(), Input::Seat { attempt, news }));
                    }
                }
                (Command::Press { leg: LegId::Caller, digit }, _) => caller.press(digit),
                (Command::Press { leg: LegId::Seat, digit }, _) => {
                    if let Some(seat) = &mut seat {
                        seat.press(digit);
                    }
                }
                (Command::Refer { attempt, target, about }, _) => {
                    referred = attempt;
                    let (carried, told) =
                        (context::short(session.id()), context::headers(session.id(), &about, None));
                    if let Err(error) = caller.refer(&target.uri, &carried, &told) {
                        commands.extend(session.handle(clock.now(), not_referred(attempt, error)));
                    }
                }
                (Command::JoinDirectly { attempt }, _) => {
                    referred = attempt;
                    let carried = context::short(session.id());
                    let there =
                        seat.as_mut().and_then(Seat::leg).ok_or_else(|| "the seat is gone".to_owned());
                    if let Err(error) = there.and_then(|seat| caller.refer_replacing(seat, &carried)) {
                        commands.extend(session.handle(clock.now(), not_referred(attempt, error)));
                    }
                }
                (Command::HangUpSeat, _) => drop_seat(&mut seat, &mut media),
                (Command::HangUp, _) => {}
            }
        }
        if session.is_over() {
            break;
        }
        let more = tokio::select! {
            biased;
            _ = ticker.tick() => {
                let now = clock.now();
                if let Some(gone) = seat.as_ref().filter(|seat| seat.is_dead(now, surroundings.rtp_timeout)) {
                    let gone = Input::Seat { attempt: gone.attempt(), news: SeatNews::Gone };
                    commands.extend(session.handle(now, gone));
                    drop_seat(&mut seat, &mut media);
                }
                if !held && is_dead(caller.last_heard(), taken_up, now, surroundings.rtp_timeout) {
                    session.handle(now, Input::CallerGone { dead_line: true })
                } else {
                    tick(session, now, &mut caller, seat.as_mut(), surroundings.recorder.as_mut())
                }
            }
            Some(input) = inbox.recv() => session.handle(clock.now(), input),
            event = caller.event() => {
                let input = match event {
                    LegEvent::Dtmf(digit) => Input::Dtmf { leg: LegId::Caller, digit },
                    LegEvent::Hold(hold) => {
                        held = hold;
                        taken_up = clock.now();
                        Input::Hold { leg: LegId::Caller, held }
                    }
                    LegEvent::Referred(result) => Input::Referred { attempt: referred, result },
                    LegEvent::Gone => Input::CallerGone { dead_line: false },
                };
                session.handle(clock.now(), input)
            }
            input = seat_event(seat.as_mut()) => session.handle(clock.now(), input),
            () = surroundings.shutdown.cancelled() => session.handle(clock.now(), Input::Shutdown),
        };
        commands.extend(more);
    }
    drop_seat(&mut seat, &mut media);
    media.insert(0, MediaRecord { leg: "caller".into(), ..caller.media() });
    caller.hang_up();
    (media, surroundings.recorder)
}

/// The exchange was not even asked.
fn not_referred(attempt: u32, error: String) -> Input {
    tracing::warn!(%error, "the caller's exchange could not be asked to transfer");
    Input::Referred { attempt, result: Err((HandoffOutcome::Unreachable, None)) }
}

fn tick<L: Leg>(
    session: &mut Session,
    now: Time,
    caller: &mut L,
    mut seat: Option<&mut Seat>,
    recorder: Option<&mut StereoWriter>,
) -> Vec<Command> {
    if session.is_passed_through()
        && let Some(leg) = seat.as_mut().and_then(|seat| seat.leg())
        && let Some((heard, said)) = caller.pass(now, leg, recorder.is_some())
    {
        let silence = Input::Tick { caller: Frame::SILENCE, seat: Some(Frame::SILENCE) };
        let commands = session.handle(now, silence);
        session.frames();
        if let Some(recorder) = recorder {
            recorder.push(&heard, &said);
        }
        return commands;
    }
    let heard = caller.pull(now);
    let from_seat = seat.as_mut().and_then(|seat| seat.pull(now));
    let commands = session.handle(now, Input::Tick { caller: heard, seat: from_seat });
    let (to_caller, to_seat): (Frame, Option<Frame>) = session.frames();
    caller.push(now, &to_caller);
    if let (Some(seat), Some(frame)) = (seat, to_seat) {
        seat.push(now, &frame);
    }
    if let Some(recorder) = recorder {
        recorder.push(&heard, &to_caller);
    }
    commands
}

/// True if nothing came for `timeout`, counted from the answer or the end of a hold at the earliest.
fn is_dead(last_heard: Option<Time>, taken_up: Time, now: Time, timeout: Duration) -> bool {
    now.saturating_since(last_heard.unwrap_or(taken_up).max(taken_up)) > timeout
}

async fn seat_event(seat: Option<&mut Seat>) -> Input {
    match seat {
        Some(seat) => seat.event().await,
        None => std::future::pending().await,
    }
}

fn drop_seat(seat: &mut Option<Seat>, media: &mut Vec<MediaRecord>) {
    if let Some(record) = seat.take().and_then(|mut seat| seat.media()) {
        media.push(record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_not_dead_because_it_was_held() {
        let at = |seconds| Time::from_start(Duration::from_secs(seconds));
        let timeout = Duration::from_secs(30);
        assert!(is_dead(Some(at(10)), at(0), at(41), timeout));
        assert!(is_dead(None, at(0), at(31), timeout), "a caller who never sent anything");
        assert!(!is_dead(Some(at(10)), at(100), at(120), timeout), "just taken off hold");
    }
}
