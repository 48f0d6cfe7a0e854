"""docs/grpcurl.md, command by command, against a real server through reflection."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from autopilot.v1 import job_service_pb2

from clients.conformance.stages import Stage, Stages
from tests.proof.server import ServerProcess

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "grpcurl.md").read_text()
GRPCURL = ROOT / ".tools" / "grpcurl" / "grpcurl"
BUF = ROOT / ".venv-generate" / "bin" / "buf"
# grpcurl's way to say that the call failed, and buf's.
FAILURES = ("ERROR:", '{\n  "code":', "Error invoking", "…Unauth", '{\n   "code":')


@dataclass(frozen=True, slots=True)
class Recipe:
    """Commands, and what the last of them prints, if the page shows it."""

    commands: str
    shown: str

    @property
    def fails(self) -> bool:
        return self.shown.startswith(FAILURES)

    def check(self, printed: str) -> None:
        pattern = ".*".join(re.escape(part) for part in self.shown.split("…"))
        assert re.search(pattern, printed, re.DOTALL), f"{self.commands}\nprints\n{printed}"


def recipes(page: str) -> list[Recipe]:
    """The page's blocks; those that set it up aside."""
    found = re.findall(r"^```sh\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", page, re.MULTILINE | re.DOTALL)
    return [Recipe(commands, shown) for commands, shown in found if not commands.startswith("go install")]


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path, config=ROOT / "examples" / "approval" / "langgraph.json")
    server.start()
    yield server
    server.close()


@pytest.fixture
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("stages")
    stages = Stages(folder)
    with stages.stage("tls", folder) as stage:
        yield stage
    stages.close()


@pytest.mark.skipif(not GRPCURL.exists(), reason="make test-clients installs grpcurl where there is go")
def test_every_command_does_what_the_page_shows(plain: ServerProcess, encrypted: Stage, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(encrypted.variables["reader"])
    shutil.copy(encrypted.variables["ca"], tmp_path / "ca.pem")
    addresses = {"127.0.0.1:50051": plain.address, "autopilot.example.com:443": encrypted.address}
    environment = {"PATH": f"{GRPCURL.parent}:{BUF.parent}:/usr/bin:/bin", "HOME": str(tmp_path)}
    for recipe in recipes(PAGE):
        commands = recipe.commands
        for written, real in addresses.items():
            commands = commands.replace(written, real)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        assert (done.returncode != 0) == recipe.fails, f"{commands}\n{done.stdout}"
        recipe.check(done.stdout.rstrip("\n") + "\n")


def test_there_is_a_recipe_for_every_method() -> None:
    shown = "\n".join(recipe.commands for recipe in recipes(PAGE))
    for method in job_service_pb2.DESCRIPTOR.services_by_name["JobService"].methods:
        assert re.search(rf"grpcurl (?:.|\n)*?autopilot\.v1\.JobService/{method.name}\b", shown), method.name
    assert shown.count("buf curl") >= 3


def test_the_page_s_version_is_the_one_that_is_tried() -> None:
    (version,) = re.findall(r"grpcurl/cmd/grpcurl@(\S+)", PAGE)
    assert f"grpcurl/cmd/grpcurl@{version}\n" in (ROOT / "Makefile").read_text()


def test_what_the_page_does_not_show_is_noticed() -> None:
    recipe = Recipe("c", '…\n  "state": "A",\n…\n  "b": 1\n')
    recipe.check('{\n  "state": "A",\n  "x": 2,\n  "b": 1\n}')
    with pytest.raises(AssertionError):
        recipe.check('{\n  "state": "B",\n  "b": 1\n}')
