"""The command line `autopilot`."""

import sys

import click

from autopilot_client.cli import exits
from autopilot_client.cli.commands import cli


def main() -> None:
    """Entry point of `autopilot`."""
    try:
        sys.exit(cli.main(sys.argv[1:] or ["--help"], prog_name="autopilot", standalone_mode=False))
    except click.ClickException as error:
        exits.misused(error)
    except click.Abort:
        sys.exit(exits.CTRL_C)


if __name__ == "__main__":
    main()
