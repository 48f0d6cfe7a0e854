"""The documents: what they name exists, and what they show runs."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from autopilot_server.config import Settings, environment_name

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/*.md"),
        *ROOT.glob("clients/*.md"),
        *ROOT.glob("clients/*/*.md"),
    ]
)
README = (ROOT / "README.md").read_text()
BIN = Path(sys.executable).parent


def block(name: str) -> str:
    """The block that the README marks with `<!-- run: NAME -->`."""
    found = re.search(rf"<!-- run: {name} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for document in DOCUMENTS:
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", document.read_text(), re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{document}: make {target}"


def test_every_promise_has_its_test() -> None:
    promises = re.findall(r"^\| (\d) \| \*\*(.+?)\.\*\*.*\| `(test_\w+)` \| .+ \|$", README, re.MULTILINE)
    assert [number for number, _, _ in promises] == list("12345678")
    tests = (ROOT / "tests/promises/test_promises.py").read_text()
    for _, title, name in promises:
        assert f"def {name}(" in tests
        assert name == "test_" + re.sub(r"\W+", "_", title.lower())


def test_the_readme_s_first_job_runs(tmp_path: Path) -> None:
    """The very lines of the README, but for the database's place, a free port, and the set-up that runs this test."""
    setup, server_command = block("server").splitlines()
    assert setup == "make setup && source .venv/bin/activate"
    activate, commands = block("commands").split("\n", maxsplit=1)
    assert activate == "source .venv/bin/activate"
    command = server_command.split()
    assert command[0] == "autopilot"
    server = subprocess.Popen(
        [BIN / "autopilot", *command[1:], "--database", f"sqlite:///{tmp_path}/a.db", "--listen", "127.0.0.1:0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().split()[-1]
        environment = {"PATH": f"{BIN}:/usr/bin:/bin", "AUTOPILOT_SERVER": address}
        shown = subprocess.run(["bash", "-euc", commands], env=environment, capture_output=True, text=True, timeout=60)
        assert shown.returncode == 0, shown.stderr
        assert "Hello, Ada! – Autopilot" in shown.stdout
        program = block("python").replace("127.0.0.1:50051", address)
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, ran.stderr
        assert "Hello, Ada" in ran.stdout
        assert "SUCCEEDED" in ran.stdout
    finally:
        server.terminate()
        server.wait(timeout=30)


def settings_table() -> str:
    """The settings, as docs/operations.md has them."""
    rows = ["| flag | environment | default | |", "|---|---|---|---|"]
    for field in fields(Settings):
        flag = f"`--{field.name.replace('_', '-')}`"
        text = field.metadata["help"]
        rows.append(f"| {flag} | `{environment_name(field.name)}` | `{field.default}` | {text} |")
    return "\n".join(rows)


def test_the_table_of_settings_is_complete() -> None:
    text = (ROOT / "docs/operations.md").read_text()
    table = text.partition("<!-- settings -->\n")[2].partition("\n\n")[0]
    assert table == settings_table(), f"put this into docs/operations.md:\n\n{settings_table()}"


def test_every_error_is_documented() -> None:
    from autopilot_server.jobs import errors
    from autopilot_server.jobs.job import JobErrorReason

    text = (ROOT / "docs/errors.md").read_text()
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.ServiceError)]
    for kind in classes:
        if kind is not errors.ServiceError:
            assert f"| {kind.reason} | {kind.code} |" in text
    for reason in JobErrorReason:
        assert f"| {reason} |" in text
