"""How often Python collects garbage in a process that runs or serves jobs."""

import gc

# New objects between two collections. A job makes many and few of them in cycles: Python's own 700 costs a fifth of the
# engine's time (docs/performance.md).
THRESHOLD = 10_000


def spare_collections() -> None:
    """Modules, schemas and graphs live as long as the process: the garbage collector need not visit them each time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(THRESHOLD)
