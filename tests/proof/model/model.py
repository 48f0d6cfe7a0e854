"""A model of the contract: jobs in memory, and what each method does to them and answers.

Written from the contract's comments and docs/semantics.md. It says what a request comes to, not how. Whatever the
server chooses (etags, times, ids of checkpoints and questions) it learns, and holds the server to it from then on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from tests.proof.histories.states import (
    CANCELLED,
    CANCELLING,
    FINISHED,
    INTERRUPTED,
    OWNED,
    PENDING,
    RESUMABLE,
    RUNNING,
)
from tests.proof.model.jobs import Job, Point, Start
from tests.proof.model.refusals import (
    Refused,
    answers_to,
    check_contents,
    check_etag,
    check_form,
    check_token,
    conflict,
    point_of,
)
from tests.proof.model.requests import (
    contents,
    value_of,
)
from tests.proof.model.runs import Runner
from tests.proof.model.workflows import PLANS

# A job that is scheduled behind this second is not seen to start; a retry with a longer backoff neither.
FAR_FUTURE = 4_000_000_000
LONG_SECONDS = 100


@dataclass(frozen=True, slots=True)
class Accepted:
    """How a request that changes a job is answered."""

    job: Job
    state: int
    """As the answer has it: the job may be further by then."""
    deduplicated: bool = False


class Model:
    """All jobs of a server."""

    def __init__(
        self, *, unfinished_limit: int, is_open: Callable[[str], bool], limit_name: str = "unfinished_jobs", alone: bool
    ) -> None:
        """`is_open`: whether a gate is. `limit_name`: of the limit of unfinished jobs that is reached first. `alone`:
        there are no jobs of others, with whom these share their places."""
        self._ready, self._alone = count(), alone
        self._limit_name = limit_name
        self.jobs: dict[str, Job] = {}
        self.threads: dict[str, list[Point]] = {}
        self._unfinished_limit = unfinished_limit
        self.runner = Runner(self.threads, is_open)

    # --- what goes on by itself ---

    def settle(self) -> None:
        """Let all jobs run until each of them waits for somebody."""
        for job in list(self.jobs.values()):
            self.runner.go_on(job)
            if job.state == CANCELLING and not job.grace:
                job.cancelled()
        while (job := self._next()) is not None:
            self.runner.claim(job)
            if job.state == PENDING:
                # It waits for its next attempt, and others have their turn meanwhile.
                self._queue(job)

    def held_back(self) -> list[Job]:
        """The jobs that wait for nothing but others like them."""
        waiting = [job for job in self.jobs.values() if job.state == PENDING and not _waits_for_time(job)]
        return [job for job in waiting if not self._has_place(job)]

    def _next(self) -> Job | None:
        """Whose turn it is."""
        waiting = [job for job in self.jobs.values() if job.state == PENDING and not _waits_for_time(job)]
        may = [job for job in waiting if self._has_place(job)]
        return min(may, key=lambda job: (job.retries_later, -job.request.priority, job.ready), default=None)

    def _has_place(self, job: Job) -> bool:
        running = [other for other in self.jobs.values() if other.state in OWNED and other.workflow == job.workflow]
        alike = [other for other in running if other.key == job.key]
        most, most_alike = job.plan.jobs, job.plan.per_key
        full = self._alone and most is not None and len(running) >= most
        return not full and (not job.key or most_alike is None or len(alike) < most_alike)

    def _queue(self, job: Job) -> None:
        """A job takes its place behind all that wait."""
        job.ready = next(self._ready)

    def restart(self) -> None:
        """The server is killed, and started again. What ran keeps its turn."""
        for job in self.jobs.values():
            if job.state == RUNNING:
                job.move(PENDING, keeps_error=True)
            elif job.state == CANCELLING:
                job.cancelled()

    # --- submit ---

    def submit(self, request: Any) -> Accepted:
        """SubmitJob. `job_id` must be there: the caller puts in what the server made."""
        check_form("SubmitJob", request)
        known = next(
            (j for j in self.jobs.values() if request.request_id and j.request.request_id == request.request_id), None
        )
        if known is not None:
            check_contents(known.submitted, request)
            return Accepted(known, known.state, deduplicated=True)
        if request.workflow not in PLANS:
            raise Refused("NOT_FOUND", "WORKFLOW_NOT_FOUND", workflow=request.workflow)
        if request.job_id in self.jobs:
            raise Refused("ALREADY_EXISTS", "JOB_ALREADY_EXISTS", job_id=request.job_id)
        fork = self._fork(request) if request.HasField("fork_from") else None
        self._check_thread_free(request.thread_id)
        self._check_room()
        return self._store(request, fork)

    def _check_room(self) -> None:
        if sum(job.state not in FINISHED for job in self.jobs.values()) >= self._unfinished_limit:
            raise Refused("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED", limit=self._unfinished_limit, name=self._limit_name)

    def _store(self, request: Any, fork: Point | None) -> Accepted:
        self.runner.submitted += 1
        job = Job(job_id=request.job_id, thread_id=request.thread_id, request=request, order=self.runner.submitted)
        job.submitted = contents(request)
        job.key = request.concurrency_key or ("" if fork is None else self._job(request.fork_from.job_id).key)
        self._queue(job)
        job.move(PENDING)
        self.jobs[job.job_id] = job
        if fork is not None:
            job.passed = fork.copy(job.job_id, job.order)
            job.points.append(job.passed)
        return Accepted(job, PENDING)

    def learn_ids(self, job: Job, job_id: str, thread_id: str) -> None:
        """What the server chose for a job that was just submitted."""
        self.jobs[job_id] = self.jobs.pop(job.job_id)
        taken = any(other.thread_id == thread_id for other in self.jobs.values() if other is not job)
        assert job.request.thread_id == thread_id or not (job.request.thread_id or taken), thread_id
        job.job_id, job.thread_id = job_id, thread_id
        for point in job.points:
            point.writer = job_id
        self.threads.setdefault(thread_id, []).extend(job.points)

    def _fork(self, request: Any) -> Point:
        source = self._job(request.fork_from.job_id)
        if source.workflow != request.workflow:
            raise Refused("INVALID_ARGUMENT", "FIELD_INVALID", fields=frozenset({"fork_from.job_id"}))
        return point_of(source, request.fork_from.checkpoint_id)

    def _check_thread_free(self, thread_id: str) -> None:
        for job in self.jobs.values():
            if thread_id and job.thread_id == thread_id and job.state not in FINISHED:
                raise Refused("FAILED_PRECONDITION", "THREAD_BUSY", thread_id=thread_id, job_id=job.job_id)

    # --- cancel ---

    def cancel(self, request: Any) -> Accepted:
        """Cancel."""
        check_form("Cancel", request)
        job = self._job(request.job_id)
        if job.state == CANCELLED:
            return Accepted(job, CANCELLED)
        check_etag(job, request.etag)
        if job.state in FINISHED:
            raise conflict(job, "Cancel")
        grace = request.grace_period.ToSeconds() if request.HasField("grace_period") else 10
        nanos = request.grace_period.nanos
        if job.state != CANCELLING:
            job.cancel_reason = request.reason
        if job.state == RUNNING:
            job.move(CANCELLING)
            job.grace = True
        if job.state != CANCELLING or not (grace or nanos):
            job.cancelled()
        else:
            job.grace = job.grace and grace >= LONG_SECONDS
        return Accepted(job, job.state)

    # --- resume ---

    def resume(self, request: Any) -> Accepted:
        """Resume."""
        check_form("Resume", request)
        job = self._job(request.job_id)
        known = job.resumes.get(request.request_id)
        if known is not None:
            check_contents(known, request)
            return Accepted(job, job.state, deduplicated=True)
        check_etag(job, request.etag)
        if job.state not in RESUMABLE:
            raise conflict(job, "Resume")
        self._check_newest_of_thread(job)
        point = point_of(job, request.checkpoint_id) if request.checkpoint_id else None
        answers = answers_to(job, request)
        if job.state in FINISHED:
            self._check_room()
        self._continue(job, request, point, answers)
        return Accepted(job, PENDING)

    def _continue(self, job: Job, request: Any, point: Point | None, answers: dict[str, Any]) -> None:
        if request.request_id:
            job.resumes[request.request_id] = contents(request)
        update = (value_of(request.state_update),) if request.HasField("state_update") else None
        if point is not None or update is not None:
            job.start = Start(job.state, point, update, request.state_update_step)
        for question in job.questions:
            if question.interrupt_id in answers:
                question.answered, question.answer = True, answers[question.interrupt_id]
        if job.state == INTERRUPTED:
            job.passed = job.point
        job.failed_attempts, job.cancel_reason = 0, ""
        self._queue(job)
        job.move(PENDING)

    def _check_newest_of_thread(self, job: Job) -> None:
        newer = [j for j in self.jobs.values() if j.thread_id == job.thread_id and j.order > job.order]
        if newer or self._was_continued(job):
            by = newer[-1].job_id if newer else ""
            raise Refused("FAILED_PRECONDITION", "THREAD_ADVANCED", thread_id=job.thread_id, job_id=by)

    def _was_continued(self, job: Job) -> bool:
        """Whether a job that is deleted by now went on with a job's thread."""
        thread = self.threads[job.thread_id]
        if job.point is not None:
            return any(not point.writer for point in thread[thread.index(job.point) :])
        return any(not point.writer and point.submitted > job.order for point in thread)

    # --- deleting ---

    def delete(self, request: Any) -> None:
        """DeleteJob."""
        check_form("DeleteJob", request)
        if request.job_id not in self.jobs and request.allow_missing:
            return
        job = self._job(request.job_id)
        check_etag(job, request.etag)
        if job.state not in FINISHED:
            raise conflict(job, "DeleteJob")
        self._remove(job)

    def prune(self, request: Any) -> tuple[int, int]:
        """PruneJobs: how many jobs and how many checkpoints of the workflows themselves go."""
        check_form("PruneJobs", request)
        if request.finished_for.seconds:
            return 0, 0
        chosen = [job for job in self.listed(request.filter) if job.state in FINISHED]
        if request.checkpoints_only:
            return 0, self._prune_checkpoints(chosen, dry_run=request.dry_run)
        left = set(self.jobs.values()) - set(chosen)
        threads = {job.thread_id for job in chosen} - {job.thread_id for job in left}
        checkpoints = sum(len(self.threads[thread_id]) for thread_id in threads)
        for job in () if request.dry_run else chosen:
            self._remove(job)
        return len(chosen), checkpoints

    def _prune_checkpoints(self, jobs: list[Job], *, dry_run: bool) -> int:
        old = [point for job in jobs for point in job.points[:-1]]
        for job in () if dry_run else jobs:
            thread = self.threads[job.thread_id]
            thread[:] = [point for point in thread if point not in job.points[:-1]]
            del job.points[:-1]
        return len(old)

    def _remove(self, job: Job) -> None:
        del self.jobs[job.job_id]
        for point in self.threads[job.thread_id]:
            point.writer = "" if point.writer == job.job_id else point.writer
        # What a thread has come to goes with the last job on it.
        if not any(other.thread_id == job.thread_id for other in self.jobs.values()):
            del self.threads[job.thread_id]

    # --- reading ---

    def get(self, request: Any) -> Job:
        """GetStatus."""
        check_form("GetStatus", request)
        return self._job(request.job_id)

    def watch(self, request: Any, *, latest_sequence: Callable[[Job], int]) -> Job:
        """WatchProgress. How many events there are is the server's."""
        check_form("WatchProgress", request)
        job = self._job(request.job_id)
        if request.after_sequence > (latest := latest_sequence(job)):
            raise Refused(
                "OUT_OF_RANGE",
                "SEQUENCE_OUT_OF_RANGE",
                job_id=job.job_id,
                oldest_sequence=1,
                latest_sequence=latest,
            )
        return job

    def list_jobs(self, request: Any, *, token_fits: bool) -> list[Job]:
        """ListJobs, all pages. `token_fits`: whether the request's token was made for it."""
        check_form("ListJobs", request)
        check_token(token_fits)
        return self.listed(request.filter)

    def list_checkpoints(self, request: Any, *, token_fits: bool) -> list[Point]:
        """ListCheckpoints, all pages: newest first."""
        check_form("ListCheckpoints", request)
        check_token(token_fits)
        return self._job(request.job_id).points[::-1]

    def list_workflows(self, request: Any, *, token_fits: bool) -> list[str]:
        """ListWorkflows, all pages: by name."""
        check_form("ListWorkflows", request)
        check_token(token_fits)
        return sorted(PLANS)

    def listed(self, job_filter: Any) -> list[Job]:
        """The jobs that match, newest first."""
        found = [job for job in self.jobs.values() if _matches(job, job_filter)]
        return sorted(found, key=lambda job: -job.order)

    def _job(self, job_id: str) -> Job:
        if job_id not in self.jobs:
            raise Refused("NOT_FOUND", "JOB_NOT_FOUND", job_id=job_id)
        return self.jobs[job_id]


# --- jobs ---


def _waits_for_time(job: Job) -> bool:
    scheduled = job.request.HasField("scheduled_time") and job.request.scheduled_time.seconds >= FAR_FUTURE
    later = job.retries_later and job.request.retry_policy.initial_backoff.seconds >= LONG_SECONDS
    return bool(scheduled or later)


def _matches(job: Job, job_filter: Any) -> bool:
    return (
        (not job_filter.states or job.state in job_filter.states)
        and job_filter.workflow in ("", job.workflow)
        and job_filter.thread_id in ("", job.thread_id)
        and job_filter.labels.items() <= job.request.labels.items()
        and _created_within(job, job_filter)
    )


def _created_within(job: Job, job_filter: Any) -> bool:
    created = job.created
    after = not job_filter.HasField("created_after") or created >= job_filter.created_after.ToNanoseconds()
    before = not job_filter.HasField("created_before") or created < job_filter.created_before.ToNanoseconds()
    return after and before
