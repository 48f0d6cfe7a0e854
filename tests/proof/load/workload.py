"""Jobs of random workflows on a server that somebody torments, and clients around them that record what they see."""

import asyncio
import json
import queue
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import grpc
from autopilot.v1 import job_pb2, job_service_pb2

from tests.proof.histories.history import History, JobRecord
from tests.proof.histories.recording import (
    JOBS_PATIENCE_SECONDS,
    PATIENCE_SECONDS,
    Auditor,
    Recorder,
    Watcher,
    ended_with,
)
from tests.proof.histories.states import CANCELLED, FINISHED, INTERRUPTED
from tests.proof.load import random_graphs
from tests.proof.load.random_graphs import Outcome

# Losses of a worker are what happens here all the time: no job is given up for them.
OPTIONS = ("--max-worker-losses", "1000000", "--threads", "16")

_DOOMED_ATTEMPTS = 3

# Workflows import each other from here, also in processes that know nothing of tests.
ROOT = Path(__file__).parents[3]

# By the seeds: what a job goes on from must be there whatever else its workflow keeps.
_KEPT: Sequence[Any] = ("all", {"last": 1}, {"last": 3}, "newest_when_succeeded")

# Jobs of one random workflow that run at once: all of them have the same key, which says it to who checks the history.
AT_ONCE = 2
KEY = f"{AT_ONCE} at once"


def write_config(folder: Path, seeds: Sequence[int]) -> Path:
    """A langgraph.json with the random workflows of some seeds, and those that actors need."""
    source = Path(random_graphs.__file__)
    path = folder / "langgraph.json"
    graphs: dict[str, Any] = {name: f"{source}:{name}" for name in ("waits_for_ever", "turns_for_ever", "stays")}
    graphs["journey"] = f"{source.with_name('journey.py')}:journey"
    for seed in seeds:
        own = {"keep_checkpoints": _KEPT[seed % len(_KEPT)], "concurrency": {"per_key": AT_ONCE}}
        graphs[f"random_{seed}"] = {"path": f"{source}:random_{seed}", **own}
    path.write_text(json.dumps({"dependencies": [str(ROOT)], "graphs": graphs}))
    return path


def outcomes(folder: Path, seeds: Sequence[int]) -> dict[int, Outcome]:
    """What the workflows come to when nobody disturbs them."""

    async def all_of_them() -> list[Outcome]:
        folders = [folder / f"undisturbed-{seed}" for seed in seeds]
        return await asyncio.gather(*map(random_graphs.undisturbed, seeds, folders))

    return dict(zip(seeds, asyncio.run(all_of_them()), strict=True))


def outcomes_of_followers(folder: Path, seeds: Sequence[int]) -> dict[int, Outcome]:
    """What each workflow comes to on a thread that a job of the same workflow has used before."""

    async def one(seed: int) -> Outcome:
        place = folder / f"followed-{seed}"
        return await random_graphs.undisturbed(seed, place / "second", after=place / "first")

    async def all_of_them() -> list[Outcome]:
        return await asyncio.gather(*map(one, seeds))

    return dict(zip(seeds, asyncio.run(all_of_them()), strict=True))


@dataclass(slots=True)
class _Plan:
    """What clients do with a job."""

    job_id: str
    seed: int
    folder: Path
    request: job_service_pb2.SubmitJobRequest
    cancel: job_service_pb2.CancelRequest | None
    resume_cancelled: bool
    expected: Outcome
    resumes: int = 0
    follower: "_Plan | None" = None
    """A second job of the same thread, submitted when this one is finished."""


class Actor(Protocol):
    """A client that does something of its own beside all the others."""

    def act(self, recorder: Recorder, watch: Callable[[str], None]) -> None:
        """Do it. Raises when something is not as it must be. `watch`: have a job watched by the others."""
        ...

    def records(self, recorder: Recorder) -> dict[str, JobRecord]:
        """The jobs that it leaves, when nothing happens any more."""
        ...


