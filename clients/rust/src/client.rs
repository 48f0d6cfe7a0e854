//! The client: one method for each thing to do, which begins a builder.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::call::Caller;
use crate::connection::Stub;
use crate::credentials::Token;
use crate::{
    Cancel, Checkpoints, ClientBuilder, Delete, Follow, Get, Jobs, Prune, Result, Resume, Run, Submit, Watch, Workflows,
};

/// Submits, watches and controls jobs.
///
/// Clones share one connection; one for a program is enough. Each method begins a builder: say more with its
/// methods, and `.await` it, or take its `stream()`.
#[derive(Clone, Debug)]
pub struct Client {
    caller: Arc<Caller>,
}

impl Client {
    /// A client of the server at an address, `host:port` or `unix:path`, without encryption or credentials.
    ///
    /// # Errors
    ///
    /// Those of [`ClientBuilder::connect`].
    pub fn new(address: impl Into<String>) -> Result<Self> {
        Self::builder(address).connect()
    }

    /// Begins a client with options.
    pub fn builder(address: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(address.into())
    }

    pub(crate) fn of(stub: Stub, token: Option<Token>, timeout: Duration) -> Self {
        Self { caller: Arc::new(Caller::new(stub, token, timeout)) }
    }

    /// Ends what is open, in all clones. None of them can be used any more. A client that is dropped needs no
    /// closing.
    pub fn close(&self) {
        self.caller.close();
    }

    /// Submits a job; done once the job is durable.
    pub fn submit(&self, workflow: impl Into<String>) -> Submit {
        Submit::new(self.clone(), workflow.into())
    }

    /// Submits a job, watches it, and gives its output. With options: [`Submit::run`].
    pub fn run(&self, workflow: impl Into<String>, input: impl Serialize) -> Run {
        self.submit(workflow).input(input).run()
    }

    /// Reads a job.
    pub fn get(&self, job_id: impl Into<String>) -> Get {
        Get::new(self.clone(), job_id.into())
    }

    /// Is a job's events: the stored ones, then new ones as they happen, until the job is finished.
    pub fn watch(&self, job_id: impl Into<String>) -> Watch {
        Watch::new(self.clone(), job_id.into())
    }

    /// Watches a job until it is finished or waits for answers, and gives it as it then is. That it waited for
    /// answers in its past, and was resumed since, is an event like the others.
    pub fn follow(&self, job_id: impl Into<String>) -> Follow {
        Follow::new(self.clone(), job_id.into())
    }

    /// Asks a job to stop.
    pub fn cancel(&self, job_id: impl Into<String>) -> Cancel {
        Cancel::new(self.clone(), job_id.into())
    }

    /// Continues a job that is INTERRUPTED, FAILED or CANCELLED: with answers to its questions, or from an earlier
    /// or edited state.
    pub fn resume(&self, job_id: impl Into<String>) -> Resume {
        Resume::new(self.clone(), job_id.into())
    }

    /// Deletes a finished job, its events and its checkpoints.
    pub fn delete(&self, job_id: impl Into<String>) -> Delete {
        Delete::new(self.clone(), job_id.into())
    }

    /// Deletes what jobs left behind that were finished at least this long ago.
    pub fn prune(&self, finished_for: Duration) -> Prune {
        Prune::new(self.clone(), finished_for)
    }

    /// Lists jobs, newest first.
    pub fn list(&self) -> Jobs {
        Jobs::new(self.clone())
    }

    /// Lists a job's checkpoints, newest first.
    pub fn checkpoints(&self, job_id: impl Into<String>) -> Checkpoints {
        Checkpoints::new(self.clone(), job_id.into())
    }

    /// Lists the workflows that the server can run.
    pub fn workflows(&self) -> Workflows {
        Workflows::new(self.clone())
    }

    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }
}
