"""`make release`: builds what is published into dist/, and tries it as its users will.

The source and the wheel, twice, to see that the same comes out; what is in the wheel; an installation of the locked
dependencies and the wheel, in which a job runs; and the bill of materials of that installation.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
LOCK = ROOT / "requirements/server.txt"
BIN = Path(sys.executable).parent
RELEASE_BIN = ROOT / ".venv-release/bin"

# Where the packages of the wheel stand in the repository.
SOURCES = ("server/", "clients/python/", "generated/python/")
PACKAGES = ("autopilot_server/", "autopilot_client/", "autopilot/")


class NotFitError(Exception):
    """What was built is not fit to be published."""


def main() -> int:
    """Build and check. The exit code."""
    shutil.rmtree(DIST, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        try:
            wheel = _build(DIST)
            _require_reproducible(Path(folder) / "again")
            _require_contents(wheel)
            _run([RELEASE_BIN / "twine", "check", "--strict", *DIST.iterdir()])
            python = _install(wheel, Path(folder) / "venv")
            _run_a_job(python.parent, Path(folder))
            _write_bill(python, wheel)
        except NotFitError as error:
            print(f"release: {error}")
            return 1
    print("release: " + ", ".join(sorted(each.name for each in DIST.iterdir())))
    return 0


def _run(command: Sequence[str | Path], **environment: str) -> str:
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)
    if done.returncode:
        raise NotFitError(f"{Path(command[0]).name} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _build(target: Path) -> Path:
    """The wheel, and the source beside it."""
    # The time of the commit, not of the build.
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or _run(["git", "log", "-1", "--format=%ct"]).strip()
    _run([BIN / "python", "-m", "build", "--no-isolation", "--outdir", target], SOURCE_DATE_EPOCH=epoch)
    (wheel,) = target.glob("*.whl")
    return wheel


def _require_reproducible(again: Path) -> None:
    _build(again)
    for each in DIST.iterdir():
        if each.read_bytes() != (again / each.name).read_bytes():
            raise NotFitError(f"{each.name} is another each time that it is built")


def _require_contents(wheel: Path) -> None:
    """All files of the packages that git has, the marks for type checkers among them, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    tracked = _run(["git", "ls-files", *SOURCES]).splitlines()
    bare = {next(name.removeprefix(source) for source in SOURCES if name.startswith(source)) for name in tracked}
    wanted = {name for name in bare if name.startswith(PACKAGES)}
    if names != wanted:
        raise NotFitError(f"missing in the wheel: {sorted(wanted - names)}; too much: {sorted(names - wanted)}")
    if missing := {f"{package}py.typed" for package in PACKAGES} - names:
        raise NotFitError(f"missing in the wheel: {sorted(missing)}")


def _install(wheel: Path, environment: Path) -> Path:
    """The Python of an environment that has the lock's packages and the wheel."""
    python = environment / "bin/python"
    _run([BIN / "uv", "venv", "--quiet", "--python", BIN / "python", environment])
    install = [BIN / "uv", "pip", "install", "--quiet", "--no-config", "--python", python]
    _run([*install, "--require-hashes", "--requirement", LOCK])
    _run([*install, "--no-deps", wheel])
    _run([BIN / "uv", "pip", "check", "--quiet", "--python", python])
    return python


def _run_a_job(programs: Path, folder: Path) -> None:
    """As the README shows it, but for the address."""
    told = _run([programs / "autopilot", "--version"])
    if "autopilot" not in told:
        raise NotFitError(f"autopilot --version says {told!r}")
    command = [programs / "autopilot", "serve", "--config", "examples/hello/langgraph.json", "--listen", "127.0.0.1:0"]
    database = f"sqlite:///{folder}/jobs.db"
    with subprocess.Popen(
        [*command, "--database", database], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        line = server.stdout.readline() if server.stdout is not None else ""
        try:
            if not line:
                raise NotFitError(f"the server does not start:\n{server.communicate()[1]}")
            submit = [programs / "autopilot", "submit", "hello", "--input", '{"name": "Ada"}', "--watch"]
            if "Hello, Ada!" not in _run(submit, AUTOPILOT_SERVER=line.split()[-1]):
                raise NotFitError("the job's output is another")
            _run([programs / "autopilot", "drain", "--database", database])
        finally:
            server.kill()


def _write_bill(python: Path, wheel: Path) -> None:
    """CycloneDX, of all that was installed."""
    bill = DIST / f"{'-'.join(wheel.name.split('-')[:2])}.cdx.json"
    options = ["--pyproject", "pyproject.toml", "--mc-type", "application", "--output-reproducible"]
    # Not by its own validator, which takes longer than all the rest: what is asked for is whether all is in it.
    _run([RELEASE_BIN / "cyclonedx-py", "environment", *options, "--no-validate", "--output-file", bill, python])
    named = {canonicalize_name(component["name"]) for component in json.loads(bill.read_text())["components"]}
    listing = _run([BIN / "uv", "pip", "list", "--quiet", "--format", "json", "--python", python])
    installed = {canonicalize_name(package["name"]) for package in json.loads(listing)}
    if missing := installed - named - {"autopilot-jobs"}:
        raise NotFitError(f"{bill.name} has not got {sorted(missing)}")
    if str(python.parent.parent.parent) in bill.read_text():
        raise NotFitError(f"{bill.name} names folders of this machine")


if __name__ == "__main__":
    sys.exit(main())
