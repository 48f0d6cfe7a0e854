"""Valid messages of the contract, and what can be done to the bytes of one."""

import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

from autopilot.v1 import job_pb2, job_service_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import NULL_VALUE, ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tests.proof.hostile.victim import HEALTH_WATCH, REFLECTION, SERVICE, Victim

# In bytes; what is larger than the server receives is another test's.
LONGEST = 1 << 20

VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32 = range(6)


def varint(number: int) -> bytes:
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(parts + bytes([number]))


def tag(number: int, kind: int) -> bytes:
    return varint(number << 3 | kind)


def field(number: int, content: bytes) -> bytes:
    return tag(number, BYTES) + varint(len(content)) + content


def deep_value(depth: int) -> bytes:
    """A google.protobuf.Value of lists in lists."""
    content = Value(null_value=NULL_VALUE).SerializeToString()
    for _ in range(depth):
        # Value.list_value, ListValue.values
        content = field(6, field(1, content))
    return content


def groups(depth: int) -> bytes:
    """Groups, which nobody uses any more, in groups."""
    return tag(15, GROUP) * depth + tag(15, END_GROUP) * depth


def fields_of(data: bytes) -> list[bytes]:
    """The fields of a message, tags and all; the rest as it is where it is none."""
    found, at = [], 0
    while at < len(data):
        end = _end_of_field(data, at)
        found.append(data[at:end])
        at = end
    return found


def _end_of_field(data: bytes, at: int) -> int:
    key, at = _read_varint(data, at)
    match key & 7:
        case 0:
            return _read_varint(data, at)[1]
        case 1:
            return min(len(data), at + 8)
        case 2:
            size, at = _read_varint(data, at)
            return min(len(data), at + size)
        case 5:
            return min(len(data), at + 4)
        case _:
            return len(data)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(data):
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            break
    return number, at


# --- valid messages ---

_VALUE = Value(
    struct_value=Struct(
        fields={"": Value(number_value=-0.0), "a": Value(list_value=ListValue(values=[Value(string_value="ü")]))}
    )
)
_TEXT = job_pb2.Payload(json_text='{"items": ["a", 1, null], "count": 2}')


def _messages() -> list[tuple[str, Any]]:
    service = job_service_pb2
    jobs = (Victim.FINISHED, Victim.ASKING, Victim.WAITING)
    page = {"page_size": 2, "view": 2, "payload_format": 1}
    everything = service.JobFilter(
        states=[1, 5], workflow="linear", thread_id="t", labels={"a": "b"}, created_after=Timestamp(seconds=5)
    )
    submit = {
        "labels": {"team": "blue", "x.y/z": ""},
        "priority": 3,
        "request_id": "r-1",
        "thread_id": "thread",
        "scheduled_time": Timestamp(seconds=4_000_000_000, nanos=5),
        "execution_timeout": Duration(seconds=5),
        "retry_policy": job_pb2.RetryPolicy(max_attempts=2, backoff_multiplier=1.5, max_backoff=Duration(seconds=9)),
        "retention": Duration(seconds=60),
        "interrupt_before": ["a", "*"],
        "context": _TEXT,
        "step_limit": 9,
    }
    return [
        ("SubmitJob", service.SubmitJobRequest(workflow="linear", input=_TEXT, **submit)),
        ("SubmitJob", service.SubmitJobRequest(workflow="linear", input=job_pb2.Payload(json=_VALUE))),
        ("SubmitJob", service.SubmitJobRequest(workflow="linear", fork_from={"job_id": Victim.FINISHED})),
        *(("GetStatus", service.GetStatusRequest(job_id=job, view=2, payload_format=2)) for job in jobs),
        ("ListJobs", service.ListJobsRequest(filter=everything, page_token="YWJj", **page)),
        ("ListJobs", service.ListJobsRequest(**page)),
        ("WatchProgress", service.WatchProgressRequest(job_id=Victim.FINISHED, after_sequence=2, payload_format=1)),
        (
            "WatchProgress",
            service.WatchProgressRequest(
                job_id=Victim.ASKING, heartbeat_interval={"seconds": 5}, stop_when_caught_up=True, include_tokens=True
            ),
        ),
        ("Cancel", service.CancelRequest(job_id="none", reason="no\nmore", etag="e", grace_period=Duration(nanos=7))),
        ("Cancel", service.CancelRequest(job_id=Victim.WAITING)),
        ("Resume", service.ResumeRequest(job_id=Victim.ASKING, answer=_TEXT, request_id="again", etag="e")),
        ("Resume", service.ResumeRequest(job_id=Victim.ASKING, answers={"q": _TEXT, "r": _TEXT})),
        (
            "Resume",
            service.ResumeRequest(job_id=Victim.FINISHED, checkpoint_id="c", state_update=_TEXT, state_update_step="a"),
        ),
        ("DeleteJob", service.DeleteJobRequest(job_id=Victim.FINISHED, etag="e", allow_missing=True)),
        ("ListCheckpoints", service.ListCheckpointsRequest(job_id=Victim.FINISHED, **page)),
        ("PruneJobs", service.PruneJobsRequest(finished_for=Duration(seconds=9), filter=everything, dry_run=True)),
        ("ListWorkflows", service.ListWorkflowsRequest(page_size=2, page_token="YWJj")),
    ]


