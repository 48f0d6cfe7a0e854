"""What does not hold of a database in Postgres."""

from autopilot_server.storage.invariants import INVARIANTS, Finding
from autopilot_server.storage.postgres.connections import connect, conninfo


def check(url: str) -> list[Finding]:
    """Everything that does not hold, in one snapshot, while servers may use the database. psycopg.Error."""
    with connect(conninfo(url)) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return [
            invariant.violated(row["subject"], row["detail"])
            for invariant in INVARIANTS
            for row in connection.execute(invariant.query.postgres)
        ]
