"""Workflows that hurt the process that they run in. Steps that must wait do so for files, which the tests make.

A step leaves its process's number in the file `JOB.pids`, a line an attempt; it waits for the file `JOB.go`.
"""

import asyncio
import ctypes
import logging
import multiprocessing
import operator
import os
import random
import sqlite3
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import uuid_utils
from autopilot_server.engine import dispatcher
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import interrupt
from typing_extensions import TypedDict

# Workers that are told nothing find nothing: no test passes for a poll.
dispatcher.POLL_SECONDS = 3600.0

log = logging.getLogger(__name__)

LOADED_BY = os.getpid()

# As docs/workflows.md has it.
_own = random.Random()  # noqa: S311 - no secrets
os.register_at_fork(after_in_child=_own.seed)


class State(TypedDict, total=False):
    items: Annotated[list[Any], operator.add]
    folder: str


def _file(state: State, config: RunnableConfig, what: str) -> Path:
    return Path(state["folder"]) / f"{config['configurable']['job_id']}.{what}"


def _came(state: State, config: RunnableConfig, *more: int) -> None:
    with _file(state, config, "pids").open("a") as file:
        file.write(" ".join(map(str, [os.getpid(), *more])) + "\n")


def _before(state: State) -> State:
    return {"items": ["before"]}


def _after(state: State) -> State:
    return {"items": ["after"]}


def around(name: str, node: Callable[..., Any]) -> StateGraph[Any]:
    """A graph with a step, one before it, and one after it."""
    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("before", _before).add_node(name, node).add_node("after", _after)
    return builder.add_edge(START, "before").add_edge("before", name).add_edge(name, "after")


def alone(name: str, node: Callable[..., Any]) -> StateGraph[Any]:
    """A graph with one step."""
    builder: StateGraph[Any] = StateGraph(State)
    return builder.add_node(name, node).add_edge(START, name)


# --- innocent ones ---


async def _hold(state: State, config: RunnableConfig) -> State:
    _came(state, config)
    while not _file(state, config, "go").exists():
        await asyncio.sleep(0.005)
    return {"items": ["hold"]}


async def _until_drained(state: State, config: RunnableConfig, runtime: Runtime[Any]) -> State:
    """A step that is under way when its job is to stop at the next checkpoint."""
    _came(state, config)
    while not runtime.drain_requested:
        await asyncio.sleep(0.005)
    return {"items": ["drained"]}


async def _pass(state: State, config: RunnableConfig) -> State:
    """Tells in one file for all, `passes`, when it comes and when it goes, which is when there is a file `pass`."""
    passes = Path(state["folder"]) / "passes"
    with passes.open("a") as file:
        file.write(f"+ {os.getpid()} {config['configurable']['job_id']}\n")
    while not (Path(state["folder"]) / "pass").exists():
        await asyncio.sleep(0.005)
    with passes.open("a") as file:
        file.write(f"- {os.getpid()} {config['configurable']['job_id']}\n")
    return {"items": []}


async def _tell(state: State) -> State:
    return {"items": [os.getpid(), LOADED_BY, os.getppid(), os.getcwd()]}


async def _draw(state: State, config: RunnableConfig) -> State:
    _came(state, config)
    while not _file(state, config, "go").exists():
        await asyncio.sleep(0.005)
    numbers = [
        random.getrandbits(64),
        _own.getrandbits(64),
        int(np.random.randint(1 << 60)),
        str(uuid.uuid4()),
        str(uuid_utils.uuid4()),
    ]
    return {"items": numbers}


async def _chat(state: State, config: RunnableConfig) -> State:
    _came(state, config)
    while not _file(state, config, "go").exists():
        await asyncio.sleep(0.005)
    model = GenericFakeChatModel(messages=iter([AIMessage("one two three", id="m1")]))
    await model.ainvoke("hi")
    return {"items": ["said"]}


def _ask(state: State, config: RunnableConfig) -> State:
    _came(state, config)
    return {"items": [interrupt("which?"), os.getpid()]}


def _fail_at_first(state: State, config: RunnableConfig) -> State:
    _came(state, config)
    if not _file(state, config, "go").exists():
        raise ValueError("not yet")
    return {"items": ["mended"]}


async def _debug(state: State) -> State:
    log.debug("it is %s", *state["items"])
    return {"items": []}


passes, until_drained = alone("pass", _pass), around("wait", _until_drained)
holds, tells, draws, chats = around("hold", _hold), alone("tell", _tell), alone("draw", _draw), alone("chat", _chat)
debugs, asks, fails_at_first = alone("debug", _debug), around("ask", _ask), alone("fail", _fail_at_first)


# --- what ends or holds its process ---


def _crash(state: State, config: RunnableConfig) -> State:
    _came(state, config)
    if not _file(state, config, "go").exists():
        ctypes.string_at(0)
    return {"items": ["did not crash"]}


def _spin(state: State, config: RunnableConfig) -> State:
    child = subprocess.Popen(["sleep", "3600"])
    _came(state, config, child.pid)
    while True:
        pass


def _start_child(state: State, config: RunnableConfig) -> State:
    """Leaves a process behind."""
    child = subprocess.Popen(["sleep", "3600"])
    _came(state, config, child.pid)
    return {"items": ["left"]}


def _end_child(state: State, config: RunnableConfig) -> State:
    """Ends a process of its own as everybody does it."""
    child = subprocess.Popen(["sleep", "3600"])
    fork = multiprocessing.get_context("fork").Process(target=time.sleep, args=[3600])
    fork.start()
    for each in (child, fork):
        each.terminate()
    fork.join()
    return {"items": [child.wait(), fork.exitcode]}


def _eat(state: State, config: RunnableConfig) -> State:
    _came(state, config)
    return {"items": [len(bytearray(8 << 30))]}


def _burn(state: State, config: RunnableConfig) -> State:
    _came(state, config)
    while not _file(state, config, "go").exists():
        pass
    return {"items": ["burnt"]}


async def _block(state: State, config: RunnableConfig) -> State:
    """Holds the event loop, and lets others have the interpreter."""
    _came(state, config)
    while not _file(state, config, "go").exists():
        time.sleep(0.01)
    return {"items": ["blocked"]}


async def _seize(state: State, config: RunnableConfig) -> State:
    """Holds the interpreter, as a C extension does, until somebody writes to the fifo `JOB.go`."""
    _came(state, config)
    fifo = os.open(_file(state, config, "go"), os.O_RDWR)
    held = ctypes.PyDLL(None)
    while held.read(fifo, ctypes.create_string_buffer(1), 1) != 1:
        continue
    os.close(fifo)
    return {"items": ["seized"]}


async def _lock(state: State, config: RunnableConfig) -> State:
    """Seizes the interpreter while its process writes to the database, at first."""
    database = sqlite3.connect(Path(state["folder"]) / "jobs.db", isolation_level=None)
    if _file(state, config, "pids").exists():
        return {"items": ["did not lock"]}
    database.execute("BEGIN IMMEDIATE")
    return await _seize(state, config)


crashes, spins, leaves_child, ends_child = (
    around("crash", _crash),
    around("spin", _spin),
    alone("start", _start_child),
    alone("end", _end_child),
)
eats, burns = around("eat", _eat), around("burn", _burn)
blocks, seizes, locks = around("block", _block), alone("seize", _seize), around("lock", _lock)
