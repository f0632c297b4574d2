//! Hearing the caller: partials, the speculated answer, barge-in and its undoing, the end of the turn.

use super::Call;
use super::barge_in::{Because, Evidence, Verdict, Why};
use super::endpointing::{self, Signs};
use super::event::EventKind;
use super::io::{HearingId, Output};
use super::listening::{Change, PartialWords, Utterance};
use super::turn::{Answered, BotTurn};
use crate::asr::{self, Purpose, Transcript};
use crate::dialogue::{Ask, Expect, Said, Who};
use crate::media::Frame;
use std::time::Duration;

/// An answer that is being prepared while the caller may still go on. Nothing of it is heard or remembered before the end of
/// the caller's turn is confirmed.
pub(super) struct Pending {
    pub(super) turn: BotTurn,
    hearing: HearingId,
    words: String,
    confidence: f32,
    engine: asr::Engine,
}

/// A partial below this confidence says nothing about an interruption.
const TRUSTED_PARTIAL: f32 = 0.05;
/// What sounds this much like what the bot is saying is the bot.
const OWN_VOICE: f32 = 0.72;
/// Characters of the bot's turn, before and after what is being played, in which its echo is looked for.
const ECHO_AROUND: usize = 16;
/// Within this time after its last frame, speech counts as going on.
const STILL_SPEAKING: Duration = Duration::from_millis(120);
/// Silence after which what was said over the bot is recognised as a whole.
const WHOLE_SOUND: Duration = Duration::from_millis(120);
/// A final is wanted this long after it was asked for.
const FINAL_DEADLINE: Duration = Duration::from_millis(150);
/// A partial is wanted this long after it was asked for.
const PARTIAL_DEADLINE: Duration = Duration::from_millis(300);

impl Call {
    pub(super) fn listen(&mut self, frame: &Frame) {
        let echo = self.hear_echo(frame);
        match self.listening.push(self.now, frame, echo) {
            Some(Change::Started) => self.caller_started(),
            Some(Change::Resumed) => self.drop_pending(),
            Some(Change::Dropped) => self.reject_barge_in("", Because::NoWords.into()),
            None => {}
        }
        self.ask_for_words();
        self.judge_barge_in();
        self.judge_end_of_turn();
    }

    pub(super) fn transcript(
        &mut self,
        id: HearingId,
        purpose: Purpose,
        result: Result<Transcript, asr::Error>,
    ) {
        match purpose {
            Purpose::Partial => self.partial(id, result),
            Purpose::Final => self.final_words(id, result),
        }
    }

    pub(super) fn drop_pending(&mut self) {
        if let Some(pending) = self.pending.take() {
            pending.turn.cancel();
            self.event(EventKind::AnswerDropped { turn: pending.turn.id });
        }
    }

    fn caller_started(&mut self) {
        self.event(EventKind::SpeechStarted);
        self.ending.spoke = true;
        let withdraw = self.speaking.as_ref().is_some_and(|turn| turn.began.is_none() && turn.is_answer());
        if withdraw {
            self.withdraw_answer();
        } else {
            self.start_barge_in();
        }
    }

    /// The caller goes on before a sound of the answer has left: what was said belongs together with what follows.
    fn withdraw_answer(&mut self) {
        self.drop_filler();
        if let Some(turn) = self.speaking.take() {
            turn.cancel();
            self.event(EventKind::AnswerDropped { turn: turn.id });
            if let Some(said) = self.history.pop_if(|said| said.who == Who::Caller) {
                self.carried = said.text;
            }
            if let Some(ended) = turn.answers_speech_until() {
                self.listening.went_on_after(self.now.saturating_since(ended));
            }
        }
    }

    fn start_barge_in(&mut self) {
        let Some(turn) = &mut self.speaking else { return };
        if !self.settings.barge_in.enabled
            || turn.began.is_none()
            || turn.is_protected()
            || turn.playout.is_paused()
        {
            return;
        }
        let words = self.listening.utterance().map(Utterance::sure_words).unwrap_or_default();
        if self.echoes && (words.is_empty() || self.is_own_voice(&words)) {
            return;
        }
        let Some(turn) = &mut self.speaking else { return };
        turn.playout.pause();
        let turn = turn.id;
        self.barging_in = true;
        self.event(EventKind::BargeInStarted { turn });
    }

