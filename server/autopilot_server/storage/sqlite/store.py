"""The store on SQLite: how it is opened and closed, and what only SQLite does."""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from autopilot_server.doorbell import Doorbell
from autopilot_server.jobs.errors import StartupError, StorageUnavailableError
from autopilot_server.jobs.job import Micros
from autopilot_server.observer import Observer
from autopilot_server.storage.clock import SteppedClock, begin_frame
from autopilot_server.storage.queries import SQL, Statement
from autopilot_server.storage.sealing import Sealer
from autopilot_server.storage.sql_store import SqlStore, take_up
from autopilot_server.storage.sqlite.backup import require_no_half_restore
from autopilot_server.storage.sqlite.connections import Readers, connect
from autopilot_server.storage.sqlite.database_file import DatabaseFile
from autopilot_server.storage.sqlite.key_register import register
from autopilot_server.storage.sqlite.lock import ServerLock
from autopilot_server.storage.sqlite.migrations import cannot_use, migrate
from autopilot_server.storage.sqlite.transaction import SqliteTransaction
from autopilot_server.storage.sqlite.write_lock import writing_process
from autopilot_server.storage.sqlite.writer import Writer
from autopilot_server.storage.store import EncodeEvent, OnMoves, Write
from autopilot_server.storage.transaction import Transaction


class SqliteStore(SqlStore):
    """Implements `storage.store.Store`, whose docstrings say what each method promises."""

    def __init__(
        self,
        path: Path,
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
        # A workflow's code may change the process's folder.
        self._path = path = path.absolute()
        self._lock = None if joins else ServerLock(path)
        try:
            if not joins:
                _prepare(path, clock, sealer)
            file = DatabaseFile(path)
            readers = Readers(file, sealer)
            newest_create_time = take_up(readers, clock)
            writer = Writer(
                file,
                doorbell=doorbell,
                clock=clock,
                on_health=on_health,
                on_moves=on_moves,
                observer=observer,
                sealer=sealer,
            )
            readers.on_outage = writer.look
        except (sqlite3.Error, StorageUnavailableError) as error:
            self._release()
            raise StartupError(cannot_use(path, error)) from error
        except BaseException:
            self._release()
            raise
        self._to_close = (writer, readers, file)
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

    def sizes(self) -> Mapping[str, int]:
        parts = {"database": self._path, "log": self._path.with_name(f"{self._path.name}-wal")}
        return {name: path.stat().st_size if path.exists() else 0 for name, path in parts.items()}

    def writing_process(self) -> int | None:
        return writing_process(self._path)

    def space_reclaim(self, *, pages: int) -> Write[int]:
        return self._writer.submit(lambda t: _reclaim(t, pages))


def _prepare(path: Path, clock: SteppedClock, sealer: Sealer | None) -> None:
    """What a server does with a database that no other process uses. StartupError; sqlite3.Error."""
    require_no_half_restore(path)
    migrate(path)
    register(path, sealer)
    with closing(connect(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(SQL.writer_delete_all.sqlite)
        begin_frame(SqliteTransaction(connection, clock.now()), clock, clock.apart)
        connection.execute("COMMIT")


def _reclaim(transaction: Transaction, pages: int) -> int:
    # A pragma takes no parameters; `pages` is a number of ours.
    transaction.rows(Statement(sqlite=f"PRAGMA incremental_vacuum({int(pages)})"))
    left = transaction.row(Statement(sqlite="PRAGMA freelist_count"))
    return int(left[0]) if left is not None else 0
