"""Adapter: compare all systems of a run with each other and, on the same tracks, with those of SiSEC 2018."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.core.intervals import Bootstrap
    from madsep.comparison.runs import Run, read_track_medians
    from madsep.comparison.compare import compare

    params = snakemake.params
    tables = zip(params.systems, map(Path, snakemake.input))
    runs = [Run(name, read_track_medians(path), params.recipes.get(name, {}), params.layouts) for name, path in tables]
    compare(runs, Path(snakemake.output.page).parent, Bootstrap(**params.bootstrap))
