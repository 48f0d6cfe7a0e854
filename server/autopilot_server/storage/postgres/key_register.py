"""Which keys a database's content is encrypted with: without them no server starts on it."""

from autopilot_server.jobs.errors import StartupError
from autopilot_server.storage.keys import ENVIRONMENT
from autopilot_server.storage.postgres.connections import Connection, connect, shown
from autopilot_server.storage.queries import SQL
from autopilot_server.storage.sealing import Sealer


def register(info: str, sealer: Sealer | None) -> None:
    """Note that from now on the first key seals what is new, before anything is. StartupError when a key is missing
    that content is encrypted with."""
    with connect(info) as connection, connection.transaction():
        connection.execute(SQL.schema_lock.postgres)
        _require_keys(connection, info, sealer)
        if sealer is not None:
            connection.execute(SQL.encryption_key_add.postgres, {"key_id": sealer.first.name})
            connection.execute(SQL.encryption_key_choose.postgres, {"key_id": sealer.first.name})


def _require_keys(connection: Connection, info: str, sealer: Sealer | None) -> None:
    given = set() if sealer is None else {key.name for key in sealer.keys.values()}
    stored = [row["key_id"] for row in connection.execute(SQL.encryption_key_list.postgres)]
    if missing := [name for name in stored if name not in given]:
        raise StartupError(
            f"the content of the database {shown(info)} is encrypted with keys that were not given "
            f"({', '.join(missing)}): name the file that has them with --encryption-key-file, or set {ENVIRONMENT}"
        )
