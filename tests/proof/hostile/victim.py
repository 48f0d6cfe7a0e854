"""A server that is attacked, what may be seen of it from outside, and what its answers may be."""

import os
import re
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from autopilot.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, settings

from tests.proof.server import GRAPHS, ServerProcess
from tests.refused import Refused
from tests.waiting import wait_until

EXAMPLES = int(os.environ.get("AUTOPILOT_PROOF_EXAMPLES", "100"))

HOSTILE_GRAPHS = Path(__file__).with_name("graphs.json")

# A call that takes longer has found a bug.
PATIENCE_SECONDS = 60

# What a burst may leave behind: the allocator keeps arenas that it has filled. Measured: up to 15 MB.
ARENAS_KILOBYTES = 40_000

# A pool's next thread is made whenever work comes before the last one has said that it is idle, also where calls follow
# one another: of one thread, with its connection to the database, it is known that `seed` has made it.
THREADS = ("--threads", "1")

# gRPC's own pool of threads. It begins with four, and adds one when no thread takes up work for a while, as under load:
# seen two minutes later still, five. One for each connection or call would be hundreds.
GRPC_POOL, MOST_IN_GRPC_POOL = "event_engine", 8

# Ways to be refused below the service: by gRPC itself, before a request has reached it.
TRANSPORT = {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}

# What an attacker must never bring about.
FAULTS = {"UNKNOWN", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}

SERVICE = "/autopilot.v1.JobService/"
WATCH = SERVICE + "WatchProgress"
HEALTH_WATCH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
UNARY = [
    *(SERVICE + method.name for method in job_service_pb2.DESCRIPTOR.services_by_name["JobService"].methods),
    "/grpc.health.v1.Health/Check",
]
UNARY.remove(WATCH)
METHODS = [*UNARY, WATCH, HEALTH_WATCH, REFLECTION]

_PROTO = Path(__file__).parents[3] / "protos/autopilot/v1/error_reason.proto"


def examples(times: int = 1) -> Callable[[Any], Any]:
    """So many examples, in relation to other tests: they cost more or less."""
    checks = list(HealthCheck)
    return settings(max_examples=EXAMPLES * times, deadline=None, database=None, suppress_health_check=checks)


def contract() -> dict[str, tuple[str, set[str]]]:
    """By reason the status code, and the words among which its metadata keys are, as the contract's comments say."""
    found = re.findall(r"((?:  //[^\n]*\n)+)  ERROR_REASON_([A-Z_]+) = \d+;", _PROTO.read_text())
    return {reason: (comment.split()[1].rstrip("."), set(re.findall(r"`(\w+)`", comment))) for comment, reason in found}


CONTRACT = contract()


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended."""

    method: str
    code: grpc.StatusCode
    message: str = ""
    reason: str = ""
    metadata: tuple[tuple[str, str], ...] = ()
    violations: int = 0
    response: bytes = b""
    """Of a stream the first one."""

    @property
    def refused(self) -> bool:
        return self.code is not grpc.StatusCode.OK


def answer_of(method: str, error: Any) -> Answer:
    """A call that was refused."""
    told = Refused(error)
    size = sum(len(key) + len(value) + 32 for key, value in error.trailing_metadata() or ())
    # gRPC's own clients take twice that, those of other languages do not.
    assert size < 8192, f"{size} bytes of trailers"
    metadata = tuple(sorted(told.metadata.items()))
    return Answer(method, told.code, told.message, told.reason, metadata, len(told.violations))


def check(answer: Answer) -> None:
    """A refusal has the code and the metadata that the contract gives its reason; nothing is ever a server's fault."""
    if not answer.refused:
        return
    code, known = CONTRACT.get(answer.reason, ("", set()))
    assert answer.code.name not in FAULTS, answer
    if not answer.reason:
        assert answer.code in TRANSPORT or not answer.method.startswith(SERVICE) or _is_grpc_s_own(answer), answer
        return
    assert answer.code.name == code, answer
    assert {key for key, _ in answer.metadata} <= known, answer
    assert (answer.reason == "FIELD_INVALID") == bool(answer.violations), answer
    assert answer.message.strip(), answer


