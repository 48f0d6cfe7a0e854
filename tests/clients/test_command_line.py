"""The command line, as scripts and people use it."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from autopilot_client import MISSING, Client, Event, JobState, Progress, ProgressReported, TokenChunk
from autopilot_client.cli.live import JobView
from autopilot_client.cli.output import event_line
from rich.console import Console

from tests.clients.test_python_client import asked_and_running
from tests.forks import autopilot
from tests.promises.conftest import appears, client, ended, server
from tests.proof.server import AUTOPILOT, ServerProcess

__all__ = ["client", "server"]


class Cli:
    """Runs `autopilot` against a server."""

    def __init__(self, address: str) -> None:
        self.environment = os.environ | {"AUTOPILOT_SERVER": address, "COLUMNS": "120"}

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return autopilot(*arguments, environment=self.environment, stdin=stdin)

    def json(self, *arguments: str, code: int = 0) -> list[dict[str, object]]:
        done = self.run(*arguments, "--json")
        assert done.returncode == code, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def cli(server: ServerProcess) -> Cli:
    return Cli(server.address)


def test_a_job_from_submit_to_delete(cli: Cli) -> None:
    job_id = cli.run("submit", "ask", "-i", '{"items": []}', "-l", "team=blue").stdout.strip()
    watched = cli.run("watch", job_id)
    assert watched.returncode == 4
    assert "really?" in watched.stderr
    refused = cli.run("resume", job_id, "--answer", '{"approved": 3}')
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    done = cli.run("resume", job_id, "--answer", '{"approved": true}', "--watch")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"items": ["before", True, "after"]}
    (status,) = cli.json("status", job_id)
    assert status["state"] == "SUCCEEDED"
    assert [job["job_id"] for job in cli.json("list", "--label", "team=blue")] == [job_id]
    assert [job["job_id"] for job in cli.json("list", "--after", "2h ago")] == [job_id]
    assert cli.json("list", "--before", "2h ago") == []
    assert len(cli.json("checkpoints", job_id, "--values")) == 5
    events = cli.json("watch", job_id)
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert (events[0]["kind"], events[0]["to_state"]) == ("StateChanged", "PENDING")
    assert "from_state" not in events[0]
    assert cli.json("prune", "--finished-for", "0", "--dry-run") == [{"deleted_jobs": 1, "deleted_checkpoints": 5}]
    assert cli.json("delete", job_id) == [{"deleted": job_id}]
    assert cli.run("status", job_id).returncode == 5


def test_a_watch_ends_at_the_present_interrupt_not_at_those_of_the_past(
    cli: Cli, client: Client, tmp_path: Path
) -> None:
    job = asked_and_running(client, tmp_path)
    watched = subprocess.Popen(
        [AUTOPILOT, "watch", job.job_id, "--json"], env=cli.environment, stdout=subprocess.PIPE, text=True
    )
    assert watched.stdout is not None
    states = []
    for line in watched.stdout:
        event = json.loads(line)
        states.append(event.get("to_state"))
        if event["sequence"] == job.latest_sequence:
            (tmp_path / "go").touch()
    assert watched.wait(timeout=60) == 0
    assert states.count("INTERRUPTED") == 2
    assert states[-1] == "SUCCEEDED"


def test_a_watch_of_a_job_that_already_waits_ends_at_once(cli: Cli, client: Client) -> None:
    job = ended(client, client.submit("ask", {"items": []}).job_id)
    assert cli.json("watch", job.job_id, "--after", str(job.latest_sequence), code=4) == []
    assert cli.run("watch", job.job_id, "--after", str(job.latest_sequence + 1)).returncode == 2


def test_a_look_at_a_running_job_is_no_failure(cli: Cli, client: Client, tmp_path: Path) -> None:
    job = asked_and_running(client, tmp_path)
    events = cli.json("watch", job.job_id, "--no-follow")
    assert len(events) >= job.latest_sequence
    (tmp_path / "go").touch()


def test_questions_are_shown_without_their_payloads(cli: Cli, client: Client) -> None:
    job = ended(client, client.submit("ask_two", {"items": []}).job_id)
    first, second = (question.interrupt_id for question in job.interrupts)
    basic = cli.run("status", job.job_id, "--basic")
    assert f"question  {first} (left)\n" in basic.stdout, basic.stderr
    resumed = cli.run("resume", job.job_id, "--answers", f"{first}=1")
    assert f"question  {second} (right)\n" in resumed.stdout, resumed.stderr
    ended(client, job.job_id)
    cancelled = cli.run("cancel", job.job_id)
    assert f"question  {second} (right)\n" in cancelled.stdout, cancelled.stderr


def test_input_from_a_file_and_a_pipe(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{"items": ["file"]}')
    done = cli.run("submit", "linear", "-i", f"@{tmp_path}/in.json", "--watch")
    assert json.loads(done.stdout.splitlines()[-1])["items"][0] == "file"
    done = cli.run("submit", "linear", "-i", "-", "--watch", stdin='{"items": ["pipe"]}')
    assert json.loads(done.stdout.splitlines()[-1])["items"][0] == "pipe"


def test_exit_codes(cli: Cli, tmp_path: Path) -> None:
    failing = cli.run("submit", "failing", "-i", '{"items": []}', "--max-attempts", "1", "--watch")
    assert failing.returncode == 1
    assert cli.run("submit", "nope").returncode == 5
    assert cli.run("submit", "linear", "-i", "hello").returncode == 2
    assert cli.run("submit", "linear", "--at", "tomorrow").returncode == 2
    assert cli.run("submit", "linear", "-i", '{"items": 1}').returncode == 2
    assert cli.run("watch", "nobody").returncode == 5
    (job,) = cli.json("submit", "holding", "-i", json.dumps({"items": [], "folder": str(tmp_path)}))
    appears(tmp_path / "holding")
    assert cli.run("delete", str(job["job_id"])).returncode == 6
    (cancelled,) = cli.json("cancel", str(job["job_id"]), "--grace", "0", "--reason", "enough")
    assert cancelled["state"] == "CANCELLED"
    assert cli.run("watch", str(job["job_id"])).returncode == 3
    unreachable = Cli("127.0.0.1:1").run("status", "j")
    assert unreachable.returncode == 7
    assert "autopilot serve" in unreachable.stderr
    assert "Traceback" not in unreachable.stderr


NOWHERE = "127.0.0.1:1"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["submit", "w", "-i", "[" * 5000 + "]" * 5000], "--input"),
        (["submit", "w", "-i", '{"a": 1, "b": {"c": 1, "c": 2}}'], "'c' is there twice"),
        (["submit", "w", "-i", "[NaN]"], "--input"),
        (["submit", "w", "--retention", "9" * 30 + "d"], "--retention"),
        (["submit", "w", "--at", "in " + "9" * 30 + "d"], "--at"),
        (["submit", "w", "--at", "in 3652500d"], "--at"),
        (["status", "j", "--timeout", "1000d"], "--timeout"),
        (["status", "j", "--wait", "1000d"], "--wait"),
        (["submit", "w", "--max-attempts", "99999999999"], "--max-attempts"),
        (["submit", "w", "--step-limit", "99999999999"], "--step-limit"),
        (["watch", "j", "--after", "9" * 30], "--after"),
        (["list", "--limit", "9" * 30], "--limit"),
        (["checkpoints", "j", "--limit", "9" * 30], "--limit"),
        (["list", "--after", "yesterday"], "'2h ago'"),
        (["list", "--state", "ASLEEP"], "PENDING, RUNNING"),
        (["list", "-s", ""], "HOST:PORT"),
        (["prune", "--finished-for", "1d", "--state", "RUNNING"], "is none of SUCCEEDED, FAILED, CANCELLED"),
        (["submit"], "WORKFLOW"),
        (["submit", "w", "--nonsense"], "--nonsense"),
        (["resume", "j", "--answer", "1", "--answer-text", "1"], "--answer-text"),
        (["resume", "j", "--answers", "q=["], "--answers q"),
    ],
)
def test_what_cannot_be_is_refused_by_the_name_of_its_option(arguments: list[str], expected: str) -> None:
    refused = Cli(NOWHERE).run(*arguments)
    assert refused.returncode == 2
    line, hint = refused.stderr.splitlines()
    assert line.startswith("autopilot: ")
    assert expected in line
    assert hint == f"See: autopilot {arguments[0]} --help"


def test_health_is_asked_without_a_token(cli: Cli, server: ServerProcess) -> None:
    done = cli.run("health")
    assert (done.returncode, done.stdout) == (0, "SERVING\n")
    assert cli.json("health") == [{"status": "SERVING"}]
    server.kill()
    gone = cli.run("health", "--timeout", "5s")
    assert (gone.returncode, gone.stdout) == (7, "")
    assert gone.stderr.startswith(f"autopilot: no server at {server.address}")


def test_errors_as_json(cli: Cli) -> None:
    def error(*arguments: str, code: int) -> dict[str, object]:
        done = cli.run(*arguments, "--json")
        assert (done.returncode, done.stdout) == (code, "")
        content: dict[str, object] = json.loads(done.stderr)["error"]
        assert content.keys() == {"reason", "message", "code", "violations", "metadata"}
        return content

    missing = error("status", "nobody", code=5)
    assert (missing["reason"], missing["code"]) == ("JOB_NOT_FOUND", "NOT_FOUND")
    assert missing["metadata"] == {"job_id": "nobody"}
    invalid = error("submit", "linear", "--job-id", "?", "--thread-id", "?" * 300, code=2)
    assert [item["field"] for item in invalid["violations"]][:1] == ["job_id"]  # type: ignore[attr-defined]
    assert error("submit", "--nonsense", code=2)["code"] == "INVALID_ARGUMENT"
    assert error("list", "--server", NOWHERE, code=7)["code"] == "UNAVAILABLE"


def test_everything_that_is_wrong_is_told_once(cli: Cli) -> None:
    refused = cli.run("submit", "linear", "--job-id", "?", "-l", "?=x")
    assert refused.returncode == 2
    head, first, second = refused.stderr.splitlines()
    assert head == "autopilot: the request is out of form:"
    assert first.startswith("  job_id: ")
    assert second.startswith("  labels")


def test_an_event_is_a_line_and_a_token_is_one() -> None:
    report = ProgressReported("step", "one\r\ntwo\x1b[2J", None, MISSING, 0)
    assert event_line(Event("j", 1, None, 1, Progress(), report)).endswith("step: one two [2J")
    token = TokenChunk("answer", "m", " two\n")
    assert event_line(Event("j", 0, None, 1, Progress(), token)).endswith('answer writes " two\\n"')


def test_a_pipe_is_told_the_job_first_and_programs_what_was_a_repetition(cli: Cli) -> None:
    arguments = ["submit", "linear", "-i", '{"items": []}', "--request-id", "once"]
    (first,) = cli.json(*arguments)
    assert first["deduplicated"] is False
    watched = cli.run(*arguments, "--watch").stdout.splitlines()
    assert watched[0] == f"job {first['job_id']}"
    (again,) = cli.json(*arguments)
    assert (again["job_id"], again["deduplicated"]) == (first["job_id"], True)
    assert "deduplicated" not in cli.json("status", str(first["job_id"]))[0]


def test_a_reader_that_has_seen_enough_is_no_error(cli: Cli) -> None:
    job_id = cli.run("submit", "reporting", "-i", '{"count": 2000}').stdout.strip()
    # A pipe is what it is about.
    piped = subprocess.run(  # noqa: S602
        f"{AUTOPILOT} watch {job_id} --json | head -1",
        shell=True,
        env=cli.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert json.loads(piped.stdout)["sequence"] == 1
    assert piped.stderr == ""


def test_help_teaches_and_is_there_at_once() -> None:
    top = subprocess.run([AUTOPILOT, "--help"], capture_output=True, text=True, timeout=60)
    assert "Exit codes" in top.stdout
    commands = [
        "serve",
        "submit",
        "status",
        "watch",
        "list",
        "cancel",
        "resume",
        "checkpoints",
        "delete",
        "prune",
        "workflows",
    ]
    for command in commands:
        assert f"\n  {command} " in top.stdout
        text = autopilot(command, "--help").stdout
        assert "autopilot " + command in text
        assert command == "serve" or "--json" in text
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", AUTOPILOT, "--help"], capture_output=True, text=True, timeout=60
    )
    assert "langgraph" not in loaded.stderr


def test_the_base_install_says_how_to_get_the_server(tmp_path: Path) -> None:
    (tmp_path / "autopilot_server").mkdir()
    missing = "raise ModuleNotFoundError(name='autopilot_server')"
    (tmp_path / "autopilot_server" / "__init__.py").write_text(missing)
    done = subprocess.run(
        [sys.executable, "-c", "from autopilot_client.cli import main; main()", "serve", "--listen", "x"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "pip install '.[server]' in the repository" in done.stderr


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--config", "missing.json"], "there is no missing.json"),
        (["--config", "broken.json"], "is not JSON"),
        (["--config", "bad.json"], "has no variable"),
        (["--config", "raises.json"], "ZeroDivisionError"),
        (["--config", "auth.json"], "auth"),
        (["--config", "good.json", "--database", "sqlite:////proc/x.db"], "cannot"),
        (["--config", "good.json", "--database", "mysql://x"], "sqlite:///PATH"),
        (["--config", "good.json", "--listen", "nowhere"], "HOST:PORT"),
        (["--config", "good.json", "--listen", "TAKEN"], "in use"),
    ],
)
def test_a_server_that_cannot_start_says_why_in_one_line(
    server: ServerProcess, tmp_path: Path, options: list[str], expected: str
) -> None:
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "g.py").write_text("from langgraph.graph import StateGraph\nx = 1\n")
    (tmp_path / "r.py").write_text("1 / 0\n")
    hello = Path(__file__).parents[2] / "examples/hello/hello.py"
    files = {
        "bad": {"graphs": {"g": "./g.py:graph"}},
        "raises": {"graphs": {"g": "./r.py:graph"}},
        "auth": {"graphs": {"g": f"{hello}:graph"}, "auth": {"path": "x"}},
        "good": {"graphs": {"g": f"{hello}:graph"}},
    }
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    options = [server.address if option == "TAKEN" else option for option in options]
    defaults = ["--listen", "127.0.0.1:0", "--database", "sqlite:///other.db"]
    done = autopilot("serve", *defaults, *options, folder=tmp_path)
    assert done.returncode == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("autopilot:")]
    assert expected in line
    assert "Traceback" not in done.stderr


def test_a_terminal_shows_a_tree_and_a_bar(server: ServerProcess, client: Client) -> None:
    leader, follower = pty.openpty()
    shown = subprocess.Popen(
        [AUTOPILOT, "submit", "nested", "-i", '{"items": []}', "--watch", "--server", server.address],
        stdout=follower,
        stderr=subprocess.PIPE,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "50"},
    )
    os.close(follower)
    text = b""
    while part := _read(leader):
        text += part
    assert shown.wait(timeout=60) == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text.decode())
    assert "✓ first" in plain
    assert "✓ one" in plain
    assert "SUCCEEDED" in plain


def test_a_list_has_a_heading_in_a_terminal_only(cli: Cli, client: Client) -> None:
    job_id = client.submit("linear", {"items": []}).job_id
    assert cli.run("list").stdout.split()[0] == job_id
    leader, follower = pty.openpty()
    shown = subprocess.Popen([AUTOPILOT, "list"], stdout=follower, env=cli.environment)
    os.close(follower)
    text = b""
    while part := _read(leader):
        text += part
    assert shown.wait(timeout=60) == 0
    heading, line = text.decode().splitlines()
    assert heading.split() == ["JOB", "CREATED", "STATE", "DONE", "WORKFLOW"]
    assert line.split()[0] == job_id


def resumed_by_hand(cli: Cli, job_id: str, typed: bytes) -> subprocess.CompletedProcess[str]:
    """`autopilot resume`, with somebody at the keyboard."""
    leader, follower = pty.openpty()
    os.write(leader, typed)
    done = subprocess.run(
        [AUTOPILOT, "resume", job_id, "--json"],
        stdin=follower,
        env=cli.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    os.close(follower)
    os.close(leader)
    return done


def test_who_is_asked_may_leave_a_question_out(cli: Cli, client: Client) -> None:
    job = ended(client, client.submit("ask_two", {"items": []}).job_id)
    done = resumed_by_hand(cli, job.job_id, b"\n5\n")
    assert done.returncode == 0, done.stderr
    assert "left asks" in done.stderr
    assert json.loads(done.stdout)["job_id"] == job.job_id
    assert [question.step for question in ended(client, job.job_id).interrupts] == ["left"]
    client.cancel(job.job_id)
    assert resumed_by_hand(cli, job.job_id, b"\n").returncode == 0
    assert ended(client, job.job_id).state is JobState.INTERRUPTED


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:
        # Nobody writes to the terminal any more.
        return b""


def test_the_view_of_a_fan_out(client: Client) -> None:
    job = ended(client, client.submit("fan_out", {"items": [], "count": 30}).job_id)
    console = Console(width=100, record=True, force_terminal=False, file=open(os.devnull, "w"))  # noqa: SIM115
    view = JobView(job.job_id, console)
    for event in client.watch(job.job_id):
        view.take(event)
    console.print(view.draw())
    text = console.export_text()
    assert "30 of 30 done" in text
    assert "100%" in text
