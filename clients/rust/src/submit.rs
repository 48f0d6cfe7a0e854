//! Submitting, and running to the end.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use autopilot_proto::v1;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call::{Limit, Pending, awaited};
use crate::event::OnEvent;
use crate::payload::payload;
use crate::{Client, Error, Event, Job, JobState, Payload, Result};

/// A job to submit; `.await` gives the [`Job`].
///
/// What is not said is the server's default. It has a request id, made here or given, so that it is submitted once
/// however often it is tried.
///
/// ```no_run
/// # async fn example(client: autopilot_client::Client) -> autopilot_client::Result<()> {
/// let job = client
///     .submit("hello")
///     .input(serde_json::json!({"name": "Ada"}))
///     .label("team", "blue")
///     .priority(3)
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "it is submitted when it is awaited"]
pub struct Submit {
    client: Client,
    request: v1::SubmitJobRequest,
    limit: Limit,
    wrong: Option<Error>,
}

awaited!(Submit -> Job);

impl Submit {
    pub(crate) fn new(client: Client, workflow: String) -> Self {
        let request = v1::SubmitJobRequest { workflow, request_id: new_request_id(), ..Default::default() };
        Self { client, request, limit: Limit::default(), wrong: None }
    }

    async fn call(self) -> Result<Job> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let send = |mut stub: crate::connection::Stub, request| async move { stub.submit_job(request).await };
        let response = self.client.caller().call("SubmitJob", self.limit, self.request, send).await?;
        Ok(Job::answered(response.job, response.deduplicated))
    }

    /// Submits it, watches it, and gives its output.
    pub fn run(self) -> Run {
        Run { submit: self, on_event: None }
    }

    /// The workflow's input, as JSON.
    pub fn input(mut self, input: impl Serialize) -> Self {
        self.request.input = self.sent(&input);
        self
    }

    /// The job's id; the server makes one otherwise.
    pub fn job_id(mut self, job_id: impl Into<String>) -> Self {
        self.request.job_id = job_id.into();
        self
    }

    /// Makes a submit that is repeated elsewhere, with the same id, do nothing.
    pub fn request_id(mut self, request_id: impl Into<String>) -> Self {
        self.request.request_id = request_id.into();
        self
    }

    /// The thread whose saved state the job continues.
    pub fn thread_id(mut self, thread_id: impl Into<String>) -> Self {
        self.request.thread_id = thread_id.into();
        self
    }

    /// A label more.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.labels.insert(key.into(), value.into());
        self
    }

    /// All labels.
    pub fn labels(mut self, labels: HashMap<String, String>) -> Self {
        self.request.labels = labels;
        self
    }

    /// Not before this time.
    pub fn scheduled_time(mut self, time: SystemTime) -> Self {
        self.request.scheduled_time = Some(time.into());
        self
    }

    /// 0 to 9, larger ones run first.
    pub fn priority(mut self, priority: i32) -> Self {
        self.request.priority = priority;
        self
    }

    /// The job fails when it has been RUNNING for this long.
    pub fn execution_timeout(mut self, timeout: Duration) -> Self {
        self.request.execution_timeout = Some(span(timeout));
        self
    }

    /// How failed attempts are repeated.
    pub fn retry_policy(mut self, policy: RetryPolicy) -> Self {
        self.request.retry_policy = Some(policy.into());
        self
    }

    /// How long the job is kept once it is finished.
    pub fn retention(mut self, retention: Duration) -> Self {
        self.request.retention = Some(span(retention));
        self
    }

    /// Steps before which the job becomes INTERRUPTED; `*` is every step.
    pub fn interrupt_before<S: Into<String>>(mut self, steps: impl IntoIterator<Item = S>) -> Self {
        self.request.interrupt_before = steps.into_iter().map(Into::into).collect();
        self
    }

    /// Steps after which the job becomes INTERRUPTED; `*` is every step.
    pub fn interrupt_after<S: Into<String>>(mut self, steps: impl IntoIterator<Item = S>) -> Self {
        self.request.interrupt_after = steps.into_iter().map(Into::into).collect();
        self
    }

    /// LangGraph's run-time context, as JSON.
    pub fn context(mut self, context: impl Serialize) -> Self {
        self.request.context = self.sent(&context);
        self
    }

    /// Supersteps that an attempt may take.
    pub fn step_limit(mut self, limit: i32) -> Self {
        self.request.step_limit = limit;
        self
    }

    /// Only so many jobs with it run at once as the workflow says.
    pub fn concurrency_key(mut self, key: impl Into<String>) -> Self {
        self.request.concurrency_key = key.into();
        self
    }

    /// Starts from a copy of another job's newest checkpoint.
    pub fn fork_from(mut self, job_id: impl Into<String>) -> Self {
        self.request.fork_from.get_or_insert_default().job_id = job_id.into();
        self
    }

    /// Starts from a copy of this checkpoint of the job that it is forked from.
    pub fn fork_checkpoint(mut self, checkpoint_id: impl Into<String>) -> Self {
        self.request.fork_from.get_or_insert_default().checkpoint_id = checkpoint_id.into();
        self
    }

    fn sent(&mut self, value: &impl Serialize) -> Option<v1::Payload> {
        payload(value).map_err(|error| self.wrong = Some(error)).ok()
    }
}

