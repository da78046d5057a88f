"""Adapter: separate the test tracks of one job with a trained network."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.data.prepared import read_planned
    from madsep.separation.tracks import separate

    asked, job = snakemake.params.tracks, Path(snakemake.output[0])
    tracks = read_planned(f"results/prepared/{asked['kind']}", asked["prepared"], ("test",))
    separate(Path(snakemake.input.checkpoint), tracks, job.parent.parent, job.stem, snakemake.config["device"], snakemake.threads)
