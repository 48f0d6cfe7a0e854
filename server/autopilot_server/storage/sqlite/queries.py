"""The SQL statements, one a file, by name."""

from importlib.resources import files

_FOLDER = files("autopilot_server.storage") / "queries"


class Queries:
    """Every statement as an attribute: `SQL.job_get`."""

    def __init__(self) -> None:
        """Read the folder once."""
        for file in _FOLDER.iterdir():
            if file.name.endswith(".sql"):
                setattr(self, file.name.removesuffix(".sql"), file.read_text())

    def __getattr__(self, name: str) -> str:
        """Only called for what the folder has not got."""
        raise AttributeError(f"there is no queries/{name}.sql")


SQL = Queries()
