"""The seed of all chances that a run of the proof takes, and how much of it is left to chance."""

import os
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

# In the environment, so that the processes that share the tests draw the same.
SEED = int(os.environ.setdefault("AUTOPILOT_PROOF_SEED", str(random.SystemRandom().randrange(1, 10**9))))

# Everything that is tried systematically, and as long as it may take; otherwise each run draws a part.
LONG = bool(os.environ.get("AUTOPILOT_PROOF_LONG"))


def half(of: Sequence[T], rng: random.Random) -> Sequence[T]:
    """What is drawn of these in this run, in their order."""
    places = range(len(of)) if LONG else sorted(rng.sample(range(len(of)), (len(of) + 1) // 2))
    return [of[place] for place in places]
