"""Reading the audit: requests and their answers together, in order, and only those that are asked for."""

import gzip
import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from autopilot_server.audit.records import Wanted, joined, read_records
from autopilot_server.audit_commands import audit
from click.testing import CliRunner

from tests.audit.conftest import records
from tests.forks import autopilot


def line(event: str, call: str = "", second: int = 0, **fields: Any) -> dict[str, Any]:
    told = {"time": f"2026-11-25T00:00:{second:02}.000000Z", "event": event}
    if event in ("request", "refused"):
        told |= {"method": "SubmitJob", "identity": "ci", "tenant": "acme", "credential": "token 1", "peer": "ipv4:x:1"}
    return told | ({"call": call} if call else {}) | fields


def order(*lines: dict[str, Any]) -> list[tuple[str, Any]]:
    found = joined(iter(lines))
    return [(record.get("call", record["event"]), (record.get("answer") or {}).get("code")) for record in found]


def test_answers_stand_with_their_requests_in_the_order_of_the_requests() -> None:
    assert order(
        line("start"),
        line("request", "a"),
        line("request", "b"),
        line("answer", "b", code="OK"),
        line("refused", "c", code="X"),
        line("answer", "a", code="NOT_FOUND"),
        # Of a call whose request could not be told, and once more.
        line("answer", "z", code="OK"),
        line("answer", "b", code="AGAIN"),
        line("stop"),
    ) == [("start", None), ("a", "NOT_FOUND"), ("b", "OK"), ("c", None), ("stop", None)]


def test_what_a_killed_server_has_not_answered_holds_nothing_up() -> None:
    found = joined(
        iter([line("request", "a"), line("request", "b"), line("answer", "b", code="OK"), line("start"), line("stop")])
    )
    assert [next(found).get("call") for _ in range(3)] == ["a", "b", None]
    assert order(line("request", "a"), line("start"), line("answer", "a", code="OK")) == [("a", None), ("start", None)]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    older, newer = tmp_path / "audit.jsonl.1.gz", tmp_path / "audit.jsonl"
    first = [
        line("start"),
        line("request", "a", 1, job_id="one"),
        line("answer", "a", 1, code="OK", state="PENDING", job_id="one"),
        line("request", "b", 2, method="Cancel", job_id="\x1b[31mone", tenant="", identity=""),
    ]
    second = [
        line("answer", "b", 3, code="NOT_FOUND", reason="JOB_NOT_FOUND"),
        line("request", "c", 4, workflow="w"),
        line("answer", "c", 4, code="OK", state="PENDING", job_id="made"),
        line("refused", "d", 5, method="PruneJobs", code="PERMISSION_DENIED", reason="METHOD_FORBIDDEN"),
        line("strangers", second=6, count=3),
        line("request", "e", 7, method="DeleteJob", job_id="one"),
    ]
    older.write_bytes(gzip.compress(b"".join(json.dumps(each).encode() + b"\n" for each in first)))
    newer.write_bytes(b"".join(json.dumps(each).encode() + b"\n" for each in second))
    return older, newer


@pytest.mark.parametrize(
    ("wanted", "calls"),
    [
        ({}, ["a", "b", "c", "d", None, "e"]),
        ({"since": "2026-11-25T00:00:02.000000Z", "until": "2026-11-25T00:00:05.000000Z"}, ["b", "c"]),
        ({"tenant": "acme"}, ["a", "c", "d", "e"]),
        ({"tenant": ""}, ["b"]),
        ({"identity": "ci", "method": "SubmitJob"}, ["a", "c"]),
        ({"job_id": "one"}, ["a", "e"]),
        ({"job_id": "made"}, ["c"]),
        ({"method": "Resume"}, []),
    ],
)
def test_only_what_is_wanted_is_shown(files: tuple[Path, Path], wanted: dict[str, str], calls: list[str]) -> None:
    assert [record.get("call") for record in records(*files, **wanted)] == calls


def show(*arguments: str | Path, code: int = 0) -> CompletedProcess[str]:
    done = autopilot("audit", *arguments)
    assert done.returncode == code, done.stderr
    return done


def test_the_command_exports(files: tuple[Path, Path]) -> None:
    older, newer = files
    with newer.open("ab") as file:
        file.write(b'{"time":"2026-11-')
    exported = show("--audit-file", newer, "--json", older)
    assert [json.loads(each).get("call") for each in exported.stdout.splitlines()][1:] == [
        "a",
        "b",
        "c",
        "d",
        None,
        "e",
    ]
    assert "line 7 is not whole" in exported.stderr
    narrow = show(
        "--audit-file", newer, "--since", "2026-11-25T01:00:04+01:00", "--until", "2026-11-25T00:00:05", "--json"
    )
    assert [json.loads(each)["call"] for each in narrow.stdout.splitlines()] == ["c"]
    people = show("--audit-file", newer, older).stdout
    assert "ci@acme (token 1)  ipv4:x:1  SubmitJob  one  OK PENDING" in people
    assert "SubmitJob  w made  OK PENDING" in people
    assert "DeleteJob  one  no answer" in people
    assert "PruneJobs  PERMISSION_DENIED METHOD_FORBIDDEN" in people
    assert "anybody (token 1)" in people
    assert "[strangers]  count 3" in people
    # No client's text reaches a terminal as it is.
    assert "\x1b" not in people
    assert "\\u001b[31mone" in people


def test_the_command_says_what_it_cannot_do(tmp_path: Path) -> None:
    assert "No such file" in show("--audit-file", tmp_path / "nowhere", code=2).stderr
    assert "is no time" in show("--audit-file", tmp_path / "nowhere", "--since", "soon", code=2).stderr
    assert "AUTOPILOT_AUDIT_FILE" in show("--help").stdout


@pytest.mark.parametrize("left", [0.5, 0.97])
def test_a_packed_file_that_is_cut_is_read_as_far_as_it_goes(files: tuple[Path, Path], left: float) -> None:
    older, _ = files
    packed = older.read_bytes()
    older.write_bytes(packed[: int(len(packed) * left)])
    damage: list[Path] = []
    found = list(read_records(files, Wanted(), lambda path, _: damage.append(path)))
    assert damage == [older]
    assert [record["call"] for record in found if record["event"] == "request"][-2:] == ["c", "e"]


def test_a_line_of_somebody_else_is_shown_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text('{"time": "2026-11-25T00:00:00Z", "event": "request", "call": "x"}\n')
    shown = CliRunner().invoke(audit, ["--audit-file", str(path)])
    assert (shown.exit_code, shown.output) == (0, "2026-11-25T00:00:00Z  [request]  call x  answer None\n")


def test_a_time_before_all_times_is_refused(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").touch()
    shown = CliRunner().invoke(
        audit, ["--audit-file", str(tmp_path / "audit.jsonl"), "--since", "0001-01-01T00:00:00+14:00"]
    )
    assert shown.exit_code == 2
    assert "is no time" in shown.output
