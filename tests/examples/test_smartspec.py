"""The example SmartSpec: real documents, real commands, real folders."""

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from autopilot_client import Client, InterruptRaised, JobState, StepFinished
from autopilot_server.engine.workflows import Registry
from autopilot_server.jobs.job import SECOND, Job
from autopilot_server.jobs.states import JobState as State

from tests.engine.conftest import World
from tests.promises.conftest import Watcher, appears, ended
from tests.proof.server import ServerProcess
from tests.waiting import until

SMARTSPEC = Path(__file__).parents[2] / "examples" / "smartspec"
APPROVED = {"approved": True}

# Does what a task is to do: fails so often, and leaves a line each time.
TOOL = """
import sys
from pathlib import Path

task, failures = sys.argv[1], int(sys.argv[2])
with Path("effects.log").open("a") as log:
    log.write(task + "\\n")
runs = Path("effects.log").read_text().split().count(task)
print(f"{task}: run {runs}")
if runs <= failures:
    sys.exit(f"{task} is broken")
Path(task).write_text("done")
"""


def section(name: str, command: str = "", *, depends: str = "") -> str:
    after = f"Depends: {depends}\n\n" if depends else ""
    return f"## {name}: Make {name}\n\n{after}- {name} is there\n\n`{command or f'python3 tool.py {name} 0'}`\n\n"


def document(*sections: str, tests: str = "") -> str:
    return f"# A trial\n\n## Tests\n\n{f'`{tests}`' if tests else 'None.'}\n\n" + "".join(sections)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "tool.py").write_text(TOOL)
    return folder


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load(SMARTSPEC / "langgraph.json")


@pytest.fixture
async def world(tmp_path: Path, registry: Registry) -> AsyncIterator[World]:
    world = World(tmp_path, registry)
    await world.open()
    world.start()
    yield world
    await world.close()


async def submit(world: World, folder: Path, text: str | None = None) -> str:
    if text is not None:
        (folder / "spec.md").write_text(text)
    return await world.submit("smartspec", {"document": str(folder / "spec.md"), "workdir": str(folder)})


async def answered(world: World, job_id: str, answer: Any = APPROVED) -> Job:
    """The job once it has the answer and stopped again."""
    job = await world.stopped(job_id)
    assert job.state is State.INTERRUPTED, job.error
    await world.resume(job_id, answers={job.interrupts[0].interrupt_id: answer})
    return await world.stopped(job_id)


async def approved(world: World, folder: Path, text: str) -> Job:
    return await answered(world, await submit(world, folder, text))


def verdict(job: Job) -> str:
    assert job.state is State.SUCCEEDED, job.error
    return str(json.loads(job.output or "")["verdict"])


def shown(job: Job) -> str:
    """The plan that the human is asked about."""
    return str(json.loads(str(job.interrupts[0].value))["plan"])


def effects(folder: Path) -> list[str]:
    """The tasks whose commands really ran."""
    path = folder / "effects.log"
    return path.read_text().split() if path.exists() else []


def ticked(folder: Path) -> dict[str, bool]:
    lines = (folder / "tasks.md").read_text().splitlines()
    return {line[6:].split(":")[0]: line[3] == "x" for line in lines if line.startswith("- [")}


# --- through a real server ---


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path, config=SMARTSPEC / "langgraph.json") as server:
        yield server


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    with server.client() as client:
        yield client


