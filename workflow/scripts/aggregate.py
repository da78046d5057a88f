"""Adapter: aggregate the scores of one system."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.scoring.aggregate import aggregate

    tables = list(map(Path, snakemake.input.tables))
    bootstrap = snakemake.params.bootstrap
    folder = Path(snakemake.output.medians).parent
    aggregate(folder / "scores/test", tables, snakemake.params.names, folder, bootstrap["seed"], bootstrap["n_resamples"])
