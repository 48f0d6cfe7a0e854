"""A server that cannot start says why in one line and exits with 2; nothing that it was given is found wrong later."""

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from autopilot_server.config import SettingError, Settings

AUTOPILOT = Path(sys.executable).with_name("autopilot")
HELLO = Path(__file__).parents[1] / "examples/hello/hello.py"


class Place:
    """A folder from which a server is started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.configure({"hello": f"{HELLO}:graph"})

    def configure(self, graphs: object, **more: object) -> None:
        """Write the langgraph.json that `refused` starts with."""
        self.write("langgraph.json", json.dumps({"graphs": graphs, **more}))

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def refused(self, *options: str, **environment: str) -> str:
        """Start a server that must not start. The one line that says why."""
        done = subprocess.run(
            [AUTOPILOT, "serve", "--listen", "127.0.0.1:0", *options],
            cwd=self.folder,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert line.startswith("autopilot: ")
        return line.removeprefix("autopilot: ")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# --- settings ---


@pytest.mark.parametrize(
    ("setting", "value", "why"),
    [
        ("threads", 0, "must be at least 1"),
        ("running_jobs", 0, "must be at least 1"),
        ("unfinished_jobs", 10**30, "must be at most 1,000,000,000"),
        ("concurrent_rpcs", 0, "must be at least 1"),
        ("watches", 0, "must be at least 1"),
        ("payload_bytes", 0, "must be at least 1,024"),
        ("payload_bytes", 3 << 20, "must be at most 2,097,152"),
        ("prune_interval_seconds", 0.0, "must be at least 0.1"),
        ("retention_seconds", -1.0, "must be at least 0"),
        ("retention_seconds", float("nan"), "must be a number"),
        ("retention_seconds", float("inf"), "must be at most 3,162,240,000"),
        ("drain_seconds", 1e300, "must be at most 86,400"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(setting: str, value: float, why: str) -> None:
    with pytest.raises(SettingError) as refused:
        Settings(**{setting: value})
    assert (refused.value.name, str(refused.value)) == (setting, why)


def test_every_number_has_a_range() -> None:
    for field in fields(Settings):
        is_number = isinstance(field.default, int | float) and not isinstance(field.default, bool)
        assert ("within" in field.metadata) == is_number, field.name


def test_a_setting_is_named_as_it_was_given(place: Place) -> None:
    assert place.refused("--threads", "0") == "--threads 0: must be at least 1"
    assert place.refused("--retention-seconds", "nan") == "--retention-seconds nan: must be a number"
    assert place.refused(AUTOPILOT_WATCHES="0") == "AUTOPILOT_WATCHES=0: must be at least 1"
    assert place.refused("--watches", "-2", AUTOPILOT_WATCHES="5") == "--watches -2: must be at least 1"
