"""Values as workflows return them when they are odd, or mean harm."""

import enum
import itertools
import uuid
from collections import OrderedDict, deque, namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from pydantic import BaseModel


class Colour(enum.Enum):
    RED = "red"
    NAN = float("nan")
    LONE = "\ud800"


class Number(enum.IntEnum):
    ONE = 1


class Text(str):
    """A text with a mind of its own."""

    def __str__(self) -> str:
        harm(RuntimeError("no text"))
        return super().__str__()


class Model(BaseModel):
    inner: Any = None


@dataclass
class Data:
    inner: Any = None


Pair = namedtuple("Pair", "one two")


# --- values whose own code raises, lies or is endless, but only when it is asked to: tools of tests look at them ---

_harmful = False


@contextmanager
def harmful() -> Iterator[None]:
    """While values do what they are here for."""
    global _harmful
    _harmful = True
    try:
        yield
    finally:
        _harmful = False


def harm(error: BaseException) -> None:
    if _harmful:
        raise error


class BadRepr:
    def __repr__(self) -> str:
        harm(SystemExit(3))
        return "BadRepr()"


class HugeRepr:
    def __repr__(self) -> str:
        return "x" * (10_000_000 if _harmful else 10)


class WrongRepr:
    def __repr__(self) -> str:
        return 5 if _harmful else "WrongRepr()"  # type: ignore[return-value]


class BadClass:
    @property
    def __class__(self) -> Any:
        harm(KeyboardInterrupt())
        return BadClass


class BadAttributes(list[Any]):
    def __getattr__(self, name: str) -> Any:
        harm(RuntimeError(name))
        raise AttributeError(name)


class BadItems(dict[Any, Any]):
    def items(self) -> Any:
        harm(OSError("no items"))
        return super().items()


class ChangingItems(dict[Any, Any]):
    def items(self) -> Any:
        for item in list(super().items()):
            if _harmful:
                self[object()] = 1
            yield item


class BadDump(BaseModel):
    inner: Any = None

    def model_dump(self, **options: Any) -> Any:
        harm(LookupError("no dump"))
        return super().model_dump(**options)


class EndlessDump(BaseModel):
    def model_dump(self, **options: Any) -> Any:
        return self


class BadMeta(type):
    @property
    def __module__(cls) -> str:  # type: ignore[override]
        harm(RuntimeError("no module"))
        return "somewhere"


class BadType(metaclass=BadMeta):
    pass


@dataclass
class BadField:
    inner: Any = None

    def __getattribute__(self, name: str) -> Any:
        if name == "inner":
            harm(StopIteration())
        return super().__getattribute__(name)


def counting() -> Iterator[int]:
    yield from itertools.count()


class Endless(enum.Enum):
    """Its value has no end."""

    IT = itertools.count()


def contains_itself() -> Any:
    loop: list[Any] = [1]
    loop.append({"again": loop})
    return loop


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


HOSTILE = [
    BadRepr,
    HugeRepr,
    WrongRepr,
    BadClass,
    lambda: BadAttributes([object()]),
    lambda: BadItems(a=1),
    lambda: ChangingItems(a=object()),
    BadDump,
    EndlessDump,
    BadType,
    BadField,
    counting,
    itertools.count,
    lambda: Endless.IT,
    lambda: Model(inner=[{"a": itertools.count()}]),
    lambda: Model(inner=Data(itertools.count())),
    lambda: HumanMessage("x", additional_kwargs={"a": (itertools.count(),)}),
    contains_itself,
    lambda: nested(100_000),
    lambda: 10**5000,
    lambda: {10**5000: 1},
    lambda: {BadRepr(): 1},
    lambda: BadType,
    lambda: Text("mine"),
    lambda: {Text("mine"): Text("mine")},
    object,
    lambda: print,
    lambda: "\ud800",
    lambda: {"\udfff": b"\xff"},
    lambda: memoryview(b"abcd").cast("I"),
    lambda: range(10**9),
    lambda: ToolMessage("x", tool_call_id="\ud800"),
]

_UTC = st.sampled_from([None, UTC, timezone(timedelta(hours=14))])

_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-(10**4400), max_value=10**4400),
    st.floats(),
    st.text(),
    st.text(alphabet=st.characters(categories=["Cs", "Cc", "Lo"])),
    st.binary(),
    st.binary().map(bytearray),
    st.datetimes(timezones=_UTC),
    st.builds(date.today),
    st.times().map(time.isoformat),
    st.timedeltas(),
    st.decimals(),
    st.fractions(min_value=-1000, max_value=1000, max_denominator=1000),
    st.complex_numbers(),
    st.uuids(),
    st.sampled_from([*Colour, *Number, Path("/x"), uuid.UUID(int=0), Decimal("sNaN"), datetime.max, timedelta.max]),
    st.builds(AIMessage, content=st.text()),
    st.sampled_from(HOSTILE).map(lambda make: make()),
)

_KEYS = st.one_of(
    st.text(),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.binary(),
    st.tuples(st.integers(), st.text()),
    st.sampled_from([*Colour, *Number, BadRepr(), BadType(), Text("k")]),
)


def _around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(_KEYS, inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(deque),
        st.dictionaries(st.text(), inner, max_size=3).map(OrderedDict),
        st.builds(Model, inner=inner),
        st.builds(Data, inner=inner),
        st.builds(BadDump, inner=inner),
        st.builds(BadField, inner=inner),
        st.builds(Pair, inner, inner),
        st.builds(lambda value: HumanMessage("x", additional_kwargs={"x": value}), inner),
        st.builds(lambda value: (item for item in [value]), inner),
    )


# Anything at all, a few levels deep.
ANYTHING = st.recursive(_SCALARS, _around, max_leaves=12)

# What JSON can say, and so must come back as it was.
EXACT = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(min_value=-(10**300), max_value=10**300),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(st.text(), inner, max_size=5)),
    max_leaves=30,
)
