"""Carrying out a Resume's start point: going back to an earlier checkpoint, editing the state, or both."""

import json
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.errors import InvalidUpdateError

from autopilot_server.engine import private
from autopilot_server.engine.checkpoints import METADATA_KEY
from autopilot_server.engine.recorder import Recorder
from autopilot_server.jobs.errors import SealBrokenError, StaleRunError, StorageUnavailableError
from autopilot_server.jobs.job import StartPoint


class UpdateRefusedError(Exception):
    """The state update of a Resume does not fit the graph. The message is for the client."""


async def apply_start_point(
    graph: private.Pregel[Any, Any, Any, Any], config: RunnableConfig, start: StartPoint, recorder: Recorder
) -> None:
    """Write LangGraph's update or fork checkpoint, from which the run then goes on.

    The store clears the start point with the checkpoint. Raises UpdateRefusedError; nothing is written then.
    """
    if start.checkpoint_id:
        config = {**config, "configurable": {**config["configurable"], "checkpoint_id": start.checkpoint_id}}
    found = await graph.aget_state(config)
    if found.metadata is None:
        raise UpdateRefusedError("the job has no checkpoint yet: Resume it without a checkpoint or an update")
    completed = recorder.completed_steps
    recorder.rewind(_completed_steps(found.metadata))
    try:
        if start.state_update is None:
            await graph.aupdate_state(config, None, as_node="__copy__")
        else:
            values = json.loads(start.state_update)
            await graph.aupdate_state(config, values, as_node=start.state_update_step or None)
    except (StaleRunError, StorageUnavailableError, SealBrokenError):
        raise
    except Exception as error:
        # The graph, or a reducer, a validator or a conditional edge of the workflow refused the values in its own way.
        recorder.discard_edit(completed)
        raise UpdateRefusedError(_reason(error)) from error


def _completed_steps(metadata: Any) -> int:
    notes = metadata.get(METADATA_KEY) or {}
    return int(notes.get("completed_steps", 0))


def _reason(error: Exception) -> str:
    if isinstance(error, InvalidUpdateError):
        # LangGraph appends a link to its troubleshooting pages.
        return str(error).partition("\nFor troubleshooting")[0]
    return f"{type(error).__name__}: {error}"[:4096]
