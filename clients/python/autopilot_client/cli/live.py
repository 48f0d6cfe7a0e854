"""A job in a terminal: a progress bar, and its steps as a tree."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from autopilot_client import (
    Event,
    InterruptRaised,
    JobState,
    Progress,
    ProgressReported,
    StateChanged,
    StepFailed,
    StepFinished,
    StepStarted,
    TokenChunk,
)
from autopilot_client.cli.output import one_line, short_json, span

_COLOURS = {
    JobState.SUCCEEDED: "green",
    JobState.FAILED: "red",
    JobState.CANCELLED: "yellow",
    JobState.INTERRUPTED: "magenta",
}

# Runs of one step that are shown by themselves; of more only the counts.
_SHOWN_RUNS = 4
_TOKEN_TEXT = 400


@dataclass(slots=True)
class _Run:
    state: str = "running"
    note: str = ""
    taken: timedelta | None = None


class JobView:
    """What is known of a watched job, drawn with rich."""

    def __init__(self, job_id: str, console: Console) -> None:
        """A job that nothing is known of yet."""
        self._job_id, self._console = job_id, console
        self._state, self._why = JobState.UNKNOWN, ""
        self._progress = Progress()
        self._steps: dict[str, dict[str, _Run]] = {}
        self._tokens = ""

    @contextmanager
    def shown(self) -> Iterator[Callable[[Event], None]]:
        """Draw what it gives is called with."""
        with Live(console=self._console, auto_refresh=False, transient=False) as live:

            def show(event: Event) -> None:
                self.take(event)
                live.update(self.draw(), refresh=True)

            yield show

    def take(self, event: Event) -> None:
        """Learn from an event."""
        if not isinstance(event.kind, TokenChunk):
            self._progress = event.progress
        match event.kind:
            case StateChanged(_, state, error):
                self._moved(state, "" if error is None else error.message)
            case StepStarted(step, run_id):
                self._steps.setdefault(step, {})[run_id] = _Run()
            case StepFinished(step, run_id, _, taken):
                self._steps.setdefault(step, {})[run_id] = _Run("done", "", taken)
            case StepFailed(step, run_id, error, taken):
                self._steps.setdefault(step, {})[run_id] = _Run("failed", error.message, taken)
            case InterruptRaised(question):
                note = short_json(question.value, 100)
                self._steps.setdefault(question.step, {})[question.step_run_id] = _Run("asks", note)
            case ProgressReported(step, message, fraction, _, _):
                self._reported(step, message, fraction)
            case TokenChunk(_, _, text):
                self._tokens = (self._tokens + text)[-_TOKEN_TEXT:]
            case _:
                pass

    def _moved(self, state: JobState, why: str) -> None:
        self._state, self._why = state, why
        if state is not JobState.RUNNING and state is not JobState.CANCELLING:
            # Steps that did not end are not running any more.
            for step, runs in list(self._steps.items()):
                self._steps[step] = {key: run for key, run in runs.items() if run.state != "running"}

    def _reported(self, step: str, message: str, fraction: float | None) -> None:
        running = [run for run in self._steps.get(step, {}).values() if run.state == "running"]
        if running:
            running[-1].note = " ".join([*([f"{fraction:.0%}"] if fraction is not None else []), message])

    def draw(self) -> Group:
        """Everything as it is now."""
        parts: list[Table | Tree | Text] = [self._head(), self._tree()]
        if self._tokens:
            parts.append(Text(one_line(self._tokens), style="italic dim"))
        return Group(*parts)

    def _head(self) -> Table:
        head = Table.grid(padding=(0, 1))
        left = self._progress.estimated_remaining
        head.add_row(
            Text(self._state.name, style=f"bold {_COLOURS.get(self._state, 'cyan')}"),
            ProgressBar(total=1.0, completed=self._progress.fraction, width=30),
            f"{self._progress.fraction:4.0%}",
            f"{self._progress.completed_steps} steps, {span(self._progress.elapsed)}",
            f"about {span(left)} left" if left and not self._state.finished else "",
        )
        head.add_row(Text(""), Text(one_line(self._why or self._progress.message), style="dim"))
        return head

    def _tree(self) -> Tree:
        tree = Tree(Text(self._job_id, style="dim"), guide_style="dim")
        branches: dict[str, Tree] = {"": tree}
        for step, runs in self._steps.items():
            if runs:
                parent, _, name = step.rpartition("/")
                self._branch(branches, parent).add(self._line(name, runs))
        return tree

    def _branch(self, branches: dict[str, Tree], path: str) -> Tree:
        if path not in branches:
            parent, _, name = path.rpartition("/")
            branches[path] = self._branch(branches, parent).add(Text(one_line(name), style="bold"))
        return branches[path]

    @staticmethod
    def _line(name: str, runs: dict[str, _Run]) -> Text:
        marks = {"done": ("✓", "green"), "failed": ("✗", "red"), "asks": ("?", "magenta"), "running": ("●", "cyan")}
        states = [run.state for run in runs.values()]
        worst = next(state for state in ("asks", "running", "failed", "done") if state in states)
        mark, colour = marks[worst]
        line = Text.assemble((mark, colour), " ", one_line(name))
        if len(runs) > 1:
            line.append(f"  {states.count('done')} of {len(runs)} done", style="dim")
        for run in [run for run in runs.values() if run.note][-_SHOWN_RUNS:]:
            line.append(f"  {one_line(run.note)}", style="dim")
        taken = [run.taken for run in runs.values() if run.taken is not None]
        if taken and worst == "done":
            line.append(f"  {span(max(taken))}", style="dim")
        return line
