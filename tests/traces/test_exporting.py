"""The way to the collector: what is said when there is none, and that nobody waits for it."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from autopilot_client import Client
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from tests.traces.conftest import TracedServer
from tests.traces.receiver import Receiver

# Of a job of `work`, Submit's included.
SPANS = 7
JOBS = 30

# Nobody listens there.
NOWHERE = "127.0.0.1:9"


def run_jobs(server: TracedServer, jobs: int = JOBS) -> None:
    """Jobs, and no calls that are spans but their Submits."""
    server.start()
    with server.client() as client:
        for _ in range(jobs):
            list(client.watch(client.submit("work", {}).job_id))


def dropped(server: TracedServer) -> int:
    return sum(int(number) for number in re.findall(r'"(\d+) spans were dropped', server.log.read_text()))


def test_a_collector_that_does_not_answer_holds_nothing_up(tmp_path: Path, receiver: Receiver) -> None:
    """All jobs are done before it has answered once; what found no room is counted, the rest arrives."""
    receiver.answers.clear()
    few = {"OTEL_BSP_MAX_QUEUE_SIZE": "64", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "16"}
    server = TracedServer(tmp_path, receiver.address, OTEL_EXPORTER_OTLP_TIMEOUT="600", **few)
    run_jobs(server)
    assert not receiver.spans
    receiver.answers.set()
    assert server.terminate() == 0
    assert 0 < len(receiver.spans) < JOBS * SPANS
    assert len(receiver.spans) + dropped(server) == JOBS * SPANS


def test_without_a_collector_every_span_is_counted(tmp_path: Path) -> None:
    server = TracedServer(tmp_path, NOWHERE, OTEL_EXPORTER_OTLP_TIMEOUT="1")
    run_jobs(server)
    assert server.terminate() == 0
    assert dropped(server) == JOBS * SPANS


def test_the_process_s_end_does_not_wait_for_a_collector_that_does_not_answer(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.answers.clear()
    server = TracedServer(tmp_path, receiver.address, OTEL_EXPORTER_OTLP_TIMEOUT="600")
    run_jobs(server)
    # Comes to an end before the collector answers, which it never does.
    assert server.terminate() == 0
    assert dropped(server) == JOBS * SPANS


def test_over_http(tmp_path: Path, receiver: Receiver) -> None:
    with over_http(receiver) as address:
        server = TracedServer(tmp_path, address, OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf")
        run_jobs(server, 1)
        assert server.terminate() == 0
    assert len(receiver.spans) == SPANS


@contextmanager
def over_http(receiver: Receiver) -> Iterator[str]:
    """The receiver, reached by HTTP."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.take(trace_service_pb2.ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.parametrize(
    ("environment", "name"),
    [({}, "autopilot"), ({"OTEL_SERVICE_NAME": "mine"}, "mine"), ({"OTEL_RESOURCE_ATTRIBUTES": "zone=a"}, "autopilot")],
    ids=["ours", "named", "more"],
)
def test_the_environment_says_who_sends(
    tmp_path: Path, receiver: Receiver, environment: dict[str, str], name: str
) -> None:
    server = TracedServer(tmp_path, receiver.address, **environment)
    server.start()
    with server.client() as client:
        client.run("work", {})
    server.terminate()
    resources = receiver.resources()
    assert {resource["service.name"] for resource in resources} == {name}
    assert all(resource["service.version"] for resource in resources)


def test_a_sampler_of_the_environment_s_is_asked(tmp_path: Path, receiver: Receiver) -> None:
    server = TracedServer(tmp_path, receiver.address, OTEL_TRACES_SAMPLER="parentbased_always_off")
    server.start()
    parent = ("traceparent", f"00-{'a' * 32}-{'b' * 16}-01")
    with server.client() as nobody, Client(server.address, metadata=[parent]) as somebody:
        nobody.run("work", {})
        somebody.run("work", {})
    server.terminate()
    assert {span.trace_id for span in receiver.spans} == {"a" * 32}


def test_disabled_by_the_environment_the_trace_still_goes_along(
    tmp_path: Path, receiver: Receiver, sampled: trace.Tracer
) -> None:
    trace_ids_in_the_log(TracedServer(tmp_path, receiver.address, OTEL_SDK_DISABLED="true"), sampled)
    assert not receiver.spans


def test_without_the_setting_the_trace_still_goes_along(
    tmp_path: Path, receiver: Receiver, sampled: trace.Tracer
) -> None:
    server = TracedServer(tmp_path, receiver.address)
    server.options.remove("--traces")
    trace_ids_in_the_log(server, sampled)
    assert not receiver.spans


def trace_ids_in_the_log(server: TracedServer, tracer: trace.Tracer) -> None:
    server.start()
    with server.client() as client, tracer.start_as_current_span("order") as order:
        client.run("work", {}, job_id="j")
    server.terminate()
    told = {line.get("trace_id") for line in server.lines() if line.get("job_id") == "j"}
    assert told == {trace.format_trace_id(order.get_span_context().trace_id)}


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "pigeon"}, "OTEL_EXPORTER_OTLP_PROTOCOL is 'pigeon'"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "many"}, "--traces: OpenTelemetry refuses its environment variables"),
    ],
    ids=["protocol", "queue"],
)
def test_what_the_environment_gets_wrong_is_said_in_one_line(
    tmp_path: Path, environment: dict[str, str], said: str
) -> None:
    server = TracedServer(tmp_path, NOWHERE, **environment)
    assert server.start_or_die() == ""
    assert server.wait_for_death() == 2
    (line,) = [line for line in server.log.read_text().splitlines() if line.startswith("autopilot: ")]
    assert said in line


# As on a machine where the extra is not installed.
BLOCKED = "import sys; sys.modules['opentelemetry'] = None\n"


def without_the_extra(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCKED + program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_without_the_extra_the_setting_is_refused_and_all_else_works(tmp_path: Path) -> None:
    imported = without_the_extra("import autopilot_server.app, autopilot_client; autopilot_client.Client().close()")
    assert imported.returncode == 0, imported.stderr
    serve = "from autopilot_server import cli; cli.serve(sys.argv[1:], prog_name='autopilot serve')"
    server = TracedServer(tmp_path, NOWHERE)
    refused = without_the_extra(serve, *server.arguments())
    assert refused.returncode == 2
    assert "autopilot: --traces needs OpenTelemetry" in refused.stderr
    assert "autopilot-jobs[server,otel]" in refused.stderr


def test_the_client_does_not_load_what_its_program_has_not() -> None:
    program = "import sys, autopilot_client as a; a._channel.CallMetadata((), None)(); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert "autopilot_client" in ran.stdout
    assert "opentelemetry" not in ran.stdout
