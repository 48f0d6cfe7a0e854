"""The server's commands. Of `autopilot serve` each setting is a flag and an environment variable."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import Field, fields
from typing import Any

import click
from click.core import ParameterSource

from autopilot_server import audit_commands, key_commands, maintenance, token_commands
from autopilot_server.config import SettingError, Settings, environment_name, flag_name
from autopilot_server.jobs.errors import StartupError

# A server that cannot start because of what it was given.
EXIT_USAGE = 2


def _option(field: Field[Any]) -> Callable[[Any], Any]:
    default = field.default
    kind: dict[str, Any] = {"type": type(default)}
    if isinstance(default, bool):
        kind = {"is_flag": True}
    elif isinstance(default, tuple):
        kind = {"multiple": True}
    elif "choices" in field.metadata:
        kind = {"type": click.Choice(field.metadata["choices"])}
    return click.option(
        flag_name(field.name),
        field.name,
        default=default,
        show_default=True,
        envvar=environment_name(field.name),
        show_envvar=True,
        help=field.metadata["help"],
        **kind,
    )


def _settings(values: dict[str, Any]) -> Settings:
    """The settings. Ends the process when one is out of its range, and names it as it was given."""
    try:
        return Settings(**values)
    except SettingError as error:
        number = f"{error.value:.10g}" if isinstance(error.value, float) else error.value
        source = click.get_current_context().get_parameter_source(error.name)
        if source is ParameterSource.ENVIRONMENT:
            given = f"{environment_name(error.name)}={number}"
        else:
            given = f"{flag_name(error.name)} {number}"
        click.echo(f"autopilot: {given}: {error}", err=True)
        sys.exit(EXIT_USAGE)


def _serve(**values: Any) -> None:
    """Serve workflows over gRPC: run their jobs, keep them, tell how far they are.

    \b
      autopilot serve
      autopilot serve --config flows/langgraph.json --database sqlite:////var/lib/autopilot/jobs.db

    Stops on SIGTERM or Ctrl-C, or by autopilot drain: running jobs drain to a checkpoint, and the next start goes on
    with them. SIGHUP reads tokens, keys and certificates again.
    """
    settings = _settings(values)
    # Ends no server, also not one that has yet to come to what it reloads.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # Imported here: the settings are shown and checked without loading LangGraph.
    from autopilot_server import app, logs

    logs.configure(level=settings.log_level, log_format=settings.log_format)
    logs.turn_by_signals(settings.log_level)
    code = 0
    try:
        asyncio.run(app.serve(settings))
    except StartupError as error:
        click.echo(f"autopilot: {error}", err=True)
        code = EXIT_USAGE
    except KeyboardInterrupt:
        code = 130
    # Not sys.exit: that would wait for the threads of steps that never return.
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _command() -> click.Command:
    callback: Any = _serve
    for field in reversed(fields(Settings)):
        callback = _option(field)(callback)
    return click.command(name="serve", context_settings={"max_content_width": 110})(callback)


serve = _command()

COMMANDS: dict[str | None, click.Command] = {
    command.name: command
    for command in (
        serve,
        maintenance.backup,
        maintenance.restore,
        maintenance.check,
        maintenance.drain,
        audit_commands.audit,
        token_commands.token,
        key_commands.key,
        key_commands.encrypt,
        key_commands.decrypt,
    )
}
"""Those of the command line `autopilot` that need the server's package."""
