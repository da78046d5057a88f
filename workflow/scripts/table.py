"""Adapter: write the table at the end of a run, with the identity of its scores."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.core.files import sha256, write_json
    from madsep.scoring.protocols import PROTOCOLS
    from madsep.scoring.stage import write_table

    folders, table = {name: Path("results", name) for name in snakemake.params.systems}, Path(snakemake.output.text)
    write_table(folders, folders.pop("MIX"), table, PROTOCOLS[snakemake.params.protocol])
    write_json(snakemake.output.identity, {"identity": snakemake.params.identity, "sha256": sha256(table)})
