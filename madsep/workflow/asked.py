"""What the rules ask of the plan: functions that Snakemake calls with the wildcards of a job.

`job` is the name of a batch of tracks, `kind` says how tracks are prepared, `training` is the name of a folder in results/trainings.
Identities are among the params of every rule, so Snakemake runs a job again if anything that its result depends on has changed.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from madsep.core.files import digest
from madsep.workflow.plan import Plan

Wildcards = Any  # of Snakemake: one attribute for each wildcard of the rule


def any_of(names: Iterable[str]) -> str:
    """Return a pattern that exactly these names match, of which there may be none."""
    return "|".join(map(re.escape, names)) or "(?!)"


@dataclass(frozen=True)
class Asked:
    """Inputs and params of the rules."""

    plan: Plan

    # prepare and train

    def prepare_tracks(self, wildcards: Wildcards) -> dict[str, str]:
        """Identities of the prepared audio that a job makes, by slug."""
        return self.plan.prepared(wildcards.kind, self.plan.slugs("prepare", wildcards.job))

    def training_prepared(self, wildcards: Wildcards) -> list[str]:
        """Prepared tracks that a training needs."""
        return self.plan.prepared_for_training(self.plan.trainings[wildcards.training])

    def training_data(self, wildcards: Wildcards) -> dict[str, Any]:
        """What a training's data.json says."""
        return self.plan.training_data(self.plan.trainings[wildcards.training])

    def trained_system(self, wildcards: Wildcards) -> str:
        """Name of the recipe that a training is made by."""
        return self.plan.trained_recipe(wildcards.training).name

    def training_seed(self, wildcards: Wildcards) -> int:
        """The seed of a training."""
        return self.plan.trained_recipe(wildcards.training).training.seed

    def training_kind(self, wildcards: Wildcards) -> str:
        """Kind of the prepared audio that a training reads."""
        return self.plan.training_kind(self.plan.trainings[wildcards.training])

    def finished_training(self, wildcards: Wildcards) -> str:
        """The file that says that the weights of a system are trained."""
        return f"{self.plan.training(wildcards.system)}/jobs/train.json"

    def system_values(self, wildcards: Wildcards) -> dict[str, Any]:
        """Plain values of all that decides a system's weights and estimates."""
        return self.plan.selection.recipes[wildcards.system].system_values()

    # separate and score

    def separate_prepared(self, wildcards: Wildcards) -> list[str]:
        """Prepared tracks of a separation job."""
        return self.plan.prepared_for_test(wildcards.system, self.plan.slugs("separate", wildcards.job))

    def separate_tracks(self, wildcards: Wildcards) -> dict[str, Any]:
        """What a separation job works on: identities of the references, and of the estimates that it makes."""
        return self._tracks(wildcards.system, self.plan.slugs("separate", wildcards.job))

    def score_prepared(self, wildcards: Wildcards) -> list[str]:
        """Prepared tracks of a scoring job."""
        return self.plan.prepared_for_test(wildcards.system, self.plan.slugs("score", wildcards.job))

    def score_estimated(self, wildcards: Wildcards) -> list[str]:
        """Estimates of a scoring job."""
        return self.plan.estimated(wildcards.system, self.plan.slugs("score", wildcards.job))

    def score_tracks(self, wildcards: Wildcards) -> dict[str, Any]:
        """What a scoring job works on."""
        return self._tracks(wildcards.system, self.plan.slugs("score", wildcards.job))

    def external(self, wildcards: Wildcards) -> dict[str, Any]:
        """Plain values of a system that is no recipe."""
        values: dict[str, Any] = self.plan.selection.externals[wildcards.system].model_dump()
        return values

    # what is made of all test tracks

    def test_prepared(self, wildcards: Wildcards) -> list[str]:
        """All prepared test tracks of a system."""
        return self.plan.prepared_for_test(wildcards.system, self.plan.test)

    def test_estimated(self, wildcards: Wildcards) -> list[str]:
        """All estimates of a system."""
        return self.plan.estimated(wildcards.system, self.plan.test)

    def test_scored(self, wildcards: Wildcards) -> list[str]:
        """All scores of a system."""
        return [f"results/{wildcards.system}/scores/jobs/{job}.json" for job in self.plan.jobs("score", "test")]

    def test_tracks(self, wildcards: Wildcards) -> dict[str, Any]:
        """What is scored of a system: references and estimates of all test tracks."""
        return self._tracks(wildcards.system, self.plan.test)

    def audited_tracks(self, wildcards: Wildcards) -> dict[str, Any]:
        """The same for the tracks that museval scores again."""
        return self._tracks(wildcards.system, self.plan.audited)

    def audited_scored(self, wildcards: Wildcards) -> list[str]:
        """Scores of the tracks that museval scores again."""
        return [f"results/{wildcards.system}/scores/jobs/{job}.json" for job in self.plan.jobs_with("score", self.plan.audited)]

    def _tracks(self, system: str, slugs: Any) -> dict[str, Any]:
        kind = self.plan.test_kind(system)
        made_from = self.plan.scores(system, slugs)
        return {
            "kind": kind,
            "engine": made_from["engine"],
            "targets": made_from["targets"],
            "prepared": made_from["references"],
            "estimates": made_from["estimates"],
        }

    # couplings, comparison and submission

    def couplings_tracks(self, wildcards: Wildcards) -> dict[str, Any]:
        """Identities of the test tracks that couplings are fitted to, and of the training."""
        slugs = self.plan.test[:: self.plan.config["nca"]["every_track"]]
        identities = self.plan.training_identities
        return {"prepared": self.plan.prepared("test", slugs), "training": identities[wildcards.system]}

    def couplings_prepared(self, wildcards: Wildcards) -> list[str]:
        """All prepared test tracks."""
        return [f"results/prepared/test/jobs/{job}.json" for job in self.plan.jobs("prepare", "test")]

    def submission(self, wildcards: Wildcards) -> dict[str, Any]:
        """What a submission is made from."""
        plan, system = self.plan, self._submitted(wildcards)
        made_from = {
            "system": system,
            "recipe": plan.selection.recipes[system].values(),
            "training": plan.training(system),
            "training_kind": plan.training_kind(system),
            "data": plan.training_data(system),
            "tracks": self._tracks(system, plan.test),
            "engine": plan.engine,
            "is_audited": self._is_audited(),
            "authors": plan.config["submission"],
        }
        return made_from | {"jobs": self._jobs_of(system), "identity": digest(made_from)}

    def submitted_files(self, wildcards: Wildcards) -> list[str]:
        """Checkpoint, prepared tracks, estimates, scores and audit of a submission."""
        plan, system = self.plan, self._submitted(wildcards)
        files = [f"results/{system}/checkpoint.safetensors", *plan.prepared_for_training(system)]
        files += [*plan.prepared_for_test(system, plan.test), *plan.estimated(system, plan.test)]
        files += [f"results/{system}/scores/jobs/{job}.json" for job in plan.jobs("score", "test")]
        return files + ([f"results/{system}/audit.json"] if self._is_audited() else [])

    def _is_audited(self) -> bool:
        return self.plan.engine == "fast" and bool(self.plan.audited)

    def _submitted(self, wildcards: Wildcards) -> str:
        return self.plan.selection.submissions[wildcards.name]

    def _jobs_of(self, system: str) -> dict[str, list[str]]:
        """Benchmark and log files of the jobs of a submission, by stage, without folder and suffix."""
        plan = self.plan
        prepared = map(Path, [*plan.prepared_for_training(system), *plan.prepared_for_test(system, plan.test)])
        return {
            "prepare": [f"prepare/{file.parents[1].name}/{file.stem}" for file in prepared],
            "train": [f"train/{Path(plan.training(system)).name}"],
            "separate": [f"separate/{system}/{job}" for job in plan.jobs("separate", "test")],
            "score": [f"score/{system}/{job}" for job in plan.jobs("score", "test")],
        }
