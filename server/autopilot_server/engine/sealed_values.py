"""The values of LangGraph's store, encrypted in the database. Namespaces and keys are not: they are searched."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from autopilot_server.storage.queries import SQL
from autopilot_server.storage.sealing import MEMORY, Sealer, is_sealed

# What LangGraph inserts an item with: the value is the third of five parameters.
_INTO = "INTO store (prefix, key, value, "
_PARAMETERS, _VALUE = 5, 2


class SealedValues:
    """Seals what LangGraph's statements store, and opens what they find."""

    def __init__(self, sealer: Sealer) -> None:
        """Use `sealer`."""
        self._sealer = sealer

    def sealed(self, queries: Sequence[tuple[str, Sequence[Any]]]) -> list[tuple[str, Sequence[Any]]]:
        """LangGraph's statements for a batch of puts, with encrypted values."""
        return [(sql, self._with_values(parameters) if _INTO in sql else parameters) for sql, parameters in queries]

    def _with_values(self, parameters: Sequence[Any]) -> list[Any]:
        new = list(parameters)
        new[_VALUE::_PARAMETERS] = [self._sealer.seal(value, MEMORY) for value in new[_VALUE::_PARAMETERS]]
        return new

    def load(self, stored: Any) -> dict[str, Any]:
        """An item's value."""
        value: dict[str, Any] = json.loads(self._text(stored))
        return value

    def filter_in(self, connection: sqlite3.Connection) -> None:
        """Let the filters of a search, which are SQL, look into encrypted values."""
        extract = sqlite3.connect(":memory:", check_same_thread=False)

        def json_extract(stored: Any, path: str) -> Any:
            return extract.execute(SQL.json_extract.sqlite, {"json": self._text(stored), "path": path}).fetchone()[0]

        connection.create_function("json_extract", 2, json_extract)

    def _text(self, stored: Any) -> str:
        content = self._sealer.open(stored, MEMORY) if is_sealed(stored) else stored
        return content if isinstance(content, str) else content.decode()
