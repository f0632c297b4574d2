//! Speech probabilities of a mono 16 kHz WAV, one a line for each 20 ms: `voice_activity FILE SECONDS`. The detector starts
//! afresh every SECONDS, as the files that `nightline_nano.vad test` writes are separate telephone lines one after the other.

use std::error::Error;
use std::io::Write;

use nightline::call::listening::VoiceActivity;
use nightline::media::vad::Vad;
use nightline::media::{FRAME, Frame};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(seconds)) = (arguments.next(), arguments.next()) else {
        return Err("give a WAV file and the seconds of each line in it".into());
    };
    let samples = hound::WavReader::open(&path)?.into_samples::<i16>().collect::<Result<Vec<_>, _>>()?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in samples.chunks(seconds.parse::<usize>()? * 16_000) {
        let mut vad = Vad::new();
        for chunk in line.chunks_exact(FRAME) {
            writeln!(out, "{}", vad.probability(&Frame(chunk.try_into()?)))?;
        }
    }
    Ok(())
}
