//! The arguments of all commands; payloads stay text, and exact.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use autopilot_client::{
    Cancel, Checkpoints, Client, Delete, Filter, Get, JobState, Jobs, Prune, Result, Resume, RetryPolicy, Submit, Tls,
    Watch,
};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

type Json = Option<Box<RawValue>>;

/// What is not there is not given to the client either.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
pub struct Arguments {
    pub call: String,

    address: String,
    token: Option<String>,
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
    insecure: bool,
    timeout: Option<f64>,

    workflow: String,
    #[serde(deserialize_with = "given")]
    input: Json,
    pub job_id: String,
    request_id: Option<String>,
    thread_id: Option<String>,
    labels: Option<HashMap<String, String>>,
    priority: Option<i32>,
    scheduled_in: Option<f64>,
    execution_timeout: Option<f64>,
    retry_policy: Option<Policy>,
    retention: Option<f64>,
    interrupt_before: Option<Vec<String>>,
    interrupt_after: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    context: Json,
    step_limit: Option<i32>,
    concurrency_key: Option<String>,
    fork_from: Option<String>,
    fork_checkpoint: Option<String>,

    wait: Option<f64>,
    payloads: Option<bool>,
    values: bool,
    page_size: Option<i32>,
    states: Option<Vec<String>>,

    after_sequence: Option<i64>,
    stop_when_caught_up: bool,
    tokens: bool,
    reconnect_for: Option<f64>,
    pub count: usize,

    reason: Option<String>,
    grace_period: Option<f64>,
    etag: Option<String>,

    #[serde(deserialize_with = "given")]
    answer: Json,
    answers: HashMap<String, Box<RawValue>>,
    checkpoint_id: Option<String>,
    #[serde(deserialize_with = "given")]
    state_update: Json,
    state_update_step: Option<String>,

    allow_missing: bool,
    finished_for: f64,
    checkpoints_only: bool,
    dry_run: bool,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct Policy {
    max_attempts: Option<i32>,
    initial_backoff: Option<f64>,
    max_backoff: Option<f64>,
    backoff_multiplier: Option<f64>,
}

/// A null that was given is a value.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

/// Gives an argument to a builder, when it is there.
fn with<B, T>(builder: B, value: Option<T>, give: impl FnOnce(B, T) -> B) -> B {
    match value {
        Some(value) => give(builder, value),
        None => builder,
    }
}

fn when<B>(builder: B, condition: bool, give: impl FnOnce(B) -> B) -> B {
    if condition { give(builder) } else { builder }
}

fn span(seconds: Option<f64>) -> Option<Duration> {
    seconds.map(Duration::from_secs_f64)
}

fn pem(path: &str) -> Vec<u8> {
    std::fs::read(path).expect("the file is there")
}

impl Arguments {
    pub fn connect(&self) -> Result<Client> {
        let builder = Client::builder(&self.address);
        let builder = with(builder, self.ca.as_ref(), |builder, ca| builder.tls(self.tls(ca)));
        let builder = with(builder, self.token.as_ref(), |builder, token| builder.token(token));
        let builder = when(builder, self.insecure, |builder| builder.insecure());
        with(builder, span(self.timeout), |builder, timeout| builder.timeout(timeout)).connect()
    }

    fn tls(&self, ca: &str) -> Tls {
        let tls = Tls::authority(pem(ca));
        match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => tls.identity(pem(cert), pem(key)),
            _ => tls,
        }
    }

    pub fn submit(&self, client: &Client) -> Submit {
        let submit = client.submit(&self.workflow);
        let submit = with(submit, self.input.as_ref(), Submit::input);
        let submit = when(submit, !self.job_id.is_empty(), |submit| submit.job_id(&self.job_id));
        let submit = with(submit, self.request_id.as_ref(), Submit::request_id);
        let submit = with(submit, self.thread_id.as_ref(), Submit::thread_id);
        let submit = with(submit, self.labels.clone(), Submit::labels);
        let submit = with(submit, self.priority, Submit::priority);
        let submit = with(submit, span(self.scheduled_in).map(|span| SystemTime::now() + span), Submit::scheduled_time);
        let submit = with(submit, span(self.execution_timeout), Submit::execution_timeout);
        let submit = with(submit, self.retry_policy.as_ref().map(Policy::retry_policy), Submit::retry_policy);
        let submit = with(submit, span(self.retention), Submit::retention);
        let submit = with(submit, self.interrupt_before.clone(), Submit::interrupt_before);
        let submit = with(submit, self.interrupt_after.clone(), Submit::interrupt_after);
        let submit = with(submit, self.context.as_ref(), Submit::context);
        let submit = with(submit, self.step_limit, Submit::step_limit);
        let submit = with(submit, self.concurrency_key.as_ref(), Submit::concurrency_key);
        let submit = with(submit, self.fork_from.as_ref(), Submit::fork_from);
        let submit = with(submit, self.fork_checkpoint.as_ref(), Submit::fork_checkpoint);
        with(submit, span(self.timeout), Submit::timeout)
    }

