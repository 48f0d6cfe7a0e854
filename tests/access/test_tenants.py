"""A second tenant tries everything with what belongs to the first, and gets what it gets for what never was.

Not only the same answer: the database carries out the same statements, in the same number of steps. What takes time
then takes the same time.
"""

import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from autopilot.v1 import job_pb2, job_service_pb2
from autopilot_server.jobs.states import JobState
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from tests.access.conftest import Guarded
from tests.refused import Refused

# What never was. A neighbour of `victim` in every index, so that a search for the one ends where a search for the other
# would.
NEVER = "victin"


class Work:
    """What the database did: each statement with its values, and the steps of its virtual machine."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.steps = 0

    def traced(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        connection.set_trace_callback(self.statements.append)
        connection.set_progress_handler(self._step, 1)
        return connection

    def _step(self) -> int:
        self.steps += 1
        return 0

    def reset(self) -> None:
        self.statements.clear()
        self.steps = 0


@pytest.fixture
async def worlds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator["Worlds"]:
    worlds = Worlds(tmp_path, monkeypatch)
    yield worlds
    await worlds.close()


class Worlds:
    """Makes worlds that are all the same."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._patch = folder, monkeypatch
        self._made: list[World] = []

    async def make(self) -> "World":
        work, connect = Work(), sqlite3.connect
        folder = self._folder / str(len(self._made))
        folder.mkdir()
        with self._patch.context() as patch:
            patch.setattr(sqlite3, "connect", lambda *a, **k: work.traced(connect(*a, **k)))
            world = World(Guarded(folder), work)
            await world.api.start()
            await world.fill()
            # Reading opens its connection now.
            await world.other.get("mine")
        self._made.append(world)
        return world

    async def close(self) -> None:
        for world in self._made:
            await world.api.stop()


class World:
    """A tenant with jobs in every interesting state, named `victim-…`, and another that knows them all."""

    def __init__(self, api: Guarded, work: Work) -> None:
        self.api, self.work = api, work
        self.etags: dict[str, str] = {}
        self.page_tokens: dict[str, str] = {}

    async def fill(self) -> None:
        self.owner, self.other = self.api.caller(tenant="owner"), self.api.caller(tenant="other")
        await self.owner.interrupted("victim-q", job_id="victim-ask", request_id="victim-r1", thread_id="victim-t1")
        await self.owner.stub.Cancel(job_service_pb2.CancelRequest(job_id="victim-ask"))
        answers = {"victim-q": job_pb2.Payload(json_text='{"ok": true}')}
        resume = job_service_pb2.ResumeRequest(job_id="victim-ask", request_id="victim-r2", answers=answers)
        await self.owner.stub.Resume(resume)
        await self.api.end(await self.api.claim(), JobState.FAILED)
        for name in ("victim-end", "victim-too"):
            await self.owner.submit(job_id=name, labels={"victim": "1"})
            claim = await self.api.claim()
            await self.api.checkpoint(claim, "c1")
            await self.api.checkpoint(claim, "c2", 2)
            await self.api.end(claim)
        await self.owner.submit(
            job_id="victim-run", request_id="victim-r3", thread_id="victim-t2", concurrency_key="victim-k"
        )
        await self.api.step(await self.api.claim())
        for name in ("victim-ask", "victim-end", "victim-run"):
            self.etags[name] = (await self.owner.get(name)).etag
        jobs = await self.owner.stub.ListJobs(job_service_pb2.ListJobsRequest(page_size=1))
        request = job_service_pb2.ListCheckpointsRequest(job_id="victim-end", page_size=1)
        checkpoints = await self.owner.stub.ListCheckpoints(request)
        workflows = await self.owner.stub.ListWorkflows(job_service_pb2.ListWorkflowsRequest(page_size=1))
        self.page_tokens = {
            "jobs": jobs.next_page_token,
            "checkpoints": checkpoints.next_page_token,
            "workflows": workflows.next_page_token,
        }
        assert all(self.page_tokens.values())
        # The other tenant is not new to the server either, and both paths are warm.
        await self.other.finished(job_id="mine")
        for name in ("warm-1", "warm-2"):
            await self.other.refused(self.other.get(name))


