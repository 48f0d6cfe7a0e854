"""The upgrade that docs/operations.md describes: its very commands, one after the other, on a server with jobs."""

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from autopilot_client import Client, JobState

from tests.promises.conftest import appears
from tests.proof.server import GRAPHS

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


def procedure() -> list[str]:
    text = (ROOT / "docs/operations.md").read_text()
    found = re.search(r"<!-- run: upgrade -->\n```sh\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1].splitlines()


class Host:
    """A machine that Autopilot runs on: a folder, and an environment in which nothing is really installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {
            "PATH": f"{BIN}:/usr/bin:/bin",
            "AUTOPILOT_CONFIG": str(GRAPHS),
            "AUTOPILOT_LISTEN": "127.0.0.1:0",
            "PIP_DRY_RUN": "1",
            "PIP_NO_DEPS": "1",
            "PIP_NO_INDEX": "1",
        }
        self.servers: list[subprocess.Popen[str]] = []

    def run(self, command: str) -> str:
        """What a command prints. `&`: a server, of which it is the first line."""
        if command.endswith("&"):
            return self.serve(command.removesuffix("&"))
        done = subprocess.run(
            ["bash", "-euc", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def serve(self, command: str) -> str:
        server = subprocess.Popen(
            command.split(), cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True
        )
        self.servers.append(server)
        assert server.stdout is not None
        return server.stdout.readline()

    def wheel(self, name: str) -> None:
        """A newer version, as far as pip sees."""
        version = name.split("-")[1]
        with zipfile.ZipFile(self.folder / name, "w") as wheel:
            info = f"autopilot_jobs-{version}.dist-info"
            wheel.writestr(
                f"{info}/METADATA",
                f"Metadata-Version: 2.4\nName: autopilot-jobs\nVersion: {version}\nProvides-Extra: server\n",
            )
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    for server in host.servers:
        server.kill()
        server.wait()


def test_jobs_outlive_an_upgrade(host: Host, tmp_path: Path) -> None:
    place, backup, drain, install, serve, check = procedure()
    name, _, _ = place.removeprefix("export ").partition("=")
    host.environment[name] = f"sqlite:///{tmp_path}/jobs.db"
    wheel = re.search(r"autopilot_jobs-\S+\.whl", install)
    assert wheel is not None
    host.wheel(wheel[0])
    address = host.run(serve).split()[-1]
    with Client(address) as client:
        client.submit("holding", {"items": [], "folder": str(tmp_path)}, job_id="holds")
        appears(tmp_path / "holding")
        client.submit("ask", {"items": []}, job_id="asks")
        assert client.get("asks", wait=60).state is JobState.INTERRUPTED
        host.run(backup)
        # The step ends while the server drains.
        (tmp_path / "go").touch()
        assert "  1 INTERRUPTED of ask\n" in host.run(drain)
    assert host.servers[0].wait(timeout=60) == 0
    assert f"Would install autopilot-jobs-{wheel[0].split('-')[1]}" in host.run(install)
    with Client(host.run(serve).split()[-1]) as client:
        client.resume("asks", answer={"approved": True})
        for job_id in ("asks", "holds"):
            assert client.get(job_id, wait=60).state is JobState.SUCCEEDED
        assert "all holds" in host.run(check)
