"""Adapter: score the test tracks of one job."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.data.prepared import read_planned
    from madsep.scoring.engines import Engine
    from madsep.scoring.stage import score_tracks

    asked, job = snakemake.params.tracks, Path(snakemake.output[0])
    tracks = read_planned(f"results/prepared/{asked['kind']}", asked["prepared"], ("test",))
    estimates = job.parents[2] / "estimates" if asked["estimates"] else None
    score_tracks(tracks, asked["targets"], estimates, job.parent.parent, job.stem, Engine(asked["engine"], snakemake.threads))
