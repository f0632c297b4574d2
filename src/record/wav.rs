//! The stereo recording of a call: 16 kHz, 16 bit, caller left, bot (after the bridge the seat) right.
//!
//! The call hands over one pair of frames every 20 ms and never waits: a thread of its own writes them. The sizes in the
//! header are written after every [`CHUNK`] of audio, so the file opens at every moment, and a killed process loses at most
//! a second. A disk that cannot take more ends the recording, not the call.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use crate::media::{FRAME, Frame, RATE};

/// Frames that travel to the disk together: 200 ms.
const CHUNK: usize = 10;
/// Chunks that may wait for the disk: 6.4 s, 410 kB. Later ones become silence in the file.
const QUEUE: usize = 32;
const HEADER: u64 = 44;
/// Bytes of one sample pair.
const PAIR: u64 = 4;
/// The most audio that a RIFF size can tell.
const MOST: u64 = u32::MAX as u64 - HEADER;

/// Why a recording stopped. The call goes on; the file holds what was recorded so far.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file or its folder cannot be made.
    #[error("cannot create the recording {}: {source}; check that `record.folder` exists and can be written", path.display())]
    Create {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The disk took no more.
    #[error("the recording {} stopped after {seconds} s: {source}; free some space on that disk", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Whole seconds that are in the file.
        seconds: u64,
        /// Why.
        source: io::Error,
    },
    /// A WAV file cannot be longer.
    #[error("the recording {} stopped: a WAV file ends at 4 GiB (18 hours)", path.display())]
    Full {
        /// Which.
        path: PathBuf,
    },
}

/// A recording in progress. Dropping it ends the recording without waiting; [`StereoWriter::finish`] gives a handle to wait.
#[derive(Debug)]
pub struct StereoWriter {
    chunk: Vec<i16>,
    /// Sample pairs that found the queue full, to be filled with silence.
    missed: u64,
    to_disk: Option<SyncSender<Chunk>>,
    thread: Option<JoinHandle<Summary>>,
    path: PathBuf,
}

/// Audio on its way to the disk.
struct Chunk {
    /// Sample pairs of silence to write first.
    silence: u64,
    samples: Vec<i16>,
}

/// What came of a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Sample pairs in the file.
    pub samples: u64,
    /// Of these, silence in place of audio that a slow disk did not take in time.
    pub silenced: u64,
    /// Whether it stopped before its end.
    pub broken: bool,
}

/// A recording whose last frames are on their way to the disk.
#[derive(Debug)]
pub struct Finishing(Option<JoinHandle<Summary>>);

impl Finishing {
    /// Waits until the file is complete. Blocks; not for an async task.
    pub fn wait(self) -> Summary {
        let broken = Summary { broken: true, ..Summary::default() };
        self.0.map_or(broken, |thread| thread.join().unwrap_or(broken))
    }
}

impl StereoWriter {
    /// Starts a recording at `path`, whose folder is made if it is missing. Never blocks: the file is made by the writing
    /// thread, which calls `on_fault` at most once, if the recording has to stop.
    pub fn start(path: impl Into<PathBuf>, on_fault: impl FnOnce(Error) + Send + 'static) -> Self {
        let path = path.into();
        let (to_disk, chunks) = sync_channel(QUEUE);
        let file = path.clone();
        let thread = std::thread::Builder::new()
            .name("recorder".into())
            .stack_size(128 * 1024)
            .spawn({
                let path = path.clone();
                move || match Disk::create(&file) {
                    Ok(disk) => disk.run(&chunks, on_fault),
                    Err(source) => {
                        on_fault(Error::Create { path, source });
                        Summary { broken: true, ..Summary::default() }
                    }
                }
            })
            .inspect_err(|error| tracing::error!(%error, "no thread for a recording: this call has none"))
            .ok();
        let to_disk = thread.is_some().then_some(to_disk);
        Self { chunk: Vec::with_capacity(CHUNK * FRAME * 2), missed: 0, to_disk, thread, path }
    }

    /// Adds 20 ms: `left` is the caller, `right` the bot or the seat. Never blocks.
    pub fn push(&mut self, left: &Frame, right: &Frame) {
        if self.to_disk.is_none() {
            return;
        }
        self.chunk.extend(left.0.iter().zip(&right.0).flat_map(|(l, r)| [*l, *r]));
        if self.chunk.len() >= CHUNK * FRAME * 2 {
            self.hand_over();
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Ends the recording. Never blocks; wait on the handle where blocking is allowed.
    pub fn finish(mut self) -> Finishing {
        self.close();
        Finishing(self.thread.take())
    }

    fn hand_over(&mut self) {
        let Some(to_disk) = &self.to_disk else { return };
        let samples = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK * FRAME * 2));
        let pairs = samples.len() as u64 / 2;
        match to_disk.try_send(Chunk { silence: self.missed, samples }) {
            Ok(()) => self.missed = 0,
            Err(TrySendError::Full(_)) => self.missed += pairs,
            // The thread has stopped, and has said why.
            Err(TrySendError::Disconnected(_)) => self.to_disk = None,
        }
    }

