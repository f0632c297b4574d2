//! Reading the outside of a ggml whisper file, before whisper.cpp sees it.
//!
//! whisper.cpp does not check short reads, and a vocabulary size that it does not know ends the process. So the file is
//! walked first, tensor by tensor, without reading the weights. The format is the one that whisper.cpp's
//! `whisper_model_load` reads: magic, eleven hyperparameters, mel filters, vocabulary, tensors.

use std::io::{self, Read, Seek, SeekFrom};

/// Why a file is not a whisper model that can be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a ggml file at all.
    #[error(
        "not a ggml whisper file: it begins with {0:#010x} instead of 0x67676d6c; give a file like ggml-base-q5_1.bin"
    )]
    Magic(u32),
    /// A vocabulary that whisper.cpp cannot handle.
    #[error("vocabulary of {0} tokens; whisper.cpp handles 51864, 51865 and 51866 only")]
    Vocabulary(i32),
    /// A hyperparameter outside of what a whisper model can have.
    #[error("{name} is {value}, which no whisper model has; the file is damaged or of another kind")]
    Implausible {
        /// The hyperparameter.
        name: &'static str,
        /// Its value in the file.
        value: i64,
    },
    /// The file ends too early.
    #[error("the file is cut short at byte {length}, in {place}; fetch it again")]
    Truncated {
        /// Length of the file.
        length: u64,
        /// What should have been there.
        place: String,
    },
    /// Fewer tensors than the hyperparameters imply.
    #[error("the file has {found} tensors instead of {expected}; fetch it again")]
    MissingTensors {
        /// Tensors in the file.
        found: usize,
        /// Tensors that the layers need.
        expected: usize,
    },
    /// The file cannot be read.
    #[error("cannot read the model: {0}")]
    Io(#[from] io::Error),
}

/// The shape of a whisper model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Tokens in the vocabulary: 51864 (English only), 51865 or 51866 (multilingual).
    pub n_vocab: i32,
    /// Encoder positions of 20 ms each: 1500 for the published models.
    pub n_audio_ctx: i32,
    /// Width.
    pub n_state: i32,
    /// Encoder layers.
    pub n_audio_layer: i32,
    /// Decoder positions.
    pub n_text_ctx: i32,
    /// Decoder layers.
    pub n_text_layer: i32,
    /// Mel bands: 80 or 128.
    pub n_mels: i32,
    /// Number format of the large tensors (ggml's `ftype` without its version).
    pub ftype: i32,
    /// Length of the file in bytes.
    pub length: u64,
}

impl Header {
    /// Reads the header of `file` and walks over its tensors up to the end. Reads a few hundred kilobytes, not the weights.
    pub fn read(file: &mut (impl Read + Seek)) -> Result<Self, Error> {
        let length = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        let mut walk = Walk { file: io::BufReader::with_capacity(1 << 16, file), at: 0, length };
        let magic = walk.u32("the magic number")?;
        if magic != MAGIC {
            return Err(Error::Magic(magic));
        }
        let n_vocab = walk.i32("the hyperparameters")?;
        if !(51_864..=51_866).contains(&n_vocab) {
            return Err(Error::Vocabulary(n_vocab));
        }
        let n_audio_ctx = walk.dimension("n_audio_ctx", 8, 1 << 14)?;
        let n_state = walk.dimension("n_audio_state", 16, 1 << 14)?;
        let audio_heads = walk.dimension("n_audio_head", 1, 256)?;
        let n_audio_layer = walk.dimension("n_audio_layer", 1, 256)?;
        let n_text_ctx = walk.dimension("n_text_ctx", 16, 1 << 14)?;
        let text_state = walk.dimension("n_text_state", 16, 1 << 14)?;
        let text_heads = walk.dimension("n_text_head", 1, 256)?;
        let n_text_layer = walk.dimension("n_text_layer", 1, 256)?;
        let n_mels = walk.dimension("n_mels", 80, 128)?;
        let ftype = walk.dimension("ftype", 0, 1 << 20)? % QUANTISATION_VERSION;
        for (name, value, good) in [
            ("n_text_state", text_state, text_state == n_state),
            ("n_audio_head", audio_heads, n_state % audio_heads == 0),
            ("n_text_head", text_heads, n_state % text_heads == 0),
            ("n_mels", n_mels, n_mels == 80 || n_mels == 128),
            ("ftype", ftype, KNOWN_FTYPES.contains(&ftype)),
        ] {
            if !good {
                return Err(Error::Implausible { name, value: i64::from(value) });
            }
        }

        let (mels, bins) =
            (walk.dimension("filters.n_mel", 80, 128)?, walk.dimension("filters.n_fft", 1, 4096)?);
        walk.skip(u64::from(mels.unsigned_abs()) * u64::from(bins.unsigned_abs()) * 4, || {
            "the mel filters".into()
        })?;
        walk.vocabulary(n_vocab)?;

        let expected = 11 + 15 * n_audio_layer as usize + 24 * n_text_layer as usize;
        let mut found = 0;
        while walk.at < walk.length {
            walk.tensor(found)?;
            found += 1;
        }
        if found != expected {
            return Err(Error::MissingTensors { found, expected });
        }
        Ok(Self {
            n_vocab,
            n_audio_ctx,
            n_state,
            n_audio_layer,
            n_text_ctx,
            n_text_layer,
            n_mels,
            ftype,
            length,
        })
    }

