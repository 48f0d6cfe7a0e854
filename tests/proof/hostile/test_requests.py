"""Requests in good form with contents that no client means: they are refused whole, and nothing of them is stored."""

import json
import math
import random
import string
from collections.abc import Iterator
from typing import Any

import pytest
from autopilot.v1 import job_pb2, job_service_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from tests.proof.conftest import Tried
from tests.proof.hostile.victim import SERVICE, Victim, witness
from tests.proof.seed import SEED
from tests.waiting import wait_until

Submit, List, Resume = job_service_pb2.SubmitJobRequest, job_service_pb2.ListJobsRequest, job_service_pb2.ResumeRequest
Filter, Payload = job_service_pb2.JobFilter, job_pb2.Payload

MANY = 1_000_000


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    victim = Victim(tmp_path_factory.mktemp("victim"))
    victim.seed()
    yield victim
    victim.close()


def text(content: str) -> Any:
    return Submit(workflow="linear", input=Payload(json_text=content))


def value(**kind: Any) -> Any:
    return Submit(workflow="linear", input=Payload(json=Value(struct_value=Struct(fields={"x": Value(**kind)}))))


IDS = [
    "../../etc/passwd",
    "a/b",
    "a\0b",
    "a\nb",
    "\x1b[2J",
    "jöb",
    "\u202e",
    "a" * 65,
    "a" * MANY,
    " ",
    "'; DROP TABLE jobs",
]
WITH_ID = ["GetStatus", "WatchProgress", "Cancel", "Resume", "DeleteJob", "ListCheckpoints"]

_LABELS = {f"k{n}": "" for n in range(200_000)}
_EMOJI = "\U0001f600" * 200