    fn ask_for_words(&mut self) {
        let speculate = self.settings.endpointing.speculate;
        // The bot is paused, so nothing is gained by haste; short words are heard better with their end.
        let silence = if self.barging_in { speculate.max(WHOLE_SOUND) } else { speculate };
        let purpose = if self.listening.wants_final(self.now, silence) {
            Purpose::Final
        } else if self.listening.wants_partial() {
            Purpose::Partial
        } else {
            return;
        };
        let patience = if purpose == Purpose::Final { FINAL_DEADLINE } else { PARTIAL_DEADLINE };
        if let Some(utterance) = self.listening.utterance() {
            let deadline = self.now + patience;
            let (id, audio) = (utterance.id, utterance.audio(self.now));
            let earlier = utterance.partial().filter(|_| purpose == Purpose::Final).map(str::to_owned);
            self.outputs.push_back(Output::Transcribe { id, purpose, audio, deadline, earlier });
        }
    }

    fn partial(&mut self, id: HearingId, result: Result<Transcript, asr::Error>) {
        let words = match &result {
            Ok(t) if !t.text.is_empty() && t.confidence >= TRUSTED_PARTIAL => PartialWords::Heard(&t.text),
            Err(asr::Error::Dropped) => PartialWords::Busy,
            _ => PartialWords::Nothing,
        };
        let news = self.listening.partial_done(id, words);
        if let Some(utterance) = self.listening.utterance().filter(|u| news && u.transcript.is_none()) {
            let hypothesis = utterance.hypothesis();
            self.event(EventKind::Partial(hypothesis));
            self.judge_barge_in();
        }
    }

    fn final_words(&mut self, id: HearingId, result: Result<Transcript, asr::Error>) {
        let now = self.now;
        let Some(utterance) = self.listening.utterance_mut().filter(|u| u.id == id) else { return };
        match result {
            Ok(transcript) => utterance.transcribed(now, transcript),
            Err(error) => {
                utterance.transcribed(now, Transcript::default());
                self.fault("asr", error);
            }
        }
        self.judge_barge_in();
        let words = self.listening.utterance().map(Utterance::words).unwrap_or_default();
        if self.is_own_voice(&words) {
            self.hear_own_voice(&words);
        }
        self.speculate();
    }

    /// Prepares the answer to the words as they are now.
    pub(super) fn speculate(&mut self) {
        let Some(utterance) = self.listening.utterance() else { return };
        let Some(transcript) = utterance.transcript.clone().filter(|t| !t.text.is_empty()) else { return };
        if self.barging_in
            || self.is_mere_backchannel(&transcript.text)
            || (self.is_bot_heard() && !self.interrupts(utterance))
        {
            return;
        }
        let answered = Answered {
            last_speech: utterance.last_speech,
            transcribed: utterance.transcribed,
            decided: None,
        };
        let hearing = utterance.id;
        let words = format!("{}{}", self.carried, transcript.text);
        let (confidence, engine) = (transcript.confidence, transcript.engine);
        self.drop_pending();
        let turn = BotTurn::answering(self.next_turn(), answered);
        let turn = self.think(turn, Transcript { text: words.clone(), ..transcript });
        self.pending = Some(Box::new(Pending { turn, hearing, words, confidence, engine }));
    }

    /// Has the mind think of the answer; gives the turn that knows what it answers.
    fn think(&mut self, mut turn: BotTurn, transcript: Transcript) -> BotTurn {
        let ask = Box::new(Ask {
            voice: self.voice(&transcript),
            transcript,
            history: self.history.clone(),
            expect: self.expect(),
            clarified: self.clarified,
            caller: self.caller_number.clone(),
            core_asks: self.is_asking(),
            waiting: self.handoff.is_some(),
            memory: self.memory.clone(),
            used: self.used.clone(),
            round: 0,
            cancelled: turn.cancelled.clone(),
        });
        turn.ask = Some(ask.clone());
        self.outputs.push_back(Output::Think { turn: turn.id, ask });
        turn
    }

    fn judge_barge_in(&mut self) {
        if !self.barging_in {
            self.part_from_far_voice();
            // The protected part may have ended while the caller was speaking.
            let speaking_now = |u: &Utterance| self.now.saturating_since(u.last_speech) < STILL_SPEAKING;
            if self.listening.utterance().is_some_and(|u| speaking_now(u) && !self.is_side_talk(u)) {
                self.start_barge_in();
            }
            return;
        }
        let Some(utterance) = self.listening.utterance() else {
            self.reject_barge_in("", Because::NoWords.into());
            return;
        };
        let words = utterance.words();
        if self.is_own_voice(&words) {
            self.hear_own_voice(&words);
            return;
        }
        let evidence = self.evidence(utterance);
        match evidence.judge(&self.settings.barge_in) {
            Verdict::Confirm(because) => self.confirm_barge_in(evidence.why(because)),
            Verdict::Resume(because) => {
                self.far = (because == Because::Far).then_some(utterance.id.utterance);
                self.reject_barge_in("", evidence.why(because));
            }
            Verdict::Reject(because) => {
                self.listening.take();
                self.reject_barge_in(&words, evidence.why(because));
            }
            Verdict::Wait => {}
        }
    }

