//! Deadlines, retries, closing, errors.

use std::collections::HashMap;
use std::error::Error as _;
use std::time::Duration;

use autopilot_client::{Client, Code, Error, Reason};
use autopilot_proto::v1::{Job, ListJobsResponse, Payload, payload::Kind};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

use crate::server::Server;

fn away() -> Status {
    Status::unavailable("away")
}

#[tokio::test]
async fn a_submit_is_repeated_with_one_request_id() {
    let server = Server::default();
    let client = server.client().await;
    server.refuse([away(), away()]);
    client.submit("w").await.unwrap();
    client.submit("w").await.unwrap();
    client.submit("w").request_id("mine").await.unwrap();
    let ids: Vec<String> = server.asked().into_iter().map(|asked| asked.request_id).collect();
    assert_eq!(ids.len(), 5);
    assert!(ids[0].len() >= 16 && ids[0] == ids[1] && ids[1] == ids[2] && ids[2] != ids[3]);
    assert_eq!(ids[4], "mine");
}

#[tokio::test]
async fn a_resume_is_repeated_with_one_request_id_and_tells_that_it_was_a_repetition() {
    let server = Server::default();
    let client = server.client().await;
    server.refuse([away()]);
    assert!(client.resume("j").answer(1).await.unwrap().deduplicated);
    let asked = server.asked();
    assert!(asked.len() == 2 && asked[0].request_id == asked[1].request_id);
}

