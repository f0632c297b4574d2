use super::*;

/// Answers with the same words to all that is loud.
struct Parrot;

impl Recognizer for Parrot {
    fn submit(&self, job: Job) {
        let loud = job.audio.iter().any(|sample| sample.unsigned_abs() > 1_000);
        let text = if loud { "转人工" } else { "" };
        let confidence = if loud { 0.8 } else { 0.0 };
        let partial = job.purpose == Purpose::Partial;
        assert_ne!(partial, job.earlier.is_some(), "a final knows its partial, a partial nothing");
        (job.reply)(Ok(Transcript { text: text.into(), confidence, ..Transcript::default() }));
    }
}

fn folder(lines: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(manifest::NAME), lines.join("\n")).unwrap();
    dir
}

fn write_wav(path: &Path, rate: u32, samples: &[i16]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(path, spec).unwrap();
    for sample in samples {
        wav.write_sample(*sample).unwrap();
    }
    wav.finalize().unwrap();
}

const SPOKEN: &str = r#"{"wav": "a.wav", "text": "转人工", "lang": "zh", "set": "s", "condition": "clean", "voice": "v", "kind": "hotline"}"#;
const SILENT: &str = r#"{"wav": "b.wav", "text": "", "lang": "zh", "set": "s", "condition": "room", "voice": "", "kind": "none"}"#;
const WRONG: &str = r#"{"wav": "a.wav", "text": "一二三", "lang": "zh", "set": "s", "condition": "20dB", "voice": "v", "kind": "digits"}"#;

#[test]
fn recordings_are_heard_and_added_up_by_set_and_condition() {
    let dir = folder(&[SPOKEN, SILENT, "", WRONG]);
    write_wav(&dir.path().join("a.wav"), 8_000, &[6_000, -6_000].repeat(8_000));
    write_wav(&dir.path().join("b.wav"), 8_000, &vec![0; 16_000]);
    let items = manifest::read(dir.path()).unwrap();
    let options = Options { workers: 2, partials: true, trim: true, noise_minutes: 1 };
    let seen = AtomicUsize::new(0);
    let outcomes = run(&Parrot, dir.path(), &items, &options, &|| {
        seen.fetch_add(1, Ordering::Relaxed);
    })
    .unwrap();
    assert_eq!(count(&items, &options), 15);
    assert_eq!((outcomes.len(), seen.into_inner()), (15, 15));
    assert_eq!(outcomes[0].partial.as_deref(), Some("转人工"));
    let report = Report::new(&outcomes, 2, None);
    let rows: Vec<_> = report.rows.iter().map(|r| (r.condition.as_str(), r.cer, r.exact, r.digits)).collect();
    assert_eq!(rows, [("clean", 0.0, 1.0, None), ("20dB", 1.0, 0.0, Some(0.0))]);
    assert_eq!((report.all.utterances, report.all.characters), (2, 6));
    assert_eq!(report.no_speech.recordings, 13, "one recording and a minute of noise");
    assert!((report.no_speech.seconds - 62.0).abs() < 0.1, "{:?}", report.no_speech);
    assert!(report.no_speech.with_words > 0, "the parrot speaks at loud noise");
    assert_eq!(
        (report.confidence.right, report.confidence.badly_wrong),
        (1, 1 + report.no_speech.with_words)
    );
    assert!(report.cost.partial_ms.is_some() && report.cost.final_ms.is_some());
}

#[test]
fn an_outcome_can_be_read_back_from_its_line() {
    let dir = folder(&[SPOKEN]);
    write_wav(&dir.path().join("a.wav"), 8_000, &[6_000; 8_000]);
    let items = manifest::read(dir.path()).unwrap();
    let options = Options { workers: 1, partials: true, trim: true, noise_minutes: 0 };
    let outcomes = run(&Parrot, dir.path(), &items, &options, &|| ()).unwrap();
    let line = serde_json::to_string(&outcomes[0]).unwrap();
    assert_eq!(serde_json::from_str::<Outcome>(&line).unwrap(), outcomes[0], "{line}");
}

#[test]
fn what_is_wrong_with_a_manifest_is_told_with_its_place() {
    let told = |lines: &[&str]| manifest::read(folder(lines).path()).unwrap_err().to_string();
    let no_dir = manifest::read(Path::new("nowhere")).unwrap_err().to_string();
    assert!(no_dir.contains("manifest.jsonl") && no_dir.contains("\"wav\""), "{no_dir}");
    assert!(told(&[]).contains("lists no recording"));
    assert!(told(&[SPOKEN, "{"]).contains("manifest.jsonl:2:"));
    assert!(told(&[&SPOKEN.replace("kind", "kin")]).contains("missing field `kind`"));
    assert!(told(&[&SPOKEN.replace("hotline", "none")]).contains("`text` says something"));
    assert!(told(&[&SPOKEN.replace("转人工", " ")]).contains("says nothing"));
    let missing = told(&[SPOKEN, SILENT]);
    assert!(missing.contains("2 of 2") && missing.contains("a.wav"), "{missing}");
}

#[test]
fn a_recording_of_another_shape_is_refused_with_what_to_do() {
    let dir = folder(&[SPOKEN]);
    let path = dir.path().join("a.wav");
    write_wav(&path, 16_000, &[0; 100]);
    let error = manifest::audio(&path).unwrap_err().to_string();
    assert!(error.contains("16000 Hz") && error.contains("sox"), "{error}");
    std::fs::write(&path, b"RIFF").unwrap();
    assert!(manifest::audio(&path).is_err());
    write_wav(&path, 8_000, &[]);
    assert_eq!(manifest::audio(&path).unwrap(), [0_i16; 0]);
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut wav = hound::WavWriter::create(&path, spec).unwrap();
    wav.write_sample(f32::NAN).unwrap();
    wav.finalize().unwrap();
    let error = manifest::audio(&path).unwrap_err().to_string();
    assert!(error.contains("32 floating-point bits"), "NaN must not come in: {error}");
}

struct Broken;

impl Recognizer for Broken {
    fn submit(&self, job: Job) {
        (job.reply)(Err(crate::asr::Error::Engine("no memory".into())));
    }
}

#[test]
fn a_failing_recogniser_ends_the_evaluation_with_its_reason() {
    let dir = folder(&[SPOKEN]);
    write_wav(&dir.path().join("a.wav"), 8_000, &[6_000; 8_000]);
    let items = manifest::read(dir.path()).unwrap();
    let options = Options { workers: 1, partials: false, trim: false, noise_minutes: 0 };
    let error = run(&Broken, dir.path(), &items, &options, &|| ()).unwrap_err().to_string();
    assert!(error.contains("a.wav") && error.contains("no memory"), "{error}");
}
