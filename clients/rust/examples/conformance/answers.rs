//! What the client gave, as the suite reads it.

use std::time::{Duration, SystemTime};

use autopilot_client::{Checkpoint, Event, EventKind, Interrupt, Job, JobError, Payload, Workflow};
use serde_json::{Value, json};

/// A job of a submit or a resume.
pub fn job_json(job: &Job) -> Value {
    let mut answer = read_json(job);
    answer["deduplicated"] = json!(job.deduplicated);
    answer
}

/// A job of any other call.
pub fn read_json(job: &Job) -> Value {
    let mut answer = json!({
        "job_id": job.job_id,
        "workflow": job.workflow,
        "thread_id": job.thread_id,
        "state": job.state.as_str(),
        "labels": job.labels,
        "priority": job.priority,
        "error": job.error.as_ref().map(job_error_json),
        "interrupts": job.interrupts.iter().map(interrupt_json).collect::<Vec<_>>(),
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "failed_attempts": job.failed_attempts,
        "checkpoint_id": job.checkpoint_id,
        "latest_sequence": job.latest_sequence,
        "next_steps": job.next_steps,
        "etag": job.etag,
        "concurrency_key": job.concurrency_key,
        "deduplicated": null,
        "create_time": job.create_time.map(seconds),
        "end_time": job.end_time.map(seconds),
    });
    put_value(&mut answer, "input", &job.input);
    put_value(&mut answer, "output", &job.output);
    answer
}

pub fn put_value(answer: &mut Value, name: &str, payload: &Payload) {
    if let Some(size) = payload.omitted() {
        answer[name] = json!({"$omitted": size});
    } else if !payload.is_missing() {
        answer[name] = payload.decode().expect("the server sends JSON");
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).as_ref().map_or(0.0, Duration::as_secs_f64)
}

fn job_error_json(error: &JobError) -> Value {
    json!({
        "reason": error.reason,
        "message": error.message,
        "step": error.step,
        "exception_type": error.exception_type,
    })
}

fn interrupt_json(question: &Interrupt) -> Value {
    let mut answer = json!({"interrupt_id": question.interrupt_id, "step": question.step, "response_schema": null});
    put_value(&mut answer, "value", &question.value);
    put_value(&mut answer, "response_schema", &question.response_schema);
    answer
}

pub fn checkpoint_json(checkpoint: &Checkpoint) -> Value {
    let mut answer = json!({
        "checkpoint_id": checkpoint.checkpoint_id,
        "parent_checkpoint_id": checkpoint.parent_checkpoint_id,
        "superstep": checkpoint.superstep,
        "source": checkpoint.source,
        "next_steps": checkpoint.next_steps,
    });
    put_value(&mut answer, "values", &checkpoint.values);
    answer
}

pub fn workflow_json(workflow: &Workflow) -> Value {
    let mut answer = json!({
        "name": workflow.name,
        "description": workflow.description,
        "steps": workflow.steps,
        "max_running_jobs": workflow.max_running_jobs,
        "max_running_jobs_per_key": workflow.max_running_jobs_per_key,
        "input_schema": null,
    });
    put_value(&mut answer, "input_schema", &workflow.input_schema);
    answer
}

pub fn event_json(event: &Event) -> Value {
    let mut answer = kind_json(&event.kind);
    answer["sequence"] = json!(event.sequence);
    answer["attempt"] = json!(event.attempt);
    answer["fraction"] = json!(event.progress.fraction);
    answer
}

fn kind_json(kind: &EventKind) -> Value {
    match kind {
        EventKind::StateChanged { from, to, error, .. } => {
            let error = error.as_ref().map(job_error_json);
            json!({"kind": "StateChanged", "from": from.as_str(), "to": to.as_str(), "error": error})
        }
        EventKind::StepStarted { step, step_run_id, .. } => {
            json!({"kind": "StepStarted", "step": step, "step_run_id": step_run_id})
        }
        EventKind::StepFinished { step, step_run_id, update, duration, .. } => {
            let mut answer = json!({"kind": "StepFinished", "step": step, "step_run_id": step_run_id});
            answer["duration"] = json!(duration.as_secs_f64());
            put_value(&mut answer, "update", update);
            answer
        }
        EventKind::StepFailed { step, step_run_id, error, duration, .. } => {
            let (error, duration) = (job_error_json(error), duration.as_secs_f64());
            json!({"kind": "StepFailed", "step": step, "step_run_id": step_run_id, "error": error, "duration": duration})
        }
        EventKind::InterruptRaised { interrupt, .. } => {
            json!({"kind": "InterruptRaised", "interrupt": interrupt_json(interrupt)})
        }
        EventKind::ProgressReported { step, message, fraction, data, dropped, .. } => {
            let mut answer = json!({"kind": "ProgressReported", "step": step, "message": message});
            answer["step_fraction"] = json!(fraction);
            answer["dropped"] = json!(dropped);
            put_value(&mut answer, "data", data);
            answer
        }
        EventKind::CheckpointSaved { checkpoint_id, superstep, next_steps, .. } => json!({
            "kind": "CheckpointSaved", "checkpoint_id": checkpoint_id, "superstep": superstep, "next_steps": next_steps,
        }),
        EventKind::TokenChunk { step, message_id, text, .. } => {
            json!({"kind": "TokenChunk", "step": step, "message_id": message_id, "text": text})
        }
        _ => json!({"kind": "Unknown"}),
    }
}
