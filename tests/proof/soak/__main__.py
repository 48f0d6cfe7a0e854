"""Run a soak, and write its report.

    python -m tests.proof.soak --minutes 30 --report FOLDER

Exits with 1 when anything does not hold; the histories in which it does not are then in the folder as well.
"""

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.proof.soak.judgement import judge
from tests.proof.soak.report import write_report
from tests.proof.soak.soak import Result, Soak


def main() -> int:
    """The exit code."""
    asked = _arguments()
    asked.report.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="autopilot-soak-") as name:
        folder = Path(name)
        result = Soak(seconds=asked.minutes * 60, folder=folder, seed=asked.seed, tell=_tell).run()
        judge(result)
        write_report(result, asked.report, command=f"make soak MINUTES={asked.minutes:g}")
        if result.tally.violations:
            _keep(result, folder, asked.report)
    _tell(f"{'FAILED' if result.tally.violations else 'everything holds'}: {asked.report / 'report.md'}")
    return 1 if result.tally.violations else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=5, help="how long (default: 5)")
    parser.add_argument("--report", type=Path, default=Path("soak-report"), help="folder for the report")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 10**9), help="of all chances")
    return parser.parse_args()


def _tell(text: str) -> None:
    print(text, flush=True)


def _keep(result: Result, folder: Path, report: Path) -> None:
    """What is needed to find out why."""
    for path in (*result.tally.histories, folder / "server.log"):
        shutil.copy(path, report)


if __name__ == "__main__":
    sys.exit(main())
