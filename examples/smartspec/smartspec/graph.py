"""CHECK → SPEC → PLAN → (approval) → TASKS → IMPLEMENT → SYNC_TASKS → TEST_SUITE → QUALITY_GATE.

Steps may run twice, when the process dies between a step's effect and its checkpoint. Each of them is written so that
this does no harm: files are written whole, and a task that the folder says is done is not run again.
"""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command, RetryPolicy, Send, interrupt
from pydantic import BaseModel

from smartspec import checklist, gate
from smartspec.commands import CommandError, run_command
from smartspec.plan import levels, write_plan
from smartspec.spec import SpecError, read_spec
from smartspec.state import Input, Output, State, TaskInput

Next = Literal["SPEC", "PLAN", "TASKS", "IMPLEMENT", "TEST_SUITE"]


@dataclass
class Context:
    """What a job may be given besides its input."""

    model: str = ""
    """A chat model, as LangChain names them, to write the plan; without one the plan is written by rule."""


class Approval(BaseModel):
    """The answer to the plan."""

    approved: bool
    feedback: str = ""


def folder(state: Any) -> Path:
    """The working folder."""
    return Path(state["workdir"])


async def check(state: State) -> Command[Next]:
    """Look what the folder has already, and go on from there."""
    if not state.get("document") or not state.get("workdir"):
        raise SpecError('the input needs "document" and "workdir"')
    at = folder(state)
    at.mkdir(parents=True, exist_ok=True)
    known = at / "spec.json"
    if not known.exists():
        return Command(goto="SPEC")
    update = json.loads(known.read_text())
    if not (at / "plan.approved").exists():
        return Command(goto="PLAN", update=update)
    update |= {"approved": True, "plan": (at / "plan.md").read_text()}
    if not (at / "tasks.md").exists():
        return Command(goto="TASKS", update=update)
    left = {r["id"] for r in update["requirements"]} - checklist.done(at / "tasks.md")
    return Command(goto="IMPLEMENT" if left else "TEST_SUITE", update=update)


async def spec(state: State) -> State:
    """Parse the document's requirements and acceptance criteria."""
    write = get_stream_writer()
    found = read_spec(Path(state["document"]))
    for number, requirement in enumerate(found.requirements, start=1):
        write({"progress": number / len(found.requirements), "message": f"{requirement['id']}: {requirement['title']}"})
        # Somebody who watches wants to see it; a model would take this long, too.
        await asyncio.sleep(0.2)
    update: State = {
        "title": found.title,
        "test_command": found.test_command,
        "requirements": found.requirements,
        "levels": levels(found.requirements),
    }
    checklist.replace_text(folder(state) / "spec.json", json.dumps(update, indent=2))
    return update


async def plan(state: State, runtime: Runtime[Context]) -> State:
    """Order the work, and write it down."""
    text = write_plan(state["title"], state["requirements"], state["levels"], state.get("feedback", ""))
    if runtime.context is not None and runtime.context.model:
        text = await _polished(runtime.context.model, text)
    checklist.replace_text(folder(state) / "plan.md", text)
    return {"plan": text}


async def _polished(name: str, text: str) -> str:
    # A user's choice: the example itself needs no model.
    from langchain.chat_models import init_chat_model

    answer = await init_chat_model(name).ainvoke(
        f"Rewrite this plan for the person who has to approve it. Keep stages, ids and commands.\n\n{text}"
    )
    return str(answer.text)


async def approve(state: State) -> Command[Literal["PLAN", "TASKS"]]:
    """Wait for a human, for days if need be."""
    answer = interrupt({"question": "Is this the plan?", "plan": state["plan"]}, response_schema=Approval)
    if not answer.approved:
        return Command(goto="PLAN", update={"feedback": answer.feedback, "approved": False})
    (folder(state) / "plan.approved").touch()
    return Command(goto="TASKS", update={"approved": True})


