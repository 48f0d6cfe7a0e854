"""What is Postgres' own: others that write at the same time, connections that break, and what is refused."""

import asyncio
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import psycopg
import pytest
from autopilot_server.jobs.errors import JobAlreadyExistsError, StartupError, StorageUnavailableError
from autopilot_server.jobs.job import SECOND, JobFilter
from autopilot_server.jobs.states import JobState
from autopilot_server.storage.postgres.check import check
from autopilot_server.storage.postgres.connections import conninfo
from autopilot_server.storage.postgres.migrations import migrate, migrations
from autopilot_server.storage.queries import SQL, Statement
from autopilot_server.storage.store import Claim, RunEnd, RunUpdate, Store, Write
from autopilot_server.storage.transaction import Transaction

from tests import postgres
from tests.forks import autopilot
from tests.storage.conftest import Box, workflow

T = TypeVar("T")


@pytest.fixture
def box(postgres_box: Box) -> Box:
    """Postgres' alone."""
    return postgres_box


@pytest.fixture
def database(postgres_server: postgres.Server) -> Iterator[str]:
    """An empty one."""
    with postgres_server.database() as url:
        yield url


def changed(url: str, *statements: str) -> None:
    """Somebody else changes the database."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


# --- opening ---


def test_those_that_start_at_once_make_one_schema(database: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(migrate, [conninfo(database)] * 4))
    box = Box(database)
    box.submit()
    box.store.close()


def test_a_second_server_is_refused_until_the_first_has_ended(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autopilot_server.storage.postgres.lock.NOTICE_SECONDS", 0.2)
    with pytest.raises(StartupError, match="in use by another server"):
        Box(box.url)
    box.reopen()


def test_a_server_whose_lock_was_lost_takes_it_again(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autopilot_server.storage.postgres.lock.RETRY_SECONDS", 0.01)
    held = Statement.common(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM "
        "pg_database WHERE datname = current_database())"
    )

    def holders() -> list[int]:
        return [row["pid"] for row in box.store._readers.rows(held, {})]  # type: ignore[attr-defined]

    (first,) = holders()
    changed(box.url, f"SELECT pg_terminate_backend({first}, 5000)")
    while holders() in ([], [first]):
        pass
    assert len(holders()) == 1


def test_a_server_ends_when_another_has_its_lock(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its session was broken for so long that another one started."""
    monkeypatch.setattr("autopilot_server.storage.postgres.lock.NOTICE_SECONDS", 0.0)
    monkeypatch.setattr("autopilot_server.storage.postgres.lock.RETRY_SECONDS", 0.01)
    ended: queue.Queue[tuple[int, int]] = queue.Queue()
    monkeypatch.setattr("os.kill", lambda *whom: ended.put(whom))
    with psycopg.connect(box.url, autocommit=True) as other:
        # It waits in the database for the lock, and has it at once when the session ends.
        waits = SQL.server_lock.postgres.replace("pg_try_advisory_lock", "pg_advisory_lock").split(" AS ")[0]
        waiting = threading.Thread(target=other.execute, args=(waits.encode(),))
        waiting.start()
        pids = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not box.store._readers.rows(Statement.common(pids), {}):  # type: ignore[attr-defined]
            pass
        changed(
            box.url,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND granted "
            "AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())",
        )
        assert ended.get(timeout=30) == (os.getpid(), signal.SIGTERM)
        waiting.join()


def test_a_database_of_a_newer_version_is_refused(box: Box) -> None:
    box.store.close()
    changed(box.url, f"UPDATE autopilot_schema SET version = {len(migrations()) + 1}")
    with pytest.raises(StartupError, match="newer version"):
        Box(box.url)


def test_a_database_that_is_used_otherwise_is_refused(database: str) -> None:
    changed(database, "CREATE TABLE jobs (title TEXT)")
    with pytest.raises(StartupError, match="a database of its own"):
        Box(database)


