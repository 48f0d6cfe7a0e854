"""A server that cannot start says why in one line and exits with 2; nothing that it was given is found wrong later."""

import json
import os
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import pytest
from autopilot_server.config import SettingError, Settings
from autopilot_server.engine import langgraph_json
from autopilot_server.engine.workflows import Registry
from autopilot_server.jobs.errors import StartupError

from tests.forks import autopilot
from tests.proof.server import AUTOPILOT

HELLO = Path(__file__).parents[1] / "examples/hello/hello.py"

KEYS = "backoff_multiplier, initial_backoff_seconds, max_attempts, max_backoff_seconds"


class Place:
    """A folder from which a server is started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.configure({"hello": f"{HELLO}:graph"})

    def configure(self, graphs: object, **more: object) -> None:
        """Write the langgraph.json that `refused` starts with."""
        self.write("langgraph.json", json.dumps({"graphs": graphs, **more}))

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def refused(self, *options: str, **environment: str) -> str:
        """Start a server that must not start. The one line that says why."""
        # What workers cannot load their server says in the same words: tests/clients/test_command_line.py.
        arguments = ["serve", "--listen", "127.0.0.1:0", "--workers", "inline", *options]
        done = autopilot(*arguments, folder=self.folder, environment=os.environ | environment)
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert line.startswith("autopilot: ")
        return line.removeprefix("autopilot: ")

    @contextmanager
    def serving(self, *options: str) -> Iterator[subprocess.Popen[str]]:
        """A server that starts."""
        command = [AUTOPILOT, "serve", "--listen", "127.0.0.1:0", *options]
        with subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as server:
            try:
                yield server
            finally:
                server.kill()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# --- settings ---


@pytest.mark.parametrize(
    ("setting", "value", "why"),
    [
        ("threads", 0, "must be at least 1"),
        ("running_jobs", 0, "must be at least 1"),
        ("unfinished_jobs", 10**30, "must be at most 1,000,000,000"),
        ("concurrent_rpcs", 1000, "must be at least 1,001"),
        ("watches", 11_001, "must leave 1,000 of the 12,000 RPCs (--concurrent-rpcs) to other calls"),
        ("watches", 0, "must be at least 1"),
        ("payload_bytes", 0, "must be at least 1,024"),
        ("payload_bytes", 3 << 20, "must be at most 2,097,152"),
        ("prune_interval_seconds", 0.0, "must be at least 0.1"),
        ("retention_seconds", -1.0, "must be at least 0"),
        ("retention_seconds", float("nan"), "must be a number"),
        ("retention_seconds", float("inf"), "must be at most 3,162,240,000"),
        ("drain_seconds", 1e300, "must be at most 86,400"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(setting: str, value: float, why: str) -> None:
    with pytest.raises(SettingError) as refused:
        Settings(**{setting: value})
    assert (refused.value.name, str(refused.value)) == (setting, why)


def test_every_number_has_a_range() -> None:
    for field in fields(Settings):
        is_number = isinstance(field.default, int | float) and not isinstance(field.default, bool)
        assert ("within" in field.metadata) == is_number, field.name


def test_a_setting_is_named_as_it_was_given(place: Place) -> None:
    assert place.refused("--threads", "0") == "--threads 0: must be at least 1"
    assert place.refused("--retention-seconds", "nan") == "--retention-seconds nan: must be a number"
    assert place.refused(AUTOPILOT_WATCHES="0") == "AUTOPILOT_WATCHES=0: must be at least 1"
    assert place.refused("--watches", "-2", AUTOPILOT_WATCHES="5") == "--watches -2: must be at least 1"


# --- database and address: said before the workflows are loaded ---


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("sqlite:///:memory:", "jobs must outlive the process; give a file"),
        ("sqlite:///./:memory:", "jobs must outlive the process; give a file"),
        ("mysql://x", "give it as sqlite:///PATH"),
        ("sqlite:///", "give it as sqlite:///PATH"),
        ("sqlite:////", "/ is not a file"),
        ("sqlite:///.", ". is not a file"),
        ("sqlite:////dev/null", "/dev/null is not a file"),
        ("sqlite:///none/jobs.db", "there is no folder none"),
    ],
)
def test_a_database_that_can_be_none_is_refused_first(place: Place, url: str, why: str) -> None:
    line = place.refused("--config", "missing.json", "--database", url)
    assert line.startswith("cannot ")
    assert why in line
    assert [path.name for path in place.folder.iterdir()] == ["langgraph.json"]


@pytest.mark.parametrize("workers", ["inline", "0"])
def test_a_postgres_that_cannot_be_reached_is_told_without_its_password(place: Place, workers: str) -> None:
    line = place.refused("--workers", workers, "--database", "postgresql://me:secret@127.0.0.1:1/jobs")
    assert line.startswith("cannot use the database jobs on 127.0.0.1:1: ")
    assert "secret" not in line


def test_keys_are_refused_for_a_postgres(place: Place) -> None:
    key = f"autopilot_key_{'A' * 43}"
    options = ("--config", "missing.json", "--database", "postgresql://127.0.0.1:1/jobs")
    assert "is for database files" in place.refused(*options, AUTOPILOT_ENCRYPTION_KEY=key)


@pytest.mark.parametrize(
    ("command", "instead"),
    [
        (["backup", "copy"], "pg_dump"),
        (["restore", "copy"], "pg_restore"),
        (["drain"], "SIGTERM"),
        (["encrypt"], "disk"),
        (["decrypt"], "disk"),
        (["check"], "cannot use the database jobs on 127.0.0.1:1"),
    ],
)
def test_commands_for_files_say_what_to_do_with_a_postgres(command: list[str], instead: str, tmp_path: Path) -> None:
    done = autopilot(*command, "--database", "postgresql://me:secret@127.0.0.1:1/jobs", folder=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert instead in line
    assert "secret" not in line


@pytest.mark.parametrize(
    "address",
    ["nowhere", ":50051", "127.0.0.1:", "127.0.0.1:70000", "127.0.0.1:²", "::1:50051", "[x]:1", "unix:/tmp/socket:1"],
)
def test_an_address_out_of_form_is_refused_first(place: Place, address: str) -> None:
    line = place.refused("--config", "missing.json", "--listen", address)
    assert line == f"cannot listen on {address!r}: give --listen as HOST:PORT, as 127.0.0.1:50051 or [::1]:50051"


def test_an_unprotected_address_is_refused_before_anything_is_loaded(place: Place) -> None:
    line = place.refused("--config", "missing.json", "--listen", "0.0.0.0:0")
    assert line.startswith("will not listen on 0.0.0.0:0, which others can reach, without TLS")


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("nosuchhost.invalid", "the host 'nosuchhost.invalid' is not known"),
        ("a..b", "the host 'a..b' is not known"),
        # Of a range that is kept for documents.
        ("192.0.2.1", "Cannot assign requested address"),
    ],
)
def test_a_host_that_is_not_this_machine_s(place: Place, host: str, why: str) -> None:
    line = place.refused("--listen", f"{host}:0", "--insecure")
    assert line == f"cannot listen on {host}:0: {why}; choose another with --listen"


@pytest.mark.parametrize(
    ("taken", "wanted"),
    [("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"), ("127.0.0.1", "localhost"), ("::1", "[::1]")],  # noqa: S104
)
def test_a_port_in_use(place: Place, taken: str, wanted: str) -> None:
    try:
        other = socket.create_server((taken, 0), family=socket.AF_INET6 if ":" in taken else socket.AF_INET)
    except OSError:
        pytest.skip(f"this machine has no {taken}")
    with other:
        address = f"{wanted}:{other.getsockname()[1]}"
        line = place.refused("--listen", address, "--insecure")
    assert line == f"cannot listen on {address}: the port is in use; choose another with --listen"


def test_the_port_of_a_killed_server_is_free_at_once(place: Place) -> None:
    address = "127.0.0.1:0"
    for _ in range(2):
        with place.serving("--listen", address) as server:
            assert server.stdout is not None
            address = server.stdout.readline().split()[-1]
            # A connection that the kill ends from the server's side, and that therefore lingers there.
            host, port = address.rsplit(":", 1)
            with socket.create_connection((host, int(port))) as connection:
                connection.recv(1)
                server.kill()
                server.wait()


# --- allowed types ---


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("nomod:X", "cannot import nomod: ModuleNotFoundError: No module named 'nomod'"),
        ("leaves:X", "cannot import leaves: SystemExit: 3"),
        ("types_of_mine:Missing", "the module has no class 'Missing'; give a class as module:Class"),
        ("types_of_mine:number", "the module has no class 'number'; give a class as module:Class"),
        ("types_of_mine:OrderedDict", "the class is defined elsewhere: give collections:OrderedDict"),
    ],
)
def test_an_allowed_type_must_be_a_class(place: Place, given: str, why: str) -> None:
    # Beside langgraph.json, and so importable.
    place.write("types_of_mine.py", "from collections import OrderedDict\nnumber = 1\nclass Mine: ...\n")
    place.write("leaves.py", "import sys\nsys.exit(3)\n")
    assert place.refused("--allowed-types", "types_of_mine:Mine", "--allowed-types", given) == (
        f"--allowed-types {given}: {why}"
    )


# --- langgraph.json and the workflows ---


GRAPHS = """
import sys
from typing import TypedDict
from langgraph.graph import START, StateGraph
from langgraph.checkpoint.memory import InMemorySaver

