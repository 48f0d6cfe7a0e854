"""The benchmarks run, from their command to their table: on so little work that the figures mean nothing."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.figures import Bound, Figure

REPOSITORY = Path(__file__).parents[2]


def test_the_command_measures_the_real_server_and_writes_its_figures(tmp_path: Path) -> None:
    report = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "idle", "--json", str(report)]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(report.read_text())["figures"]
    assert [figure["name"] for figure in figures] == [
        "durable submit at idle, p50",
        "submit to done at idle, p50, sync nodes",
        "submit to done at idle, p50, async nodes",
    ]
    assert all(figure["value"] > 0 and figure["name"] in done.stdout for figure in figures)
    assert list(tmp_path.iterdir()) == [report]


def test_what_grows_is_put_into_its_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- growth: history -->\nof yesterday\n<!-- end -->\nbehind\n")
    command = [sys.executable, "-m", "benchmarks.growth", "--quick", "--only", "history", "--page", str(page)]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    lines = page.read_text().splitlines()
    assert "of yesterday" not in lines
    assert (lines[0], lines[-1]) == ("before", "behind")
    for kept in ("all", "the last 10", "the newest, once succeeded", "all, DeltaChannel", "SqliteSaver in a loop"):
        assert len([line for line in lines if line.startswith(f"| {kept} |")]) == 2
    pictures = {path.name for path in (tmp_path / "page").iterdir()}
    assert pictures == {"history.png", "history-time.png"}
    assert all(f"(page/{picture})" in page.read_text() for picture in pictures)


def test_a_ratio_is_that_of_the_repetitions_not_of_the_medians() -> None:
    figure = Figure(
        name="x",
        unit="jobs/s",
        # The machine was twice as fast in the second repetition, and the ratio the same.
        measured=[150, 300, 155],
        reference=[100, 200, 100],
        bound=Bound(kind="at least", factor=1.5),
    )
    assert figure.ratio == 1.5
    assert figure.met


def test_a_bound_is_met_at_its_limit_and_missed_behind_it() -> None:
    bound = Bound(kind="at most", factor=1.5, plus=4)
    assert Figure(name="x", unit="ms", measured=[10], reference=[4], bound=bound).met
    assert not Figure(name="x", unit="ms", measured=[10.1], reference=[4], bound=bound).met
    assert bound.text("ms") == "≤ 1.5 × + 4 ms"
