"""Adapter: one table of the couplings of several systems."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.couplings.table import compare_couplings

    summaries = dict(zip(snakemake.params.systems, map(Path, snakemake.input), strict=True))
    compare_couplings(summaries, Path(snakemake.output.table), Path(snakemake.output.page))
