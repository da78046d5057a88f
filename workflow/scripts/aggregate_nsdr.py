"""Adapter: GNSDR, GSIR and GSAR of one system."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.scoring.nsdr import aggregate_nsdr

    bootstrap = snakemake.params.bootstrap
    aggregate_nsdr(list(map(Path, snakemake.input.tables)), Path(snakemake.output[0]), bootstrap["seed"], bootstrap["n_resamples"])
