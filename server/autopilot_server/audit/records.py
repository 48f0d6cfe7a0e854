"""Reads the audit: a record a call, its request and its answer together."""

import gzip
import json
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

Record = dict[str, Any]
"""A request's line with its `answer`, None when the server died before it had one; or a line of another kind."""

OnDamage = Callable[[Path, int], None]
"""Is told of lines that are none: the file, and the line's number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which records. None: any. Times as the audit writes them."""

    since: str | None = None
    until: str | None = None
    tenant: str | None = None
    identity: str | None = None
    method: str | None = None
    job_id: str | None = None

    def has(self, record: Record) -> bool:
        """Whether a record is wanted."""
        if self.since is not None and record["time"] < self.since:
            return False
        if self.until is not None and record["time"] >= self.until:
            return False
        for name, value in (("tenant", self.tenant), ("identity", self.identity), ("method", self.method)):
            if value is not None and record.get(name) != value:
                return False
        return self.job_id is None or self.job_id in (record.get("job_id"), (record.get("answer") or {}).get("job_id"))


def read_records(files: Iterable[Path], wanted: Wanted, on_damage: OnDamage) -> Iterator[Record]:
    """The records of files, the oldest file first. OSError."""
    return (record for record in joined(_lines(files, on_damage)) if wanted.has(record))


def joined(lines: Iterable[Record]) -> Iterator[Record]:
    """Requests with their answers, in the order of the requests."""
    held: OrderedDict[str, Record] = OrderedDict()
    unanswered: set[str] = set()
    for number, line in enumerate(lines):
        call = str(line.get("call", number))
        match line["event"]:
            case "request":
                held[call] = line | {"answer": None}
                unanswered.add(call)
            case "answer":
                if call in unanswered:
                    held[call]["answer"] = _own_of(line)
                    unanswered.remove(call)
            case "start":
                # What the last process has not answered, nobody will.
                unanswered.clear()
                held[call] = line
            case _:
                held[call] = line
        while held and next(iter(held)) not in unanswered:
            yield held.popitem(last=False)[1]
    yield from held.values()


# Of an answer, what its request's line says already.
_REPEATED = {"event", "call", "method", "identity", "tenant"}


def _own_of(answer: Record) -> Record:
    return {name: value for name, value in answer.items() if name not in _REPEATED}


def _lines(files: Iterable[Path], on_damage: OnDamage) -> Iterator[Record]:
    for path in files:
        for number, data in _numbered(path, on_damage):
            line = _line(data)
            if line is not None:
                yield line
            elif data.strip():
                on_damage(path, number)


def _numbered(path: Path, on_damage: OnDamage) -> Iterator[tuple[int, bytes]]:
    number = 0
    with _opened(path) as file:
        try:
            for number, data in enumerate(file, start=1):
                yield number, data
        except (EOFError, gzip.BadGzipFile, zlib.error):
            # What follows cannot be unpacked.
            on_damage(path, number + 1)


def _opened(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _line(data: bytes) -> Record | None:
    try:
        line = json.loads(data)
    except ValueError:
        return None
    is_line = isinstance(line, dict) and isinstance(line.get("time"), str) and isinstance(line.get("event"), str)
    return line if is_line else None