REFUSED: list[tuple[str, Any, str]] = [
    *(
        (method, getattr(job_service_pb2, f"{method}Request")(job_id=bad), "FIELD_INVALID")
        for method in WITH_ID
        for bad in IDS
    ),
    *(("SubmitJob", Submit(workflow="linear", job_id=bad), "FIELD_INVALID") for bad in IDS),
    *(("SubmitJob", Submit(workflow=bad), "FIELD_INVALID") for bad in IDS if bad != "a" * 65),
    # JSON
    *(("SubmitJob", text("[" * depth + "]" * depth), "FIELD_INVALID") for depth in (65, 10_000, 500_000)),
    ("SubmitJob", text("[" * MANY), "FIELD_INVALID"),
    ("SubmitJob", text('{"a":' * 100_000), "FIELD_INVALID"),
    *(
        ("SubmitJob", text(f'{{"x":{n}}}'), "FIELD_INVALID")
        for n in ("NaN", "-Infinity", "1e400", "9" * 100_000, "01", "+1")
    ),
    *(
        ("SubmitJob", text(t), "FIELD_INVALID")
        for t in ('{"x":"\\ud800"}', '{"\\udfff":1}', '{"x":1,"x":2}', "", "\0", "{]")
    ),
    ("SubmitJob", text("{" + ",".join(f'"{n}":0' for n in range(80_000)) + ',"79999":0}'), "FIELD_INVALID"),
    ("SubmitJob", text('{"x":"' + "a" * 10 * MANY + '"}'), "PAYLOAD_TOO_LARGE"),
    ("SubmitJob", value(string_value="a" * 10 * MANY), "PAYLOAD_TOO_LARGE"),
    ("SubmitJob", value(number_value=math.nan), "FIELD_INVALID"),
    ("SubmitJob", value(number_value=-math.inf), "FIELD_INVALID"),
    ("SubmitJob", value(), "FIELD_INVALID"),
    ("SubmitJob", Submit(workflow="linear", input=Payload(json=Value())), "FIELD_INVALID"),
    ("SubmitJob", Submit(workflow="linear", input=Payload()), "FIELD_INVALID"),
    ("SubmitJob", Submit(workflow="linear", input=Payload(omitted=job_pb2.Omitted(size_bytes=-1))), "FIELD_INVALID"),
    ("SubmitJob", text('{"count":' + json.dumps({_EMOJI: _EMOJI}) + "}"), "FIELD_INVALID"),
    # many of a kind
    ("SubmitJob", Submit(workflow="linear", labels=_LABELS), "FIELD_INVALID"),
    ("SubmitJob", Submit(workflow="linear", labels={_EMOJI + str(n): _EMOJI for n in range(64)}), "FIELD_INVALID"),
    ("SubmitJob", Submit(workflow="linear", interrupt_before=[""] * MANY), "FIELD_INVALID"),
    ("SubmitJob", Submit(workflow="linear", interrupt_after=[_EMOJI] * 500), "FIELD_INVALID"),
    ("SubmitJob", Submit(workflow="linear", interrupt_before=["\0" * 200] * 500), "FIELD_INVALID"),
    ("ListJobs", List(filter=Filter(states=[99] * 3 * MANY)), "FIELD_INVALID"),
    ("ListJobs", List(filter=Filter(states=[1] * 3 * MANY)), "FIELD_INVALID"),
    ("ListJobs", List(filter=Filter(states=[-1] * 64)), "FIELD_INVALID"),
    ("ListJobs", List(filter=Filter(labels=_LABELS)), "FIELD_INVALID"),
    (
        "PruneJobs",
        job_service_pb2.PruneJobsRequest(finished_for=Duration(), filter=Filter(labels=_LABELS)),
        "FIELD_INVALID",
    ),
    ("PruneJobs", job_service_pb2.PruneJobsRequest(), "FIELD_INVALID"),
    (
        "Resume",
        Resume(job_id="asking", answers={str(n): Payload(json_text="1") for n in range(100_000)}),
        "FIELD_INVALID",
    ),
    ("Resume", Resume(job_id="asking", answers={_EMOJI + str(n): Payload() for n in range(5000)}), "FIELD_INVALID"),
    ("Resume", Resume(job_id="asking", answers={"": Payload(json_text="1")}), "FIELD_INVALID"),
    ("Resume", Resume(job_id="asking", answer=Payload(json_text='{"no":"decision"}')), "FIELD_INVALID"),
    ("Resume", Resume(job_id="asking", etag=_EMOJI * 1000), "ETAG_MISMATCH"),
    ("Resume", Resume(job_id="asking", checkpoint_id=_EMOJI[:100]), "CHECKPOINT_NOT_FOUND"),
    # texts
    ("Cancel", job_service_pb2.CancelRequest(job_id="waiting", reason="a" * MANY), "FIELD_INVALID"),
    ("Cancel", job_service_pb2.CancelRequest(job_id="waiting", reason="\0"), "FIELD_INVALID"),
    ("SubmitJob", Submit(workflow="linear", thread_id="\x1b[31m"), "FIELD_INVALID"),
    ("SubmitJob", Submit(workflow="linear", request_id="a" * MANY), "FIELD_INVALID"),
    # times and numbers
    *(
        ("SubmitJob", Submit(workflow="linear", scheduled_time=Timestamp(seconds=s, nanos=n)), "FIELD_INVALID")
        for s, n in [(2**63 - 1, 0), (-(2**63), 0), (253_402_300_800, 0), (0, -1), (0, 2**31 - 1), (0, 10**9)]
    ),
    *(
        ("SubmitJob", Submit(workflow="linear", **{name: Duration(seconds=s, nanos=n)}), "FIELD_INVALID")
        for name in ("execution_timeout", "retention")
        for s, n in [(2**63 - 1, 0), (-(2**63), 0), (1, -1), (-1, 1), (0, 2**31 - 1), (0, -(2**31)), (10**11, 0)]
    ),
    *(
        ("SubmitJob", Submit(workflow="linear", retry_policy=job_pb2.RetryPolicy(**fields)), "FIELD_INVALID")
        for fields in [
            {"max_attempts": -1},
            {"max_attempts": 2**31 - 1},
            {"backoff_multiplier": math.nan},
            {"backoff_multiplier": math.inf},
            {"backoff_multiplier": -0.5},
            {"backoff_multiplier": 1e308},
            {"initial_backoff": Duration(seconds=-5)},
        ]
    ),
    *(("SubmitJob", Submit(workflow="linear", priority=n), "FIELD_INVALID") for n in (-1, 10, 2**31 - 1, -(2**31))),
    *(("SubmitJob", Submit(workflow="linear", step_limit=n), "FIELD_INVALID") for n in (-1, 2**31 - 1)),
    *(
        ("WatchProgress", job_service_pb2.WatchProgressRequest(job_id="finished", after_sequence=n), reason)
        for n, reason in [(-1, "FIELD_INVALID"), (2**63 - 1, "SEQUENCE_OUT_OF_RANGE"), (-(2**63), "FIELD_INVALID")]
    ),
    *(("ListJobs", List(page_size=n), "FIELD_INVALID") for n in (-1, -(2**31))),
    *(("ListJobs", List(view=n), "FIELD_INVALID") for n in (-1, 3, 2**31 - 1)),
    *(("ListJobs", List(payload_format=n), "FIELD_INVALID") for n in (-1, 3, 2**31 - 1)),
]


