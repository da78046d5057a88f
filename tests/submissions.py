"""Make the results of a finished run without training: the folders of all stages, and the inputs of a submission."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiny import tiny_recipe

from madsep.core.artefacts import Stage
from madsep.core.files import digest, sha256
from madsep.data.prepared import Form, PreparedTrack, read_prepared
from madsep.data.tracks import Track
from madsep.models.checkpoint import write_checkpoint, write_tensors
from madsep.submission.times import Jobs
from madsep.submission.write import Sources
from madsep.systems.identity import training_identity
from madsep.systems.recipe import Recipe

METRICS = ("SDR", "SIR", "ISR", "SAR")
TARGETS = ("vocals", "accompaniment")
RATE_HZ = 100  # low, because nobody listens to this audio
TRAIN = ["Singer - One", "Singer - Two"]
TEST = ["A & B - It's (Mine)", "M.E.R.C. Music - Knockout", "Triviul feat. The Fiend - Widow"]
NOBODY = {"authors": None, "affiliations": None, "contact": None}
SCORING = {"engine": "museval"}
PARTS = [{"seconds": 1.5, "device": "cpu"}, {"seconds": 2.25, "device": "cpu"}, {"seconds": 4.0, "device": "cpu"}]
BENCHMARK = "s\th:m:s\tmax_rss\tmax_vms\n{s}\t0:00:01\t{rss}\t-\n"


def scores(n_frames: int, targets: Sequence[str] = TARGETS) -> dict[str, Any]:
    def frame(i: int) -> dict[str, Any]:
        return {"time": float(i), "duration": 1.0, "metrics": dict.fromkeys(METRICS, 2.5 if i else math.nan)}

    return {"targets": [{"name": name, "frames": [frame(i) for i in range(n_frames)]} for name in targets]}


class Finished:
    """Results of a run below `root`. Each method remakes the artefacts of one stage, as the workflow would."""

    def __init__(self, root: Path, recipe: Recipe | None = None, train: Sequence[str] = TRAIN, test: Sequence[str] = TEST) -> None:
        self.root, self.recipe = root, recipe or tiny_recipe()
        self.names = {"train": list(train), "test": list(test)}
        self.versions: dict[str, int] = {}  # version of the sources of each track, by name
        self.prepare()
        self.train()
        self.separate()
        self.score()

    @property
    def sources(self) -> Sources:
        """Inputs of the submission, as the workflow's last job gets them."""
        jobs = Jobs(self.root / "benchmarks", self.root / "logs", {"prepare": ["prepare/train/a", "prepare/test/b"], "train": ["train/T"]})
        paths = {"estimates": self.root / "MDL1/estimates", "scores": self.root / "MDL1/scores", "training": self.root / "trainings/T"}
        train, test = self.tracks("train"), self.tracks("test")
        return Sources(self.checkpoint, train=train, validation=[], test=test, jobs=jobs, **paths)

    @property
    def checkpoint(self) -> Path:
        return self.root / "MDL1/checkpoint.safetensors"

    @property
    def identity(self) -> str:
        return training_identity(self.recipe, {track.slug: track.identity for track in self.tracks("train")}, [])

    def tracks(self, subset: str) -> list[PreparedTrack]:
        slugs = [Track(name, subset, "wav", "", 0.0, "musdb18").slug for name in self.names[subset]]
        return read_prepared(self.root / "prepared" / subset, slugs, [subset])

    def prepare(self) -> None:
        form = Form(("mixture", "vocals"), False, RATE_HZ)
        for subset, names in self.names.items():
            stage = Stage(self.root / "prepared" / subset)
            stage.folder.mkdir(parents=True, exist_ok=True)
            for number, name in enumerate(names):
                version = self.versions.get(name, 0)
                sources = {stem: digest([name, stem, version]) for stem in form.signals}
                track = Track(name, subset, "wav", "", 0.0, "musdb18", sources)
                n_samples = round((4.7 + number) * RATE_HZ)
                with stage.making(track.slug, form.ingredients(track)) as made:
                    file = stage.folder / f"{track.slug}.npy"
                    np.save(file, np.full((2, 1, n_samples), version, np.float32))
                    made |= {"files": [file], "name": name, "subset": subset, "layout": "wav", "signals": form.signals}
                    made |= {"n_channels": 1, "n_samples": n_samples, "sample_rate_hz": RATE_HZ, "mixture_residual_db": None}
                    made |= {"notes": [], "ffmpeg": None}

    def train(self) -> None:
        stage = Stage(self.root / "trainings/T")
        with stage.making("weights", {"training": self.identity}) as made:
            metadata = {"trained": self.recipe.training_half(), "identity": self.identity, "provenance": {"device": "cpu"}}
            write_tensors(stage.folder / "weights.safetensors", {"w": torch.ones(2)}, metadata)
            made |= {"files": [stage.folder / "weights.safetensors"], "parts": PARTS}
        write_checkpoint(stage.folder, self.recipe, self.checkpoint)

    def separate(self) -> None:
        stage = Stage(self.root / "MDL1/estimates")
        for track in self.tracks("test"):
            made_from = {"prepared": track.sha256, "checkpoint": sha256(self.checkpoint), "targets": ",".join(TARGETS)}
            with stage.making(track.slug, made_from) as made:
                wavs = [stage.folder / "test" / track.name / f"{target}.wav" for target in TARGETS]
                for wav in wavs:
                    wav.parent.mkdir(parents=True, exist_ok=True)
                    wav.write_text(f"{wav.stem} of {made_from}")
                made |= {"files": wavs, "name": track.name, "n_clipped": dict.fromkeys(TARGETS, 0)}

    def score(self, engine: str = "museval") -> None:
        stage, estimates = Stage(self.root / "MDL1/scores"), Stage(self.root / "MDL1/estimates")
        for track in self.tracks("test"):
            made_from = {"references": track.sha256, "estimates": estimates.record(track.slug).content, "engine": engine}
            with stage.making(track.slug, made_from) as made:
                path = stage.folder / "test" / f"{track.name}.json"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(scores(math.floor(track.duration_s))))
                made |= {"files": [path], "name": track.name, "whole_track": {}}

    def measure(self, jobs: Mapping[str, tuple[float | str, float | str]]) -> None:
        """Write the benchmark files of jobs with their seconds and memory."""
        for name, (seconds, memory) in jobs.items():
            path = self.root / "benchmarks" / f"{name}.tsv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(BENCHMARK.format(s=seconds, rss=memory))
