"""Adapter: download the sample of MUSDB18."""

from madsep.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.sample import fetch_sample

    fetch_sample(snakemake.params.folder)
