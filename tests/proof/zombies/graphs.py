"""Workflows whose steps wait in the middle, and come back when their job may belong to somebody else. Then they do all
that a step can do, and say how it went.

A job's context names a folder. A run of a step makes the file STEP-holding-ATTEMPT and waits for STEP-back-ATTEMPT;
STEP-deeds-ATTEMPT is there when it has done its deeds, over-ATTEMPT when the run has let go of the graph.
"""

import asyncio
import operator
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.config import get_stream_writer
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict

# What a step says that nobody may ever hear.
VOICE = "a voice from the grave"


class State(TypedDict, total=False):
    trail: Annotated[list[str], operator.add]


class BroughtBackError(Exception):
    """Raised by steps that come back and are told to raise."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run of a step leaves its files."""

    folder: Path
    step: str
    attempt: int

    @classmethod
    def of(cls, step: str, config: RunnableConfig) -> "Place":
        given = config["configurable"]
        return cls(Path(given["folder"]), step, given["attempt"])

    def file(self, what: str) -> Path:
        return self.folder / f"{self.step}-{what}-{self.attempt}"

    def has(self, wish: str) -> bool:
        """Whether the test wants this of the attempt: a file WISH-ATTEMPT."""
        return (self.folder / f"{wish}-{self.attempt}").exists()


def _voice() -> GenericFakeChatModel:
    return GenericFakeChatModel(messages=iter([AIMessage(VOICE, id=VOICE)]))


def _call_subgraph(state: State) -> State:
    return {"trail": [VOICE]}


_child = StateGraph(State).add_node("inner", _call_subgraph).add_edge(START, "inner").compile()
_plain = StateGraph(State).add_node("before", _call_subgraph).add_edge(START, "before").compile()


def _root(config: RunnableConfig, checkpoint_id: str = "") -> RunnableConfig:
    """The job's thread, with the run's own saver."""
    given = config["configurable"]
    place = {key: given[key] for key in ("thread_id", "__pregel_checkpointer")} | {"checkpoint_ns": ""}
    return {"configurable": place | ({"checkpoint_id": checkpoint_id} if checkpoint_id else {})}


def _newest(saver: Any, root: RunnableConfig) -> str:
    found = saver.get_tuple(root)
    # The job may be deleted.
    return empty_checkpoint()["id"] if found is None else found.checkpoint["id"]


def _report() -> None:
    get_stream_writer()({"progress": 0.9, "message": VOICE, "said": VOICE})


# --- the deeds ---


def _deeds(config: RunnableConfig, runtime: Runtime[Any], place: Place) -> Mapping[str, Callable[[], Any]]:
    saver, root = config["configurable"]["__pregel_checkpointer"], _root(config)
    found = _newest(saver, root)
    return {
        "report": _report,
        "tokens": lambda: _voice().invoke("?"),
        "subgraph": lambda: _child.invoke({"trail": []}),
        "update_state": lambda: _plain.update_state(root, {"trail": [VOICE]}, as_node="before"),
        "checkpoint": lambda: saver.put(root, empty_checkpoint(), {"source": "update", "step": 99}, {}),
        "writes": lambda: saver.put_writes(_root(config, found), [("trail", [VOICE])], VOICE),
        "memory": lambda: _memory(runtime).put((VOICE,), str(place.file("kept")), {"value": 1}),
    }


def _async_deeds(
    config: RunnableConfig, runtime: Runtime[Any], place: Place
) -> Mapping[str, Callable[[], Awaitable[Any]]]:
    saver, root = config["configurable"]["__pregel_checkpointer"], _root(config)
    found = _newest(saver, root)

    async def report() -> None:
        _report()

    return {
        "report": report,
        "tokens": lambda: _voice().ainvoke("?"),
        "subgraph": lambda: _child.ainvoke({"trail": []}),
        "update_state": lambda: _plain.aupdate_state(root, {"trail": [VOICE]}, as_node="before"),
        "checkpoint": lambda: saver.aput(root, empty_checkpoint(), {"source": "update", "step": 99}, {}),
        "writes": lambda: saver.aput_writes(_root(config, found), [("trail", [VOICE])], VOICE),
        "memory": lambda: _memory(runtime).aput((VOICE,), str(place.file("kept")), {"value": 1}),
    }


def _memory(runtime: Runtime[Any]) -> Any:
    assert runtime.store is not None
    return runtime.store


def _outcome(act: Callable[[], Any]) -> str:
    """Do a deed: "done", or the name of the error that it met."""
    try:
        act()
    except Exception as error:
        return type(error).__name__
    return "done"


