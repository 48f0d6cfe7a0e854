//! A server in this process that does as it is told, and keeps what it was asked.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use autopilot_client::{Client, ClientBuilder};
use autopilot_proto::v1::job_service_server::{JobService, JobServiceServer};
use autopilot_proto::v1::*;
use futures_util::{Stream, StreamExt, stream};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server as Serving;
use tonic::{Request, Response, Status};

pub type Events = Pin<Box<dyn Stream<Item = Result<WatchProgressResponse, Status>> + Send>>;
type Answer<T> = Result<Response<T>, Status>;

/// What it does, and what it was asked. By default it answers with what is empty.
#[derive(Clone, Default)]
pub struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    refusals: VecDeque<Status>,
    jobs: VecDeque<Job>,
    pages: VecDeque<ListJobsResponse>,
    watches: VecDeque<Events>,
    silent: Option<mpsc::UnboundedSender<()>>,
    asked: Vec<Asked>,
}

/// A call as the server saw it.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub method: &'static str,
    pub request_id: String,
    pub after_sequence: i64,
    pub page_token: String,
    pub timeout: Option<Duration>,
    pub authorization: String,
}

/// Tells when it is dropped.
struct Left(mpsc::UnboundedSender<()>);

impl Drop for Left {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

impl Server {
    /// Serves, and gives a client's beginning.
    pub async fn serve(&self) -> ClientBuilder {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(Serving::builder().serve_with_incoming(self.service(), TcpListenerStream::new(listener)));
        Client::builder(address.to_string())
    }

    /// Serves at a socket file.
    #[cfg(unix)]
    pub fn serve_at(&self, path: &std::path::Path) {
        let listener = tokio::net::UnixListener::bind(path).unwrap();
        let incoming = tokio_stream::wrappers::UnixListenerStream::new(listener);
        tokio::spawn(Serving::builder().serve_with_incoming(self.service(), incoming));
    }

    fn service(&self) -> JobServiceServer<Self> {
        JobServiceServer::new(self.clone()).max_encoding_message_size(64 << 20)
    }

    pub async fn client(&self) -> Client {
        self.serve().await.connect().unwrap()
    }

    /// The next calls are refused like this.
    pub fn refuse(&self, statuses: impl IntoIterator<Item = Status>) {
        self.0.lock().unwrap().refusals.extend(statuses);
    }

    /// The next calls are answered with these jobs.
    pub fn answer(&self, jobs: impl IntoIterator<Item = Job>) {
        self.0.lock().unwrap().jobs.extend(jobs);
    }

    /// The next lists have these pages.
    pub fn pages(&self, pages: impl IntoIterator<Item = ListJobsResponse>) {
        self.0.lock().unwrap().pages.extend(pages);
    }

    /// The next watch is this.
    pub fn watch(&self, events: impl Stream<Item = Result<WatchProgressResponse, Status>> + Send + 'static) {
        self.0.lock().unwrap().watches.push_back(Box::pin(events));
    }

    /// Calls are never answered from now on; what is given tells when one arrives, and when one is left.
    pub fn be_silent(&self) -> mpsc::UnboundedReceiver<()> {
        let (sender, told) = mpsc::unbounded_channel();
        self.0.lock().unwrap().silent = Some(sender);
        told
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.0.lock().unwrap().asked.clone()
    }

    async fn met<M>(&self, method: &'static str, request: &Request<M>, more: Asked) -> Result<(), Status> {
        let text = |name| request.metadata().get(name).map(|value| value.to_str().unwrap().to_owned());
        let timeout = text("grpc-timeout").map(|text| timeout(&text));
        let authorization = text("authorization").unwrap_or_default();
        let (silent, refusal) = {
            let mut state = self.0.lock().unwrap();
            state.asked.push(Asked { method, timeout, authorization, ..more });
            (state.silent.clone(), state.refusals.pop_front())
        };
        if let Some(told) = silent {
            told.send(()).unwrap();
            let _left = Left(told);
            std::future::pending::<()>().await;
        }
        refusal.map_or(Ok(()), Err)
    }

    fn job(&self) -> Option<Job> {
        self.0.lock().unwrap().jobs.pop_front().or_else(|| Some(Job::default()))
    }
}

fn timeout(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let number = number.parse().unwrap();
    match unit {
        "n" => Duration::from_nanos(number),
        "u" => Duration::from_micros(number),
        "m" => Duration::from_millis(number),
        other => panic!("a unit {other}"),
    }
}

#[tonic::async_trait]
impl JobService for Server {
    type WatchProgressStream = Events;

    async fn submit_job(&self, request: Request<SubmitJobRequest>) -> Answer<SubmitJobResponse> {
        let request_id = request.get_ref().request_id.clone();
        self.met("SubmitJob", &request, Asked { request_id, ..Default::default() }).await?;
        Ok(Response::new(SubmitJobResponse { job: self.job(), deduplicated: false }))
    }

    async fn get_status(&self, request: Request<GetStatusRequest>) -> Answer<GetStatusResponse> {
        self.met("GetStatus", &request, Asked::default()).await?;
        Ok(Response::new(GetStatusResponse { job: self.job() }))
    }

    async fn list_jobs(&self, request: Request<ListJobsRequest>) -> Answer<ListJobsResponse> {
        let page_token = request.get_ref().page_token.clone();
        self.met("ListJobs", &request, Asked { page_token, ..Default::default() }).await?;
        Ok(Response::new(self.0.lock().unwrap().pages.pop_front().unwrap_or_default()))
    }

    async fn watch_progress(&self, request: Request<WatchProgressRequest>) -> Answer<Events> {
        let after_sequence = request.get_ref().after_sequence;
        self.met("WatchProgress", &request, Asked { after_sequence, ..Default::default() }).await?;
        let watch = self.0.lock().unwrap().watches.pop_front();
        Ok(Response::new(watch.unwrap_or_else(|| stream::empty().boxed())))
    }

    async fn cancel(&self, request: Request<CancelRequest>) -> Answer<CancelResponse> {
        self.met("Cancel", &request, Asked::default()).await?;
        Ok(Response::new(CancelResponse { job: self.job() }))
    }

    async fn resume(&self, request: Request<ResumeRequest>) -> Answer<ResumeResponse> {
        let request_id = request.get_ref().request_id.clone();
        self.met("Resume", &request, Asked { request_id, ..Default::default() }).await?;
        Ok(Response::new(ResumeResponse { job: self.job(), deduplicated: true }))
    }

    async fn delete_job(&self, request: Request<DeleteJobRequest>) -> Answer<DeleteJobResponse> {
        self.met("DeleteJob", &request, Asked::default()).await?;
        Ok(Response::new(DeleteJobResponse {}))
    }

    async fn list_checkpoints(&self, request: Request<ListCheckpointsRequest>) -> Answer<ListCheckpointsResponse> {
        self.met("ListCheckpoints", &request, Asked::default()).await?;
        Ok(Response::new(ListCheckpointsResponse::default()))
    }

    async fn prune_jobs(&self, request: Request<PruneJobsRequest>) -> Answer<PruneJobsResponse> {
        self.met("PruneJobs", &request, Asked::default()).await?;
        Ok(Response::new(PruneJobsResponse::default()))
    }

    async fn list_workflows(&self, request: Request<ListWorkflowsRequest>) -> Answer<ListWorkflowsResponse> {
        self.met("ListWorkflows", &request, Asked::default()).await?;
        Ok(Response::new(ListWorkflowsResponse::default()))
    }
}
