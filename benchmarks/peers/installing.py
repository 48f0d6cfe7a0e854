"""What a peer needs, made on demand: a virtual environment of its own, npm packages, programs of the system."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
TOOLS = REPOSITORY / ".tools" / "peers"
INSTALL_SECONDS = 600.0
# Debian keeps PostgreSQL's programs out of the way.
_ELSEWHERE = "/usr/lib/postgresql/*/bin"


class NotInstalledError(Exception):
    """A peer cannot be installed here. Its text says why."""


def environment(name: str) -> Path:
    """The Python of the virtual environment with what `benchmarks/peers/NAME/requirements.txt` pins."""
    requirements = Path(__file__).parent / name / "requirements.txt"
    python = TOOLS / name / "bin" / "python"
    if not _is_ready(TOOLS / name, [requirements]):
        uv = (sys.executable, "-m", "uv")
        _run(*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(TOOLS / name))
        _run(*uv, "pip", "install", "--quiet", "--no-config", "--python", str(python), "-r", str(requirements))
        _set_ready(TOOLS / name, [requirements])
    return python


def npm_packages(name: str) -> Path:
    """The folder with what `benchmarks/peers/NAME/package-lock.json` pins."""
    folder = TOOLS / f"{name}-npm"
    sources = [Path(__file__).parent / name / file for file in ("package.json", "package-lock.json")]
    if not _is_ready(folder, sources):
        folder.mkdir(parents=True, exist_ok=True)
        for source in sources:
            shutil.copy(source, folder)
        # A package needs no script of its own to be installed, and one of them would tell somebody.
        _run("npm", "ci", "--silent", "--ignore-scripts", "--prefix", str(folder))
        _set_ready(folder, sources)
    return folder / "node_modules"


def system_program(program: str, *, package: str) -> Path:
    """A program of the system's, which is installed from its package when it is missing."""
    if found := _find(program):
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise NotInstalledError(f"there is no {program}; Debian has it in the package {package}")
    _run("apt-get", "update", "-qq")
    _run("apt-get", "install", "-qq", "-y", "--no-install-recommends", package)
    if found := _find(program):
        return found
    raise NotInstalledError(f"the package {package} has no {program}")


def _find(program: str) -> Path | None:
    elsewhere = [str(folder) for folder in sorted(Path("/").glob(_ELSEWHERE.lstrip("/")))]
    found = shutil.which(program, path=os.pathsep.join([os.environ["PATH"], *elsewhere]))
    return Path(found) if found else None


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalledError(str(error)) from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip() or f"{command[0]} ended with {done.returncode}"
        raise NotInstalledError(said.splitlines()[-1])


def _is_ready(folder: Path, sources: Sequence[Path]) -> bool:
    mark = folder / ".ready"
    return mark.is_file() and mark.read_text() == _digest(sources)


def _set_ready(folder: Path, sources: Sequence[Path]) -> None:
    (folder / ".ready").write_text(_digest(sources))


def _digest(sources: Sequence[Path]) -> str:
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
