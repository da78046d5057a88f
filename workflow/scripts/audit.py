"""Adapter: audit the fast engine's scores by museval."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.data.prepared import read_prepared
    from madsep.scoring.score import audit

    asked, report = snakemake.params.tracks, Path(snakemake.output[0])
    tracks = read_prepared(f"results/prepared/{asked['kind']}", asked["prepared"], ("test",))
    audit(tracks, asked["targets"], report.parent / "estimates", report.parent / "scores", report, snakemake.threads)
