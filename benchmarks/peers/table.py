"""The tables of the report, in Markdown."""

from collections.abc import Mapping, Sequence

from benchmarks.figures import percentile
from benchmarks.peers import steps
from benchmarks.peers.killing import Outcome
from benchmarks.peers.measuring import Result, Scale
from benchmarks.peers.peer import Peer

MEGABYTE = 1e6
FIGURES = (
    *("peer", "jobs/s, 64 in flight", "loop beside it", "ratio", "idle p50", "idle p99", "memory, RSS (PSS)"),
    *("SIGKILL of what runs the steps", "SIGKILL of everything"),
)


HOW = (
    "Jobs/s: {scale.repetitions} times {scale.load_seconds:g} s, and until the last job is done. Idle: from submit to "
    "done, one job after the other, at most {scale.idle_jobs} and {scale.idle_seconds:g} s. SIGKILL: "
    "{scale.killed_jobs} jobs of {steps.STEPS} steps that take {steps.STEP_SECONDS:g} s each, killed when the first "
    "is in its third step, and what does not come back by itself is started again at once; the time is that from the "
    "kill until a job that was under way begins a step."
)


def report(results: Mapping[type[Peer], Result | str], scale: Scale) -> str:
    """What was measured of each peer, or why it was not run; and below how each was set up."""
    figures = [_figures(peer, result) for peer, result in results.items()]
    setups = [_setup(peer, result) for peer, result in results.items()]
    return "\n\n".join(
        [
            _table(FIGURES, figures, right=range(1, 7)),
            HOW.format(scale=scale, steps=steps),
            _table(("peer", "W is", "set up", "versions", "licences"), setups),
        ]
    )


def _figures(peer: type[Peer], result: Result | str) -> list[str]:
    if isinstance(result, str):
        return [peer.title, f"not run: {_cell(result)}", *[""] * (len(FIGURES) - 2)]
    throughput, idle = result.throughput, result.idle_milliseconds
    assert throughput.reference_value is not None
    return [
        peer.title,
        f"{throughput.value:.0f}",
        f"{throughput.reference_value:.0f}",
        f"{throughput.ratio:.2f}",
        f"{percentile(idle, 50):.1f} ms",
        f"{percentile(idle, 99):.1f} ms",
        f"{result.resident_bytes / MEGABYTE:.0f} ({result.shared_once_bytes / MEGABYTE:.0f}) MB",
        _outcome(result.steps_killed),
        "that is all of it" if result.everything_killed is None else _outcome(result.everything_killed),
    ]


def _outcome(outcome: Outcome) -> str:
    jobs = f"{outcome.submitted - outcome.unfinished} of {outcome.submitted} jobs done"
    if outcome.first_step_after is None:
        return f"none of the {outcome.running} running goes on within {outcome.waited:.0f} s; {jobs}"
    again = f"; {outcome.again} steps done again" if outcome.again else ""
    late = "" if outcome.all_done_after is not None else f" within {outcome.waited:.0f} s"
    return f"goes on after {outcome.first_step_after:.1f} s; {jobs}{late}{again}"


def _setup(peer: type[Peer], result: Result | str) -> list[str]:
    versions = "" if isinstance(result, str) else result.versions
    return [peer.title, peer.work, peer.durable, versions, peer.licences]


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    rule = ["---:" if column in right else "---" for column in range(len(headings))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (headings, rule, *rows))


def _cell(text: str) -> str:
    """In one cell of a table, whatever was said."""
    return " ".join(text.split()).replace("|", "\\|")