def _name(case: Any) -> str:
    return str(case)[:30].encode("unicode_escape").decode()


def test_refused_whole(victim: Victim, tried: Tried) -> None:
    """The reason is the right one, the status is small, and the database has not changed by one byte."""
    before = victim.contents()
    with witness(victim) as served:
        for method, request, reason in REFUSED:
            answer = victim.ask(method, request)
            assert answer.reason == reason, (_name(request), answer)
    tried(hostile_requests=len(REFUSED), calls_of_others_meanwhile=sum(served.values()))
    assert victim.contents() == before
    victim.check_log()


def test_forged_page_tokens(victim: Victim, tried: Tried) -> None:
    """A token is good for its own query, and nothing else is a token."""
    rng = random.Random(SEED)
    response = victim.ask("ListJobs", List(page_size=1)).response
    token = job_service_pb2.ListJobsResponse.FromString(response).next_page_token
    assert token
    letters = string.ascii_letters + string.digits + "-_=é\0"
    forged = ["=", "A", "A" * MANY, token * 2, token[:-2], "é", "\0", token.swapcase()]
    for _ in range(200):
        at = rng.randrange(len(token) - 1)
        forged.append(token[:at] + rng.choice(letters.replace(token[at], "")) + token[at + 1 :])
    for bad in forged:
        assert victim.ask("ListJobs", List(page_token=bad)).reason == "PAGE_TOKEN_INVALID", bad
    other = List(page_token=token, filter=Filter(workflow="linear"))
    assert victim.ask("ListJobs", other).reason == "PAGE_TOKEN_INVALID"
    checkpoints = job_service_pb2.ListCheckpointsRequest(job_id="finished", page_token=token)
    assert victim.ask("ListCheckpoints", checkpoints).reason == "PAGE_TOKEN_INVALID"
    assert not victim.ask("ListJobs", List(page_token=token)).refused
    tried(forged_page_tokens=len(forged))


def test_contents_at_the_limits_are_taken_and_given_back(victim: Victim) -> None:
    """What is odd and allowed: the largest payload, in both forms, deep as may be, with every odd character."""
    odd = "".join(map(chr, [*range(1, 32), 127, 0x80, 0x9B, 0x2028, 0xFEFF, 0xFFFF, 0x10FFFF]))
    contents: list[Any] = [
        {"x": "a" * ((1 << 20) - 50)},
        {"x": [{"": []}, 1] * 10_000},
        {"x": 2**53 + 1, "y": -(2**63), "z": 10**4000, "f": 5e-324, "g": 1.7976931348623157e308},
        {"": odd, odd: {"": {"": ""}}},
        json.loads('{"x":' + "[" * 63 + "]" * 63 + "}"),
    ]
    with witness(victim):
        for content in contents:
            written = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
            job_id = victim.submit("linear", text=written)
            victim.settled(job_id)
            for form in (job_pb2.PAYLOAD_FORMAT_JSON, job_pb2.PAYLOAD_FORMAT_JSON_TEXT):
                request = job_service_pb2.GetStatusRequest(job_id=job_id, payload_format=form)
                job = victim.stub.GetStatus(request).job
            assert job.input.json_text == written
            assert not victim.ask("ListJobs", List(page_size=500, view=job_pb2.VIEW_FULL)).refused
    victim.check_log()


