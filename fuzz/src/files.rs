//! Files that operators give: recordings and configuration.

use std::path::PathBuf;
use std::sync::OnceLock;

use nightline::asr::eval::manifest;
use nightline::config::Loaded;
use nightline::record::excerpt::{Channel, excerpt};
use nightline::tts::hold;

/// A folder of this process.
fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("nightline-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        folder
    })
}

fn written(name: &str, octets: &[u8]) -> PathBuf {
    let path = folder().join(name);
    std::fs::write(&path, octets).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    path
}

/// The first octet tells what it is: `h` hold music, `r` a recording to be recognised, `x` one to be cut, `c` a configuration.
pub fn files(data: &[u8]) {
    let Some((&what, rest)) = data.split_first() else { return };
    match what {
        b'h' => {
            written("hold.wav", rest);
            if let Ok(music) = hold::music(Some(folder())) {
                // 8 kHz, the slowest, is half of ours; the end of a filter is added.
                assert!(music.len() <= 2 * rest.len() + 32_000, "{} samples of {}", music.len(), rest.len());
            }
        }
        b'r' => {
            let path = written("recording.wav", rest);
            if let Ok(heard) = manifest::audio(&path) {
                assert!(heard.len() <= 2 * rest.len() + 32_000, "{} samples of {}", heard.len(), rest.len());
            }
        }
        b'x' => {
            let path = written("call.wav", rest);
            let target = folder().join("cut.wav");
            // It may be there from an input before.
            let _ = std::fs::remove_file(&target);
            let began = u64::from(rest.last().copied().unwrap_or(0));
            let _ = excerpt(&path, Channel::Bot, began, began + 500, &target);
        }
        b'c' => {
            let path = written("nightline.toml", rest);
            match Loaded::read(Some(&path), []) {
                Ok(loaded) => assert_eq!(loaded.file.as_ref(), Some(&path)),
                Err(error) => assert!(!error.to_string().is_empty(), "it says what is wrong"),
            }
        }
        _ => {}
    }
}
