"""What became of each scenario in each language, as a table."""

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from clients.conformance.playing import Scenario

PASSED, NOT_RUN = "passed", "not run"
OWN_TESTS, EXAMPLE = "(its own tests)", "(its README's example)"


@dataclass(slots=True)
class Results:
    """Passed, not run, or what went wrong: by language and scenario. Languages may be told of at the same time."""

    languages: Sequence[str]
    scenarios: Sequence[Scenario]
    outcomes: dict[str, dict[str, str]] = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        """A column for each language, in their order."""
        self.outcomes = {language: {} for language in self.languages}

    def add(self, language: str, name: str, outcome: str) -> None:
        """What became of one thing that was tried."""
        with self._lock:
            self.outcomes[language][name] = outcome

    def failures(self) -> list[tuple[str, str, str]]:
        """Language, scenario, and what went wrong."""
        return [
            (language, name, outcome)
            for language, outcomes in self.outcomes.items()
            for name, outcome in outcomes.items()
            if outcome not in (PASSED, NOT_RUN)
        ]

    def table(self) -> str:
        """Language by scenario."""
        own = [name for name in (OWN_TESTS, EXAMPLE) if any(name in outcomes for outcomes in self.outcomes.values())]
        names = [*own, *(scenario.name for scenario in self.scenarios)]
        width = max(map(len, names))
        lines = [" " * width + "  " + "  ".join(f"{language:>10}" for language in self.outcomes)]
        for name in names:
            cells = [self._cell(outcomes.get(name, NOT_RUN)) for outcomes in self.outcomes.values()]
            lines.append(f"{name:<{width}}  " + "  ".join(f"{cell:>10}" for cell in cells))
        return "\n".join(lines)

    def _cell(self, outcome: str) -> str:
        return outcome if outcome in (PASSED, NOT_RUN) else "FAILED"

    def summary(self) -> str:
        """How many of each."""
        counts = Counter(self._cell(o) for outcomes in self.outcomes.values() for o in outcomes.values())
        return f"{counts[PASSED]} passed, {counts['FAILED']} failed, {counts[NOT_RUN]} skipped"
