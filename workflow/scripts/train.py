"""Adapter: train one system."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.systems.recipe import load_recipe
    from madsep.training.data import read_training_data, write_training_data
    from madsep.training.train import Options, train

    config, params = snakemake.config, snakemake.params
    folder = Path(snakemake.output[0]).parent.parent
    write_training_data(**params.data, path=folder / "data.json")
    tracks, validation = read_training_data(folder / "data.json", Path("results/prepared", params.kind))
    options = Options(config["device"], snakemake.threads, config["save_every_s"], config["max_minutes"])
    recipe = load_recipe(params.system, config["overrides"]).with_seed(params.seed)
    train(recipe, tracks, validation, folder, options)
