"""A server whose jobs leave texts everywhere, and the search for them in its files."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from autopilot_client import Client, JobState, RetryPolicy
from autopilot_server.storage.keys import add_key, read_keys
from autopilot_server.storage.sealing import Sealer

from tests.encryption.graphs.graphs import planted
from tests.proof.server import ServerProcess

GRAPHS = Path(__file__).with_name("graphs") / "langgraph.json"

PLACES = {
    *("input", "context", "memory", "progress", "event", "state", "question", "schema", "answer", "output", "error"),
    *("reason", "update"),
}


class Vault:
    """A server's folder, with a file of keys beside it."""

    def __init__(self, folder: Path) -> None:
        self.keys = folder / "keys.txt"
        self.folder = folder / "data"
        self.folder.mkdir()
        self.server = ServerProcess(self.folder, config=GRAPHS)

    def new_key(self) -> None:
        """One more key, first in the file, and a server that is started with the file."""
        add_key(self.keys)
        self.server.options = ["--encryption-key-file", str(self.keys)]

    def drop_old_keys(self) -> None:
        self.keys.write_text(self.keys.read_text().splitlines()[0] + "\n")

    @property
    def sealer(self) -> Sealer:
        return Sealer(read_keys(self.keys))

    def found(self) -> set[str]:
        """The places whose texts stand in any of the files."""
        # What a workflow's exception says is logged.
        files = [path for path in self.folder.iterdir() if path != self.server.log]
        data = b"".join(path.read_bytes() for path in files)
        assert data
        return {place for place in PLACES if planted(place).encode() in data}


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    vault = Vault(tmp_path)
    yield vault
    vault.server.close()


def ask(client: Client, job_id: str = "asking") -> None:
    """A job that waits for an answer."""
    client.submit("telling", {"given": planted("input")}, context={"c": planted("context")}, job_id=job_id)
    assert client.get(job_id, wait=60).state is JobState.INTERRUPTED


def fill(client: Client) -> None:
    """Jobs in each state, with something in every place."""
    ask(client)
    ask(client, "cancelled")
    client.cancel("cancelled", reason=planted("reason"))
    ask(client, "edited")
    client.resume("edited", state_update={"step": planted("update")}, state_update_step="ask")
    ask(client, "done")
    client.resume("done", answer=planted("answer"))
    assert client.get("done", wait=60).state is JobState.SUCCEEDED
    client.submit("failing", {}, job_id="failed", retry_policy=RetryPolicy(max_attempts=1))
    assert client.get("failed", wait=60).state is JobState.FAILED
    assert client.get("edited", wait=60).state is JobState.SUCCEEDED


def require_filled(client: Client) -> None:
    """Everything that `fill` left is there to be read."""
    done = client.get("done")
    assert done.output["result"] == planted("output")
    assert done.output["remembered"] == ["one"]
    assert (done.output["given"], done.output["answer"]) == (planted("input"), planted("answer"))
    assert client.get("edited").output["step"] == planted("update")
    assert planted("error") in client.get("failed").error.message
    assert client.get("cancelled").error.message == planted("reason")
    (question,) = client.get("asking").interrupts
    assert question.value["question"] == planted("question")
    (newest, *_) = client.checkpoints("asking", values=True)
    assert newest.values["step"] == planted("state")
    told = str(list(client.watch("done", stop_when_caught_up=True)))
    assert planted("event") in told
    assert planted("progress") in told
