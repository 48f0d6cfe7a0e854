"""Exit codes, and how errors are shown."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click
import grpc

from autopilot_client import AutopilotError, JobState, ServerUnreachable

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
  6  refused: not possible in the job's state, or it has changed meanwhile
  7  the server cannot be reached, is stopping, or is full
  8  the call took longer than --timeout
"""


def of_state(state: int) -> int:
    """The exit code for a job in a state."""
    return {JobState.FAILED: FAILED, JobState.CANCELLED: CANCELLED, JobState.INTERRUPTED: INTERRUPTED}.get(
        JobState(state), OK
    )


def fail(message: str, code: int) -> NoReturn:
    """End with one line on stderr."""
    click.echo(f"autopilot: {message}", err=True)
    sys.exit(code)


@contextmanager
def reported(server: str) -> Iterator[None]:
    """Show errors as people read them, and end with the code for scripts."""
    try:
        yield
    except ServerUnreachable as error:
        fail(f"no server at {server}: {error.message}\nStart one with: autopilot serve", UNAVAILABLE)
    except AutopilotError as error:
        for violation in error.violations[1:]:
            click.echo(f"  {violation.field}: {violation.description}", err=True)
        codes = {
            grpc.StatusCode.INVALID_ARGUMENT: USAGE,
            grpc.StatusCode.OUT_OF_RANGE: USAGE,
            grpc.StatusCode.NOT_FOUND: NOT_FOUND,
            grpc.StatusCode.ALREADY_EXISTS: REFUSED,
            grpc.StatusCode.FAILED_PRECONDITION: REFUSED,
            grpc.StatusCode.ABORTED: REFUSED,
            grpc.StatusCode.UNAVAILABLE: UNAVAILABLE,
            grpc.StatusCode.RESOURCE_EXHAUSTED: UNAVAILABLE,
            grpc.StatusCode.DEADLINE_EXCEEDED: TIMEOUT,
        }
        fail(error.message, codes.get(error.code, FAILED))
    except ValueError as error:
        fail(str(error), USAGE)
    except BrokenPipeError:
        # Whoever read the output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(OK)