def valid_messages() -> list[tuple[str, bytes]]:
    """By method, with the bytes of a request that it takes."""
    reflect = reflection_pb2.ServerReflectionRequest
    extension = reflection_pb2.ExtensionRequest(containing_type="autopilot.v1.Job", extension_number=100)
    return [
        *((SERVICE + method, message.SerializeToString()) for method, message in _messages()),
        ("/grpc.health.v1.Health/Check", health_pb2.HealthCheckRequest(service="x").SerializeToString()),
        (HEALTH_WATCH, health_pb2.HealthCheckRequest(service="autopilot.v1.JobService").SerializeToString()),
        (REFLECTION, reflect(host="h", list_services="").SerializeToString()),
        (REFLECTION, reflect(file_containing_symbol="autopilot.v1.Job.state").SerializeToString()),
        (REFLECTION, reflect(file_by_filename="autopilot/v1/job.proto").SerializeToString()),
        (REFLECTION, reflect(file_containing_extension=extension).SerializeToString()),
        (REFLECTION, reflect(all_extension_numbers_of_type="autopilot.v1.Job").SerializeToString()),
    ]


# --- what is done to them ---

Mutation = Callable[[bytes, random.Random], bytes]


def flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(rng.randint(1, 4)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randint(0, len(data))]


def splice(data: bytes, rng: random.Random) -> bytes:
    _, other = rng.choice(VALID)
    return data[: rng.randint(0, len(data))] + other[rng.randint(0, len(other)) :]


def overwrite(data: bytes, rng: random.Random) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + rng.randbytes(rng.randint(1, 8)) + data[at + rng.randint(0, 8) :]


def repeat_fields(data: bytes, rng: random.Random) -> bytes:
    parts = fields_of(data)
    return data + b"".join(rng.choices(parts, k=rng.choice([1, 2, 500]))) if parts else data


def shuffle_fields(data: bytes, rng: random.Random) -> bytes:
    parts = fields_of(data)
    rng.shuffle(parts)
    return b"".join(parts)


def wrong_type(data: bytes, rng: random.Random) -> bytes:
    """A field of the message with another wire type, of another number's, or with any content."""
    number = rng.choice([*range(1, 20), 2**28, 2**29 - 1, 0])
    kind = rng.randrange(8)
    content = {
        VARINT: varint(rng.choice([0, 1, 2**31, 2**63, 2**64 - 1])),
        FIXED64: struct.pack("<d", rng.choice([float("nan"), float("inf"), -0.0, 1e308])),
        BYTES: field(1, rng.randbytes(rng.randint(0, 9)))[1:],
        GROUP: groups(rng.choice([1, 5])) + tag(number, END_GROUP),
        FIXED32: b"\xff" * 4,
    }.get(kind, b"")
    parts = fields_of(data)
    parts.insert(rng.randint(0, len(parts)), tag(number, kind) + content)
    return b"".join(parts)


def huge_varint(data: bytes, rng: random.Random) -> bytes:
    number = rng.randrange(1, 20)
    return data + tag(number, VARINT) + b"\xff" * rng.choice([9, 10, 11, 1000]) + b"\x01"


def lying_length(data: bytes, rng: random.Random) -> bytes:
    return data + tag(rng.randrange(1, 20), BYTES) + varint(rng.choice([1, 2**31 - 1, 2**32, 2**63])) + b"x"


def deep(data: bytes, rng: random.Random) -> bytes:
    """A Payload with a Value that is nested deeply, in any field."""
    depth = rng.choice([10, 30, 33, 49, 64, 100, 1000, 20_000])
    return data + field(rng.choice([2, 3, 7, 15]), field(1, deep_value(depth)))


def grouped(data: bytes, rng: random.Random) -> bytes:
    return data + groups(rng.choice([1, 50, 101, 10_000, 500_000]))


def bad_text(data: bytes, rng: random.Random) -> bytes:
    text = rng.choice(
        [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\0", "\u2028".encode(), b"a" * 70_000]
    )
    return data + field(rng.randrange(1, 20), text)


def noise(data: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice([0, 1, 5, 60, 5000]))


MUTATIONS: Sequence[Mutation] = (
    flip,
    truncate,
    splice,
    overwrite,
    repeat_fields,
    shuffle_fields,
    wrong_type,
    huge_varint,
    lying_length,
    deep,
    grouped,
    bad_text,
    noise,
)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Some of it, one on top of the other; now and then nothing, so that there is something behind the first check."""
    if rng.random() < 0.2:
        return data
    for mutation in rng.choices(MUTATIONS, k=rng.choice([1, 1, 2, 3])):
        data = mutation(data, rng)[:LONGEST]
    return data


VALID = valid_messages()