def test_a_database_in_another_encoding_is_refused(postgres_server: postgres.Server) -> None:
    changed(
        postgres_server.url("postgres"),
        "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' LOCALE_PROVIDER libc TEMPLATE template0",
    )
    try:
        with pytest.raises(StartupError, match="is in LATIN1"):
            Box(postgres_server.url("latin"))
    finally:
        changed(postgres_server.url("postgres"), "DROP DATABASE latin")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://me:secret@127.0.0.1:1/jobs", "cannot use the database jobs on 127.0.0.1:1: "),
        ("postgresql://me:secret@nowhere.invalid/jobs", "cannot use the database jobs on nowhere.invalid: "),
        ("postgresql://me:se%ret@/jobs?wrong", "postgresql://USER@HOST:PORT/NAME"),
    ],
)
def test_a_database_that_cannot_be_reached_is_told_without_the_password(url: str, told: str) -> None:
    with pytest.raises(StartupError) as caught:
        Box(url)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "se" + "cret" not in str(caught.value)
    assert "se%ret" not in str(caught.value)


# --- groups ---


async def test_writes_that_wait_share_a_commit_and_fail_alone(box: Box) -> None:
    gate = threading.Event()
    box.store._writer.submit(lambda _: gate.wait(30))  # type: ignore[attr-defined]
    writes = [box.store.job_submit(box.submission(f"j{number % 50}")) for number in range(60)]
    gate.set()
    results = await asyncio.gather(*(_outcome(write) for write in writes))
    assert [isinstance(result, JobAlreadyExistsError) for result in results] == [False] * 50 + [True] * 10
    assert len(box.store.job_list(JobFilter(), limit=100, after=None)) == 50


async def _outcome(write: Any) -> object:
    try:
        return await write
    except Exception as error:
        return error


def _fails_behind_a_change(transaction: Transaction) -> None:
    transaction.execute(Statement.common("UPDATE jobs SET workflow = 'changed'"))
    raise ValueError("behind a change")


def _is_refused_by_the_database(transaction: Transaction) -> None:
    transaction.execute(Statement.common("UPDATE jobs SET workflow = NULL"))


def _cannot_be_sent(transaction: Transaction) -> None:
    transaction.execute(Statement.common("UPDATE jobs SET workflow = :workflow"), {"workflow": "a\0b"})


def _changes_no_row(transaction: Transaction) -> None:
    transaction.execute(Statement.common("UPDATE jobs SET workflow = 'changed'"))
    transaction.change_one(Statement.common("UPDATE jobs SET state = 9 WHERE job_id = :job_id"), {"job_id": "nobody"})


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        (_fails_behind_a_change, ValueError),
        (_is_refused_by_the_database, psycopg.errors.NotNullViolation),
        (_cannot_be_sent, psycopg.DataError),
        (_changes_no_row, AssertionError),
    ],
)
@pytest.mark.parametrize("alone", [True, False])
def test_an_operation_that_fails_is_undone_alone(
    box: Box, operation: Callable[[Transaction], None], error: type[Exception], alone: bool
) -> None:
    box.submit("before")
    gate = threading.Event()
    box.store._writer.submit(lambda _: gate.wait(30))  # type: ignore[attr-defined]
    others = [] if alone else [box.store.job_submit(box.submission(f"j{number}")) for number in range(3)]
    write = box.store._writer.submit(operation)  # type: ignore[attr-defined]
    others += [] if alone else [box.store.job_submit(box.submission("behind"))]
    gate.set()
    with pytest.raises(error):
        write.result()
    assert all(other.result().job.state is JobState.PENDING for other in others)
    assert {job.spec.workflow for job in box.store.job_list(JobFilter(), limit=100, after=None)} == {"w"}
    assert box.health == []
    assert box.violations() == []


# --- others that write ---


@pytest.fixture
def others(box: Box) -> Iterator[list[Store]]:
    """Three more processes, of the same server or of others."""
    stores = [box.join() for _ in range(3)]
    yield stores
    for store in stores:
        store.close()


