"""The command `autopilot serve`: each setting is a flag and an environment variable."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import Field, fields
from typing import Any

import click

from autopilot_server.config import Settings, environment_name
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
    elif isinstance(default, int):
        kind = {"type": click.IntRange(min=0)}
    elif isinstance(default, float):
        kind = {"type": click.FloatRange(min=0)}
    elif "choices" in field.metadata:
        kind = {"type": click.Choice(field.metadata["choices"])}
    return click.option(
        f"--{field.name.replace('_', '-')}",
        field.name,
        default=default,
        show_default=True,
        envvar=environment_name(field.name),
        show_envvar=True,
        help=field.metadata["help"],
        **kind,
    )


def _serve(**values: Any) -> None:
    """Serve workflows over gRPC: run their jobs, keep them, tell how far they are.

    \b
      autopilot serve
      autopilot serve --config flows/langgraph.json --database sqlite:////var/lib/autopilot/jobs.db

    Stops on SIGTERM or Ctrl-C: running jobs drain to a checkpoint, and the next start goes on with them.
    """
    # Imported here: the settings are shown without loading LangGraph.
    from autopilot_server import app, logs

    settings = Settings(**values)
    logs.configure(level=settings.log_level, log_format=settings.log_format)
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
