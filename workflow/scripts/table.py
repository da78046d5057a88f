"""Adapter: write the table that ends a run, and which scores it is of."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.core.files import sha256, write_json

    folders, table = {name: Path("results", name) for name in snakemake.params.systems}, Path(snakemake.output.text)
    mixture = folders.pop("MIX")
    if snakemake.params.engine == "nsdr":
        from madsep.scoring.nsdr import write_nsdr_overview

        write_nsdr_overview(folders | {"mixture": mixture}, table)
    else:
        from madsep.scoring.aggregate import write_overview

        write_overview(folders, mixture, table)
    write_json(snakemake.output.identity, {"identity": snakemake.params.identity, "sha256": sha256(table)})
