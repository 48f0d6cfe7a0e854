"""Content on its way into Postgres and out of it: bytes there, in UTF-8 or sealed, whatever it is here."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from psycopg import Cursor

from autopilot_server.jobs.errors import SealBrokenError
from autopilot_server.storage.sealing import COLUMNS, Sealer, is_sealed, place_of
from autopilot_server.storage.transaction import Parameters


class PostgresRow:
    """A row, whose content is opened when it is read by its name: what is broken only fails who reads it."""

    __slots__ = ("_places", "_sealer", "_values")

    def __init__(self, places: Mapping[str, int], values: Sequence[Any], sealer: Sealer | None) -> None:
        """`places`: of the columns, by their names."""
        self._places, self._values, self._sealer = places, values, sealer

    def __getitem__(self, column: Any) -> Any:
        """A column by its name, or by its place as it is stored."""
        if isinstance(column, int):
            return self._values[column]
        stored = self._values[self._places[column]]
        # Read for most columns of most rows: nothing is looked up for what cannot be content.
        return self._opened(column, stored) if type(stored) is bytes and column in COLUMNS else stored

    def __iter__(self) -> Iterator[Any]:
        """The columns as they are stored."""
        return iter(self._values)

    def keys(self) -> Any:
        """The columns' names."""
        return self._places.keys()

    def _opened(self, column: str, stored: bytes) -> str | bytes:
        if is_sealed(stored) and self._sealer is not None:
            return self._sealer.opened(column, stored, self)
        if not COLUMNS[column].is_text:
            return stored
        try:
            return stored.decode()
        except UnicodeDecodeError:
            place = place_of(column, self).decode()
            raise SealBrokenError(f"{place} is neither text nor encrypted: it was changed since") from None


class RowMaker:
    """Makes rows of what a cursor gets."""

    def __init__(self, sealer: Sealer | None) -> None:
        """Open content with `sealer`."""
        self._sealer = sealer

    def __call__(self, cursor: Cursor[Any]) -> Any:
        """See psycopg.rows.RowFactory."""
        places = {column.name: place for place, column in enumerate(cursor.description or ())}
        return lambda values: PostgresRow(places, values, self._sealer)


def as_stored(parameters: Parameters, sealer: Sealer | None) -> Parameters:
    """The parameters of a statement with the content among them as bytes."""
    if sealer is not None:
        parameters = sealer.sealed(parameters)
    found = [name for name in COLUMNS.keys() & parameters.keys() if type(parameters[name]) is str]
    return {**parameters, **{name: parameters[name].encode() for name in found}} if found else parameters