def test_others_are_served_while_a_large_value_is_read_checked_and_written(victim: Victim) -> None:
    """Half a million numbers take seconds as google.protobuf.Value. A loop that is held up serves nobody meanwhile."""
    numbers = '{"items":[' + ",".join(["1"] * 500_000) + "]}"
    with witness(victim) as served:
        job_id = victim.submit("endless", text=numbers, step_limit=1)
        submitted = served["witness"]
        victim.settled(job_id)
        settled = served["witness"]
        watched = victim.ask("WatchProgress", job_service_pb2.WatchProgressRequest(job_id=job_id)).response
        assert len(watched) > 100
        assert not victim.ask("ListJobs", List(page_size=3, view=job_pb2.VIEW_FULL)).refused
        listed = served["witness"]
    assert submitted > 2
    assert settled > submitted + 2
    assert listed > settled + 2


def test_half_a_gigabyte_in_messages_leaves_no_memory_behind(victim: Victim, tried: Tried) -> None:
    """Refused payloads of 10 MB, over and over: what the first rounds took is enough for all that follow."""
    large = [
        (SERVICE + "SubmitJob", text('{"x":"' + "a" * 10 * MANY + '"}').SerializeToString()),
        (SERVICE + "SubmitJob", value(string_value="a" * 10 * MANY).SerializeToString()),
        (SERVICE + "ListJobs", List(filter=Filter(states=[99] * 10 * MANY)).SerializeToString()),
        (SERVICE + "SubmitJob", Submit(workflow="linear", labels=_LABELS).SerializeToString()),
    ]

    def attack() -> int:
        for method, data in large * 2:
            assert victim.call(method, data).refused
        return victim.vitals().resident_kilobytes

    attack()
    after_the_second = attack()
    rounds = 4
    for _ in range(rounds):
        attack()
    tried(hostile_requests=(rounds + 2) * len(large) * 2)
    # One message in ten kept would be more.
    wait_until(
        lambda: attack() < after_the_second + 40_000,
        lambda: f"{after_the_second} kB became {victim.vitals()}",
    )


SMALL: list[tuple[str, bytes]] = [
    *((SERVICE + method, request.SerializeToString()) for method, request, _ in REFUSED if request.ByteSize() < 2000),
    (SERVICE + "GetStatus", job_service_pb2.GetStatusRequest(job_id="finished").SerializeToString()),
    (SERVICE + "ListJobs", List(page_size=3).SerializeToString()),
    (SERVICE + "WatchProgress", job_service_pb2.WatchProgressRequest(job_id="finished").SerializeToString()),
    (SERVICE + "WatchProgress", job_service_pb2.WatchProgressRequest(job_id="waiting").SerializeToString()),
    ("/grpc.health.v1.Health/Check", b"\xff"),
]


def test_no_request_leaves_memory_files_or_threads_behind(victim: Victim, tried: Tried) -> None:
    """A leak of a kilobyte a request would be several times what the process may grow."""
    rng = random.Random(SEED)

    def attack(requests: int) -> None:
        for method, data in rng.choices(SMALL, k=requests):
            victim.call(method, data)

    attack(2000)
    before = victim.vitals()
    requests = 8000
    attack(requests)
    tried(hostile_requests=requests + 2000)
    victim.wait_until_as_before(before)
    grown = victim.vitals().resident_kilobytes - before.resident_kilobytes
    assert grown < requests // 3, f"{grown} kB in {requests} requests"
