"""The seed of all chances that a run of the proof takes."""

import os
import random

# In the environment, so that the processes that share the tests draw the same.
SEED = int(os.environ.setdefault("AUTOPILOT_PROOF_SEED", str(random.SystemRandom().randrange(1, 10**9))))
