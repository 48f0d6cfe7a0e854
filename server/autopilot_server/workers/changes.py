"""Notices that files have changed, by looking at them: there are few, and it is for development."""

import asyncio
import os
from collections.abc import Sequence

LOOK_SECONDS = 0.5

_Seen = tuple[int, int, int]


class Changes:
    """Looks at some files."""

    def __init__(self, files: Sequence[str]) -> None:
        """As they are now."""
        self._files = files
        self._seen = self._look()

    async def wait(self) -> None:
        """Wait until one has changed, and none does any more: editors write one after the other."""
        while (now := self._look()) == self._seen:  # noqa: ASYNC110 - files ring no bell
            await asyncio.sleep(LOOK_SECONDS)
        while now != self._seen:
            self._seen = now
            await asyncio.sleep(LOOK_SECONDS)
            now = self._look()

    def _look(self) -> list[_Seen | None]:
        return [_seen(file) for file in self._files]


def _seen(file: str) -> _Seen | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