def test_the_sample_becomes_a_tested_package(client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "sample"
    shutil.copytree(SMARTSPEC / "sample", folder)
    # It takes its time for those who watch the demo.
    tool = folder / "tools" / "make.py"
    tool.write_text(tool.read_text().replace("SECONDS.get(task, 0.2)", "0.1"))
    job = client.submit("smartspec", {"document": str(folder / "spec.md"), "workdir": str(folder)})
    watcher = Watcher(client, job.job_id)
    waiting = ended(client, job.job_id)
    assert waiting.state is JobState.INTERRUPTED
    (question,) = waiting.interrupts
    assert question.step == "APPROVE"
    assert question.value == {"question": "Is this the plan?", "plan": (folder / "plan.md").read_text()}
    assert question.response_schema is not None
    assert question.response_schema["required"] == ["approved"]
    assert "## Stage 2\n- R2: Addition (after R1): `python3 tools/make.py add`" in question.value["plan"]
    assert not (folder / "plan.approved").exists()
    client.resume(job.job_id, answer=APPROVED)
    job = ended(client, job.job_id)
    assert job.state is JobState.SUCCEEDED, job.error
    assert job.output["verdict"] == "accepted"
    assert job.output["report"] == (folder / "report.md").read_text()
    assert {result["id"]: result["ok"] for result in job.output["results"]} == dict.fromkeys(ticked(folder), True)
    assert ticked(folder) == dict.fromkeys(("R1", "R2", "R3", "R4", "R5"), True)
    assert (folder / "build" / "calc" / "multiply.py").exists()
    # The first attempt at the documentation fails, as the document says.
    assert sorted(effects(folder)) == sorted(["package", "add", "multiply", "docs", "docs", "cli"])
    assert not list(folder.glob("*.draft"))
    events = watcher.finish()
    asked = [event.kind.interrupt.interrupt_id for event in events if isinstance(event.kind, InterruptRaised)]
    assert asked == [question.interrupt_id]
    steps = [event.kind.step for event in events if isinstance(event.kind, StepFinished)]
    stage = ["WORK", "SYNC_TASKS", "IMPLEMENT"]
    assert steps == [
        *("CHECK", "SPEC", "PLAN", "APPROVE", "TASKS", "IMPLEMENT"),
        *stage,
        *["WORK", "WORK", *stage],
        *stage,
        *("TEST_SUITE", "QUALITY_GATE/collect", "QUALITY_GATE/judge", "QUALITY_GATE/report"),
    ]


# A command that says who it is and what it started, and waits.
HOLDING = """
import os, subprocess, sys, signal, time
from pathlib import Path

signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
draft = Path(sys.argv[1] + ".draft")
draft.write_text(f"{os.getpid()} {child.pid}")
draft.rename(sys.argv[1] + ".pids")
time.sleep(300)
"""


def alive(pid: int) -> bool:
    """A process that has ended, and that nobody has fetched, is not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        # Gone in between; or a system without /proc, where the first line is all there is.
        return not Path("/proc/self").exists()


async def gone(pids: list[int]) -> None:
    await until(lambda: not any(map(alive, pids)))


async def holding(folder: Path, *names: str) -> list[int]:
    """The processes of the commands, once they are all there."""
    found = []
    for name in names:
        await asyncio.to_thread(appears, folder / f"{name}.pids")
        found += [int(pid) for pid in (folder / f"{name}.pids").read_text().split()]
    return found


@contextlib.contextmanager
def cleared(folder: Path) -> Iterator[None]:
    """Leaves no command behind when a test fails."""
    try:
        yield
    finally:
        for path in folder.glob("*.pids"):
            for pid in map(int, path.read_text().split()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)


def holding_document(folder: Path) -> str:
    (folder / "hold.py").write_text(HOLDING)
    return document(
        section("R1", "python3 hold.py R1"), section("R2", "python3 hold.py R2"), section("R3", depends="R1, R2")
    )


@pytest.mark.parametrize("grace", [0, 0.1])
async def test_cancel_ends_the_commands_with_all_of_their_processes(world: World, work: Path, grace: float) -> None:
    job_id = await submit(world, work, holding_document(work))
    await world.until(job_id, lambda job: job.state is State.INTERRUPTED)
    (question,) = world.job(job_id).interrupts
    await world.resume(job_id, answers={question.interrupt_id: APPROVED})
    with cleared(work):
        pids = await holding(work, "R1", "R2")
        assert all(map(alive, pids))
        await world.store.job_cancel(job_id, reason="enough", etag="", grace_period=round(grace * SECOND))
        job = await world.stopped(job_id)
        assert job.state is State.CANCELLED
        await gone(pids)
    assert ticked(work) == {"R1": False, "R2": False, "R3": False}
    assert world.steps(job_id)[-1] == "IMPLEMENT"


async def test_what_was_cancelled_goes_on_where_it_was(world: World, work: Path) -> None:
    job_id = await submit(world, work, holding_document(work))
    await world.until(job_id, lambda job: job.state is State.INTERRUPTED)
    (question,) = world.job(job_id).interrupts
    await world.resume(job_id, answers={question.interrupt_id: APPROVED})
    with cleared(work):
        pids = await holding(work, "R1", "R2")
        await world.store.job_cancel(job_id, reason="", etag="", grace_period=0)
        await world.stopped(job_id)
        await gone(pids)
        (work / "hold.py").write_text("import sys\nfrom pathlib import Path\nPath(sys.argv[1]).touch()")
        await world.resume(job_id)
        assert verdict(await world.stopped(job_id)) == "accepted"
    assert ticked(work) == {"R1": True, "R2": True, "R3": True}
    assert world.steps(job_id).count("APPROVE") == 1


async def test_what_a_command_left_behind_ends_with_it(world: World, work: Path) -> None:
    (work / "leave.py").write_text(
        "import subprocess, sys\nfrom pathlib import Path\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'], stdout=subprocess.DEVNULL,\n"
        "                         stderr=subprocess.DEVNULL)\n"
        "Path('R1.pids').write_text(str(child.pid))\n"
    )
    with cleared(work):
        assert verdict(await approved(world, work, document(section("R1", "python3 leave.py")))) == "accepted"
        await gone(await holding(work, "R1"))


# --- approval ---


async def test_a_plan_that_is_rejected_is_made_anew(world: World, work: Path) -> None:
    job_id = await submit(world, work, document(section("R1"), section("R2", depends="R1")))
    first = await world.stopped(job_id)
    second = await answered(world, job_id, {"approved": False, "feedback": "smaller steps"})
    assert second.state is State.INTERRUPTED
    (before,), (after,) = first.interrupts, second.interrupts
    assert before.interrupt_id != after.interrupt_id
    plan = shown(second)
    assert "Asked for: smaller steps" not in shown(first)
    assert "Asked for: smaller steps" in plan
    assert (work / "plan.md").read_text() == plan
    assert not (work / "plan.approved").exists()
    assert effects(work) == []
    third = await answered(world, job_id, {"approved": False, "feedback": "larger ones"})
    assert "Asked for: larger ones" in shown(third)
    assert verdict(await answered(world, job_id)) == "accepted"
    assert world.steps(job_id).count("PLAN") == 3
    assert effects(work) == ["R1", "R2"]


async def test_a_rejection_needs_no_reason(world: World, work: Path) -> None:
    job_id = await submit(world, work, document(section("R1")))
    first = await world.stopped(job_id)
    second = await answered(world, job_id, {"approved": False})
    assert second.state is State.INTERRUPTED
    assert second.interrupts[0].value == first.interrupts[0].value


# --- half-done folders ---


async def half_done(world: World, work: Path, *, without: list[str]) -> list[str]:
    """The steps of a second job on the folder of a finished one of which some files are gone."""
    assert (
        verdict(await approved(world, work, document(section("R1"), section("R2"), tests="python3 -V"))) == "accepted"
    )
    for name in without:
        (work / name).unlink()
    (work / "effects.log").unlink()
    job_id = await submit(world, work)
    job = await world.stopped(job_id)
    if job.state is State.INTERRUPTED:
        job = await answered(world, job_id)
    assert job.state is State.SUCCEEDED, job.error
    return world.steps(job_id)


REST = ["SYNC_TASKS", "IMPLEMENT", "TEST_SUITE"]


@pytest.mark.parametrize(
    ("without", "first"),
    [
        (["spec.json", "plan.md", "plan.approved", "tasks.md", "report.md"], ["SPEC", "PLAN", "APPROVE", "TASKS"]),
        (["plan.md", "plan.approved", "tasks.md", "report.md"], ["PLAN", "APPROVE", "TASKS"]),
        (["plan.approved", "tasks.md"], ["PLAN", "APPROVE", "TASKS"]),
        (["tasks.md", "report.md"], ["TASKS"]),
    ],
    ids=["all", "plan", "approval", "tasks"],
)
async def test_a_folder_is_taken_up_where_it_is(world: World, work: Path, without: list[str], first: list[str]) -> None:
    steps = await half_done(world, work, without=without)
    assert [step for step in steps if "/" not in step] == ["CHECK", *first, "IMPLEMENT", "WORK", "WORK", *REST]
    assert sorted(effects(work)) == ["R1", "R2"]
    assert ticked(work) == {"R1": True, "R2": True}


async def test_what_the_folder_says_is_done_is_not_done_again(world: World, work: Path) -> None:
    text = document(section("R1"), section("R2", depends="R1"), section("R3", depends="R2"))
    await approved(world, work, text)
    tasks = work / "tasks.md"
    tasks.write_text(tasks.read_text().replace("- [x] R2", "- [ ] R2").replace("- [x] R3", "- [ ] R3"))
    (work / "effects.log").unlink()
    job_id = await submit(world, work)
    job = await world.stopped(job_id)
    assert job.state is State.SUCCEEDED, job.error
    steps = [step for step in world.steps(job_id) if "/" not in step]
    stage = ["IMPLEMENT", "WORK", "SYNC_TASKS"]
    assert steps == ["CHECK", *stage, *stage, "IMPLEMENT", "TEST_SUITE"]
    assert effects(work) == ["R2", "R3"]
    assert ticked(work) == {"R1": True, "R2": True, "R3": True}


async def test_a_finished_folder_is_only_tested_and_judged(world: World, work: Path) -> None:
    await approved(world, work, document(section("R1"), tests="python3 tool.py tests 0"))
    job_id = await submit(world, work)
    assert (await world.stopped(job_id)).state is State.SUCCEEDED
    assert [step for step in world.steps(job_id) if "/" not in step] == ["CHECK", "TEST_SUITE"]
    assert effects(work) == ["R1", "tests", "tests"]


# --- failures ---


async def test_a_command_that_fails_is_tried_three_times(world: World, work: Path) -> None:
    job = await approved(world, work, document(section("R1", "python3 tool.py R1 2"), section("R2")))
    assert verdict(job) == "accepted"
    assert effects(work).count("R1") == 3
    assert effects(work).count("R2") == 1
    assert job.failed_attempts == 0
    assert world.steps(job.job_id).count("WORK") == 2


async def test_a_task_that_fails_each_time_is_the_gate_s_to_judge(world: World, work: Path) -> None:
    text = document(section("R1", "python3 tool.py R1 9"), section("R2"), section("R3", depends="R1"), section("R4"))
    job = await approved(world, work, text)
    assert verdict(job) == "rejected: not done: R1, R3"
    assert (effects(work).count("R1"), effects(work).count("R3")) == (3, 0)
    assert ticked(work) == {"R1": False, "R2": True, "R3": False, "R4": True}
    assert "rejected: not done: R1, R3" in (work / "report.md").read_text()
    (failed,) = [e.step_failed for e in world.events(job.job_id) if e.HasField("step_failed")]
    assert failed.step == "WORK"
    assert failed.error.message == "R1: exit code 1: R1 is broken"
    # Mended, the next job does what is left.
    (work / "spec.json").write_text((work / "spec.json").read_text().replace("tool.py R1 9", "tool.py R1 0"))
    job = await world.stopped(await submit(world, work))
    assert job.state is State.SUCCEEDED
    assert ticked(work) == {"R1": True, "R2": True, "R3": True, "R4": True}
    assert (effects(work).count("R2"), effects(work).count("R3"), effects(work).count("R4")) == (1, 1, 1)


async def test_a_command_that_there_is_not(world: World, work: Path) -> None:
    job = await approved(world, work, document(section("R1", "no-such-program --at-all"), section("R2")))
    assert verdict(job) == "rejected: not done: R1"
    (failed,) = [e.step_failed for e in world.events(job.job_id) if e.HasField("step_failed")]
    assert "no-such-program" in failed.error.message


async def test_tests_that_fail(world: World, work: Path) -> None:
    job = await approved(world, work, document(section("R1"), tests="python3 tool.py tests 9"))
    assert verdict(job) == "rejected: the tests ended with exit code 1"
    assert effects(work).count("tests") == 1
    assert "Tests: fail" in (work / "report.md").read_text()


DOCUMENTS: dict[str, tuple[str, str]] = {
    "a circle": (
        document(section("R1", depends="R2"), section("R2", depends="R1")),
        "requirements depend on each other: ",
    ),
    "on itself": (document(section("R1", depends="R1")), "requirements depend on each other: R1 → R1"),
    "unknown": (document(section("R1", depends="R9")), "requirement R1 depends on R9, which is not in the document"),
    "twice": (document(section("R1"), section("R1")), "requirement R1 is there twice"),
    "no command": (document("## R1: Nothing to do\n\nSome text.\n"), "requirement R1 has no command: write one as"),
    "no requirement": (document(), "the document has no requirement: write each as a section"),
}


@pytest.mark.parametrize(("text", "said"), DOCUMENTS.values(), ids=DOCUMENTS)
async def test_a_document_that_cannot_be_worked_from(world: World, work: Path, text: str, said: str) -> None:
    job = await world.stopped(await submit(world, work, text))
    assert job.state is State.FAILED
    assert job.error is not None
    assert (job.error.step, job.error.exception_type) == ("SPEC", "smartspec.spec.SpecError")
    assert job.error.message.startswith(said)
    assert not (work / "spec.json").exists()


async def test_a_circle_is_named(world: World, work: Path) -> None:
    circle = [section("R1"), *(section(f"R{n}", depends=f"R{n % 3 + 2}") for n in (2, 3, 4))]
    job = await world.stopped(await submit(world, work, document(*circle)))
    assert job.error is not None
    names = job.error.message.removeprefix("requirements depend on each other: ").split(" → ")
    assert len(names) == 4
    assert names[0] == names[-1]
    assert set(names) == {"R2", "R3", "R4"}


async def test_a_document_that_is_not_there(world: World, work: Path) -> None:
    job = await world.stopped(await submit(world, work))
    assert job.error is not None
    assert job.error.message == f"cannot read {work / 'spec.md'}: No such file or directory"


async def test_a_document_that_was_mended_is_read_when_the_job_goes_on(world: World, work: Path) -> None:
    job_id = await submit(world, work, document(section("R1", depends="R1")))
    assert (await world.stopped(job_id)).state is State.FAILED
    (work / "spec.md").write_text(document(section("R1")))
    await world.resume(job_id)
    assert verdict(await answered(world, job_id)) == "accepted"
    assert world.steps(job_id).count("CHECK") == 1


@pytest.mark.parametrize("given", [{}, {"document": "spec.md"}, {"workdir": ""}], ids=str)
async def test_an_input_that_is_not_whole(world: World, given: dict[str, str]) -> None:
    job = await world.run("smartspec", {"document": "", **given})
    assert job.state is State.FAILED
    assert job.error is not None
    assert (job.error.step, job.error.message) == ("CHECK", 'the input needs "document" and "workdir"')


async def test_a_stage_of_which_every_task_fails_is_judged(world: World, work: Path) -> None:
    assert (
        verdict(await approved(world, work, document(section("R1", "python3 tool.py R1 9"))))
        == "rejected: not done: R1"
    )


async def test_a_finished_folder_is_accepted(world: World, work: Path) -> None:
    await approved(world, work, document(section("R1")))
    assert verdict(await world.stopped(await submit(world, work))) == "accepted"


async def test_a_half_done_folder_is_accepted(world: World, work: Path) -> None:
    await approved(world, work, document(section("R1"), section("R2")))
    tasks = work / "tasks.md"
    tasks.write_text(tasks.read_text().replace("- [x] R2", "- [ ] R2"))
    assert verdict(await world.stopped(await submit(world, work))) == "accepted"


async def test_a_long_line(world: World, work: Path) -> None:
    (work / "long.py").write_text("print('x' * 100_000)")
    assert verdict(await approved(world, work, document(section("R1", "python3 long.py"), section("R2")))) == "accepted"


async def test_a_child_that_keeps_the_output_open(world: World, work: Path) -> None:
    (work / "bg.py").write_text("import subprocess\nsubprocess.Popen(['sleep', '15'])\n")
    async with asyncio.timeout(5):
        assert verdict(await approved(world, work, document(section("R1", "python3 bg.py")))) == "accepted"


async def test_a_test_command_that_there_is_not(world: World, work: Path) -> None:
    assert verdict(await approved(world, work, document(section("R1"), tests="no-such-program"))).startswith("rejected")


async def test_a_document_in_latin_1(world: World, work: Path) -> None:
    (work / "spec.md").write_bytes(document(section("R1")).encode() + b"\xe4")
    job = await world.stopped(await submit(world, work))
    assert job.error is not None
    assert job.error.exception_type == "smartspec.spec.SpecError"
