//! The end of a talk: how content the caller was, and a message of who wants no call-back.

use super::Call;
use super::asking::Asking;
use super::event::EventKind;
use super::turn::Then;

impl Call {
    /// The caller is done. Once a call, and only if enough was done to judge, it is asked how content it was.
    pub(super) fn say_goodbye(&mut self) {
        let phrases = self.settings.phrases.clone();
        let due = self.settings.rating_after.is_some_and(|answers| self.ending.answers >= answers)
            || self.ending.transferred && self.settings.rating_after.is_some();
        if due && !phrases.rating_ask.is_empty() && !std::mem::replace(&mut self.ending.asked_rating, true) {
            self.say(&phrases.rating_ask, Then::Listen);
            self.asking = Asking::Rating;
        } else {
            self.asking = Asking::Nothing;
            self.say(&phrases.goodbye, Then::HangUp);
        }
    }

    /// The caller has said or pressed how content it is; `words` are what was said.
    pub(super) fn rated(&mut self, score: u8, words: String) {
        self.asking = Asking::Nothing;
        self.event(EventKind::Rated { score, words });
        let phrases = self.settings.phrases.clone();
        self.say(&phrases.rating_thanks, Then::HangUp);
        self.say(&phrases.goodbye, Then::HangUp);
    }

    /// No call-back is wanted: a message may be left instead.
    pub(super) fn offer_message(&mut self) {
        let phrases = self.settings.phrases.clone();
        if phrases.message_offer.is_empty() {
            self.say(&phrases.callback_declined, Then::Listen);
        } else {
            self.say(&phrases.message_offer, Then::Listen);
            self.asking = Asking::OfferMessage { misses: 0 };
        }
    }

    pub(super) fn begin_message(&mut self) {
        let phrases = self.settings.phrases.clone();
        self.say(&phrases.message_begin, Then::Listen);
        self.asking = Asking::Message { text: String::new(), began: self.now, closing: false };
    }

    /// More of the message.
    pub(super) fn take_message(&mut self, words: &str) {
        if let Asking::Message { text, .. } = &mut self.asking {
            if text.chars().last().is_some_and(char::is_alphanumeric) {
                text.push(if words.is_ascii() { ' ' } else { '，' });
            }
            text.push_str(words);
        }
    }

    /// `#` ends the message, with the words that are being spoken or recognised.
    pub(super) fn close_message(&mut self) {
        let under_way = self.listening.utterance().is_some()
            || self.pending.is_some()
            || self.speaking.as_ref().is_some_and(|turn| turn.is_wordless() && turn.decision.is_none());
        match &mut self.asking {
            Asking::Message { closing, .. } if under_way => *closing = true,
            _ => {
                self.yield_to_key();
                self.finish_message();
            }
        }
    }

    /// The message is over: it is kept, and the caller told so.
    pub(super) fn finish_message(&mut self) {
        let phrases = self.settings.phrases.clone();
        let kept = self.keep_message();
        self.say(if kept { &phrases.message_kept } else { &phrases.callback_declined }, Then::Listen);
    }

    /// What was said of a message is kept, however it came to an end. False if nothing was.
    pub(super) fn keep_message(&mut self) -> bool {
        if !matches!(self.asking, Asking::Message { .. }) {
            return false;
        }
        let Asking::Message { text, began, .. } = std::mem::replace(&mut self.asking, Asking::Nothing) else {
            return false;
        };
        let said = !text.trim().is_empty();
        if said {
            self.ending.answered = true;
            self.event(EventKind::MessageLeft { text, began });
        }
        said
    }
}
