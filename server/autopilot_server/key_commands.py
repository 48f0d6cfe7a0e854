"""The commands for encryption at rest: `autopilot key create`, `key list`, `autopilot encrypt`, `autopilot decrypt`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from autopilot_server.config import Settings, environment_name
from autopilot_server.jobs.errors import StartupError
from autopilot_server.storage import database_path
from autopilot_server.storage.keys import ENVIRONMENT, add_key, given_keys, read_keys
from autopilot_server.storage.sealing import Sealer
from autopilot_server.storage.sqlite import resealing

# As `autopilot serve`: what was given cannot be used.
EXIT_USAGE = 2


def on_keys(*, required: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option that names the key file."""
    return click.option(
        "--encryption-key-file",
        default=None if required else "",
        required=required,
        envvar=environment_name("encryption_key_file"),
        show_envvar=True,
        help="The file of keys, as `autopilot serve` is given it.",
    )


def on_database(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option that names the database."""
    return click.option(
        "--database",
        default=Settings.__dataclass_fields__["database"].default,
        show_default=True,
        envvar=environment_name("database"),
        show_envvar=True,
        help="The database, as `autopilot serve` was given it.",
    )(command)


@contextmanager
def reported() -> Iterator[None]:
    """Tell what cannot be done, in one line, and end."""
    try:
        yield
    except StartupError as error:
        click.echo(f"autopilot: {error}", err=True)
    except OSError as error:
        click.echo(f"autopilot: {error.filename}: {error.strerror}", err=True)
    else:
        return
    sys.exit(EXIT_USAGE)


def given_sealer(encryption_key_file: str) -> Sealer | None:
    """What opens a database's content; None when no key is given. StartupError."""
    keys = given_keys(encryption_key_file)
    return None if keys is None else Sealer(keys)


@click.group()
def key() -> None:
    """Keys that content is encrypted with in the database, when the server is given them."""


@key.command()
@on_keys(required=True)
def create(encryption_key_file: str) -> None:
    """Put a new key first in the file, which is made when there is none: what is new is encrypted with it.

    \b
      autopilot key create --encryption-key-file keys.txt
      autopilot serve --encryption-key-file keys.txt

    Without the key nobody reads the database or its backups again: keep a copy apart from them.
    """
    with reported():
        keys = add_key(Path(encryption_key_file))
    click.echo(f"autopilot: {encryption_key_file} has key {keys[0].name} first")
    if len(keys) > 1:
        click.echo("autopilot: restart the server with it; then `autopilot encrypt` encrypts the rest with it")


@key.command(name="list")
@on_keys(required=True)
def list_keys(encryption_key_file: str) -> None:
    """Show the ids of the keys in the file, by which messages name them. The first encrypts, all decrypt."""
    with reported():
        keys = read_keys(Path(encryption_key_file))
    for number, each in enumerate(keys):
        click.echo(f"{each.name}{'  encrypts' if number == 0 else ''}")


@click.command()
@on_database
@on_keys(required=False)
def encrypt(database: str, encryption_key_file: str) -> None:
    """Encrypt everything in the database with the first key, whatever it was encrypted with before, if at all.

    \b
      autopilot encrypt --database sqlite:////var/lib/autopilot/jobs.db --encryption-key-file keys.txt

    While a server runs it must have been started with the same first key. What was killed goes on when it is called
    again. Afterwards keys that were not the first may leave the file; backups from before still need them.
    """
    with reported():
        path = database_path(database, instead="there its disk is what can be encrypted")
        done = resealing.encrypt(path, _required(encryption_key_file))
    click.echo(f"autopilot: {path}: {done.rows} rows were encrypted; all content is now")
    for name in done.retired:
        click.echo(f"autopilot: nothing in it needs key {name} any more; backups from before still do")
    if not done.compacted:
        click.echo(
            "autopilot: a server runs: free pages may still have what was deleted from there before it was encrypted; "
            "`autopilot encrypt` without a server wipes them"
        )


@click.command()
@on_database
@on_keys(required=False)
def decrypt(database: str, encryption_key_file: str) -> None:
    """Have everything in the database in plain again. Its server must be stopped.

    The next server starts without keys; with them it encrypts again what is new.
    """
    with reported():
        path = database_path(database, instead="there its disk is what can be encrypted")
        done = resealing.decrypt(path, _required(encryption_key_file))
    click.echo(f"autopilot: {path}: {done.rows} rows were decrypted; nothing in it is encrypted any more")


def _required(encryption_key_file: str) -> Sealer:
    sealer = given_sealer(encryption_key_file)
    if sealer is None:
        raise StartupError(f"no key was given: name the file with --encryption-key-file, or set {ENVIRONMENT}")
    return sealer
