"""The metrics of a real server: each figure moves for what it stands for, and nothing secret is among them."""

import json
import re
import socket
import sqlite3
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from autopilot_client import Client, JobNotFound, JobState
from autopilot_server import metrics_server
from autopilot_server.jobs.errors import StorageUnavailableError
from autopilot_server.metrics import Sources
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from tests.promises.conftest import appears
from tests.proof.server import ServerProcess

ROOT = Path(__file__).parents[1]
SECRET = "planted-secret"


class Measured(ServerProcess):
    """A server with metrics."""

    def start(self) -> None:
        self.options = ["--metrics-listen", "127.0.0.1:0"]
        super().start()
        found = re.findall(r"metrics on port (\d+)", self.log.read_text())
        self.url = f"http://127.0.0.1:{found[-1]}/metrics"

    def text(self) -> str:
        with urllib.request.urlopen(self.url, timeout=30) as response:  # noqa: S310 - a URL of our own
            return str(response.read().decode())

    def figure(self, name: str, **labels: str) -> float:
        """The sum of the samples with a name and these labels."""
        families = text_string_to_metric_families(self.text())
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Measured]:
    with Measured(tmp_path) as server:
        yield server


@pytest.fixture
def client(server: Measured) -> Iterator[Client]:
    with server.client() as client:
        yield client


def test_what_calls_jobs_and_steps_do_is_counted(server: Measured, client: Client) -> None:
    for _ in range(3):
        client.run("linear", {"items": [SECRET]}, context={"key": SECRET}, labels={"l": SECRET})
    with pytest.raises(JobNotFound):
        client.get(SECRET)
    assert client.get(client.submit("ask", {"items": []}).job_id, wait=30).state is JobState.INTERRUPTED
    figure = server.figure
    assert figure("autopilot_rpcs_total", method="SubmitJob", code="OK") == 4
    assert figure("autopilot_rpcs_total", method="GetStatus", code="NOT_FOUND") == 1
    assert figure("autopilot_rpc_seconds_count", method="SubmitJob") == 4
    assert figure("autopilot_rpc_seconds_count", method="WatchProgress") == 0
    assert figure("autopilot_jobs", workflow="linear", state="SUCCEEDED") == 3
    assert figure("autopilot_jobs", workflow="ask", state="INTERRUPTED") == 1
    assert figure("autopilot_attempts_total", workflow="linear", state="SUCCEEDED") == 3
    assert figure("autopilot_step_seconds_count", workflow="linear", step="a", outcome="finished") == 3
    with sqlite3.connect(server.database) as database:
        (events,) = database.execute("SELECT count(*) FROM events").fetchone()
    assert figure("autopilot_events_total") == events
    assert figure("autopilot_commit_seconds_count") == figure("autopilot_commits_total", outcome="committed") > 0
    assert figure("autopilot_commit_writes_sum") >= figure("autopilot_commit_writes_count")
    assert figure("autopilot_database_bytes", file="database") == server.database.stat().st_size
    assert figure("autopilot_database_up") == 1
    assert figure("autopilot_queue_age_seconds") == 0
    assert SECRET not in server.text()


def test_what_goes_on_now_is_told(server: Measured, client: Client, tmp_path: Path) -> None:
    """Running jobs, watches, threads that do not return, failed steps, and what a dead process left."""
    job_id = client.submit("holding_sync", {"items": [], "folder": str(tmp_path)}).job_id
    appears(tmp_path / "holding")
    assert server.figure("autopilot_running_jobs") == 1
    events = client.watch(job_id)
    next(events)
    assert server.figure("autopilot_watches") == 1
    client.cancel(job_id, grace_period=0)
    assert list(events)[-1].kind.to_state is JobState.CANCELLED
    assert server.figure("autopilot_watches") == 0
    assert server.figure("autopilot_watch_events_total") > 0
    while server.figure("autopilot_abandoned_threads") != 1:
        client.get(job_id)
    (tmp_path / "holding").unlink()
    client.submit("holding", {"items": [], "folder": str(tmp_path)})
    appears(tmp_path / "holding")
    server.kill()
    server.start()
    assert server.figure("autopilot_recovered_jobs_total", outcome="requeued") == 1


def test_the_loops_lag_is_measured(server: Measured) -> None:
    for loop in ("server", "engine"):
        while not server.figure("autopilot_loop_lag_seconds_count", loop=loop):
            pass


class Away:
    """A store whose database is away."""

    def sizes(self) -> dict[str, int]:
        return {}

    def job_counts(self) -> None:
        raise StorageUnavailableError("away", retry_delay=1)


def test_who_sends_half_a_request_holds_few_threads_and_none_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server._Handler, "timeout", 0.5)
    away: Any = Away()
    sources = Sources(store=away, running_jobs=lambda: 0, abandoned_threads=lambda: 0)
    server = metrics_server.MetricsServer(("127.0.0.1", 0), CollectorRegistry(), sources)
    threads = threading.active_count()
    halves = [socket.create_connection(("127.0.0.1", server.port), timeout=60) for _ in range(100)]
    for half in halves:
        with suppress(OSError):
            half.send(b"GET /metrics")
    assert threading.active_count() <= threads + metrics_server.MOST_REQUESTS
    for half in halves:
        with half, suppress(ConnectionError):
            assert half.recv(100) == b""
    while True:
        # The last of them may have a thread still.
        with suppress(ConnectionError, urllib.error.URLError):
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=60) as answer:
                assert b"autopilot_database_up 0.0" in answer.read()
            break
    server.close()


def test_an_address_that_cannot_be_used_is_said_in_one_line(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, options=["--metrics-listen", "nowhere"])
    assert server.start_or_die() == ""
    assert server.wait_for_death() == 2
    assert "give --metrics-listen as HOST:PORT" in server.log.read_text()


def names(server: Measured) -> set[str]:
    return {name for name in re.findall(r"^# TYPE (\w+)", server.text(), re.MULTILINE) if name.startswith("autopilot_")}


@pytest.mark.parametrize("file", ["deploy/grafana/autopilot.json", "deploy/prometheus/alerts.yml", "docs/metrics.md"])
def test_what_reads_the_metrics_asks_for_those_that_there_are(server: Measured, file: str) -> None:
    text = (ROOT / file).read_text()
    there = names(server)
    used = set(re.findall(r"\bautopilot_[a-z_]+", text))
    for name in used:
        base = re.sub(r"_(bucket|count|sum)$", "", name)
        assert {name, base} & there, f"{file} asks for {name}"


def test_every_metric_is_documented(server: Measured) -> None:
    text = (ROOT / "docs/metrics.md").read_text()
    for name in names(server):
        if not name.endswith("_created"):
            assert f"`{name}`" in text


def test_the_dashboard_is_whole() -> None:
    board = json.loads((ROOT / "deploy/grafana/autopilot.json").read_text())
    assert board["title"] == "Autopilot"
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert all(target["expr"] for panel in panels for target in panel["targets"])
    assert len({panel["id"] for panel in panels}) == len(panels)
