"""Adapter: write the listening page of a run."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.listening.listen import Options, listen
    from madsep.listening.sources import read_run

    params, page = snakemake.params, Path(snakemake.output[0])
    listen(read_run(page.parents[1], params.systems, params.kinds), page.parent, Options(**params.options))