class State(TypedDict):
    text: str

class Plain:
    pass

def leaves():
    sys.exit(3)

async def leaves_async(config):
    sys.exit("no key")

number = 1
builder = StateGraph(State).add_node("step", lambda state: {}).add_edge(START, "step")
checkpointed = builder.compile(checkpointer=InMemorySaver())
"""


@pytest.mark.parametrize(
    ("variable", "why"),
    [
        ("State", "the class State is neither a graph nor a function that makes one"),
        ("Plain", "the class Plain is neither a graph nor a function that makes one"),
        ("number", "a value of type int is neither a graph nor a function that makes one"),
        ("leaves", "cannot be loaded: SystemExit: 3"),
        ("leaves_async", "cannot be loaded: SystemExit: no key"),
    ],
)
def test_a_variable_that_is_no_graph(place: Place, variable: str, why: str) -> None:
    place.write("graphs.py", GRAPHS)
    place.configure({"mine": f"./graphs.py:{variable}"})
    assert place.refused() == f"langgraph.json: graph 'mine': ./graphs.py:{variable}: {why}"


def test_a_module_that_ends_the_process(place: Place) -> None:
    place.write("script.py", "import sys\nsys.exit(3)\n")
    place.configure({"mine": "./script.py:graph"})
    why = "cannot be imported: SystemExit: 3"
    assert place.refused() == f"langgraph.json: graph 'mine': ./script.py:graph: {why}"


def test_a_checkpointer_of_a_workflow_s_own_is_reported_with_its_name(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    # A module of this process: its name must be no other test's.
    place.write("of_start_up.py", GRAPHS)
    place.configure({"mine": "./of_start_up.py:checkpointed"})
    Registry.load(place.folder / "langgraph.json")
    assert "workflow mine has a checkpointer of its own" in caplog.text


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ({"max_attempts": -1}, ".max_attempts is -1: must be a whole number from 1 to 1,000,000"),
        ({"max_attempts": 2.5}, ".max_attempts is 2.5: must be a whole number from 1 to 1,000,000"),
        ({"max_backoff_seconds": "10"}, ".max_backoff_seconds is '10': must be a number from 0 to 1,000,000"),
        ({"backoff_multiplier": float("nan")}, ".backoff_multiplier is nan: must be a number from 1 to 1,000,000"),
        ({"max_attempts": True}, ".max_attempts is True: must be a whole number from 1 to 1,000,000"),
        ({"zz": 1}, f": there is no 'zz'; there are {KEYS}"),
        (3, f": must be an object with {KEYS}"),
    ],
)
def test_a_retry_policy_says_what_is_wrong(place: Place, policy: object, why: str) -> None:
    place.configure({"mine": {"path": f"{HELLO}:graph", "retry_policy": policy}})
    with pytest.raises(StartupError) as refused:
        langgraph_json.read(place.folder / "langgraph.json")
    assert str(refused.value).endswith(f"graph 'mine': retry_policy{why}")


@pytest.mark.parametrize(
    ("concurrency", "why"),
    [
        ({"jobs": 0}, ".jobs is 0: must be a whole number from 1 to 1,000,000"),
        ({"per_key": 1.0}, ".per_key is 1.0: must be a whole number from 1 to 1,000,000"),
        ({"per_key": True}, ".per_key is True: must be a whole number from 1 to 1,000,000"),
        ({"per_key": 10**7}, ".per_key is 10000000: must be a whole number from 1 to 1,000,000"),
        ({"jobs": None}, ".jobs is None: must be a whole number from 1 to 1,000,000"),
        ({"per_user": 1}, ": there is no 'per_user'; there are jobs, per_key"),
        (3, ": must be an object with jobs, per_key"),
    ],
)
def test_limits_of_concurrency_say_what_is_wrong(place: Place, concurrency: object, why: str) -> None:
    place.configure({"mine": {"path": f"{HELLO}:graph", "concurrency": concurrency}})
    assert place.refused() == f"langgraph.json: graph 'mine': concurrency{why}"


@pytest.mark.parametrize("item", ["nopkgxyz", "nopkgxyz[extra]>=1,<2", "nopkgxyz @ git@host:x", "no/folder"])
def test_a_package_that_is_not_installed(place: Place, item: str) -> None:
    place.configure({"mine": f"{HELLO}:graph"}, dependencies=[item])
    assert place.refused().startswith(f"langgraph.json: dependencies: {item!r} is neither installed nor a folder: ")


def test_dependencies_as_langgraph_s_users_write_them(place: Place) -> None:
    place.write("flows/of_a_folder.py", "")
    place.write("agents/of_an_agent.py", "")
    requirements = [
        "langgraph",
        "LangChain_Core>=0.1",
        "langgraph-checkpoint[extra] ~= 4.0",
        "pydantic @ https://example.com/pydantic.whl",
        "git+https://example.com/x.git",
        "nopkgxyz; sys_platform == 'win32'",
    ]
    place.configure({"mine": f"{HELLO}:graph"}, dependencies=[*requirements, "./flows", "agents"])
    read = langgraph_json.read(place.folder / "langgraph.json")
    assert read.dependencies == (place.folder / "flows", place.folder / "agents")
    place.configure({"mine": f"{HELLO}:graph"}, dependencies=["./missing"])
    assert place.refused() == f"langgraph.json: dependencies: there is no folder {place.folder / 'missing'}"


def test_a_folder_in_place_of_the_file(place: Place) -> None:
    assert place.refused("--config", ".") == ". is a folder: give langgraph.json with --config"
    place.write("empty/file", "")
    assert place.refused("--config", "empty") == "empty is a folder: give the file of your workflows with --config"


def test_variables_that_cannot_be_set(place: Place) -> None:
    place.configure({"mine": f"{HELLO}:graph"}, env={"A=B": "x"})
    assert place.refused() == "langgraph.json: env: 'A=B' cannot be set: a name has no '=', and nothing a NUL"
    (place.folder / ".env").write_bytes(b"A=\xff\n")
    place.configure({"mine": f"{HELLO}:graph"}, env=".env")
    assert place.refused().startswith(f"langgraph.json: env: cannot read {place.folder / '.env'}: 'utf-8'")


def test_a_database_without_its_tables(place: Place) -> None:
    with place.serving() as server:
        assert server.stdout is not None
        assert server.stdout.readline()
    with sqlite3.connect(place.folder / "autopilot.db") as connection:
        connection.execute("DROP TABLE workflows")
    connection.close()
    assert "no such table: workflows" in place.refused()