async def _async_outcome(act: Callable[[], Awaitable[Any]]) -> str:
    """As `_outcome`; it is not to be cancelled."""
    while True:
        try:
            await act()
        except asyncio.CancelledError:
            continue
        except Exception as error:
            return type(error).__name__
        return "done"


def _keep(place: Place, outcomes: Mapping[str, str]) -> None:
    part = place.file("part")
    part.write_text("".join(f"{deed} {outcome}\n" for deed, outcome in outcomes.items()))
    part.rename(place.file("deeds"))


def deeds_of(path: Path) -> dict[str, str]:
    """What a step did when it came back, and how each deed went."""
    return dict(line.split() for line in path.read_text().splitlines())


def _ending(place: Place) -> Any:
    """What the step is told to end with."""
    if place.has("raises"):
        raise BroughtBackError(VOICE)
    if place.has("asks at its end"):
        interrupt(VOICE)
    update = {"trail": [f"{place.step}-{place.attempt}"]}
    return Command(update=update, goto="after") if place.has("jumps") else update


# --- the steps ---


def _sync(step: str) -> Any:
    def hold(state: State, config: RunnableConfig, runtime: Runtime[Any]) -> Any:
        place = Place.of(step, config)
        if place.has("asks") and step == "hold":
            interrupt("may I?")
        place.file("holding").touch()
        while not place.file("back").exists():
            time.sleep(0.002)
        if place.has("acts"):
            deeds = _deeds(config, runtime, place)
            _keep(place, {deed: _outcome(act) for deed, act in deeds.items()})
        return _ending(place)

    return hold


def _stubborn(step: str) -> Any:
    async def hold(state: State, config: RunnableConfig, runtime: Runtime[Any]) -> Any:
        place = Place.of(step, config)
        if place.has("asks") and step == "hold":
            interrupt("may I?")
        place.file("holding").touch()
        while not place.file("back").exists():
            try:
                await asyncio.sleep(0.002)
            except asyncio.CancelledError:
                place.file("refused").touch()
        if place.has("acts"):
            deeds = _async_deeds(config, runtime, place)
            _keep(place, {deed: await _async_outcome(act) for deed, act in deeds.items()})
        return _ending(place)

    return hold


async def _before(state: State) -> State:
    return {"trail": ["before"]}


async def _quick(state: State) -> State:
    return {"trail": ["quick"]}


async def _after(state: State, config: RunnableConfig) -> State:
    place = Place.of("after", config)
    place.file("ran").touch()
    return {"trail": ["after"]}


Maker = Callable[[str], Any]


def _chain(make: Maker) -> StateGraph[Any]:
    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("before", _before).add_node("hold", make("hold"), destinations=("after",))
    builder.add_node("rest", make("rest")).add_node("after", _after)
    return (
        builder.add_edge(START, "before").add_edge("before", "hold").add_edge("hold", "rest").add_edge("rest", "after")
    )


def _beside(make: Maker) -> StateGraph[Any]:
    """The step that holds has a sibling that finishes at once, whose writes wait for it in the database."""
    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("before", _before).add_node("hold", make("hold"), destinations=("after",))
    builder.add_node("quick", _quick).add_node("rest", make("rest")).add_node("after", _after)
    builder.add_edge(START, "before").add_edge("before", "hold").add_edge("before", "quick")
    return builder.add_edge(["hold", "quick"], "rest").add_edge("rest", "after")


def _told(builder: StateGraph[Any]) -> Any:
    compiled = builder.compile()

    @asynccontextmanager
    async def graph(config: RunnableConfig) -> AsyncIterator[Any]:
        try:
            yield compiled
        finally:
            given = config.get("configurable", {})
            if "folder" in given:
                (Path(given["folder"]) / f"over-{given['attempt']}").touch()

    return graph


sync = _told(_chain(_sync))
stubborn = _told(_chain(_stubborn))
sync_beside = _told(_beside(_sync))
stubborn_beside = _told(_beside(_stubborn))


def ticker() -> StateGraph[Any]:
    """Says the name of each file `tick-N`, as long as it is there, and stores nothing."""

    async def tick(state: State, config: RunnableConfig) -> State:
        folder = Path(config["configurable"]["folder"])
        while not (folder / "stop").exists():
            for path in folder.glob("tick-*"):
                await GenericFakeChatModel(messages=iter([AIMessage(path.name, id=path.name)])).ainvoke("?")
            await asyncio.sleep(0.005)
        return {}

    return StateGraph(State).add_node("tick", tick).add_edge(START, "tick")
