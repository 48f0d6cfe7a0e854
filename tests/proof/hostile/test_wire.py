"""Bytes on the wire that no client sends: random ones, and mutated valid messages, to every method there is."""

import random
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from tests.proof.conftest import Tried
from tests.proof.hostile import wire_mutations
from tests.proof.hostile.victim import METHODS, Victim, examples, witness
from tests.proof.seed import SEED


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    victim = Victim(tmp_path_factory.mktemp("victim"))
    victim.seed()
    yield victim
    victim.close()


# GetStatus may be told to wait.
SHORT = {"timeout": 1.0}


def test_mutated_and_random_messages(victim: Victim, tried: Tried) -> None:
    """Every answer is one of the contract's, what was refused is not stored, and others are served meanwhile."""

    @seed(SEED)
    @examples(2)
    @given(st.integers(0, 2**63))
    def attack(number: int) -> None:
        rng = random.Random(number)
        victim.seed()
        for _ in range(10):
            method, data = rng.choice(wire_mutations.VALID)
            if rng.random() < 0.1:
                method = rng.choice(METHODS)
            victim.call(method, wire_mutations.mutated(data, rng), **(SHORT if method.endswith("GetStatus") else {}))
        assert victim.stored() <= victim.accepted

    with witness(victim) as served:
        attack()
    tried(hostile_messages=sum(victim.answers.values()), calls_of_others_meanwhile=sum(served.values()))
    assert served["witness"] > 1
    victim.check_log()
    _got_everywhere(victim.answers)


def _got_everywhere(answers: Counter[str]) -> None:
    """The attack reached every method, and was not stopped at the first check of each."""
    for method in METHODS:
        name = method.rpartition("/")[2]
        kinds = {answer.split()[1] for answer in answers if answer.split()[0] == name}
        assert len(kinds) > 1, answers
        assert kinds & {"FIELD_INVALID", "INVALID_ARGUMENT"}, answers
