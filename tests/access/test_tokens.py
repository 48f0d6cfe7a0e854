"""Bearer tokens: made, listed, revoked; the file that knows them, and what becomes of it."""

import asyncio
import json
import logging
import multiprocessing
import os
import stat
import threading
from collections.abc import Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from autopilot_server.access.authenticators import Presented
from autopilot_server.access.identity import Grant, Identity
from autopilot_server.access.tokens import TOKEN, TokenFile, TokenFileError, change_tokens, new_token, read_tokens
from autopilot_server.jobs.errors import CredentialsInvalidError, StartupError

from tests import forks

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
READER = Identity("reader", "acme", (Grant.of(["read"], "w*"),))


def autopilot(*arguments: str, code: int = 0) -> CompletedProcess[str]:
    done = forks.autopilot(*arguments)
    assert done.returncode == code, done.stderr
    return done


def add(path: Path, identity: Identity = READER, expires: int | None = None) -> str:
    text, kept = new_token(identity, expires=expires)
    change_tokens(path, lambda tokens: (*tokens, kept))
    return text


def known(file: TokenFile, token: str) -> Identity | None:
    asyncio.run(file.up_to_date())
    return file.authenticate(Presented(bearer=token))


def test_a_token_is_made_shown_once_used_and_revoked(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    options = ["--token-file", str(path)]
    made = autopilot("token", "create", "ci", *options, "--tenant", "acme", "--grant", "read,submit:w-*")
    token = made.stdout.strip()
    assert TOKEN.fullmatch(token)
    assert token not in made.stderr
    shown = json.loads(autopilot("token", "create", "x", *options, "--expires-in", "90d", "--json").stdout)
    assert TOKEN.fullmatch(shown["token"])
    assert shown["grants"] == ["control,read,submit:*"]

    listed = [json.loads(line) for line in autopilot("token", "list", *options, "--json").stdout.splitlines()]
    assert [entry["name"] for entry in listed] == ["ci", "x"]
    assert listed[0]["grants"] == ["read,submit:w-*"]
    assert (listed[0]["expires"], listed[0]["tenant"]) == (None, "acme")
    assert listed[1] == {key: value for key, value in shown.items() if key != "token"}
    everything = autopilot("token", "list", *options).stdout + path.read_text()
    assert token not in everything
    assert shown["token"] not in everything

    file = TokenFile(path)
    assert known(file, token) == Identity("ci", "acme", (Grant.of(["read", "submit"], "w-*"),))
    autopilot("token", "revoke", listed[0]["id"], *options)
    assert known(file, token) is None
    assert known(file, shown["token"]) is not None
    assert "no token" in autopilot("token", "revoke", listed[0]["id"], *options, code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--grant", "reed"], "rights are submit, read, control, admin"),
        (["--grant", "read:a b"], "no pattern of workflows"),
        (["--grant", "read:[ab]"], "no pattern of workflows"),
        (["--expires-in", "soon"], "no span of time"),
        (["--tenant", "ACME"], "no tenant's name"),
        (["--tenant", "a\x1fb"], "no tenant's name"),
    ],
)
def test_what_a_token_cannot_be_is_told(tmp_path: Path, arguments: list[str], part: str) -> None:
    path = tmp_path / "tokens.json"
    assert part in autopilot("token", "create", "x", "--token-file", str(path), *arguments, code=2).stderr
    assert not path.exists()