class Workload:
    """Submits jobs, answers their questions, cancels some, watches them; ends when all of them are finished."""

    def __init__(
        self,
        *,
        address: str,
        database: Path | None,
        folder: Path,
        outcomes: dict[int, Outcome],
        jobs: int,
        watchers: int,
        rng: random.Random,
        name: str = "job",
        cancelled: float = 0.1,
        actors: Sequence[Actor] = (),
        scheduled: float = 0.0,
        followed: float = 0.0,
        followers: Mapping[int, Outcome] | None = None,
        labels: Mapping[str, str] | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """`database`: looked into at each message, if given. `name` begins the ids of the jobs. `cancelled`: the part
        of the jobs that is cancelled; half of them are resumed. `scheduled`: the part that has to wait for its time.
        `followed`: the part after which another job uses the same thread; `followers`: what those come to, by seed.
        `labels`: of all jobs. `patience_seconds`: for how long clients repeat a call, and are waited for."""
        self.history = History()
        self._cancelled, self._scheduled, self._followed = cancelled, scheduled, followed
        self._followers, self._labels = followers or {}, labels or {}
        self._recorder = Recorder(address, self.history, patience_seconds=patience_seconds)
        self._auditor = None if database is None else Auditor(database)
        self._rng, self._outcomes, self._watchers = rng, outcomes, watchers
        self._plans = [self._plan(f"{name}-{number}", folder) for number in range(jobs)]
        self._all_plans = [*self._plans, *(plan.follower for plan in self._plans if plan.follower is not None)]
        # No SimpleQueue: in CPython 3.11 a get with a timeout may wait for ever, when another thread takes the item.
        self._waiting: queue.Queue[_Plan] = queue.Queue()
        self._actors = actors
        self._accepted: list[str] = []
        self._unfinished = len(self._all_plans) + len(actors)
        self._in_flight = 0
        self._lock = threading.Lock()
        self.finished = threading.Event()
        self._pool = ThreadPoolExecutor(12 + watchers + len(actors))
        self._work: list[Any] = []
        self._failure: BaseException | None = None

    # --- from the outside ---

    @property
    def requests(self) -> list[job_service_pb2.SubmitJobRequest]:
        """What the jobs are submitted with, for somebody else who does it."""
        return [plan.request for plan in self._plans]

    def start(self) -> None:
        """Begin. `finished` tells when all jobs are."""
        parts = [self._plans[number::4] for number in range(4)]
        self._work = [self._pool.submit(self._submit, part) for part in parts]
        self._work += [self._pool.submit(self._drive) for _ in range(8)]
        self._work += [self._pool.submit(self._watch, number) for number in range(self._watchers)]
        self._work += [self._pool.submit(self._act, actor) for actor in self._actors]
        for work in self._work:
            work.add_done_callback(self._stop_at_an_error)

    def run(self) -> History:
        """From the beginning to the end."""
        self.start()
        return self.end()

    def end(self) -> History:
        """Wait for all jobs and clients, read all logs, and give everything that was seen. Raises what a client
        raised."""
        try:
            assert self.finished.wait(JOBS_PATIENCE_SECONDS), f"{self._unfinished} jobs and actors are not at their end"
            self._wait_for_clients()
            for plan in self._all_plans:
                self._record(plan)
            for actor in self._actors:
                self.history.jobs.update(actor.records(self._recorder))
        finally:
            self.give_up()
            self._pool.shutdown()
            if self._auditor is not None:
                self._auditor.close()
        return self.history

    def _record(self, plan: _Plan) -> None:
        try:
            self.history.jobs[plan.job_id] = self._recorder.record(plan.job_id, plan.folder, plan.expected)
        except grpc.RpcError as error:
            # Of a job that was accepted and is gone the checkers tell.
            if ended_with(error)[1] != "JOB_NOT_FOUND":
                raise

    def _wait_for_clients(self) -> None:
        patience = self._recorder.patience_seconds
        _, stuck = futures.wait(self._work, timeout=patience, return_when=futures.FIRST_EXCEPTION)
        if self._failure is not None:
            raise self._failure
        assert not stuck, f"{len(stuck)} clients did not come to their end"

    def _stop_at_an_error(self, work: Any) -> None:
        """The first failure is the reason: the others only fail because it takes their channel from them."""
        with self._lock:
            if self._failure is not None or (failure := work.exception()) is None:
                return
            self._failure = failure
        self.give_up()

    def give_up(self) -> None:
        """Whoever still waits for a server or a job waits no more."""
        self.finished.set()
        self._recorder.close()

    @property
    def unfinished(self) -> int:
        """How many jobs and actors are not at their end."""
        return self._unfinished

    @property
    def in_flight(self) -> int:
        """How many jobs were accepted, and are not at their end."""
        return self._in_flight

    # --- what is done with jobs ---

    def _plan(self, job_id: str, parent: Path) -> _Plan:
        plan = self._plan_alone(job_id, parent, self._rng.choice(list(self._outcomes)), self._outcomes)
        if self._rng.random() < self._followed:
            # When it is cancelled, what it leaves on the thread is another each time.
            plan.cancel = None
            plan.request.thread_id = f"thread-of-{job_id}"
            plan.follower = self._plan_alone(f"{job_id}-second", parent, plan.seed, self._followers)
            plan.follower.request.thread_id = plan.request.thread_id
        return plan

    def _plan_alone(self, job_id: str, parent: Path, seed: int, outcomes: Mapping[int, Outcome]) -> _Plan:
        folder = parent / job_id
        folder.mkdir(parents=True)
        request = job_service_pb2.SubmitJobRequest(
            workflow=f"random_{seed}",
            job_id=job_id,
            request_id=f"submit-{job_id}",
            input=job_pb2.Payload(json_text=json.dumps(random_graphs.start(folder))),
            step_limit=random_graphs.STEP_LIMIT,
            interrupt_before=self._breakpoints(seed),
            concurrency_key=KEY,
            labels=self._labels,
        )
        if self._rng.random() < self._scheduled:
            request.scheduled_time.FromNanoseconds(time.time_ns() + self._rng.randrange(3 * 10**9))
        request.retry_policy.max_attempts = _DOOMED_ATTEMPTS if random_graphs.is_doomed(seed) else 100
        request.retry_policy.initial_backoff.FromMilliseconds(10)
        request.retry_policy.max_backoff.FromMilliseconds(20)
        resume_cancelled = self._rng.random() < 0.5
        return _Plan(job_id, seed, folder, request, self._cancel_request(job_id), resume_cancelled, outcomes[seed])

    def _cancel_request(self, job_id: str) -> job_service_pb2.CancelRequest | None:
        if self._rng.random() >= self._cancelled:
            return None
        request = job_service_pb2.CancelRequest(job_id=job_id, reason="enough")
        request.grace_period.FromMilliseconds(self._rng.choice((0, 10, 100)))
        return request

    def _breakpoints(self, seed: int) -> list[str]:
        if self._rng.random() > 0.15:
            return []
        return [self._rng.choice(list(random_graphs.build(seed).nodes))]

    def _submit(self, plans: Sequence[_Plan]) -> None:
        for plan in plans:
            self._recorder.ask("SubmitJob", plan.request)
            with self._lock:
                self._in_flight += 1
            self._accepted.append(plan.job_id)
            self._waiting.put(plan)

    def _drive(self) -> None:
        while not self.finished.is_set():
            try:
                plan = self._waiting.get(timeout=0.1)
            except queue.Empty:
                continue
            if not self._rests(plan):
                self._waiting.put(plan)
                continue
            with self._lock:
                self._in_flight -= 1
            if plan.follower is not None:
                self._submit([plan.follower])
            self._one_less()

    def _one_less(self) -> None:
        with self._lock:
            self._unfinished -= 1
            if not self._unfinished:
                self.finished.set()

    def _rests(self, plan: _Plan) -> bool:
        """Do what is next with a job. Whether nothing is."""
        job = self._recorder.status(plan.job_id, wait_milliseconds=100)
        if job.state == INTERRUPTED:
            self._resume(plan, job)
            return False
        if job.state == CANCELLED and plan.resume_cancelled:
            plan.resume_cancelled = False
            self._resume(plan, job)
            return False
        if plan.cancel is not None and job.state not in FINISHED:
            self._cancel(plan.cancel)
            plan.cancel = None
            return False
        return job.state in FINISHED

    def _resume(self, plan: _Plan, job: job_pb2.Job) -> None:
        plan.resumes += 1
        request = job_service_pb2.ResumeRequest(
            job_id=plan.job_id, request_id=f"resume-{plan.job_id}-{plan.resumes}", etag=job.etag
        )
        for question in job.interrupts if job.state == INTERRUPTED else ():
            asked = json.loads(question.value.json_text)["question"]
            request.answers[question.interrupt_id].json_text = json.dumps(random_graphs.answer_to(asked))
        self._recorder.ask("Resume", request)

    def _cancel(self, request: job_service_pb2.CancelRequest) -> None:
        try:
            self._recorder.ask("Cancel", request)
        except grpc.RpcError as error:
            # It may have ended meanwhile.
            if ended_with(error)[1] != "JOB_STATE_CONFLICT":
                raise

    def _act(self, actor: Actor) -> None:
        actor.act(self._recorder, self._accepted.append)
        self._one_less()

    # --- what is watched, and what is left in the end ---

    def _watch(self, number: int) -> None:
        """Watch one job after the other; when all jobs are finished, some that are over."""
        rng = random.Random(f"{number}-{self._rng.random()}")
        watcher = Watcher(f"w{number}", self._recorder, self._auditor, rng, lambda: self._failure is not None)
        late, seen = 2, set()
        while late:
            late -= self.finished.is_set()
            jobs = [job_id for job_id in self._accepted if job_id not in seen]
            if not jobs:
                self.finished.wait(0.01)
                continue
            # New ones more often than old ones: they are the ones that run.
            job_id = rng.choice(jobs[-20:] if rng.random() < 0.7 else jobs)
            seen.add(job_id)
            watcher.watch(job_id, rng.choice((0, 0, rng.randint(0, self._recorder.status(job_id).latest_sequence))))
