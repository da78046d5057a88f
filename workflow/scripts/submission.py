"""Adapter: write one submission and check it."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.submission.write import Sources, read_scoring, write_submission
    from madsep.systems.recipe import parse_recipe

    folder = Path(snakemake.input.checkpoint).parent
    prepared, estimates = (list(map(Path, files)) for files in (snakemake.input.prepared, snakemake.input.estimates))
    records = (Path("results/benchmarks"), Path("results/logs"))
    sources = Sources(Path(snakemake.input.checkpoint), prepared, estimates, folder / "scores/test", *records)
    scoring = read_scoring(snakemake.params.engine, *map(Path, snakemake.input.audit))
    recipe = parse_recipe(snakemake.params.recipe, "recipe")
    write_submission(sources, recipe, scoring, snakemake.params.authors, Path(snakemake.output[0]).parent)
