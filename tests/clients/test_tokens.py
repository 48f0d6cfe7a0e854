"""Bearer tokens of the client and the command line: sent with each call, and never where others could see them."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from autopilot_client import AsyncClient, Client, CredentialsInvalid, MethodForbidden, tls_credentials
from autopilot_server.access.identity import Grant, Identity
from autopilot_server.access.tokens import change_tokens, new_token

from tests.forks import autopilot
from tests.proof.server import AUTOPILOT, ServerProcess

SECRET = "autopilot_" + "s" * 43


class Guarded(ServerProcess):
    """A server process that needs tokens, and logs all that it logs."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "tokens.json"
        options = ["--token-file", str(self.file), "--log-level", "debug", "--log-format", "json"]
        super().__init__(folder, options=options)

    def token(self, *rights: str, tenant: str = "") -> str:
        text, kept = new_token(Identity("someone", tenant, (Grant.of(rights),)))
        change_tokens(self.file, lambda tokens: (*tokens, kept))
        return text

    def autopilot(
        self, *arguments: str, code: int = 0, stdin: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        arguments = (*arguments, "--server", self.address)
        done = autopilot(*arguments, environment=os.environ | environment, stdin=stdin)
        assert done.returncode == code, done.stderr
        return done


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Guarded]:
    server = Guarded(tmp_path)
    server.token("read")
    with server:
        yield server


def test_calls_carry_the_token_and_no_output_or_log_has_it(server: Guarded, tmp_path: Path) -> None:
    token, reader = server.token("submit", "read", "control", tenant="acme"), server.token("read")
    shown = server.autopilot("list", code=6).stderr
    assert "AUTOPILOT_TOKEN" in shown
    shown += server.autopilot("list", code=6, AUTOPILOT_TOKEN=SECRET).stderr
    shown += server.autopilot("list", code=2, AUTOPILOT_TOKEN=f"{SECRET} x").stderr
    done = server.autopilot("submit", "linear", "--input", "{}", "--watch", "--json", AUTOPILOT_TOKEN=token)
    shown += done.stdout + done.stderr
    refused = server.autopilot("submit", "linear", "--input", "{}", code=6, AUTOPILOT_TOKEN=reader)
    shown += refused.stdout + refused.stderr
    assert "submit" in refused.stderr
    kept = tmp_path / "token"
    kept.write_text(f"{token}\n")
    listed = server.autopilot("list", "--json", "--token-from", str(kept), AUTOPILOT_TOKEN=reader)
    assert len(listed.stdout.splitlines()) == 1
    assert server.autopilot("list", "--json", "--token-from", "-", stdin=token).stdout == listed.stdout
    assert not server.autopilot("list", "--json", AUTOPILOT_TOKEN=reader).stdout
    server.terminate()
    log = server.log.read_text()
    assert '"rpc"' in log
    for secret in (token, reader, SECRET):
        assert secret not in shown + log
    assert '"tenant": "acme"' in log
    assert "\\u001f" not in log


async def test_the_token_is_fetched_for_each_call(server: Guarded) -> None:
    tokens = [server.token("read"), SECRET, server.token("submit")]

    def give() -> str:
        return tokens.pop(0)

    with Client(server.address, token=give) as client:
        assert list(client.list()) == []
        with pytest.raises(CredentialsInvalid):
            list(client.list())
        with pytest.raises(MethodForbidden):
            list(client.list())
    assert tokens == []
    async with AsyncClient(server.address, token=server.token("read")) as other:
        assert [job async for job in other.list()] == []
    with Client(server.address) as nobody, pytest.raises(CredentialsInvalid):
        list(nobody.list())


@pytest.mark.parametrize("kind", [Client, AsyncClient])
async def test_a_token_goes_over_plain_text_to_this_machine_only(kind: type[Client] | type[AsyncClient]) -> None:
    for address in ("127.0.0.1:1", "127.9.9.9:1", "localhost:1", "[::1]:1", "unix:/tmp/x"):
        kind(address, token=SECRET)
    for address in ("10.0.0.1:1", "jobs.example.org:1", "0.0.0.0:1", "[::]:1", "localhost.evil.org:1", "dns:///x:1"):
        with pytest.raises(ValueError, match="plain text") as caught:
            kind(address, token=lambda: SECRET)
        assert SECRET not in str(caught.value)
        kind(address, token=SECRET, insecure=True)
        kind(address, token=SECRET, credentials=tls_credentials())
        kind(address)


@pytest.mark.parametrize("token", ["", "a b", "a\n", "ä", "\x00", " "])
def test_what_is_no_token_is_not_sent_and_not_shown(token: str) -> None:
    with pytest.raises(ValueError, match="token") as caught:
        Client(token=token)
    assert not token.strip() or repr(token)[1:-1] not in str(caught.value)
    with Client(token=lambda: token) as client, pytest.raises(ValueError, match="token"):
        client.get("x")


def test_the_command_line_sends_no_token_to_others_over_plain_text() -> None:
    def autopilot(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [AUTOPILOT, "list", "--server", "192.0.2.1:1", "--timeout", "0.1s", *options],
            env=os.environ | {"AUTOPILOT_TOKEN": SECRET},
            capture_output=True,
            text=True,
            timeout=60,
        )

    refused = autopilot()
    assert (refused.returncode, "plain text" in refused.stderr, SECRET in refused.stderr) == (2, True, False)
    assert autopilot("--insecure").returncode in (7, 8)
