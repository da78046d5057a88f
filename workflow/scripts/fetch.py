"""Adapter: download the sample of MUSDB18."""

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.data.sample import fetch_sample

    fetch_sample(snakemake.params.folder)
