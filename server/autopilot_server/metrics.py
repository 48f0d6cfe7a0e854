"""The server's figures, as Prometheus reads them. docs/metrics.md says what each means."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from autopilot_server.jobs.errors import StorageUnavailableError
from autopilot_server.jobs.job import SECOND, now
from autopilot_server.observer import Loop, Observer
from autopilot_server.storage.store import Store

# From a fraction of a commit (0.15 ms, docs/performance.md) to what nobody waits for; steps may take hours.
_CALLS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_STEPS = (0.001, 0.01, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200, 36000)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics(Observer):
    """Counts what it hears."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register with `registry`."""
        self._calls = Counter("autopilot_rpcs", "RPCs that ended.", ["method", "code"], registry=registry)
        self._call_seconds = Histogram(
            "autopilot_rpc_seconds", "Time of unary RPCs.", ["method"], buckets=_CALLS, registry=registry
        )
        self._waiting = Gauge("autopilot_watches", "Watches and waits that are open.", registry=registry)
        self._sent = Counter("autopilot_watch_events", "Events sent as they happened.", registry=registry)
        self._sent_seconds = Histogram(
            "autopilot_watch_lag_seconds", "From commit to sending, by message.", buckets=_CALLS, registry=registry
        )
        self._batches = Counter("autopilot_commits", "Batches of writes.", ["outcome"], registry=registry)
        self._commit_seconds = Histogram(
            "autopilot_commit_seconds", "From BEGIN to COMMIT.", buckets=_CALLS, registry=registry
        )
        self._batch_writes = Histogram(
            "autopilot_commit_writes", "Writes that shared a commit.", buckets=_SIZES, registry=registry
        )
        self._events = Counter("autopilot_events", "Events stored.", registry=registry)
        self._step_seconds = Histogram(
            "autopilot_step_seconds",
            "Time of steps.",
            ["workflow", "step", "outcome"],
            buckets=_STEPS,
            registry=registry,
        )
        self._runs = Counter("autopilot_attempts", "Attempts that ended.", ["workflow", "state"], registry=registry)
        self._recovered = Counter("autopilot_recovered_jobs", "Jobs left by dead ones.", ["outcome"], registry=registry)
        self._deaths = Counter("autopilot_worker_deaths", "Worker processes that died.", ["cause"], registry=registry)
        self._lag = Histogram(
            "autopilot_loop_lag_seconds", "How late loops turn.", ["loop"], buckets=_CALLS, registry=registry
        )
        self._stalls = Counter("autopilot_loop_stalls", "Steps that blocked the loop.", ["step"], registry=registry)

    def call_ended(self, method: str, code: str, seconds: float) -> None:
        self._calls.labels(method, code).inc()
        self._call_seconds.labels(method).observe(seconds)

    def stream_ended(self, method: str, code: str) -> None:
        self._calls.labels(method, code).inc()

    def waiter_came(self) -> None:
        self._waiting.inc()

    def waiter_went(self) -> None:
        self._waiting.dec()

    def events_sent(self, count: int, seconds: float) -> None:
        self._sent.inc(count)
        self._sent_seconds.observe(seconds)

    def batch_ended(self, writes: int, events: int, seconds: float, *, committed: bool) -> None:
        self._batches.labels("committed" if committed else "failed").inc()
        if committed:
            self._commit_seconds.observe(seconds)
            self._batch_writes.observe(writes)
            self._events.inc(events)

    def step_ended(self, workflow: str, step: str, seconds: float, *, failed: bool) -> None:
        self._step_seconds.labels(workflow, step, "failed" if failed else "finished").observe(seconds)

    def run_ended(self, workflow: str, state: str) -> None:
        self._runs.labels(workflow, state).inc()

    def jobs_recovered(self, outcome: str, count: int) -> None:
        self._recovered.labels(outcome).inc(count)

    def worker_died(self, cause: str) -> None:
        self._deaths.labels(cause).inc()

    def loop_lagged(self, loop: Loop, seconds: float) -> None:
        self._lag.labels(loop).observe(seconds)

    def loop_stalled(self, step: str) -> None:
        self._stalls.labels(step).inc()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where figures come from that are looked up when somebody asks."""

    store: Store
    running_jobs: Callable[[], int]
    abandoned_threads: Callable[[], int]


class Looked(Collector):
    """Figures that are looked up at each scrape."""

    def __init__(self, sources: Sources) -> None:
        """From `sources`."""
        self._from = sources

    def collect(self) -> Iterator[Any]:
        yield GaugeMetricFamily("autopilot_running_jobs", "Jobs that run here now.", self._from.running_jobs())
        yield GaugeMetricFamily(
            "autopilot_abandoned_threads", "Threads that do not return.", self._from.abandoned_threads()
        )
        try:
            found = [self._database_bytes(), self._jobs(), self._queue_age()]
        except StorageUnavailableError:
            yield GaugeMetricFamily("autopilot_database_up", "Whether the database can be read.", 0)
            return
        yield GaugeMetricFamily("autopilot_database_up", "Whether the database can be read.", 1)
        yield from found

    def _jobs(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily("autopilot_jobs", "Jobs that are stored.", labels=["workflow", "state"])
        for count in self._from.store.job_counts():
            family.add_metric([count.workflow, count.state.name], count.jobs)
        return family

    def _queue_age(self) -> GaugeMetricFamily:
        oldest = self._from.store.oldest_ready_time()
        age = 0.0 if oldest is None else max(0.0, (now() - oldest) / SECOND)
        return GaugeMetricFamily("autopilot_queue_age_seconds", "How long the oldest runnable job waits.", age)

    def _database_bytes(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily("autopilot_database_bytes", "Size on disk.", labels=["file"])
        for name, size in self._from.store.sizes().items():
            family.add_metric([name], size)
        return family
