"""Adapter: plot the losses of a training."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.training.figures import plot_losses

    plot_losses(Path(snakemake.input[0]).parent.parent / "history.csv", Path(snakemake.output[0]))
