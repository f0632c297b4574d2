//! What an expected answer says: yes or no, a telephone number, a date, a time of day, a number plate, an amount, a choice, a proof of who
//! calls, a grade.
//!
//! Input is what a telephone recogniser wrote: Mandarin or English, numbers in characters or in digits, no punctuation to rely
//! on, one character for another of the same sound. Pure functions without a clock: today is an argument.

mod amount;
mod choice;
mod clock;
mod date;
mod gives_up;
mod meant;
mod mend;
mod number;
mod phone;
mod plate;
mod proof;
mod rating;
mod spoken;
mod when;
mod yes_no;

pub use amount::amount;
pub use choice::choice;
pub use clock::{Clock, clock};
pub use date::date;
pub use gives_up::gives_up;
pub use meant::meant;
pub(in crate::dialogue) use number::figure;
pub use phone::{Number, digit, digits, phone};
pub use plate::{Plate, plate};
pub use proof::{Proof, proof};
pub use rating::rating;
pub use spoken::{spoken_clock, spoken_date, spoken_digits, spoken_phone_tail, spoken_plate};
pub use when::{moment, time};
pub(in crate::dialogue) use yes_no::answers;
pub use yes_no::yes_no;
