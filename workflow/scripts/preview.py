"""Adapter: medians by the fast engine, while museval is still at work."""

from pathlib import Path

from madsep.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.estimates import Estimates
    from madsep.stages.score import preview

    table = Path(snakemake.output.table)
    estimates = Estimates(
        list(map(Path, snakemake.input.prepared)), snakemake.params.slugs, snakemake.params.targets, table.parent / "estimates"
    )
    preview(estimates, table, snakemake.threads)
