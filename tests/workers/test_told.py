"""What workers tell: tokens, values, measures, log lines and traces, as if the server ran the jobs itself."""

import json
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from autopilot_client import Client, JobState, TokenChunk

from tests.encryption.conftest import Vault, fill, require_filled
from tests.postgres import SQLITE_ONLY
from tests.promises.conftest import Watcher
from tests.test_metrics import Measured
from tests.traces.conftest import TracedServer
from tests.traces.receiver import Received, Receiver
from tests.waiting import wait_until
from tests.workers.conftest import GRAPHS, Workers, children, kill, poll_never, succeeded


class MeasuredWorkers(Workers, Measured):
    """With metrics."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MeasuredWorkers]:
    with MeasuredWorkers(tmp_path) as server:
        yield server


def test_tokens_come_to_whoever_watches(server: Workers, client: Client) -> None:
    for workflow in ("chats", "chats_apart"):
        job = server.submit(client, workflow, workflow)
        server.stands(job)
        watcher = Watcher(client, job, tokens=True)
        wait_until(lambda watcher=watcher: watcher.events)
        server.go(job)
        succeeded(client, job)
        tokens = [event.kind for event in watcher.finish() if isinstance(event.kind, TokenChunk)]
        assert "".join(token.text for token in tokens) == "one two three"
        assert {(token.step, token.message_id) for token in tokens} == {("chat", "m1")}


def test_values_are_read_by_a_process_that_may_die(server: Workers, client: Client) -> None:
    succeeded(client, server.submit(client, "tells", "done"))
    before = set(children(server.fork_server))
    read = list(client.checkpoints("done", values=True))
    assert read[0].values["items"]
    for _ in range(2):
        (reader,) = set(children(server.fork_server)) - before
        kill(reader)
        assert list(client.checkpoints("done", values=True)) == read
    server.says("reader (process ", 2)


def test_what_workers_do_is_measured_by_the_server(server: MeasuredWorkers, client: Client) -> None:
    jobs = [server.submit(client, workflow, workflow) for workflow in ("holds", "holds_apart")]
    for job in jobs:
        server.stands(job)
    wait_until(lambda: server.figure("autopilot_running_jobs") == 2, server.text)
    kill(server.stands("holds"))
    server.stands("holds", 2)
    server.go(*jobs)
    for job in jobs:
        assert client.get(job, wait=60).state is JobState.SUCCEEDED

    def measured() -> Sequence[float]:
        figure = server.figure
        return [
            figure("autopilot_attempts_total", workflow="holds", state="SUCCEEDED"),
            figure("autopilot_attempts_total", workflow="holds_apart", state="SUCCEEDED"),
            figure("autopilot_step_seconds_count", workflow="holds_apart", step="after", outcome="finished"),
            figure("autopilot_worker_deaths_total", cause="SIGKILL"),
            figure("autopilot_recovered_jobs_total", outcome="requeued"),
            figure("autopilot_running_jobs"),
        ]

    wait_until(lambda: measured() == [1, 1, 1, 1, 1, 0], measured)
    # Its own commits are the submissions, the recovery and what it published.
    assert server.figure("autopilot_events_total") >= client.get("holds").latest_sequence
    assert server.figure("autopilot_loop_lag_seconds_count", loop="engine")


def test_the_level_is_turned_in_all_processes(server: Workers, client: Client) -> None:
    """Also in those that come later."""
    job = server.submit(client, "holds", "before")
    worker = server.stands(job)
    server.signal(signal.SIGUSR1)
    server.says("the log level is debug now")
    kill(worker)
    server.stands(job, 2)
    for workflow in ("debugs", "debugs_apart"):
        client.run(workflow, {"items": [f"{workflow} loud"]})
        server.says(f"it is {workflow} loud")
    server.signal(signal.SIGUSR2)
    server.says("the log level is info now")
    for workflow in ("debugs", "debugs_apart"):
        client.run(workflow, {"items": [f"{workflow} quiet"]})
    assert "quiet" not in server.log.read_text()


def test_no_two_workers_draw_the_same(server: Workers, client: Client) -> None:
    """Though they were forked from one process, whose generators were all at the same place."""
    jobs = [server.submit(client, workflow, f"{workflow}-{n}") for workflow in ("draws", "draws_apart") for n in (1, 2)]
    processes = {server.stands(job) for job in jobs}
    assert len(processes) >= 3
    server.go(*jobs)
    drawn = [number for job in jobs for number in succeeded(client, job).output["items"]]
    assert len(set(drawn)) == len(drawn) == 20


@SQLITE_ONLY
def test_what_workers_write_is_encrypted(tmp_path: Path) -> None:
    """They get the keys from the server, and tell them nobody: not even the file has to be there any more."""
    vault = Vault(tmp_path)
    vault.new_key()
    vault.server.workers, vault.server.sabotage = "2", poll_never
    with vault.server, vault.server.client() as client:
        secret = vault.keys.read_text()
        vault.keys.unlink()
        fill(client)
        require_filled(client)
        assert vault.found() == set()
        assert not any(word in vault.server.log.read_text() for word in secret.split() if len(word) > 20)


def test_attempts_and_steps_of_workers_are_traced(tmp_path: Path) -> None:
    receiver = Receiver()
    server = TracedServer(tmp_path, receiver.address)
    server.workers = "2"
    with server, server.client() as client:
        client.run("work", {})
        spans = receiver.wait(lambda spans: any(span.name == "attempt work" for span in spans))
        assert server.terminate() == 0
    receiver.close()
    (attempt,) = (span for span in spans if span.name == "attempt work")
    (submit,) = (span for span in spans if span.span_id == attempt.parent_id)
    assert submit.name.endswith("SubmitJob")
    assert {"step first", "step second", "own first"} <= {span.name for span in of_trace(spans, attempt.trace_id)}


def of_trace(spans: Sequence[Received], trace_id: str) -> Sequence[Received]:
    return [span for span in spans if span.trace_id == trace_id]


def test_lines_for_machines_say_which_process(tmp_path: Path) -> None:
    with Workers(tmp_path, "--log-format", "json", config=GRAPHS, workers=1) as server, server.client() as client:
        client.run("tells", {}, job_id="job")
        server.says("job SUCCEEDED")
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    (line,) = (line for line in lines if line["event"] == "job SUCCEEDED")
    assert (line["process"], line["job_id"], line["workflow"]) == ("worker 1", "job", "tells")
