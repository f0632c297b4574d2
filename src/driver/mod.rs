//! Runs one call: carries out what the core asks for and brings back what came of it.
//!
//! [`Session`] is shared by the two ways to run a call: [`live`] on real sockets and the machine's clock, and the virtual
//! clock of [`crate::sim`]. Nothing in it waits.

pub mod live;

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::asr::{Job, Purpose, Recognizer};
use crate::call::event::{Event, LegId};
use crate::call::{Call, Command, Input, Output};
use crate::clock::Time;
use crate::dialogue::{Mind, Thought};
use crate::media::Frame;
use crate::record::{self, CallInfo, CallRecord, Folder, MediaRecord, Tap};
use crate::seat::{Seats, Wish};
use crate::tools::Tools;
use crate::tts::{Piece, Request, Synthesizer};

/// The pools that all calls share.
#[derive(Clone)]
pub struct Services {
    /// Ears.
    pub asr: Arc<dyn Recognizer>,
    /// Mouth.
    pub tts: Arc<dyn Synthesizer>,
    /// Mind.
    pub mind: Arc<dyn Mind>,
    /// The systems behind the hotline.
    pub tools: Arc<dyn Tools>,
    /// Who serves callers that want a person.
    pub seats: Arc<dyn Seats>,
    /// Keeps promised call-backs.
    pub callbacks: Arc<dyn Callbacks>,
    /// ISO 639-1 code of the callers' language.
    pub language: &'static str,
    /// Another that the tenant speaks, and callers may.
    pub other_language: Option<&'static str>,
    /// Voices by the names of their folders.
    pub voices: Voices,
}

/// Which voice speaks what, by the names of their folders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Voices {
    /// For text with Chinese characters: also the summary for the seat of a caller who speaks English.
    pub chinese: String,
    /// For text without.
    pub other: String,
}

impl Voices {
    /// The voice for `text`.
    pub fn for_text(&self, text: &str) -> &str {
        let chinese = text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
        if chinese { &self.chinese } else { &self.other }
    }
}

/// Keeps promised call-backs.
pub trait Callbacks: Send + Sync {
    /// Stores a call-back of `call`; never blocks. `reply` is called once, when it is safe or known to have failed.
    fn book(&self, call: &str, number: &str, when: &str, reply: Box<dyn FnOnce(Result<(), String>) + Send>);
}

/// One running call with its services and taps.
pub struct Session {
    call: Call,
    services: Services,
    replies: mpsc::UnboundedSender<Input>,
    /// Requests whose last reply has not been taken yet.
    outstanding: usize,
    taps: Vec<Box<dyn Tap>>,
    folder: Folder,
    id: String,
    to_caller: Frame,
    to_seat: Option<Frame>,
}

impl Session {
    /// A call with its services. Replies arrive at the receiver; each must be given to [`Session::handle`].
    pub fn new(
        call: Call,
        services: Services,
        info: &CallInfo,
        taps: Vec<Box<dyn Tap>>,
    ) -> (Self, mpsc::UnboundedReceiver<Input>) {
        let (replies, inbox) = mpsc::unbounded_channel();
        let session = Self {
            call,
            services,
            replies,
            outstanding: 0,
            taps,
            folder: Folder::new(info.clone()),
            id: info.id.clone(),
            to_caller: Frame::SILENCE,
            to_seat: None,
        };
        (session, inbox)
    }

    /// Takes an input and carries out what follows from it, but for what only the owner of the legs can do.
    pub fn handle(&mut self, now: Time, input: Input) -> Vec<Command> {
        if is_last_reply(&input) {
            self.outstanding = self.outstanding.saturating_sub(1);
        }
        self.call.handle(now, input);
        self.drain()
    }

    /// Carries out what the core has asked for so far.
    pub fn drain(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        while let Some(output) = self.call.poll() {
            match output {
                Output::Play { leg: LegId::Caller, frame } => self.to_caller = frame,
                Output::Play { leg: LegId::Seat, frame } => self.to_seat = Some(frame),
                Output::Event(event) => self.tap(&event),
                Output::Legs(command) => commands.push(command),
                Output::Queue(wish) => self.wish(wish),
                request => self.request(request),
            }
        }
        commands
    }

    /// The frames of the last tick: for the caller, and for the seat if there was one.
    pub fn frames(&mut self) -> (Frame, Option<Frame>) {
        (std::mem::take(&mut self.to_caller), self.to_seat.take())
    }

    /// Requests whose last reply has not been taken yet.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Where news from outside may be sent.
    pub fn inbox(&self) -> mpsc::UnboundedSender<Input> {
        self.replies.clone()
    }

    /// The id of the call.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether what caller and seat say may go straight to the other.
    pub fn is_passed_through(&self) -> bool {
        self.call.is_passed_through()
    }

    /// True once the call has ended.
    pub fn is_over(&self) -> bool {
        self.call.is_over()
    }

    /// The record of the call, with what the network did to its legs and the path of its recording.
    pub fn finish(mut self, media: Vec<MediaRecord>, recording: Option<String>) -> CallRecord {
        for leg in media {
            self.folder.media(leg);
        }
        if let Some(path) = recording {
            self.folder.recording(path);
        }
        let mut record = self.folder.record();
        record.wrap_up = record::wrap_up(&record, self.call.caller_number(), &*self.services.mind);
        record
    }

    fn wish(&self, wish: Wish) {
        let replies = self.replies.clone();
        self.services.seats.wish(
            &self.id,
            wish,
            Box::new(move |news| drop(replies.send(Input::Queue(news)))),
        );
    }

    fn tap(&mut self, event: &Event) {
        self.folder.event(event);
        for tap in &mut self.taps {
            tap.event(event);
        }
    }

    fn request(&mut self, request: Output) {
        self.outstanding += 1;
        let replies = self.replies.clone();
        // A reply to a call that has ended goes nowhere, and that is right.
        let send = move |input| drop(replies.send(input));
        match request {
            Output::Transcribe { id, purpose, audio, deadline, earlier } => self.services.asr.submit(Job {
                audio,
                purpose,
                deadline,
                language: self.services.language,
                also: self.services.other_language,
                earlier,
                reply: Box::new(move |result| send(Input::Transcript { id, purpose, result })),
            }),
            Output::Think { turn, ask } => {
                self.services
                    .mind
                    .think(*ask, Box::new(move |thought| send(Input::Thought { turn, thought })));
            }
            Output::UseTool { turn, what } => {
                let used = what.clone();
                let reply = Box::new(move |outcome| send(Input::ToolDone { turn, what: used, outcome }));
                self.services.tools.call(&self.id, what, reply);
            }
            Output::Synthesize { id, text, cancelled } => self.services.tts.speak(Request {
                voice: self.services.voices.for_text(&text).to_owned(),
                text,
                cancelled,
                sink: Box::new(move |piece| send(Input::Speech { id, piece })),
            }),
            Output::BookCallback { number, when } => {
                let reply = Box::new(move |result| send(Input::CallbackStored { result }));
                self.services.callbacks.book(&self.id, &number, &when, reply);
            }
            _ => self.outstanding -= 1,
        }
    }
}

/// True for the last reply to a request.
fn is_last_reply(input: &Input) -> bool {
    match input {
        Input::Transcript { purpose: Purpose::Final | Purpose::Partial, .. }
        | Input::ToolDone { .. }
        | Input::CallbackStored { .. } => true,
        Input::Thought { thought, .. } => matches!(thought, Thought::Decided(_)),
        Input::Speech { piece, .. } => matches!(piece, Piece::Done | Piece::Failed(_)),
        _ => false,
    }
}
