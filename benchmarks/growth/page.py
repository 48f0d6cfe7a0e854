"""Writes what was measured into a page: between `<!-- growth: NAME -->` and `<!-- end -->`, for each name."""

import re
from pathlib import Path

_END = "<!-- end -->"


def insert(page: Path, name: str, text: str) -> None:
    """Put `text` in the place of what stands there. ValueError when the page has no such place."""
    begin = f"<!-- growth: {name} -->"
    place = re.compile(f"{re.escape(begin)}.*?{re.escape(_END)}", re.DOTALL)
    content, found = place.subn(lambda _: f"{begin}\n{text.strip()}\n{_END}", page.read_text())
    if not found:
        raise ValueError(f"{page} has no place for {name}: {begin} … {_END}")
    page.write_text(content)
