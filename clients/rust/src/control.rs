//! Reading, cancelling, resuming and deleting.

use std::time::Duration;

use autopilot_proto::v1::{self, PayloadFormat, View};
use serde::Serialize;

use crate::call::{Limit, awaited};
use crate::connection::Stub;
use crate::payload::payload;
use crate::submit::{new_request_id, span};
use crate::{Client, Error, Filter, Job, Pruned, Result};

/// A job to read; `.await` gives the [`Job`].
#[derive(Debug)]
#[must_use = "it is read when it is awaited"]
pub struct Get {
    client: Client,
    request: v1::GetStatusRequest,
    limit: Limit,
}

awaited!(Get -> Job);

impl Get {
    pub(crate) fn new(client: Client, job_id: String) -> Self {
        let request = v1::GetStatusRequest {
            job_id,
            view: View::Full.into(),
            payload_format: PayloadFormat::JsonText.into(),
            ..Default::default()
        };
        Self { client, request, limit: Limit::default() }
    }

    async fn call(self) -> Result<Job> {
        let send = |mut stub: Stub, request| async move { stub.get_status(request).await };
        let response = self.client.caller().call("GetStatus", self.limit, self.request, send).await?;
        Ok(response.job.unwrap_or_default().into())
    }

    /// Waits for the job to be finished or INTERRUPTED, at most this long, which is on top of the client's
    /// deadline. That it is not by then is no error.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.limit.waiting = wait;
        self.request.wait_timeout = Some(span(wait));
        self
    }

    /// Leaves out input, output and questions.
    pub fn without_payloads(mut self) -> Self {
        self.request.view = View::Basic.into();
        self
    }
}

/// A job to cancel; `.await` gives the [`Job`].
#[derive(Debug)]
#[must_use = "it is cancelled when it is awaited"]
pub struct Cancel {
    client: Client,
    request: v1::CancelRequest,
    limit: Limit,
}

awaited!(Cancel -> Job);

impl Cancel {
    pub(crate) fn new(client: Client, job_id: String) -> Self {
        let request = v1::CancelRequest { job_id, ..Default::default() };
        Self { client, request, limit: Limit::default() }
    }

    async fn call(self) -> Result<Job> {
        let send = |mut stub: Stub, request| async move { stub.cancel(request).await };
        let response = self.client.caller().call("Cancel", self.limit, self.request, send).await?;
        Ok(response.job.unwrap_or_default().into())
    }

    /// For people.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.request.reason = reason.into();
        self
    }

    /// Only when the job has not changed since.
    pub fn etag(mut self, etag: impl Into<String>) -> Self {
        self.request.etag = etag.into();
        self
    }

    /// How long running steps may go on; zero: not at all.
    pub fn grace_period(mut self, period: Duration) -> Self {
        self.request.grace_period = Some(span(period));
        self
    }
}

/// A job to continue; `.await` gives the [`Job`].
///
/// It has a request id, made here or given, so that nothing is answered twice however often it is tried.
#[derive(Debug)]
#[must_use = "it is resumed when it is awaited"]
pub struct Resume {
    client: Client,
    request: v1::ResumeRequest,
    limit: Limit,
    wrong: Option<Error>,
}

awaited!(Resume -> Job);

impl Resume {
    pub(crate) fn new(client: Client, job_id: String) -> Self {
        let request = v1::ResumeRequest { job_id, request_id: new_request_id(), ..Default::default() };
        Self { client, request, limit: Limit::default(), wrong: None }
    }

    async fn call(self) -> Result<Job> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let send = |mut stub: Stub, request| async move { stub.resume(request).await };
        let response = self.client.caller().call("Resume", self.limit, self.request, send).await?;
        Ok(Job::answered(response.job, response.deduplicated))
    }

    /// Answers the only open question.
    pub fn answer(mut self, answer: impl Serialize) -> Self {
        self.request.answer = self.sent(&answer);
        self
    }

    /// Answers one of the open questions, by its id.
    pub fn answer_to(mut self, interrupt_id: impl Into<String>, answer: impl Serialize) -> Self {
        if let Some(payload) = self.sent(&answer) {
            self.request.answers.insert(interrupt_id.into(), payload);
        }
        self
    }

    /// Makes a resume that is repeated elsewhere, with the same id, do nothing.
    pub fn request_id(mut self, request_id: impl Into<String>) -> Self {
        self.request.request_id = request_id.into();
        self
    }

    /// Only when the job has not changed since.
    pub fn etag(mut self, etag: impl Into<String>) -> Self {
        self.request.etag = etag.into();
        self
    }

    /// From this checkpoint instead of the newest.
    pub fn checkpoint(mut self, checkpoint_id: impl Into<String>) -> Self {
        self.request.checkpoint_id = checkpoint_id.into();
        self
    }

    /// Edits the state first.
    pub fn state_update(mut self, update: impl Serialize) -> Self {
        self.request.state_update = self.sent(&update);
        self
    }

    /// The step that the edit is attributed to.
    pub fn state_update_step(mut self, step: impl Into<String>) -> Self {
        self.request.state_update_step = step.into();
        self
    }

    fn sent(&mut self, value: &impl Serialize) -> Option<v1::Payload> {
        payload(value).map_err(|error| self.wrong = Some(error)).ok()
    }
}

/// A job to delete.
#[derive(Debug)]
#[must_use = "it is deleted when it is awaited"]
pub struct Delete {
    client: Client,
    request: v1::DeleteJobRequest,
    limit: Limit,
}

awaited!(Delete -> ());

impl Delete {
    pub(crate) fn new(client: Client, job_id: String) -> Self {
        let request = v1::DeleteJobRequest { job_id, ..Default::default() };
        Self { client, request, limit: Limit::default() }
    }

    async fn call(self) -> Result<()> {
        let send = |mut stub: Stub, request| async move { stub.delete_job(request).await };
        self.client.caller().call("DeleteJob", self.limit, self.request, send).await.map(drop)
    }

    /// Only when the job has not changed since.
    pub fn etag(mut self, etag: impl Into<String>) -> Self {
        self.request.etag = etag.into();
        self
    }

    /// That there is no such job is no error.
    pub fn allow_missing(mut self) -> Self {
        self.request.allow_missing = true;
        self
    }
}

/// What to prune; `.await` tells how much it was.
#[derive(Debug)]
#[must_use = "it is pruned when it is awaited"]
pub struct Prune {
    client: Client,
    request: v1::PruneJobsRequest,
    limit: Limit,
}

awaited!(Prune -> Pruned);

impl Prune {
    pub(crate) fn new(client: Client, finished_for: Duration) -> Self {
        let request = v1::PruneJobsRequest { finished_for: Some(span(finished_for)), ..Default::default() };
        Self { client, request, limit: Limit::default() }
    }

    async fn call(self) -> Result<Pruned> {
        let send = |mut stub: Stub, request| async move { stub.prune_jobs(request).await };
        self.client.caller().call("PruneJobs", self.limit, self.request, send).await.map(Into::into)
    }

    /// Only jobs that match.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.request.filter = Some(filter.into());
        self
    }

    /// Keeps the jobs and their newest checkpoints.
    pub fn checkpoints_only(mut self) -> Self {
        self.request.checkpoints_only = true;
        self
    }

    /// Counts, and deletes nothing.
    pub fn dry_run(mut self) -> Self {
        self.request.dry_run = true;
        self
    }
}