    /// The caller begins to speak while somebody behind still does: that is another utterance.
    fn part_from_far_voice(&mut self) {
        let near = |u: &Utterance| self.evidence(u).is_near(u.recent_loudness());
        let far = |u: &Utterance| Some(u.id.utterance) == self.far && u.transcript.is_none();
        if self.listening.utterance().is_some_and(|u| far(u) && near(u)) {
            self.far = None;
            self.listening.discard();
        }
    }

    fn evidence(&self, utterance: &Utterance) -> Evidence {
        let (words, sure) = (utterance.words(), utterance.sure_words());
        Evidence {
            spoken: utterance.spoken(),
            pitched: utterance.pitched(),
            silence: self.now.saturating_since(utterance.last_speech),
            loudness: utterance.loudness(),
            caller: self.caller_level,
            confidence: utterance.transcript.as_ref().map(|t| t.confidence),
            interrupt: self.settings.lexicon.is_interrupt(&words),
            // A guess that the next partial may take back does not cut the bot short.
            content: (self.is_content(&sure) || self.is_sure_character(utterance))
                && !self.is_piece_of_own_words(&sure),
            guess: self.is_content(&words) && !self.is_piece_of_own_words(&words),
            words: !words.is_empty(),
            length: content_length(&words),
            wordless: utterance.wordless_partials(),
        }
    }

    fn is_bot_heard(&self) -> bool {
        self.speaking.as_ref().is_some_and(|turn| turn.began.is_some())
    }

    fn interrupts(&self, utterance: &Utterance) -> bool {
        matches!(self.evidence(utterance).judge(&self.settings.barge_in), Verdict::Confirm(_))
    }

    /// Somebody far from the telephone speaks while the bot does.
    fn is_side_talk(&self, utterance: &Utterance) -> bool {
        let far = || self.evidence(utterance).judge(&self.settings.barge_in);
        self.is_bot_heard() && matches!(far(), Verdict::Resume(Because::Far) | Verdict::Reject(Because::Far))
    }

    /// Looks for the bot's own voice in the next frame. True if there is nothing else in it.
    fn hear_echo(&mut self, frame: &Frame) -> bool {
        let known = self.echo.path().is_some();
        let echo = self.echo.hear(frame);
        if let Some(path) = self.echo.path().filter(|_| !known) {
            tracing::debug!(delay = ?path.delay, loss_db = path.loss_db, "the line has an echo");
            // What began before it was known is it, unless somebody is louder now.
            if self.barging_in && echo {
                let why = self.listening.utterance().map(|u| self.evidence(u).why(Because::Echo));
                self.listening.discard();
                self.reject_barge_in("", why.unwrap_or_else(|| Because::Echo.into()));
            }
        }
        echo
    }

    /// The line gives the bot's own words back.
    fn is_own_voice(&self, words: &str) -> bool {
        let Some(turn) = self.speaking.as_ref().filter(|turn| turn.began.is_some()) else { return false };
        let around = turn.text_around(ECHO_AROUND);
        self.settings.lexicon.likeness(words, &around) >= OWN_VOICE
    }

    /// Two or three characters, too few to tell by their sound, that are just what the bot is saying.
    fn is_piece_of_own_words(&self, words: &str) -> bool {
        const FEW: usize = 3;
        let Some(turn) = self.speaking.as_ref().filter(|turn| turn.began.is_some()) else { return false };
        content_length(words) <= FEW
            && turn.text_around(ECHO_AROUND).contains(words.trim_end_matches(['，', '。', '？']))
    }

    /// What was taken for the caller is the bot. From now on only words pause the bot, not mere sound: a line that echoes once
    /// does so always.
    fn hear_own_voice(&mut self, words: &str) {
        self.echoes = true;
        self.drop_pending();
        self.listening.discard();
        self.reject_barge_in(words, Because::OwnWords.into());
    }

    fn confirm_barge_in(&mut self, why: Why) {
        self.barging_in = false;
        if let Some(turn) = self.speaking.as_ref().map(|t| t.id) {
            self.event(EventKind::BargeInConfirmed { turn, why });
        }
        self.cut_turn();
        self.speculate();
    }

    pub(super) fn reject_barge_in(&mut self, words: &str, why: Why) {
        if !std::mem::take(&mut self.barging_in) {
            return;
        }
        if let Some(turn) = &mut self.speaking {
            turn.resume();
            let turn = turn.id;
            self.event(EventKind::BargeInRejected { turn, text: words.into(), why });
        }
    }