    fn close(&mut self) {
        if !self.chunk.is_empty() || self.missed > 0 {
            self.hand_over();
        }
        self.to_disk = None;
    }
}

impl Drop for StereoWriter {
    fn drop(&mut self) {
        self.close();
    }
}

/// The file, on the writing thread.
struct Disk {
    file: File,
    path: PathBuf,
    /// Bytes of audio that the header tells.
    written: u64,
    silenced: u64,
}

impl Disk {
    fn create(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // A recording is personal data: for the owner only.
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(&header(0))?;
        Ok(Self { file, path: path.into(), written: 0, silenced: 0 })
    }

    fn run(mut self, chunks: &Receiver<Chunk>, on_fault: impl FnOnce(Error)) -> Summary {
        let mut bytes = Vec::new();
        let mut broken = false;
        while let Ok(chunk) = chunks.recv() {
            if let Err(error) = self.take(&chunk, &mut bytes) {
                on_fault(error);
                broken = true;
                break;
            }
        }
        Summary { samples: self.written / PAIR, silenced: self.silenced, broken }
    }

    fn take(&mut self, chunk: &Chunk, bytes: &mut Vec<u8>) -> Result<(), Error> {
        let mut silence = chunk.silence;
        while silence > 0 {
            let pairs = silence.min((CHUNK * FRAME) as u64);
            bytes.clear();
            bytes.resize((pairs * PAIR) as usize, 0);
            self.append(bytes)?;
            self.silenced += pairs;
            silence -= pairs;
        }
        bytes.clear();
        bytes.extend(chunk.samples.iter().flat_map(|s| s.to_le_bytes()));
        self.append(bytes)
    }

    /// Audio first, then the sizes that tell of it: whenever the process dies, the header tells no more than there is.
    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let grown = self.written + bytes.len() as u64;
        if grown > MOST {
            return Err(Error::Full { path: self.path.clone() });
        }
        let write = |file: &mut File| {
            file.seek(SeekFrom::Start(HEADER + self.written))?;
            file.write_all(bytes)?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&header(grown as u32))
        };
        write(&mut self.file).map_err(|source| {
            // What the header does not tell of is cut off, if the disk still allows that much.
            let _ = self.file.set_len(HEADER + self.written);
            Error::Write { path: self.path.clone(), seconds: self.written / (PAIR * u64::from(RATE)), source }
        })?;
        self.written = grown;
        Ok(())
    }
}

