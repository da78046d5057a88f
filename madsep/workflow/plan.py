"""The plan of a run: one object, made from the config and the data set, that knows all jobs and files of the workflow.

Identities, which are digests of sources and settings, say what each result depends on before any job runs. A job that has finished
writes a job file, jobs/<job>.json in the folder of its stage, which Snakemake watches.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from madsep.core.files import digest
from madsep.data.datasets import MUSDB18, STEMS, Dataset
from madsep.data.prepared import Form
from madsep.data.tracks import Track, batch_name, batches
from madsep.scoring.protocols import MIR1K, SISEC18, Protocol, protocol_of
from madsep.systems.identity import system_identity, training_identity
from madsep.systems.recipe import Recipe
from madsep.workflow.selection import BASELINE, Selection

STAGES = ("prepare", "separate", "score")


@dataclass(frozen=True)
class Plan:
    """A run. All paths are relative to its folder."""

    config: Mapping[str, Any]
    dataset: Dataset
    selection: Selection
    tracks: Mapping[str, Track]  # by slug: training, test and extra tracks
    targets: Mapping[str, tuple[str, ...]]  # per system, including the baseline
    validation: tuple[str, ...]  # slugs of the training tracks held out by recipes that validate
    external_ingredients: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # per external system, by slug

    # systems

    @property
    def systems(self) -> list[str]:
        """All systems except the baseline."""
        return self.selection.names

    @property
    def scored(self) -> list[str]:
        """The baseline and all systems."""
        return [BASELINE, *self.systems]

    @property
    def trained(self) -> list[str]:
        """Recipes that are trained, as opposed to those that use the weights of another recipe."""
        return [name for name, recipe in self.selection.recipes.items() if recipe.weights_from is None]

    @cached_property
    def protocol(self) -> Protocol:
        """The protocol by which the run is scored."""
        return protocol_of(self.config["protocol"], self.dataset)

    @property
    def engine(self) -> str:
        """The scorer: museval or fast in sisec18, otherwise the protocol's name."""
        engine: str = self.config["scoring"]["engine"]
        return engine if self.protocol == SISEC18 else self.protocol.name

    @property
    def is_submitted(self) -> bool:
        """Whether the scores of the run can be submitted to SiSEC 2018."""
        return self.protocol == SISEC18 and self.dataset == MUSDB18

    # tracks and the jobs that work on them

    @cached_property
    def test(self) -> list[str]:
        """Slugs of the test tracks."""
        return self._slugs("test")

    @cached_property
    def audited(self) -> list[str]:
        """Slugs of the test tracks that museval scores again."""
        scoring = self.config["scoring"]
        n_tracks = min(scoring["audit_tracks"], len(self.test))
        return sorted(random.Random(scoring["audit_seed"]).sample(self.test, n_tracks))

    def jobs(self, stage: str, subset: str) -> dict[str, tuple[str, ...]]:
        """Return the jobs of a stage on a subset, as slugs by job name. A job covers one track or several short ones."""
        return self._jobs[stage, subset]

    def slugs(self, stage: str, job: str) -> tuple[str, ...]:
        """Return the slugs of a job's tracks."""
        return next(jobs[job] for (of_stage, _), jobs in self._jobs.items() if of_stage == stage and job in jobs)

    def jobs_with(self, stage: str, slugs: Sequence[str]) -> list[str]:
        """Return the names of the jobs of a stage that include any of the given test tracks."""
        return [name for name, members in self.jobs(stage, "test").items() if not set(members).isdisjoint(slugs)]

    @cached_property
    def _jobs(self) -> dict[tuple[str, str], dict[str, tuple[str, ...]]]:
        return {(stage, subset): self._grouped(stage, subset) for stage in STAGES for subset in ("train", "extra", "test")}

    def _grouped(self, stage: str, subset: str) -> dict[str, tuple[str, ...]]:
        grouped = batches([self.tracks[slug] for slug in self._slugs(subset)], self.config["job_s"][stage])
        return {batch_name(batch): tuple(track.slug for track in batch) for batch in grouped}

    def _slugs(self, subset: str) -> list[str]:
        return [slug for slug, track in self.tracks.items() if track.subset == subset]

    # prepared audio

    def form(self, kind: str) -> Form:
        """Return the form of a kind of prepared audio.

        A kind is `train` (always mono) or `test`, followed by `-four` for all stems, `-mono` for the mean of the channels, and the rate in
        hertz, such as `-16000`, if it is not that of the data set.
        """
        subset, *parts = kind.split("-")
        stems = STEMS if "four" in parts else ("vocals",)
        signals = ("mixture", *stems, *(("accompaniment",) if subset == "test" else ()))
        rates = [int(part) for part in parts if part.isdigit()]
        return Form(signals, subset == "train" or "mono" in parts, *(rates or [self.dataset.sample_rate_hz]))

    def test_kind(self, system: str) -> str:
        """Return the kind of prepared audio that a system separates and is scored on."""
        four = "drums" in self.targets[system] or self.protocol.drops_silent_stems
        return f"test{'-four' * four}{'-mono' * self.protocol.mono}"

    def training_kind(self, system: str) -> str:
        """Return the kind of prepared audio that a recipe trains on."""
        recipe = self.selection.trained[system]
        rate_hz = recipe.front_end.sample_rate_hz
        four = "-four" if set(recipe.sources) - {"vocals", "background"} else ""
        return f"train{four}" + (f"-{rate_hz}" if rate_hz != self.dataset.sample_rate_hz else "")

    def prepared(self, kind: str, slugs: Sequence[str]) -> dict[str, str]:
        """Return the identities of prepared tracks, by slug."""
        form = self.form(kind)
        return {slug: form.identity(self.tracks[slug]) for slug in slugs}

    def prepared_for_test(self, system: str, slugs: Sequence[str]) -> list[str]:
        """Return the job files of the given test tracks, prepared for a system."""
        return [f"results/prepared/{self.test_kind(system)}/jobs/{job}.json" for job in self.jobs_with("prepare", slugs)]

    def prepared_for_training(self, system: str) -> list[str]:
        """Return the job files of the prepared tracks that a recipe trains on."""
        subsets = self._training_subsets(system)
        jobs = [job for subset in subsets for job in self.jobs("prepare", subset)]
        return [f"results/prepared/{self.training_kind(system)}/jobs/{job}.json" for job in jobs]

    # trainings

    def training_data(self, system: str) -> dict[str, Any]:
        """Return the data of a training: identities of the prepared tracks by slug, and the slugs held out for validation."""
        slugs = [slug for subset in self._training_subsets(system) for slug in self._slugs(subset)]
        held_out = self.validation if self.selection.trained[system].training.validation else ()
        return {"tracks": self.prepared(self.training_kind(system), slugs), "validation": list(held_out)}

    @cached_property
    def training_identities(self) -> dict[str, str]:
        """The identity of the training that each recipe's weights come from."""
        data = {name: self.training_data(name) for name in self.selection.recipes}
        trained = self.selection.trained
        return {name: training_identity(trained[name], found["tracks"], found["validation"]) for name, found in data.items()}

    @cached_property
    def trainings(self) -> dict[str, str]:
        """Names of the folders in results/trainings, each with one of the systems that use its weights."""
        return {self._training_name(name): name for name in self.selection.recipes}

    def training(self, system: str) -> str:
        """Return the folder of the training that a system's weights come from."""
        return f"results/trainings/{self._training_name(system)}"

    def trained_recipe(self, training: str) -> Recipe:
        """Return the recipe of a training. `training` is the name of its folder."""
        return self.selection.trained[self.trainings[training]]

    def _training_name(self, system: str) -> str:
        return f"{self.selection.trained[system].name}-{self.training_identities[system][:8]}"

    def _training_subsets(self, system: str) -> list[str]:
        return ["train", "extra"] if self.selection.trained[system].training.extra_tracks else ["train"]

    # estimates and scores

    def estimates(self, system: str, slugs: Sequence[str]) -> dict[str, str]:
        """Return the identities of a system's estimates, by slug. MIX has none."""
        if system == BASELINE:
            return {}
        known = self.prepared(self.test_kind(system), slugs)
        if recipe := self.selection.recipes.get(system):
            own: Any = dict.fromkeys(slugs, system_identity(recipe, self.training_identities[system]))
        else:
            own = self.external_ingredients[system]
        return {slug: digest([known[slug], own[slug], self.targets[system]]) for slug in slugs}

    def scorer(self, system: str) -> str:
        """Return the engine that scores a system. MIX is never submitted, so the fast engine scores it instead of museval."""
        return "fast" if system == BASELINE and self.engine == "museval" else self.engine

    def scores(self, system: str, slugs: Sequence[str]) -> dict[str, Any]:
        """Return what a system's scores depend on: references, estimates, engine and targets."""
        references = self.prepared(self.test_kind(system), slugs)
        made_from = {"references": references, "estimates": self.estimates(system, slugs)}
        return made_from | {"engine": self.scorer(system), "targets": list(self.targets[system])}

    def estimated(self, system: str, slugs: Sequence[str]) -> list[str]:
        """Return the job files of a system's estimates of the given test tracks. MIX has none."""
        if system == BASELINE:
            return []
        return [f"results/{system}/estimates/jobs/{job}.json" for job in self.jobs_with("separate", slugs)]

    def identity(self, systems: Sequence[str]) -> str:
        """Return a digest of everything that the tables of the given systems depend on."""
        return digest({"scores": {name: self.scores(name, self.test) for name in systems}, "bootstrap": self.config["bootstrap"]})

    # results

    @property
    def results(self) -> list[str]:
        """Paths of the final files of the run."""
        files = ["results/table.txt", *(f"results/{name}/losses.svg" for name in self.trained)]
        if self.protocol in (SISEC18, MIR1K):  # the listening page reads only their scores
            files.append("results/listen/index.html")
        if self.config["couplings"]:
            files.append("results/couplings.html")
        if self.protocol == SISEC18:
            files.append("results/compare/index.html")
        if self.is_submitted:
            files += [f"submission/{name}/provenance.yaml" for name in self.selection.submissions]
        if self.engine == "museval":
            files += [f"results/{name}/preview.txt" for name in self.systems]
        return files

    @property
    def listened_kinds(self) -> list[str]:
        """Kinds of prepared test audio that the listening page reads, the one with all stems first."""
        return sorted({self.test_kind(name) for name in self.scored}, reverse=True)

    @property
    def compared(self) -> dict[str, dict[str, Any]]:
        """The recipe fields shown in the comparison, by system. Only these trigger a redraw."""
        return {name: self._shown(name) for name in self.scored}

    def _shown(self, name: str) -> dict[str, Any]:
        recipe = self.selection.recipes.get(name)
        if recipe is None:
            return {}
        kinds = {"is_blind", "additional_training_data"}
        description = recipe.description.model_dump(include=kinds)
        return {"name": name, "separation": {"framing": recipe.separation.framing}, "description": description}