    pub fn get(&self, client: &Client) -> Get {
        let get = with(client.get(&self.job_id), span(self.wait), Get::wait);
        let get = when(get, self.payloads == Some(false), Get::without_payloads);
        with(get, span(self.timeout), Get::timeout)
    }

    pub fn watch(&self, client: &Client) -> Watch {
        let watch = with(client.watch(&self.job_id), self.after_sequence, Watch::after_sequence);
        let watch = when(watch, self.stop_when_caught_up, Watch::stop_when_caught_up);
        let watch = when(watch, self.tokens, Watch::tokens);
        with(watch, span(self.reconnect_for), Watch::reconnect_for)
    }

    pub fn cancel(&self, client: &Client) -> Cancel {
        let cancel = with(client.cancel(&self.job_id), self.reason.as_ref(), Cancel::reason);
        let cancel = with(cancel, span(self.grace_period), Cancel::grace_period);
        let cancel = with(cancel, self.etag.as_ref(), Cancel::etag);
        with(cancel, span(self.timeout), Cancel::timeout)
    }

    pub fn resume(&self, client: &Client) -> Resume {
        let resume = with(client.resume(&self.job_id), self.answer.as_ref(), Resume::answer);
        let resume = self.answers.iter().fold(resume, |resume, (id, answer)| resume.answer_to(id, answer));
        let resume = with(resume, self.request_id.as_ref(), Resume::request_id);
        let resume = with(resume, self.etag.as_ref(), Resume::etag);
        let resume = with(resume, self.checkpoint_id.as_ref(), Resume::checkpoint);
        let resume = with(resume, self.state_update.as_ref(), Resume::state_update);
        let resume = with(resume, self.state_update_step.as_ref(), Resume::state_update_step);
        with(resume, span(self.timeout), Resume::timeout)
    }

    pub fn delete(&self, client: &Client) -> Delete {
        let delete = with(client.delete(&self.job_id), self.etag.as_ref(), Delete::etag);
        let delete = when(delete, self.allow_missing, Delete::allow_missing);
        with(delete, span(self.timeout), Delete::timeout)
    }

    pub fn prune(&self, client: &Client) -> Prune {
        let prune = client.prune(Duration::from_secs_f64(self.finished_for)).filter(self.filter());
        let prune = when(prune, self.checkpoints_only, Prune::checkpoints_only);
        when(prune, self.dry_run, Prune::dry_run)
    }

    pub fn list(&self, client: &Client) -> Jobs {
        let list = client.list().filter(self.filter());
        let list = when(list, self.payloads == Some(true), Jobs::with_payloads);
        with(list, self.page_size, Jobs::page_size)
    }

    pub fn checkpoints(&self, client: &Client) -> Checkpoints {
        let list = when(client.checkpoints(&self.job_id), self.values, Checkpoints::with_values);
        with(list, self.page_size, Checkpoints::page_size)
    }

    fn filter(&self) -> Filter {
        let filter = with(Filter::new(), self.states.as_ref(), |filter, names| {
            filter.states(names.iter().map(|name| state(name)))
        });
        let filter = when(filter, !self.workflow.is_empty(), |filter| filter.workflow(&self.workflow));
        let filter = with(filter, self.thread_id.as_ref(), Filter::thread_id);
        with(filter, self.labels.clone(), Filter::labels)
    }
}

impl Policy {
    fn retry_policy(&self) -> RetryPolicy {
        let policy = with(RetryPolicy::new(), self.max_attempts, RetryPolicy::max_attempts);
        let policy = with(policy, span(self.initial_backoff), RetryPolicy::initial_backoff);
        let policy = with(policy, span(self.max_backoff), RetryPolicy::max_backoff);
        with(policy, self.backoff_multiplier, RetryPolicy::backoff_multiplier)
    }
}

fn state(name: &str) -> JobState {
    use JobState::{Cancelled, Cancelling, Failed, Interrupted, Pending, Running, Succeeded};
    let all = [Pending, Running, Interrupted, Cancelling, Succeeded, Failed, Cancelled];
    all.into_iter().find(|state| state.as_str() == name).expect("a state")
}
