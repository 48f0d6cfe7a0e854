"""Random histories of two tenants on one server, who use the same ids: each is answered as if it were alone."""

from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest
from autopilot_server.access.identity import Grant, Identity
from autopilot_server.access.tokens import change_tokens, new_token
from hypothesis import HealthCheck, Phase, note, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from tests.proof.conftest import Tried
from tests.proof.model.histories import Draw, Histories
from tests.proof.model.talk import UNFINISHED_LIMIT, WATCHES, Talk
from tests.proof.model.test_model import EXAMPLES, STEPS, server_for
from tests.proof.seed import SEED
from tests.proof.server import ServerProcess

TENANTS = ("", "other")


class TwoTenants(Histories):
    """Two clients of two tenants, who choose from the same names, and know what the other one has been told."""

    bearers: ClassVar[tuple[str, ...]]

    def begin(self) -> None:
        number = next(self.numbers)
        self.talks = [self._talk(f"tenant-{number}-{which}", token) for which, token in enumerate(self.bearers)]
        self._sent: list[list[tuple[str, Any]]] = [[] for _ in TENANTS]
        self._tokens: list[list[tuple[str, Any, str]]] = [[] for _ in TENANTS]

    def _talk(self, folder: str, token: str) -> Talk:
        gates = self.folder / folder
        gates.mkdir()
        return Talk(self.server, gates, self.counts, lambda text: note(f"{folder}: {text}"), token=token)

    def teardown(self) -> None:
        for talk in self.talks:
            talk.close()
        self.counts["histories_of_two"] += 1

    @rule(data=st.data())
    def act(self, data: st.DataObject) -> None:
        """One of the two does one thing; the other sees nothing of it."""
        which = data.draw(st.sampled_from(range(len(TENANTS))))
        other = 1 - which
        self.talk, self.sent = self.talks[which], self._sent[which]
        # A page token of the other one is as good as none that was ever made.
        foreign = [("", None, token) for of, _, token in self._tokens[other] if of]
        self.tokens = [*self._tokens[which], *foreign]
        self._act(data)
        self._tokens[which] = [entry for entry in self.tokens if entry[0]]
        self.talks[other].agree()

    def kill(self, draw: Draw) -> None:
        super().kill(draw)
        for talk in self.talks:
            if talk is not self.talk:
                talk.restarted()

    def _etag(self, draw: Draw) -> str:
        """Also one of the other tenant's."""
        foreign = [job.etags[-1] for talk in self.talks for job in talk.model.jobs.values() if talk is not self.talk]
        own = super()._etag(draw)
        return str(draw(st.sampled_from([own] * 9 + foreign[:1])))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    folder = tmp_path / "server"
    folder.mkdir()
    made = [new_token(Identity(name, name, (Grant.of(["submit", "read", "control", "admin"]),))) for name in TENANTS]
    change_tokens(folder / "tokens.json", lambda _: [kept for _, kept in made])
    TwoTenants.bearers = tuple(text for text, _ in made)
    options = {
        "--token-file": folder / "tokens.json",
        "--unfinished-jobs": 10 * UNFINISHED_LIMIT,
        "--tenant-unfinished-jobs": UNFINISHED_LIMIT,
        "--watches": 10 * WATCHES,
    }
    with server_for(folder, *(part for option in options.items() for part in option), alone=False) as server:
        yield server


def test_neither_of_two_tenants_sees_the_other(server: ServerProcess, tmp_path: Path, tried: Tried) -> None:
    counts: Counter[str] = Counter()
    TwoTenants.server, TwoTenants.folder, TwoTenants.counts, TwoTenants.numbers = server, tmp_path, counts, count()
    run_state_machine_as_test(
        seed(SEED)(TwoTenants),
        settings=settings(
            max_examples=max(1, EXAMPLES // 2),
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )
    tried(**{f"two_tenants_{what}": times for what, times in counts.items()})
    assert counts["answered_SubmitJob"]
    assert counts["refused_JOB_NOT_FOUND"]
