"""Adapter: write one submission and check it."""

from pathlib import Path

from madsep.core.logs import job_log

with job_log(snakemake.log[0]):
    from madsep.data.prepared import read_planned
    from madsep.submission.times import Jobs
    from madsep.submission.write import Sources, read_scoring, write_submission
    from madsep.systems.recipe import parse_recipe

    asked, prepared = snakemake.params.made_from, Path("results/prepared")
    folder = Path("results", asked["system"])
    sources = Sources(
        checkpoint=folder / "checkpoint.safetensors",
        training=Path(asked["training"]),
        train=read_planned(prepared / asked["training_kind"], asked["data"]["tracks"], ("train", "extra")),
        validation=asked["data"]["validation"],
        test=read_planned(prepared / asked["tracks"]["kind"], asked["tracks"]["prepared"], ("test",)),
        estimates=folder / "estimates",
        scores=folder / "scores",
        jobs=Jobs(Path("results/benchmarks"), Path("results/logs"), asked["jobs"]),
    )
    scoring = read_scoring(asked["engine"], *[folder / "audit.json" for _ in range(asked["is_audited"])])
    write_submission(sources, parse_recipe(asked["recipe"], "recipe"), scoring, asked["authors"], Path(snakemake.output[0]).parent)
