"""What the audit says of a request and of a response: who is meant and what becomes of it, and never what jobs hold.

Requests are told before they are checked: texts and lists are cut, so that a line has bounds.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from autopilot.v1 import job_pb2, job_service_pb2
from google.protobuf.timestamp_pb2 import Timestamp

# Longer than any id that is valid.
MOST_TEXT = 256
MOST_ENTRIES = 64


def _given(**fields: Any) -> dict[str, Any]:
    """Those that say something."""
    return {name: _cut(value) for name, value in fields.items() if value not in ("", None, False, [], {})}


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MOST_TEXT:
        return f"{value[:MOST_TEXT]}…"
    return value


def _texts(values: Iterable[str]) -> list[str]:
    return [_cut(value) for value in islice(values, MOST_ENTRIES)]


def _submit(request: job_service_pb2.SubmitJobRequest) -> dict[str, Any]:
    fork = request.fork_from
    return _given(
        workflow=request.workflow,
        job_id=request.job_id,
        request_id=request.request_id,
        thread_id=request.thread_id,
        fork_from=_given(job_id=fork.job_id, checkpoint_id=fork.checkpoint_id),
    )


def _cancel(request: job_service_pb2.CancelRequest) -> dict[str, Any]:
    return _given(job_id=request.job_id)


def _resume(request: job_service_pb2.ResumeRequest) -> dict[str, Any]:
    answers = len(request.answers)
    return _given(
        job_id=request.job_id,
        request_id=request.request_id,
        sole_answer=request.HasField("answer"),
        interrupt_ids=sorted(_texts(request.answers)),
        # Of more than are named.
        answers=answers if answers > MOST_ENTRIES else None,
        checkpoint_id=request.checkpoint_id,
        state_update=request.HasField("state_update"),
        state_update_step=request.state_update_step,
    )


def _delete(request: job_service_pb2.DeleteJobRequest) -> dict[str, Any]:
    return _given(job_id=request.job_id, allow_missing=request.allow_missing)


def _prune(request: job_service_pb2.PruneJobsRequest) -> dict[str, Any]:
    wanted = request.filter
    return _given(
        finished_for_seconds=request.finished_for.seconds + request.finished_for.nanos / 1e9,
        workflow=wanted.workflow,
        filter=_given(
            states=[_state(state) for state in islice(wanted.states, MOST_ENTRIES)],
            thread_id=wanted.thread_id,
            labels=_labels(wanted.labels),
            created_after=_time(wanted.created_after) if wanted.HasField("created_after") else None,
            created_before=_time(wanted.created_before) if wanted.HasField("created_before") else None,
        ),
        checkpoints_only=request.checkpoints_only,
        dry_run=request.dry_run,
    )


def _labels(labels: Mapping[str, str]) -> dict[str, str]:
    return {_cut(key): _cut(value) for key, value in islice(labels.items(), MOST_ENTRIES)}


def _state(state: int) -> str | int:
    if state in job_pb2.JobState.values():
        return job_pb2.JobState.Name(state).removeprefix("JOB_STATE_")
    return state


def _time(value: Timestamp) -> str | int:
    try:
        return str(value.ToJsonString())
    except ValueError:
        return value.seconds


def _job(response: Any) -> dict[str, Any]:
    """The job of an answer, in the state that the call brought it to or found it in."""
    job = response.job
    return {"job_id": job.job_id, "workflow": job.workflow, "state": _state(job.state)}


def _deduplicated(response: Any) -> dict[str, Any]:
    return _job(response) | _given(deduplicated=response.deduplicated)


def _nothing(_response: job_service_pb2.DeleteJobResponse) -> dict[str, Any]:
    return {}


def _pruned(response: job_service_pb2.PruneJobsResponse) -> dict[str, Any]:
    return {"deleted_jobs": response.deleted_jobs, "deleted_checkpoints": response.deleted_checkpoints}


Told = Callable[[Any], dict[str, Any]]

ASKED: Mapping[str, Told] = {
    "SubmitJob": _submit,
    "Cancel": _cancel,
    "Resume": _resume,
    "DeleteJob": _delete,
    "PruneJobs": _prune,
}
ANSWERED: Mapping[str, Told] = {
    "SubmitJob": _deduplicated,
    "Cancel": _job,
    "Resume": _deduplicated,
    "DeleteJob": _nothing,
    "PruneJobs": _pruned,
}