    /// Whether the model knows languages other than English.
    pub fn multilingual(&self) -> bool {
        self.n_vocab >= 51_865
    }
}

const MAGIC: u32 = 0x6767_6d6c;
const QUANTISATION_VERSION: i32 = 1000;
/// ggml's `ftype` values for whole files: f32, f16, q4_0, q4_1, q8_0, q5_0, q5_1, q2_k to q6_k.
const KNOWN_FTYPES: [i32; 12] = [0, 1, 2, 3, 7, 8, 9, 10, 11, 12, 13, 14];

/// Elements and bytes of one block of a ggml tensor type.
fn block(tensor_type: i32) -> Option<(u64, u64)> {
    Some(match tensor_type {
        0 => (1, 4),
        1 => (1, 2),
        2 => (32, 18),
        3 => (32, 20),
        6 => (32, 22),
        7 => (32, 24),
        8 => (32, 34),
        10 => (256, 84),
        11 => (256, 110),
        12 => (256, 144),
        13 => (256, 176),
        14 => (256, 210),
        _ => return None,
    })
}

struct Walk<R> {
    file: R,
    at: u64,
    length: u64,
}

impl<R: Read + Seek> Walk<io::BufReader<R>> {
    fn bytes<const N: usize>(&mut self, place: &str) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        if self.at + N as u64 > self.length {
            return Err(Error::Truncated { length: self.length, place: place.into() });
        }
        self.file.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn u32(&mut self, place: &str) -> Result<u32, Error> {
        self.bytes(place).map(u32::from_le_bytes)
    }

    fn i32(&mut self, place: &str) -> Result<i32, Error> {
        self.bytes(place).map(i32::from_le_bytes)
    }

    fn dimension(&mut self, name: &'static str, least: i32, most: i32) -> Result<i32, Error> {
        let value = self.i32("the hyperparameters")?;
        if (least..=most).contains(&value) {
            Ok(value)
        } else {
            Err(Error::Implausible { name, value: i64::from(value) })
        }
    }

    fn skip(&mut self, count: u64, place: impl FnOnce() -> String) -> Result<(), Error> {
        if count > self.length - self.at {
            return Err(Error::Truncated { length: self.length, place: place() });
        }
        self.file.seek_relative(count as i64)?;
        self.at += count;
        Ok(())
    }

    fn vocabulary(&mut self, n_vocab: i32) -> Result<(), Error> {
        let words = self.i32("the vocabulary")?;
        if !(50_256..=n_vocab).contains(&words) {
            return Err(Error::Implausible { name: "the number of words", value: i64::from(words) });
        }
        for word in 0..words {
            let length = self.u32("the vocabulary")?;
            if length > 1024 {
                return Err(Error::Implausible { name: "the length of a word", value: i64::from(length) });
            }
            self.skip(u64::from(length), || format!("word {word} of the vocabulary"))?;
        }
        Ok(())
    }

