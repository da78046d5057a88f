"""Input and params functions of the rules. Snakemake calls them with the wildcards of a job.

The wildcard `job` names a batch of tracks, `kind` a kind of prepared audio, and `training` a folder in results/trainings.
The params of every rule include identities, so Snakemake reruns a job if anything that its result depends on has changed.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from madsep.core.files import digest
from madsep.workflow.plan import Plan

Wildcards = Any  # Snakemake's class, with one attribute per wildcard of the rule


def any_of(names: Iterable[str]) -> str:
    """Return a regular expression that matches exactly these names, and nothing if there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


@dataclass(frozen=True)
class Asked:
    """Inputs and params of the rules, looked up in the plan."""

    plan: Plan

    # prepare and train

    def prepare_tracks(self, wildcards: Wildcards) -> dict[str, str]:
        """Return the identities of the prepared audio that a job writes, by slug."""
        return self.plan.prepared(wildcards.kind, self.plan.slugs("prepare", wildcards.job))

    def training_prepared(self, wildcards: Wildcards) -> list[str]:
        """Return the job files of the prepared tracks that a training reads."""
        return self.plan.prepared_for_training(self.plan.trainings[wildcards.training])

    def training_data(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return the content of a training's data.json."""
        return self.plan.training_data(self.plan.trainings[wildcards.training])

    def trained_system(self, wildcards: Wildcards) -> str:
        """Return the name of the recipe of a training."""
        return self.plan.trained_recipe(wildcards.training).name

    def training_seed(self, wildcards: Wildcards) -> int:
        """Return the seed of a training."""
        return self.plan.trained_recipe(wildcards.training).training.seed

    def training_kind(self, wildcards: Wildcards) -> str:
        """Return the kind of prepared audio that a training reads."""
        return self.plan.training_kind(self.plan.trainings[wildcards.training])

    def finished_training(self, wildcards: Wildcards) -> str:
        """Return the job file of the training that a system's weights come from."""
        return f"{self.plan.training(wildcards.system)}/jobs/train.json"

    def system_values(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return the settings that decide a system's weights and estimates, as plain values."""
        return self.plan.selection.recipes[wildcards.system].system_values()

    # separate and score

    def separate_prepared(self, wildcards: Wildcards) -> list[str]:
        """Return the job files of the prepared tracks that a separation job reads."""
        return self.plan.prepared_for_test(wildcards.system, self.plan.slugs("separate", wildcards.job))

    def separate_tracks(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return the tracks of a separation job: the identities of their references and of the estimates to write."""
        return self._tracks(wildcards.system, self.plan.slugs("separate", wildcards.job))

    def score_prepared(self, wildcards: Wildcards) -> list[str]:
        """Return the job files of the prepared tracks that a scoring job reads."""
        return self.plan.prepared_for_test(wildcards.system, self.plan.slugs("score", wildcards.job))

    def score_estimated(self, wildcards: Wildcards) -> list[str]:
        """Return the job files of the estimates that a scoring job reads."""
        return self.plan.estimated(wildcards.system, self.plan.slugs("score", wildcards.job))

    def score_tracks(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return the tracks of a scoring job: the identities of their references and estimates."""
        return self._tracks(wildcards.system, self.plan.slugs("score", wildcards.job))

    def external(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return the settings of an external system, as plain values."""
        values: dict[str, Any] = self.plan.selection.externals[wildcards.system].model_dump()
        return values

    # all test tracks

    def test_prepared(self, wildcards: Wildcards) -> list[str]:
        """Return the job files of all test tracks that are prepared for a system."""
        return self.plan.prepared_for_test(wildcards.system, self.plan.test)

    def test_estimated(self, wildcards: Wildcards) -> list[str]:
        """Return the job files of all estimates of a system."""
        return self.plan.estimated(wildcards.system, self.plan.test)

    def test_scored(self, wildcards: Wildcards) -> list[str]:
        """Return the job files of all scores of a system."""
        return [f"results/{wildcards.system}/scores/jobs/{job}.json" for job in self.plan.jobs("score", "test")]

    def test_tracks(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return the identities of the references and of a system's estimates of all test tracks."""
        return self._tracks(wildcards.system, self.plan.test)

    def audited_tracks(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return the same as `test_tracks` for the tracks that museval scores again."""
        return self._tracks(wildcards.system, self.plan.audited)

    def audited_scored(self, wildcards: Wildcards) -> list[str]:
        """Return the job files of the scores of the tracks that museval scores again."""
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
        """Return the identities of the test tracks that couplings are fitted to, and of the training."""
        slugs = self.plan.test[:: self.plan.config["nca"]["every_track"]]
        identities = self.plan.training_identities
        return {"prepared": self.plan.prepared("test", slugs), "training": identities[wildcards.system]}

    def couplings_prepared(self, wildcards: Wildcards) -> list[str]:
        """Return the job files of all prepared test tracks."""
        return [f"results/prepared/test/jobs/{job}.json" for job in self.plan.jobs("prepare", "test")]

    def submission(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return the ingredients of a submission, with their digest as its identity."""
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
        """Return the files that a submission depends on: checkpoint, audit, and job files of prepared tracks, estimates and scores."""
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
        """Return the names of the benchmark and log files of a submission's jobs by stage, without folder and suffix."""
        plan = self.plan
        prepared = map(Path, [*plan.prepared_for_training(system), *plan.prepared_for_test(system, plan.test)])
        return {
            "prepare": [f"prepare/{file.parents[1].name}/{file.stem}" for file in prepared],
            "train": [f"train/{Path(plan.training(system)).name}"],
            "separate": [f"separate/{system}/{job}" for job in plan.jobs("separate", "test")],
            "score": [f"score/{system}/{job}" for job in plan.jobs("score", "test")],
        }