async def tasks(state: State) -> State:
    """Write the checklist."""
    path = folder(state) / "tasks.md"
    checklist.write(path, state["requirements"], checklist.done(path))
    return {}


def fan_out(state: State) -> list[Send] | str:
    """The tasks that can be worked on now, all at once."""
    finished = checklist.done(folder(state) / "tasks.md")
    tried = {result["id"] for result in state.get("results", [])}
    by_id = {requirement["id"]: requirement for requirement in state["requirements"]}
    for group in state["levels"]:
        ready = [name for name in group if name not in finished and name not in tried]
        ready = [name for name in ready if set(by_id[name]["depends"]) <= finished]
        if ready:
            return [Send("WORK", {"workdir": state["workdir"], "requirement": by_id[name]}) for name in ready]
    return "TEST_SUITE"


async def work(task: TaskInput) -> State:
    """Run a task's command. Raises when it fails, and is tried again."""
    write = get_stream_writer()
    requirement = task["requirement"]
    result = await run_command(
        requirement["id"],
        requirement["command"],
        folder(task),
        lambda line: write({"message": f"{requirement['id']}: {line}"}),
    )
    if not result["ok"]:
        raise CommandError(f"{requirement['id']}: exit code {result['exit_code']}: {' '.join(result['tail'][-1:])}")
    return {"results": [result]}


async def gave_up(task: TaskInput) -> Command[Literal["SYNC_TASKS"]]:
    """A task that failed each time is a result, too: the gate decides."""
    # Named, because LangGraph follows a step's own edges when the step finishes, not when its error is handled.
    failed = {"id": task["requirement"]["id"], "ok": False, "exit_code": 1, "seconds": 0.0, "tail": []}
    return Command(update={"results": [failed]}, goto="SYNC_TASKS")


async def sync_tasks(state: State) -> State:
    """Tick what passed."""
    path = folder(state) / "tasks.md"
    passed = {result["id"] for result in state.get("results", []) if result["ok"]}
    checklist.write(path, state["requirements"], checklist.done(path) | passed)
    return {}


async def implement(state: State) -> State:
    """A stage begins."""
    return {}


async def test_suite(state: State) -> State:
    """Run the project's tests."""
    write = get_stream_writer()
    if not state.get("test_command"):
        return {"tests": {"id": "tests", "ok": True, "exit_code": 0, "seconds": 0.0, "tail": []}}
    result = await run_command(
        "tests", state["test_command"], folder(state), lambda line: write({"message": f"tests: {line}"})
    )
    return {"tests": result}


def build() -> StateGraph[State, Context, Input, Output]:
    """The workflow."""
    builder = StateGraph(State, context_schema=Context, input_schema=Input, output_schema=Output)
    builder.add_node("CHECK", check).add_node("SPEC", spec).add_node("PLAN", plan).add_node("APPROVE", approve)
    builder.add_node("TASKS", tasks).add_node("IMPLEMENT", implement)
    retries = RetryPolicy(max_attempts=3, initial_interval=0.2, jitter=False, retry_on=CommandError)
    builder.add_node("WORK", work, retry_policy=retries, error_handler=gave_up, input_schema=TaskInput)
    builder.add_node("SYNC_TASKS", sync_tasks).add_node("TEST_SUITE", test_suite)
    builder.add_node("QUALITY_GATE", gate.build().compile())
    builder.add_edge(START, "CHECK").add_edge("SPEC", "PLAN").add_edge("PLAN", "APPROVE")
    builder.add_edge("TASKS", "IMPLEMENT").add_conditional_edges("IMPLEMENT", fan_out, ["WORK", "TEST_SUITE"])
    builder.add_edge("WORK", "SYNC_TASKS").add_edge("SYNC_TASKS", "IMPLEMENT")
    builder.add_edge("TEST_SUITE", "QUALITY_GATE").add_edge("QUALITY_GATE", END)
    return builder


graph = build().compile()
