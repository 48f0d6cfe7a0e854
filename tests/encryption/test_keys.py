"""Where keys come from, which files are refused, and what a server says that has not got the right ones."""

import os
from pathlib import Path

import pytest
from autopilot_client import JobState
from autopilot_server.jobs.errors import SealBrokenError, StartupError
from autopilot_server.storage import sealing
from autopilot_server.storage.keys import CREDENTIALS, ENVIRONMENT, Key, add_key, given_keys, read_keys
from autopilot_server.storage.sealing import Sealer, is_sealed

from tests.encryption.conftest import GRAPHS, Vault, fill, require_filled
from tests.encryption.graphs.graphs import planted
from tests.forks import autopilot
from tests.proof.server import ServerProcess

KEY = "autopilot_key_" + "A" * 43


# --- what a server is given ---


def test_a_server_without_the_key_does_not_start(vault: Vault) -> None:
    vault.new_key()
    vault.server.start()
    with vault.server.client() as client:
        fill(client)
    vault.server.kill()
    right, name = vault.server.options, vault.sealer.first.name
    vault.server.options = []
    assert vault.server.start_or_die() == ""
    assert vault.server.wait_for_death() == 2
    assert f"is encrypted with key {name}, and no key was given" in vault.server.log.read_text()
    add_key(vault.keys.with_name("others.txt"))
    vault.server.options = ["--encryption-key-file", str(vault.keys.with_name("others.txt"))]
    assert vault.server.start_or_die() == ""
    assert vault.server.wait_for_death() == 2
    assert f"is encrypted with key {name}, which is not among those given" in vault.server.log.read_text()
    vault.server.options = right
    vault.server.start()
    with vault.server.client() as client:
        require_filled(client)
    # Nor did the others leave anything.
    assert vault.found() == set()


def give_key() -> None:
    os.environ[ENVIRONMENT] = KEY


def test_a_key_of_the_environment_is_not_there_for_workflows(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, config=GRAPHS, sabotage=give_key)
    server.start()
    try:
        with server.client() as client:
            assert client.run("looking", {"given": planted("input")})["result"] == ""
    finally:
        server.kill()
    assert planted("input").encode() not in server.database.read_bytes()
    assert KEY not in server.log.read_text()


def test_an_old_database_is_read_and_what_is_new_is_encrypted(vault: Vault) -> None:
    vault.server.start()
    with vault.server.client() as client:
        fill(client)
    vault.server.kill()
    vault.new_key()
    vault.server.start()
    with vault.server.client() as client:
        require_filled(client)
        client.resume("asking", answer="and on from there")
        assert client.get("asking", wait=60).state is JobState.SUCCEEDED
        client.submit("looking", {"given": "a new and hidden text"}, job_id="new")
        assert client.get("new", wait=60).state is JobState.SUCCEEDED
    vault.server.kill()
    data = b"".join(path.read_bytes() for path in vault.folder.iterdir())
    assert b"a new and hidden text" not in data
    assert b"and on from there" not in data
    assert planted("input").encode() in data


# --- files ---


