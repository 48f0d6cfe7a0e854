"""A real server that needs tokens and keeps an audit, and what stands in it."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from autopilot_server.audit.journal import Journal
from autopilot_server.audit.records import Record, Wanted, read_records
from autopilot_server.jobs.job import Job

from tests.access.conftest import Guarded
from tests.waiting import until


def damaged(path: Path, number: int) -> None:
    raise AssertionError(f"{path}: line {number} is no whole line")


def records(*files: Path, **wanted: Any) -> list[Record]:
    """All calls in the files, and what else is told in them; but no starts and stops."""
    found = read_records(files, Wanted(**wanted), damaged)
    return [record for record in found if record["event"] not in ("start", "stop")]


class Audited(Guarded):
    """A server with a journal. `health` is what the journal said of itself."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.audit_file = folder / "audit.jsonl"
        self.health: list[bool] = []

    async def start(self) -> None:
        if self.journal is None:
            self.journal = Journal(self.audit_file, on_health=self.health.append)
        await super().start()

    async def stop(self) -> None:
        await super().stop()
        assert self.journal is not None
        await asyncio.to_thread(self.journal.close)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.audit_file.read_text().splitlines()]

    async def told(self, count: int) -> list[Record]:
        """The first calls, once they are all there with their answers."""
        await until(lambda: len(self._answered()) >= count, self._answered)
        assert len(self._answered()) == count
        return records(self.audit_file)

    def _answered(self) -> list[Record]:
        return [record for record in records(self.audit_file) if record.get("answer") or record["event"] != "request"]

    def hold_submits(self) -> asyncio.Event:
        """Jobs are not stored before the event is set."""
        held, stored = asyncio.Event(), self.store.job_submit

        async def job_submit(submission: Any) -> Any:
            await held.wait()
            return await stored(submission)

        self.store.job_submit = job_submit  # type: ignore[method-assign]
        return held

    def job(self, job_id: str) -> Job | None:
        return self.store.job_get(job_id, payloads=False)

    def limit_submits(self) -> None:
        self.settings = replace(self.settings, tenant_submits_per_second=0.001, tenant_submit_burst=1)


@pytest.fixture
async def audited(tmp_path: Path) -> AsyncIterator[Audited]:
    api = Audited(tmp_path)
    await api.start()
    yield api
    await api.stop()
