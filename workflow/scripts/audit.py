"""Adapter: audit the fast engine's scores by museval."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.data.prepared import read_planned
    from madsep.scoring.audit import audit

    asked, report = snakemake.params.tracks, Path(snakemake.output[0])
    tracks = read_planned(f"results/prepared/{asked['kind']}", asked["prepared"], ("test",))
    audit(tracks, asked["targets"], report.parent / "estimates", report.parent / "scores", report, snakemake.threads)
