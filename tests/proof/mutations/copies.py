"""A copy of the code, in which things may be broken, and its tests run."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.proof.mutations.breaks import Break

ROOT = Path(__file__).parents[3]

# What the tests need, wherever the copy lies.
PARTS = ("server", "clients", "generated", "tests", "examples", "protos", "docs", "pyproject.toml", "README.md")
SOURCES = ("server", "clients/python", "generated/python")

# A break that makes a test wait for ever is as good as seen.
PATIENCE_SECONDS = 240

HANGS = "it hangs"

_WHERE = """
import multiprocessing
from tests.proof.mutations.copies import where
forks = multiprocessing.get_context("forkserver")
with forks.Pool(1) as pool:
    print(where(), pool.apply(where), sep="\\n")
"""


class CopyError(Exception):
    """The copy is not what it should be: nothing that it shows can be believed."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How tests went: which one failed first, and after how long."""

    failed: str
    """Empty: all passed."""
    seconds: float


class Copy:
    """A copy of the working tree."""

    def __init__(self, folder: Path) -> None:
        """Copy the tree into `folder`."""
        self.folder = folder
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, folder / part)

    def check(self) -> None:
        """The copy's server is what runs there, in forked processes as well. CopyError."""
        found = self._run([sys.executable, "-c", _WHERE], {}).stdout.split()
        here = str(self.folder.resolve())
        if len(found) != 2 or not all(path.startswith(here) for path in found):
            raise CopyError(f"the copy in {here} runs the server of {found}")

    @contextmanager
    def broken(self, broken: Break) -> Iterator[None]:
        """Make a break, and mend it."""
        path = self.folder / broken.file
        text = path.read_text()
        if text.count(broken.old) != 1:
            raise CopyError(f"{broken.name}: its text is {text.count(broken.old)} times in {broken.file}, not once")
        path.write_text(text.replace(broken.old, broken.new))
        try:
            yield
        finally:
            path.write_text(text)

    def test(self, tests: Sequence[str], environment: Mapping[str, str]) -> Verdict:
        """Run tests in the copy up to the first that fails. CopyError when they could not be run."""
        started = time.monotonic()
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=line", "-p", "no:cacheprovider", *tests]
        try:
            done = self._run(command, environment)
        except subprocess.TimeoutExpired:
            return Verdict(HANGS, time.monotonic() - started)
        seconds = time.monotonic() - started
        match done.returncode:
            case 0:
                return Verdict("", seconds)
            case 1:
                return Verdict(_first_failure(done.stdout), seconds)
            case _:
                raise CopyError(f"pytest {' '.join(tests)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")

    def _run(self, command: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        # No byte code: a break of the same length within the same second would run the old one.
        paths = os.pathsep.join(str(self.folder / source) for source in SOURCES)
        settings = {**os.environ, **environment, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=settings,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            # With the servers that a test has left.
            with _gone_already():
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


@contextmanager
def _gone_already() -> Iterator[None]:
    try:
        yield
    except ProcessLookupError:
        return


def where() -> str:
    """The file of the server that runs in this process."""
    import autopilot_server

    return str(Path(autopilot_server.__file__).resolve())


def _first_failure(output: str) -> str:
    found = re.search(r"^(FAILED|ERROR) \S*?([^/\s]+\.py::\S+(?: \S+\])?)", output, re.MULTILINE)
    if found is None:
        return output.strip().splitlines()[-1]
    # A server that does not even start is a poor catch: people shall see it.
    return found.group(2) if found.group(1) == "FAILED" else f"{found.group(2)}, outside the test itself"
