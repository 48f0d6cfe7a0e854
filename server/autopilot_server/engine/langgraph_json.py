"""The configuration file of LangGraph users, `langgraph.json`."""

import json
import logging
import os
import re
import sys
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from autopilot_server.jobs.errors import StartupError
from autopilot_server.jobs.job import SECOND, Concurrency, Isolation, KeptCheckpoints, RetryPolicy

log = logging.getLogger(__name__)

NAME = re.compile(r"[a-zA-Z0-9._-]{1,100}")

# A requirement of pip's: the name, then extras, a version, a marker or a URL.
_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*([\[(<>=!~;@].*)?")

_UNDERSTOOD = {"graphs", "env", "dependencies", "$schema"}

# Serving without what these ask for would be unsafe.
_REFUSED = {
    "auth": "Autopilot does not run LangGraph's authentication handlers",
    "encryption": "Autopilot does not run LangGraph's encryption handlers",
}

# With the least that each may be. A process that has loaded LangGraph needs some 300 MB of addresses.
_ISOLATION_LIMITS = {"memory_bytes": 512 << 20, "cpu_seconds": 1}

_CONCURRENCY_FIELDS = {"jobs", "per_key"}

_RETRY_FIELDS = {"max_attempts", "initial_backoff_seconds", "max_backoff_seconds", "backoff_multiplier"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphEntry:
    """One graph of the file: where it is, and what is said of it."""

    name: str
    location: str
    """The left part of `path.py:variable` or `pkg.module:variable`."""
    variable: str
    description: str = ""
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    isolation: Isolation | None = None
    concurrency: Concurrency = field(default_factory=Concurrency)
    kept_checkpoints: KeptCheckpoints = field(default_factory=KeptCheckpoints)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The file as it was read."""

    folder: Path
    graphs: tuple[GraphEntry, ...]
    environment: dict[str, str]
    dependencies: tuple[Path, ...]
    """Local folders, made importable."""
    files: tuple[Path, ...] = ()
    """Others that it refers to: that of the environment."""


def read(path: Path) -> Configuration:
    """Read and check the file. StartupError, one line, with what to do."""
    content = _json(path)
    for key, why in _REFUSED.items():
        if key in content:
            raise StartupError(f"{path}: cannot serve with {key!r}: {why}; remove it, or put a proxy in front")
    unknown = sorted(content.keys() - _UNDERSTOOD)
    if unknown:
        log.warning("%s: these keys have no meaning here and are ignored: %s", path, ", ".join(unknown))
    folder = path.resolve().parent
    graphs = content.get("graphs")
    if not isinstance(graphs, dict) or not graphs:
        raise StartupError(f'{path}: name the workflows under "graphs", as {{"name": "./file.py:variable"}}')
    return Configuration(
        folder=folder,
        graphs=tuple(_entry(path, name, value) for name, value in graphs.items()),
        environment=_environment(path, folder, content.get("env", {})),
        dependencies=_dependencies(path, folder, content.get("dependencies", [])),
        files=(folder / env,) if isinstance(env := content.get("env"), str) else (),
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StartupError(f"there is no {path}: name the file of your workflows with --config") from None
    except IsADirectoryError:
        inside = path / "langgraph.json"
        file = inside if inside.is_file() else "the file of your workflows"
        raise StartupError(f"{path} is a folder: give {file} with --config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"cannot read {path}: {error}") from None
    except (ValueError, RecursionError) as error:
        # Also a number of more digits than Python reads.
        raise StartupError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise StartupError(f"{path}: the file must hold a JSON object")
    return content


def _entry(path: Path, name: str, value: Any) -> GraphEntry:
    if not NAME.fullmatch(name):
        raise StartupError(f"{path}: graph name {name!r}: use 1 to 100 of the characters a-z A-Z 0-9 . _ -")
    options = value if isinstance(value, dict) else {"path": value}
    known = {"path", "description", "retry_policy", "isolation", "concurrency", "keep_checkpoints"}
    unknown = sorted(options.keys() - known)
    if unknown:
        log.warning("%s: graph %s: these keys are ignored: %s", path, name, ", ".join(unknown))
    target = options.get("path")
    location, _, variable = target.rpartition(":") if isinstance(target, str) else ("", "", "")
    if not location or not variable.isidentifier():
        raise StartupError(f'{path}: graph {name!r}: give it as "./file.py:variable" or "package.module:variable"')
    description = options.get("description", "")
    if not isinstance(description, str):
        raise StartupError(f"{path}: graph {name!r}: the description must be a text")
    return GraphEntry(
        name=name,
        location=location,
        variable=variable,
        description=description,
        retry_policy=_retry_policy(path, name, options.get("retry_policy", {})),
        isolation=_isolation(f"{path}: graph {name!r}: isolation", options.get("isolation", "shared")),
        concurrency=_concurrency(path, name, options.get("concurrency", {})),
        kept_checkpoints=_kept_checkpoints(path, name, options.get("keep_checkpoints", "all")),
    )


def _retry_policy(path: Path, name: str, value: Any) -> RetryPolicy:
    """Our extension: how failed attempts of the workflow's jobs are repeated, unless the job says it."""
    where = f"{path}: graph {name!r}: retry_policy"
    if not isinstance(value, dict):
        raise StartupError(f"{where}: must be an object with {', '.join(sorted(_RETRY_FIELDS))}")
    for key, number in value.items():
        if key not in _RETRY_FIELDS:
            raise StartupError(f"{where}: there is no {key!r}; there are {', '.join(sorted(_RETRY_FIELDS))}")
        kind = "whole number" if key == "max_attempts" else "number"
        least = 1 if key in ("max_attempts", "backoff_multiplier") else 0
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        if not is_number or not least <= number <= 10**6 or (kind == "whole number" and number != int(number)):
            raise StartupError(f"{where}.{key} is {number!r:.50}: must be a {kind} from {least} to 1,000,000")
    default = RetryPolicy()
    return RetryPolicy(
        max_attempts=int(value.get("max_attempts", default.max_attempts)),
        initial_backoff=round(value.get("initial_backoff_seconds", default.initial_backoff / SECOND) * SECOND),
        max_backoff=round(value.get("max_backoff_seconds", default.max_backoff / SECOND) * SECOND),
        backoff_multiplier=float(value.get("backoff_multiplier", default.backoff_multiplier)),
    )


def _isolation(where: str, value: Any) -> Isolation | None:
    """Our extension: whether each of the workflow's jobs has a process of its own, and what that may use."""
    options = value if isinstance(value, dict) else {"mode": value}
    mode, limits = options.get("mode"), {key: most for key, most in options.items() if key != "mode"}
    if mode not in ("shared", "process"):
        raise StartupError(f'{where}: must be "shared" or "process", or an object with that as "mode" and with limits')
    for key, most in limits.items():
        if key not in _ISOLATION_LIMITS:
            raise StartupError(f"{where}: there is no {key!r}; there are {', '.join(_ISOLATION_LIMITS)}")
        least = _ISOLATION_LIMITS[key]
        if not isinstance(most, int) or isinstance(most, bool) or not least <= most <= 2**62:
            raise StartupError(f"{where}.{key} is {most!r:.50}: must be a whole number from {least:,}")
    if mode == "process":
        return Isolation(**limits)
    if limits:
        raise StartupError(f"{where}: workers that jobs share have no limits of one workflow's")
    return None


def _concurrency(path: Path, name: str, value: Any) -> Concurrency:
    """Our extension: how many of the workflow's jobs run at once."""
    where = f"{path}: graph {name!r}: concurrency"
    if not isinstance(value, dict):
        raise StartupError(f"{where}: must be an object with {', '.join(sorted(_CONCURRENCY_FIELDS))}")
    for key, number in value.items():
        if key not in _CONCURRENCY_FIELDS:
            raise StartupError(f"{where}: there is no {key!r}; there are {', '.join(sorted(_CONCURRENCY_FIELDS))}")
        if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= 10**6:
            raise StartupError(f"{where}.{key} is {number!r:.50}: must be a whole number from 1 to 1,000,000")
    return Concurrency(jobs=value.get("jobs"), per_key=value.get("per_key"))


def _kept_checkpoints(path: Path, name: str, value: Any) -> KeptCheckpoints:
    """Our extension: which checkpoints of the workflow's jobs are kept."""
    match value:
        case "all":
            return KeptCheckpoints()
        case "newest_when_succeeded":
            return KeptCheckpoints(newest_when_succeeded=True)
        case {"last": int(last), **others} if not others and last is not True and 1 <= last <= 10**6:
            return KeptCheckpoints(last=last)
    raise StartupError(
        f'{path}: graph {name!r}: keep_checkpoints is {value!r:.50}: must be "all", "newest_when_succeeded", or '
        '{"last": 20}, with a number from 1 to 1,000,000'
    )


def _environment(path: Path, folder: Path, value: Any) -> dict[str, str]:
    if isinstance(value, str):
        file = folder / value
        if not file.is_file():
            raise StartupError(f"{path}: env: there is no file {file}")
        try:
            found = dotenv_values(file)
        except (OSError, UnicodeDecodeError) as error:
            raise StartupError(f"{path}: env: cannot read {file}: {error}") from None
        return {key: text for key, text in found.items() if text is not None}
    if isinstance(value, dict) and all(isinstance(text, str | int | float) for text in value.values()):
        for key, text in value.items():
            if not key or "=" in key or "\0" in f"{key}{text}":
                raise StartupError(f"{path}: env: {key!r} cannot be set: a name has no '=', and nothing a NUL")
        return {key: str(text) for key, text in value.items()}
    raise StartupError(f"{path}: env: give the path of a .env file, or an object of names and values")


def _dependencies(path: Path, folder: Path, value: Any) -> tuple[Path, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise StartupError(f"{path}: dependencies: a list of texts")
    local = []
    for item in value:
        if (folder / item).is_dir() and not _is_installed(item):
            local.append((folder / item).resolve())
        elif item.startswith("."):
            raise StartupError(f"{path}: dependencies: there is no folder {folder / item}")
        elif _is_installed(item) is False:
            raise StartupError(
                f"{path}: dependencies: {item!r} is neither installed nor a folder: install the package, for "
                f"{sys.executable}"
            )
    return tuple(local)


def _is_installed(item: str) -> bool | None:
    """Whether a requirement's distribution is installed, in whatever version: to choose one is pip's task.

    None when that cannot be told: a URL has no name, and a marker may speak of other machines.
    """
    if "://" in item or ";" in item:
        return None
    found = _REQUIREMENT.fullmatch(item)
    if found is None:
        return False
    try:
        metadata.distribution(found[1])
    except metadata.PackageNotFoundError:
        return False
    return True


def apply_environment(configuration: Configuration) -> None:
    """Set the file's variables, over those of the process, as LangGraph's own server does."""
    os.environ.update(configuration.environment)
