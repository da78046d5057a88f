"""Adapter: medians by the fast engine, while museval is still at work."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.scoring.estimates import Estimates
    from madsep.scoring.score import preview

    table = Path(snakemake.output.table)
    estimates = Estimates(
        list(map(Path, snakemake.input.prepared)), snakemake.params.slugs, snakemake.params.targets, table.parent / "estimates"
    )
    preview(estimates, table, snakemake.threads)
