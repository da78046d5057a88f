"""Adapter: write the table of medians that ends a run."""

from pathlib import Path

import pandas as pd

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.core.files import write_text
    from madsep.scoring.medians import format_overview, format_table
    from madsep.comparison.published import BASELINE

    baseline, *medians = map(pd.read_csv, snakemake.input)
    systems = dict(zip(snakemake.params.systems, medians))
    tables = [f"{system}\n{format_table(table, baseline)}" for system, table in systems.items()]
    if len(systems) > 1:
        tables.append(format_overview(systems | {BASELINE: baseline}))
    write_text(snakemake.output[0], "\n\n".join(tables) + "\n")
