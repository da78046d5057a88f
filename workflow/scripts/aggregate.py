"""Adapter: make the tables of one system's scores."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.core.intervals import Bootstrap
    from madsep.data.prepared import read_planned

    if snakemake.params.tracks["engine"] == "nsdr":
        from madsep.scoring.nsdr import aggregate_nsdr as aggregate
    else:
        from madsep.scoring.aggregate import aggregate

    asked, folder = snakemake.params.tracks, Path(snakemake.output[0]).parent
    tracks = read_planned(f"results/prepared/{asked['kind']}", asked["prepared"], ("test",))
    estimates = folder / "estimates" if asked["estimates"] else None
    aggregate(tracks, estimates, folder / "scores", folder, Bootstrap(**snakemake.params.bootstrap))
