"""Write a submission to the Signal Separation Evaluation Campaign: description, scores by true name, provenance."""

import datetime
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from madsep.core.errors import InputError
from madsep.core.files import digest, new_folder, read_json, sha256, write_text
from madsep.core.provenance import git_commit, hardware, versions
from madsep.data.prepared import read_prepared
from madsep.models.checkpoint import read_tensors
from madsep.submission.check import check_submission
from madsep.submission.description import describe
from madsep.systems.recipe import Recipe


@dataclass(frozen=True)
class Sources:
    """What a submission is made from."""

    checkpoint: Path
    prepared: Sequence[Path]  # manifests
    estimates: Sequence[Path]  # manifests
    scores: Path  # folder of <slug>.json
    benchmarks: Path  # folder of Snakemake's benchmark files
    logs: Path  # folder of the jobs' logs, laid out as the benchmarks


def read_scoring(engine: str, audit: Path | None = None) -> dict[str, Any]:
    """What provenance and description say of the scores: the engine and, where museval audited it, the worst difference of each track."""
    return {"engine": engine} | ({} if audit is None else {"audit_by_museval": read_json(audit)})


def write_submission(sources: Sources, recipe: Recipe, scoring: Mapping[str, Any], authors: Mapping[str, str | None], folder: Path) -> None:
    """Write `folder`/{description.md, provenance.yaml, test/<true name>.json}, check it, and only then put it in place.

    Raises InputError that lists every fault when the check finds any; `folder` is then left as it was.
    """
    metadata = read_tensors(sources.checkpoint)[1]
    if metadata["recipe"] != recipe.system_values():
        raise InputError(f"{sources.checkpoint}: was made by other settings than recipe {recipe.name} now says; run the workflow again.")
    test = _test_tracks(sources.prepared)
    with new_folder(folder) as new:
        (new / "test").mkdir()
        for entry in test:
            shutil.copyfile(sources.scores / f"{entry['slug']}.json", new / "test" / f"{entry['name']}.json")
        write_text(new / "description.md", describe(recipe, scoring, authors))
        provenance = {"scoring": dict(scoring)} | _provenance(sources, recipe, metadata["provenance"], test, new)
        write_text(new / "provenance.yaml", yaml.safe_dump(provenance, sort_keys=False, allow_unicode=True, width=120))
        faults = check_submission(new)
        if faults:
            raise InputError("\n".join([f"{folder}: not written, {len(faults)} to mend:", *faults]))


def _test_tracks(prepared: Sequence[Path]) -> list[dict[str, Any]]:
    manifests = [path for path in prepared if read_json(path)["tracks"][0]["subset"] == "test"]
    return read_prepared(manifests, "test")


def _provenance(
    sources: Sources, recipe: Recipe, training: Mapping[str, Any], test: Sequence[Mapping[str, Any]], new: Path
) -> dict[str, Any]:
    """Everything needed to say where the numbers come from, as plain values."""
    tracks = [entry for path in sources.prepared for entry in read_json(path)["tracks"]]
    estimates = {track["name"]: track["files"] for path in sources.estimates for track in read_json(path)["tracks"]}
    return {
        "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "madsep_commit": git_commit(Path(__file__).parent),
        "versions": versions(),
        "hardware": hardware(),
        "seed": recipe.training.seed,
        "settings": recipe.values(),
        "settings_sha256": digest(recipe.values()),
        "training": training,
        "checkpoint_sha256": sha256(sources.checkpoint),
        "data": {
            "layouts": sorted({entry["layout"] for entry in tracks}),
            "ffmpeg": next((entry["ffmpeg"] for entry in tracks if entry["ffmpeg"]), None),
            "train_tracks": [entry["name"] for entry in tracks if entry["subset"] == "train"],
            "test_tracks": sorted(entry["name"] for entry in test),
            "durations_s": {entry["name"]: entry["n_samples"] / entry["sample_rate_hz"] for entry in test},
            "n_samples": {entry["name"]: entry["n_samples"] for entry in tracks},
            "sources_sha256": {entry["name"]: entry["source_sha256"] for entry in tracks},
            "notes": {entry["name"]: entry["notes"] for entry in tracks if entry["notes"]},
        },
        "estimates_sha256": {name: {target: file["sha256"] for target, file in files.items()} for name, files in estimates.items()},
        "clipped_samples": {name: {target: file["n_clipped"] for target, file in files.items()} for name, files in estimates.items()},
        "scores_sha256": {path.stem: sha256(path) for path in sorted((new / "test").iterdir())},
        "times": _times(sources, recipe),
    }


def _times(sources: Sources, recipe: Recipe) -> dict[str, Any]:
    """Wall-clock seconds and peak memory (MB) of the jobs behind this system, from Snakemake's benchmark files.

    `slurm_job_ids`, from their logs, for those that ran as jobs of Slurm; it is missing where none did.
    """
    system = recipe.name
    trained = recipe.weights_from or system
    patterns = {
        "prepare": {f"{path.parent.name.replace('prepared', 'prepare')}/{path.stem}.tsv" for path in sources.prepared},
        "train": {f"train/{trained}.tsv"},
        "separate": {f"separate/{system}/*.tsv"},
        "score": {f"score/{system}/*.tsv"},
    }
    times: dict[str, dict[str, Any]] = {}
    for stage, names in patterns.items():
        paths = sorted(path for name in names for path in sources.benchmarks.glob(name))
        rows = [pd.read_csv(path, sep="\t", na_values="-") for path in paths]
        if rows:
            table = pd.concat(rows)
            times[stage] = {"n_jobs": len(rows), "seconds": round(float(table["s"].sum()), 1), "peak_memory_mb": _peak(table)}
            logs = [sources.logs / path.relative_to(sources.benchmarks).with_suffix(".log") for path in paths]
            if ids := [found for found in map(_slurm_job_id, logs) if found is not None]:
                times[stage]["slurm_job_ids"] = ids
    return times


def _slurm_job_id(log: Path) -> int | None:
    """The job of Slurm that a log's first line names; None for a job that ran elsewhere."""
    found = re.match(r"INFO: Slurm job (\d+) on ", log.read_text(encoding="utf-8")) if log.exists() else None
    return int(found[1]) if found else None


def _peak(table: pd.DataFrame) -> float | None:
    peak = table["max_rss"].max()
    return None if pd.isna(peak) else round(float(peak), 1)
