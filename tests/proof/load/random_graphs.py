"""Random workflows: `random_17` is the graph of the seed 17, the same in every process.

Each run of a node leaves a line in a file, its effect: what the outside world saw of it. What a job must come to is
found out by running the same graph with LangGraph alone, undisturbed.
"""

import asyncio
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import get_runtime
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict

from tests.proof.histories.history import BEGUN, STOPPED, TOLD

# Supersteps that no random graph needs.
STEP_LIMIT = 500

# A graph of one seed in so many fails whatever one does.
DOOMED_ONE_IN = 10


class FlakyError(Exception):
    """Raised by steps that succeed when they are tried again."""


class DoomedError(Exception):
    """Raised by steps that never succeed."""


def merged(old: list[str], new: list[str]) -> list[str]:
    """Each entry once: a subgraph gives back what it was given."""
    return old + [entry for entry in new if entry not in old]


class State(TypedDict, total=False):
    trail: Annotated[list[str], merged]
    folder: str
    item: int


# --- what a run of a node does -----------------------------------------------------------------------------------


def effects_of(folder: Path) -> list[tuple[str, int]]:
    """What the steps of a job did: which run, and when, by the machine's monotonic clock in nanoseconds."""
    path = folder / "effects"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(key, int(moment)) for key, moment in (line.split() for line in lines)]


def leave_effect(folder: str, key: str) -> None:
    """A step's effect on the outside world."""
    line = f"{key} {time.monotonic_ns()}\n".encode()
    descriptor = os.open(f"{folder}/effects", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, line)
    os.close(descriptor)


def _effect(state: State, key: str) -> None:
    leave_effect(state["folder"], key)


def _times(state: State, key: str) -> int:
    return sum(1 for done, _ in effects_of(Path(state["folder"])) if done == key)


def _worker(name: str, rng: random.Random) -> Any:
    """A node that does its work, quickly or slowly, on a thread or in the loop."""
    seconds = rng.choice((0.0, 0.0, 0.0, 0.005, 0.02, 0.05))
    reports = rng.random() < 0.3

    def work(state: State) -> State:
        key = f"{name}[{state['item']}]" if "item" in state else name
        if reports:
            get_stream_writer()({"progress": 0.5, "message": key})
        _effect(state, key)
        return {"trail": [key]}

    def on_a_thread(state: State) -> State:
        time.sleep(seconds)
        return work(state)

    async def in_the_loop(state: State) -> State:
        await asyncio.sleep(seconds)
        return work(state)

    return rng.choice((on_a_thread, in_the_loop))


# --- the pieces that graphs are made of --------------------------------------------------------------------------

Builder = StateGraph[Any]
Ends = tuple[str, str]
"""A piece's first and last node."""


def _step(builder: Builder, name: str, rng: random.Random) -> Ends:
    builder.add_node(name, _worker(name, rng))
    return name, name


def _parallel(builder: Builder, name: str, rng: random.Random) -> Ends:
    first, _ = _step(builder, f"{name}-fork", rng)
    last, _ = _step(builder, f"{name}-join", rng)
    siblings = [f"{name}-{number}" for number in range(rng.randint(2, 4))]
    for sibling in siblings:
        rng.choice((_step, _step, _step, _ask, _flaky))(builder, sibling, rng)
        builder.add_edge(first, sibling)
    builder.add_edge(siblings, last)
    return first, last


def _fan_out(builder: Builder, name: str, rng: random.Random) -> Ends:
    first, _ = _step(builder, f"{name}-plan", rng)
    last, _ = _step(builder, f"{name}-join", rng)
    work, items = f"{name}-work", rng.randint(1, 5)
    _step(builder, work, rng)

    def spread(state: State) -> list[Send]:
        return [Send(work, {"item": number, "folder": state["folder"]}) for number in range(items)]

    builder.add_conditional_edges(first, spread, [work]).add_edge(work, last)
    return first, last


def _loop(builder: Builder, name: str, rng: random.Random) -> Ends:
    rounds = rng.randint(2, 4)
    last, _ = _step(builder, f"{name}-done", rng)

    def turn(state: State) -> State:
        key = f"{name}#{_turns(state)}"
        _effect(state, key)
        return {"trail": [key]}

    def _turns(state: State) -> int:
        return sum(1 for entry in state["trail"] if entry.startswith(f"{name}#"))

    def again(state: State) -> str:
        return name if _turns(state) < rounds else last

    builder.add_node(name, turn).add_conditional_edges(name, again, [name, last])
    return name, last


def _branch(builder: Builder, name: str, rng: random.Random) -> Ends:
    first, _ = _step(builder, f"{name}-choose", rng)
    last, _ = _step(builder, f"{name}-merge", rng)
    taken = rng.choice(("left", "right"))
    for side in ("left", "right"):
        _step(builder, f"{name}-{side}", rng)
        builder.add_edge(f"{name}-{side}", last)
    builder.add_conditional_edges(first, lambda _: f"{name}-{taken}", [f"{name}-left", f"{name}-right"])
    return first, last


def _jump(builder: Builder, name: str, rng: random.Random) -> Ends:
    last, _ = _step(builder, f"{name}-there", rng)

    def decide(state: State) -> Command[Any]:
        _effect(state, name)
        return Command(update={"trail": [name]}, goto=last)

    builder.add_node(name, decide, destinations=(last,))
    return name, last


