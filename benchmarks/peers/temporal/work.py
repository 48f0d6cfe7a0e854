"""Temporal: a workflow of five activities."""

from datetime import timedelta

from temporalio import activity, workflow

with workflow.unsafe.imports_passed_through():
    from benchmarks.peers import steps

# As in Temporal's own first examples.
ACTIVITY_LIMIT = timedelta(seconds=10)


@activity.defn
async def nothing() -> None:
    """A step of W."""


@activity.defn
async def slow_step(job: str, number: int) -> None:
    """A step of the kills."""
    await steps.slow_async(job, number)


@workflow.defn(name="five")
class Five:
    """W."""

    @workflow.run
    async def run(self, job: str) -> None:  # noqa: ARG002
        """Five steps that do nothing."""
        for _ in range(steps.STEPS):
            await workflow.execute_activity(nothing, start_to_close_timeout=ACTIVITY_LIMIT)


@workflow.defn(name="slow")
class Slow:
    """The work of the kills."""

    @workflow.run
    async def run(self, job: str) -> None:
        """Five slow steps."""
        for number in range(1, steps.STEPS + 1):
            await workflow.execute_activity(slow_step, args=[job, number], start_to_close_timeout=ACTIVITY_LIMIT)
