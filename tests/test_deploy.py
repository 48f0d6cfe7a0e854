"""What deploy/ has for operators, checked by the tools that read it."""

import os
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.proof.server import ServerProcess

UNIT = Path(__file__).parents[1] / "deploy/systemd/autopilot.service"

# systemd's own measure of what a service could do beyond its work, from 0 to 10.
MOST_EXPOSURE = "2.0"

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")


@dataclass(frozen=True, slots=True)
class Supervised:
    """Gives the server a supervisor, before it serves."""

    address: str

    def __call__(self) -> None:
        os.environ["NOTIFY_SOCKET"] = self.address


@needs_systemd
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    # The path of the program is the operator's; that there is one is not what is checked.
    unit.write_text(UNIT.read_text().replace("/opt/autopilot/bin/autopilot", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60)
    complaints = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, complaints) == (0, [])


@needs_systemd
def test_the_unit_is_hardened() -> None:
    threshold = str(round(float(MOST_EXPOSURE) * 10))
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={threshold}", UNIT],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout.splitlines()[-1]


@pytest.mark.parametrize("abstract", [False, True])
def test_a_supervisor_is_told_when_the_server_serves_and_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool
) -> None:
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(f"\0{name}" if abstract else name)
        supervisor.settimeout(60)
        with ServerProcess(tmp_path, sabotage=Supervised(f"@{name}" if abstract else name)) as server:
            assert supervisor.recv(100) == b"READY=1"
            server.signal(signal.SIGTERM)
            assert supervisor.recv(100) == b"STOPPING=1"
            assert server.wait_for_death() == 0
