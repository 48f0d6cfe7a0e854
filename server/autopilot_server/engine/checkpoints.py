"""LangGraph's checkpoint saver over our store: fenced by the run's token, committed in groups, telling what it saved.

The tables are those of langgraph-checkpoint-sqlite: a stock SqliteSaver reads them. The writing half goes through a
`CheckpointSink`, the run's recorder, so that a checkpoint or a step's writes and the events that report them are one
operation of the store.
"""

import json
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Protocol, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
)
from langgraph.errors import GraphBubbleUp

from autopilot_server.engine import private
from autopilot_server.jobs.errors import StorageUnavailableError
from autopilot_server.storage.store import CheckpointRow, Store, Write, WriteRow, WritesPut

# Key of our own entries in a root checkpoint's metadata; other savers' readers pass over it.
METADATA_KEY = "autopilot"


class CheckpointSink(Protocol):
    """Where a run's checkpoints and writes go."""

    def loaded(self, found: CheckpointTuple | None, checkpoint_ns: str) -> None:
        """A graph at this namespace begins, from this checkpoint."""
        ...

    def annotations(self, checkpoint: Checkpoint, metadata: CheckpointMetadata) -> dict[str, Any]:
        """What to keep in a root checkpoint's metadata."""
        ...

    def put_checkpoint(self, row: CheckpointRow, checkpoint: Checkpoint, metadata: CheckpointMetadata) -> Write[None]:
        """Store a checkpoint."""
        ...

    def put_writes(self, put: WritesPut, task_id: str) -> None:
        """Store a task's writes, now or with the checkpoint that follows at once."""
        ...

    def refuse_writes(self, task_id: str, error: Exception) -> None:
        """A task's writes cannot be serialized: the run ends."""
        ...

    def refuse_checkpoint(self, error: Exception) -> None:
        """A checkpoint cannot be serialized: the run ends."""
        ...

    def unreadable(self, error: StorageUnavailableError) -> None:
        """The database is away from a graph that begins: the run ends, and tells nothing more."""
        ...


class UnreadableError(StorageUnavailableError, GraphBubbleUp):
    """The database is away from a graph that begins inside a step. LangGraph takes it for nothing that the step did: it
    retries nothing and calls no error handler."""


class StoreReader(BaseCheckpointSaver[str]):
    """The reading half: enough for `get_state` and its history. Holds no state of its own, LangGraph copies it."""

    def __init__(self, store: Store, serde: Any) -> None:
        """Read from `store`, decode with `serde`."""
        super().__init__(serde=serde)
        self.store = store

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Read a checkpoint with its pending writes: the one that the config names, else the newest."""
        thread_id, checkpoint_ns = _place(config)
        row = self.store.checkpoint_get(thread_id, checkpoint_ns, get_checkpoint_id(config))
        return None if row is None else self._tuple(row)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As `get_tuple`; inline, because a point read costs less than a hop to a thread."""
        return self.get_tuple(config)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Read a thread's checkpoints, newest first."""
        if config is None:
            raise ValueError("a thread is needed: checkpoints of all threads are not listed")
        thread_id, checkpoint_ns = str(config["configurable"]["thread_id"]), config["configurable"].get("checkpoint_ns")
        rows = self.store.checkpoint_history(
            thread_id,
            checkpoint_ns,
            before=get_checkpoint_id(before) if before else None,
            limit=None if filter else limit,
        )
        wanted = get_checkpoint_id(config)
        found = (self._tuple(row) for row in rows if wanted in (None, row.checkpoint_id))
        matching = (t for t in found if not filter or filter.items() <= dict(t.metadata).items())
        for index, item in enumerate(matching):
            if limit is not None and index >= limit:
                return
            yield item

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """As `list`."""
        for item in self.list(config, filter=filter, before=before, limit=limit):
            yield item

    def get_next_version(self, current: str | None, channel: None) -> str:  # noqa: ARG002 - LangGraph's signature
        """The next version of a channel, in SqliteSaver's format: a counter, and a random part that tells forks
        apart."""
        counter = 0 if current is None else int(str(current).split(".", maxsplit=1)[0])
        return f"{counter + 1:032}.{random.random():016}"  # noqa: S311 - no secret

    def _tuple(self, row: CheckpointRow) -> CheckpointTuple:
        writes = self.store.writes_get(row.thread_id, row.checkpoint_ns, row.checkpoint_id)
        load = self.serde.loads_typed
        return CheckpointTuple(
            _config(row.thread_id, row.checkpoint_ns, row.checkpoint_id),
            load((row.type, row.checkpoint)),
            cast("CheckpointMetadata", json.loads(row.metadata)),
            _config(row.thread_id, row.checkpoint_ns, row.parent_checkpoint_id) if row.parent_checkpoint_id else None,
            [(write.task_id, write.channel, load((write.type, write.value))) for write in writes],
        )