def test_only_its_owner_may_read_or_write_the_file(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    before = os.umask(0)
    try:
        add(path)
    finally:
        os.umask(before)
    assert [stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()] == [0o600, 0o600]


def test_a_link_to_the_file_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link, there = tmp_path / "tokens.json", tmp_path / "there" / "tokens.json"
    add(there)
    link.symlink_to(there)
    add(link)
    assert link.is_symlink()
    assert len(read_tokens(there)) == 2


def _add_many(path: Path, count: int) -> None:
    for _ in range(count):
        add(path)


def test_tokens_that_are_made_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    spawn = multiprocessing.get_context("spawn")
    makers = [spawn.Process(target=_add_many, args=(path, 20)) for _ in range(4)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join(120)
    assert [maker.exitcode for maker in makers] == [0] * 4
    assert len({token.sha256 for token in read_tokens(path)}) == 80


def test_the_file_is_read_again_when_it_changes_and_a_broken_one_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tokens.json"
    first = add(path)
    file = TokenFile(path)
    second = add(path)
    assert known(file, second) == READER

    good = path.read_bytes()
    for broken in (b"", b"{", b"[]", b'{"version": 2, "tokens": []}', b'{"version": 1, "tokens": [{}]}', b"\xff"):
        path.write_bytes(broken)
        caplog.clear()
        assert known(file, first) == READER, broken
        assert known(file, second) == READER, broken
        assert [record.levelno for record in caplog.records] == [logging.ERROR], broken
    path.unlink()
    assert known(file, first) == READER
    path.write_bytes(good)
    change_tokens(path, lambda tokens: tokens[1:])
    assert (known(file, first), known(file, second)) == (None, READER)


async def test_a_call_waits_for_the_file_to_be_read_and_the_loop_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two readings: the second change comes when the first is being read."""
    path = tmp_path / "tokens.json"
    first, second, third = add(path), add(path), add(path)
    file = TokenFile(path)
    begun, goes_on, keep = threading.Semaphore(0), threading.Semaphore(0), file._keep

    def slowly(tokens: Sequence[Any]) -> int:
        begun.release()
        assert goes_on.acquire(timeout=60)
        return keep(tokens)

    monkeypatch.setattr(file, "_keep", slowly)
    change_tokens(path, lambda tokens: tokens[1:])
    early = [asyncio.create_task(file.up_to_date()) for _ in range(3)]
    assert await asyncio.to_thread(begun.acquire, timeout=60)
    change_tokens(path, lambda tokens: tokens[1:])
    late = asyncio.create_task(file.up_to_date())
    # Whoever gives up does not end it for the others.
    early.pop().cancel()
    await asyncio.sleep(0)
    assert not any(task.done() for task in (*early, late))
    goes_on.release()
    assert await asyncio.to_thread(begun.acquire, timeout=60)
    assert not late.done()
    assert file.authenticate(Presented(bearer=first)) is None
    goes_on.release()
    await asyncio.gather(*early, late)
    assert file.authenticate(Presented(bearer=second)) is None
    assert file.authenticate(Presented(bearer=third)) == READER


async def test_calls_go_on_beside_a_file_that_changes_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tokens.json"
    token = add(path)
    file = TokenFile(path)
    keep = file._keep

    def and_again(tokens: Sequence[Any]) -> int:
        add(path)
        return keep(tokens)

    monkeypatch.setattr(file, "_keep", and_again)
    add(path)
    await file.up_to_date()
    assert file.authenticate(Presented(bearer=token)) == READER


def test_a_token_ends_at_its_time(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    token = add(path, expires=1000)
    now = 999.9
    file = TokenFile(path, clock=lambda: now)
    assert known(file, token) == READER
    now = 1000.0
    with pytest.raises(CredentialsInvalidError, match="expired"):
        known(file, token)


def test_what_is_no_token_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    token = add(path)
    file = TokenFile(path)
    (kept,) = read_tokens(path)
    for text in ("", "x", token[:-1], token + "A", token.upper(), f" {token}", kept.sha256, token * 1000, "ä" * 53):
        assert known(file, text) is None, text
    assert known(file, token[:-1] + ("A" if token[-1] != "A" else "B")) is None


@pytest.mark.parametrize("content", [None, "", '{"version": 1}', '{"version": 1, "tokens": [{"id": "x"}]}'])
def test_a_server_does_not_start_without_a_good_file(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "tokens.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(StartupError, match="--token-file"):
        TokenFile(path)


def test_a_changed_file_that_others_can_write_is_not_believed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "tokens.json"
    first = add(path)
    file = TokenFile(path)
    path.chmod(0o666)
    second = add(path)
    assert (known(file, first), known(file, second)) == (READER, None)
    assert "can be written by others" in caplog.text
    with pytest.raises(TokenFileError, match="chmod go-w"):
        file.reload()
    path.chmod(0o644)
    file.reload()
    assert known(file, second) == READER


@needs_root
def test_the_file_stays_its_owner_s_whoever_changes_it(tmp_path: Path) -> None:
    """What root revokes, the server's own user must still be able to read."""
    path = tmp_path / "tokens.json"
    add(path)
    os.chown(path, 1234, 2345)
    path.chmod(0o640)
    add(path)
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 2345, 0o640)


@needs_root
def test_the_file_of_another_user_is_not_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tokens.json"
    add(path)
    os.chown(path, 1234, 2345)
    before = path.read_text()

    def refuse(*_: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    with pytest.raises(PermissionError, match="another user's") as error:
        add(path)
    assert error.value.filename == str(path)
    assert path.read_text() == before


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "tokens.json"
    add(path)
    path.chmod(mode)
    with pytest.raises(StartupError, match="can be written by others"):
        TokenFile(path)
    # Hashes are no secret: a mounted file is often readable by all.
    path.chmod(0o644)
    TokenFile(path)


def test_secrets_are_not_in_reprs(tmp_path: Path) -> None:
    token = add(tmp_path / "tokens.json")
    assert token not in repr(Presented(bearer=token))
    assert token not in repr(TokenFile(tmp_path / "tokens.json"))
