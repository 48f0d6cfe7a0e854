"""Orders requirements, and writes the plan that a human approves."""

from graphlib import CycleError, TopologicalSorter

from smartspec.spec import SpecError
from smartspec.state import Requirement


def levels(requirements: list[Requirement]) -> list[list[str]]:
    """Groups of requirements that can be worked on at once, each after those it depends on, in the document's order.

    SpecError when requirements depend on each other in a circle.
    """
    order = {requirement["id"]: index for index, requirement in enumerate(requirements)}
    sorter = TopologicalSorter({requirement["id"]: requirement["depends"] for requirement in requirements})
    try:
        sorter.prepare()
    except CycleError as error:
        raise SpecError(f"requirements depend on each other: {' → '.join(error.args[1])}") from None
    found = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=order.__getitem__)
        found.append(ready)
        sorter.done(*ready)
    return found


def write_plan(title: str, requirements: list[Requirement], groups: list[list[str]], feedback: str) -> str:
    """The plan as Markdown."""
    by_id = {requirement["id"]: requirement for requirement in requirements}
    lines = [f"# Plan: {title}", ""]
    if feedback:
        lines += [f"Asked for: {feedback}", ""]
    for number, group in enumerate(groups, start=1):
        lines.append(f"## Stage {number}")
        for name in group:
            requirement = by_id[name]
            after = f" (after {', '.join(requirement['depends'])})" if requirement["depends"] else ""
            lines.append(f"- {name}: {requirement['title']}{after}: `{requirement['command']}`")
        lines.append("")
    return "\n".join(lines)
