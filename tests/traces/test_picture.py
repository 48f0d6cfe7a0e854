"""The picture in docs/traces.md is what the server does."""

import re
from pathlib import Path

from tests.traces.picture import picture

DOCUMENT = Path(__file__).parents[2] / "docs" / "traces.md"


def without_times(text: str) -> str:
    return re.sub(r"\d+\.\d+ s", "…", text)


def test_the_picture_is_of_a_run() -> None:
    shown = DOCUMENT.read_text().partition("<!-- spans -->\n```\n")[2].partition("\n```")[0]
    found = picture()
    assert without_times(shown) == without_times(found), f"put this into docs/traces.md:\n\n{found}"
