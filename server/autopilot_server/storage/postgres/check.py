"""What does not hold of a database in Postgres."""

import psycopg

from autopilot_server.jobs.errors import StartupError
from autopilot_server.storage.invariants import INVARIANTS, Finding
from autopilot_server.storage.postgres.connections import connect, conninfo
from autopilot_server.storage.postgres.migrations import cannot_use, require_current


def check(url: str) -> list[Finding]:
    """Everything that does not hold, in one snapshot, while a server may use the database.

    StartupError when it cannot be read, or is none of Autopilot's or of this version.
    """
    info = conninfo(url)
    try:
        with connect(info) as connection:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            require_current(connection, info)
            return [
                invariant.violated(row["subject"], row["detail"])
                for invariant in INVARIANTS
                for row in connection.execute(invariant.query.postgres)
            ]
    except psycopg.Error as error:
        raise StartupError(cannot_use(info, error)) from error
