"""Plays a scenario: sends its commands to a driver, and looks whether the answers are what it expects."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from autopilot_client import Client

from clients.conformance.drivers import Driver
from clients.conformance.matching import Mismatch, match
from clients.conformance.stages import Stage

SCENARIOS = Path(__file__).with_name("scenarios.yaml")
CALLS = frozenset(
    [
        *("connect", "submit", "get", "list", "run", "follow", "watch", "next", "unwatch", "cancel", "resume"),
        *("delete", "checkpoints", "prune", "workflows", "close"),
    ]
)
_BESIDE = frozenset({"expect", "error", "keep", "later", "may_fail"})
_FILE_SECONDS = 60
# Less than the fake server itself waits.
_GONE_SECONDS = 30


class Failed(Exception):  # noqa: N818 - reads as what happened
    """A step's answer was not what the scenario expects."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What clients must do, step by step."""

    name: str
    shows: str
    steps: tuple[dict[str, Any], ...]
    server: Any = "shared"
    needs: str = ""
    """A field of the contract, as `Message.field`. Empty: what each release has."""
    connect: Any = field(default_factory=dict)


def scenarios() -> list[Scenario]:
    """All, as scenarios.yaml has them."""
    described = yaml.safe_load(SCENARIOS.read_text(encoding="utf-8"))
    return [Scenario(**{**each, "steps": tuple(each["steps"])}) for each in described]


class Play:
    """One playing of a scenario by one driver."""

    def __init__(self, scenario: Scenario, stage: Stage, driver: Driver, *, folder: Path, unique: str) -> None:
        self._scenario, self._stage, self._driver, self._folder = scenario, stage, driver, folder
        known = {"id": unique, "folder": str(folder), "address": stage.address}
        self._variables: dict[str, Any] = {**known, **stage.variables}
        self._waiting = 0

    def play(self) -> None:
        """All steps. Failed, or DriverDied."""
        connect = self._scenario.connect
        first = [{"connect": {"address": "${address}", **connect}}] if connect is not False else []
        for number, step in enumerate([*first, *self._scenario.steps], 1 - len(first)):
            try:
                self._step(step)
            except Mismatch as mismatch:
                raise Failed(f"step {number}, {_title(step)}: {mismatch}") from None

    def _step(self, step: dict[str, Any]) -> None:
        (name,) = step.keys() - _BESIDE
        argument = self._filled(step[name])
        match name:
            case "server":
                self._stage.act(argument)
            case "touch":
                (self._folder / argument).touch()
            case "await":
                _appears(self._folder / argument)
            case "elsewhere":
                self._elsewhere(argument)
            case "gone":
                self._gone(argument)
            case "seen":
                self._check({"ok": self._seen(argument)}, step)
            case "answer":
                self._check(self._driver.answer(), step)
            case call if call in CALLS:
                self._driver.tell(call, argument)
                if not step.get("later"):
                    self._check(self._driver.answer(), step)
            case _:
                raise ValueError(f"there is no step {name!r}")

    def _elsewhere(self, calls: Mapping[str, Mapping[str, Any]]) -> None:
        """What somebody else does meanwhile, by the Python client."""
        with Client(self._stage.address) as client:
            for name, arguments in calls.items():
                getattr(client, name)(**arguments)

    def _seen(self, argument: Mapping[str, str]) -> Any:
        assert self._stage.fake is not None, "only the fake server tells what it was asked"
        return self._stage.fake.seen(**argument)

    def _gone(self, job_id: str) -> None:
        assert self._stage.fake is not None, "only the fake server tells who is gone"
        if not self._stage.fake.wait_until_gone(job_id, _GONE_SECONDS):
            raise Failed(f"nobody ended the call for {job_id}")

    def _check(self, answer: dict[str, Any], step: dict[str, Any]) -> None:
        if step.get("may_fail"):
            return
        wanted = "error" if "error" in step else "ok"
        if wanted not in answer:
            raise Mismatch(f"expected {wanted}, found {answer}")
        expected = step.get("error", step.get("expect", {"$any": True}))
        match(self._filled(expected), answer[wanted])
        for name, path in step.get("keep", {}).items():
            self._variables[name] = _at(answer[wanted], path)

    def _filled(self, value: Any) -> Any:
        """With variables in their places, and long texts long."""
        match value:
            case str():
                return self._text(value)
            case {"$repeat": [text, times]}:
                return text * times
            case {}:
                return {self._filled(key): self._filled(item) for key, item in value.items()}
            case list():
                return [self._filled(item) for item in value]
            case _:
                return value

    def _text(self, text: str) -> Any:
        if whole := re.fullmatch(r"\$\{(\w+)\}", text):
            return self._variables[whole[1]]
        return re.sub(r"\$\{(\w+)\}", lambda found: str(self._variables[found[1]]), text)


def _title(step: Mapping[str, Any]) -> str:
    (name,) = step.keys() - _BESIDE
    return f"{name} {str(step[name])[:80]}"


def _at(value: Any, path: str) -> Any:
    for key in str(path).split("."):
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


def _appears(path: Path) -> None:
    until = time.monotonic() + _FILE_SECONDS
    while not path.exists():
        if time.monotonic() > until:
            raise Failed(f"{path.name} never appeared")
        time.sleep(0.01)
