"""Adapter: plot a training's losses."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.comparison.report import plot_losses

    plot_losses(Path(snakemake.input.history), Path(snakemake.output[0]))
