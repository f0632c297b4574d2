//! Fetching from a local server that can be cut, that lies, or that is not there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::get;

use super::*;
use crate::asr::whisper::embedded;

#[derive(Clone)]
struct Server {
    content: Arc<Vec<u8>>,
    /// The first answer breaks off after so many bytes.
    breaks_after: Option<usize>,
    ranges: bool,
    requests: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<Option<String>>>>,
}

impl Server {
    fn of(content: Vec<u8>) -> Self {
        Self {
            content: Arc::new(content),
            breaks_after: None,
            ranges: true,
            requests: Arc::default(),
            asked: Arc::default(),
        }
    }

    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/model.bin", get(answer)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}/model.bin")
    }
}

async fn answer(State(server): State<Server>, headers: HeaderMap) -> Response<Body> {
    let first = server.requests.fetch_add(1, Ordering::Relaxed) == 0;
    let range = headers.get("range").map(|value| value.to_str().unwrap().to_owned());
    server.asked.lock().unwrap().push(range.clone());
    let whole = server.content.len();
    let start = range
        .filter(|_| server.ranges)
        .map(|range| range.strip_prefix("bytes=").unwrap().trim_end_matches('-').parse::<usize>().unwrap());
    if start.is_some_and(|start| start >= whole) {
        return Response::builder().status(StatusCode::RANGE_NOT_SATISFIABLE).body(Body::empty()).unwrap();
    }
    let rest = Bytes::copy_from_slice(&server.content[start.unwrap_or(0)..]);
    let response = Response::builder().header("content-length", rest.len());
    let response = match start {
        Some(start) => response
            .status(StatusCode::PARTIAL_CONTENT)
            .header("content-range", format!("bytes {start}-{}/{whole}", whole - 1)),
        None => response.status(StatusCode::OK),
    };
    match server.breaks_after.filter(|_| first) {
        Some(after) => {
            let cut = [Ok(rest.slice(..after)), Err(io::Error::other("cut"))];
            response.body(Body::from_stream(futures_util::stream::iter(cut))).unwrap()
        }
        None => response.body(Body::from(rest)).unwrap(),
    }
}

fn sha1(bytes: &[u8]) -> String {
    hexadecimal(&Sha1::digest(bytes))
}

#[tokio::test]
async fn a_model_is_fetched_checked_and_named() {
    let model = embedded().unwrap();
    let url = Server::of(model.clone()).start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.bin");
    let mut told = 0;
    let sums = fetch(&url, &path, Some(&sha1(&model)), |step| {
        if let Progress::Got(bytes) = step {
            told += bytes;
        }
    })
    .await
    .unwrap();
    assert_eq!((sums.length, told), (model.len() as u64, model.len() as u64));
    assert_eq!(sums.sha256, "680de4a3a94f428778036f8b4398e8bce335e66263f1189677d2aab7b591f3ea");
    assert!(path.exists() && !dir.path().join("m.bin.part").exists());
}

#[tokio::test]
async fn a_fetch_that_was_cut_continues_where_it_stopped() {
    let model = embedded().unwrap();
    let server = Server { breaks_after: Some(5_000_000), ..Server::of(model.clone()) };
    let url = server.start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.bin");
    let expected = sha1(&model);
    let error = fetch(&url, &path, Some(&expected), |_| ()).await.unwrap_err();
    assert!(matches!(error, Error::Broken { .. }), "{error}");
    assert!(!path.exists(), "half a model must not have the name of a whole one");
    let have = std::fs::metadata(dir.path().join("m.bin.part")).unwrap().len();
    assert!(have > 0, "what arrived is kept");
    let mut start = None;
    fetch(&url, &path, Some(&expected), |step| {
        if let Progress::Start(have, whole) = step {
            start = Some((have, whole));
        }
    })
    .await
    .unwrap();
    assert_eq!(start, Some((have, Some(model.len() as u64))));
    assert_eq!(*server.asked.lock().unwrap(), [None, Some(format!("bytes={have}-"))]);
    assert_eq!(std::fs::read(&path).unwrap(), model);
}

#[tokio::test]
async fn a_server_without_ranges_starts_over() {
    let model = embedded().unwrap();
    let url = Server { ranges: false, ..Server::of(model.clone()) }.start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.bin");
    std::fs::write(dir.path().join("m.bin.part"), b"old half").unwrap();
    fetch(&url, &path, Some(&sha1(&model)), |_| ()).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), model);
}

#[tokio::test]
async fn a_part_that_is_already_whole_is_only_checked() {
    let model = embedded().unwrap();
    let url = Server::of(model.clone()).start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.bin");
    std::fs::write(dir.path().join("m.bin.part"), &model).unwrap();
    fetch(&url, &path, Some(&sha1(&model)), |_| ()).await.unwrap();
    assert!(path.exists());
}

#[tokio::test]
async fn a_file_with_another_sum_is_refused_and_removed() {
    let url = Server::of(embedded().unwrap()).start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.bin");
    let error = fetch(&url, &path, Some(CATALOGUE[0].sha1.unwrap()), |_| ()).await.unwrap_err();
    assert!(matches!(error, Error::WrongHash { kept: "removed", .. }), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing wrong is left behind");
}

#[tokio::test]
async fn an_error_page_is_not_taken_for_a_model() {
    let url = Server::of(b"<html>please log in</html>".to_vec()).start().await;
    let dir = tempfile::tempdir().unwrap();
    let error = fetch(&url, &dir.path().join("m.bin"), None, |_| ()).await.unwrap_err();
    assert!(matches!(error, Error::Model(OpenError::Model { .. })), "{error}");
    let missing = url.replace("model.bin", "other.bin");
    let error = fetch(&missing, &dir.path().join("m.bin"), None, |_| ()).await.unwrap_err();
    assert!(matches!(error, Error::Status { status: 404, .. }), "{error}");
}

#[tokio::test]
async fn without_a_network_the_error_says_what_to_do() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/model.bin", listener.local_addr().unwrap());
    drop(listener);
    let dir = tempfile::tempdir().unwrap();
    let error = fetch(&url, &dir.path().join("m.bin"), None, |_| ()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("models verify"), "{error}");
}

#[test]
fn a_misspelt_name_gets_the_nearest_one() {
    let error = find("large-v3-trubo").unwrap_err().to_string();
    assert!(error.contains("`large-v3-turbo`"), "{error}");
    assert_eq!(find("ggml-base-q5_1.bin").unwrap().name, "base-q5_1");
}

#[test]
fn the_catalogue_is_well_formed() {
    for model in CATALOGUE {
        let sum = model.sha1.unwrap_or("0000000000000000000000000000000000000000");
        assert!(sum.len() == 40 && sum.bytes().all(|b| b.is_ascii_hexdigit()), "{}", model.name);
        assert!(model.memory_mib > model.size_mib, "{} cannot need less memory than its file", model.name);
        assert_eq!(CATALOGUE.iter().filter(|other| other.name == model.name).count(), 1, "{}", model.name);
    }
}
