"""The examples of the clients' READMEs run, word for word, against a real server."""

import re
from pathlib import Path

from clients.conformance.drivers import Language, carry_out
from tests.proof.server import ServerProcess

HELLO = Path(__file__).parents[2] / "examples" / "hello" / "langgraph.json"
ADDRESS = "127.0.0.1:50051"


def run_example(language: Language, folder: Path) -> None:
    """Run the program that the README shows: its first block with the address of a server. CalledProcessError."""
    assert language.example is not None
    program = example((language.folder / "README.md").read_text())
    folder.mkdir()
    server = ServerProcess(folder, config=HELLO)
    server.start()
    file = language.folder / language.example.file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(program.replace(ADDRESS, server.address))
    try:
        carry_out(language, language.example.run, seconds=300)
    finally:
        file.unlink()
        server.close()


def example(readme: str) -> str:
    """The first block of a README that has the address of a server."""
    blocks = re.findall(r"^```\w+\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    programs = [block for block in blocks if ADDRESS in block]
    if not programs:
        raise AssertionError(f"the README has no example with the address {ADDRESS}")
    return programs[0]
