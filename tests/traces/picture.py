"""Prints the spans of a job that was killed, asked a question and was resumed, as docs/traces.md shows them.

python -m tests.traces.picture
"""

import tempfile
from pathlib import Path

from autopilot_client import Client, JobState
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from tests.promises.conftest import appears
from tests.traces.conftest import TracedServer
from tests.traces.receiver import Receiver, tree


def picture() -> str:
    """Run the job, and give its spans."""
    receiver = Receiver()
    tracer = TracerProvider().get_tracer("client")
    with tempfile.TemporaryDirectory() as folder:
        server = TracedServer(Path(folder), receiver.address)
        server.start()
        with server.client() as client:
            _submit_and_kill(server, client, tracer, receiver, Path(folder))
            _decide(client, tracer)
        server.terminate()
    receiver.close()
    return tree([span for span in receiver.spans if not span.name.endswith("GetStatus")])


def _submit_and_kill(
    server: TracedServer, client: Client, tracer: trace.Tracer, receiver: Receiver, folder: Path
) -> None:
    with tracer.start_as_current_span("order"):
        client.submit("story", {"folder": str(folder)}, job_id="j")
    appears(folder / "holding")
    receiver.wait(lambda spans: any(span.name == "step first" for span in spans))
    server.kill()
    (folder / "go").touch()
    server.start()


def _decide(client: Client, tracer: trace.Tracer) -> None:
    assert client.get("j", wait=60).state is JobState.INTERRUPTED
    with tracer.start_as_current_span("decision"):
        client.resume("j", answer="yes")
    assert client.get("j", wait=60).state is JobState.SUCCEEDED


if __name__ == "__main__":
    print(picture())
