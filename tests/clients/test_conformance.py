"""The Python client plays every scenario of the conformance suite; and the suite can fail."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from autopilot.v1 import error_reason_pb2

from clients.conformance.drivers import languages
from clients.conformance.fake import _CODE_OF
from clients.conformance.matching import Mismatch, match
from clients.conformance.playing import Scenario, scenarios
from clients.conformance.results import PASSED
from clients.conformance.stages import Stages
from clients.conformance.turns import play_scenario

PYTHON = languages()["python"]


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stages]:
    stages = Stages(tmp_path_factory.mktemp("stages"))
    yield stages
    stages.close()


def played(scenario: Scenario, stages: Stages, folder: Path) -> str:
    return play_scenario(PYTHON, scenario, stages, folder, lambda _, __: None)


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: scenario.name)
def test_python_plays(scenario: Scenario, stages: Stages, tmp_path: Path) -> None:
    assert played(scenario, stages, tmp_path) == PASSED


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        (
            {"get": {"job_id": "j"}, "expect": {"job_id": "k"}},
            "step 1, get {'job_id': 'j'}: $.job_id: expected 'k', found 'j'",
        ),
        ({"get": {"job_id": "j"}, "error": {"reason": "JOB_NOT_FOUND"}}, "expected error, found {'ok'"),
        ({"get": {"job_id": "foreign"}}, "expected ok, found {'error'"),
        ({"get": {"no_such": "argument"}}, "expected ok, found {'error'"),
    ],
)
def test_a_client_that_does_otherwise_fails(
    step: dict[str, object], problem: str, stages: Stages, tmp_path: Path
) -> None:
    assert problem in played(Scenario("s", "s", (step,), server="fake"), stages, tmp_path)


def test_a_driver_that_dies_fails(stages: Stages, tmp_path: Path) -> None:
    dying = replace(PYTHON, run=("{python}", "-c", "1 / 0"))
    problem = play_scenario(dying, Scenario("s", "s", (), server="fake"), stages, tmp_path, lambda _, __: None)
    assert "ZeroDivisionError" in problem


MISMATCHES = [
    (1, True),
    (0, False),
    ("1", 1),
    (2**53, 2**53 + 1),
    ({"a": 1}, {"b": 1}),
    ({"a": {"$absent": True}}, {"a": None}),
    ({"$exactly": {"a": 1}}, {"a": 1, "b": 2}),
    ([1], [1, 2]),
    ({"$in": [1, 2]}, 3),
    ({"$from": 1}, 0),
    ({"$to": 1}, 2),
    ({"$from": 0}, True),
    ({"$matches": "a"}, "b"),
    ({"$contains": [1, 2]}, [2, 1]),
    ({"$contains_all": [1, 2]}, [1]),
    ({"$all": {"a": 1}}, [{"a": 1}, {"a": 2}]),
    ({"$length": 2}, [1]),
    ({"$gapless": 1}, [{"sequence": 1}, {"sequence": 3}]),
    ({"$gapless": 1}, []),
    ({"$gapless": 1}, [{"sequence": 1}, {"sequence": 1}]),
    ({"$not": 1}, 1),
    ({"$reason": "JOB_NOT_FOUND"}, "CallFailed"),
    ({"$omitted": 1}, {"$omitted": 2}),
]


@pytest.mark.parametrize(("expected", "found"), MISMATCHES, ids=str)
def test_what_differs_does_not_match(expected: object, found: object) -> None:
    with pytest.raises(Mismatch):
        match(expected, found)


def test_what_is_misspelt_matches_nothing() -> None:
    with pytest.raises(ValueError, match=r"there is no \$gaples"):
        match({"$gaples": 1}, [])


def test_the_suite_knows_every_reason() -> None:
    reasons = {name.removeprefix("ERROR_REASON_") for name, _ in error_reason_pb2.ErrorReason.items()} - {"UNSPECIFIED"}
    assert set(_CODE_OF) | {"INTERNAL_ERROR"} == reasons
    (every,) = (scenario for scenario in scenarios() if scenario.name == "every_reason")
    assert {step["error"]["reason"] for step in every.steps} == reasons
