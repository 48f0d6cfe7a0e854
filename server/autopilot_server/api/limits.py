"""What one tenant, and all together, may take at once. Beyond a limit: LimitExceededError, with when to try again."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from autopilot_server.jobs.errors import LimitExceededError
from autopilot_server.observer import Observer

# Watches end when clients go away: worth another look in a few seconds.
RETRY_SECONDS = 5.0

# Tenants whose buckets are remembered; full ones are forgotten first, as they are what a new one is.
_MOST_BUCKETS = 10_000

# Retry delays are whole milliseconds, rounded up.
_GRAIN = 1000


class Places:
    """The watches and waits that are open. Unary calls need no place: enough RPCs are left for them."""

    def __init__(self, *, limit: int, tenant_limit: int, observer: Observer) -> None:
        """`tenant_limit`: of one tenant; `limit`: of all together."""
        self._limit, self._tenant_limit, self._observer = limit, tenant_limit, observer
        self._of_tenant: Counter[str] = Counter()
        self.taken = 0

    @contextmanager
    def place(self, tenant: str) -> Iterator[None]:
        """A place among them, for as long as the context lasts. LimitExceededError when all are taken."""
        if self._of_tenant[tenant] >= self._tenant_limit:
            raise _full("of yours ", self._tenant_limit, "tenant_watches")
        if self.taken >= self._limit:
            raise _full("", self._limit, "watches")
        self.taken += 1
        self._of_tenant[tenant] += 1
        self._observer.waiter_came()
        try:
            yield
        finally:
            self.taken -= 1
            self._observer.waiter_went()
            self._of_tenant[tenant] -= 1
            if not self._of_tenant[tenant]:
                del self._of_tenant[tenant]


def _full(whose: str, limit: int, name: str) -> LimitExceededError:
    return LimitExceededError(
        f"{limit} watches and waits {whose}are open, and the server takes no more.",
        retry_delay=RETRY_SECONDS,
        limit=limit,
        name=name,
    )


class SubmitRate:
    """How fast a tenant may submit: a bucket of tokens for each, which fills at the rate and holds the burst."""

    def __init__(self, *, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`per_second` 0: as fast as it can."""
        self._rate, self._burst, self._clock = per_second, burst, clock
        # When a tenant's bucket is full again. One that is not here is full.
        self._full_at: dict[str, float] = {}

    @property
    def limits(self) -> bool:
        """Whether there is a rate at all."""
        return self._rate > 0

    def take(self, tenant: str) -> None:
        """Take a token for a Submit. LimitExceededError with the time until the next one is there."""
        now = self._clock()
        full_at = max(now, self._full_at.get(tenant, now))
        # A token more is missing until the bucket is full; more than the burst cannot be.
        excess = full_at + 1 / self._rate - now - self._burst / self._rate
        if excess > 1e-9:
            raise LimitExceededError(
                f"More than {self._rate:g} jobs a second were submitted. Try again later, or more slowly.",
                retry_delay=math.ceil(excess * _GRAIN) / _GRAIN,
                limit=f"{self._rate:g}",
                name="tenant_submits_per_second",
            )
        self._full_at[tenant] = full_at + 1 / self._rate
        if len(self._full_at) > _MOST_BUCKETS:
            self._full_at = {name: at for name, at in self._full_at.items() if at > now}
