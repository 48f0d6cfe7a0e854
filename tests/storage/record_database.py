"""Records a database as this version's server leaves it when it is killed, for later versions to be tried on.

    make release-database

writes tests/storage/databases/schema-N.sql, N being the schema's version.
"""

import sqlite3
import tempfile
import threading
from datetime import UTC, datetime
from pathlib import Path

from autopilot_client import Client, JobState

from tests.proof.server import ServerProcess

DATABASES = Path(__file__).with_name("databases")

# Steps find their files here. In checkpoints a text's length stands before it: other folders need names of this length.
FOLDER = "/tmp/autopilot-upgrade-recorded"  # noqa: S108 - only a name in a record


def main() -> None:
    """Record."""
    folder = Path(FOLDER)
    folder.mkdir()
    with tempfile.TemporaryDirectory() as place:
        server = ServerProcess(Path(place))
        server.start()
        with server.client() as client:
            _make_jobs(client, folder)
        server.kill()
        with sqlite3.connect(server.database) as database:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            text = "\n".join([f"PRAGMA user_version = {version};", *database.iterdump(), ""])
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    (DATABASES / f"schema-{version}.sql").write_text(text)


def _make_jobs(client: Client, folder: Path) -> None:
    """A job in each state that a database can be left in."""
    client.run("linear", {"items": [1]}, job_id="succeeded", labels={"team": "blue"}, request_id="first")
    client.submit("third_time", {"items": []}, job_id="failed")
    assert client.get("failed", wait=60).state is JobState.FAILED
    for job_id in ("asking", "cancelled"):
        client.submit("ask", {"items": []}, job_id=job_id)
        assert client.get(job_id, wait=60).state is JobState.INTERRUPTED
    client.cancel("cancelled")
    client.submit("linear", {"items": [2]}, job_id="later", scheduled_time=datetime(2100, 1, 1, tzinfo=UTC))
    client.submit("holding", {"items": [], "folder": str(folder)}, job_id="running")
    done = threading.Event()
    while not (folder / "holding").exists():
        done.wait(0.01)


if __name__ == "__main__":
    main()
