"""SIGHUP: the server reads again at once what can change; what is broken changes nothing, and nothing ends it."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from autopilot_client import Client, CredentialsInvalid, ServerUnreachable, tls_credentials
from autopilot_server.access.identity import Grant, Identity
from autopilot_server.access.tokens import change_tokens, new_token
from autopilot_server.api import tls
from cryptography.hazmat.primitives.asymmetric import ec

from tests.access.test_oidc import AUDIENCE, Issuer
from tests.api.test_tls import Files, host
from tests.proof.server import ServerProcess
from tests.test_deploy import Supervised
from tests.waiting import wait_until

HELLO = Path(__file__).parents[1] / "examples/hello/hello.py"


def reload(server: ServerProcess, line: str) -> None:
    """SIGHUP, and wait until the log says so once more."""
    seen = server.log.read_text().count(line)
    server.signal(signal.SIGHUP)
    wait_until(lambda: server.log.read_text().count(line) > seen, server.log.read_text)


def takes(server: ServerProcess, **options: object) -> bool:
    try:
        with Client(server.address, timeout=20, **options) as client:  # type: ignore[arg-type]
            return bool(list(client.workflows()))
    except (CredentialsInvalid, ServerUnreachable):
        return False


class Tokens:
    """A token file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "tokens.json"

    def only(self) -> str:
        """A token, the only one from now on. The file looks as before: as long, and as old."""
        before = self.path.stat() if self.path.exists() else None
        text, kept = new_token(Identity("someone", "", (Grant.of(["read"], "*"),)))
        if before is None:
            change_tokens(self.path, lambda _: [kept])
        else:
            content = json.loads(self.path.read_text())
            content["tokens"][0]["sha256"] = kept.sha256
            self.path.write_text(json.dumps(content, indent=2) + "\n")
            os.utime(self.path, ns=(before.st_atime_ns, before.st_mtime_ns))
            after = self.path.stat()
            assert (after.st_size, after.st_ino) == (before.st_size, before.st_ino)
        return text


def test_tokens(tmp_path: Path) -> None:
    """Also of a file that looks the same, which no look would find."""
    file = Tokens(tmp_path)
    first = file.only()
    server = ServerProcess(tmp_path, options=["--token-file", str(file.path)])
    server.start()
    try:
        second = file.only()
        assert (takes(server, token=first), takes(server, token=second)) == (True, False)
        reload(server, "reload: the token file: 1 tokens")
        assert (takes(server, token=first), takes(server, token=second)) == (False, True)
        file.path.write_text("{")
        reload(server, "reload: the token file cannot be read, what was read before stays")
        assert takes(server, token=second)
        file.path.unlink()
        reload(server, "reload: the token file cannot be read, what was read before stays: [Errno 2]")
        assert takes(server, token=second)
        assert server.terminate() == 0
    finally:
        server.close()


def never_looks() -> None:
    """The server looks for other certificates once, at its first connection."""
    tls.LOOK_SECONDS = 1e9


@pytest.fixture
def files(tmp_path: Path) -> Files:
    folder = tmp_path / "tls"
    folder.mkdir()
    return Files(folder, trustme.CA())


def test_certificates(files: Files, tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, sabotage=never_looks)
    cert, key = files.issue("server", host(server))
    server.options = ["--tls-cert", str(cert), "--tls-key", str(key)]
    server.start()
    try:
        old = tls_credentials(ca=files.ca)
        assert takes(server, credentials=old)
        renewed = Files(files.folder, trustme.CA())
        renewed.issue("server", host(server))
        new = tls_credentials(ca=renewed.ca)
        assert (takes(server, credentials=old), takes(server, credentials=new)) == (True, False)
        reload(server, "reload: the TLS certificates: new connections get those that are there now")
        assert (takes(server, credentials=old), takes(server, credentials=new)) == (False, True)
        cert.write_text("half a file")
        reload(server, "reload: the TLS certificates cannot be read, what was read before stays: --tls-cert, --tls-key")
        assert takes(server, credentials=new)
        assert server.terminate() == 0
    finally:
        server.close()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.shutdown()
    issuer.server_close()


def test_an_issuer_s_keys(issuer: Issuer, tmp_path: Path) -> None:
    """A key that the issuer withdraws is taken no longer; nothing else has them fetched so soon."""
    server = ServerProcess(tmp_path, options=["--oidc-issuer", issuer.url, "--oidc-audience", AUDIENCE])
    server.start()
    try:
        first = issuer.token()
        assert takes(server, token=first)
        issuer.add_key("second", ec.generate_private_key(ec.SECP256R1()))
        del issuer.keys["first"]
        assert takes(server, token=first)
        reload(server, "reload: the OIDC issuer's keys: 1 keys")
        second = issuer.token("second", "ES256")
        assert (takes(server, token=first), takes(server, token=second)) == (False, True)
        issuer.answers["/keys"] = b"out of order"
        reload(server, "reload: the OIDC issuer's keys cannot be read, what was read before stays")
        assert takes(server, token=second)
    finally:
        server.close()


def test_a_supervisor_is_told(tmp_path: Path) -> None:
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(name)
        supervisor.settimeout(60)
        server = ServerProcess(tmp_path, sabotage=Supervised(name))
        server.start()
        try:
            assert supervisor.recv(100) == b"READY=1"
            reload(server, "reload: this server has read nothing that could be read again")
            assert supervisor.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert supervisor.recv(100) == b"READY=1"
        finally:
            server.close()


def test_a_server_that_starts_or_stops_is_not_ended(tmp_path: Path) -> None:
    """A signal that comes while the workflows are loaded is heard later."""
    signals = "import os, runpy, signal\nos.kill(os.getpid(), signal.SIGHUP)\n"
    loads = f"graph = runpy.run_path({str(HELLO)!r})['graph']"
    (tmp_path / "flows.py").write_text(signals + loads)
    config = tmp_path / "langgraph.json"
    config.write_text(json.dumps({"graphs": {"hello": "./flows.py:graph"}}))
    server = ServerProcess(tmp_path, config=config)
    server.start()
    try:
        wait_until(lambda: "reload: " in server.log.read_text(), server.log.read_text)
        server.signal(signal.SIGTERM)
        wait_until(lambda: "stopping" in server.log.read_text(), server.log.read_text)
        server.signal(signal.SIGHUP)
        assert server.wait_for_death() == 0
    finally:
        server.close()
