"""Adapter: compute medians with the fast engine while museval is still scoring."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.data.prepared import read_planned
    from madsep.scoring.audit import preview

    asked, table = snakemake.params.tracks, Path(snakemake.output[0])
    tracks = read_planned(f"results/prepared/{asked['kind']}", asked["prepared"], ("test",))
    preview(tracks, asked["targets"], table.parent / "estimates", table, snakemake.threads)
