"""Adapter: combine trained weights with the separation settings of a recipe."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.models.checkpoint import write_checkpoint
    from madsep.systems.recipe import parse_system

    recipe = parse_system(snakemake.params.recipe, f"recipe {snakemake.wildcards.system}")
    write_checkpoint(Path(snakemake.input[0]).parent.parent, recipe, Path(snakemake.output[0]))
