//! Watches: each event once, nothing ahead of the reader, and an end when they are dropped.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use autopilot_client::{Error, Event, EventKind, JobState};
use autopilot_proto::v1::progress_event::Kind;
use autopilot_proto::v1::*;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::oneshot;
use tonic::Status;

use crate::server::Server;

fn event(sequence: i64, to: JobState) -> ProgressEvent {
    let changed = StateChanged { to: to as i32, ..Default::default() };
    ProgressEvent { sequence, kind: Some(Kind::StateChanged(changed)), ..Default::default() }
}

fn batch(sequences: impl IntoIterator<Item = i64>, through_sequence: i64) -> WatchProgressResponse {
    let events = sequences.into_iter().map(|sequence| event(sequence, JobState::Running)).collect();
    WatchProgressResponse { events, through_sequence }
}

fn broken() -> Result<WatchProgressResponse, Status> {
    Err(Status::unavailable("broken"))
}

fn job(state: JobState, latest_sequence: i64) -> Job {
    Job { state: state as i32, latest_sequence, ..Default::default() }
}

#[tokio::test]
async fn each_stored_event_is_seen_once_through_breaks() {
    let server = Server::default();
    let client = server.client().await;
    server.watch(stream::iter([Ok(batch([1, 2], 2)), Ok(batch([0, 3], 3)), broken()]));
    server.watch(stream::iter([Ok(batch([2, 3, 0, 4], 4)), Ok(batch([], 6)), broken()]));
    server.watch(stream::iter([Ok(batch([7], 7))]));
    // As a stream of futures, with all that those have.
    let seen: Vec<i64> = client.watch("j").stream().map_ok(|event| event.sequence).try_collect().await.unwrap();
    assert_eq!(seen, [1, 2, 0, 3, 0, 4, 7]);
    let places: Vec<i64> = server.asked().iter().map(|asked| asked.after_sequence).collect();
    assert_eq!(places, [0, 3, 6]);
    assert!(server.asked().iter().all(|asked| asked.timeout.is_none()));
}

#[tokio::test]
async fn a_break_that_ended_does_not_count_for_the_next() {
    let server = Server::default();
    let client = server.client().await;
    for sequence in 1..=8 {
        server.watch(stream::iter([Ok(batch([sequence], sequence)), broken()]));
    }
    // Together, and with pauses that double, the breaks would last longer.
    let watch = client.watch("j").reconnect_for(Duration::from_secs(1));
    assert_eq!(watch.stream().all().await.unwrap().len(), 8);
}

#[tokio::test]
async fn an_error_that_will_not_pass_ends_the_watch() {
    let server = Server::default();
    let client = server.client().await;
    server.watch(stream::iter([Ok(batch([1], 1)), Err(Status::not_found("deleted"))]));
    let mut events = client.watch("j").stream();
    assert_eq!(events.next().await.unwrap().unwrap().sequence, 1);
    assert!(matches!(events.next().await, Some(Err(Error::CallFailed(_)))));
    assert!(events.next().await.is_none());
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_watch_calls_when_it_is_read_and_ends_when_it_is_dropped() {
    let server = Server::default();
    let client = server.client().await;
    let (sender, left) = oneshot::channel::<()>();
    let open = stream::iter([Ok(batch([1, 2], 2))]).chain(stream::once(async move {
        let _dropped_with_the_call = sender;
        std::future::pending().await
    }));
    server.watch(open);
    let mut events = client.watch("j").stream();
    assert!(server.asked().is_empty());
    events.next().await.unwrap().unwrap();
    drop(events);
    left.await.unwrap_err();
}

#[tokio::test]
async fn a_poll_that_is_given_up_loses_nothing() {
    let server = Server::default();
    let client = server.client().await;
    let (sender, later) = oneshot::channel();
    let late = stream::once(async { Ok(later.await.unwrap()) });
    server.watch(stream::iter([Ok(batch([1], 1))]).chain(late));
    let mut events = client.watch("j").stream();
    events.next().await.unwrap().unwrap();
    let mut given_up = Box::pin(events.next());
    assert!(futures_util::poll!(&mut given_up).is_pending());
    drop(given_up);
    sender.send(batch([2], 2)).unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().sequence, 2);
    assert_eq!(server.asked().len(), 1);
}

