"""Where a scenario plays: a server of the kind that it asks for."""

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme
from autopilot_server.access.identity import Grant, Identity
from autopilot_server.access.tokens import change_tokens, new_token
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from clients.conformance.fake import FakeServer
from clients.conformance.relay import Relay
from tests.proof.server import ServerProcess

# A server that ends each connection with GOAWAY, as proxies and those that restart do.
_AGE = ("grpc.max_connection_age_ms", 200)
WORKFLOWS = Path(__file__).parent / "workflows" / "langgraph.json"


@dataclass(slots=True)
class Stage:
    """A server, what scenarios may know of it, and what may be done to it."""

    address: str
    variables: dict[str, str] = field(default_factory=dict)
    process: ServerProcess | None = None
    fake: FakeServer | None = None

    def act(self, action: str) -> None:
        """Do something to the server's process."""
        assert self.process is not None, "this server is not the scenario's own"
        match action:
            case "kill":
                self.process.kill()
            case "start":
                if self.process.process is not None:
                    self.process.wait_for_death()
                self.process.start()
            case "terminate":
                self.process.signal(signal.SIGTERM)
            case "freeze":
                self.process.signal(signal.SIGSTOP)
            case "thaw":
                self.process.signal(signal.SIGCONT)
            case _:
                raise ValueError(f"a server cannot {action}")


class Stages:
    """Makes stages. The servers that scenarios share start when the first needs them; they may play side by side."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shared: dict[str, Stage] = {}
        self._stack = ExitStack()
        self._starting = threading.Lock()

    def close(self) -> None:
        self._stack.close()

    @contextmanager
    def stage(self, described: Any, folder: Path) -> Iterator[Stage]:
        """The stage that a scenario's `server` describes."""
        match described:
            case "own":
                with _serving(folder) as stage:
                    yield stage
            case {"own": options}:
                with _serving(folder, *options) as stage:
                    yield stage
            case "fake":
                yield self._once("fake", _faking())
            case "relayed":
                yield self._once("relayed", _relayed())
            case "aging":
                yield self._once("aging", _faking(_AGE, ("grpc.max_connection_age_grace_ms", 60_000)))
            case "restless":
                yield self._once("restless", _faking(_AGE, ("grpc.max_connection_age_grace_ms", 100)))
            case "nobody":
                with _nobody() as stage:
                    yield stage
            case "shared" | "guarded" | "tls" | "mutual" as name:
                yield self._once(name, _makers(name, self._folder / name))
            case _:
                raise ValueError(f"there is no server {described!r}")

    def _once(self, name: str, made: Any) -> Stage:
        with self._starting:
            if name not in self._shared:
                self._shared[name] = self._stack.enter_context(made)
            return self._shared[name]


def _makers(name: str, folder: Path) -> Any:
    folder.mkdir(exist_ok=True)
    return {"shared": _serving, "guarded": _guarded, "tls": _encrypted, "mutual": _mutual}[name](folder)


@contextmanager
def _serving(folder: Path, *options: str) -> Iterator[Stage]:
    server = ServerProcess(folder, config=WORKFLOWS, options=options)
    server.start()
    try:
        yield Stage(server.address, process=server)
    finally:
        if server.process is not None:
            server.signal(signal.SIGCONT)
        server.close()


@contextmanager
def _guarded(folder: Path, *options: str) -> Iterator[Stage]:
    """A server that needs tokens: `submitter` may do all that concerns jobs, `reader` only read."""
    file = folder / "tokens.json"
    given = {"submitter": ("submit", "read", "control"), "reader": ("read",)}
    tokens = {name: _token(file, rights) for name, rights in given.items()}
    with _serving(folder, "--token-file", str(file), *options) as stage:
        stage.variables = tokens
        yield stage


def _token(file: Path, rights: tuple[str, ...]) -> str:
    text, kept = new_token(Identity("someone", "", (Grant.of(rights),)))
    change_tokens(file, lambda tokens: (*tokens, kept))
    return text


@contextmanager
def _encrypted(folder: Path, *options: str) -> Iterator[Stage]:
    """A server with TLS and tokens, for the name localhost."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    cert, key = _issued(authority, folder / "server")
    with _guarded(folder, "--listen", "localhost:0", "--tls-cert", cert, "--tls-key", key, *options) as stage:
        stage.address = f"localhost:{stage.address.rpartition(':')[2]}"
        stage.variables["ca"] = str(folder / "ca.pem")
        yield stage


@contextmanager
def _mutual(folder: Path) -> Iterator[Stage]:
    """The same, for clients only that have a certificate, `cert` and `key`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "clients.pem")
    cert, key = _issued(authority, folder / "client")
    with _encrypted(folder, "--tls-client-ca", str(folder / "clients.pem")) as stage:
        stage.variables |= {"cert": cert, "key": key}
        yield stage


def _issued(authority: trustme.CA, name: Path) -> tuple[str, str]:
    """A certificate for localhost and its key: two files."""
    issued = authority.issue_cert("localhost")
    cert, key = name.with_suffix(".pem"), name.with_suffix(".key")
    cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    # In the form that openssl writes today, and the only one that Java's TLS reads.
    private = load_pem_private_key(issued.private_key_pem.bytes(), password=None)
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(cert), str(key)


@contextmanager
def _faking(*options: tuple[str, int]) -> Iterator[Stage]:
    fake = FakeServer(*options)
    try:
        yield Stage(fake.address, fake=fake)
    finally:
        fake.close()


@contextmanager
def _relayed() -> Iterator[Stage]:
    """A fake server that can end the connections to it."""
    with _faking() as stage:
        assert stage.fake is not None
        relay = Relay(stage.fake.address)
        stage.address, stage.fake.cut = relay.address, relay.cut
        try:
            yield stage
        finally:
            relay.close()


@contextmanager
def _nobody() -> Iterator[Stage]:
    """A port that is taken, so that nobody else listens there, and where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield Stage(f"127.0.0.1:{taken.getsockname()[1]}")