def _is_grpc_s_own(answer: Answer) -> bool:
    """Refused for its size, before the service has seen it."""
    return answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED and answer.message.startswith("received metadata size")


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a process holds."""

    resident_kilobytes: int
    threads: int
    """But for those of gRPC's pool."""
    grpc_pool: int
    files: int


def vitals(pid: int) -> Vitals:
    """As the kernel counts it."""
    process = Path(f"/proc/{pid}")
    resident = re.findall(r"^VmRSS:\s+(\d+)", (process / "status").read_text(), re.MULTILINE)
    threads = threads_of(process)
    pool = threads.pop(GRPC_POOL, 0)
    return Vitals(int(resident[0]), threads.total(), pool, len(os.listdir(process / "fd")))


def threads_of(process: Path) -> Counter[str]:
    """How many threads a process has, by their names."""
    names: Counter[str] = Counter()
    for comm in process.glob("task/*/comm"):
        # It may have ended since it was listed.
        with suppress(FileNotFoundError, ProcessLookupError):
            names[comm.read_text().strip()] += 1
    return names


class Victim:
    """A server process with jobs in every kind of state, and a raw channel to it."""

    FINISHED, ASKING, WAITING, WITNESS = "finished", "asking", "waiting", "witness"

    def __init__(self, folder: Path, *, config: Path = GRAPHS, options: Sequence[str] = ()) -> None:
        self.server = ServerProcess(folder, config=config, options=[*THREADS, *options])
        self.server.start()
        self.channel = self.open_channel()
        self.stub: Any = job_service_pb2_grpc.JobServiceStub(self.channel)
        self.accepted: set[str] = set()
        self.answers: Counter[str] = Counter()

    def open_channel(self) -> grpc.Channel:
        """A channel with a connection of its own, which sends whatever it is given."""
        return grpc.insecure_channel(
            self.server.address,
            [
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.max_send_message_length", -1),
                ("grpc.enable_retries", 0),
                ("grpc.max_metadata_size", 1 << 20),
            ],
        )

    def close(self) -> None:
        self.channel.close()
        self.server.close()

    # --- calls ---

    def call(self, method: str, data: bytes, **options: Any) -> Answer:
        """A call with these bytes for a request, checked. Of a stream only the first message is awaited."""
        answer = self._call(method, data, **options)
        check(answer)
        self.answers[f"{method.rpartition('/')[2]} {answer.reason or answer.code.name}"] += 1
        if method == SERVICE + "SubmitJob" and not answer.refused:
            self.accepted.add(job_service_pb2.SubmitJobResponse.FromString(answer.response).job.job_id)
        return answer

    def ask(self, method: str, request: Any, **options: Any) -> Answer:
        """A call of the service with a message."""
        return self.call(SERVICE + method, request.SerializeToString(), **options)

    def _call(self, method: str, data: bytes, **options: Any) -> Answer:
        options.setdefault("timeout", PATIENCE_SECONDS)
        try:
            if method in UNARY:
                return Answer(method, grpc.StatusCode.OK, response=self.channel.unary_unary(method)(data, **options))
            kind = self.channel.unary_stream if method != REFLECTION else self.channel.stream_stream
            stream = kind(method)(data if method != REFLECTION else iter([data]), **options)
            first = next(stream, b"")
            stream.cancel()
            return Answer(method, grpc.StatusCode.OK, response=first)
        except grpc.RpcError as error:
            return answer_of(method, error)

    # --- jobs ---

    def submit(self, workflow: str, job_id: str = "", text: str = "{}", **fields: Any) -> str:
        """A job of a client that means no harm: its id."""
        request = job_service_pb2.SubmitJobRequest(workflow=workflow, job_id=job_id, **fields)
        request.input.json_text = text
        response = self.stub.SubmitJob(request, timeout=PATIENCE_SECONDS)
        self.accepted.add(response.job.job_id)
        return str(response.job.job_id)

    def settled(self, job_id: str) -> job_pb2.Job:
        """A job once it is finished or asks."""
        request = job_service_pb2.GetStatusRequest(job_id=job_id)
        request.wait_timeout.FromSeconds(PATIENCE_SECONDS)
        return self.stub.GetStatus(request, timeout=PATIENCE_SECONDS + 10).job  # type: ignore[no-any-return]

    def seed(self) -> None:
        """Jobs to attack, as often as attacks have removed them."""
        stored = self.stored()
        if self.FINISHED not in stored:
            self.submit("linear", self.FINISHED)
            self.settled(self.FINISHED)
        if self.ASKING not in stored:
            self.submit("ask", self.ASKING)
            self.settled(self.ASKING)
        for waiting in {self.WAITING, self.WITNESS} - stored:
            self.submit("linear", waiting, scheduled_time=Timestamp(seconds=4_000_000_000))

    # --- seen from outside ---

    def stored(self) -> set[str]:
        """The ids of all jobs, from the database itself."""
        with sqlite3.connect(f"file:{self.server.database}?mode=ro", uri=True) as connection:
            return {row[0] for row in connection.execute("SELECT job_id FROM jobs")}

    def contents(self) -> list[Any]:
        """Everything that is stored, from the database itself, but for the number of the last transaction."""
        with sqlite3.connect(f"file:{self.server.database}?mode=ro", uri=True) as connection:
            connection.execute("BEGIN")
            tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            tables.remove("writers")
            return [[name, connection.execute(f"SELECT * FROM {name}").fetchall()] for name in sorted(tables)]

    def vitals(self) -> Vitals:
        assert self.server.process is not None
        assert self.server.process.is_alive(), (self.server.process.exitcode, self.server.log.read_text()[-4000:])
        return vitals(self.server.pid)

    def wait_until_as_before(self, before: Vitals) -> None:
        """Until no more files are open, no more threads run and hardly more memory is held than before."""
        most = before.resident_kilobytes + ARENAS_KILOBYTES

        def as_before() -> bool:
            now = self.vitals()
            threads = now.threads <= before.threads and now.grpc_pool <= MOST_IN_GRPC_POOL
            return now.files <= before.files and threads and now.resident_kilobytes <= most

        wait_until(as_before, lambda: f"{before} became {self.vitals()}: {self._held()}")

    def _held(self) -> str:
        """What the process holds, by name: its threads and its files."""
        process = Path(f"/proc/{self.server.pid}")
        files = Counter(re.sub(r"[0-9]+", "N", os.readlink(file)) for file in process.glob("fd/*"))
        return f"{dict(threads_of(process))}, {dict(files)}"

    def check_log(self) -> None:
        """Nothing that happened was the program's fault. gRPC's own logger tells of every client that went away."""
        log = self.server.log.read_text()
        for word in ("internal error", "never retrieved", "Exception in callback"):
            assert word not in log, log[max(0, log.index(word) - 2000) : log.index(word) + 4000]


@contextmanager
def witness(victim: Victim, *, patient: bool = False) -> Iterator[Counter[str]]:
    """A client that means no harm: it is served all the time, during the attack and at once behind it. `patient`: it
    waits and calls again while the server is about to listen again."""
    channel = victim.open_channel()
    stub: Any = job_service_pb2_grpc.JobServiceStub(channel)
    served: Counter[str] = Counter()
    over = threading.Event()
    failures: list[BaseException] = []

    def look() -> None:
        request = job_service_pb2.GetStatusRequest(job_id=Victim.WITNESS)
        try:
            stub.GetStatus(request, timeout=PATIENCE_SECONDS, wait_for_ready=patient)
            served["witness"] += 1
        except grpc.RpcError as error:
            # A connection that was about to go away.
            if not patient or error.code() is not grpc.StatusCode.UNAVAILABLE:  # type: ignore[attr-defined]
                raise

    def look_on() -> None:
        try:
            while not over.is_set():
                look()
                over.wait(0.02)
        except grpc.RpcError as error:
            failures.append(error)

    look()
    thread = threading.Thread(target=look_on)
    thread.start()
    try:
        yield served
    finally:
        over.set()
        thread.join()
    try:
        assert not failures, failures
        look()
    finally:
        channel.close()
