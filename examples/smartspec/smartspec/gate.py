"""QUALITY_GATE: a subgraph that collects, judges and reports."""

from pathlib import Path

from langgraph.graph import END, START, StateGraph

from smartspec import checklist
from smartspec.checklist import replace_text
from smartspec.state import State


async def collect(state: State) -> State:
    """The tasks that are not ticked: what the folder says counts, whichever job did it."""
    finished = checklist.done(Path(state["workdir"]) / "tasks.md")
    missing = [r["id"] for r in state["requirements"] if r["id"] not in finished]
    return {"report": ", ".join(missing)}


async def judge(state: State) -> State:
    """Everything done, and the tests pass."""
    missing = state.get("report", "")
    if missing:
        return {"verdict": f"rejected: not done: {missing}"}
    if not state["tests"]["ok"]:
        return {"verdict": f"rejected: the tests ended with exit code {state['tests']['exit_code']}"}
    return {"verdict": "accepted"}


async def report(state: State) -> State:
    """Write report.md."""
    newest = {result["id"]: result for result in state.get("results", [])}
    lines = [f"# {state['title']}: {state['verdict']}", ""]
    for requirement in state["requirements"]:
        result = newest.get(requirement["id"])
        how = f"{result['seconds']:.1f} s, exit code {result['exit_code']}" if result else "done before"
        lines.append(f"- {requirement['id']} {requirement['title']}: {how}")
    tests = state["tests"]
    lines += ["", f"Tests: {'pass' if tests['ok'] else 'fail'}, {tests['seconds']:.1f} s", ""]
    text = "\n".join(lines)
    replace_text(Path(state["workdir"]) / "report.md", text)
    return {"report": text}


def build() -> StateGraph[State]:
    """The subgraph."""
    builder = StateGraph(State)
    builder.add_node("collect", collect).add_node("judge", judge).add_node("report", report)
    builder.add_edge(START, "collect").add_edge("collect", "judge").add_edge("judge", "report")
    builder.add_edge("report", END)
    return builder
