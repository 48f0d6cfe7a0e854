"""Steps that hurt whoever runs them."""

import asyncio
import ctypes
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    """What the tests tell the steps, and what these answer."""

    folder: str
    done: list[str]
    pid: int


def _graph(*steps: Any) -> "StateGraph[State, None, State, State]":
    graph = StateGraph(State)
    names = [step.__name__.strip("_") for step in steps]
    for name, step in zip(names, steps, strict=True):
        graph.add_node(name, step)
    for source, target in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(source, target)
    return graph


def _wait_for(file: Path) -> None:
    while not file.exists():
        time.sleep(0.01)


def _first(state: State) -> State:
    with (Path(state["folder"]) / "first").open("a") as file:
        file.write("ran\n")
    return {"done": ["first"], "pid": os.getpid()}


def _hold(state: State) -> State:
    """Until it is told to go on. Says which process holds."""
    folder = Path(state["folder"])
    (folder / f"holding-{os.getpid()}").touch()
    _wait_for(folder / "go")
    return {"done": [*state["done"], "hold"]}


def _crash(state: State) -> State:
    if not (Path(state["folder"]) / "mended").exists():
        ctypes.string_at(0)
    return {"done": ["crash"]}


def _spin(state: State) -> State:
    """Never returns, and leaves another process."""
    child = subprocess.Popen(["sleep", "1000"])
    (Path(state["folder"]) / "spinning").write_text(f"{os.getpid()} {child.pid}")
    while True:
        pass


def _start_and_hold(state: State) -> State:
    """Another process, that is left when this one is killed; before that one that is told to end, and does."""
    told = subprocess.Popen(["sleep", "1000"])
    told.terminate()
    told.wait()
    child = subprocess.Popen(["sleep", "1000"])
    (Path(state["folder"]) / "child").write_text(str(child.pid))
    return _hold(state | {"done": []})


def _eat(_state: State) -> State:
    return {"done": [str(len(bytearray(2 << 30)))]}


async def _block(state: State) -> State:
    """Holds the loop, not the interpreter."""
    folder = Path(state["folder"])
    (folder / "blocking").touch()
    _wait_for(folder / "go")
    return {"done": ["block"]}


async def _seize(state: State) -> State:
    """Holds the interpreter itself, as a C extension may."""
    folder = Path(state["folder"])
    (folder / "seizing").touch()
    sleep = ctypes.PyDLL(None).usleep
    while not (folder / "go").exists():
        sleep(3_000_000)
    return {"done": ["seize"]}


async def _nothing(_state: State) -> State:
    await asyncio.sleep(0)
    return {"done": ["nothing"], "pid": os.getpid()}


steps = _graph(_first, _hold)
crash = _graph(_crash)
spin = _graph(_spin)
eat = _graph(_eat)
starts = _graph(_start_and_hold)
block = _graph(_block)
seize = _graph(_seize)
nothing = _graph(_nothing)
