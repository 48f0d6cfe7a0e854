"""The breaks that show that the proof can fail still fit the code."""

from collections import Counter
from pathlib import Path

import pytest

from tests.proof.mutations.breaks import BREAKS, PROMISES, Break

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("broken", BREAKS, ids=[each.name for each in BREAKS])
def test_a_break_fits_the_code(broken: Break) -> None:
    """Its text is there once, and what must catch it is there as well."""
    assert (ROOT / broken.file).read_text().count(broken.old) == 1
    assert broken.old != broken.new
    assert (ROOT / broken.tests[0].partition("::")[0]).is_file()


def test_every_promise_is_broken() -> None:
    """By two breaks at least; no two have one name."""
    breaks = Counter(each.promise for each in BREAKS)
    assert min(breaks[promise] for promise in PROMISES) >= 2
    assert len({each.name for each in BREAKS}) == len(BREAKS)
