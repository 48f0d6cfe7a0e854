"""The contract, and what mirrors it."""

import re
import subprocess
from pathlib import Path

import autopilot_client
import pytest
from autopilot.v1 import error_reason_pb2, job_pb2, job_service_pb2
from autopilot_client._errors import REASONS
from autopilot_server.jobs import errors
from autopilot_server.jobs.job import JobErrorReason
from autopilot_server.jobs.states import JobState

ROOT = Path(__file__).parents[1]
PREFIX = "ERROR_REASON_"


def documented() -> dict[str, str]:
    """The status code that the contract's comment names for each reason."""
    text = (ROOT / "protos/autopilot/v1/error_reason.proto").read_text()
    found = re.findall(r"// ([A-Z_]+)\.(?:(?!\n\n).)*?\n  ERROR_REASON_([A-Z_]+) = \d+;", text, re.DOTALL)
    return {reason: code for code, reason in found}


def test_every_reason_has_an_error_with_its_code() -> None:
    reasons = {name.removeprefix(PREFIX) for name, _ in error_reason_pb2.ErrorReason.items()} - {"UNSPECIFIED"}
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.ServiceError)]
    ours = {c.reason: c.code for c in classes if c is not errors.ServiceError}
    assert set(ours) == reasons
    codes = documented()
    assert set(codes) == reasons
    assert ours == codes


def test_the_client_has_a_class_for_every_reason() -> None:
    reasons = {name.removeprefix(PREFIX) for name, _ in error_reason_pb2.ErrorReason.items()} - {"UNSPECIFIED"}
    assert set(REASONS) == reasons
    assert all(kind.__name__ in autopilot_client.__all__ for kind in REASONS.values())


def test_states_have_the_contract_s_numbers() -> None:
    contract = {name.removeprefix("JOB_STATE_"): number for name, number in job_pb2.JobState.items() if number}
    assert {state.name: state.value for state in JobState} == contract
    client = {state.name: state.value for state in autopilot_client.JobState if state}
    assert client == contract


def test_job_error_reasons_are_those_that_the_contract_names() -> None:
    comment = (ROOT / "protos/autopilot/v1/job.proto").read_text().partition("message JobError {")[2][:400]
    named = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b|\bCANCELLED\b", comment)) - {"UPPER_SNAKE_CASE"}
    # "more may be added": a refused update, and a limit of the job's own process.
    assert {reason.value for reason in JobErrorReason} == named | {"UPDATE_REFUSED", "RESOURCE_LIMIT_REACHED"}


def test_the_service_has_its_methods() -> None:
    service = job_service_pb2.DESCRIPTOR.services_by_name["JobService"]
    assert [method.name for method in service.methods] == [
        *("SubmitJob", "GetStatus", "ListJobs", "WatchProgress", "Cancel", "Resume"),
        *("DeleteJob", "ListCheckpoints", "PruneJobs", "ListWorkflows"),
    ]


def test_every_client_has_the_same_retry_policy() -> None:
    shared = (ROOT / "clients/service_config.json").read_text()
    copies = subprocess.run(
        ["git", "ls-files", "clients/**/service_config.json"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "clients/python/autopilot_client/service_config.json" in copies
    for copy in copies:
        assert (ROOT / copy).read_text() == shared, copy


BUF = ROOT / ".venv-generate" / "bin" / "buf"


@pytest.mark.skipif(not BUF.exists(), reason="make breaking and make lint install buf")
def test_a_breaking_change_is_caught(tmp_path: Path) -> None:
    target = tmp_path / "protos"
    subprocess.run(["cp", "-r", str(ROOT / "protos"), str(target)], check=True)
    file = target / "autopilot/v1/job.proto"
    against = ["breaking", "--against", "released/0.1.0.binpb"]
    assert subprocess.run([BUF, *against], cwd=target, capture_output=True).returncode == 0
    file.write_text(file.read_text().replace("int32 priority = 6;", "int32 priority = 60;"))
    broken = subprocess.run([BUF, *against], cwd=target, capture_output=True, text=True)
    assert broken.returncode != 0
    assert "priority" in broken.stdout + broken.stderr
