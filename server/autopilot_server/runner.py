"""Who runs the jobs of a server, as the rest of it sees it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from autopilot_server.jobs.errors import WorkflowNotFoundError
from autopilot_server.jobs.job import Job, Json, Workflow
from autopilot_server.storage.store import Store


class Runner(Protocol):
    """Runs jobs: in this process, in others, or not at all."""

    @property
    def workflows(self) -> Sequence[Workflow] | None:
        """What it can run. None: it runs nothing, and what others have published stays."""
        ...

    async def start(self, store: Store) -> None:
        """Begin to run the store's jobs."""
        ...

    async def stop(self, drain_seconds: float) -> None:
        """Claim nothing any more, let the jobs reach their next checkpoints, and give them back."""
        ...

    def close(self) -> None:
        """Let go of what is open. Blocks."""
        ...

    async def read_values(self, job: Job, checkpoint_ids: Sequence[str]) -> Mapping[str, Json]:
        """The values of a job's checkpoints by their ids, as JSON text; none of one that is not there any more.

        WorkflowNotFoundError when the job's workflow is not here: without the graph nobody knows which of a
        checkpoint's channels are state. StorageUnavailableError.
        """
        ...

    @property
    def running_jobs(self) -> int:
        """Jobs that run now."""
        ...

    @property
    def abandoned_threads(self) -> int:
        """Threads that runs which are over still hold."""
        ...


def no_values(workflow: str) -> WorkflowNotFoundError:
    """The error of `read_values` for a workflow that is not here."""
    return WorkflowNotFoundError(
        f"This server has no workflow {workflow!r} and cannot read its checkpoints' values; list them with VIEW_BASIC.",
        workflow=workflow,
    )


class Nobody:
    """Runs no jobs: the server only takes them, and tells of them."""

    workflows: Sequence[Workflow] | None = None
    running_jobs = 0
    abandoned_threads = 0

    async def start(self, store: Store) -> None:
        """Nothing."""

    async def stop(self, drain_seconds: float) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""

    async def read_values(self, job: Job, checkpoint_ids: Sequence[str]) -> Mapping[str, Json]:  # noqa: ARG002 - see Runner
        """Nothing can be read here."""
        raise no_values(job.spec.workflow)
