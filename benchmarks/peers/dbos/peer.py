"""DBOS: a library, whose process is the user's own, on SQLite and on Postgres."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from benchmarks.peers.peer import Peer
from benchmarks.peers.postgres import Postgres
from benchmarks.peers.service import Service


class DbosSqlite(Peer):
    """The user's process alone."""

    title = "DBOS, SQLite"
    work = "a workflow of five steps, without LangGraph"
    durable = "its defaults; workflows are started in the process that runs them"
    packages: ClassVar[Sequence[str]] = ("dbos",)
    licences = "MIT"
    module = "benchmarks.peers.dbos.app"
    environment_name = "dbos"
    is_its_client = True

    def settings(self) -> Mapping[str, str]:
        """Where the database is."""
        return {"PEER_DATABASE": f"sqlite:///{self.folder / 'dbos.sqlite'}"}


class DbosPostgres(DbosSqlite):
    """The user's process, and a Postgres for it alone."""

    title = "DBOS, Postgres"
    durable = "its defaults, and those of Postgres; workflows are started in the process that runs them"
    packages: ClassVar[Sequence[str]] = ("dbos", "psycopg")
    licences = "MIT (DBOS), PostgreSQL (Postgres), LGPL-3.0 (psycopg)"

    def install(self) -> Path:
        """Postgres comes from the system."""
        self._postgres = Postgres(self.folder / "postgres")
        return super().install()

    def settings(self) -> Mapping[str, str]:
        """Where the database is."""
        return {"PEER_DATABASE": self._postgres.url("dbos")}

    def make_services(self) -> list[Service]:
        """Postgres, before the client."""
        return [self.service(*self._postgres.command(), port=self._postgres.port, user=self._postgres.user)]

    async def prepare(self) -> None:
        """Make the database's files."""
        await self._postgres.make()

    def programs(self) -> Sequence[Sequence[str | Path]]:
        """Postgres."""
        return [(self._postgres.program, "--version")]
