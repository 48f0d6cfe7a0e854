"""TLS: who is let in, certificates that are renewed while the server runs, and addresses that are not served bare."""

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from autopilot_client import Client, ServerUnreachable, tls_credentials
from autopilot_server.api.listening import check_protection
from autopilot_server.api.tls import Certificates
from autopilot_server.config import Settings
from autopilot_server.jobs.errors import StartupError

from tests.forks import autopilot
from tests.proof.server import ServerProcess


@dataclass(frozen=True, slots=True)
class Files:
    """An authority, and the files of certificates that it issued."""

    folder: Path
    authority: trustme.CA

    @property
    def ca(self) -> Path:
        path = self.folder / "ca.pem"
        self.authority.cert_pem.write_to_path(path)
        return path

    def issue(self, name: str, *identities: str) -> tuple[Path, Path]:
        """Certificate and key, replaced at once when they are there."""
        issued = self.authority.issue_cert(*identities)
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        for path, blobs in ((key, [issued.private_key_pem]), (cert, issued.cert_chain_pems)):
            fresh = path.with_suffix(".new")
            fresh.write_bytes(b"".join(blob.bytes() for blob in blobs))
            os.replace(fresh, path)
        return cert, key


@pytest.fixture
def files(tmp_path: Path) -> Files:
    folder = tmp_path / "tls"
    folder.mkdir()
    return Files(folder, trustme.CA())


def host(server: ServerProcess) -> str:
    return server.address.rpartition(":")[0]


def serving(folder: Path, files: Files, *options: object) -> ServerProcess:
    server = ServerProcess(folder)
    cert, key = files.issue("server", "localhost", host(server))
    server.options = [str(option) for option in ("--tls-cert", cert, "--tls-key", key, *options)]
    server.start()
    return server


@pytest.fixture
def server(files: Files, tmp_path: Path) -> Iterator[ServerProcess]:
    server = serving(tmp_path, files)
    yield server
    server.close()


def ask(server: ServerProcess, **options: object) -> object:
    with Client(server.address, timeout=5, **options) as client:  # type: ignore[arg-type]
        return [workflow.name for workflow in client.workflows()]


def test_who_trusts_the_certificate_is_served_and_nobody_else(server: ServerProcess, files: Files) -> None:
    assert ask(server, credentials=tls_credentials(ca=files.ca))
    other = files.folder / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    for credentials in (None, tls_credentials(ca=other)):
        with pytest.raises(ServerUnreachable):
            ask(server, credentials=credentials)


def test_the_command_line_speaks_tls(server: ServerProcess, files: Files) -> None:
    environment = os.environ | {"AUTOPILOT_SERVER": server.address}
    command = ["workflows", "--timeout", "5s"]
    told = autopilot(*command, "--ca", files.ca, environment=environment)
    assert told.returncode == 0, told.stderr
    assert "linear" in told.stdout
    bare = autopilot(*command, environment=environment)
    assert bare.returncode == 7
    assert "needs --tls or --ca" in bare.stderr


def test_only_clients_with_a_certificate_of_the_authority_are_served(files: Files, tmp_path: Path) -> None:
    server = serving(tmp_path, files, "--tls-client-ca", files.ca)
    try:
        own, own_key = files.issue("client", "worker@example.org")
        assert ask(server, credentials=tls_credentials(ca=files.ca, cert=own, key=own_key))
        stranger = Files(tmp_path, trustme.CA())
        strange, strange_key = stranger.issue("stranger", "worker@example.org")
        for more in ({}, {"cert": strange, "key": strange_key}):
            with pytest.raises(ServerUnreachable):
                ask(server, credentials=tls_credentials(ca=files.ca, **more))
    finally:
        server.close()


def test_renewed_certificates_are_served_without_a_restart(server: ServerProcess, files: Files) -> None:
    """New connections get the new one, of another authority; a broken renewal changes nothing, and is logged."""
    renewed = Files(files.folder, trustme.CA())
    old = tls_credentials(ca=files.ca)
    (files.folder / "server.pem").write_text("half a file")
    assert ask(server, credentials=old)
    with Client(server.address, credentials=old) as connected:
        assert list(connected.workflows())
        renewed.issue("server", host(server))
        while True:
            try:
                ask(server, credentials=tls_credentials(ca=renewed.ca))
                break
            except ServerUnreachable:
                continue
        # Who is connected stays so.
        assert list(connected.workflows())
    log = server.log.read_text()
    assert "TLS certificates are read again" in log


def refused(**settings: object) -> str:
    with pytest.raises(StartupError) as error:
        Certificates.of(Settings(**settings))  # type: ignore[arg-type]
    return str(error.value)


def test_what_cannot_be_served_is_said_at_the_start(files: Files, tmp_path: Path) -> None:
    cert, key = (str(path) for path in files.issue("server", "127.0.0.1"))
    other = str(files.issue("other", "127.0.0.1")[1])
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert "--tls-key is missing" in refused(tls_cert=cert)
    assert "--tls-cert is missing" in refused(tls_key=key)
    assert "needs a certificate of the server's own" in refused(tls_client_ca=cert)
    assert "KEY_VALUES_MISMATCH" in refused(tls_cert=cert, tls_key=other)
    assert "No such file" in refused(tls_cert=cert, tls_key=str(tmp_path / "nowhere"))
    assert "--tls-client-ca: " in refused(tls_cert=cert, tls_key=key, tls_client_ca=str(broken))
    assert refused(tls_cert=str(broken), tls_key=key).startswith("cannot serve TLS: --tls-cert, --tls-key: ")


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_a_passphrase(files: Files) -> None:
    from cryptography.hazmat.primitives import serialization

    cert, key = files.issue("server", "127.0.0.1")
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    assert "encrypted" in refused(tls_cert=str(cert), tls_key=str(key))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "[::1]", "localhost"])
def test_loopback_may_be_served_bare(host: str) -> None:
    if host == "[::1]" and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    check_protection(Settings(listen=f"{host}:0"))


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"])  # noqa: S104 - what is to be refused
def test_what_others_can_reach_needs_tls_and_credentials(host: str) -> None:
    def listen(**settings: object) -> None:
        check_protection(Settings(listen=f"{host}:0", **settings))  # type: ignore[arg-type]

    for settings, missing in (
        ({}, "without TLS (--tls-cert, --tls-key) and credentials"),
        ({"tls_cert": "c", "tls_key": "k"}, "without credentials"),
    ):
        with pytest.raises(StartupError) as error:
            listen(**settings)
        assert missing in str(error.value)
        assert "--insecure" in str(error.value)
        listen(insecure=True, **settings)
    listen(tls_cert="c", tls_key="k", tls_client_ca="ca")
