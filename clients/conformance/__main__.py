"""Plays the scenarios with each language's driver, and prints a table."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from clients.conformance.drivers import Language, Talk, languages
from clients.conformance.playing import Scenario, scenarios
from clients.conformance.results import Results
from clients.conformance.turns import Turn


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
    results = play_all([found[name] for name in given.language or found], wanted, talk, tests=given.tests)
    for language, name, outcome in results.failures():
        print(f"\n{language}, {name}: {outcome}")
    print(f"\n{results.table()}\n\n{results.summary()}")
    return 1 if results.failures() else 0


def play_all(chosen: Sequence[Language], wanted: Sequence[Scenario], talk: Talk, *, tests: bool) -> Results:
    """Play with each language, all side by side: some compile while others wait for servers."""
    results = Results([language.name for language in chosen], wanted)
    # Those that build for long begin, so that none of them is left to the end.
    order = sorted(chosen, key=lambda language: len(language.build) + len(language.test), reverse=True)
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(len(chosen)) as pool:
        turns = [Turn(language, results, Path(name) / language.name, talk) for language in order]
        taken = [pool.submit(turn.take, tests=tests) for turn in turns]
        try:
            for each in taken:
                each.result()
        except BaseException:
            for turn in turns:
                turn.stop()
            raise
    return results


if __name__ == "__main__":
    sys.exit(main())
