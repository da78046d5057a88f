"""Adapter: write the list of tracks that a training learns from."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.training.data import write_training_data

    write_training_data(**snakemake.params.data, path=Path(snakemake.output[0]))
