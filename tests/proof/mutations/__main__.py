"""Make each break in a copy of the code, and see a test catch it."""

import queue
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.proof.mutations.breaks import BREAKS, PROMISES, Break
from tests.proof.mutations.copies import Copy, CopyError, Verdict

# One for each of the two cores that a small machine has.
COPIES = 2

Row = tuple[Break, Verdict]


def main(names: Sequence[str]) -> int:
    """Try the breaks of these names, or all. The exit code: 1 when one is not caught, 2 when none could be tried."""
    breaks = [each for each in BREAKS if not names or each.name in names]
    if unknown := set(names) - {each.name for each in breaks}:
        print(f"there is no break {', '.join(sorted(unknown))}; there are: {', '.join(e.name for e in BREAKS)}")
        return 2
    try:
        with tempfile.TemporaryDirectory(prefix="autopilot-mutations-") as folder:
            rows = _try_all(breaks, [Copy(Path(folder) / str(number)) for number in range(COPIES)])
    except CopyError as error:
        print(error)
        return 2
    survivors = [broken.name for broken, verdict in rows if not verdict.failed]
    print(f"\n{len(rows) - len(survivors)} of {len(rows)} breaks were caught")
    return 1 if survivors else 0


def _try_all(breaks: Sequence[Break], copies: Sequence[Copy]) -> list[Row]:
    copies[0].check()
    free: queue.SimpleQueue[Copy] = queue.SimpleQueue()
    for copy in copies:
        free.put(copy)
    with ThreadPoolExecutor(len(copies)) as pool:

        def in_a_copy(work: Callable[[Copy], Verdict]) -> Verdict:
            copy = free.get()
            try:
                return work(copy)
            finally:
                free.put(copy)

        print("the code as it is", flush=True)
        commands = dict.fromkeys((each.tests, tuple(sorted(each.environment.items()))) for each in breaks)
        sound = [pool.submit(in_a_copy, lambda c, t=t, e=e: c.test(t, dict(e))) for t, e in commands]
        for (tests, _), done in zip(commands, sound, strict=True):
            if failed := done.result().failed:
                raise CopyError(f"pytest {' '.join(tests)} fails without a break: {failed}")
        rows = [(each, pool.submit(in_a_copy, lambda c, b=each: _broken(c, b))) for each in breaks]
        return [_told(each, done.result()) for each, done in rows]


def _broken(copy: Copy, broken: Break) -> Verdict:
    with copy.broken(broken):
        return copy.test(broken.tests, broken.environment)


def _told(broken: Break, verdict: Verdict) -> Row:
    caught = verdict.failed or "NOBODY"
    promise = f"{broken.promise} {PROMISES[broken.promise]}"
    print(f"{promise:48} {broken.name:50} {verdict.seconds:5.1f} s  {caught}", flush=True)
    return broken, verdict


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
