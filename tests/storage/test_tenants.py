"""Jobs of several tenants in one database: who finds which, at what cost, and what becomes of older databases."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from autopilot_server.jobs.errors import LimitExceededError
from autopilot_server.jobs.job import JobFilter
from autopilot_server.jobs.states import FINISHED, JobState
from autopilot_server.jobs.tenants import public, scoped, tenant_of
from autopilot_server.storage.listing import list_rows
from autopilot_server.storage.queries import SQL
from autopilot_server.storage.sqlite.connections import connect
from autopilot_server.storage.sqlite.migrations import migrations
from autopilot_server.storage.sqlite.transaction import SqliteReading

from tests.storage.conftest import Box

TENANTS = ("", "a", "b")

FILTERS = {
    "all": {},
    "states": {"states": frozenset({JobState.PENDING, JobState.SUCCEEDED})},
    "workflow": {"workflow": "w"},
    "workflow and state": {"workflow": "w", "states": frozenset({JobState.PENDING})},
    "label": {"labels": {"k": "1"}},
    "labels": {"labels": {"k": "1", "m": "2"}},
    "thread": {"thread_id": "t3"},
    "patterns": {"patterns": ("w*", "?")},
    "patterns and label": {"patterns": ("w",), "labels": {"k": "1"}},
    "finished": {"states": FINISHED},
}


def _filter(tenant: str, fields: dict[str, Any]) -> JobFilter:
    wanted = JobFilter(tenant=tenant, **fields)
    return replace(wanted, thread_id=scoped(tenant, wanted.thread_id))


def _fill(box: Box, tenant: str, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        box.submit(
            scoped(tenant, f"j{number}"),
            thread_id=scoped(tenant, f"t{number}"),
            labels={"k": "1", "m": "2"},
            workflow="w" if number % 2 else "x",
        )


def test_scoped_ids() -> None:
    for tenant in ("", "a", "a-b"):
        for name in ("", "x", "A.b_c-1"):
            assert public(scoped(tenant, name)) == name
            assert tenant_of(scoped(tenant, name)) == (tenant if name else "")
    assert len({scoped(tenant, "x") for tenant in ("", "a", "a-b")}) == 3


@pytest.mark.parametrize("fields", FILTERS.values(), ids=FILTERS.keys())
def test_each_tenant_lists_its_own(box: Box, fields: dict[str, Any]) -> None:
    for tenant in TENANTS:
        _fill(box, tenant, 6)
    for tenant in TENANTS:
        found = box.store.job_list(_filter(tenant, fields), limit=100, after=None)
        assert {tenant_of(job.job_id) for job in found} <= {tenant}
        names = sorted(public(job.job_id) for job in found)
        assert names == {
            "thread": ["j3"],
            "workflow": ["j1", "j3", "j5"],
            "workflow and state": ["j1", "j3", "j5"],
            "patterns and label": ["j1", "j3", "j5"],
            "finished": [],
        }.get(next(name for name, value in FILTERS.items() if value is fields), [f"j{n}" for n in range(6)])


def _steps(path: Path, job_filter: JobFilter) -> int:
    """Of SQLite's virtual machine, for a page."""
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection = connect(path, read_only=True)
    try:
        connection.set_progress_handler(step, 1)
        list_rows(SqliteReading(connection), job_filter, states=job_filter.states, limit=3, after=None)
        limits = {"tenant": job_filter.tenant, "limit": 1000}
        connection.execute(SQL.job_count_unfinished_of_tenant.sqlite, limits).fetchall()
    finally:
        connection.close()
    return steps


@pytest.mark.parametrize("fields", FILTERS.values(), ids=FILTERS.keys())
def test_what_a_tenant_asks_for_costs_what_its_own_jobs_cost(sqlite_box: Box, fields: dict[str, Any]) -> None:
    box = sqlite_box
    path = Path(box.url.removeprefix("sqlite:///"))
    for tenant in TENANTS:
        _fill(box, tenant, 5)
    before = _steps(path, _filter("a", fields))
    for tenant in ("", "b"):
        _fill(box, tenant, 200, first=5)
    assert _steps(path, _filter("a", fields)) == before


def test_what_a_caller_may_not_see_costs_it_nothing(sqlite_box: Box) -> None:
    box = sqlite_box
    path = Path(box.url.removeprefix("sqlite:///"))
    _fill(box, "a", 6)
    wanted = JobFilter(tenant="a", patterns=("x",))
    before = _steps(path, wanted)
    for number in range(100):
        job = box.submit(scoped("a", f"more{number}"), workflow="w").job
        box.store.job_cancel(job.job_id, reason="", etag="", grace_period=0).result()
    assert _steps(path, wanted) == before


def test_each_tenant_has_its_own_room(box: Box) -> None:
    def submit(tenant: str, name: str) -> None:
        submission = replace(box.submission(scoped(tenant, name)), tenant_unfinished_limit=2, unfinished_limit=5)
        box.store.job_submit(submission).result()

    for tenant in TENANTS[:2]:
        submit(tenant, "1")
        submit(tenant, "2")
        with pytest.raises(LimitExceededError) as caught:
            submit(tenant, "3")
        assert caught.value.metadata == {"limit": "2", "name": "tenant_unfinished_jobs"}
    submit("b", "1")
    with pytest.raises(LimitExceededError) as caught:
        submit("b", "2")
    assert caught.value.metadata == {"limit": "5", "name": "unfinished_jobs"}
    box.store.job_cancel(scoped("a", "1"), reason="", etag="", grace_period=0).result()
    submit("a", "3")


def test_statistics_are_each_tenants_own(box: Box) -> None:
    box.submit(scoped("a", "j"))
    box.end(box.claim(), JobState.SUCCEEDED, steps=3, output="{}")
    assert box.store.workflow_statistics("w", "r1", tenant="a").jobs == 1
    assert box.store.workflow_statistics("w", "r1", tenant="b").jobs == 0
    assert box.store.workflow_statistics("w", "r1").jobs == 0


def test_a_database_with_tenants_holds_what_check_verifies(box: Box) -> None:
    for tenant in TENANTS:
        _fill(box, tenant, 4)
    box.store.job_cancel(scoped("a", "j1"), reason="", etag="", grace_period=0).result()
    assert box.store.job_delete(scoped("a", "j1"), etag="").result()
    assert box.violations() == []
    box.change(f"DELETE FROM labels WHERE job_id = '{scoped('a', 'j2')}'")
    (found,) = box.violations()
    assert (found.subject, found.detail) == ("a/j2", "labels")


def test_jobs_from_before_there_were_tenants_are_those_of_the_one_without_a_name(sqlite_box: Box) -> None:
    box = sqlite_box
    path = Path(box.url.removeprefix("sqlite:///"))
    _fill(box, "", 4)
    box.store.close()
    first = path.with_name("first.db")
    with closing(sqlite3.connect(first)) as connection:
        connection.executescript(migrations()[0])
        connection.execute("PRAGMA user_version = 1")
        connection.execute("ATTACH ? AS later", (str(path),))
        for table in ("jobs", "payloads", "labels", "events"):
            names = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
            connection.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM later.{table}")
        connection.commit()
    first.replace(path)
    box.open()
    for fields in FILTERS.values():
        found = box.store.job_list(_filter("", fields), limit=100, after=None)
        assert bool(found) == (fields != FILTERS["finished"])
        assert not box.store.job_list(_filter("a", fields), limit=100, after=None)
