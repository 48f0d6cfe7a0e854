"""The form of requests, as the contract's comments have it: which fields of a request are wrong."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from autopilot.v1 import job_pb2

from tests.proof.model.workflows import PLANS

PAYLOAD_BYTES = 1 << 20

_JOB_ID = re.compile(r"[a-zA-Z0-9._-]{1,64}")
_NAME = re.compile(r"[a-zA-Z0-9._-]{1,100}")
_LABEL = re.compile(r"[a-z][a-z0-9_./-]{0,62}")
_STATES = set(job_pb2.JobState.values()) - {0}

Fields = Iterator[str]


def wrong_fields(method: str, request: Any) -> frozenset[str]:
    """Every field of a request that is out of form."""
    return frozenset(_FORMS[method](request))


def too_large(request: Any) -> str | None:
    """The field whose payload is over the limit."""
    for field in ("input", "answer", "state_update"):
        if field in request.DESCRIPTOR.fields_by_name and len(getattr(request, field).json_text) > PAYLOAD_BYTES:
            return field
    return None


def contents(request: Any) -> Any:
    """What a request asks for: the same for the same JSON in another spelling."""
    same = type(request)()
    same.CopyFrom(request)
    for _, payload in _payloads(same):
        if (value := _read(payload)) is not None:
            payload.json_text = json.dumps(value[0], sort_keys=True)
    return same


# --- methods ---


def _submit(request: Any) -> Fields:
    yield from _job_id(request.job_id, required=False)
    yield from () if _NAME.fullmatch(request.workflow) else ("workflow",)
    yield from _text(request, "request_id", "thread_id", "concurrency_key")
    yield from _labels(request.labels, "labels")
    yield from () if 0 <= request.priority <= 9 else ("priority",)
    yield from () if request.step_limit >= 0 else ("step_limit",)
    yield from _spans(request, "retention")
    yield from (
        ("execution_timeout",) if _has(request, "execution_timeout") and _span(request.execution_timeout) <= 0 else ()
    )
    yield from ("retry_policy.max_attempts",) if request.retry_policy.max_attempts < 0 else ()
    yield from _input(request)
    if (plan := PLANS.get(request.workflow)) is not None:
        names = {name.partition("/")[0] for superstep in plan.supersteps for name in superstep} | {"*"}
        yield from ("concurrency_key",) if request.concurrency_key and plan.per_key is None else ()
        for field in ("interrupt_before", "interrupt_after"):
            yield from (f"{field}[{i}]" for i, step in enumerate(getattr(request, field)) if step not in names)
    if request.HasField("fork_from"):
        yield from ("thread_id",) if request.thread_id else ()
        yield from _job_id(request.fork_from.job_id, "fork_from.job_id")


def _input(request: Any) -> Fields:
    if not request.HasField("input"):
        return
    if request.HasField("fork_from") or (value := _read(request.input)) is None:
        yield "input"
    elif request.workflow in PLANS and len(request.input.json_text) <= PAYLOAD_BYTES:
        if not isinstance(value[0], dict):
            yield "input"
        elif not isinstance(value[0].get("gate", ""), str):
            yield "input.gate"


def _resume(request: Any) -> Fields:
    yield from _job_id(request.job_id)
    yield from _text(request, "request_id", "checkpoint_id")
    yield from (field for field, payload in _payloads(request) if _read(payload) is None)
    answered = request.HasField("answer") or bool(request.answers)
    yield from ("answer",) if request.HasField("answer") and request.answers else ()
    yield from ("checkpoint_id",) if answered and request.checkpoint_id else ()
    yield from ("state_update",) if answered and request.HasField("state_update") else ()
    yield from ("state_update_step",) if request.state_update_step and not request.HasField("state_update") else ()


def _get(request: Any) -> Fields:
    yield from _job_id(request.job_id)
    yield from _view(request)
    yield from _spans(request, "wait_timeout")


def _list_jobs(request: Any) -> Fields:
    yield from _page(request)
    yield from _view(request)
    yield from _filter(request.filter)


def _list_checkpoints(request: Any) -> Fields:
    yield from _job_id(request.job_id)
    yield from _page(request)
    yield from _view(request)


def _watch(request: Any) -> Fields:
    yield from _job_id(request.job_id)
    yield from ("after_sequence",) if request.after_sequence < 0 else ()
    yield from ("heartbeat_interval",) if _has(request, "heartbeat_interval") and not _beats(request) else ()


def _cancel(request: Any) -> Fields:
    yield from _job_id(request.job_id)
    yield from _spans(request, "grace_period")
    yield from ("reason",) if len(request.reason) > 1024 else ()


def _delete(request: Any) -> Fields:
    yield from _job_id(request.job_id)


def _prune(request: Any) -> Fields:
    yield from _filter(request.filter)
    yield from () if _has(request, "finished_for") else ("finished_for",)
    yield from _spans(request, "finished_for")


def _page(request: Any) -> Fields:
    yield from ("page_size",) if request.page_size < 0 else ()


_FORMS = {
    "SubmitJob": _submit,
    "Resume": _resume,
    "GetStatus": _get,
    "ListJobs": _list_jobs,
    "ListCheckpoints": _list_checkpoints,
    "ListWorkflows": _page,
    "WatchProgress": _watch,
    "Cancel": _cancel,
    "DeleteJob": _delete,
    "PruneJobs": _prune,
}


# --- fields ---


def _has(request: Any, field: str) -> bool:
    return bool(request.HasField(field))


def _job_id(value: str, field: str = "job_id", *, required: bool = True) -> Fields:
    if (value or required) and not _JOB_ID.fullmatch(value):
        yield field


def _text(request: Any, *fields: str) -> Fields:
    for field in fields:
        value: str = getattr(request, field)
        if len(value) > 128 or any(ord(character) < 32 for character in value):
            yield field


def _labels(labels: Mapping[str, str], field: str) -> Fields:
    yield from (field,) if len(labels) > 64 else ()
    for key, value in labels.items():
        if not _LABEL.fullmatch(key) or len(value) > 63:
            yield f'{field}["{key}"]'


def _span(value: Any) -> float:
    return float(value.seconds + value.nanos / 1e9)


def _spans(request: Any, *fields: str) -> Fields:
    return (field for field in fields if request.HasField(field) and _span(getattr(request, field)) < 0)


def _beats(request: Any) -> bool:
    return 5 <= _span(request.heartbeat_interval) <= 300


def _view(request: Any) -> Fields:
    yield from () if request.view in job_pb2.View.values() else ("view",)
    yield from () if request.payload_format in job_pb2.PayloadFormat.values() else ("payload_format",)


def _filter(job_filter: Any) -> Fields:
    yield from (f"filter.states[{i}]" for i, state in enumerate(job_filter.states) if state not in _STATES)
    yield from () if not job_filter.workflow or _NAME.fullmatch(job_filter.workflow) else ("filter.workflow",)
    yield from _labels(job_filter.labels, "filter.labels")


def _payloads(request: Any) -> Sequence[tuple[str, job_pb2.Payload]]:
    """The payloads of a request that are given, by field."""
    names = ("input", "context", "answer", "state_update")
    given = [n for n in names if n in request.DESCRIPTOR.fields_by_name and request.HasField(n)]
    found = [(name, getattr(request, name)) for name in given]
    if "answers" in request.DESCRIPTOR.fields_by_name:
        found += [(f'answers["{key}"]', payload) for key, payload in request.answers.items()]
    return found


def _read(payload: job_pb2.Payload) -> tuple[Any] | None:
    """A payload's JSON value; None when it is none."""
    try:
        return (json.loads(payload.json_text),)
    except ValueError:
        return None


def value_of(payload: job_pb2.Payload) -> Any:
    """A payload's value."""
    return json.loads(payload.json_text)


def answers_of(request: Any) -> dict[str, Any]:
    """The answers of a Resume that name their question."""
    return {interrupt_id: value_of(payload) for interrupt_id, payload in request.answers.items()}


def wrong_answers(request: Any, steps: Mapping[str, str]) -> frozenset[str]:
    """What of a Resume's answers their questions' schemas refuse. `steps`: who asked the open questions."""
    answers = {f'answers["{key}"]': (steps[key], value) for key, value in answers_of(request).items()}
    if request.HasField("answer"):
        answers["answer"] = (next(iter(steps.values())), value_of(request.answer))
    return frozenset(
        field for where, (step, value) in answers.items() if "number" in step for field in _wrong_number(where, value)
    )


def _wrong_number(field: str, answer: Any) -> Fields:
    if not isinstance(answer, dict) or "number" not in answer:
        yield field
    elif not isinstance(answer["number"], int) or isinstance(answer["number"], bool):
        yield f"{field}.number"
