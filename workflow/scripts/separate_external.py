"""Adapter: estimates of the test tracks of one job by anyone's callable, of a folder, or by an oracle."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.separation.external import External
    from madsep.separation.estimates import separate_external

    external = External(**snakemake.params.external)
    prepared = list(map(Path, snakemake.input.prepared))
    separate_external(external, snakemake.params.targets, prepared, snakemake.params.slugs, Path(snakemake.output.manifest))