class RunSaver(StoreReader):
    """The saver of one run."""

    def __init__(self, store: Store, serde: Any, sink: CheckpointSink) -> None:
        """Read from `store`, write through `sink`."""
        super().__init__(store, serde)
        self.sink = sink

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As StoreReader, and tells the sink."""
        try:
            found = super().get_tuple(config)
        except StorageUnavailableError as error:
            self.sink.unreadable(error)
            raise UnreadableError(error.message, retry_delay=error.retry_delay) from error
        checkpoint_ns = _place(config)[1]
        if found is not None and checkpoint_ns:
            private.begin_anew(config, found.metadata)
        self.sink.loaded(found, checkpoint_ns)
        return found

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,  # noqa: ARG002 - LangGraph's signature
    ) -> RunnableConfig:
        """Store a checkpoint from a graph that runs on a thread. Returns after the commit."""
        write, stored = self._put(config, checkpoint, metadata)
        write.result()
        return stored

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,  # noqa: ARG002 - LangGraph's signature
    ) -> RunnableConfig:
        """Store a checkpoint. Returns after the commit."""
        write, stored = self._put(config, checkpoint, metadata)
        await write
        return stored

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store a task's writes. Does not wait for the commit: whatever is put later is committed together with them or
        later, and a failed commit ends the run."""
        thread_id, checkpoint_ns = _place(config)
        try:
            rows = [
                WriteRow(
                    task_id=task_id,
                    task_path=task_path,
                    idx=WRITES_IDX_MAP.get(channel, index),
                    channel=channel,
                    type=kind,
                    value=data,
                )
                for index, (channel, value) in enumerate(writes)
                for kind, data in (self.serde.dumps_typed(value),)
            ]
        except Exception as error:
            # Whatever a value's own code raises while it is serialized.
            self.sink.refuse_writes(task_id, error)
            raise
        put = WritesPut(
            thread_id=thread_id,
            checkpoint_ns=checkpoint_ns,
            checkpoint_id=config["configurable"]["checkpoint_id"],
            rows=rows,
            replace=all(channel in WRITES_IDX_MAP for channel, _ in writes),
        )
        self.sink.put_writes(put, task_id)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """As `put_writes`."""
        self.put_writes(config, writes, task_id, task_path)

    def _put(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata
    ) -> tuple[Write[None], RunnableConfig]:
        thread_id, checkpoint_ns = _place(config)
        try:
            kind, data = self.serde.dumps_typed(checkpoint)
        except Exception as error:
            # As in put_writes.
            self.sink.refuse_checkpoint(error)
            raise
        notes = {} if checkpoint_ns else {METADATA_KEY: self.sink.annotations(checkpoint, metadata)}
        row = CheckpointRow(
            thread_id=thread_id,
            checkpoint_ns=checkpoint_ns,
            checkpoint_id=checkpoint["id"],
            parent_checkpoint_id=config["configurable"].get("checkpoint_id"),
            type=kind,
            checkpoint=data,
            # Only what LangGraph itself says: its own savers also copy `configurable`, secrets of the context included.
            metadata=json.dumps({**metadata, **notes}, ensure_ascii=False).encode("utf-8", "replace"),
        )
        write = self.sink.put_checkpoint(row, checkpoint, metadata)
        return write, _config(thread_id, checkpoint_ns, checkpoint["id"])


def _place(config: RunnableConfig) -> tuple[str, str]:
    configurable = config["configurable"]
    return str(configurable["thread_id"]), configurable.get("checkpoint_ns") or ""


def _config(thread_id: str, checkpoint_ns: str, checkpoint_id: str | None) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": checkpoint_ns, "checkpoint_id": checkpoint_id}}
