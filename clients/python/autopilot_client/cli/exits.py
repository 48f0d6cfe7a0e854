"""Exit codes, and how errors are shown."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click
import grpc

from autopilot_client import CallFailed, JobState, ServerUnreachable

OK = 0
FAILED = 1
USAGE = 2
CANCELLED = 3
INTERRUPTED = 4
NOT_FOUND = 5
REFUSED = 6
UNAVAILABLE = 7
TIMEOUT = 8
CTRL_C = 130

TEXT = """\b
Exit codes:
  0  done; for watch, submit --watch and resume --watch: the job SUCCEEDED
     (or, with watch --no-follow, is not finished)
  1  the job FAILED, or the server had an internal error
  2  wrong usage: options, input out of form
  3  the job is CANCELLED
  4  the job is INTERRUPTED: it waits for answers (autopilot resume)
  5  not found: job, workflow or checkpoint
  6  refused: not possible in the job's state, it has changed meanwhile, or
     the credentials do not allow it
  7  the server cannot be reached, is stopping, or is full
  8  the call took longer than --timeout
"""


def of_state(state: int) -> int:
    """The exit code for a job in a state."""
    return {JobState.FAILED: FAILED, JobState.CANCELLED: CANCELLED, JobState.INTERRUPTED: INTERRUPTED}.get(
        JobState(state), OK
    )


def fail(
    message: str, code: int, *, hint: str = "", as_json: bool = False, error: CallFailed | None = None
) -> NoReturn:
    """End with what went wrong on stderr: a line, and where there is more to say lines below it; or one JSON object."""
    violations = () if error is None else error.violations
    if as_json:
        content = {
            "reason": "" if error is None else error.reason,
            "message": message,
            "code": (grpc.StatusCode.INVALID_ARGUMENT if error is None else error.code).name,
            "violations": [{"field": item.field, "description": item.description} for item in violations],
            "metadata": {} if error is None else error.metadata,
        }
        click.echo(json.dumps({"error": content}, ensure_ascii=False), err=True)
        sys.exit(code)
    lines = [message]
    if len(violations) > 1:
        # The server's message is the first of them, and how many more there are.
        lines = ["the request is out of form:"]
        lines += ["  " + ": ".join(filter(None, (item.field, item.description))) for item in violations]
    click.echo("\n".join([f"autopilot: {lines[0]}", *lines[1:], *filter(None, [hint])]), err=True)
    sys.exit(code)


def misused(error: click.ClickException) -> NoReturn:
    """End because of what was given on the command line."""
    message = " ".join(error.format_message().split("\n"))
    context = getattr(error, "ctx", None)
    hint = f"See: {context.command_path} --help" if context is not None else ""
    # Looked up by hand: the options may be what could not be read.
    fail(message[:1].lower() + message[1:], USAGE, hint=hint, as_json="--json" in sys.argv)


@contextmanager
def reported(server: str, *, as_json: bool) -> Iterator[None]:
    """Show errors as people or programs read them, and end with the code for scripts."""
    try:
        yield
    except ServerUnreachable as error:
        message = f"no server at {server}: {error.message}"
        hint = "Start one with: autopilot serve. One that serves TLS needs --tls or --ca here."
        fail(message, UNAVAILABLE, hint=hint, as_json=as_json, error=error)
    except CallFailed as error:
        codes = {
            grpc.StatusCode.INVALID_ARGUMENT: USAGE,
            grpc.StatusCode.OUT_OF_RANGE: USAGE,
            grpc.StatusCode.NOT_FOUND: NOT_FOUND,
            grpc.StatusCode.UNAUTHENTICATED: REFUSED,
            grpc.StatusCode.PERMISSION_DENIED: REFUSED,
            grpc.StatusCode.ALREADY_EXISTS: REFUSED,
            grpc.StatusCode.FAILED_PRECONDITION: REFUSED,
            grpc.StatusCode.ABORTED: REFUSED,
            grpc.StatusCode.UNAVAILABLE: UNAVAILABLE,
            grpc.StatusCode.RESOURCE_EXHAUSTED: UNAVAILABLE,
            grpc.StatusCode.DEADLINE_EXCEEDED: TIMEOUT,
        }
        unknown = error.code is grpc.StatusCode.UNAUTHENTICATED
        hint = "Give a token: AUTOPILOT_TOKEN in the environment, or --token-from FILE." if unknown else ""
        fail(error.message, codes.get(error.code, FAILED), hint=hint, as_json=as_json, error=error)
    except ValueError as error:
        fail(str(error), USAGE, as_json=as_json)
    except BrokenPipeError:
        # Whoever read the output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(OK)
