"""What deploy/ has for operators, checked by the tools that read it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from autopilot_server.config import SETTING_NAMES, Settings, environment_name
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.forks import autopilot
from tests.proof.server import ServerProcess
from tests.test_metrics import Measured

DEPLOY = Path(__file__).parents[1] / "deploy"
UNIT = DEPLOY / "systemd/autopilot.service"
ALERTS = DEPLOY / "prometheus/alerts.yml"
ALERTS_TEST = DEPLOY / "prometheus/alerts_test.yml"

DOCKERFILE = DEPLOY / "container/Dockerfile"
COMPOSE = DEPLOY / "container/compose.yaml"
TOOLS = Path(sys.executable).parent

# systemd's own measure of what a service could do beyond its work, from 0 to 10.
MOST_EXPOSURE = "2.0"

# CI installs promtool: there its absence is a failure, for nobody reads what was left out.
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="not run: what systemd says of the unit; it is not installed here"
)
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None and os.environ.get("CI") != "true",
    reason="not run: what Prometheus says of alerts and metrics; there is no promtool (.ci/install-promtool)",
)


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


def _with_credentials() -> str:
    """The unit with all that it has as an example."""
    return UNIT.read_text().replace("\n#LoadCredential", "\nLoadCredential").replace("\n#Environment", "\nEnvironment")


def test_each_file_that_the_unit_names_is_handed_to_its_user() -> None:
    lines = [line.partition("=") for line in _with_credentials().splitlines()]
    handed = {value.partition(":")[0] for key, _, value in lines if key == "LoadCredential"}
    named = dict(value.split("=", 1) for key, _, value in lines if key == "Environment" and "%d/" in value)
    assert {path.removeprefix("%d/") for path in named.values()} == handed
    assert set(named) == {
        environment_name(name) for name in ("token_file", "encryption_key_file", "tls_cert", "tls_key", "tls_client_ca")
    }


@needs_systemd
def test_systemd_takes_the_examples_of_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(_with_credentials().replace("/opt/autopilot/bin/autopilot", "/bin/true"))
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


# --- containers ---

namespaces = pytest.mark.skipif(
    subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0,
    reason="not run: a server whose root file system is read-only; mounts of its own are not allowed here",
)


def taken_by(tool: str, *arguments: object) -> None:
    done = subprocess.run([TOOLS / tool, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def image_environment() -> dict[str, str]:
    """What the image sets."""
    instruction = DOCKERFILE.read_text().split("\nENV ")[1].split("\nWORKDIR")[0]
    return dict(part.split("=", 1) for part in instruction.replace("\\\n", " ").split())


def test_linters_take_the_image_and_the_composition() -> None:
    taken_by("hadolint", "--failure-threshold", "style", DOCKERFILE)
    taken_by("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)


def test_what_the_image_and_the_composition_set_are_settings() -> None:
    (service,) = yaml.safe_load(COMPOSE.read_text())["services"].values()
    names = {name for name in (*image_environment(), *service["environment"]) if name.startswith("AUTOPILOT_")}
    assert names == {environment_name(name) for name in ("config", "database", "log_format", "listen", "insecure")}
    assert names <= {environment_name(name) for name in SETTING_NAMES}
    grace = float(service["stop_grace_period"].removesuffix("s"))
    assert grace > Settings().drain_seconds


def test_all_that_the_image_copies_is_sent_to_its_builder() -> None:
    lines = (DOCKERFILE.parents[2] / ".dockerignore").read_text().splitlines()
    sent = {line.removeprefix("!") for line in lines if line.startswith("!")}
    project = tomllib.loads((DOCKERFILE.parents[2] / "pyproject.toml").read_text())
    built = {str(Path(each).parent) for each in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    described = {project["project"]["readme"], *project["project"]["license-files"]}
    assert sent == {"pyproject.toml", "requirements", *built, *described}
    assert all((DOCKERFILE.parents[2] / path).exists() for path in sent)


@namespaces
def test_a_server_needs_no_more_than_its_container_gives(tmp_path: Path) -> None:
    """The root file system is read-only, and it has no capability; `autopilot health` says when it is there."""
    state, scratch = tmp_path / "state", tmp_path / "scratch"
    state.mkdir()
    scratch.mkdir()
    environment = image_environment() | {
        "PATH": f"{TOOLS}:{os.environ['PATH']}",
        "AUTOPILOT_CONFIG": str(DEPLOY.parent / "examples/hello/langgraph.json"),
        "AUTOPILOT_DATABASE": f"sqlite:///{state}/jobs.db",
        "AUTOPILOT_LISTEN": "127.0.0.1:0",
        "TMPDIR": str(scratch),
    }
    script = f"""
        mount --make-rprivate /
        mount --bind {state} {state}
        mount -t tmpfs tmpfs {scratch}
        mount -o remount,ro,bind /
        exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs autopilot serve
    """
    server = subprocess.Popen(
        ["unshare", "--mount", "bash", "-euc", script], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        address = server.stdout.readline().removeprefix("autopilot: serving on ").strip()
        client = environment | {"AUTOPILOT_SERVER": address}
        assert autopilot("health", environment=client).returncode == 0
        done = autopilot("submit", "hello", "--input", '{"name": "Ada"}', "--watch", environment=client)
        assert done.returncode == 0, done.stderr
    finally:
        server.terminate()
        assert server.wait(60) == 0
    assert autopilot("health", environment=client).returncode == 7


# --- Prometheus ---


def promtool(*arguments: object, stdin: str | None = None) -> None:
    done = subprocess.run(
        ["promtool", *map(str, arguments)], input=stdin, cwd=ALERTS.parent, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


@needs_promtool
def test_prometheus_takes_the_alerts_and_they_fire_when_they_should() -> None:
    promtool("check", "rules", "--lint-fatal", ALERTS.name)
    promtool("test", "rules", ALERTS_TEST.name)


def test_each_alert_is_tried_with_figures_that_it_is_for_and_with_others() -> None:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    tried = [each for case in yaml.safe_load(ALERTS_TEST.read_text())["tests"] for each in case["alert_rule_test"]]
    for fires in (True, False):
        names = {each["alertname"] for each in tried if bool(each["exp_alerts"]) == fires}
        assert names == {rule["alert"] for rule in group["rules"]}


@needs_promtool
def test_prometheus_takes_the_metrics(tmp_path: Path) -> None:
    """And finds nothing to mend in their names, units and texts."""
    server = Measured(tmp_path)
    server.start()
    try:
        with server.client() as client:
            client.run("linear", {"items": []})
        promtool("check", "metrics", stdin=server.text())
    finally:
        server.close()


# --- Grafana ---


def unknown_to_grafana(board: Any) -> list[str]:
    """Where a dashboard has something that Grafana would not read, or not as it is."""
    register_default_plugins()
    return list(lost(board, json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder)), ""))


def lost(given: Any, read: Any, place: str) -> Iterator[str]:
    """What was given and not read. More may have been read: what a field is by default."""
    if isinstance(given, dict) and isinstance(read, dict):
        for name in given:
            yield from lost(given[name], read.get(name), f"{place}/{name}")
    elif isinstance(given, list) and isinstance(read, list) and len(given) == len(read):
        for number, (one, other) in enumerate(zip(given, read, strict=True)):
            yield from lost(one, other, f"{place}/{number}")
    elif given != read:
        yield place


def test_grafana_knows_every_field_of_the_dashboard() -> None:
    board = json.loads((DEPLOY / "grafana/autopilot.json").read_text())
    assert unknown_to_grafana(board) == []
    (number, *_) = (number for number, panel in enumerate(board["panels"]) if panel["type"] == "timeseries")
    panel = board["panels"][number]
    panel["targets"][0]["exprr"] = panel["options"]["legendd"] = "misspelt"
    misspelt = {f"/panels/{number}/targets/0/exprr", f"/panels/{number}/options/legendd"}
    assert set(unknown_to_grafana(board)) == misspelt
