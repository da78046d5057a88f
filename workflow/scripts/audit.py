"""Adapter: audit the fast engine's scores by museval."""

from pathlib import Path

from madsep.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.estimates import Estimates
    from madsep.stages.score import audit

    report = Path(snakemake.output.report)
    estimates = Estimates(
        list(map(Path, snakemake.input.prepared)), snakemake.params.slugs, snakemake.params.targets, report.parent / "estimates"
    )
    audit(estimates, report.parent / "scores/test", report, snakemake.threads)