    fn tensor(&mut self, index: usize) -> Result<(), Error> {
        let place = format!("tensor {index}");
        let (dimensions, name_length, tensor_type) =
            (self.i32(&place)?, self.i32(&place)?, self.i32(&place)?);
        if !(1..=4).contains(&dimensions) {
            return Err(Error::Implausible { name: "the rank of a tensor", value: i64::from(dimensions) });
        }
        if !(1..=256).contains(&name_length) {
            return Err(Error::Implausible {
                name: "the length of a tensor's name",
                value: i64::from(name_length),
            });
        }
        let (elements, bytes) = block(tensor_type)
            .ok_or(Error::Implausible { name: "a tensor's type", value: i64::from(tensor_type) })?;
        let mut count = 1_u64;
        for _ in 0..dimensions {
            let size = self.i32(&place)?;
            if !(1..=1 << 20).contains(&size) {
                return Err(Error::Implausible { name: "the size of a tensor", value: i64::from(size) });
            }
            count = count.saturating_mul(u64::from(size.unsigned_abs()));
        }
        if !count.is_multiple_of(elements) {
            return Err(Error::Implausible { name: "the size of a quantised tensor", value: count as i64 });
        }
        let mut name = vec![0; name_length as usize];
        for byte in &mut name {
            [*byte] = self.bytes(&place)?;
        }
        self.skip((count / elements).saturating_mul(bytes), || {
            format!("tensor {index} ({})", String::from_utf8_lossy(&name))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::asr::whisper::embedded;

    fn read(bytes: &[u8]) -> Result<Header, Error> {
        Header::read(&mut Cursor::new(bytes))
    }

    #[test]
    fn the_embedded_model_has_the_shape_that_its_card_says() {
        let header = read(&embedded().unwrap()).unwrap();
        assert_eq!((header.n_vocab, header.n_audio_ctx, header.n_state), (51_865, 512, 256));
        assert_eq!((header.n_audio_layer, header.n_text_layer, header.n_text_ctx), (4, 2, 224));
        assert!(header.multilingual(), "51865 tokens are the multilingual vocabulary");
    }

    #[test]
    fn a_file_cut_short_anywhere_is_an_error_that_says_where() {
        let whole = embedded().unwrap();
        for length in [0, 3, 20, 1_000, 40_000, 500_000, whole.len() / 2, whole.len() - 1] {
            match read(&whole[..length]) {
                Err(Error::Truncated { length: told, .. }) => assert_eq!(told, length as u64),
                other => panic!("a file of {length} bytes should be reported as cut short, got {other:?}"),
            }
        }
    }

    #[test]
    fn a_file_that_ends_between_two_tensors_is_an_error() {
        let whole = embedded().unwrap();
        // The last tensor of this file is decoder.ln.bias: 3 + 1 integers, its name, 256 floats.
        let last = 4 * 4 + "decoder.ln.bias".len() + 256 * 4;
        let result = read(&whole[..whole.len() - last]);
        assert!(
            matches!(result, Err(Error::MissingTensors { .. } | Error::Truncated { .. })),
            "got {result:?}"
        );
    }

    #[test]
    fn a_vocabulary_that_would_abort_the_process_is_refused() {
        let mut bytes = embedded().unwrap();
        bytes[4..8].copy_from_slice(&1819_i32.to_le_bytes());
        assert!(matches!(read(&bytes), Err(Error::Vocabulary(1819))));
    }

    #[test]
    fn other_files_are_told_apart_from_models() {
        assert!(matches!(read(b"RIFF\x24\x08\0\0WAVEfmt "), Err(Error::Magic(_))));
        assert!(matches!(read(b"GGUF\x03\0\0\0\0\0\0\0"), Err(Error::Magic(_))));
    }

    #[test]
    fn an_absurd_dimension_is_refused_before_anything_is_allocated() {
        for field in 2..=11 {
            let mut bytes = embedded().unwrap();
            bytes[field * 4..field * 4 + 4].copy_from_slice(&i32::MAX.to_le_bytes());
            let result = read(&bytes);
            assert!(matches!(result, Err(Error::Implausible { .. })), "field {field}: {result:?}");
        }
    }
}