/// How failed attempts are repeated. What is not said is the server's default.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[must_use]
pub struct RetryPolicy(v1::RetryPolicy);

impl RetryPolicy {
    /// One of the server's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Including the first; 1: never repeat.
    pub fn max_attempts(mut self, attempts: i32) -> Self {
        self.0.max_attempts = attempts;
        self
    }

    /// The first pause.
    pub fn initial_backoff(mut self, pause: Duration) -> Self {
        self.0.initial_backoff = Some(span(pause));
        self
    }

    /// The longest pause.
    pub fn max_backoff(mut self, pause: Duration) -> Self {
        self.0.max_backoff = Some(span(pause));
        self
    }

    /// How much longer each pause is.
    pub fn backoff_multiplier(mut self, multiplier: f64) -> Self {
        self.0.backoff_multiplier = multiplier;
        self
    }
}

impl From<RetryPolicy> for v1::RetryPolicy {
    fn from(policy: RetryPolicy) -> Self {
        policy.0
    }
}

/// A job to run to its end; `.await` gives its output, [`output`](Run::output) the output as a type of your own.
///
/// Of a job that does not succeed it is an error that has the job: [`Error::JobFailed`], [`Error::JobCancelled`],
/// [`Error::JobInterrupted`]. When it is dropped the job goes on: who wants it to end cancels it.
///
/// ```no_run
/// # async fn example(client: autopilot_client::Client) -> autopilot_client::Result<()> {
/// #[derive(serde::Deserialize)]
/// struct Hello {
///     greeting: String,
/// }
///
/// let hello: Hello = client.run("hello", serde_json::json!({"name": "Ada"})).output().await?;
/// println!("{}", hello.greeting);
/// # Ok(())
/// # }
/// ```
#[must_use = "it runs when it is awaited"]
pub struct Run {
    submit: Submit,
    on_event: Option<OnEvent>,
}

impl Run {
    /// Is called with each event of the job.
    pub fn on_event(mut self, called: impl FnMut(&Event) + Send + 'static) -> Self {
        self.on_event = Some(Box::new(called));
        self
    }

    /// Runs the job, and gives its output as a type of your own.
    ///
    /// # Errors
    ///
    /// Those of the call and of the job, and [`Error::Json`] of an output that the type does not fit.
    pub async fn output<T: DeserializeOwned>(self) -> Result<T> {
        self.await?.decode()
    }

    async fn call(self) -> Result<Payload> {
        let client = self.submit.client.clone();
        let submitted = self.submit.await?;
        let mut follow = client.follow(submitted.job_id);
        if let Some(called) = self.on_event {
            follow = follow.on_event(called);
        }
        succeeded(follow.await?)
    }
}

impl IntoFuture for Run {
    type Output = Result<Payload>;
    type IntoFuture = Pending<Payload>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.call())
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("submit", &self.submit).finish_non_exhaustive()
    }
}

fn succeeded(job: Job) -> Result<Payload> {
    match job.state {
        JobState::Succeeded => Ok(job.output),
        JobState::Cancelled => Err(Error::JobCancelled(Box::new(job))),
        JobState::Interrupted => Err(Error::JobInterrupted(Box::new(job))),
        _ => Err(Error::JobFailed(Box::new(job))),
    }
}

pub(crate) fn new_request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// What is too long for the contract is the longest that it has.
pub(crate) fn span(duration: Duration) -> prost_types::Duration {
    let longest = prost_types::Duration { seconds: 315_576_000_000, nanos: 0 };
    prost_types::Duration::try_from(duration)
        .map_or(longest, |span| if span.seconds > longest.seconds { longest } else { span })
}
