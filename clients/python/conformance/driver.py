"""The driver of the Python client: see clients/conformance/README.md."""

import itertools
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from autopilot_client import (
    MISSING,
    CallFailed,
    Checkpoint,
    Client,
    DeadlineExceeded,
    Event,
    Interrupt,
    Job,
    JobCancelled,
    JobEnded,
    JobError,
    JobFailed,
    JobInterrupted,
    JobState,
    Omitted,
    RetryPolicy,
    ServerUnreachable,
    tls_credentials,
)

Command = dict[str, Any]


class Driver:
    """Carries out commands; a method for each."""

    def __init__(self) -> None:
        self.client: Client
        self.events: Iterator[Event] = iter(())

    def connect(self, **command: Any) -> None:
        self.close()
        if command.get("ca"):
            files = {name: command.pop(name) for name in ("ca", "cert", "key") if name in command}
            command["credentials"] = tls_credentials(**files)
        self.client = Client(**command)

    def close(self) -> None:
        if hasattr(self, "client"):
            self.client.close()

    def submit(self, **command: Any) -> Any:
        return job_json(self.client.submit(**options(command)))

    def run(self, **command: Any) -> Any:
        seen: list[Event] = []
        output = self.client.run(**options(command), on_event=seen.append)
        return {"output": output, "events": len(seen)}

    def get(self, **command: Any) -> Any:
        return job_json(self.client.get(**command))

    def follow(self, **command: Any) -> Any:
        return job_json(self.client.follow(**command))

    def list(self, **command: Any) -> Any:
        return [job_json(job) for job in self.client.list(**states(command))]

    def watch(self, **command: Any) -> None:
        self.unwatch()
        self.events = self.client.watch(**command)

    def next(self, count: int) -> Any:
        events = [event_json(event) for event in itertools.islice(self.events, count)]
        return {"events": events, "ended": len(events) < count}

    def unwatch(self) -> None:
        getattr(self.events, "close", lambda: None)()

    def cancel(self, **command: Any) -> Any:
        return job_json(self.client.cancel(**command))

    def resume(self, **command: Any) -> Any:
        return job_json(self.client.resume(**command))

    def delete(self, **command: Any) -> None:
        self.client.delete(**command)

    def checkpoints(self, **command: Any) -> Any:
        return [checkpoint_json(checkpoint) for checkpoint in self.client.checkpoints(**command)]

    def prune(self, **command: Any) -> Any:
        pruned = self.client.prune(**states(command))
        return {"deleted_jobs": pruned.deleted_jobs, "deleted_checkpoints": pruned.deleted_checkpoints}

    def workflows(self) -> Any:
        names = ("name", "description", "steps", "input_schema", "max_running_jobs", "max_running_jobs_per_key")
        return [{name: getattr(workflow, name) for name in names} for workflow in self.client.workflows()]


# --- arguments ---


def options(command: Command) -> Command:
    if "scheduled_in" in command:
        command["scheduled_time"] = datetime.now(UTC) + timedelta(seconds=command.pop("scheduled_in"))
    if "retry_policy" in command:
        command["retry_policy"] = RetryPolicy(**command["retry_policy"])
    return command


def states(command: Command) -> Command:
    if "states" in command:
        command["states"] = [JobState[name] for name in command["states"]]
    return command


# --- answers ---


def job_json(job: Job) -> Command:
    names = (
        *("job_id", "workflow", "thread_id", "labels", "priority", "attempt", "max_attempts", "failed_attempts"),
        *("checkpoint_id", "latest_sequence", "next_steps", "etag", "deduplicated", "concurrency_key"),
    )
    return {
        **{name: getattr(job, name) for name in names},
        **value_json("input", job.input),
        **value_json("output", job.output),
        "state": job.state.name,
        "error": error_json(job.error),
        "interrupts": [interrupt_json(question) for question in job.interrupts],
        "create_time": job.create_time and job.create_time.timestamp(),
        "end_time": job.end_time and job.end_time.timestamp(),
    }


def value_json(name: str, value: Any) -> Command:
    if value is MISSING:
        return {}
    return {name: {"$omitted": value.size_bytes} if isinstance(value, Omitted) else value}


def error_json(error: JobError | None) -> Command | None:
    names = ("reason", "message", "step", "exception_type")
    return None if error is None else {name: getattr(error, name) for name in names}


def interrupt_json(question: Interrupt) -> Command:
    names = ("interrupt_id", "step", "response_schema")
    return {**{name: getattr(question, name) for name in names}, **value_json("value", question.value)}


def checkpoint_json(checkpoint: Checkpoint) -> Command:
    names = ("checkpoint_id", "parent_checkpoint_id", "superstep", "source", "next_steps")
    return {**{name: getattr(checkpoint, name) for name in names}, **value_json("values", checkpoint.values)}


def event_json(event: Event) -> Command:
    kind = event.kind
    fields: Command = {name: getattr(kind, name) for name in getattr(kind, "__slots__", ())}
    answer: Command = {
        "sequence": event.sequence,
        "attempt": event.attempt,
        "fraction": event.progress.fraction,
        "kind": type(kind).__name__.removesuffix("Event"),
    }
    for name, value in fields.items():
        answer |= event_field(name, value)
    if "fraction" in fields:
        answer["step_fraction"], answer["fraction"] = fields["fraction"], event.progress.fraction
    return answer


def event_field(name: str, value: Any) -> Command:
    match name, value:
        case (("from_state" | "to_state"), _):
            return {name.removesuffix("_state"): value.name}
        case "error", _:
            return {"error": error_json(value)}
        case "interrupt", _:
            return {"interrupt": interrupt_json(value)}
        case "duration", _:
            return {"duration": value.total_seconds()}
        case (("update" | "data"), _):
            return value_json(name, value)
        case _:
            return {name: value}


# --- errors ---

ENDS = {JobFailed: "job_failed", JobCancelled: "job_cancelled", JobInterrupted: "job_interrupted"}


def failure(error: Exception) -> Command:
    match error:
        case ServerUnreachable():
            return {"kind": "server_unreachable", "code": error.code.name, "message": error.message}
        case DeadlineExceeded():
            return {"kind": "deadline_exceeded", "code": error.code.name, "message": error.message}
        case CallFailed():
            return {
                "kind": "call_failed",
                "type": type(error).__name__,
                "code": error.code.name,
                "violations": [{"field": v.field, "description": v.description} for v in error.violations],
                **{name: getattr(error, name) for name in ("reason", "message", "metadata", "retry_delay")},
            }
        case JobEnded():
            return {"kind": ENDS[type(error)], "message": str(error), "job": job_json(error.job)}
        case ValueError() | TypeError() | RuntimeError():
            return {"kind": "usage", "message": str(error)}
        case _:
            raise error


def main() -> None:
    driver = Driver()
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = {"ok": getattr(driver, command.pop("call"))(**command)}
        except Exception as error:
            answer = {"error": failure(error)}
        print(json.dumps(answer, default=list), flush=True)


if __name__ == "__main__":
    main()
