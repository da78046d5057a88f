"""Adapter: separate the test tracks of one job."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.separation.songs import Job, separate

    prepared = list(map(Path, snakemake.input.prepared))
    job = Job(prepared, snakemake.params.slugs, Path(snakemake.output.manifest))
    separate(Path(snakemake.input.checkpoint), job, snakemake.config["device"], snakemake.threads)
