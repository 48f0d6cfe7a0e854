"""Inputs that `graph.invoke` takes although a strict reading of the state's types would not."""

import datetime
import enum
import json
import operator
from typing import Annotated, Any

import pytest
import typing_extensions as te
from autopilot_server.api.schema_check import SchemaChecks
from autopilot_server.engine.schemas import describe
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from pydantic import BaseModel, BeforeValidator, Discriminator, Field, StringConstraints, Tag, model_validator


class Num(te.TypedDict):
    items: Annotated[list[int], operator.add]


class Node(te.TypedDict):
    children: "list[Node]"


class ObjEnum(enum.Enum):
    A = object()


class HasObjEnum(te.TypedDict):
    e: ObjEnum


class Times(BaseModel):
    at: datetime.datetime | None = None
    span: datetime.timedelta | None = None
    day: datetime.date | None = None


class Floats(BaseModel):
    f: float = 0
    m: Annotated[float, Field(multiple_of=0.1)] = 0


class Before(BaseModel):
    tags: Annotated[list[str], BeforeValidator(lambda v: v.split(",") if isinstance(v, str) else v)] = []


class ModelBefore(BaseModel):
    n: int
    t: str = ""

    @model_validator(mode="before")
    @classmethod
    def fill(cls, v: Any) -> Any:
        return {"n": 1, **v} if isinstance(v, dict) else v


class Strip(BaseModel):
    s: Annotated[str, StringConstraints(strip_whitespace=True, max_length=3)] = ""


class Inner(BaseModel):
    n: int = Field(alias="num")


class Alias(BaseModel):
    inner: Inner


class Names(BaseModel):
    default: int = 0
    required: int = 0


class Level(enum.IntEnum):
    LOW = 1


class Ints(BaseModel):
    e: Level = Level.LOW


class Sets(BaseModel):
    s: set[int] = set()


class A(BaseModel):
    x: int = 0


class C(BaseModel):
    y: int = 0


class Disc(BaseModel):
    v: Annotated[Annotated[A, Tag("a")] | Annotated[C, Tag("c")], Discriminator(lambda v: "a" if "x" in v else "c")]


TAKEN = [
    (Times, {"at": 1700000000}),
    (Times, {"span": 5}),
    (Times, {"day": 86400}),
    (Floats, {"f": ".5"}),
    (Floats, {"f": "inf"}),
    (Floats, {"m": 0.3}),
    (Before, {"tags": "a,b"}),
    (ModelBefore, {"t": "x"}),
    (Strip, {"s": "  abc  "}),
    (Alias, {"inner": {"num": 1}}),
    (Names, {"default": "5"}),
    (Names, {"required": "5"}),
    (Ints, {"e": "1"}),
    (Sets, {"s": [1, 1]}),
    (Disc, {"v": {"x": 1}}),
    (Node, {"children": []}),
    (HasObjEnum, {}),
    (Annotated[list, add_messages], "hi"),
    (Num, {"items": {"__overwrite__": [1]}}),
]


@pytest.mark.parametrize(
    ("state", "given"), TAKEN, ids=[f"{number}-{given}" for number, (_, given) in enumerate(TAKEN)]
)
def test_what_invoke_takes_is_not_refused(state: Any, given: Any) -> None:
    graph = StateGraph(state).add_node("n", lambda s: None).add_edge(START, "n").compile()
    graph.invoke(given)
    assert not SchemaChecks().violations(json.dumps(given), json.dumps(describe(state).schema), "input")


def test_constraints_given_with_the_default_are_checked() -> None:
    class Bounded(BaseModel):
        n: int = Field(ge=0, le=10)

    (violation,) = SchemaChecks().violations('{"n": -1}', json.dumps(describe(Bounded).schema), "input")
    assert violation.field == "input.n"
