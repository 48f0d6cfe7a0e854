"""Workflows that return, raise, report, ask and are called what breaks careless programs."""

from typing import Annotated, Any

from langgraph.config import get_stream_writer
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

from tests.proof.hostile import odd_values


def _last(old: Any, new: Any) -> Any:
    return new


class State(TypedDict, total=False):
    which: int
    value: Annotated[Any, _last]


def _single(node: Any, name: str = "step") -> Any:
    builder: StateGraph[Any] = StateGraph(State)
    return builder.add_node(name, node).add_edge(START, name).compile()


async def _many_large_events(state: State) -> State:
    number = state.get("which", 0) + 1
    return {"which": number, "value": "x" * 900_000}


def _again(state: State) -> str:
    return "step" if state["which"] < 24 else "__end__"


def many_large_events() -> Any:
    builder: StateGraph[Any] = StateGraph(State)
    builder.add_node("step", _many_large_events).add_edge(START, "step")
    return builder.add_conditional_edges("step", _again, ["step", "__end__"])


# --- names ---

NAMES = ["a\0b", "\x1b[31mred\x9b2J", "line\nline", "\u202eback", "n" * 20_000, "😀" * 50, " ", "{}%s"]


@entrypoint()
async def odd_names(state: Any) -> Any:
    for name in NAMES:

        @task(name=name)
        async def odd() -> int:
            return 1

        await odd()
    return {"done": True}


# --- exceptions ---


class _WordlessError(Exception):
    def __str__(self) -> str:
        odd_values.harm(RuntimeError("no words"))
        return ""


class _RudeError(Exception):
    def __str__(self) -> str:
        odd_values.harm(SystemExit(4))
        return ""


class _LyingError(Exception):
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]


_Long = type("L" * 100_000, (Exception,), {"__module__": "\ud800"})

RAISED = [
    lambda: ValueError("x" * 10_000_000),
    lambda: ValueError("half \ud83d and \0 and \x1b[2J\x9b31m"),
    _WordlessError,
    _RudeError,
    _LyingError,
    lambda: _Long("long"),
    lambda: KeyError(odd_values.BadRepr()),
    lambda: ValueError(10**5000),
    lambda: ExceptionGroup("many", [ValueError(str(n)) for n in range(1000)]),
    lambda: SystemExit("\ud800"),
    lambda: KeyboardInterrupt("x"),
    lambda: ValueError("\x1b[2J \x9b31m \0 \r \x7f"),
]
MOVES_THE_CURSOR = len(RAISED) - 1


def _raise(state: State) -> State:
    with odd_values.harmful():
        raise RAISED[state["which"]]()


raises = _single(_raise)


# --- reports, results, questions ---


async def _report(state: State) -> State:
    write = get_stream_writer()
    for make in odd_values.HOSTILE:
        write(make())
        write({"progress": 10**400, "message": "\ud800\0\x1b[2J" * 10_000, "value": make()})
    write({"progress": 0.5, "message": "last\ud800"})
    return {"value": "done"}


reports = _single(_report)


RETURNED = [
    lambda: "\ud800",
    lambda: "\0",
    lambda: 10**5000,
    lambda: odd_values.nested(90),
    lambda: odd_values.nested(400),
    lambda: float("nan"),
    lambda: "x" * 5_000_000,
    lambda: {1: 1, "1": 2, None: 3, 2.5: 4},
    lambda: b"\xff" * 1000,
    odd_values.contains_itself,
    odd_values.counting,
    object,
]


def _return(state: State) -> State:
    return {"value": RETURNED[state["which"]]()}


returns = _single(_return)

SCHEMAS: list[Any] = [
    {"type": "string", "pattern": "^(a+)+$"},
    {"type": "string", "pattern": "("},
    {"x": odd_values.nested(60)},
    {"$ref": "#"},
    {"type": "object", "title": "\ud800\0" * 10},
    {"enum": [10**30, 1e308, -0.0, None]},
    {"description": "x" * 60_000},
    {"description": "x" * 600_000},
]


def _ask(state: State) -> State:
    which = state["which"]
    return {"value": str(interrupt({"?": [which, "\x1b[2J"]}, response_schema=SCHEMAS[which]))}


asks = _single(_ask)