    fn judge_end_of_turn(&mut self) {
        let may_not_cut = |turn: &BotTurn| turn.is_protected() || !self.settings.barge_in.enabled;
        if self.barging_in || self.speaking.as_ref().is_some_and(may_not_cut) {
            return;
        }
        let Some(utterance) = self.listening.utterance() else { return };
        let Some(transcript) = &utterance.transcript else { return };
        let mut words = endpointing::read(&format!("{}{}", self.carried, transcript.text), self.expect());
        // The mind, which has heard the words already, knows best whether they answer its question (第一家).
        let speculated = self.pending.as_ref().filter(|pending| pending.hearing == utterance.id);
        words.reply |= speculated.and_then(|p| p.turn.decision.as_ref()).is_some_and(|d| d.answered);
        let signs = Signs {
            silence: self.now.saturating_since(utterance.last_speech),
            voice: self.listening.voice(),
            words,
            confidence: transcript.confidence,
            contour: utterance.contour(),
            usual_pause: self.listening.usual_pause(),
        };
        if self.settings.endpointing.judge(&signs).over || self.listening.is_overlong() {
            self.end_caller_turn(&signs);
        }
    }

    fn end_caller_turn(&mut self, signs: &Signs) {
        let Some(utterance) = self.listening.take() else { return };
        self.event(EventKind::SpeechEnded(self.settings.endpointing.explain(signs)));
        let words = utterance.words();
        let Some(mut pending) = self.pending.take_if(|p| p.hearing == utterance.id).map(|p| *p) else {
            self.drop_pending();
            // Noise, or a backchannel to a bot that goes on speaking.
            if !self.carried.is_empty() && words.is_empty() {
                self.answer_carried(&utterance);
            } else if self.speaking.is_none() {
                self.go_on_after_nothing();
            }
            return;
        };
        if self.speaking.is_none() {
            self.learn_level(&utterance);
        }
        // Words that came too late to be a barge-in still are one.
        self.cut_turn();
        self.carried.clear();
        self.prompts = 0;
        self.expects = Expect::Open;
        pending.turn.confirmed(self.now);
        self.event(EventKind::CallerSaid {
            turn: pending.turn.id,
            text: pending.words.clone(),
            confidence: pending.confidence,
            engine: pending.engine,
            began: utterance.began,
            ended: utterance.last_speech,
        });
        self.history.push(Said { who: Who::Caller, text: pending.words, interrupted: false });
        self.start_turn(pending.turn);
    }

    /// What the caller says while the bot is silent tells how loud the caller is.
    fn learn_level(&mut self, utterance: &Utterance) {
        /// Weight of one turn.
        const SHARE: f32 = 0.3;
        let level = utterance.loudness();
        self.caller_level = Some(self.caller_level.map_or(level, |known| known + SHARE * (level - known)));
    }

    /// What followed a withdrawn answer was only noise: the words before it are answered after all.
    fn answer_carried(&mut self, noise: &Utterance) {
        let words = std::mem::take(&mut self.carried);
        let answered =
            Answered { last_speech: noise.last_speech, transcribed: None, decided: Some(self.now) };
        let turn = BotTurn::answering(self.next_turn(), answered);
        let transcript = Transcript { text: words.clone(), confidence: 0.5, ..Transcript::default() };
        let turn = self.think(turn, transcript);
        self.history.push(Said { who: Who::Caller, text: words, interrupted: false });
        self.start_turn(turn);
    }

    /// A backchannel while the bot speaks and has asked nothing.
    fn is_mere_backchannel(&self, words: &str) -> bool {
        self.speaking.is_some() && !self.is_content(words)
    }

    /// One character that was heard well, and is nothing that a listener says. (A hum is heard as a letter.)
    fn is_sure_character(&self, utterance: &Utterance) -> bool {
        const SURE: f32 = 0.6;
        utterance.transcript.as_ref().is_some_and(|said| {
            let mut characters = said.text.chars();
            said.confidence >= SURE
                && characters.next().is_some_and(|c| c.is_alphabetic() && !c.is_ascii())
                && characters.next().is_none()
                && !self.settings.lexicon.is_backchannel(&said.text)
        })
    }

    fn is_content(&self, words: &str) -> bool {
        if words.is_empty() {
            return false;
        }
        let lexicon = &self.settings.lexicon;
        let answers_question = self.expect() != Expect::Open;
        lexicon.is_interrupt(words)
            || (!lexicon.is_backchannel(words)
                && (answers_question || content_length(words) >= self.settings.barge_in.content))
            || (answers_question && lexicon.is_backchannel(words))
    }
}

/// Characters of a script without spaces, words of one with.
fn content_length(words: &str) -> usize {
    let han = words.chars().filter(|c| !c.is_ascii() && c.is_alphanumeric()).count();
    let latin = words.split_whitespace().filter(|w| w.chars().any(|c| c.is_ascii_alphanumeric())).count();
    han + latin
}
