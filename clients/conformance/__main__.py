"""Plays the scenarios with each language's driver, and prints a table."""

import argparse
import subprocess
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clients.conformance.drivers import Driver, DriverDied, Language, Talk, languages
from clients.conformance.examples import run_example
from clients.conformance.playing import Failed, Play, Scenario, scenarios
from clients.conformance.stages import Stages

PASSED, NOT_RUN = "passed", "not run"
OWN_TESTS, EXAMPLE = "(its own tests)", "(its README's example)"


@dataclass(slots=True)
class Results:
    """What became of each scenario in each language: passed, not run, or what went wrong."""

    scenarios: Sequence[Scenario]
    outcomes: dict[str, dict[str, str]] = field(default_factory=dict)

    def failures(self) -> list[tuple[str, str, str]]:
        return [
            (language, name, outcome)
            for language, outcomes in self.outcomes.items()
            for name, outcome in outcomes.items()
            if outcome not in (PASSED, NOT_RUN)
        ]

    def table(self) -> str:
        """Language by scenario."""
        own = [name for name in (OWN_TESTS, EXAMPLE) if any(name in outcomes for outcomes in self.outcomes.values())]
        names = [*own, *(scenario.name for scenario in self.scenarios)]
        width = max(map(len, names))
        lines = [" " * width + "  " + "  ".join(f"{language:>10}" for language in self.outcomes)]
        for name in names:
            cells = [self._cell(outcomes.get(name, NOT_RUN)) for outcomes in self.outcomes.values()]
            lines.append(f"{name:<{width}}  " + "  ".join(f"{cell:>10}" for cell in cells))
        return "\n".join(lines)

    def _cell(self, outcome: str) -> str:
        return outcome if outcome in (PASSED, NOT_RUN) else "FAILED"

    def summary(self) -> str:
        counts = Counter(self._cell(o) for outcomes in self.outcomes.values() for o in outcomes.values())
        return f"{counts[PASSED]} passed, {counts['FAILED']} failed, {counts[NOT_RUN]} skipped"


def play_language(
    language: Language, wanted: Sequence[Scenario], stages: Stages, folder: Path, talk: Talk
) -> dict[str, str]:
    """Play with one language's driver: what became of each scenario."""
    if language.missing:
        print(f"{language.name}: not run, for want of {', '.join(language.missing)}")
        return {scenario.name: NOT_RUN for scenario in wanted}
    try:
        language.make()
    except subprocess.CalledProcessError as error:
        return {scenario.name: f"the driver cannot be built: {error}" for scenario in wanted}
    return {scenario.name: play_scenario(language, scenario, stages, folder, talk) for scenario in wanted}


def play_scenario(language: Language, scenario: Scenario, stages: Stages, folder: Path, talk: Talk) -> str:
    """Play one scenario with a driver of its own: passed, or what went wrong."""
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


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m clients.conformance", description=__doc__)
    parser.add_argument("--language", action="append", help="only this language; may be repeated")
    parser.add_argument("--scenario", default="", help="only scenarios with this in their name")
    parser.add_argument("--tests", action="store_true", help="run each client's own tests first")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    parser.add_argument("--verbose", action="store_true", help="show what is said between runner and driver")
    given = parser.parse_args()
    wanted = [scenario for scenario in scenarios() if given.scenario in scenario.name]
    if given.list:
        print("\n".join(f"{scenario.name}: {scenario.shows}" for scenario in wanted))
        return 0
    found = languages()
    if unknown := set(given.language or ()) - found.keys():
        parser.error(f"no clients/{'/, clients/'.join(sorted(unknown))}/conformance.json")
    talk: Talk = (lambda way, line: print(way, line[:2000], file=sys.stderr)) if given.verbose else lambda _, __: None
    results = Results(wanted)
    chosen = [found[name] for name in given.language or found]
    if given.tests:
        results.outcomes = {language.name: own_tests(language) for language in chosen}
    play_all(chosen, results, talk)
    for language, name, outcome in results.failures():
        print(f"\n{language}, {name}: {outcome}")
    print(f"\n{results.table()}\n\n{results.summary()}")
    return 1 if results.failures() else 0


def own_tests(language: Language) -> dict[str, str]:
    """Run a client's own tests, and its README's example: what became of each."""
    if language.missing:
        return {}
    outcomes = {}
    if language.test:
        outcomes[OWN_TESTS] = outcome(language.make, language.test_itself)
    if language.example is not None:
        with tempfile.TemporaryDirectory() as name:
            outcomes[EXAMPLE] = outcome(lambda: run_example(language, Path(name) / "server"))
    return outcomes


def outcome(*actions: Callable[[], None]) -> str:
    """Passed, or what went wrong."""
    try:
        for action in actions:
            action()
    except (subprocess.SubprocessError, AssertionError) as error:
        return str(error)
    return PASSED


def play_all(chosen: Sequence[Language], results: Results, talk: Talk) -> None:
    """Play with each language."""
    with tempfile.TemporaryDirectory() as name:
        stages = Stages(Path(name))
        try:
            for language in chosen:
                played = play_language(language, results.scenarios, stages, Path(name), talk)
                results.outcomes.setdefault(language.name, {}).update(played)
        finally:
            stages.close()


if __name__ == "__main__":
    sys.exit(main())
