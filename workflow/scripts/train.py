"""Adapter: train one system."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.training.train import Options, train
    from madsep.systems.recipe import load_recipe

    config = snakemake.config
    limits = (config["save_every_s"], snakemake.params.validation_names, config["max_minutes"])
    options = Options(config["device"], snakemake.threads, *limits)
    recipe = load_recipe(snakemake.wildcards.system, config["overrides"])
    train(recipe, list(map(Path, snakemake.input.prepared)), Path(snakemake.output.weights).parent, options)
