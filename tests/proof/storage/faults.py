"""What can happen to a database under a running server, and how to make it happen."""

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from tests.proof.server import AUTOPILOT, ServerProcess

FAILING_DISK = Path(__file__).with_name("failing_disk.c")


class NotPossibleError(Exception):
    """This machine cannot make this fault happen. Says why."""


class TormentedServer(ServerProcess):
    """A server whose database may lie elsewhere, on a disk that may fail."""

    def __init__(
        self,
        folder: Path,
        *,
        config: Path,
        options: Sequence[str] = (),
        place: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`place`: the folder of the database. `environment`: what is set for the server's process."""
        super().__init__(folder, config=config, options=options)
        self._place = folder if place is None else place
        self._environment = environment

    @property
    def database(self) -> Path:
        return self._place / "jobs.db"

    @property
    def files(self) -> list[Path]:
        """The database, and what was committed and is not in it yet."""
        return [self.database, self.database.with_name("jobs.db-wal")]

    def start_or_die(self) -> str:
        if self._environment is not None:
            # What a process preloads is decided when a program starts in it.
            self.sabotage = partial(_start_anew, dict(self._environment), self.arguments())
        return super().start_or_die()

    def is_alive(self) -> bool:
        return self.process is not None and self.process.is_alive()


def _start_anew(environment: dict[str, str], arguments: list[str]) -> None:
    # Workflows of this folder find it, as they do in a process that was forked.
    known = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    os.execve(AUTOPILOT, ["autopilot", "serve", *arguments], {**os.environ, **known, **environment})  # noqa: S606


class Fault(Protocol):
    """Something that happens to a server's database, and is over some time later."""

    def begin(self) -> None: ...

    def end(self) -> None: ...


class SmallDisk:
    """A file system of its own, which can be filled."""

    def __init__(self, folder: Path, *, megabytes: int) -> None:
        """NotPossibleError where nothing can be mounted."""
        self.folder = folder
        folder.mkdir()
        _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder))

    def unmount(self) -> None:
        _run("umount", "--lazy", str(self.folder))

    def make_read_only(self) -> None:
        _run("mount", "-o", "remount,ro", str(self.folder))

    def begin(self) -> None:
        """Fill it."""
        with (self.folder / "ballast").open("wb", buffering=0) as ballast:
            try:
                while ballast.write(bytes(1 << 12)):
                    pass
            except OSError:
                return

    def end(self) -> None:
        (self.folder / "ballast").unlink()


class SizeLimit:
    """The server's files may not grow any more."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server

    def begin(self) -> None:
        _, most = resource.prlimit(self._server.pid, resource.RLIMIT_FSIZE)
        size = self._server.database.with_name("jobs.db-wal").stat().st_size
        resource.prlimit(self._server.pid, resource.RLIMIT_FSIZE, (size, most))

    def end(self) -> None:
        _, most = resource.prlimit(self._server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self._server.pid, resource.RLIMIT_FSIZE, (most, most))


class ReadOnlyFiles:
    """Nobody may write into the files, root neither."""

    def __init__(self, server: TormentedServer) -> None:
        self._server = server

    def begin(self) -> None:
        """NotPossibleError where the file system does not know this, or does not keep to it."""
        for path in self._server.files:
            _run("chattr", "+i", str(path))
        try:
            with self._server.database.open("r+b"):
                self.end()
                raise NotPossibleError("an immutable file can be written here")
        except PermissionError:
            return

    def end(self) -> None:
        for path in self._server.files:
            _run("chattr", "-i", str(path))


class ForeignWriter:
    """Another process holds the database's write lock."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server

    def begin(self) -> None:
        script = (
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60); "
            "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", script, str(self._server.database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"held\n"

    def end(self) -> None:
        self._process.communicate()


class FailingDisk:
    """Calls of the operating system for the database's files fail. See failing_disk.c."""

    def __init__(self, folder: Path, database: Path, order: str) -> None:
        """NotPossibleError without a C compiler."""
        self._order, self._text = folder / "order", order
        self._library = folder / "failing_disk.so"
        _run("cc", "-shared", "-fPIC", "-o", str(self._library), str(FAILING_DISK), "-ldl")
        self.environment = {
            "LD_PRELOAD": str(self._library),
            "FAILING_DISK_ORDER": str(self._order),
            "FAILING_DISK_FILES": str(database),
        }

    def begin(self) -> None:
        draft = self._order.with_suffix(".draft")
        draft.write_text(self._text)
        draft.rename(self._order)

    def end(self) -> None:
        self._order.unlink()


class TakenAway:
    """The files are not where they were, until they are brought back."""

    def __init__(self, files: Sequence[Path], *, put_there: Callable[[Path], None] | None = None) -> None:
        """`put_there`: puts something else in the place of each."""
        self._files, self._put_there = files, put_there

    def begin(self) -> None:
        for path in self._files:
            path.rename(_away(path))
            if self._put_there is not None:
                self._put_there(path)

    def end(self) -> None:
        for path in self._files:
            _away(path).rename(path)


def _away(path: Path) -> Path:
    return path.with_name(f"away-{path.name}")


def online_backup(database: Path, copy: Path) -> None:
    """SQLite's own means of copying a database that is in use."""
    with sqlite3.connect(database) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    source.close()
    target.close()


def _run(*command: str) -> None:
    if shutil.which(command[0]) is None:
        raise NotPossibleError(f"there is no {command[0]} here")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotPossibleError(f"{command[0]}: {done.stderr.strip()}")
