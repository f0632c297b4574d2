//! A piece of a call's recording as a file of its own: what one side said, between two moments.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Who of the two channels of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Left.
    Caller,
    /// Right: the bot, after the bridge the seat.
    Bot,
}

/// Why there is no excerpt.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The recording cannot be read.
    #[error("the recording {} cannot be read: {why}", path.display())]
    Source {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// It ends before the excerpt begins.
    #[error("the recording {} holds {seconds} s, and this begins after that: the recording stopped early", path.display())]
    Short {
        /// Which.
        path: PathBuf,
        /// What it holds.
        seconds: u32,
    },
    /// The excerpt cannot be written.
    #[error("{} cannot be written: {why}", path.display())]
    Target {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// Writes what `channel` of the recording `source` holds from `began_ms` to `ended_ms` since the answer to the new mono WAV file
/// `target`; milliseconds that were written, fewer if the recording ends before. An existing file is an error.
pub fn excerpt(
    source: &Path,
    channel: Channel,
    began_ms: u64,
    ended_ms: u64,
    target: &Path,
) -> Result<u64, Error> {
    let unread = |why: String| Error::Source { path: source.to_owned(), why };
    let unwritten = |why: String| Error::Target { path: target.to_owned(), why };
    let mut wav = hound::WavReader::open(source).map_err(|e| unread(e.to_string()))?;
    let spec = wav.spec();
    if (spec.channels, spec.bits_per_sample, spec.sample_format) != (2, 16, hound::SampleFormat::Int) {
        return Err(unread("it is no stereo recording of 16-bit samples".into()));
    }
    let rate = u64::from(spec.sample_rate);
    let (began, ended) = (began_ms * rate / 1000, ended_ms * rate / 1000);
    let holds = u64::from(wav.duration());
    if began >= holds {
        return Err(Error::Short { path: source.to_owned(), seconds: (holds / rate) as u32 });
    }
    wav.seek(began as u32).map_err(|e| unread(e.to_string()))?;
    // Nothing that is there is written over, and like a recording it is for its owner alone.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(target);
    let file = file.map_err(|e| unwritten(e.to_string()))?;
    let mono = hound::WavSpec { channels: 1, ..spec };
    let skip = usize::from(channel == Channel::Bot);
    let length = ended.min(holds).saturating_sub(began);
    let copy = || {
        let out = std::io::BufWriter::new(file);
        let mut out = hound::WavWriter::new(out, mono).map_err(|e| unwritten(e.to_string()))?;
        for sample in wav.samples::<i16>().skip(skip).step_by(2).take(length as usize) {
            let sample = sample.map_err(|e| unread(e.to_string()))?;
            out.write_sample(sample).map_err(|e| unwritten(e.to_string()))?;
        }
        out.finalize().map_err(|e| unwritten(e.to_string()))
    };
    if let Err(error) = copy() {
        // Half an excerpt would be in the way of the next try.
        let _ = std::fs::remove_file(target);
        return Err(error);
    }
    Ok(length * 1000 / rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(folder: &Path) -> PathBuf {
        let path = folder.join("call.wav");
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: 16_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut wav = hound::WavWriter::create(&path, spec).unwrap();
        for n in 0..32_000_i16 {
            wav.write_sample(n).unwrap();
            wav.write_sample(-n).unwrap();
        }
        wav.finalize().unwrap();
        path
    }

    fn samples(path: &Path) -> Vec<i16> {
        hound::WavReader::open(path).unwrap().samples().map(Result::unwrap).collect()
    }

    #[test]
    fn one_side_between_two_moments_and_not_more_than_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let source = recording(folder.path());
        let target = folder.path().join("a.wav");
        assert_eq!(excerpt(&source, Channel::Caller, 500, 501, &target).unwrap(), 1);
        assert_eq!(samples(&target), (8000..8016).collect::<Vec<i16>>());
        let target = folder.path().join("b.wav");
        assert_eq!(excerpt(&source, Channel::Bot, 1999, 9000, &target).unwrap(), 1);
        assert_eq!(samples(&target), (31_984..32_000).map(|n: i16| -n).collect::<Vec<i16>>());
    }

    #[test]
    fn what_cannot_be_had_is_said_and_nothing_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let source = recording(folder.path());
        let target = folder.path().join("a.wav");
        let late = excerpt(&source, Channel::Caller, 2000, 3000, &target).unwrap_err();
        assert!(late.to_string().contains("holds 2 s"), "{late}");
        assert!(!target.exists());
        let none = excerpt(&folder.path().join("x.wav"), Channel::Caller, 0, 1, &target).unwrap_err();
        assert!(none.to_string().contains("x.wav cannot be read"), "{none}");
        std::fs::write(&target, "kept").unwrap();
        let over = excerpt(&source, Channel::Caller, 0, 1, &target).unwrap_err();
        assert!(over.to_string().contains("a.wav cannot be written"), "{over}");
        assert_eq!(std::fs::read(&target).unwrap(), b"kept");
    }
}