def test_new_keys_come_first_and_are_for_the_owner(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    for number in (1, 2):
        made = autopilot("key", "create", "--encryption-key-file", file)
        assert made.returncode == 0, made.stderr
        assert len(read_keys(file)) == number
        assert f"has key {read_keys(file)[0].name} first" in made.stdout
    assert file.stat().st_mode & 0o777 == 0o600
    listed = autopilot("key", "list", "--encryption-key-file", file).stdout
    assert listed.splitlines() == [f"{read_keys(file)[0].name}  encrypts", read_keys(file)[1].name]
    secrets = file.read_text().split()
    assert not any(secret in listed or secret.removeprefix("autopilot_key_") in listed for secret in secrets)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_file_that_others_can_open_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "keys.txt"
    add_key(file)
    file.chmod(mode)
    with pytest.raises(StartupError, match="can be read by others: chmod 600 it"):
        read_keys(file)
    assert autopilot("key", "create", "--encryption-key-file", file).returncode == 2
    file.chmod(0o400)
    assert len(read_keys(file)) == 1


def handed_over(folder: Path, mode: int) -> Path:
    folder.mkdir()
    file = folder / "keys.txt"
    add_key(file)
    file.chmod(mode)
    return file


@pytest.mark.parametrize("mode", [0o400, 0o440])
def test_a_credential_of_systemd_is_taken_as_systemd_hands_it_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    file = handed_over(tmp_path / "credentials", mode)
    link = tmp_path / "link.txt"
    link.symlink_to(file)
    monkeypatch.setenv(CREDENTIALS, str(file.parent))
    assert len(read_keys(file)) == len(read_keys(link)) == 1


@pytest.mark.parametrize("mode", [0o460, 0o404, 0o444, 0o450])
def test_a_credential_that_more_than_the_service_can_open_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    file = handed_over(tmp_path / "credentials", mode)
    monkeypatch.setenv(CREDENTIALS, str(file.parent))
    with pytest.raises(StartupError, match="can be read by others"):
        read_keys(file)


@pytest.mark.parametrize("credentials", ["", "credentials"])
def test_a_file_that_is_not_among_the_credentials_is_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, credentials: str
) -> None:
    # Not below it, although its name begins in the same way; and a link below it is not the file.
    file = handed_over(tmp_path / "credentials-old", 0o440)
    (tmp_path / "credentials").mkdir()
    link = tmp_path / "credentials" / "keys.txt"
    link.symlink_to(file)
    monkeypatch.setenv(CREDENTIALS, credentials and str(tmp_path / credentials))
    for path in (file, link):
        with pytest.raises(StartupError, match="can be read by others"):
            read_keys(path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has no key"),
        ("# nothing but words\n", "has no key"),
        (f"{KEY}\nhunter2-is-no-key\n", "line 2 is no key"),
        (KEY[:-1], "line 1 is no key"),
        (KEY.removeprefix("autopilot_key_"), "line 1 is no key"),
    ],
)
def test_a_file_without_keys_is_refused_and_not_shown(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "keys.txt"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(StartupError, match=why) as refused:
        read_keys(file)
    assert "hunter2" not in str(refused.value)
    assert "AAAA" not in str(refused.value)
    with pytest.raises(StartupError, match="No such file"):
        read_keys(tmp_path / "missing.txt")


def test_the_environment_may_have_several_and_excludes_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, f"{KEY[:-1]}E,{KEY}")
    keys = given_keys("")
    assert keys is not None
    assert [key.secret[-1] for key in keys] == [1, 0]
    assert given_keys("") is None
    monkeypatch.setenv(ENVIRONMENT, KEY)
    with pytest.raises(StartupError, match="choose one"):
        given_keys("keys.txt")


# --- the cipher ---


def test_what_is_sealed_opens_at_its_place_and_with_its_key_only() -> None:
    old, new = Key(b"o" * 32), Key(b"n" * 32)
    stored = Sealer((old,)).seal(b"text", b"here")
    assert is_sealed(stored)
    assert b"text" not in stored
    assert Sealer((new, old)).open(stored, b"here") == b"text"
    for sealer, place in ((Sealer((old,)), b"there"), (Sealer((new,)), b"here")):
        with pytest.raises(SealBrokenError, match=place.decode()):
            sealer.open(stored, place)
    assert repr(old) == f"Key({old.name})"


def test_every_bit_counts() -> None:
    sealer = Sealer((Key(b"k" * 32),))
    stored = sealer.seal(b"text", b"here")
    for index in range(len(stored)):
        changed = bytearray(stored)
        changed[index] ^= 1
        if is_sealed(bytes(changed)):
            with pytest.raises(SealBrokenError):
                sealer.open(bytes(changed), b"here")


def test_a_process_draws_another_salt_before_random_nonces_may_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "MESSAGES_PER_SALT", 10)
    sealer = Sealer((Key(b"k" * 32),))
    stored = [sealer.seal(b"text", b"here") for _ in range(100)]
    salts = [each[12:28] for each in stored]
    assert max(salts.count(salt) for salt in salts) <= 11
    assert {sealer.open(each, b"here") for each in stored} == {b"text"}
    assert len(set(stored)) == 100