#[tokio::test]
async fn what_will_not_pass_is_not_repeated() {
    let server = Server::default();
    let client = server.client().await;
    server.refuse([Status::internal("broken")]);
    let error = client.cancel("j").await.unwrap_err();
    assert!(matches!(&error, Error::CallFailed(call) if call.code == Code::Internal && call.message == "broken"));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn the_server_is_told_the_deadline() {
    let server = Server::default();
    let client = server.serve().await.timeout(Duration::from_secs(20)).connect().unwrap();
    client.get("j").await.unwrap();
    client.get("j").wait(Duration::from_secs(5)).await.unwrap();
    client.get("j").timeout(Duration::from_secs(3)).await.unwrap();
    let told: Vec<u64> = server.asked().iter().map(|asked| asked.timeout.unwrap().as_millis() as u64).collect();
    for (told, allowed) in told.into_iter().zip([20_000, 25_000, 3_000]) {
        assert!((1..=allowed).contains(&told) && told > allowed / 10, "{told} {allowed}");
    }
}

#[tokio::test]
async fn a_call_that_is_not_answered_ends_at_its_deadline() {
    let server = Server::default();
    let client = server.client().await;
    let _told = server.be_silent();
    let error = client.get("j").timeout(Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(&error, Error::DeadlineExceeded(call) if call.code == Code::DeadlineExceeded), "{error:?}");
}

#[tokio::test]
async fn retries_end_at_the_deadline() {
    let server = Server::default();
    let client = server.client().await;
    server.refuse(std::iter::repeat_with(away).take(5));
    // The second try comes after 160 ms at least, the third after 480.
    let error = client.get("j").timeout(Duration::from_millis(400)).await.unwrap_err();
    assert!(matches!(error, Error::DeadlineExceeded(_)), "{error:?}");
}

#[tokio::test]
async fn a_call_that_is_dropped_is_ended() {
    let server = Server::default();
    let client = server.client().await;
    let mut told = server.be_silent();
    let call = tokio::spawn(client.get("j").into_future());
    told.recv().await.unwrap();
    call.abort();
    told.recv().await.unwrap();
}

#[tokio::test]
async fn closing_ends_what_is_open_in_all_clones() {
    let server = Server::default();
    let client = server.client().await;
    let mut told = server.be_silent();
    let call = tokio::spawn(client.clone().get("j").into_future());
    let mut watch = client.watch("j").stream();
    let watching = tokio::spawn(async move { watch.next().await });
    told.recv().await.unwrap();
    told.recv().await.unwrap();
    client.close();
    assert!(matches!(call.await.unwrap(), Err(Error::Closed)));
    assert!(matches!(watching.await.unwrap(), Some(Err(Error::Closed))));
    assert!(matches!(client.submit("w").await, Err(Error::Closed)));
    assert!(matches!(client.watch("j").stream().next().await, Some(Err(Error::Closed))));
}

#[test]
fn a_client_without_a_runtime_is_an_error() {
    assert!(matches!(Client::new("127.0.0.1:1"), Err(Error::NoRuntime)));
}

#[tokio::test]
async fn an_address_that_is_none_is_an_error() {
    let error = Client::new("not an address").unwrap_err();
    assert!(matches!(error, Error::Connection(_)) && error.source().is_some());
}

#[cfg(unix)]
#[tokio::test]
async fn a_socket_file_is_an_address_and_this_machine() {
    let server = Server::default();
    let path = std::env::temp_dir().join(format!("autopilot-{}.sock", std::process::id()));
    server.serve_at(&path);
    let client = Client::builder(format!("unix:{}", path.display())).token("secret").connect().unwrap();
    let answer = client.get("j").await;
    std::fs::remove_file(&path).unwrap();
    answer.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable_and_says_why() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = Client::new(free.to_string()).unwrap().get("j").await.unwrap_err();
    assert!(matches!(error, Error::ServerUnreachable(_)), "{error:?}");
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    assert!(causes.map(ToString::to_string).any(|cause| cause.contains("refused")));
}

#[tokio::test]
async fn an_error_has_all_that_the_server_said() {
    let server = Server::default();
    let client = server.client().await;
    let metadata = HashMap::from([("job_id".to_owned(), "j".to_owned())]);
    let mut details = ErrorDetails::with_error_info("JOB_NOT_FOUND", "autopilot", metadata.clone());
    details.add_bad_request_violation("one", "is wrong").set_retry_info(Some(Duration::from_millis(1500)));
    server.refuse([Status::with_error_details(Code::NotFound, "nowhere", details)]);
    let error = client.get("j").await.unwrap_err();
    assert!(error.is(Reason::JobNotFound) && !error.is(Reason::ThreadBusy));
    assert_eq!(error.to_string(), "JOB_NOT_FOUND: nowhere");
    let call = error.call().unwrap();
    assert_eq!((&call.metadata, call.retry_delay), (&metadata, Some(Duration::from_millis(1500))));
    assert_eq!((call.violations[0].field.as_str(), call.violations[0].description.as_str()), ("one", "is wrong"));
    assert_eq!(call.status().code(), Code::NotFound);
}

#[tokio::test]
async fn what_is_no_json_is_refused_before_the_call() {
    let server = Server::default();
    let client = server.client().await;
    assert!(matches!(client.submit("w").input([f64::NAN]).await, Err(Error::Json(_))));
    assert!(matches!(client.submit("w").context(f64::INFINITY).await, Err(Error::Json(_))));
    assert!(matches!(client.resume("j").answer_to("i", f32::NAN).await, Err(Error::Json(_))));
    assert!(matches!(client.submit("w").input(HashMap::from([([1], 1)])).await, Err(Error::Json(_))));
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_large_answer_has_room() {
    let server = Server::default();
    let client = server.client().await;
    let text = |size| Some(Payload { kind: Some(Kind::JsonText(format!("\"{}\"", "x".repeat(size)))) });
    server.answer([15 << 20, 17 << 20].map(|size| Job { output: text(size), ..Default::default() }));
    let job = client.get("j").await.unwrap();
    assert_eq!(job.output.decode::<String>().unwrap().len(), 15 << 20);
    client.get("j").await.unwrap_err();
}

#[tokio::test]
async fn pages_are_read_as_they_are_gone_through() {
    let server = Server::default();
    let client = server.client().await;
    let page = |ids: [&str; 2], next: &str| ListJobsResponse {
        jobs: ids.map(|id| Job { job_id: id.to_owned(), ..Default::default() }).into(),
        next_page_token: next.to_owned(),
    };
    server.pages([page(["a", "b"], "t"), page(["c", "d"], "")]);
    let mut jobs = client.list().page_size(2).stream();
    assert!(server.asked().is_empty());
    let mut ids = Vec::new();
    for pages in [1, 1, 2, 2] {
        ids.push(jobs.next().await.unwrap().unwrap().job_id);
        assert_eq!(server.asked().len(), pages);
    }
    assert!(jobs.next().await.is_none());
    assert_eq!(ids, ["a", "b", "c", "d"]);
    assert_eq!(server.asked()[1].page_token, "t");
}

#[tokio::test]
async fn a_page_that_cannot_be_read_ends_the_list() {
    let server = Server::default();
    let client = server.client().await;
    server.refuse([Status::permission_denied("no")]);
    let mut jobs = client.list().stream();
    assert!(jobs.next().await.unwrap().is_err());
    assert!(jobs.next().await.is_none());
}
