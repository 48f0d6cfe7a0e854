"""Ways to spoil a request: what is out of form, method by method."""

import json
from collections.abc import Callable
from typing import Any

from autopilot.v1 import job_pb2, job_service_pb2

from tests.proof.model.requests import PAYLOAD_BYTES


def payload(value: Any) -> job_pb2.Payload:
    """A value as JSON text."""
    return job_pb2.Payload(json_text=json.dumps(value))


Spoil = Callable[[Any], None]


def _set(**fields: Any) -> Spoil:
    """Spoil a request: as if a client had set these fields too."""

    def spoil(request: Any) -> None:
        request.MergeFrom(type(request)(**fields))

    return spoil


def _span(field: str, *, seconds: int = 0, milliseconds: int = 0) -> Spoil:
    def spoil(request: Any) -> None:
        getattr(request, field).FromMilliseconds(seconds * 1000 + milliseconds)

    return spoil


# What is out of form, by method.
SPOILT: dict[str, list[Spoil]] = {
    "SubmitJob": [
        _set(workflow="no such!"),
        _set(job_id="a b"),
        _set(request_id="a\nb"),
        _set(thread_id="x" * 129),
        _set(concurrency_key="a\nb"),
        _set(labels={"Upper": "x"}),
        _set(priority=10),
        _set(step_limit=-1),
        _span("retention", seconds=-1),
        _span("execution_timeout"),
        _set(retry_policy=job_pb2.RetryPolicy(max_attempts=-1)),
        _set(interrupt_before=["nowhere"]),
        _set(interrupt_after=["work", "nowhere"]),
        _set(input=job_pb2.Payload(json_text="{")),
        _set(input=payload([])),
        _set(input=payload({"gate": 1})),
        _set(input=payload({"trail": ["x" * PAYLOAD_BYTES]})),
        _set(fork_from=job_service_pb2.CheckpointRef(job_id="a b")),
    ],
    "Resume": [
        _set(job_id="a b"),
        _set(request_id="a\nb"),
        _set(checkpoint_id="x" * 129),
        _set(answer=job_pb2.Payload(json_text="{")),
        _set(answer=payload(1), answers={"x": payload(1)}),
        _set(answer=payload(1), checkpoint_id="x"),
        _set(answers={"x": payload(1)}, state_update=payload({})),
        _set(state_update_step="prepare"),
        _set(answer=payload("x" * PAYLOAD_BYTES)),
    ],
    "Cancel": [_set(job_id="a b"), _set(reason="x" * 1025), _span("grace_period", seconds=-1)],
    "DeleteJob": [_set(job_id="a b")],
    "PruneJobs": [
        lambda request: request.ClearField("finished_for"),
        _span("finished_for", seconds=-1),
        _set(filter=job_service_pb2.JobFilter(states=[0])),
    ],
    "GetStatus": [
        _set(job_id="a b"),
        _set(view=9),
        _set(payload_format=9),
        _span("wait_timeout", seconds=-1),
    ],
    "WatchProgress": [_set(job_id="a b"), _set(after_sequence=-1), _span("heartbeat_interval", seconds=1)],
    "ListJobs": [
        _set(page_size=-1),
        _set(view=9),
        _set(filter=job_service_pb2.JobFilter(states=[0, 99])),
        _set(filter=job_service_pb2.JobFilter(labels={"Upper": "x"}, workflow="no such!")),
    ],
    "ListCheckpoints": [_set(job_id="a b"), _set(page_size=-1), _set(view=9)],
    "ListWorkflows": [_set(page_size=-1)],
}
