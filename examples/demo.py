"""`make demo`: a job that outlives two kill -9 of its server, with a human in the middle.

Every claim that is printed is checked; the exit code is 0 only when all of them hold.
"""

import shutil
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

from autopilot_client import Client, Event, InterruptRaised, Job, JobState, StepFinished, StepStarted
from autopilot_client.cli.output import event_line
from rich.console import Console
from rich.panel import Panel

HERE = Path(__file__).parent
DEMO = HERE.parent / ".demo"
AUTOPILOT = Path(sys.executable).with_name("autopilot")

console = Console(highlight=False, soft_wrap=True)


def say(text: str) -> None:
    console.print(f"\n[bold cyan]▶ {text}[/]")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """The server process, which the demo kills."""

    def __init__(self) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                *(AUTOPILOT, "serve", "--config", HERE / "smartspec" / "langgraph.json"),
                *("--database", f"sqlite:///{DEMO}/autopilot.db", "--listen", self.address),
            ],
            stdout=subprocess.PIPE,
            stderr=(DEMO / "server.log").open("a"),
            text=True,
        )
        # The line that says where it serves: from here on it answers.
        if self.process.stdout is None or not self.process.stdout.readline():
            sys.exit(f"the server did not start, see {DEMO}/server.log")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


class Story:
    """Watches the job once, through everything, and acts when its moments come."""

    def __init__(self, server: Server, client: Client) -> None:
        self.server, self.client = server, client
        self.events: list[Event] = []
        self.kills = 0

    def run(self) -> Job:
        say("Submit a specification document. Its job is durable before the call returns.")
        job = self.client.submit(
            "smartspec", {"document": str(DEMO / "work" / "spec.md"), "workdir": str(DEMO / "work")}
        )
        console.print(f"job {job.job_id}")
        say("Watch it live. This one watch goes on through all that follows.")
        for event in self.client.watch(job.job_id):
            self.events.append(event)
            if (line := event_line(event)) is not None and "checkpoint" not in line:
                console.print(line, markup=False)
            self.act(event)
        return self.client.get(job.job_id)

    def act(self, event: Event) -> None:
        match event.kind:
            case StepStarted("SPEC") if self.kills == 0:
                self.kill("in the middle of a step")
            case InterruptRaised(question):
                console.print(Panel(question.value["plan"], title=question.value["question"]))
                say("It waits for a human: no thread, no memory, for days if need be. Approve the plan.")
                self.client.resume(event.job_id, answers={question.interrupt_id: {"approved": True}})
            case StepFinished("WORK", _, {"results": [{"id": "R2"}]}) if self.kills == 1:
                self.kill("in the middle of the parallel tasks: R2 is done, R3 is not")

    def kill(self, when: str) -> None:
        say(f"kill -9 the server, {when}.")
        self.server.kill()
        self.kills += 1
        say("Start it again. Nobody resubmits anything.")
        self.server.start()


def verify(job: Job, events: list[Event], kills: int) -> None:
    """Check what was claimed."""
    say("What the log and the working folder say:")
    effects = Counter((DEMO / "work" / "effects.log").read_text().split())
    finished = Counter(
        (event.kind.step, event.kind.step_run_id) for event in events if isinstance(event.kind, StepFinished)
    )
    claims = {
        "the server was killed twice": kills == 2,
        "the job SUCCEEDED": job.state is JobState.SUCCEEDED,
        f"events 1 to {job.latest_sequence} arrived, each once, in order": [e.sequence for e in events]
        == list(range(1, job.latest_sequence + 1)),
        "no step finished twice": set(finished.values()) == {1},
        "finished tasks did not run again (R1, R2)": effects["package"] == effects["add"] == 1,
        "the task that the kill interrupted did (R3)": effects["multiply"] == 2,
        "restarts cost the job none of its attempts": job.failed_attempts == 0,
        "the gate accepted": job.output["verdict"] == "accepted",
    }
    for claim, holds in claims.items():
        console.print(f"  {'[green]✓' if holds else '[red]✗'}[/] {claim}")
    if not all(claims.values()):
        sys.exit(1)
    console.print(Panel(job.output["report"], title="report.md"))


def main() -> None:
    shutil.rmtree(DEMO, ignore_errors=True)
    shutil.copytree(HERE / "smartspec" / "sample", DEMO / "work")
    server = Server()
    try:
        with Client(server.address) as client:
            story = Story(server, client)
            job = story.run()
        verify(job, story.events, story.kills)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
