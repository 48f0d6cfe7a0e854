//! What went wrong, as the suite reads it.

use autopilot_client::{CallError, Code, Error, Job, Reason};
use serde_json::{Value, json};

use crate::answers::read_json;

pub fn failure(error: &Error) -> Value {
    match error {
        Error::ServerUnreachable(call) => bare("server_unreachable", call),
        Error::DeadlineExceeded(call) => bare("deadline_exceeded", call),
        Error::CallFailed(call) => call_failed(call),
        Error::JobFailed(job) => ended("job_failed", error, job),
        Error::JobCancelled(job) => ended("job_cancelled", error, job),
        Error::JobInterrupted(job) => ended("job_interrupted", error, job),
        _ => json!({"kind": "usage", "message": error.to_string()}),
    }
}

fn bare(kind: &str, call: &CallError) -> Value {
    json!({"kind": kind, "code": code_name(call.code), "message": call.message})
}

fn ended(kind: &str, error: &Error, job: &Job) -> Value {
    json!({"kind": kind, "message": error.to_string(), "job": read_json(job)})
}

fn call_failed(call: &CallError) -> Value {
    let violations = call.violations.iter();
    json!({
        "kind": "call_failed",
        "type": call.reason.as_ref().map_or_else(|| "CallError".to_owned(), type_name),
        "reason": call.reason.as_ref().map_or("", Reason::as_str),
        "code": code_name(call.code),
        "message": call.message,
        "metadata": call.metadata,
        "violations": violations.map(|one| json!({"field": one.field, "description": one.description})).collect::<Vec<_>>(),
        "retry_delay": call.retry_delay.map(|delay| delay.as_secs_f64()),
    })
}

/// What users match: the variant, as it is spelt.
fn type_name(reason: &Reason) -> String {
    match reason {
        Reason::Other(_) => "Other".to_owned(),
        known => format!("{known:?}"),
    }
}

/// gRPC's name of a status code: Code's own are UpperCamelCase.
fn code_name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_uppercase());
    }
    name
}
