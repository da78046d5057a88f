"""Adapter: compute the couplings of one system over the test tracks."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.couplings.stage import couplings_of_run, request
    from madsep.data.prepared import read_planned

    nca = {key: value for key, value in snakemake.params.nca.items() if key != "every_track"}
    wanted = request(nca)
    tracks = read_planned("results/prepared/test", snakemake.params.tracks["prepared"], ("test",))
    folder = Path(snakemake.output[0]).parent.parent
    couplings_of_run(Path(snakemake.input.checkpoint), tracks, folder, wanted, snakemake.config["device"], snakemake.threads)
