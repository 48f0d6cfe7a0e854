"""The command line `autopilot`."""

from autopilot_client.cli.commands import cli


def main() -> None:
    """Entry point of `autopilot`."""
    cli(prog_name="autopilot")


if __name__ == "__main__":
    main()
