"""Random histories of every method, in every order, against a real server and a model of the contract.

AUTOPILOT_PROOF_EXAMPLES sets how many histories, AUTOPILOT_PROOF_SEED which.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import pytest
from autopilot.v1 import error_reason_pb2, job_service_pb2, job_service_pb2_grpc
from autopilot_server.access.identity import Grant, Identity
from autopilot_server.access.tokens import change_tokens, new_token
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.proof.conftest import Tried
from tests.proof.histories.recording import PATIENCE_SECONDS
from tests.proof.model import scenes as model_scenes
from tests.proof.model import workflows as model_workflows
from tests.proof.model.compare import refusal_of
from tests.proof.model.histories import Histories
from tests.proof.model.refusals import Refusal
from tests.proof.model.talk import UNFINISHED_LIMIT, WATCHES, Talk
from tests.proof.model.workflows import PLANS, Plan
from tests.proof.seed import SEED
from tests.proof.server import ServerProcess

EXAMPLES = int(os.environ.get("AUTOPILOT_PROOF_EXAMPLES", "40"))
STEPS = 30

# Rounds of histories, until nothing is missing.
MOST_ROUNDS = 4

METHODS = [method.name for method in job_service_pb2.DESCRIPTOR.services_by_name["JobService"].methods]
REASONS = [name.removeprefix("ERROR_REASON_") for name in error_reason_pb2.ErrorReason.keys()[1:]]

FAULT = {"INTERNAL_ERROR"}
"""No request provokes it: it stands for faults of the program. Below, one is planted."""

OPTIONS = {
    "--unfinished-jobs": UNFINISHED_LIMIT,
    "--watches": WATCHES,
    "--default-grace-seconds": 0.02,
    "--max-worker-losses": 1_000_000,
}


SCENES = (model_scenes.stopping, model_scenes.away, model_scenes.crowded, model_scenes.paged, model_scenes.queued)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with server_for(tmp_path) as server:
        yield server


def server_for(folder: Path, *more: object, alone: bool = True, **fields: Any) -> ServerProcess:
    """`alone`: for one client, who alone takes what places workflows have."""
    folder.mkdir(exist_ok=True)
    config = folder / "langgraph.json"
    graphs = {name: _graph(name, plan if alone else replace(plan, jobs=None)) for name, plan in PLANS.items()}
    config.write_text(json.dumps({"graphs": graphs}))
    options = [str(part) for option in OPTIONS.items() for part in option] + [str(part) for part in more]
    return ServerProcess(folder, config=config, options=options, **fields)


def _graph(name: str, plan: Plan) -> dict[str, Any]:
    limits = {kind: most for kind, most in (("jobs", plan.jobs), ("per_key", plan.per_key)) if most is not None}
    path = f"{model_workflows.__file__}:{name}"
    return {"path": path, "concurrency": limits} if limits else {"path": path}


def test_the_server_is_what_the_contract_says(server: ServerProcess, tmp_path: Path, tried: Tried) -> None:
    """Until each method has succeeded, and each reason has been given that can be."""
    counts: Counter[str] = Counter()
    Histories.server, Histories.folder, Histories.counts, Histories.numbers = server, tmp_path, counts, count()
    for number, scene in enumerate(SCENES):
        gates = tmp_path / f"scene-{number}"
        gates.mkdir()
        talk = Talk(server, gates, counts, print)
        scene(talk)
        talk.close()
    _uninvited(server_for(tmp_path / "guarded", "--token-file", tmp_path / "guarded" / "tokens.json"), counts)
    rounds = 0
    while rounds == 0 or (_missing(counts) and rounds < MOST_ROUNDS):
        _histories(SEED + rounds)
        rounds += 1
    tried(**{f"model_{what}": times for what, times in counts.items()})
    assert not _missing(counts)


def _missing(counts: Counter[str]) -> set[str]:
    wanted = {f"answered_{method}" for method in METHODS}
    wanted |= {f"refused_{reason}" for reason in REASONS if reason not in FAULT}
    return {what for what in wanted | {"held_back"} if not counts[what]}


def _histories(which: int) -> None:
    run_state_machine_as_test(
        seed(which)(Histories),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )


def _uninvited(server: ServerProcess, counts: Counter[str]) -> None:
    """Callers without credentials, or without the right, are told that before anything else about their requests."""
    reader, kept = new_token(Identity("reader", "", (Grant.of(["read"], "*"),)))
    change_tokens(server.folder / "tokens.json", lambda _: [kept])
    with server, grpc.insecure_channel(server.address) as channel:
        for method in METHODS:
            call = getattr(job_service_pb2_grpc.JobServiceStub(channel), method)
            # Out of form, too: nobody is told that.
            request = getattr(job_service_pb2, f"{method}Request")()
            assert _told(call, request, counts) == Refusal("UNAUTHENTICATED", "CREDENTIALS_INVALID")
            if method in ("SubmitJob", "Cancel", "Resume", "DeleteJob", "PruneJobs"):
                refusal = Refusal("PERMISSION_DENIED", "METHOD_FORBIDDEN", {"method": method})
                assert _told(call, request, counts, metadata=[("authorization", f"Bearer {reader}")]) == refusal


def _told(call: Any, request: Any, counts: Counter[str], **fields: Any) -> Refusal:
    with pytest.raises(grpc.RpcError) as caught:
        list(call(request, timeout=PATIENCE_SECONDS, **fields))
    refusal = refusal_of(caught.value)
    counts[f"refused_{refusal.reason}"] += 1
    return refusal


def test_a_fault_of_the_program_is_told_by_its_id_alone(tmp_path: Path) -> None:
    with (
        server_for(tmp_path, sabotage=_break_reading) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stub = job_service_pb2_grpc.JobServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetStatus(job_service_pb2.GetStatusRequest(job_id="j"), timeout=PATIENCE_SECONDS)
    refusal, log = refusal_of(caught.value), server.log.read_text()
    assert (refusal.code, refusal.reason, refusal.metadata.keys()) == ("INTERNAL", "INTERNAL_ERROR", {"error_id"})
    assert refusal.metadata["error_id"] in log
    assert any(refusal.metadata["error_id"] in error for error in server.errors)
    assert "what nobody should see" in log
    assert "what nobody should see" not in str(caught.value)


def _break_reading() -> None:
    """In the server's process: reading a job fails."""
    from autopilot_server.storage.sqlite.store import SqliteStore

    def broken(self: SqliteStore, job_id: str, *, payloads: bool) -> None:
        raise ZeroDivisionError("what nobody should see")

    SqliteStore.job_get = broken  # type: ignore[assignment, method-assign]
