"""The commands for a database: `autopilot backup`, `restore`, `check`, `drain`."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from autopilot_server import spans
from autopilot_server.key_commands import given_sealer, on_database, on_keys, reported
from autopilot_server.storage import check_address, database_path, is_postgres
from autopilot_server.storage.invariants import INVARIANTS, Finding
from autopilot_server.storage.sqlite.backup import back_up
from autopilot_server.storage.sqlite.backup import restore as put_back
from autopilot_server.storage.sqlite.check import check as find_violations
from autopilot_server.storage.sqlite.check import unfinished
from autopilot_server.storage.sqlite.owner import Owner, find_owner

# For `check`: something does not hold. For `drain`, as for all calls to a server: it took longer than --timeout.
EXIT_FOUND = 1
EXIT_TIMEOUT = 8


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@on_database
def backup(target: Path, database: str) -> None:
    """Copy the database into the new file TARGET, while its server runs.

    \b
      autopilot backup --database sqlite:////var/lib/autopilot/jobs.db /backups/jobs-$(date +%F).db

    The copy is one moment's state of all jobs, events and checkpoints. It holds all that jobs hold: keep it as safe as
    the database.
    """
    with reported():
        back_up(database_path(database, instead="pg_dump takes a copy of it while servers run"), target)
    click.echo(f"autopilot: {target} holds all jobs")


@click.command()
@click.argument("source", metavar="BACKUP", type=click.Path(path_type=Path))
@on_database
@click.option("--replace", is_flag=True, help="Keep a database that is there under another name.")
def restore(source: Path, database: str, replace: bool) -> None:
    """Make a copy that `autopilot backup` took the database. Its server must be stopped.

    \b
      autopilot restore --database sqlite:////var/lib/autopilot/jobs.db --replace /backups/jobs-2026-11-24.db
      autopilot serve --database sqlite:////var/lib/autopilot/jobs.db

    Jobs are then as they were at the time of the backup. The next start goes on with those that were not finished:
    what their steps did since is done again.
    """
    with reported():
        path = database_path(database, instead="stop its servers, and pg_restore makes it anew from what pg_dump took")
        kept = put_back(source, path, replace=replace)
    if kept is not None:
        click.echo(f"autopilot: the database that was there is now {kept}")
    click.echo(f"autopilot: {path} is restored from {source}")


@click.command()
@on_database
@on_keys(required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a finding a line.")
def check(database: str, encryption_key_file: str, as_json: bool) -> None:
    """Verify what must hold of a database, while its server may run, and say what to do where it does not.

    With keys also that everything encrypted can be decrypted; without them no database with encrypted content is
    checked. Ends with 0 when everything holds, with 1 when something does not, with 2 when it could not be checked.
    """
    with reported():
        name, found = _find_violations(database, encryption_key_file)
    for finding in found:
        if as_json:
            click.echo(json.dumps(asdict(finding), ensure_ascii=False))
        else:
            click.echo(f"{finding.invariant}: {finding.subject or name}: {finding.detail}\n  {finding.advice}")
    if not as_json:
        held = ", ".join(invariant.name for invariant in INVARIANTS)
        file = "" if is_postgres(database) else "file, "
        click.echo(f"autopilot: {name}: {f'{len(found)} findings' if found else f'all holds ({file}{held})'}")
    sys.exit(EXIT_FOUND if found else 0)


def _find_violations(database: str, encryption_key_file: str) -> tuple[str, list[Finding]]:
    """What people know a database by, and what does not hold of it. StartupError."""
    check_address(database)
    if is_postgres(database):
        # Only who needs it has its packages.
        from autopilot_server.storage.postgres.check import check as find_in_postgres
        from autopilot_server.storage.postgres.connections import shown

        return shown(database), find_in_postgres(database)
    path = database_path(database)
    return str(path), find_violations(path, given_sealer(encryption_key_file))


@click.command()
@on_database
@click.option("--timeout", callback=spans.seconds, metavar="SPAN", help="As 90s or 5m. Default: as long as it takes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def drain(database: str, timeout: int | None, as_json: bool) -> None:
    """Stop the server of a database in order, wait for its end, and say which jobs are left.

    \b
      autopilot drain --database sqlite:////var/lib/autopilot/jobs.db --timeout 60s

    The server takes no new jobs, running ones stop at their next checkpoint, or where they are after its
    --drain-seconds; the next start goes on with them. A supervisor may start it again at once: tell systemd instead
    (systemctl stop autopilot), which does the same.

    \b
    Exit codes:
      0  no server uses the database any more, or none did
      2  the database, or who uses it, cannot be found
      8  the server had not ended within --timeout; it goes on draining
    """
    with reported():
        path = database_path(database, instead="send SIGTERM to the server's process, which drains it")
        owner = find_owner(path)
        if owner is not None:
            _end(owner, timeout)
        left = unfinished(path)
    _show_left(path, None if owner is None else owner.pid, left, as_json=as_json)


def _end(owner: Owner, timeout: int | None) -> None:
    owner.drain()
    ended = owner.ended(timeout)
    owner.close()
    if not ended:
        click.echo(f"autopilot: the server (process {owner.pid}) still drains after {timeout} s", err=True)
        sys.exit(EXIT_TIMEOUT)


def _show_left(path: Path, pid: int | None, left: list[tuple[str, str, int]], *, as_json: bool) -> None:
    if as_json:
        jobs = [{"workflow": workflow, "state": state, "jobs": number} for workflow, state, number in left]
        click.echo(json.dumps({"ended": pid, "left": jobs}, ensure_ascii=False))
        return
    what = f"no server uses {path}" if pid is None else f"the server of {path} (process {pid}) has ended"
    total = sum(number for _, _, number in left)
    click.echo(f"autopilot: {what}; {f'unfinished jobs, for the next start: {total}' if total else 'no job is left'}")
    for workflow, state, number in left:
        click.echo(f"  {number} {state} of {workflow}")
