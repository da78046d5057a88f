"""Adapter: the table of GNSDR, GSIR and GSAR that ends a run; `params.systems` names the inputs in order."""

import pandas as pd

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.core.files import write_text
    from madsep.scoring.nsdr import nsdr_table

    write_text(snakemake.output[0], nsdr_table(dict(zip(snakemake.params.systems, map(pd.read_csv, snakemake.input), strict=True))))
