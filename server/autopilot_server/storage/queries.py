"""The SQL statements, one a file, by name; in a folder of its own what a database says in its own words."""

import re
from importlib.resources import files

_FOLDER = files("autopilot_server.storage") / "queries"


class Statement:
    """A statement as each database wants it. One that a database has no use for has no text for it."""

    __slots__ = ("postgres", "sqlite")

    postgres: str
    sqlite: str

    def __init__(self, *, sqlite: str | None = None, postgres: str | None = None) -> None:
        """Parameters are named, as in `:job_id`."""
        if sqlite is not None:
            self.sqlite = sqlite
        if postgres is not None:
            self.postgres = _for_psycopg(postgres)

    @classmethod
    def common(cls, text: str) -> "Statement":
        """One that both databases understand."""
        return cls(sqlite=text, postgres=text)


def _for_psycopg(text: str) -> str:
    """The same parameters as psycopg names them; without SQLite's hints, which index to read."""
    text = re.sub(r"--.*", "", text).replace("%", "%%")
    text = re.sub(r" INDEXED BY \w+", "", text)
    return re.sub(r"(?<!:):([a-z_]+)", r"%(\1)s", text)


def _texts(folder: str = "") -> dict[str, str]:
    place = _FOLDER / folder if folder else _FOLDER
    if not place.is_dir():
        # A database that says everything as the other does.
        return {}
    return {file.name.removesuffix(".sql"): file.read_text() for file in place.iterdir() if file.name.endswith(".sql")}


def _with_pages(texts: dict[str, str]) -> dict[str, str]:
    """`job_list` for each index that a page may be read from."""
    page = texts.pop("job_list")
    composed = {}
    for name, source in texts.items():
        if name.startswith("job_list_by_"):
            key = "l" if name == "job_list_by_label" else "j"
            composed[name] = page.replace("{source}", source.strip()).replace("{key}", key)
    return texts | composed


class Queries:
    """Every statement as an attribute: `SQL.job_get`."""

    def __init__(self) -> None:
        """Read the folders once."""
        sqlite, postgres = (_with_pages(_texts() | _texts(own)) for own in ("sqlite", "postgres"))
        for name in sqlite.keys() | postgres.keys():
            setattr(self, name, Statement(sqlite=sqlite.get(name), postgres=postgres.get(name)))

    def __getattr__(self, name: str) -> Statement:
        """Only called for what the folders have not got."""
        raise AttributeError(f"there is no queries/{name}.sql")


SQL = Queries()
