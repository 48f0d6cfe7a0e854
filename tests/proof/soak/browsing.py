"""Lists jobs and checkpoints while others run, prune and delete, and looks whether the lists are right."""

import random
import threading
from collections.abc import Callable, Sequence
from itertools import pairwise

import grpc
from autopilot.v1 import job_pb2, job_service_pb2

from tests.proof.histories.recording import Recorder, ended_with

Complain = Callable[[str, str], None]

_STATES = [state for state in job_pb2.JobState.values() if state]
_PAUSE_SECONDS = 0.2


def browse(recorder: Recorder, rng: random.Random, batch: str, over: threading.Event, complain: Complain) -> None:
    """List what there is, one way after the other, until it is `over`."""
    while not over.wait(_PAUSE_SECONDS):
        job_filter = _some_filter(rng, batch)
        jobs = list_all(recorder, job_filter, page_size=rng.choice((1, 7, 50, 500)))
        for what in _wrong(jobs, job_filter):
            complain("lists_are_right", what)
        if jobs:
            _list_checkpoints(recorder, rng.choice(jobs).job_id, complain)


def _some_filter(rng: random.Random, batch: str) -> job_service_pb2.JobFilter:
    job_filter = job_service_pb2.JobFilter()
    if rng.random() < 0.5:
        job_filter.states.extend(rng.sample(_STATES, rng.randint(1, 3)))
    if rng.random() < 0.5:
        job_filter.labels["batch"] = batch
    return job_filter


def list_all(recorder: Recorder, job_filter: job_service_pb2.JobFilter, *, page_size: int = 500) -> list[job_pb2.Job]:
    """All pages."""
    jobs: list[job_pb2.Job] = []
    request = job_service_pb2.ListJobsRequest(filter=job_filter, page_size=page_size)
    while True:
        page = recorder.ask("ListJobs", request)
        jobs += page.jobs
        if not page.next_page_token:
            return jobs
        request.page_token = page.next_page_token


def _wrong(jobs: Sequence[job_pb2.Job], job_filter: job_service_pb2.JobFilter) -> list[str]:
    found = []
    for one, other in pairwise(jobs):
        if one.create_time.ToNanoseconds() < other.create_time.ToNanoseconds():
            found.append(f"job {other.job_id} is newer than {one.job_id} and comes after it")
    if len({job.job_id for job in jobs}) < len(jobs):
        found.append(f"a list of {len(jobs)} jobs holds some of them twice")
    for job in jobs:
        if job_filter.states and job.state not in job_filter.states:
            found.append(f"job {job.job_id} is {job.state}, asked for were {list(job_filter.states)}")
        if any(job.labels.get(key) != value for key, value in job_filter.labels.items()):
            found.append(f"job {job.job_id} has not the labels that were asked for")
    return found


def _list_checkpoints(recorder: Recorder, job_id: str, complain: Complain) -> None:
    try:
        checkpoints = recorder.ask("ListCheckpoints", job_service_pb2.ListCheckpointsRequest(job_id=job_id)).checkpoints
    except grpc.RpcError as error:
        # Another one may have deleted it.
        if ended_with(error)[1] != "JOB_NOT_FOUND":
            raise
        return
    ids = [checkpoint.checkpoint_id for checkpoint in checkpoints]
    if ids != sorted(set(ids), reverse=True):
        complain("lists_are_right", f"the checkpoints of job {job_id} are not newest first: {ids}")
