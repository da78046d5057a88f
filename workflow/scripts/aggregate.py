"""Adapter: make the tables of one system's scores."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.core.intervals import Bootstrap
    from madsep.data.prepared import read_planned
    from madsep.scoring.protocols import PROTOCOLS
    from madsep.scoring.stage import aggregate_scores

    params, folder = snakemake.params, Path(snakemake.output[0]).parent
    tracks = read_planned(f"results/prepared/{params.tracks['kind']}", params.tracks["prepared"], ("test",))
    estimates = folder / "estimates" if params.tracks["estimates"] else None
    aggregate_scores(tracks, estimates, folder / "scores", folder, Bootstrap(**params.bootstrap), PROTOCOLS[params.protocol])
