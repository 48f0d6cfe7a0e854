"""Dependencies point one way. See docs/architecture.md."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVER = Path(__file__).parents[1] / "server" / "autopilot_server"

GRPC = {"grpc", "grpc_status", "grpc_health", "grpc_reflection", "autopilot", "google"}
LANGGRAPH = {"langgraph", "langchain_core", "langchain"}
SQL = {"sqlite3"}
POSTGRES = {"psycopg", "psycopg_pool"}
PROMETHEUS = {"prometheus_client"}
OPENTELEMETRY = {"opentelemetry"}

PARTS_OF_THE_APP = {
    *("access", "api", "audit", "clockwork", "config", "doorbell", "garbage", "jobs", "logs", "metrics"),
    *("metrics_server", "observer", "pulse", "readiness", "recovery", "reloading", "runner", "running", "storage"),
    *("supervision", "tracer"),
}

# What each part may import of the others, and of the libraries that belong to one part only.
ALLOWED: dict[str, set[str]] = {
    "jobs": set(),
    "garbage": set(),
    "clockwork": {"jobs", "doorbell", "storage"},
    "recovery": {"storage", "observer", "tracer"},
    "runner": {"jobs", "storage"},
    "running": {"config", "jobs", "runner", "inline", "workers"},
    # Takes what engine and api have and nobody else: jobs in the server's own process.
    "inline": {"api", "config", "doorbell", "engine", "jobs", "observer", "runner", "storage", "tracer"},
    "workers": {
        *("api", "config", "doorbell", "engine", "garbage", "jobs", "logs", "observer", "recovery", "runner"),
        *("storage", "supervision", "tracer"),
    },
    "owner_file": set(),
    "doorbell": {"jobs"},
    "config": set(),
    "supervision": set(),
    "observer": set(),
    "pulse": {"observer"},
    "readiness": set(),
    "reloading": {"readiness"},
    "metrics": {"observer", "storage", "jobs", *PROMETHEUS},
    "metrics_server": {"metrics", "jobs", *PROMETHEUS},
    "tracer": {"jobs", "storage", "traces"},
    "traces": {"tracer", "jobs", "storage", *OPENTELEMETRY},
    "access": {"jobs", "config", "owner_file"},
    "logs": {"jobs", "storage"},
    "storage": {"jobs", "doorbell", "observer", "owner_file", *SQL, *POSTGRES},
    # Opens LangGraph's own store, which takes a connection.
    "engine": {
        *("jobs", "doorbell", "config", "storage", "supervision", "observer", "tracer", "pulse", "runner"),
        *LANGGRAPH,
        *SQL,
    },
    # A server whose journal died must end.
    "audit": {"jobs", "supervision"},
    "api": {"access", "audit", "jobs", "doorbell", "config", "storage", "observer", "tracer", "supervision", *GRPC},
    "app": {*PARTS_OF_THE_APP, *PROMETHEUS},
    "spans": set(),
    "key_commands": {"storage", "config", "jobs"},
    "maintenance": {"storage", "key_commands", "spans"},
    "token_commands": {"access", "config", "spans"},
    "audit_commands": {"audit", "config"},
    "cli": {"audit_commands", "app", "logs", "key_commands", "maintenance", "token_commands", "config", "jobs"},
}
PARTS = set(ALLOWED)


def imports(file: Path) -> Iterator[str]:
    """The parts and libraries that a file imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "autopilot_server":
                names = [f"autopilot_server.{alias.name}" for alias in node.names]
        for name in names:
            first, _, rest = name.partition(".")
            yield rest.partition(".")[0] if first == "autopilot_server" else first


def files() -> list[Path]:
    return sorted(file for file in SERVER.rglob("*.py") if file != SERVER / "__init__.py")


@pytest.mark.parametrize("file", files(), ids=lambda file: str(file.relative_to(SERVER)))
def test_a_part_imports_only_what_it_may(file: Path) -> None:
    part = file.relative_to(SERVER).parts[0].removesuffix(".py")
    watched = PARTS | GRPC | LANGGRAPH | SQL | POSTGRES | PROMETHEUS | OPENTELEMETRY
    found = {name for name in imports(file) if name in watched and name != part}
    assert found <= ALLOWED[part], f"{part} must not import {sorted(found - ALLOWED[part])}"


def test_only_private_py_takes_langgraph_behind_its_public_interface() -> None:
    # The serializer and the checkpointer's own tables are private of langgraph-checkpoint, one module each.
    known = {"private.py", "serializer.py", "workflows.py", "watchdog.py"}
    offenders = set()
    for file in (SERVER / "engine").glob("*.py"):
        text = file.read_text()
        if ("langgraph._" in text or "langgraph.pregel._" in text or ".serde._" in text) and file.name not in known:
            offenders.add(file.name)
    assert not offenders


def test_sql_stands_in_files_of_its_own() -> None:
    for file in SERVER.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                words = node.value.split()
                assert not (words and words[0] in {"SELECT", "INSERT", "UPDATE", "DELETE", "CREATE"}), file
