"""Adapter: decode and check the tracks of one job."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.data.inventory import read_inventory
    from madsep.data.prepare import prepare
    from madsep.data.prepared import Form

    inventory = read_inventory(Path("results/inventory.json"))
    job = Path(snakemake.output[0])
    prepare([inventory[slug] for slug in snakemake.params.tracks], Form(**snakemake.params.form), job.parent.parent, job.stem)
