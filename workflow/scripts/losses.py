"""Adapter: plot a training's losses."""

from pathlib import Path

from madsep.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.stages.report import plot_losses

    plot_losses(Path(snakemake.input.history), Path(snakemake.output[0]))