def _ask(builder: Builder, name: str, _rng: random.Random) -> Ends:
    def ask(state: State) -> State:
        answer = interrupt({"question": name})
        _effect(state, name)
        return {"trail": [name, f"{name}={answer}"]}

    builder.add_node(name, ask)
    return name, name


def _flaky(builder: Builder, name: str, rng: random.Random) -> Ends:
    failures = rng.randint(1, 2)

    def sometimes(state: State) -> State:
        if _times(state, f"{name}!") < failures:
            _effect(state, f"{name}!")
            raise FlakyError(name)
        _effect(state, name)
        return {"trail": [name]}

    builder.add_node(name, sometimes)
    return name, name


def _doomed(builder: Builder, name: str, _rng: random.Random) -> Ends:
    def never(state: State) -> State:
        _effect(state, f"{name}!")
        raise DoomedError(name)

    builder.add_node(name, never)
    return name, name


def _subgraph(builder: Builder, name: str, rng: random.Random) -> Ends:
    child = _chained(rng, f"{name}.", (_step, _parallel, _fan_out, _ask, _flaky), rng.randint(1, 2))
    builder.add_node(name, child.compile())
    return name, name


Piece = Callable[[Builder, str, random.Random], Ends]

_PIECES: tuple[Piece, ...] = (_step, _parallel, _fan_out, _loop, _branch, _jump, _ask, _flaky, _subgraph)


def _chained(rng: random.Random, prefix: str, pieces: tuple[Piece, ...], count: int) -> Builder:
    builder: Builder = StateGraph(State)
    behind = START
    for number, piece in enumerate(rng.choices(pieces, k=count)):
        first, last = piece(builder, f"{prefix}{piece.__name__[1:]}{number}", rng)
        builder.add_edge(behind, first)
        behind = last
    return builder.add_edge(behind, END)


def is_doomed(seed: int) -> bool:
    """Whether a seed's graph fails in the end."""
    return seed % DOOMED_ONE_IN == DOOMED_ONE_IN - 1


def build(seed: int) -> Builder:
    """The graph of a seed."""
    rng = random.Random(seed)
    if is_doomed(seed):
        return _doomed_graph(rng)
    return _chained(rng, "", _PIECES, rng.randint(2, 6))


def _doomed_graph(rng: random.Random) -> Builder:
    builder: Builder = StateGraph(State)
    first, middle = _fan_out(builder, "before", rng)
    last, _ = _doomed(builder, "doomed", rng)
    return builder.add_edge(START, first).add_edge(middle, last).add_edge(last, END)


def waits_for_ever() -> Builder:
    """A graph that only ends from outside."""

    async def wait(state: State) -> State:
        await asyncio.Event().wait()
        return {}

    return StateGraph(State).add_node("wait", wait).add_edge(START, "wait")


def turns_for_ever() -> Builder:
    """A graph that takes one step after the other."""

    async def turn(state: State) -> State:
        await asyncio.sleep(0.002)
        return {}

    return StateGraph(State).add_node("turn", turn).add_edge(START, "turn").add_edge("turn", "turn")


def stays() -> Builder:
    """A graph whose step goes on when it is told to stop, and notes what becomes of it."""

    async def stay(state: State) -> State:
        runtime = get_runtime()
        _effect(state, BEGUN)
        told = False
        try:
            while not (told := runtime.drain_requested):
                await asyncio.sleep(0.002)
            _effect(state, TOLD)
            await asyncio.Event().wait()
        finally:
            if runtime.drain_requested and not told:
                _effect(state, TOLD)
            _effect(state, STOPPED)
        return {}

    return StateGraph(State).add_node("stay", stay).add_edge(START, "stay")


def __getattr__(name: str) -> Any:
    """`random_17`: the graph of the seed 17, for a langgraph.json to name."""
    kind, _, seed = name.partition("_")
    if kind != "random" or not seed.isdigit():
        raise AttributeError(name)
    return build(int(seed))


# --- what comes out when nobody disturbs it ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job must come to."""

    trail: tuple[str, ...] | None
    """None: it fails."""
    runs: frozenset[str]
    """The runs of nodes that it is made of."""


def answer_to(question: str) -> str:
    """What everybody answers."""
    return f"yes-{question}"


def start(folder: Path) -> State:
    """The input of a job."""
    return {"trail": [], "folder": str(folder)}


async def undisturbed(seed: int, folder: Path, *, after: Path | None = None) -> Outcome:
    """Run a seed's graph with LangGraph alone. `after`: the folder of a job that has used the same thread before."""
    graph = build(seed).compile(checkpointer=InMemorySaver())
    if after is not None:
        await _run(graph, after)
    return await _run(graph, folder)


async def _run(graph: Any, folder: Path) -> Outcome:
    folder.mkdir(parents=True)
    config: Any = {"configurable": {"thread_id": "1"}, "recursion_limit": STEP_LIMIT}
    given: Any = start(folder)
    while True:
        try:
            result = await graph.ainvoke(given, config)
        except DoomedError:
            return Outcome(None, _succeeded(folder))
        except FlakyError:
            given = None
            continue
        questions = result.get("__interrupt__", ())
        if not questions:
            return Outcome(tuple(result["trail"]), _succeeded(folder))
        given = Command(resume={q.id: answer_to(q.value["question"]) for q in questions})


def _succeeded(folder: Path) -> frozenset[str]:
    return frozenset(key for key, _ in effects_of(folder) if not key.endswith("!"))
