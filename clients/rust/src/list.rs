//! Lists, which are read page by page as they are gone through.

use std::collections::HashMap;
use std::time::SystemTime;

use autopilot_proto::v1::{self, PayloadFormat, View};

use crate::call::Limit;
use crate::connection::Stub;
use crate::{Checkpoint, Client, Items, Job, JobState, Workflow};

const PAGE_SIZE: i32 = 100;

/// Which jobs. All that is said must hold.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Filter(v1::JobFilter);

impl Filter {
    /// All jobs.
    pub fn new() -> Self {
        Self::default()
    }

    /// In any of these states.
    pub fn states(mut self, states: impl IntoIterator<Item = JobState>) -> Self {
        self.0.states = states.into_iter().map(|state| state as i32).collect();
        self
    }

    /// Of this workflow.
    pub fn workflow(mut self, workflow: impl Into<String>) -> Self {
        self.0.workflow = workflow.into();
        self
    }

    /// Of this thread.
    pub fn thread_id(mut self, thread_id: impl Into<String>) -> Self {
        self.0.thread_id = thread_id.into();
        self
    }

    /// With this label, and this value of it.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.labels.insert(key.into(), value.into());
        self
    }

    /// With all of these labels.
    pub fn labels(mut self, labels: HashMap<String, String>) -> Self {
        self.0.labels = labels;
        self
    }

    /// Submitted at this time or after it.
    pub fn created_after(mut self, time: SystemTime) -> Self {
        self.0.created_after = Some(time.into());
        self
    }

    /// Submitted before this time.
    pub fn created_before(mut self, time: SystemTime) -> Self {
        self.0.created_before = Some(time.into());
        self
    }
}

impl From<Filter> for v1::JobFilter {
    fn from(filter: Filter) -> Self {
        filter.0
    }
}

/// A list of jobs, newest first.
///
/// ```no_run
/// # async fn example(client: autopilot_client::Client) -> autopilot_client::Result<()> {
/// use autopilot_client::{Filter, JobState};
///
/// let mut jobs = client.list().filter(Filter::new().states([JobState::Failed])).stream();
/// while let Some(job) = jobs.next().await {
///     println!("{}", job?.job_id);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "stream() reads it"]
pub struct Jobs {
    client: Client,
    request: v1::ListJobsRequest,
}

impl Jobs {
    pub(crate) fn new(client: Client) -> Self {
        let request = v1::ListJobsRequest {
            page_size: PAGE_SIZE,
            view: View::Basic.into(),
            payload_format: PayloadFormat::JsonText.into(),
            ..Default::default()
        };
        Self { client, request }
    }

    /// Only jobs that match.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.request.filter = Some(filter.into());
        self
    }

    /// With input, output and questions.
    pub fn with_payloads(mut self) -> Self {
        self.request.view = View::Full.into();
        self
    }

    /// How many are read at once; 100 otherwise.
    pub fn page_size(mut self, size: i32) -> Self {
        self.request.page_size = size;
        self
    }

    /// The jobs.
    pub fn stream(self) -> Items<Job> {
        Items::paged(self, |list, page_token| async move {
            let request = v1::ListJobsRequest { page_token, ..list.request.clone() };
            let send = |mut stub: Stub, request| async move { stub.list_jobs(request).await };
            let page = list.client.caller().call("ListJobs", Limit::default(), request, send).await;
            (list, page.map(|page| (page.jobs, page.next_page_token)))
        })
    }
}

/// A list of a job's checkpoints, newest first.
#[derive(Debug)]
#[must_use = "stream() reads it"]
pub struct Checkpoints {
    client: Client,
    request: v1::ListCheckpointsRequest,
}

impl Checkpoints {
    pub(crate) fn new(client: Client, job_id: String) -> Self {
        let request = v1::ListCheckpointsRequest {
            job_id,
            page_size: PAGE_SIZE,
            view: View::Basic.into(),
            payload_format: PayloadFormat::JsonText.into(),
            ..Default::default()
        };
        Self { client, request }
    }

    /// With the state's values.
    pub fn with_values(mut self) -> Self {
        self.request.view = View::Full.into();
        self
    }

    /// How many are read at once; 100 otherwise.
    pub fn page_size(mut self, size: i32) -> Self {
        self.request.page_size = size;
        self
    }

    /// The checkpoints.
    pub fn stream(self) -> Items<Checkpoint> {
        Items::paged(self, |list, page_token| async move {
            let request = v1::ListCheckpointsRequest { page_token, ..list.request.clone() };
            let send = |mut stub: Stub, request| async move { stub.list_checkpoints(request).await };
            let page = list.client.caller().call("ListCheckpoints", Limit::default(), request, send).await;
            (list, page.map(|page| (page.checkpoints, page.next_page_token)))
        })
    }
}

/// A list of the workflows that the server can run.
#[derive(Debug)]
#[must_use = "stream() reads it"]
pub struct Workflows {
    client: Client,
}

impl Workflows {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// The workflows.
    pub fn stream(self) -> Items<Workflow> {
        Items::paged(self, |list, page_token| async move {
            let request = v1::ListWorkflowsRequest { page_token, page_size: PAGE_SIZE };
            let send = |mut stub: Stub, request| async move { stub.list_workflows(request).await };
            let page = list.client.caller().call("ListWorkflows", Limit::default(), request, send).await;
            (list, page.map(|page| (page.workflows, page.next_page_token)))
        })
    }
}
