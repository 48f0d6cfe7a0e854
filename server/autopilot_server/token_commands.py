"""The commands for bearer tokens and client certificates: `autopilot token create`, `revoke`, `list`."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from autopilot_server import spans
from autopilot_server.access.certificates import CertificateNameError
from autopilot_server.access.identity import Grant, GrantError, Identity
from autopilot_server.access.tokens import (
    Token,
    TokenFileError,
    change_tokens,
    new_certificate,
    new_token,
    read_tokens,
)
from autopilot_server.config import environment_name

# As `autopilot serve`: what was given cannot be used.
EXIT_USAGE = 2


def _on_file(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--token-file",
        type=click.Path(path_type=Path, dir_okay=False),
        required=True,
        envvar=environment_name("token_file"),
        show_envvar=True,
        help="The file of tokens, as `autopilot serve` is given it.",
    )(command)


def _grant(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[Grant, ...]:
    grants = []
    for value in values:
        rights, _, workflows = value.partition(":")
        try:
            grants.append(Grant.of(rights.split(","), workflows or "*"))
        except GrantError as error:
            raise click.BadParameter(str(error)) from error
    return tuple(grants)


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except (TokenFileError, GrantError, CertificateNameError) as error:
        click.echo(f"autopilot: {error}", err=True)
        sys.exit(EXIT_USAGE)
    except OSError as error:
        click.echo(f"autopilot: {error.filename}: {error.strerror}", err=True)
        sys.exit(EXIT_USAGE)


@click.group()
def token() -> None:
    """Bearer tokens and client certificates: who may call a server that was started with --token-file."""


@token.command()
@click.argument("name")
@_on_file
@click.option(
    "--tenant", default="", help="Whose jobs it sees: at most 63 of a-z 0-9 -. Default: the one without name."
)
@click.option(
    "--grant",
    "grants",
    multiple=True,
    default=("submit,read,control",),
    show_default=True,
    callback=_grant,
    metavar="RIGHTS[:WORKFLOWS]",
    help="What it may do: some of submit, read, control, admin, on all workflows or those of a pattern with * and ?.",
)
@click.option(
    "--certificate",
    metavar="KIND:NAME",
    help="Make no token: the caller is known by its certificate, by this name of it, of kind uri, dns, email, cn or "
    "subject. The server needs --tls-client-ca.",
)
@click.option(
    "--expires-in", callback=spans.seconds, metavar="SPAN", help="As 90d, 12h or 30m. Default: it never expires."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def create(
    name: str,
    token_file: Path,
    tenant: str,
    grants: tuple[Grant, ...],
    certificate: str | None,
    expires_in: int | None,
    as_json: bool,
) -> None:
    """Make a token for NAME, and print it: nobody can show it again. Or an entry for its certificate.

    \b
      autopilot token create ci --token-file tokens.json --tenant acme --expires-in 90d
      autopilot token create dashboard --token-file tokens.json --grant read:invoice-*
      autopilot token create billing --token-file tokens.json --certificate uri:spiffe://example.org/billing

    A running server knows it at once. The file holds only a token's hash. A certificate's name has one entry: a new one
    takes the place of the one that is there.
    """
    with _reported():
        identity = Identity(name, tenant, grants)
        expires = None if expires_in is None else int(time.time()) + expires_in
        if certificate is not None:
            _print_entry(
                _keep_certificate(token_file, new_certificate(identity, certificate, expires=expires)), as_json
            )
            return
        text, kept = new_token(identity, expires=expires)
        change_tokens(token_file, lambda tokens: (*tokens, kept))
    if as_json:
        click.echo(json.dumps(_shown(kept) | {"token": text}, ensure_ascii=False))
        return
    click.echo(text)
    click.echo(
        f"autopilot: token {kept.token_id} for {name!r}, {_life(kept)}. It is shown only now: keep it as a secret.",
        err=True,
    )


def _keep_certificate(token_file: Path, kept: Token) -> Token:
    """Put an entry into the file, in place of the one of the same certificate."""

    def with_it(tokens: tuple[Token, ...]) -> list[Token]:
        return [*(each for each in tokens if each.certificate != kept.certificate), kept]

    change_tokens(token_file, with_it)
    return kept


@token.command()
@click.argument("token_id")
@_on_file
def revoke(token_id: str, token_file: Path) -> None:
    """Forget a token or a certificate, by the id that `autopilot token list` shows.

    Its open watches end within a second or so.
    """
    known: list[Token] = []

    def without(tokens: tuple[Token, ...]) -> list[Token]:
        known.extend(each for each in tokens if each.token_id == token_id)
        return [each for each in tokens if each.token_id != token_id]

    with _reported():
        if not token_file.exists():
            raise TokenFileError(f"{token_file} is not there")
        change_tokens(token_file, without)
    if not known:
        click.echo(f"autopilot: {token_file} has no token {token_id!r}", err=True)
        sys.exit(EXIT_USAGE)
    click.echo(f"autopilot: {_kind(known[0])} {token_id} of {known[0].identity.name!r} is revoked")


@token.command(name="list")
@_on_file
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a token a line.")
def list_tokens(token_file: Path, as_json: bool) -> None:
    """Show the tokens and certificates: what they may do, and until when."""
    with _reported():
        tokens = read_tokens(token_file)
    for each in tokens:
        _print_entry(each, as_json)


def _print_entry(kept: Token, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_shown(kept), ensure_ascii=False))
        return
    grants = " ".join(_grant_text(grant) for grant in kept.identity.grants)
    certificate = f"certificate {kept.certificate}  " if kept.certificate else ""
    click.echo(
        f"{kept.token_id}  {kept.identity.name}  tenant {kept.identity.tenant!r}  {grants}  {certificate}{_life(kept)}"
    )


def _kind(kept: Token) -> str:
    return "certificate" if kept.certificate else "token"


def _shown(kept: Token) -> dict[str, Any]:
    return {
        "id": kept.token_id,
        "name": kept.identity.name,
        "tenant": kept.identity.tenant,
        "grants": [_grant_text(grant) for grant in kept.identity.grants],
        "certificate": kept.certificate or None,
        "created": _time(kept.created),
        "expires": None if kept.expires is None else _time(kept.expires),
    }


def _grant_text(grant: Grant) -> str:
    return f"{','.join(sorted(grant.rights))}:{grant.workflows}"


def _life(kept: Token) -> str:
    if kept.expires is None:
        return "never expires"
    return f"{'expired' if kept.expires <= time.time() else 'expires'} {_time(kept.expires)}"


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
