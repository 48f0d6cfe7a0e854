"""A language's turn: its own tests, its README's example, and the scenarios, several side by side."""

import subprocess
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from clients.conformance.drivers import Driver, DriverDied, Language, Talk
from clients.conformance.examples import run_example
from clients.conformance.playing import Failed, Play, Scenario
from clients.conformance.results import EXAMPLE, NOT_RUN, OWN_TESTS, PASSED, Results
from clients.conformance.stages import Stages

SCENARIOS_AT_ONCE = 3


class Turn:
    """What is tried with a language; its servers are its own."""

    def __init__(self, language: Language, results: Results, folder: Path, talk: Talk) -> None:
        """Prepare; `folder` is made."""
        self._language, self._results, self._folder, self._talk = language, results, folder, talk
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Begin no other scenario."""
        self._stopped.set()

    def take(self, *, tests: bool) -> None:
        """Try everything; the results say what became of it."""
        if self._language.missing:
            print(f"{self._language.name}: not run, for want of {', '.join(self._language.missing)}")
            self._all(NOT_RUN)
            return
        self._folder.mkdir()
        problem = outcome(self._language.make)
        if problem != PASSED:
            self._all(f"the driver cannot be built: {problem}")
            return
        if tests:
            self._test()
        self._play()

    def _all(self, outcome: str) -> None:
        for scenario in self._results.scenarios:
            self._results.add(self._language.name, scenario.name, outcome)

    def _test(self) -> None:
        """The client's own tests, and its README's example."""
        language = self._language
        if language.test:
            self._results.add(language.name, OWN_TESTS, outcome(language.test_itself))
        if language.example is not None:
            tried = outcome(lambda: run_example(language, self._folder / "example"))
            self._results.add(language.name, EXAMPLE, tried)

    def _play(self) -> None:
        stages = Stages(self._folder)
        try:
            with ThreadPoolExecutor(SCENARIOS_AT_ONCE) as pool:
                list(pool.map(lambda scenario: self._play_one(scenario, stages), self._results.scenarios))
        finally:
            stages.close()

    def _play_one(self, scenario: Scenario, stages: Stages) -> None:
        if not self._stopped.is_set():
            tried = play_scenario(self._language, scenario, stages, self._folder, self._talk)
            self._results.add(self._language.name, scenario.name, tried)


def play_scenario(language: Language, scenario: Scenario, stages: Stages, folder: Path, talk: Talk) -> str:
    """Play one scenario with a driver of its own: passed, what went wrong, or not run for want of what it needs."""
    if not language.knows(scenario.needs):
        return NOT_RUN
    unique = f"{language.name.replace(' ', '-')}-{uuid.uuid4().hex[:12]}"
    own = folder / unique
    own.mkdir()
    driver = Driver(language, own / "driver.log", talk)
    try:
        with stages.stage(scenario.server, own) as stage:
            Play(scenario, stage, driver, folder=own, unique=unique).play()
    except (Failed, DriverDied) as problem:
        return str(problem)
    finally:
        driver.close()
    return PASSED


def outcome(action: Callable[[], None]) -> str:
    """Passed, or what went wrong."""
    try:
        action()
    except (subprocess.SubprocessError, AssertionError) as error:
        return str(error)
    return PASSED
