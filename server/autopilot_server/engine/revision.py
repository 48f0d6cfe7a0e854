"""The revision of a workflow: changes when its code does."""

import hashlib
import os
import sys
from collections.abc import Iterable, Sequence
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path


def local_files(roots: Iterable[Path]) -> dict[str, Path]:
    """Files of the loaded modules that lie below the project's folders, by path relative to the first that has
    them."""
    folders = [root.resolve() for root in roots]
    # Modules are many, their folders few, and to resolve a path costs system calls.
    place = cache(partial(_place, folders))
    files: dict[str, Path] = {}
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None)
        if not name or not name.endswith(".py"):
            continue
        folder, relative = place(os.path.dirname(name))
        if relative is None:
            continue
        file = folder / os.path.basename(name)
        if file.is_file():
            files[(relative / file.name).as_posix()] = file
    return files


def _place(roots: Sequence[Path], name: str) -> tuple[Path, Path | None]:
    """Where a folder really is, and where in the project; None for what is not of it."""
    folder = Path(name).resolve()
    inside = next((root for root in roots if folder.is_relative_to(root)), None)
    if inside is None or "site-packages" in folder.parts or ".venv" in folder.parts:
        return folder, None
    return folder, folder.relative_to(inside)


def revision(name: str, sources: dict[str, bytes]) -> str:
    """Twelve hexadecimal digits over a workflow's name, all local sources, and LangGraph's version."""
    digest = hashlib.sha256(f"{name}\0{_langgraph_version()}\0".encode())
    for path, source in sorted(sources.items()):
        digest.update(f"{path}\0{len(source)}\0".encode() + source)
    return digest.hexdigest()[:12]


@cache
def _langgraph_version() -> str:
    return version("langgraph")
