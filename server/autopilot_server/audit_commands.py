"""The command for the audit: `autopilot audit`."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from autopilot_server.audit import METHODS
from autopilot_server.audit.records import Record, Wanted, read_records
from autopilot_server.config import environment_name

# As `autopilot serve`: what was given cannot be used.
EXIT_USAGE = 2


def _time(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """As the audit writes times."""
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(value)
        # Without a zone: UTC, as all that the audit shows.
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{value!r} is no time: give it as 2026-11-25 or 2026-11-25T14:30:00Z") from None
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


@click.command()
@click.argument("older", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--audit-file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    envvar=environment_name("audit_file"),
    show_envvar=True,
    help="The audit, as `autopilot serve` is given it.",
)
@click.option("--since", callback=_time, metavar="TIME", help="Calls from this time on. ISO 8601, UTC without a zone.")
@click.option("--until", callback=_time, metavar="TIME", help="Calls before this time.")
@click.option("--tenant", help="Calls of this tenant. '': of the one without a name.")
@click.option("--identity", help="Calls of this identity, by its name.")
@click.option("--job", help="Calls about this job.")
@click.option("--method", type=click.Choice(METHODS), help="Calls of this method.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a call a line.")
def audit(
    older: tuple[Path, ...],
    audit_file: Path,
    since: str | None,
    until: str | None,
    tenant: str | None,
    identity: str | None,
    job: str | None,
    method: str | None,
    as_json: bool,
) -> None:
    """Show who submitted, cancelled, resumed, deleted and pruned, when, from where, and what was answered.

    \b
      autopilot audit --audit-file audit.jsonl --since 2026-11-01 --job nightly
      autopilot audit --audit-file audit.jsonl --json audit.jsonl.2.gz audit.jsonl.1 > all.jsonl

    OLDER: files that the audit was before, the oldest first. The server may run.
    """
    wanted = Wanted(since=since, until=until, tenant=tenant, identity=identity, method=method, job_id=job)
    try:
        for record in read_records([*older, audit_file], wanted, _tell_damage):
            click.echo(json.dumps(record) if as_json else _text(record))
    except OSError as error:
        click.echo(f"autopilot: {error.filename}: {error.strerror}", err=True)
        sys.exit(EXIT_USAGE)


def _tell_damage(path: Path, number: int) -> None:
    click.echo(f"autopilot: {path}: line {number} is not whole, as after a kill or on a full disk", err=True)


# What is known of each call. A line that somebody else wrote is shown as it is.
_CALL = {"identity", "tenant", "credential", "peer", "method"}


def _text(record: Record) -> str:
    match record["event"]:
        case "request" if record.keys() >= _CALL:
            parts = [_who(record), record["method"], _job(record), _outcome(record["answer"])]
        case "refused" if record.keys() >= _CALL | {"code"}:
            parts = [_who(record), record["method"], _outcome(record)]
        case event:
            facts = {name: value for name, value in record.items() if name not in ("time", "event")}
            parts = [f"[{event}]", *(f"{name} {value}" for name, value in facts.items())]
    return _printable("  ".join(str(part) for part in [record["time"], *parts] if part))


def _who(record: Record) -> str:
    tenant = f"@{record['tenant']}" if record["tenant"] else ""
    credential = f" ({record['credential']})" if record["credential"] else ""
    return f"{record['identity'] or 'anybody'}{tenant}{credential}  {record['peer']}"


def _job(record: Record) -> str:
    told = (record["answer"] or {}) | record
    return " ".join(str(told[name]) for name in ("workflow", "job_id") if told.get(name))


def _outcome(answer: dict[str, Any] | None) -> str:
    if answer is None:
        return "no answer: the server was killed, or has not answered yet"
    shown = [answer["code"], answer.get("reason"), answer.get("state")]
    shown += [f"{answer[name]} {name}" for name in ("deleted_jobs", "deleted_checkpoints") if answer.get(name)]
    return " ".join(str(part) for part in shown if part)


def _printable(text: str) -> str:
    """Without what moves a terminal's cursor."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
