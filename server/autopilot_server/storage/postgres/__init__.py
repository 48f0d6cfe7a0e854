"""The store on Postgres: one writer thread a process, reading connections that all threads share."""

from importlib.util import find_spec

from autopilot_server.jobs.errors import StartupError

# Of the extra postgres.
_PACKAGES = ("psycopg", "psycopg_pool", "langgraph.store.postgres")


def required() -> None:
    """StartupError without the packages that only this needs."""
    if missing := [name for name in _PACKAGES if find_spec(name) is None]:
        raise StartupError(
            f"jobs in a Postgres need more packages ({missing[0]}): pip install 'autopilot-jobs[server,postgres]'"
        )
