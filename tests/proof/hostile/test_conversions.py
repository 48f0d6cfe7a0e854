"""JSON in and out: exact where JSON is, and nothing that a workflow makes or a client sends breaks the conversion."""

import itertools
import json
import math
from typing import Any

import pytest
from autopilot.v1 import job_pb2
from autopilot_server.api import payload
from autopilot_server.api.schema_check import SchemaChecks
from autopilot_server.engine.payloads import event_payload
from autopilot_server.engine.reports import Report
from autopilot_server.engine.serializer import StrictSerializer
from autopilot_server.engine.values import MAX_DEPTH, NotJsonError, encodable, to_json
from autopilot_server.jobs.job import Omitted, Payload
from google.protobuf.json_format import MessageToDict
from hypothesis import given, seed
from hypothesis import strategies as st

from tests.proof.conftest import Tried
from tests.proof.hostile import odd_values
from tests.proof.hostile.victim import examples
from tests.proof.seed import SEED


def strict(text: str) -> Any:
    """JSON text read as RFC 8259 has it."""

    def refuse(name: str) -> Any:
        raise AssertionError(f"{name} is not JSON")

    text.encode()
    return json.loads(text, parse_constant=refuse)


def converted(value: Any) -> tuple[str | None, Payload]:
    """A value as JSON text, None when it was refused, and as events show it."""
    with odd_values.harmful():
        try:
            text = to_json(value)
        except NotJsonError:
            text = None
        return text, event_payload(value, 1000)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types: true is not 1, 1 is not 1.0, -0.0 is not 0.0."""
    return repr(one) == repr(other)


# --- out: values of workflows ---


@seed(SEED)
@examples(3)
@given(odd_values.ANYTHING)
def test_whatever_a_workflow_returns_is_json_or_refused(tried: Tried, value: Any) -> None:
    """to_json gives valid JSON, or says that it cannot; an event always gets something."""
    tried(odd_values=1)
    text, shown = converted(value)
    assert text is None or strict(text) is not ...
    if isinstance(shown, Omitted):
        assert shown.size_bytes > 1000
    else:
        strict(shown)
        assert len(shown.encode()) <= 1000


@pytest.mark.parametrize("number", range(len(odd_values.HOSTILE)))
@pytest.mark.parametrize("around", [lambda v: v, lambda v: {"a": [v]}, lambda v: odd_values.Model(inner=v)])
def test_a_value_that_means_harm_is_shown_and_its_siblings_are_whole(number: int, around: Any) -> None:
    text, shown = converted({"before": 1, "it": around(odd_values.HOSTILE[number]()), "behind": 2})
    if text is None:
        assert isinstance(shown, str)
        assert "levels deep" in strict(shown)["error"]
    else:
        content = strict(text)
        assert (content["before"], content["behind"]) == (1, 2)
        assert len(text) < 100_000


@seed(SEED)
@examples(2)
@given(odd_values.EXACT)
def test_json_text_comes_back_as_it_was(tried: Tried, value: Any) -> None:
    """From a client to a workflow, and back: every integer, every double, every character, the order of names."""
    tried(round_trips=1)
    text = payload.read(job_pb2.Payload(json_text=json.dumps(value)))
    assert same(json.loads(text), value)
    assert to_json(json.loads(text)) == text
    written = payload.as_text(text)
    assert written is not None
    assert payload.read(written) == text


def _expected(value: Any) -> Any:
    """What the documentation says that a google.protobuf.Value loses."""
    match value:
        case bool() | None | str():
            return value
        case int() if abs(value) > 2**53 - 1:
            return str(value)
        case int() | float():
            number = float(value)
            return int(number) if number.is_integer() and abs(number) < 2**53 else number
        case list():
            return [_expected(item) for item in value]
        case _:
            return {key: _expected(item) for key, item in value.items()}


@seed(SEED)
@examples(1)
@given(odd_values.EXACT)
def test_a_protobuf_value_loses_what_is_documented_and_no_more(tried: Tried, value: Any) -> None:
    tried(round_trips=1)
    written = payload.as_value(to_json(value))
    assert written is not None
    if written.HasField("omitted"):
        return
    assert json.loads(payload.read(written)) == _expected(value)
    # Any protobuf library can read it.
    again = job_pb2.Payload.FromString(written.SerializeToString())
    MessageToDict(again)


def test_depth_is_the_same_for_plain_values_and_others() -> None:
    for depth in (MAX_DEPTH, MAX_DEPTH + 1, 300, 900, 5000):
        plain, odd = odd_values.nested(depth), odd_values.nested(depth - 1)
        for value in (plain, [odd_values.Model(), odd][1:]):
            if depth <= MAX_DEPTH:
                assert payload.as_value(to_json(value)) is not None
            else:
                with pytest.raises(NotJsonError):
                    to_json(value)


def test_an_iterator_is_shown_and_not_read() -> None:
    numbers = iter([1, 2, 3])
    for value in (numbers, odd_values.counting(), itertools.count()):
        assert "__type__" in to_json([value])
    assert next(numbers) == 1


@seed(SEED)
@examples(1)
@given(odd_values.ANYTHING)
def test_a_checkpoint_restores_what_it_takes(tried: Tried, value: Any) -> None:
    """The serializer refuses a value with an exception, or gives it back as the type that it was.

    Lone surrogates have no form in UTF-8: LangGraph stores a question mark for each.
    """
    tried(odd_values=1)
    serializer = StrictSerializer(allowed_msgpack_modules=None)
    try:
        stored = serializer.dumps_typed(value)
    except Exception:
        # Refused: the step fails.
        return
    restored = serializer.loads_typed(stored)
    if type(value) in (int, str, float, bool, bytes):
        assert same(restored, encodable(value) if isinstance(value, str) else value)


@pytest.mark.parametrize("fraction", [10**400, -(10**400), math.nan, math.inf, -0.5, 1.5, True, "1", None])
def test_progress_that_is_no_fraction_is_data(fraction: Any) -> None:
    report = Report.of({"progress": fraction, "message": "\ud800" * 5000}, step="s", task_id="t")
    assert report.fraction is None
    assert report.message == "?" * 1024
    assert "progress" in report.data


# --- in: JSON of clients ---


_ODD_JSON = st.one_of(
    st.text(alphabet='[]{}",:\\u0d8/ \x00\t123456789eE+-.tfn', max_size=60),
    odd_values.EXACT.map(json.dumps),
    st.sampled_from(
        ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "01", "1.", ".5", "+1", "0x1", "'a'", "\ufeff1"]
    ),
    st.sampled_from(
        ['"\\ud800"', '{"\\udc00":1}', '"\\ud800\\ud800"', '{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '"\x01"']
    ),
    st.integers(60, 70).map(lambda depth: "[" * depth + "]" * depth),
    st.integers(60, 70).map(lambda depth: '{"a":' * depth + "1" + "}" * depth),
)


@seed(SEED)
@examples(4)
@given(_ODD_JSON, st.integers(0, 30), st.sampled_from(["", "]", '"', "{", "\\"]))
def test_json_of_a_client_is_read_or_refused(tried: Tried, text: str, at: int, more: str) -> None:
    tried(odd_json_texts=1)
    text = text[:at] + more + text[at:] if more else text
    try:
        read = payload.read(job_pb2.Payload(json_text=text))
    except payload.PayloadError:
        return
    assert json.loads(text) == strict(read)
    assert payload.read(job_pb2.Payload(json_text=read)) == read


LONG = 200_000


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[" * 65 + "]" * 65, "nested more than 64"),
        ("[" * 1_000_000, "nested more than 64"),
        ('{"a":' * 200_000, "nested more than 64"),
        ("[" + "[]," * LONG + "[]]", None),
        ('"' + "\\\\" * LONG + '"', None),
        ('"' + '\\"[' * LONG + '"', None),
        ("9" * 100_000, "too long"),
        ("-" + "9" * 4301, "too long"),
        ("[" + ",".join(["9" * 4300] * 200) + "]", None),
        ("1" * 100_000 + ".5", "too large"),
        ("{" + ",".join(f'"{n}":0' for n in range(LONG)) + f',"{LONG - 1}":0' + "}", "given twice"),
        ('{"' + "x" * 1_000_000 + '":1,"' + "x" * 1_000_000 + '":1}', "given twice"),
        ("1" + " " * 1_000_000 + "x", "not JSON"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_json_that_is_made_to_take_long_does_not(text: str, complaint: str | None) -> None:
    """All of it is linear: a square in it would take hours, and the test would never end."""
    if complaint is None:
        strict(payload.read(job_pb2.Payload(json_text=text)))
        return
    with pytest.raises(payload.PayloadError) as refused:
        payload.parse(text)
    assert complaint in str(refused.value)
    assert len(str(refused.value)) < 300


# --- the check of a client's value against a workflow's schema ---

_CHECK = SchemaChecks()


@pytest.mark.parametrize(
    ("schema", "value", "fits"),
    [
        ({"pattern": "^(a+)+$"}, "a" * 100_000 + "!", False),
        ({"pattern": "^(a|a)*$"}, "a" * 100_000, True),
        ({"pattern": "(x+x+)+y"}, "x" * 100_000, False),
        ({"patternProperties": {"^(a+)+$": {"type": "string"}}}, {"a" * 1000 + "!": 1, "aa": 1}, False),
        ({"uniqueItems": True}, [[n] if n % 2 else {"n": n} for n in range(LONG)], True),
        ({"uniqueItems": True}, [None, "a", 1, *range(LONG), {"a": 1, "b": 2}, {"b": 2, "a": 1}], False),
        ({"pattern": "^(?=.*[0-9])[a-z0-9]+$"}, "abc", False),
        ({"pattern": "^(?=.*[0-9])[a-z0-9]+$"}, "abc1", True),
        ({"pattern": r"^(a)\1$"}, "aa", True),
        ({"pattern": "("}, "refuses nothing", True),
        ({"$ref": "#"}, "refuses nothing", True),
        ({"$ref": "http://127.0.0.1:1/"}, "refuses nothing", True),
        ({"type": "nonsense"}, 1, True),
        ({"items": {"type": "string"}}, [1] * 100_000, False),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_schema_s_check_takes_no_value_long(schema: Any, value: Any, fits: bool) -> None:
    found = _CHECK.violations(json.dumps(value), json.dumps(schema), "input")
    assert (not found) == fits
    assert len(found) <= 16
    assert all(len(violation.description) <= 200 for violation in found)
