"""Resources of jobs: memory in MB, time in minutes, GPUs. Snakemake passes a job's wildcards and the number of the attempt."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from madsep.core.provenance import list_gpus
from madsep.scoring.protocols import MIR1K
from madsep.workflow.plan import Plan
from madsep.workflow.slurm import offers_gpus

# each includes the two Snakemake processes that a cluster job starts
NETWORK_MB = 3000
TRAINING_MB = 6000
NSDR_MB = 2000
BASE_MB = 1500
PREPARE_MB_PER_S = {False: 3, True: 6}  # per second of the longest track; True: all stems
EXTERNAL_MB_PER_S = 10
LISTEN_MB_PER_S = 5
# museval takes about 18 MB per second of two stereo targets, 30 of five
SCORE_MB_PER_S = {"museval": {2: 18, 5: 30}, "fast": {2: 4, 5: 4}}
# upper limits, per minute of audio
MINUTES = {"prepare": 0.25, "separate": 1, "external": 5, "score": 2, "preview": 0.25, "listen": 0.25, "couplings": 5}


class Needs:
    """Resources of the jobs of a plan. Memory and time grow with each attempt."""

    def __init__(self, plan: Plan, on_cluster: Callable[[], bool]) -> None:
        """Store the plan. `on_cluster` tells whether jobs go to a cluster. Snakemake knows this only after it has read the rules."""
        self.plan, self.on_cluster = plan, on_cluster

    @cached_property
    def n_gpus(self) -> int:
        """Number of GPUs in this machine."""
        return len(list_gpus())

    def gpu(self, wildcards: Any) -> int:
        """Return the number of GPUs of a job that can use one. With `device: auto` it is 1 if this machine or the cluster has GPUs."""
        device = self.plan.config["device"]
        return int(device == "cuda" or (device == "auto" and bool(self.n_gpus or (self.on_cluster() and self._cluster_gpus))))

    def external_gpu(self, wildcards: Any) -> int:
        """Return the number of GPUs of a job of an external system. Only callables get one."""
        return self.gpu(wildcards) if self.plan.selection.externals[wildcards.system].separator else 0

    @cached_property
    def _cluster_gpus(self) -> bool:
        return offers_gpus()

    def prepare_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory of a prepare job."""
        slugs = self.plan.slugs("prepare", wildcards.job)
        return attempt * (BASE_MB + int(PREPARE_MB_PER_S["four" in wildcards.kind] * self._longest_s(slugs)))

    def prepare_minutes(self, wildcards: Any, attempt: int) -> int:
        """Return the time of a prepare job."""
        return self._minutes("prepare", self.plan.slugs("prepare", wildcards.job), attempt)

    def train_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory of a training. It is doubled only once, because an attempt may also have ended at its time limit."""
        return min(attempt, 2) * TRAINING_MB

    def separate_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory of a separation by a network."""
        return attempt * NETWORK_MB

    def separate_minutes(self, wildcards: Any, attempt: int) -> int:
        """Return the time of a separation by a network."""
        return self._minutes("separate", self.plan.slugs("separate", wildcards.job), attempt)

    def external_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory of a separation by a callable or an oracle."""
        return attempt * (1000 + int(EXTERNAL_MB_PER_S * self._longest_s(self.plan.slugs("separate", wildcards.job))))

    def external_minutes(self, wildcards: Any, attempt: int) -> int:
        """Return the time of a separation by a callable or an oracle."""
        return self._minutes("external", self.plan.slugs("separate", wildcards.job), attempt)

    def score_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory of a scoring job."""
        return attempt * self._scoring_mb(wildcards.system, self.plan.slugs("score", wildcards.job), self.plan.scorer(wildcards.system))

    def score_minutes(self, wildcards: Any, attempt: int) -> int:
        """Return the time of a scoring job."""
        return self._minutes("score", self.plan.slugs("score", wildcards.job), attempt)

    def audit_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory for scoring the audited tracks with museval."""
        return attempt * self._scoring_mb(wildcards.system, self.plan.audited, "museval")

    def audit_minutes(self, wildcards: Any, attempt: int) -> int:
        """Return the time for scoring the audited tracks with museval."""
        return self._minutes("score", self.plan.audited, attempt)

    def preview_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory for scoring all test tracks with the fast engine."""
        return attempt * self._scoring_mb(wildcards.system, self.plan.test, "fast")

    def preview_minutes(self, wildcards: Any, attempt: int) -> int:
        """Return the time for scoring all test tracks with the fast engine."""
        return self._minutes("preview", self.plan.test, attempt)

    def listen_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory of the listening page, which loads the references and one system's estimates of one track at a time."""
        return attempt * (BASE_MB + int(LISTEN_MB_PER_S * self._longest_s(self.plan.test)))

    def listen_minutes(self, wildcards: Any, attempt: int) -> int:
        """Return the time of the listening page, as if it showed all tracks of all systems."""
        return len(self.plan.scored) * self._minutes("listen", self.plan.test, attempt)

    def couplings_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory of the fits of couplings."""
        return attempt * TRAINING_MB

    def couplings_minutes(self, wildcards: Any, attempt: int) -> int:
        """Return the time of the fits of couplings."""
        return self._minutes("couplings", self.plan.test, attempt)

    def _scoring_mb(self, system: str, slugs: Sequence[str], engine: str) -> int:
        if engine == MIR1K.name:
            return NSDR_MB
        return BASE_MB + int(SCORE_MB_PER_S.get(engine, SCORE_MB_PER_S["fast"])[len(self.plan.targets[system])] * self._longest_s(slugs))

    def _longest_s(self, slugs: Sequence[str]) -> float:
        return max(self.plan.tracks[slug].duration_s for slug in slugs)

    def _minutes(self, work: str, slugs: Sequence[str], attempt: int) -> int:
        audio_s = sum(self.plan.tracks[slug].duration_s for slug in slugs)
        return attempt * (10 + int(MINUTES[work] * audio_s / 60))
