"""Snakemake as `madsep run` starts it: `python -m madsep.workflow` with Snakemake's options."""

import sys
from pathlib import Path

from madsep.workflow.interruption import run_snakemake

if __name__ == "__main__":
    run_snakemake(Path(sys.argv[sys.argv.index("--directory") + 1]).absolute())
