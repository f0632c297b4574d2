//! What a user gets wrong is told in a sentence that says what, where and what to do; other calls go on.

use std::fs;
use std::net::UdpSocket;
use std::process::{Command, Output};

use tempfile::TempDir;

fn nightline(folder: &TempDir, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nightline"))
        .args(args)
        .current_dir(folder.path())
        .output()
        .expect("the program runs")
}

fn folder_with(name: &str, content: impl AsRef<[u8]>) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join(name), content).expect("the file is written");
    folder
}

#[track_caller]
fn complains(output: &Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

#[test]
fn a_port_in_use_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let folder = folder_with("n.toml", format!("[sip]\nlisten = [\"udp:{address}\"]\n"));
    complains(&nightline(&folder, &["serve", "--config", "n.toml"]), 69, &[&address, "another program"]);
}

#[test]
fn an_unknown_key_is_told_with_the_nearest_known_one() {
    let folder = folder_with("n.toml", "[sip]\nlisten_on = [\"udp:127.0.0.1:0\"]\n");
    complains(
        &nightline(&folder, &["serve", "--config", "n.toml"]),
        78,
        &["sip.listen_on", "line 2", "sip.listen`"],
    );
}

#[test]
fn a_model_file_cut_short_does_not_start() {
    let model = nightline::asr::whisper::embedded().expect("the embedded model");
    let folder = folder_with("cut.bin", &model[..model.len() / 2]);
    fs::write(
        folder.path().join("n.toml"),
        "[asr]\nmodel = \"cut.bin\"\n[sip]\nlisten = [\"udp:127.0.0.1:0\"]\n",
    )
    .expect("the file is written");
    complains(&nightline(&folder, &["serve", "--config", "n.toml"]), 69, &["cut.bin"]);
}

#[test]
fn a_wav_that_is_none_is_refused_before_anybody_is_called() {
    let folder = folder_with("f.wav", "no RIFF here");
    complains(&nightline(&folder, &["call", "sip:x@127.0.0.1:9", "--wav", "f.wav"]), 69, &["f.wav", "WAV"]);
}

#[test]
fn a_missing_configuration_file_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    complains(&nightline(&folder, &["config", "check", "nowhere.toml"]), 78, &["nowhere.toml"]);
}

#[test]
fn a_wrong_command_line_exits_64() {
    let folder = tempfile::tempdir().expect("a folder");
    complains(&nightline(&folder, &["serv"]), 64, &["serve"]);
}

#[test]
fn a_server_that_nobody_runs_is_told() {
    let folder = folder_with("f.wav", "");
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/person.wav"), folder.path().join("f.wav"))
        .expect("the fixture is there");
    // A socket that answers nothing would ring for a minute; a closed TCP port refuses at once.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let target = format!("sip:x@{};transport=tcp", free.local_addr().expect("its address"));
    drop(free);
    complains(&nightline(&folder, &["call", &target, "--wav", "f.wav"]), 69, &["cannot call"]);
}
