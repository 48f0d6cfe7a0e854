"""Counts what the proof tried, and tells it at the end, with its seed: the numbers of README.md come from there. And
deals the tests to processes."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.proof.seed import SEED

Tried = Callable[..., None]

# Their tests share a server, or what else they make once.
TOGETHER = {
    "test_checkers.py",
    "test_connections.py",
    "test_kill_points.py",
    "test_requests.py",
    "test_stale_tokens.py",
    "test_values.py",
    "test_wire.py",
    "test_zombies.py",
}

_COUNTS: pytest.StashKey[Counter[str]] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_COUNTS] = Counter()


@pytest.fixture(scope="session")
def tried(pytestconfig: pytest.Config) -> Tried:
    """Call it with what was tried and how often: `tried(kills=3, jobs=200)`."""

    def count(**times: int) -> None:
        pytestconfig.stash[_COUNTS].update(times)

    return count


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where tests run in several processes, each gives its counts to the one that tells them."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["tried"] = dict(session.config.stash[_COUNTS])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the counts of a process that has ended."""
    node.config.stash[_COUNTS].update(getattr(node, "workeroutput", {}).get("tried", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.write_line(f"AUTOPILOT_PROOF_SEED={SEED}")
    counts = config.stash[_COUNTS]
    if counts:
        terminalreporter.section("what was tried, and how often")
        for what, times in sorted(counts.items()):
            terminalreporter.write_line(f"{what.replace('_', ' ')}: {times:,}")


class Scheduling(LoadScopeScheduling):
    """What belongs together goes to one process, first the most tests; any other test to whoever is free."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        return file if file.rpartition("/")[2] in TOGETHER else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Asked where tests run in several processes."""
    return Scheduling(config, log)
