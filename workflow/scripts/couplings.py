"""Adapter: compute the couplings of one system over the test tracks."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.core.intervals import Bootstrap
    from madsep.data.mixtures import find_mixtures
    from madsep.couplings.stage import couplings, request

    nca = dict(snakemake.params.nca)
    every_track = nca.pop("every_track")
    wanted = request(nca, Bootstrap(**snakemake.params.bootstrap))
    mixtures = find_mixtures(list(map(Path, snakemake.input.prepared)))[::every_track]
    folder = Path(snakemake.output.maps).parent
    couplings(Path(snakemake.input.checkpoint), mixtures, folder, wanted, snakemake.config["device"], snakemake.threads)
