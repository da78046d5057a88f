"""Adapter: audit the fast engine's scores by museval."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.scoring.estimates import Estimates
    from madsep.scoring.score import audit

    report = Path(snakemake.output.report)
    estimates = Estimates(
        list(map(Path, snakemake.input.prepared)), snakemake.params.slugs, snakemake.params.targets, report.parent / "estimates"
    )
    audit(estimates, report.parent / "scores/test", report, snakemake.threads)