/// Events without end, of 10 KB each, that count how many were taken.
fn flood(taken: &Arc<AtomicUsize>) -> impl futures_util::Stream<Item = Result<WatchProgressResponse, Status>> + use<> {
    let taken = Arc::clone(taken);
    stream::iter(1..).map(move |sequence| {
        taken.fetch_add(1, Ordering::SeqCst);
        let token = TokenChunk { text: "x".repeat(10_000), ..Default::default() };
        let event = ProgressEvent { sequence, kind: Some(Kind::TokenChunk(token)), ..Default::default() };
        Ok(WatchProgressResponse { events: vec![event], through_sequence: sequence })
    })
}

#[tokio::test]
async fn watches_that_nobody_reads_hold_their_server_back_and_no_other_call() {
    let server = Server::default();
    let client = server.client().await;
    let taken = Arc::new(AtomicUsize::new(0));
    let mut unread = Vec::new();
    let all = async {
        for _ in 0..40 {
            server.watch(flood(&taken));
            let mut events = client.watch("j").stream();
            events.next().await.unwrap().unwrap();
            unread.push(events);
        }
        // 40 windows of 256 KiB are twice what a connection holds by default.
        while taken.load(Ordering::SeqCst) < 40 * 26 {
            tokio::task::yield_now().await;
        }
        client.get("j").await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(100), all).await.expect("the connection is held up");
    assert!(taken.load(Ordering::SeqCst) < 40 * 200, "{taken:?}");
    let next: Event = unread[0].next().await.unwrap().unwrap();
    assert_eq!(next.sequence, 2);
}

#[tokio::test]
async fn follow_goes_on_after_an_interrupt_of_the_past() {
    let server = Server::default();
    let client = server.client().await;
    server.answer([job(JobState::Running, 2), job(JobState::Succeeded, 4), job(JobState::Succeeded, 4)]);
    let respond = |events, through_sequence| Ok(WatchProgressResponse { events, through_sequence });
    server.watch(stream::iter([respond(vec![event(1, JobState::Running), event(2, JobState::Interrupted)], 2)]));
    server.watch(stream::iter([respond(vec![event(3, JobState::Running), event(4, JobState::Succeeded)], 4)]));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    let keep = move |event: &Event| kept.lock().unwrap().push(event.sequence);
    let job = client.follow("j").on_event(keep).await.unwrap();
    assert_eq!(job.state, JobState::Succeeded);
    assert_eq!(*seen.lock().unwrap(), [1, 2, 3, 4]);
    let methods: Vec<&str> = server.asked().iter().map(|asked| asked.method).collect();
    assert_eq!(methods, ["GetStatus", "WatchProgress", "GetStatus", "WatchProgress", "GetStatus"]);
}

#[tokio::test]
async fn run_gives_the_output_as_a_type_or_the_job_that_did_not_succeed() {
    let server = Server::default();
    let client = server.client().await;
    let text = Payload { kind: Some(payload::Kind::JsonText("[9007199254740993]".to_owned())) };
    let done = Job { output: Some(text), ..job(JobState::Succeeded, 0) };
    server.answer([Job::default(), done]);
    let output: Vec<i64> = client.run("w", 1).output().await.unwrap();
    assert_eq!(output, [9_007_199_254_740_993]);
    for state in [JobState::Failed, JobState::Cancelled, JobState::Interrupted] {
        server.answer([Job::default(), job(state, 0)]);
        let error = client.run("w", 1).await.unwrap_err();
        assert_eq!(error.job().unwrap().state, state);
        assert!(error.to_string().contains(state.as_str()));
    }
}

#[tokio::test]
async fn an_event_of_the_future_is_unknown() {
    let server = Server::default();
    let client = server.client().await;
    let unknown = ProgressEvent { sequence: 1, ..Default::default() };
    server.watch(stream::iter([Ok(WatchProgressResponse { events: vec![unknown], through_sequence: 1 })]));
    let events = client.watch("j").stream().all().await.unwrap();
    assert_eq!(events[0].kind, EventKind::Unknown);
}

#[tokio::test]
async fn futures_and_streams_may_go_to_other_threads() {
    fn sent<T: Send + 'static>(_: T) {}
    let client = Server::default().client().await;
    sent(client.submit("w").into_future());
    sent(client.run("w", 1).into_future());
    sent(client.run("w", 1).output::<i64>());
    sent(client.follow("j").into_future());
    sent(client.watch("j").stream());
    sent(client.list().stream());
}