Tried = Callable[[World, str], Awaitable[Any]]
TRIES: dict[str, Tried] = {}


def tries(attempt: Tried) -> Tried:
    """An attempt of the second tenant: with `who` "victim" on what the first one has, with NEVER on what never was."""
    TRIES[attempt.__name__] = attempt
    return attempt


@tries
async def get_status(world: World, who: str) -> Any:
    return await world.other.get(f"{who}-end")


@tries
async def get_status_full(world: World, who: str) -> Any:
    return await world.other.get(f"{who}-end", view=job_pb2.VIEW_FULL)


@tries
async def wait_for_status(world: World, who: str) -> Any:
    return await world.other.get(f"{who}-run", wait_timeout=Duration(seconds=60))


@tries
async def watch(world: World, who: str) -> Any:
    request = job_service_pb2.WatchProgressRequest(job_id=f"{who}-run", include_tokens=True)
    return [response async for response in world.other.stub.WatchProgress(request)]


@tries
async def watch_from_the_middle(world: World, who: str) -> Any:
    request = job_service_pb2.WatchProgressRequest(job_id=f"{who}-end", after_sequence=1, stop_when_caught_up=True)
    return [response async for response in world.other.stub.WatchProgress(request)]


@tries
async def watch_from_beyond(world: World, who: str) -> Any:
    request = job_service_pb2.WatchProgressRequest(job_id=f"{who}-end", after_sequence=10**6)
    return [response async for response in world.other.stub.WatchProgress(request)]


@tries
async def cancel(world: World, who: str) -> Any:
    return await world.other.stub.Cancel(job_service_pb2.CancelRequest(job_id=f"{who}-run"))


@tries
async def cancel_at_once(world: World, who: str) -> Any:
    request = job_service_pb2.CancelRequest(job_id=f"{who}-run", grace_period=Duration(seconds=0), reason="mine")
    return await world.other.stub.Cancel(request)


@tries
async def cancel_with_its_etag(world: World, who: str) -> Any:
    etag = world.etags["victim-run"]
    return await world.other.stub.Cancel(job_service_pb2.CancelRequest(job_id=f"{who}-run", etag=etag))


@tries
async def cancel_what_is_finished(world: World, who: str) -> Any:
    return await world.other.stub.Cancel(job_service_pb2.CancelRequest(job_id=f"{who}-end"))


@tries
async def resume(world: World, who: str) -> Any:
    return await world.other.stub.Resume(job_service_pb2.ResumeRequest(job_id=f"{who}-ask"))


@tries
async def resume_with_its_etag(world: World, who: str) -> Any:
    request = job_service_pb2.ResumeRequest(job_id=f"{who}-ask", etag=world.etags["victim-ask"])
    return await world.other.stub.Resume(request)


@tries
async def resume_with_an_answer(world: World, who: str) -> Any:
    answer = job_pb2.Payload(json_text='{"wrong": "form"}')
    return await world.other.stub.Resume(job_service_pb2.ResumeRequest(job_id=f"{who}-ask", answer=answer))


@tries
async def resume_with_answers(world: World, who: str) -> Any:
    answers = {f"{who}-q": job_pb2.Payload(json_text='{"ok": true}')}
    return await world.other.stub.Resume(job_service_pb2.ResumeRequest(job_id=f"{who}-ask", answers=answers))


@tries
async def resume_again_with_its_request_id(world: World, who: str) -> Any:
    answers = {"victim-q": job_pb2.Payload(json_text='{"ok": true}')}
    request = job_service_pb2.ResumeRequest(job_id=f"{who}-ask", request_id="victim-r2", answers=answers)
    return await world.other.stub.Resume(request)


@tries
async def resume_from_its_checkpoint(world: World, who: str) -> Any:
    return await world.other.stub.Resume(job_service_pb2.ResumeRequest(job_id=f"{who}-end", checkpoint_id="c1"))


