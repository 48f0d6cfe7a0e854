"""Clients that were generated from the contract of a release work with today's server.

All scenarios are played by `make conformance`; here a few, and what they would notice.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from clients.conformance.drivers import RELEASED, released
from clients.conformance.playing import scenarios
from clients.conformance.results import PASSED
from clients.conformance.stages import Stages
from clients.conformance.turns import play_scenario

SCENARIOS = {scenario.name: scenario for scenario in scenarios()}
CONTRACTS = sorted(RELEASED.glob("*.binpb"))


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stages]:
    stages = Stages(tmp_path_factory.mktemp("stages"))
    yield stages
    stages.close()


def played(contract: Path, scenario: str, stages: Stages, folder: Path) -> str:
    return play_scenario(released(contract), SCENARIOS[scenario], stages, folder, lambda _, __: None)


def test_there_is_a_release() -> None:
    assert CONTRACTS


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("scenario", ["submit_and_result", "watch", "interrupt_and_answer", "conflicts", "list"])
def test_a_client_of_a_release_works(contract: Path, scenario: str, stages: Stages, tmp_path: Path) -> None:
    assert played(contract, scenario, stages, tmp_path) == PASSED


def changed(contract: Path, target: Path, message: str, field: str, number: int) -> Path:
    """The contract with another number for a field: what a server that broke it would look like to its clients."""
    files = FileDescriptorSet.FromString(contract.read_bytes())
    (found,) = (
        candidate
        for file in files.file
        for described in file.message_type
        if described.name == message
        for candidate in described.field
        if candidate.name == field
    )
    found.number = number
    target.write_bytes(files.SerializeToString())
    return target


@pytest.mark.parametrize(
    ("message", "field", "scenario"),
    [
        ("Job", "state", "submit_and_result"),
        ("SubmitJobRequest", "input", "submit_and_result"),
        ("StateChanged", "to", "watch"),
    ],
)
def test_a_broken_contract_is_noticed(message: str, field: str, scenario: str, stages: Stages, tmp_path: Path) -> None:
    broken = changed(CONTRACTS[-1], tmp_path / "broken.binpb", message, field, 90)
    assert played(broken, scenario, stages, tmp_path) != PASSED
