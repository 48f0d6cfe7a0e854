"""Checks a history that was kept, and tells what does not hold."""

import sys
from pathlib import Path

from tests.proof.histories.checkers import check
from tests.proof.histories.history import History


def main() -> None:
    found = check(History.load(Path(sys.argv[1])))
    for checker, violations in found.items():
        print(f"{checker}: {len(violations)}")
        for violation in violations[:20]:
            print(f"  {violation}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
