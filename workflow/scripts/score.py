"""Adapter: score the test tracks of one job."""

from pathlib import Path

from madsep.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.stages.score import Job, score

    table = Path(snakemake.output.table)
    estimates = table.parent.parent / "estimates" if snakemake.input.estimates else None
    score(Job(list(map(Path, snakemake.input.prepared)), snakemake.params.slugs, estimates, table), snakemake.threads)
