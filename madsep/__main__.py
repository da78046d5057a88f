"""`python -m madsep` is the command `madsep`."""

from madsep.cli import main

if __name__ == "__main__":
    main()
