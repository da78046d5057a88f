"""Adapter: score the test tracks of one job."""

from pathlib import Path

from madsep.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.engines import Engine
    from madsep.estimates import Estimates
    from madsep.stages.score import score

    table = Path(snakemake.output.table)
    folder = table.parent.parent / "estimates" if snakemake.input.estimates else None
    estimates = Estimates(list(map(Path, snakemake.input.prepared)), snakemake.params.slugs, snakemake.params.targets, folder)
    score(estimates, table, Engine(snakemake.params.engine, snakemake.threads))