@tries
async def delete(world: World, who: str) -> Any:
    return await world.other.stub.DeleteJob(job_service_pb2.DeleteJobRequest(job_id=f"{who}-end"))


@tries
async def delete_with_its_etag(world: World, who: str) -> Any:
    request = job_service_pb2.DeleteJobRequest(job_id=f"{who}-end", etag=world.etags["victim-end"])
    return await world.other.stub.DeleteJob(request)


@tries
async def delete_what_may_be_missing(world: World, who: str) -> Any:
    request = job_service_pb2.DeleteJobRequest(job_id=f"{who}-end", allow_missing=True)
    return await world.other.stub.DeleteJob(request)


@tries
async def delete_what_runs(world: World, who: str) -> Any:
    return await world.other.stub.DeleteJob(job_service_pb2.DeleteJobRequest(job_id=f"{who}-run"))


@tries
async def list_checkpoints(world: World, who: str) -> Any:
    request = job_service_pb2.ListCheckpointsRequest(job_id=f"{who}-end", view=job_pb2.VIEW_FULL)
    return await world.other.stub.ListCheckpoints(request)


def _page_token(world: World, kind: str, who: str) -> str:
    """The first tenant's, or one that no server made."""
    token = world.page_tokens[kind]
    return token if who == "victim" else token[:4] + ("A" if token[4] != "A" else "B") + token[5:]


@tries
async def list_checkpoints_with_its_page_token(world: World, who: str) -> Any:
    token = _page_token(world, "checkpoints", who)
    request = job_service_pb2.ListCheckpointsRequest(job_id="victim-end", page_size=1, page_token=token)
    return await world.other.stub.ListCheckpoints(request)


@tries
async def list_jobs_with_its_page_token(world: World, who: str) -> Any:
    token = _page_token(world, "jobs", who)
    return await world.other.stub.ListJobs(job_service_pb2.ListJobsRequest(page_size=1, page_token=token))


@tries
async def list_workflows_with_its_page_token(world: World, who: str) -> Any:
    token = _page_token(world, "workflows", who)
    return await world.other.stub.ListWorkflows(job_service_pb2.ListWorkflowsRequest(page_size=1, page_token=token))


@tries
async def list_jobs_of_its_thread(world: World, who: str) -> Any:
    wanted = job_service_pb2.JobFilter(thread_id=f"{who}-t1")
    return await world.other.stub.ListJobs(job_service_pb2.ListJobsRequest(filter=wanted))


@tries
async def list_jobs_of_its_label(world: World, who: str) -> Any:
    wanted = job_service_pb2.JobFilter(labels={who: "1"})
    return await world.other.stub.ListJobs(job_service_pb2.ListJobsRequest(filter=wanted))


@tries
async def prune_its_thread(world: World, who: str) -> Any:
    wanted = job_service_pb2.JobFilter(thread_id=f"{who}-t1")
    return await world.other.stub.PruneJobs(
        job_service_pb2.PruneJobsRequest(filter=wanted, finished_for=Duration(seconds=0))
    )


@tries
async def prune_its_label(world: World, who: str) -> Any:
    wanted = job_service_pb2.JobFilter(labels={who: "1"})
    return await world.other.stub.PruneJobs(
        job_service_pb2.PruneJobsRequest(filter=wanted, finished_for=Duration(seconds=0), dry_run=True)
    )


@tries
async def submit_with_its_job_id(world: World, who: str) -> Any:
    return await world.other.submit(job_id=f"{who}-end")


@tries
async def submit_with_its_request_id(world: World, who: str) -> Any:
    """With the contents that it was used for."""
    input_ = job_pb2.Payload(json_text='{"n": 1}')
    fields = {"job_id": f"{who}-run", "thread_id": f"{who}-t2", "workflow": "w", "input": input_}
    request = job_service_pb2.SubmitJobRequest(request_id=f"{who}-r3", **fields)
    return await world.other.stub.SubmitJob(request)


