"""Celery with Redis as its broker and for its results."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.peers import installing
from benchmarks.peers.peer import Peer
from benchmarks.peers.service import HOST, Service, free_port


class CeleryRedis(Peer):
    """Redis, and a worker with as many processes as there are cores."""

    title = "Celery, Redis"
    work = "a task that runs the graph, sync nodes, with SqliteSaver, and goes on from its checkpoint"
    durable = (
        "worker: its defaults (prefork, a process a core), acks_late and reject_on_worker_lost; "
        "visibility_timeout is the default, an hour. Redis: appendonly yes, fsync every second"
    )
    packages = ("celery", "redis", "langgraph", "langgraph-checkpoint-sqlite")
    licences = "BSD-3-Clause (Celery, Redis 7.0), MIT (redis-py, LangGraph)"
    module = "benchmarks.peers.celery_redis.app"
    environment_name = "celery_redis"

    def install(self) -> Path:
        """Redis comes from the system."""
        self._redis = installing.system_program("redis-server", package="redis-server")
        return super().install()

    def settings(self) -> Mapping[str, str]:
        """Where Redis is."""
        self._port = free_port()
        return {"PEER_URL": f"redis://{HOST}:{self._port}/0"}

    def make_services(self) -> list[Service]:
        """The broker, then the worker."""
        redis = self.service(
            *(self._redis, "--bind", HOST, "--port", str(self._port), "--dir", self.folder, "--appendonly", "yes"),
            port=self._port,
        )
        worker = (self.python.with_name("celery"), "--app", "benchmarks.peers.celery_redis.app", "worker")
        return [redis, self.service(*worker, "--loglevel", "WARNING")]

    def programs(self) -> Sequence[Sequence[str | Path]]:
        """Redis."""
        return [(self._redis, "--version")]
