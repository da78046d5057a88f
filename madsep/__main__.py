"""The program `madsep`, also as `python -m madsep`."""

import sys


def main() -> None:
    """Run the command line. Ctrl-C while it is being loaded ends it as later on: with a line and status 130."""
    try:
        from madsep.cli import main as command_line
    except KeyboardInterrupt:
        print("madsep: ERROR: interrupted; nothing half-written is left", file=sys.stderr)
        sys.exit(130)
    command_line()


if __name__ == "__main__":
    main()
