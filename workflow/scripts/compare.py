"""Adapter: compare all systems of a run with each other and, if the tracks are the same, with those of SiSEC 2018."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.comparison.compare import Options, compare
    from madsep.comparison.runs import read_system
    from madsep.core.intervals import Bootstrap

    params, page = snakemake.params, Path(snakemake.output[0])
    results = page.parents[1]
    runs = [read_system(name, results / name, settings) for name, settings in params.systems.items()]
    compare(runs, page.parent, Bootstrap(**params.bootstrap), Options(listening=params.listening))