@tries
async def submit_with_its_request_id_and_other_contents(world: World, who: str) -> Any:
    return await world.other.submit(job_id=f"{who}-new", request_id=f"{who}-r3", priority=9)


@tries
async def submit_on_its_busy_thread(world: World, who: str) -> Any:
    return await world.other.submit(job_id=f"{who}-new", thread_id=f"{who}-t2")


@tries
async def submit_on_its_thread(world: World, who: str) -> Any:
    return await world.other.submit(job_id=f"{who}-new", thread_id=f"{who}-t1")


@tries
async def submit_on_the_thread_of_its_job(world: World, who: str) -> Any:
    return await world.other.submit(job_id=f"{who}-new", thread_id=f"{who}-end")


@tries
async def fork(world: World, who: str) -> Any:
    return await world.other.submit(fork_from={"job_id": f"{who}-end"})


@tries
async def fork_from_its_checkpoint(world: World, who: str) -> Any:
    return await world.other.submit(fork_from={"job_id": f"{who}-end", "checkpoint_id": "c1"})


@tries
async def take_its_key(world: World, who: str) -> Any:
    """The key is full where it is the first tenant's."""
    submitted = await world.other.submit(concurrency_key=f"{who}-k")
    # Which there is.
    await world.api.claim()
    return submitted


# --- what it gets ---

# What differs between two calls whoever makes them, and the ids that the caller gave itself.
_PASSING = re.compile(
    rf"victim|{NEVER}|[0-9a-f]{{8}}-[0-9a-f-]{{27}}|\b1[0-9]{{15}}\b|seconds: [0-9]+|nanos: [0-9]+|[0-9a-f]{{13}}-1"
)
_VALUES = re.compile(r"--[^\n]*|x?'(?:[^']|'')*'|\b[0-9]+(?:\.[0-9]+)?\b")


def _shown(answer: Any) -> str:
    match answer:
        case Refused():
            text = f"{answer.code} {answer.message} {vars(answer)}"
        case Message():
            text = f"{type(answer).__name__} {answer}"
        case _:
            text = f"{[_shown(each) for each in answer]}"
    return _PASSING.sub("…", text)


@dataclass(frozen=True)
class Outcome:
    answer: str
    statements: list[str]
    steps: int


async def _tried(world: World, attempt: Tried, who: str) -> Outcome:
    world.work.reset()
    try:
        answer = await attempt(world, who)
    except grpc.RpcError as error:
        answer = Refused(error)
    statements = [_VALUES.sub("?", statement) for statement in world.work.statements]
    return Outcome(_shown(answer), statements, world.work.steps)


@pytest.mark.parametrize("name", TRIES)
async def test_what_another_tenant_has_is_as_what_never_was(worlds: Worlds, name: str) -> None:
    never = await _tried(await worlds.make(), TRIES[name], NEVER)
    world = await worlds.make()
    before = await _everything(world)
    foreign = await _tried(world, TRIES[name], "victim")
    assert foreign.answer == never.answer
    assert foreign.statements == never.statements
    assert foreign.steps == never.steps
    assert foreign.statements or "PAGE_TOKEN_INVALID" in foreign.answer
    assert "owner" not in foreign.answer
    assert await _everything(world) == before


async def _everything(world: World) -> list[Any]:
    """All that the first tenant can see of its own, byte for byte."""
    owner = world.owner
    listed = await owner.stub.ListJobs(job_service_pb2.ListJobsRequest(view=job_pb2.VIEW_FULL))
    seen: list[Any] = [job for job in listed.jobs if job.job_id != "victim-run"]
    for job in listed.jobs:
        request = job_service_pb2.ListCheckpointsRequest(job_id=job.job_id)
        seen.append(await owner.stub.ListCheckpoints(request))
        events = job_service_pb2.WatchProgressRequest(job_id=job.job_id, stop_when_caught_up=True)
        seen.append([response async for response in owner.stub.WatchProgress(events)])
    return seen
