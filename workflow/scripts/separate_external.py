"""Adapter: separate the test tracks of one job with a callable or an oracle, or copy estimates from a folder."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.data.prepared import read_planned
    from madsep.separation.external import find_external
    from madsep.separation.estimates import separate_external

    asked, job = snakemake.params.tracks, Path(snakemake.output[0])
    external = find_external(snakemake.wildcards.system, snakemake.config["external"])
    tracks = read_planned(f"results/prepared/{asked['kind']}", asked["prepared"], ("test",))
    separate_external(external, asked["targets"], tracks, job.parent.parent, job.stem)
