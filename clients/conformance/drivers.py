"""The languages' drivers: which there are, how they are built, and a process that does what it is told."""

import json
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet

CLIENTS = Path(__file__).parents[1]
RELEASED = CLIENTS.parent / "protos" / "released"
# Longer than any command takes on a slow machine.
ANSWER_SECONDS = 120

Talk = Callable[[str, str], None]


class DriverDied(Exception):  # noqa: N818 - reads as what happened
    """The driver ended, or said what is no answer."""


@dataclass(frozen=True, slots=True)
class Example:
    """How to run the README's example: the file to put it in, and the command."""

    file: str
    run: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Language:
    """How to build and run the driver of a language."""

    name: str
    folder: Path
    toolchain: tuple[str, ...]
    build: tuple[tuple[str, ...], ...]
    run: tuple[str, ...]
    test: tuple[tuple[str, ...], ...]
    example: Example | None
    contract: Path | None = None
    """That of a release, as a FileDescriptorSet. None: today's."""

    def knows(self, field: str) -> bool:
        """Whether its contract has a field, `Message.field`; each has the one without a name."""
        if not field or self.contract is None:
            return True
        files = FileDescriptorSet.FromString(self.contract.read_bytes()).file
        messages = (message for file in files for message in file.message_type)
        return field in {f"{message.name}.{each.name}" for message in messages for each in message.field}

    @property
    def missing(self) -> list[str]:
        """Tools that this machine has not got."""
        return [tool for tool in self.toolchain if shutil.which(tool) is None]

    def make(self) -> None:
        """Build the driver. CalledProcessError."""
        self._carry_out(self.build)

    def test_itself(self) -> None:
        """Run the client's own tests. CalledProcessError."""
        self._carry_out(self.test)

    def _carry_out(self, commands: tuple[tuple[str, ...], ...]) -> None:
        for command in commands:
            carry_out(self, command)


def languages() -> dict[str, Language]:
    """All that have a `conformance.json`; and Python with the contract of each release."""
    found = {file.parent.name: _read(file) for file in sorted(CLIENTS.glob("*/conformance.json"))}
    older = [released(contract) for contract in sorted(RELEASED.glob("*.binpb"))]
    return found | {language.name: language for language in older}


def released(contract: Path) -> Language:
    """A client that was generated from the contract of a release: today's server must be as good to it."""
    python = _read(CLIENTS / "python" / "conformance.json")
    run = ("{python}", "conformance/released_driver.py", str(contract))
    return replace(python, name=f"of {contract.stem}", run=run, test=(), example=None, contract=contract)


def _read(file: Path) -> Language:
    described = json.loads(file.read_text())
    example = described.get("example")
    return Language(
        name=file.parent.name,
        folder=file.parent,
        toolchain=tuple(described["toolchain"]),
        build=tuple(tuple(command) for command in described["build"]),
        run=tuple(described["run"]),
        test=tuple(tuple(command) for command in described["test"]),
        example=Example(example["file"], tuple(example["run"])) if example else None,
    )


def carry_out(language: Language, command: tuple[str, ...], *, seconds: float | None = None) -> None:
    """Run a command in the language's folder, and show in one piece what it said: others may run beside it.

    CalledProcessError, TimeoutExpired.
    """
    began = time.monotonic()
    done = subprocess.run(
        filled(command),
        cwd=language.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=seconds,
    )
    title = f"{language.name}: {' '.join(command)} ({time.monotonic() - began:.0f} s)"
    print(f"{title}\n{done.stdout}", end="", file=sys.stderr, flush=True)
    done.check_returncode()


def filled(command: tuple[str, ...]) -> list[str]:
    """A command with the path of this Python."""
    return [sys.executable if word == "{python}" else word for word in command]


class Driver:
    """A driver's process. Answers come in the order of the commands; reading them may wait."""

    def __init__(self, language: Language, log: Path, talk: Talk = lambda _, __: None) -> None:
        self._talk = talk
        self._log = log
        with log.open("a") as stderr:
            self._process = subprocess.Popen(
                filled(language.run),
                cwd=language.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                encoding="utf-8",
            )
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def tell(self, call: str, arguments: dict[str, Any]) -> None:
        """Send a command."""
        line = json.dumps({"call": call, **arguments}, ensure_ascii=False)
        self._talk(">", line)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise DriverDied(self._last_words()) from None

    def answer(self) -> dict[str, Any]:
        """The answer to the oldest command that has none."""
        try:
            line = self._answers.get(timeout=ANSWER_SECONDS)
        except queue.Empty:
            raise DriverDied(f"no answer within {ANSWER_SECONDS} s: {self._last_words()}") from None
        self._talk("<", line.rstrip("\n"))
        try:
            answer = json.loads(line)
        except ValueError:
            raise DriverDied(f"said {line!r}, which is no JSON: {self._last_words()}") from None
        if not isinstance(answer, dict) or not answer.keys() & {"ok", "error"}:
            raise DriverDied(f"said {line!r}, which is no answer")
        return answer

    def _last_words(self) -> str:
        return self._log.read_text()[-2000:] or "it left no word on standard error"

    def close(self) -> None:
        """Let it end by itself, or end it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
