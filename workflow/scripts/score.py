"""Adapter: score the test tracks of one job."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.scoring.engines import Engine
    from madsep.scoring.estimates import Estimates
    from madsep.scoring.score import score

    table = Path(snakemake.output.table)
    folder = table.parent.parent / "estimates" if snakemake.input.estimates else None
    estimates = Estimates(list(map(Path, snakemake.input.prepared)), snakemake.params.slugs, snakemake.params.targets, folder)
    score(estimates, table, Engine(snakemake.params.engine, snakemake.threads))