/// The header of a file with `data` bytes of audio.
fn header(data: u32) -> [u8; HEADER as usize] {
    let mut out = [0; HEADER as usize];
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"RIFF");
    put(4, &(data + HEADER as u32 - 8).to_le_bytes());
    put(8, b"WAVEfmt ");
    put(16, &16u32.to_le_bytes());
    put(20, &1u16.to_le_bytes()); // PCM
    put(22, &2u16.to_le_bytes()); // channels
    put(24, &RATE.to_le_bytes());
    put(28, &(RATE * PAIR as u32).to_le_bytes());
    put(32, &(PAIR as u16).to_le_bytes());
    put(34, &16u16.to_le_bytes()); // bits
    put(36, b"data");
    put(40, &data.to_le_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::mpsc;

    /// 20 ms whose samples are all `value`.
    fn tone(value: i16) -> Frame {
        Frame([value; FRAME])
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is what `start` calls")]
    fn no_fault(error: Error) {
        panic!("the recording stopped: {error}");
    }

    fn read(path: &Path) -> Vec<i16> {
        let mut wav = hound::WavReader::open(path).unwrap_or_else(|e| panic!("the file does not open: {e}"));
        assert_eq!(
            wav.spec(),
            hound::WavSpec {
                channels: 2,
                sample_rate: 16_000,
                bits_per_sample: 16,
                sample_format: hound::SampleFormat::Int
            }
        );
        wav.samples::<i16>().map(Result::unwrap).collect()
    }

    #[test]
    fn the_caller_is_left_and_the_bot_right() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/call.wav");
        let mut writer = StereoWriter::start(&path, no_fault);
        for i in 0..123 {
            writer.push(&tone(i), &tone(-i));
        }
        let summary = writer.finish().wait();
        assert_eq!(summary, Summary { samples: 123 * 320, silenced: 0, broken: false });
        let samples = read(&path);
        assert_eq!(samples.len(), 123 * 640);
        for (i, frame) in samples.chunks(640).enumerate() {
            let want = i as i16;
            assert!(frame.chunks(2).all(|pair| pair == [want, -want]), "frame {i} is wrong");
        }
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "a recording is for its owner only");
    }

    /// Steps until `done` holds: the writing thread makes progress by itself.
    fn until(what: &str, mut done: impl FnMut() -> bool) {
        let clock = crate::clock::Clock::start();
        while !done() {
            let waited = clock.now().since_start();
            assert!(waited < std::time::Duration::from_secs(20), "{what} did not come true in 20 s");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_writer_that_never_finishes_leaves_a_file_that_opens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("call.wav");
        let mut writer = StereoWriter::start(&path, no_fault);
        let frames = 5 * 50;
        for chunk in 0..frames / 10 {
            for _ in 0..10 {
                writer.push(&tone(1), &tone(2));
            }
            // Live there are 200 ms between chunks; here the disk is given its time.
            let want = HEADER + (chunk + 1) * 10 * 320 * PAIR;
            until("the chunk is on disk", || std::fs::metadata(&path).is_ok_and(|m| m.len() >= want));
        }
        for _ in 0..9 {
            writer.push(&tone(3), &tone(3));
        }
        std::mem::forget(writer);
        let told = || hound::WavReader::open(&path).map_or(0, |wav| wav.duration());
        let lost_at_most_a_second = (frames as u32 + 9 - 50) * 320;
        until("all but the last second is in the header", || told() >= lost_at_most_a_second);
        assert!(read(&path).chunks(2).all(|pair| pair == [1, 2]));
    }

    #[test]
    fn the_header_is_valid_at_every_moment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("call.wav");
        let mut disk = Disk::create(&path).unwrap();
        assert_eq!(read(&path).len(), 0, "a file without audio opens");
        for i in 1..=20 {
            disk.append(&[0; 640]).unwrap();
            assert_eq!(read(&path).len(), i * 320);
        }
    }

    #[test]
    fn audio_that_the_header_does_not_tell_of_does_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("call.wav");
        let mut disk = Disk::create(&path).unwrap();
        disk.append(&[7; 6400]).unwrap();
        // Killed between the audio and the sizes: a part of the next chunk is behind what the header tells.
        disk.file.seek(SeekFrom::End(0)).unwrap();
        disk.file.write_all(&[9; 333]).unwrap();
        drop(disk);
        let samples = read(&path);
        assert_eq!(samples.len(), 3200);
        assert!(samples.iter().all(|s| *s == 0x0707));
    }

    #[test]
    fn a_full_disk_stops_the_recording_and_says_so_once() {
        let (tell, told) = mpsc::channel();
        let mut writer = StereoWriter::start("/dev/full", move |error| tell.send(error.to_string()).unwrap());
        let first = told.recv_timeout(std::time::Duration::from_secs(20)).expect("a fault is told");
        assert!(first.contains("No space left"), "{first}");
        for _ in 0..1000 {
            writer.push(&tone(1), &tone(1));
        }
        assert!(writer.finish().wait().broken);
        assert!(told.recv().is_err(), "a second fault was told");
    }

    #[test]
    fn a_disk_that_fills_up_says_how_much_is_recorded() {
        let file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut disk = Disk { file, path: "call.wav".into(), written: 3 * 64_000, silenced: 0 };
        let error = disk.take(&Chunk { silence: 0, samples: vec![1; 640] }, &mut Vec::new()).unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with("the recording call.wav stopped after 3 s: No space left"), "{message}");
        assert_eq!(disk.written, 3 * 64_000, "what was not written is not counted");
    }

    #[test]
    fn a_folder_that_cannot_be_made_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let (tell, told) = mpsc::channel();
        let writer = StereoWriter::start(file.join("call.wav"), move |error| tell.send(error).unwrap());
        assert!(writer.finish().wait().broken);
        assert!(told.recv().unwrap().to_string().contains("`record.folder`"));
    }

    #[test]
    fn a_disk_that_hangs_does_not_hold_up_the_call() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        // Opening a pipe that nobody reads blocks its writer for ever.
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let mut writer = StereoWriter::start(&pipe, drop);
        let clock = crate::clock::Clock::start();
        for _ in 0..10_000 {
            writer.push(&tone(1), &tone(1));
        }
        assert!(clock.now().since_start() < std::time::Duration::from_secs(5), "push blocked");
        assert!(writer.missed > 9000 * 320, "what the disk did not take is counted: {}", writer.missed);
        drop(writer.finish());
    }

    #[test]
    fn what_a_slow_disk_missed_is_silence_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("call.wav");
        let mut disk = Disk::create(&path).unwrap();
        let mut bytes = Vec::new();
        disk.take(&Chunk { silence: 0, samples: vec![5; 640] }, &mut bytes).unwrap();
        disk.take(&Chunk { silence: 5000, samples: vec![6; 640] }, &mut bytes).unwrap();
        assert_eq!(disk.silenced, 5000);
        let samples = read(&path);
        assert_eq!(samples.len(), 640 + 10_000 + 640);
        assert!(samples[640..10_640].iter().all(|s| *s == 0));
        assert_eq!(samples[10_640], 6);
    }
}
