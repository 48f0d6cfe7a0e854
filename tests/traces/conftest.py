"""A real server that exports to a receiver of the test's."""

import json
import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
from autopilot_client import Client
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from tests.proof.server import ServerProcess
from tests.traces.receiver import Receiver

GRAPHS = ("work", "hold", "fan_out", "nested", "asks", "story", "fails_once")

# Spans are sent at once, so that a kill takes none of those that have ended.
EAGER = {"OTEL_BSP_SCHEDULE_DELAY": "20"}


def set_environment(variables: Mapping[str, str]) -> None:
    """In the server's process, before it serves."""
    os.environ.update(variables)


class TracedServer(ServerProcess):
    """With its traces on, and the client's spans."""

    def __init__(self, folder: Path, address: str, **environment: str) -> None:
        config = folder / "langgraph.json"
        file = Path(__file__).with_name("graphs.py")
        config.write_text(json.dumps({"graphs": {name: f"{file}:{name}" for name in GRAPHS}}))
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}", **EAGER, **environment}
        super().__init__(
            folder,
            config=config,
            options=["--traces", "--log-format", "json"],
            sabotage=partial(set_environment, variables),
        )

    def lines(self) -> list[dict[str, object]]:
        """The log."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def server(tmp_path: Path, receiver: Receiver) -> Iterator[TracedServer]:
    server = TracedServer(tmp_path, receiver.address)
    server.start()
    yield server
    server.close()


@pytest.fixture
def client(server: TracedServer) -> Iterator[Client]:
    with server.client() as client:
        yield client


@pytest.fixture
def sampled() -> trace.Tracer:
    """Makes spans of the client's."""
    return TracerProvider().get_tracer("client")


@pytest.fixture
def unsampled() -> trace.Tracer:
    """The same, of a trace that nobody records."""
    return TracerProvider(sampler=ALWAYS_OFF).get_tracer("client")
