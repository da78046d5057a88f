"""Adapter: write a table of the couplings of several systems."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.couplings.table import compare_couplings

    page = Path(snakemake.output[0])
    summaries = {system: page.parent / system / "couplings/summary.csv" for system in snakemake.params.systems}
    compare_couplings(summaries, page.with_suffix(".csv"), page)