def _waits(box: Box, write: Future[Any]) -> bool:
    """Until a transaction waits for a lock (True), or has ended without (False)."""
    waiting = Statement.common(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    while not write.done():
        if box.store._readers.rows(waiting, {}):  # type: ignore[attr-defined]
            return True
    return False


def meanwhile(box: Box, first: Store, begin: Callable[[], Write[T]], then: Callable[[], T]) -> tuple[T, bool, T]:
    """What one writes, whose transaction goes on for a while, and another meanwhile; and whether that one had to
    wait."""
    queued, done, goes_on = threading.Event(), threading.Event(), threading.Event()

    def hold(_: Transaction) -> None:
        done.set()
        goes_on.wait(30)

    first._writer.submit(lambda _: queued.wait(30))  # type: ignore[attr-defined]
    write = begin()
    first._writer.submit(hold)  # type: ignore[attr-defined]
    queued.set()
    assert done.wait(30)
    with ThreadPoolExecutor(1) as threads:
        second = threads.submit(then)
        waited = _waits(box, second)
        goes_on.set()
        return write.result(), waited, second.result()


def one(store: Store, worker_id: str) -> Write[Sequence[Claim]]:
    return store.job_claim({"w": "r1"}, worker_id=worker_id, limit=1)


def test_a_workflow_s_limit_holds_whoever_claims_at_once(box: Box, others: list[Store]) -> None:
    box.publish(workflow("w", jobs=1))
    box.submit("a")
    box.submit("b")
    first, waited, second = meanwhile(
        box, others[0], lambda: one(others[0], "first"), lambda: one(others[1], "second").result()
    )
    assert [claim.job.job_id for claim in first] == ["a"]
    assert waited
    assert not second


def test_claims_pass_over_what_others_claim(box: Box, others: list[Store]) -> None:
    """Nobody waits: neither for a job, nor for a key, of which another job is being claimed."""
    box.publish(workflow("w", per_key=2))
    for priority in range(4):
        box.submit(f"j{priority}", concurrency_key="k", priority=priority)
    box.submit("free")
    first, waited, second = meanwhile(
        box, others[0], lambda: one(others[0], "first"), lambda: one(others[1], "second").result()
    )
    assert [claim.job.job_id for claim in first] == ["j3"]
    assert not waited
    assert [claim.job.job_id for claim in second] == ["free"]
    assert [claim.job.job_id for claim in box.claims()] == ["j2"]
    assert box.violations() == []


def test_one_of_those_that_come_at_once_with_a_key_has_its_turn(box: Box, others: list[Store]) -> None:
    submissions = [box.submission(job_id, concurrency_key="k") for job_id in "ab"]
    meanwhile(
        box,
        others[0],
        lambda: others[0].job_submit(submissions[0]),
        lambda: others[1].job_submit(submissions[1]).result(),
    )
    assert box.violations() == []


def test_limits_hold_under_load(box: Box, others: list[Store]) -> None:
    """Four that claim and give back at once, and cancels and new limits meanwhile."""
    box.publish(workflow("w", jobs=5, per_key=2))
    for number in range(60):
        box.submit(f"j{number:02}", concurrency_key=f"k{number % 4}")
    counting = Statement.common(
        "SELECT concurrency_key, count(*) AS jobs FROM jobs WHERE run_token IS NOT NULL GROUP BY concurrency_key"
    )
    done = threading.Event()

    def look() -> int:
        most = 0
        while not done.is_set():
            running = box.store._readers.rows(counting, {})  # type: ignore[attr-defined]
            assert all(each["jobs"] <= 2 for each in running)
            most = max(most, sum(each["jobs"] for each in running))
        return most

    def work(store: Store, worker_id: str) -> None:
        while box.store.job_list(JobFilter(states=frozenset({JobState.PENDING})), limit=1, after=None):
            for claim in store.job_claim({"w": "r1"}, worker_id=worker_id, limit=2).result():
                _settled(store.run_end(claim.fence, RunEnd(to_state=JobState.SUCCEEDED, output="1"), RunUpdate()))

    def disturb() -> None:
        for number in range(0, 60, 3):
            _settled(box.store.job_cancel(f"j{number:02}", reason="", etag="", grace_period=0))
            box.publish(workflow("w", jobs=5, per_key=2))

    with ThreadPoolExecutor(6) as threads:
        looking, disturbing = threads.submit(look), threads.submit(disturb)
        try:
            list(threads.map(work, [box.store, *others], "abcd"))
            disturbing.result()
        finally:
            done.set()
        assert 2 <= looking.result() <= 5
    assert box.violations() == []


def test_two_that_meet_at_the_same_rows_both_get_through(box: Box, others: list[Store]) -> None:
    """Each has what the other waits for: Postgres ends one of the two transactions, which nobody hears of."""
    box.submit("a")
    box.submit("b")
    met = threading.Barrier(2)

    def twice(first: str, second: str) -> Callable[[Transaction], None]:
        lock = Statement.common("UPDATE jobs SET attempt = attempt + 1 WHERE job_id = :job_id")
        tried = iter([True, False])

        def change(transaction: Transaction) -> None:
            transaction.row(Statement.common(lock.sqlite + " RETURNING job_id"), {"job_id": first})
            if next(tried, False):
                met.wait(30)
            transaction.row(Statement.common(lock.sqlite + " RETURNING job_id"), {"job_id": second})

        return change

    writes = [
        store._writer.submit(change)  # type: ignore[attr-defined]
        for store, change in zip(others, (twice("a", "b"), twice("b", "a")), strict=False)
    ]
    for write in writes:
        write.result()
    assert [box.job(job_id).attempt for job_id in "ab"] == [2, 2]


def test_the_same_job_is_submitted_once_wherever_it_comes(box: Box, others: list[Store]) -> None:
    stores = [box.store, *others]
    for number in range(10):
        submission = box.submission(f"j{number}", request_id=f"r{number}", request_digest=b"1")
        writes = [store.job_submit(submission) for store in stores]
        assert sorted(write.result().deduplicated for write in writes) == [False, True, True, True]
        writes = [store.job_submit(box.submission(f"k{number}", thread_id="t")) for store in stores]
        outcomes = [_settled(write) for write in writes]
        assert sum(outcome is None for outcome in outcomes) == 1
        box.store.job_cancel(f"k{number}", reason="", etag="", grace_period=0).result()
    assert box.violations() == []


def _settled(write: Any) -> Exception | None:
    try:
        write.result()
    except Exception as error:
        return error
    return None


def test_one_that_stands_still_in_a_transaction_does_not_keep_others(
    box: Box, others: list[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "autopilot_server.storage.postgres.writer._LIMITS",
        "SET LOCAL idle_in_transaction_session_timeout = 200; SET LOCAL lock_timeout = 20000",
    )
    box.submit()
    stands, goes_on = threading.Event(), threading.Event()

    def hold(transaction: Transaction) -> None:
        transaction.row(Statement.common("UPDATE jobs SET attempt = 9 WHERE job_id = 'j' RETURNING job_id"))
        stands.set()
        goes_on.wait(30)

    held = others[0]._writer.submit(hold)  # type: ignore[attr-defined]
    stands.wait(30)
    box.store.job_cancel("j", reason="", etag="", grace_period=0).result()
    goes_on.set()
    with pytest.raises(StorageUnavailableError):
        held.result()
    assert box.job().attempt == 0
    others[0].probe().result()


# --- connections that break ---


class BreakingCommits:
    """Stands for the writer's connection: at its next COMMIT the connection breaks."""

    def __init__(self, box: Box, *, commits: bool) -> None:
        """`commits`: the COMMIT arrives all the same."""
        self._writer: Any = box.store._writer  # type: ignore[attr-defined]
        self._real, self._commits = self._writer._connection, commits
        self._writer._connection = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, query: str, parameters: Any = None) -> Any:
        if query != "COMMIT":
            return self._real.execute(query, parameters)
        if self._commits:
            self._real.execute(query)
            self._real._pipeline.sync()
        self._real.pgconn.finish()
        raise psycopg.OperationalError("the connection is lost")


@pytest.mark.parametrize("commits", [True, False])
def test_a_commit_whose_answer_is_lost_is_looked_up(box: Box, commits: bool) -> None:
    BreakingCommits(box, commits=commits)
    write = box.store.job_submit(box.submission())
    if commits:
        assert write.result().job.state is JobState.PENDING
        assert len(box.log()) == 1
        assert [item.job_id for item in box.news] == ["j"]
    else:
        with pytest.raises(StorageUnavailableError):
            write.result()
        assert box.store.job_get("j", payloads=False) is None
        assert box.news == []
    box.submit("next")


def test_connections_that_were_ended_are_opened_again(box: Box) -> None:
    box.submit()
    for _ in range(2):
        changed(
            box.url,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'autopilot'",
        )
        assert box.job().state is JobState.PENDING
        # What was sent may have been carried out: only who asked can tell whether to ask again.
        if (error := _settled(box.store.probe())) is not None:
            assert isinstance(error, StorageUnavailableError)
        box.store.probe().result()


@pytest.fixture
def own_server() -> Iterator[postgres.Server]:
    """A Postgres that a test may stop."""
    if postgres.MISSING:
        pytest.skip(postgres.MISSING)
    server = postgres.Server()
    yield server
    server.close()


def test_a_database_that_goes_and_comes_back(own_server: postgres.Server) -> None:
    came_back = threading.Event()
    with own_server.database() as url:
        box = Box(url)
        claim = box.running()
        own_server.stop()
        # Who cannot read tells the writer, whose health it is.
        went = threading.Event()
        box.store._writer._on_health = lambda healthy: (came_back if healthy else went).set()  # type: ignore[attr-defined]
        with pytest.raises(StorageUnavailableError):
            box.job()
        assert went.wait(30)
        with pytest.raises(StorageUnavailableError):
            box.submit("k")
        own_server.start()
        assert came_back.wait(30)
        box.submit("k")
        assert box.store.run_state(claim.fence) is JobState.RUNNING
        assert box.end(claim, JobState.SUCCEEDED, output="1").state is JobState.SUCCEEDED
        box.store.close()


# --- what is stored ---


@pytest.mark.parametrize(
    ("invariant", "damage"),
    [
        ("log", "DELETE FROM events WHERE job_id = 'j' AND sequence = 1"),
        ("state", "UPDATE jobs SET run_token = 'x' WHERE job_id = 'j'"),
        ("checkpoint", "UPDATE jobs SET checkpoint_id = 'nowhere' WHERE job_id = 'j'"),
        ("parts", "DELETE FROM labels WHERE job_id = 'j'"),
        ("parts", "INSERT INTO answers VALUES ('j', 'nobody asked', '1')"),
        ("turns", "UPDATE jobs SET concurrency_key = 'k', held = 1 WHERE job_id = 'j'"),
        ("orphans", "INSERT INTO payloads VALUES ('gone', NULL, NULL, NULL)"),
    ],
)
def test_check_finds_damage(box: Box, invariant: str, damage: str) -> None:
    box.submit("j", labels={"team": "blue"})
    assert box.violations() == []
    changed(box.url, damage)
    assert {finding.invariant for finding in box.violations()} == {invariant}


def test_the_command_checks_while_a_server_runs(box: Box) -> None:
    box.submit()
    done = autopilot("check", "--database", box.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert "all holds (log, state, " in done.stdout
    changed(box.url, "DELETE FROM payloads")
    done = autopilot("check", "--database", box.url)
    assert done.returncode == 1
    assert "parts: j: input and output" in done.stdout


def test_a_database_that_is_none_of_autopilot_s_is_not_checked(database: str) -> None:
    with pytest.raises(StartupError, match="has schema 0"):
        check(database)


def test_texts_may_have_any_character(box: Box) -> None:
    box.running()
    reason = "nothing\0and \U0010ffff"
    box.store.job_cancel("j", reason=reason, etag="", grace_period=SECOND).result()
    box.store.job_cancel("j", reason="", etag="", grace_period=0).result()
    assert box.job().error.message == reason
