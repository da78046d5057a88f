"""Adapter: boxplots and the page of medians of one system, beside MIX."""

from pathlib import Path

import pandas as pd

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.comparison.published import BASELINE
    from madsep.comparison.report import medians_html, plot_boxplots

    tables = {key: [pd.read_csv(path) for path in files] for key, files in snakemake.input.items() if key != "summary"}
    plot_boxplots(dict(zip([snakemake.wildcards.system, BASELINE], tables["tracks"])), Path(snakemake.output.boxplots))
    medians_html(pd.read_csv(snakemake.input.summary), *tables["medians"], Path(snakemake.output.medians))
