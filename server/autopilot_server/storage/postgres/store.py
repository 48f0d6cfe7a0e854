"""The store on Postgres: how it is opened and closed."""

from collections.abc import Callable, Mapping

import psycopg

from autopilot_server.doorbell import Doorbell
from autopilot_server.jobs.errors import StartupError, StorageUnavailableError
from autopilot_server.jobs.job import Micros
from autopilot_server.observer import Observer
from autopilot_server.storage.clock import SteppedClock, begin_frame
from autopilot_server.storage.postgres.connections import Readers, connect, conninfo
from autopilot_server.storage.postgres.key_register import register
from autopilot_server.storage.postgres.lock import ServerLock
from autopilot_server.storage.postgres.migrations import cannot_use, migrate
from autopilot_server.storage.postgres.transaction import PostgresTransaction, Sent
from autopilot_server.storage.postgres.writer import Writer
from autopilot_server.storage.queries import SQL
from autopilot_server.storage.sealing import Sealer
from autopilot_server.storage.sql_store import SqlStore, take_up
from autopilot_server.storage.store import EncodeEvent, OnMoves, Write


class PostgresStore(SqlStore):
    """Implements `storage.store.Store`, whose docstrings say what each method promises."""

    def __init__(
        self,
        url: str,
        *,
        encode_event: EncodeEvent,
        doorbell: Doorbell,
        clock: SteppedClock,
        retention: Micros,
        on_health: Callable[[bool], None],
        on_moves: OnMoves,
        observer: Observer,
        sealer: Sealer | None = None,
        joins: bool = False,
    ) -> None:
        """Open the database, make or migrate it, and lock it against other servers; or join the server that has done
        so. StartupError."""
        info = conninfo(url)
        readers: Readers | None = None
        self._lock: ServerLock | None = None
        try:
            if not joins:
                self._lock = ServerLock(info)
                _prepare(info, clock, sealer)
            readers = Readers(info, sealer)
            newest_create_time = take_up(readers, clock)
            writer = Writer(
                info,
                doorbell=doorbell,
                clock=clock,
                on_health=on_health,
                on_moves=on_moves,
                observer=observer,
                sealer=sealer,
            )
            readers.on_outage = writer.look
        except BaseException as error:
            if readers is not None:
                readers.close()
            self._release()
            if isinstance(error, (psycopg.Error, StorageUnavailableError)):
                raise StartupError(cannot_use(info, error)) from error
            raise
        self._to_close = (writer, readers)
        super().__init__(
            writer=writer,
            readers=readers,
            clock=clock,
            encode_event=encode_event,
            retention=retention,
            newest_create_time=newest_create_time,
        )

    def close(self) -> None:
        for part in self._to_close:
            part.close()
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def sizes(self) -> Mapping[str, int]:
        found = self._readers.row(SQL.database_size, {})
        return {"database": 0 if found is None else found["bytes"]}

    def space_reclaim(self, *, pages: int) -> Write[int]:  # noqa: ARG002 - the protocol's
        """Nothing is to be given back: Postgres' autovacuum does."""
        return self._writer.submit(lambda _: 0)


def _prepare(info: str, clock: SteppedClock, sealer: Sealer | None) -> None:
    """What a server does with its database. StartupError; psycopg.Error."""
    migrate(info)
    register(info, sealer)
    with connect(info) as connection, connection.transaction():
        connection.execute(SQL.writer_delete_old.postgres)
        begin_frame(PostgresTransaction(Sent(connection, None), clock.now()), clock, clock.apart)
