"""One workflow of each kind that a langgraph.json may name. Nodes use their state as its kind has it."""

import operator
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal, TypedDict
from uuid import UUID

import typing_extensions
from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.runnables import RunnableConfig
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from pydantic import BaseModel, ConfigDict, Field


def one_node(state: Any, node: Any, **options: Any) -> StateGraph[Any]:
    builder: StateGraph[Any] = StateGraph(state, **options)
    return builder.add_node("node", node).add_edge(START, "node").add_edge("node", END)


# --- what a name may stand for ---


class Text(TypedDict, total=False):
    text: str


def says(what: str) -> StateGraph[Any]:
    return one_node(Text, lambda state: {"text": f"{state.get('text', '')}{what}"})


async def _says_async(state: Text) -> Text:
    return {"text": f"{state.get('text', '')}async"}


compiled = says("compiled").compile()
builder = says("builder")
async_builder = one_node(Text, _says_async)
configured = says("configured").compile().with_config(tags=["mine"])

MADE: list[str] = []
"""Each time that a factory was called, or a context manager left."""


def factory() -> StateGraph[Any]:
    MADE.append("factory")
    return says("factory")


async def async_factory() -> Any:
    return says("async factory").compile()


def with_config(config: RunnableConfig) -> StateGraph[Any]:
    given = config.get("configurable", {})
    return says(f"{given.get('tone')} {given.get('thread_id')}")


async def async_with_config(config: RunnableConfig) -> Any:
    return with_config(config).compile()


class Factory:
    """A function in the shape of an object."""

    def __call__(self, config: RunnableConfig) -> StateGraph[Any]:
        return with_config(config)


factory_object = Factory()


@contextmanager
def managed() -> Iterator[Any]:
    MADE.append("managed in")
    yield says("managed").compile()
    MADE.append("managed out")


@asynccontextmanager
async def async_managed(config: RunnableConfig) -> AsyncIterator[Any]:
    yield says(f"managed {config['configurable'].get('tone')}")


# --- states ---


class Plain(TypedDict):
    number: int
    words: typing_extensions.NotRequired[list[str]]
    total: Annotated[int, operator.add]


def _plain(state: Plain) -> Any:
    return {"number": state["number"] + 1, "words": [*state.get("words", []), "seen"], "total": 10}


plain = one_node(Plain, _plain)


def longest(left: list[Any], right: Any) -> list[Any]:
    """A reducer of the workflow's own: takes one thing, or a list."""
    return [*left, *(right if isinstance(right, list) else [right])]


class Extended(typing_extensions.TypedDict, total=False):
    number: typing_extensions.Required[int]
    either: int | str | None
    inner: Plain
    choice: Literal["a", "b"]
    mapping: dict[str, float]
    anything: Any
    own: Annotated[list[Any], longest]


extended = one_node(Extended, lambda state: {"number": state["number"] * 2, "own": "node"})


class Point(BaseModel):
    x: int
    y: int = 0


@dataclass
class Data:
    number: int
    label: str = "none"
    words: list[str] = field(default_factory=list)
    total: Annotated[int, operator.add] = 0


def _data(state: Data) -> Any:
    return {"number": state.number + 1, "words": [*state.words, state.label], "total": 1}


data = one_node(Data, _data)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Model(BaseModel):
    number: int
    ratio: float = 0.5
    flag: bool = False
    name: str | None = None
    point: Point | None = None
    points: list[Point] = []
    table: dict[str, int] = {}
    colour: Colour = Colour.RED
    when: datetime | None = None
    key: UUID | None = None
    bounded: Annotated[int, Field(ge=0, le=10)] = 0
    choice: Literal["a", "b"] = "a"


def _model(state: Model) -> Any:
    # Methods and operators of the declared types: the state is an instance, its fields are converted.
    year = 0 if state.when is None else state.when.year
    key = None if state.key is None else state.key.hex
    at = [*state.points, *([state.point] if state.point else [])]
    return {"number": state.number + year, "name": key or state.colour.name, "points": [Point(x=p.x + 1) for p in at]}


model = one_node(Model, _model)


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    number: int
    inner: Point = Point(x=0)


strict = one_node(Strict, lambda state: {"number": state.number + 1})


async def _reply(state: MessagesState) -> Any:
    said = [message.text for message in state["messages"]]
    return {"messages": [AIMessage(f"heard {' and '.join(said)}", id="reply")]}


messages = one_node(MessagesState, _reply)


class Chat(BaseModel):
    """Messages in a model."""

    messages: Annotated[list[AnyMessage], longest] = []


chat_model = one_node(Chat, lambda state: {"messages": [AIMessage(str(len(state.messages)), id="reply")]})


class Given(TypedDict):
    question: str


class Gives(TypedDict):
    answer: str


class Whole(Given, Gives):
    secret: str


narrow = one_node(
    Whole,
    lambda state: {"answer": state["question"].upper(), "secret": "kept"},
    input_schema=Given,
    output_schema=Gives,
)
root = one_node(Annotated[list, operator.add], lambda state: [len(state)])


# --- context ---


@dataclass
class Tone:
    tone: str = "plain"
    loud: int = 0


class ToneModel(BaseModel):
    tone: str = "plain"
    loud: int = 0


class ToneDict(TypedDict, total=False):
    tone: str
    loud: int


def _object_tone(state: Text, runtime: Runtime[Tone]) -> Text:
    return {"text": runtime.context.tone + "!" * runtime.context.loud}


def _dict_tone(state: Text, runtime: Runtime[ToneDict]) -> Text:
    return {"text": runtime.context["tone"] + "!" * runtime.context["loud"]}


tone_dataclass = one_node(Text, _object_tone, context_schema=Tone)
tone_model = one_node(Text, _object_tone, context_schema=ToneModel)
tone_dict = one_node(Text, _dict_tone, context_schema=ToneDict)


# --- the functional API ---


@task
def square(number: int) -> int:
    return number * number


@task
async def square_async(number: int) -> int:
    return number * number


@entrypoint()
def squares(numbers: list[int]) -> int:
    return sum(future.result() for future in [square(number) for number in numbers])


@entrypoint()
async def squares_async(numbers: list[int]) -> list[int]:
    return [await square_async(number) for number in numbers]


@entrypoint()
def of_model(point: Point) -> dict[str, int]:
    return {"squared": square(point.x).result() + point.y}


@entrypoint()
def of_dataclass(data: Data) -> list[str]:
    return [data.label, *data.words]


@entrypoint()
def of_typed_dict(given: Plain) -> int:
    return given["number"]


@entrypoint()
def of_anything(given):  # type: ignore[no-untyped-def]
    return {"given": given}


@entrypoint(context_schema=Tone)
def of_context(number: int, *, runtime: Runtime[Tone]) -> str:
    return f"{runtime.context.tone} {square(number).result()}"


@entrypoint()
def remembers(number: int, *, previous: int | None) -> entrypoint.final[str, int]:
    """Gives one thing, and keeps another for the thread's next job."""
    return entrypoint.final(value=f"{number} after {previous}", save=number)
