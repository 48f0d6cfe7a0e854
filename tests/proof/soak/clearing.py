"""Deletes what was checked, in one of the ways that there are, so that the database comes to a steady state."""

import random
from collections.abc import Callable, Iterable, Sequence

import grpc
from autopilot.v1 import job_service_pb2

from tests.proof.histories.recording import Recorder, ended_with
from tests.proof.soak.browsing import list_all

Complain = Callable[[str, str], None]


def clear(recorder: Recorder, rng: random.Random, batch: str, job_ids: Sequence[str], complain: Complain) -> None:
    """Delete a batch's jobs."""
    way = rng.choice((_one_by_one, _by_filter, _checkpoints_first))
    way(recorder, batch, rng.sample(job_ids, len(job_ids)), complain)
    if jobs := list_all(recorder, _of(batch)):
        complain("deleted_is_gone", f"batch {batch} was deleted, and {len(jobs)} of its jobs are listed")
    for job_id in rng.sample(job_ids, min(3, len(job_ids))):
        if _is_found(recorder, job_id):
            complain("deleted_is_gone", f"job {job_id} was deleted, and is found")


def delete(recorder: Recorder, job_ids: Iterable[str]) -> None:
    """Delete jobs one by one."""
    for job_id in job_ids:
        recorder.ask("DeleteJob", job_service_pb2.DeleteJobRequest(job_id=job_id, allow_missing=True))


def _one_by_one(recorder: Recorder, _batch: str, job_ids: Sequence[str], _complain: Complain) -> None:
    delete(recorder, job_ids)


def _by_filter(recorder: Recorder, batch: str, job_ids: Sequence[str], complain: Complain) -> None:
    counted = recorder.ask("PruneJobs", _prune(batch, dry_run=True)).deleted_jobs
    if counted != len(job_ids):
        complain("lists_are_right", f"batch {batch} has {len(job_ids)} jobs, a dry run would prune {counted}")
    # How many it deletes cannot be told: a server that is killed has deleted some of them.
    recorder.ask("PruneJobs", _prune(batch))


def _checkpoints_first(recorder: Recorder, batch: str, job_ids: Sequence[str], complain: Complain) -> None:
    recorder.ask("PruneJobs", _prune(batch, checkpoints_only=True))
    for job_id in job_ids:
        left = recorder.ask("ListCheckpoints", job_service_pb2.ListCheckpointsRequest(job_id=job_id)).checkpoints
        newest = recorder.status(job_id).checkpoint_id
        if [checkpoint.checkpoint_id for checkpoint in left] != [newest] * bool(newest):
            complain("deleted_is_gone", f"job {job_id} has {len(left)} checkpoints when all but the newest are pruned")
    delete(recorder, job_ids)


def _prune(batch: str, *, dry_run: bool = False, checkpoints_only: bool = False) -> job_service_pb2.PruneJobsRequest:
    request = job_service_pb2.PruneJobsRequest(filter=_of(batch), dry_run=dry_run, checkpoints_only=checkpoints_only)
    request.finished_for.FromSeconds(0)
    return request


def _of(batch: str) -> job_service_pb2.JobFilter:
    return job_service_pb2.JobFilter(labels={"batch": batch})


def _is_found(recorder: Recorder, job_id: str) -> bool:
    try:
        recorder.status(job_id)
    except grpc.RpcError as error:
        if ended_with(error)[1] != "JOB_NOT_FOUND":
            raise
        return False
    return True


def clear_all(recorder: Recorder, complain: Complain) -> None:
    """Delete whatever is there; everything is finished."""
    request = job_service_pb2.PruneJobsRequest()
    request.finished_for.FromSeconds(0)
    recorder.ask("PruneJobs", request)
    for job in list_all(recorder, job_service_pb2.JobFilter()):
        complain("deleted_is_gone", f"job {job.job_id} is {job.state} after all finished jobs were pruned")
