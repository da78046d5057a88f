"""Adapter: score the voice of mono test tracks of one job by NSDR."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.scoring.estimates import Estimates
    from madsep.scoring.nsdr import score_nsdr

    table = Path(snakemake.output.table)
    folder = table.parent.parent / "estimates" if snakemake.input.estimates else None
    score_nsdr(Estimates(list(map(Path, snakemake.input.prepared)), snakemake.params.slugs, snakemake.params.targets, folder), table)
