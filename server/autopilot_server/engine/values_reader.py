"""The values of stored checkpoints, for whoever lists them."""

import asyncio
from collections.abc import Mapping, Sequence

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.serde.base import SerializerProtocol

from autopilot_server.engine import private
from autopilot_server.engine.checkpoints import StoreReader
from autopilot_server.engine.values import NotJsonError, to_json, type_name
from autopilot_server.engine.workflows import Registry
from autopilot_server.jobs.job import Job, Json
from autopilot_server.runner import no_values
from autopilot_server.storage.store import Store


class ValuesReader:
    """Reads the states that a job's checkpoints hold, as its workflow sees them."""

    def __init__(self, *, store: Store, registry: Registry, serde: SerializerProtocol) -> None:
        """Read from `store`, with the graphs of `registry`."""
        self._registry = registry
        self._saver = StoreReader(store, serde)

    async def read(self, job: Job, checkpoint_ids: Sequence[str]) -> Mapping[str, Json]:
        """See Runner.read_values."""
        if job.spec.workflow not in self._registry.revisions:
            raise no_values(job.spec.workflow)
        # On a thread of its own: decoding large states must not hold up the server's loop.
        return await asyncio.to_thread(lambda: asyncio.run(self._read(job, checkpoint_ids)))

    async def _read(self, job: Job, checkpoint_ids: Sequence[str]) -> Mapping[str, Json]:
        place = {"thread_id": job.spec.thread_id, private.CHECKPOINTER: self._saver}
        config = RunnableConfig(configurable=place)
        values: dict[str, Json] = {}
        async with self._registry.get(job.spec.workflow).open(config) as graph:
            for checkpoint_id in checkpoint_ids:
                at = RunnableConfig(configurable={**place, "checkpoint_id": checkpoint_id})
                state = await graph.aget_state(at)
                if state.metadata is None:
                    # Deleted since it was listed; LangGraph makes an empty state of that.
                    continue
                try:
                    values[checkpoint_id] = to_json(state.values)
                except NotJsonError as error:
                    values[checkpoint_id] = to_json({"__type__": type_name(state.values), "error": str(error)})
        return values
