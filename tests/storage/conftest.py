"""One suite for every backend, with encryption and without."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from autopilot_server.doorbell import Doorbell, News
from autopilot_server.jobs.events import Event
from autopilot_server.jobs.job import SECOND, Concurrency, JobSpec, Micros, Workflow
from autopilot_server.jobs.states import JobState
from autopilot_server.storage import open_store
from autopilot_server.storage.invariants import Finding
from autopilot_server.storage.keys import Key
from autopilot_server.storage.postgres.check import check as check_postgres
from autopilot_server.storage.queries import Statement
from autopilot_server.storage.sealing import Sealer
from autopilot_server.storage.sqlite.check import check as check_sqlite
from autopilot_server.storage.store import (
    CheckpointPut,
    CheckpointRow,
    Claim,
    EventDraft,
    JobMove,
    RunEnd,
    RunUpdate,
    Store,
    Submission,
    Submitted,
)

RETENTION = 100 * SECOND


def encode(event: Event) -> EventDraft:
    """Readable bodies: the store must not look inside."""
    return EventDraft(repr(event.kind).encode(), False)


class Clock:
    """A wall clock, and a steady one, that the test moves."""

    def __init__(self) -> None:
        self.time: Micros = 1_000_000 * SECOND
        self.stepped: Micros = 0

    def __call__(self) -> Micros:
        return self.time + self.stepped

    def steady(self) -> Micros:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += round(seconds * SECOND)

    def step(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self.stepped += round(seconds * SECOND)


class Box:
    """A store, its clock and bell, and short ways."""

    def __init__(self, url: str, sealer: Sealer | None = None) -> None:
        self.url, self.sealer = url, sealer
        self.clock = Clock()
        self.news: list[News] = []
        self.health: list[bool] = []
        self.moves: list[JobMove] = []
        self.open()

    def open(self) -> None:
        self.store = self._open()

    def join(self) -> Store:
        """Another store on the same database, as a worker's process has. To be closed before the box's own."""
        return self._open(joins=True)

    def _open(self, *, joins: bool = False) -> Store:
        doorbell = Doorbell()
        doorbell.subscribe(self.news.extend)
        return open_store(
            self.url,
            encode_event=encode,
            doorbell=doorbell,
            retention=RETENTION,
            wall=self.clock,
            steady=self.clock.steady,
            on_health=self.health.append,
            on_moves=self.moves.extend,
            sealer=self.sealer,
            joins=joins,
        )

    def reopen(self) -> None:
        self.store.close()
        self.open()

    def submission(self, job_id: str = "j", **fields: Any) -> Submission:
        request = {key: fields.pop(key) for key in ("request_id", "request_digest") if key in fields}
        limit = fields.pop("unfinished_limit", 1000)
        spec = {"workflow": "w", "thread_id": "", "input": '{"in":1}', **fields}
        return Submission(spec=JobSpec(job_id=job_id, **spec), unfinished_limit=limit, **request)

    def submit(self, job_id: str = "j", **fields: Any) -> Submitted:
        return self.store.job_submit(self.submission(job_id, **fields)).result()

    def publish(self, *workflows: Workflow) -> None:
        self.store.workflows_publish(workflows).result()

    def claim(self, limit: int = 1) -> Claim:
        (claim,) = self.claims(limit)
        return claim

    def claims(self, limit: int = 100, *workflows: str) -> list[Claim]:
        names = dict.fromkeys(workflows or ("w",), "r1")
        return list(self.store.job_claim(names, worker_id="test", limit=limit).result())

    def running(self, job_id: str = "j", **fields: Any) -> Claim:
        self.submit(job_id, **fields)
        return self.claim()

    def end(self, claim: Claim, state: JobState, **fields: Any) -> Any:
        update = RunUpdate(events=fields.pop("events", ()), progress=fields.pop("progress", None))
        self.store.run_end(claim.fence, RunEnd(to_state=state, **fields), update).result()
        return self.job(claim.fence.job_id)

    def job(self, job_id: str = "j") -> Any:
        job = self.store.job_get(job_id, payloads=True)
        assert job is not None
        return job

    def log(self, job_id: str = "j") -> list[str]:
        page = self.store.events_read(job_id, after_sequence=0, limit=10_000, max_bytes=1 << 30)
        assert page is not None
        assert [event.sequence for event in page.events] == list(range(1, page.latest_sequence + 1))
        return [event.body.decode() for event in page.events]

    def violations(self) -> list[Finding]:
        """What does not hold of the database."""
        if self.url.startswith("postgresql:"):
            return check_postgres(self.url)
        return check_sqlite(Path(self.url.removeprefix("sqlite:///")), self.sealer)

    def change(self, statement: str) -> None:
        """Change something behind the store's back."""
        self.store._writer.submit(lambda t: t.execute(Statement.common(statement))).result()  # type: ignore[attr-defined]


def workflow(name: str = "w", **limits: int | None) -> Workflow:
    return Workflow(
        name=name,
        description="",
        revision="r1",
        input_schema="{}",
        output_schema="{}",
        context_schema=None,
        steps=(),
        mermaid="",
        longest_path=0,
        concurrency=Concurrency(**limits),
    )


def row(thread_id: str, checkpoint_id: str, ns: str = "", parent: str | None = None, **metadata: Any) -> CheckpointRow:
    import json

    return CheckpointRow(
        thread_id=thread_id,
        checkpoint_ns=ns,
        checkpoint_id=checkpoint_id,
        parent_checkpoint_id=parent,
        type="msgpack",
        checkpoint=b"\x80",
        metadata=json.dumps(metadata).encode(),
    )


def put(checkpoint: CheckpointRow, **fields: Any) -> CheckpointPut:
    return CheckpointPut(**{"row": checkpoint, "superstep": 1, "source": "loop", "create_time": 7} | fields)


def opened(url: str, *, encrypted: bool) -> Iterator[Box]:
    box = Box(url, Sealer((Key(bytes(32)),)) if encrypted else None)
    yield box
    box.store.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is tried on Postgres: `make test-postgres` runs it."""
    for item in items:
        fixtures = {"postgres_box", "postgres_server"}.intersection(getattr(item, "fixturenames", ()))
        parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
        on_postgres = fixtures or any(str(each).startswith("postgres") for each in parameters)
        if on_postgres or item.path.stem == "test_postgres":
            item.add_marker("postgres")


ON_SQLITE = ("sqlite", "sqlite-encrypted")


def on_backend(backend: str, request: pytest.FixtureRequest) -> Iterator[Box]:
    """A store on one of the backends."""
    database, _, encrypted = backend.partition("-")
    if database == "sqlite":
        yield from opened(f"sqlite:///{request.getfixturevalue('tmp_path')}/jobs.db", encrypted=bool(encrypted))
        return
    with request.getfixturevalue("postgres_server").database() as url:
        yield from opened(url, encrypted=bool(encrypted))


# Encryption is the same code on both, but for how rows are read: test_jobs.py looks at that.
@pytest.fixture(params=[*ON_SQLITE, "postgres"])
def box(request: pytest.FixtureRequest) -> Iterator[Box]:
    """A store on each backend."""
    yield from on_backend(request.param, request)


@pytest.fixture(params=ON_SQLITE)
def sqlite_box(request: pytest.FixtureRequest) -> Iterator[Box]:
    """A store on SQLite, for what only SQLite does."""
    yield from on_backend(request.param, request)


@pytest.fixture
def postgres_box(request: pytest.FixtureRequest) -> Iterator[Box]:
    """A store on Postgres, for what only Postgres does."""
    yield from on_backend("postgres", request)
